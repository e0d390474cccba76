"""Dataset URI -> Dataset: class names, counts, and samples that stream. Stage 1, read.

Listing loads neither torch nor Pillow, and pyarrow only for Parquet; the first image that streams loads the rest.
"""

from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn, Protocol, runtime_checkable

from ddoq.containers import Container
from ddoq.dataset_config import DatasetConfig, Format
from ddoq.errors import BadImagesError, DatasetChangedError, EmptyClassError
from ddoq.formats import Arranged, Shares, read_format
from ddoq.image_rules import MAX_BYTES, TOO_LARGE, Aspect, BadImage, UnreadableImageError
from ddoq.layouts import Encoded, Layout
from ddoq.left_out import LeftOut
from ddoq.sources import Access, Load, Member, open_source
from ddoq.splits import Split

if TYPE_CHECKING:
    from ddoq.types import Sample


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
    could be read in several ways; `format` is how it is read. `fingerprint` (SHA-256, hex) changes when names, sizes or
    content change: by CRC in a zip, by ETag in S3, otherwise by modification time. `aspect` is how an oblong image
    becomes a square. `n_bytes` are those of all encoded images of all splits; of Parquet, those of its files. Only
    names and sizes of the images are kept in memory.
    """

    class_names: tuple[str, ...]
    counts: Mapping[Split, tuple[int, ...]]
    held_out: bool
    left_out: tuple[str, ...]
    fingerprint: str
    reader: Reader = field(repr=False)
    aspect: Aspect = "crop"
    n_bytes: int = 0
    remarks: tuple[str, ...] = ()
    format: Format = "folders"

    def samples(
        self,
        split: Split,
        resolution: int,
        on_bad: Callable[[BadImage], None],
        keys: Collection[str] | None = None,
    ) -> "Iterator[Sample]":
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
    ) -> "Generator[Sample | BadImage, None, None]":
        """Stream the images of a split as `samples` does, each that cannot be decoded in its turn.

        Args:
            split: Which part.
            resolution: Side in pixels of the square RGB images.
            keys: The samples wanted; None is all of them.
            places: Of the images of the split in their order, only these; None is all of them.

        Raises:
            DatasetChangedError, DamagedArchiveError: as for `samples`.
        """
        from ddoq.streaming import decode_ahead

        wanted = None if keys is None else frozenset(keys)
        with (
            self.reader.opened(split, wanted, places) as encoded,
            closing(decode_ahead(encoded, resolution, self.aspect, self.reader.n_threads)) as results,
        ):
            yield from results


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
                load = find(member) if member.size <= MAX_BYTES else _refuse_size
                yield Encoded(key, label, load, member.size)

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
    source = open_source(config.uri, access)
    images, left_out = read_format(source, config, shares, LeftOut())
    if isinstance(images, Arranged):
        reader: Reader = FolderReader(images.container, images.layout)
        names, held_out, n_bytes = images.layout.class_names, images.layout.held_out, images.layout.n_bytes
        kind = images.format
        counts = {split: tuple(map(len, members)) for split, members in images.layout.members.items()}
    else:
        reader, names, held_out, n_bytes = images, images.class_names, images.held_out, images.n_bytes
        kind = "parquet"
        counts = {split: images.counts(split) for split in images.parts}
    rest = (*source.left_out, *left_out.sentences())
    mark, remarks = images.fingerprint, left_out.remarks
    return Dataset(names, counts, held_out, rest, mark, reader, config.aspect, n_bytes, remarks, kind)


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


def _refuse_size() -> NoReturn:
    raise UnreadableImageError(TOO_LARGE)
