"""Dataset URI -> Dataset: class names, counts, and samples that stream. Stage 1, read."""

from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from typing import Final, NoReturn, Protocol, runtime_checkable

import numpy as np
import torch

from ddoq.containers import Container
from ddoq.dataset_config import DatasetConfig
from ddoq.errors import BadImagesError, DatasetChangedError, EmptyClassError
from ddoq.formats import Shares, read_format
from ddoq.images import MAX_BYTES, Aspect, UnreadableImageError, decode
from ddoq.layouts import Encoded, Layout
from ddoq.left_out import LeftOut
from ddoq.sources import Access, Load, Member, open_source
from ddoq.splits import Split
from ddoq.tables import Table
from ddoq.types import Sample

_AHEAD: Final = 4  # images in flight for each thread


@dataclass(frozen=True)
class BadImage:
    """An image of a class that could not be decoded, and why."""

    key: str
    reason: str


@runtime_checkable
class Reader(Protocol):
    """Where encoded images come from."""

    @property
    def n_threads(self) -> int:
        """Threads that are worth having to read and decode."""

    def opened(
        self, split: Split, keys: Collection[str] | None, places: range | None
    ) -> AbstractContextManager[Iterator[Encoded]]:
        """Give the encoded images of a split, some of them if asked; each may be loaded until the context ends."""


@dataclass(frozen=True)
class Dataset:
    """A labelled image dataset: what there is, and how to stream it.

    `counts` are images a class, in the order of `class_names`, before any was decoded; `validation` is a split only
    where it was asked for. `held_out` is true when there was no test split, so that every n-th image of each class was
    set aside. `left_out` are sentences on everything that is not used, `remarks` on what was decided where the data
    could be read in several ways. `fingerprint` (SHA-256, hex) changes when names, sizes or content change: by CRC in
    a zip, by ETag in S3, otherwise by modification time. `aspect` is how an oblong image becomes a square. Only names
    and sizes of the images are kept in memory.
    """

    class_names: tuple[str, ...]
    counts: Mapping[Split, tuple[int, ...]]
    held_out: bool
    left_out: tuple[str, ...]
    fingerprint: str
    reader: Reader = field(repr=False)
    aspect: Aspect = "crop"
    remarks: tuple[str, ...] = ()

    def samples(
        self,
        split: Split,
        resolution: int,
        on_bad: Callable[[BadImage], None],
        keys: Collection[str] | None = None,
    ) -> Iterator[Sample]:
        """Stream the images of a split, decoded by a few threads that run a bounded way ahead.

        The order is always the same: by class, then by key; in file order for a tar.gz and for Parquet.

        Args:
            split: Which part.
            resolution: Side in pixels of the square RGB images.
            on_bad: Told of each image that cannot be decoded, in its turn. What it raises ends the stream.
            keys: The samples wanted; None is all of them.

        Raises:
            DatasetChangedError: a file is no longer what was listed.
            DamagedArchiveError: the archive breaks off.
        """
        with closing(self.stream(split, resolution, keys)) as results:
            for result in results:
                if isinstance(result, BadImage):
                    on_bad(result)
                else:
                    yield result

    def stream(
        self, split: Split, resolution: int, keys: Collection[str] | None = None, places: range | None = None
    ) -> Generator[Sample | BadImage, None, None]:
        """Stream the images of a split as `samples` does, each that cannot be decoded in its turn.

        Args:
            split: Which part.
            resolution: Side in pixels of the square RGB images.
            keys: The samples wanted; None is all of them.
            places: Of the images of the split in their order, only these; None is all of them.

        Raises:
            DatasetChangedError, DamagedArchiveError: as for `samples`.
        """
        wanted = None if keys is None else frozenset(keys)
        with (
            self.reader.opened(split, wanted, places) as encoded,
            closing(_decode_ahead(encoded, self._decoder(resolution), self.reader.n_threads)) as results,
        ):
            yield from results

    def _decoder(self, resolution: int) -> Callable[[Encoded], Sample | BadImage]:
        return lambda encoded: _decode(encoded, resolution, self.aspect)


@dataclass(frozen=True)
class FolderReader:
    """Images of class folders in a container."""

    container: Container
    layout: Layout

    @property
    def n_threads(self) -> int:
        return self.container.n_threads

    @contextmanager
    def opened(self, split: Split, keys: Collection[str] | None, places: range | None) -> Iterator[Iterator[Encoded]]:
        with self.container.opened() as find:
            yield self._encoded(find, split, keys, places)

    def _encoded(
        self, find: Callable[[Member], Load], split: Split, keys: Collection[str] | None, places: range | None
    ) -> Iterator[Encoded]:
        members = self._in_order(split)
        for member, label in members if places is None else members[places.start : places.stop]:
            key = member.name.removeprefix(self.layout.prefixes[split])
            if keys is None or key in keys:
                yield Encoded(key, label, find(member) if member.size <= MAX_BYTES else _refuse_size)

    def _in_order(self, split: Split) -> list[tuple[Member, int]]:
        labelled = [(member, label) for label, members in enumerate(self.layout.members[split]) for member in members]
        if self.container.reads_in_order:
            labelled.sort(key=lambda pair: pair[0].position)
        return labelled


def open_dataset(config: DatasetConfig, access: Access, validation_share: float = 0.0) -> Dataset:
    """List a dataset and sort it into classes and splits. Nothing is decoded.

    Args:
        config: Where it is, which columns and classes, what share to hold out without a test split.
        access: What this installation may read.
        validation_share: Of the training images of each class, behind the test images, this share is held out as the
            split `validation`, at least one; below 0.5. 0: there is no such split.

    Raises:
        DatasetError: one of its kinds, for whatever is wrong with the dataset; see `ddoq.errors`.
    """
    shares = Shares(max(2, round(1 / config.test_share)), round(1 / validation_share) if validation_share else None)
    images, left_out = read_format(open_source(config.uri, access), config, shares, LeftOut())
    rest, remarks, mark = left_out.sentences(), left_out.remarks, images.fingerprint
    if isinstance(images, Table):
        counts = {split: images.counts(split) for split in images.parts}
        return Dataset(images.class_names, counts, images.held_out, rest, mark, images, config.aspect, remarks)
    layout, reader = images.layout, FolderReader(images.container, images.layout)
    counts = {split: tuple(map(len, members)) for split, members in layout.members.items()}
    return Dataset(layout.class_names, counts, layout.held_out, rest, mark, reader, config.aspect, remarks)


def require_images(dataset: Dataset, wanted: Sequence[int]) -> None:
    """Raise EmptyClassError when a class has fewer training images than are `wanted` of it."""
    held_out = dataset.counts.get("validation", (0,) * len(wanted))
    for name, n, k, n_held in zip(dataset.class_names, dataset.counts["train"], wanted, held_out, strict=True):
        if n < k:
            beside = f" beside {n_held} held out for validation" if n_held else ""
            raise EmptyClassError(
                f"class {name!r} has {n} training images{beside}; lower images_per_class to {n} or leave the class out"
            )


def require_readable(split: Split, bad: Sequence[BadImage], n_images: int, max_bad_share: float) -> None:
    """Raise BadImagesError when too many of the images of a split do not decode."""
    if len(bad) > max_bad_share * n_images:
        raise BadImagesError(
            f"{len(bad)} of {n_images} {split} images do not decode; the first is {bad[0].key!r}: {bad[0].reason}. "
            "Mend them or raise dataset.max_bad_share"
        )


def refuse_unreadable(image: BadImage) -> NoReturn:
    """Raise DatasetChangedError for an image that could be decoded when its latent was made."""
    raise DatasetChangedError(f"{image.key!r} was read before and now does not decode: {image.reason}")


def _decode_ahead(
    encoded: Iterator[Encoded], decode_one: Callable[[Encoded], Sample | BadImage], n_threads: int
) -> Generator[Sample | BadImage, None, None]:
    """Decode in threads and yield in order, with a bounded number of images between the reader and the consumer."""
    pool, window = ThreadPoolExecutor(n_threads, "decode"), deque[Future[Sample | BadImage]]()
    try:
        for image in encoded:
            window.append(pool.submit(decode_one, image))
            if len(window) >= _AHEAD * n_threads:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(encoded: Encoded, resolution: int, aspect: Aspect) -> Sample | BadImage:
    try:
        data = encoded.load()
        image, size = decode(data, resolution, aspect)
    except UnreadableImageError as error:
        return BadImage(encoded.key, str(error))
    pixels = torch.from_numpy(np.array(image).transpose(2, 0, 1).copy())
    return Sample(encoded.key, pixels, encoded.label, size, len(data))


def _refuse_size() -> NoReturn:
    raise UnreadableImageError(f"the file is larger than the {MAX_BYTES >> 20} MiB that are read")
