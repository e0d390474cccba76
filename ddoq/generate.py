"""Codebooks -> images on disk: what the prior makes of each codeword, or the real image that it is."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from ddoq.batches import in_batches
from ddoq.codebooks import Codebooks
from ddoq.config import DistillConfig
from ddoq.datasets import Dataset, refuse_unreadable
from ddoq.errors import DatasetChangedError
from ddoq.events import OnEvent, Stage, Tally
from ddoq.image_index import image_path
from ddoq.images import encode_png, fit_squares
from ddoq.manifests import read_manifest, write_manifest
from ddoq.pictures import fit_square
from ddoq.prior import Denoiser, LatentPrior
from ddoq.seeds import stream


@dataclass(frozen=True)
class ImagesManifest:
    """How many images of each class the generate stage made, and their side in pixels."""

    counts: tuple[int, ...]
    resolution: int


@dataclass(frozen=True)
class Images:
    """The images of one budget of a complete generate stage, in the order of the codewords."""

    folder: Path
    manifest: ImagesManifest

    def file(self, label: int, codeword: int) -> Path:
        """PNG file of one image."""
        return _file(self.folder, label, codeword)

    def of_class(self, label: int, resolution: int) -> UInt8[Tensor, "k 3 h h"]:
        """Read the images of a class back, resized to `resolution`."""
        files = (self.file(label, codeword) for codeword in range(self.manifest.counts[label]))
        return torch.stack([_read(file, resolution) for file in files])


@dataclass(frozen=True)
class Codeword:
    """One point of a codebook, to be made an image of."""

    label: int
    number: int
    z: Float[Tensor, " d"]


def open_images(folder: Path) -> Images:
    """Open what the generate stage wrote."""
    return Images(folder, read_manifest(folder, ImagesManifest))


@dataclass(frozen=True)
class Stretch:
    """Codewords of one budget, by their places when its classes follow one another, and the folder for their images."""

    books: Codebooks
    places: range
    folder: Path

    @classmethod
    def whole(cls, books: Codebooks, folder: Path) -> "Stretch":
        """All codewords of a budget."""
        return cls(books, range(sum(books.budget.counts)), folder)

    def numbers(self) -> Iterator[tuple[int, range]]:
        """The classes that it touches, and the numbers of its codewords in each."""
        first = 0
        for label, count in enumerate(self.books.budget.counts):
            numbers = range(max(0, self.places.start - first), min(count, self.places.stop - first))
            if numbers:
                yield label, numbers
            first += count

    def codewords(self) -> Iterator[Codeword]:
        """Read the codewords, a class at a time."""
        for label, numbers in self.numbers():
            centroids = self.books.of_class(label).centroids
            for number in numbers:
                yield Codeword(label, number, centroids[number])

    def write(self, label: int, codeword: int, image: UInt8[Tensor, "3 r r"]) -> None:
        """Write the image of one codeword."""
        file = _file(self.folder, label, codeword)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode_png(image))


@dataclass(frozen=True)
class Painter:
    """What the prior makes of codewords, `batch_size` at a time.

    The noise of an image depends on the seed, its class and its number only, so that neither the size of a batch nor
    what else is generated changes it beyond rounding.
    """

    prior: LatentPrior
    config: DistillConfig
    batch_size: int

    def paint(self, stretch: Stretch, tally: Tally) -> None:
        """Denoise and decode codewords, and write their images.

        Batches run across classes; memory holds one of them, and one that the device's memory does not hold is halved.

        Raises:
            OutOfMemoryError: the device's memory does not hold the work on one image.
        """

        def on_smaller(size: int) -> None:
            tally.add(0, {"batch_size": size})

        for batch, pictures in in_batches(stretch.codewords(), self.batch_size, self._paint_batch, on_smaller):
            for codeword, picture in zip(batch, pictures, strict=True):
                stretch.write(codeword.label, codeword.number, picture)
            tally.add(len(batch))

    def _paint_batch(self, batch: Sequence[Codeword]) -> UInt8[Tensor, "b 3 r r"]:
        return fit_squares(self.prior.decode(_denoised(batch, self.prior, self.config)), self.config.output_resolution)


def generate(books: Codebooks, prior: LatentPrior, config: DistillConfig, folder: Path, on_event: OnEvent) -> Images:
    """Denoise and decode every centroid of a budget and write the images into `folder`, the manifest last.

    Raises:
        OutOfMemoryError: as for `Painter.paint`.
    """
    whole = Stretch.whole(books, folder)
    Painter(prior, config, prior.batch_size).paint(whole, Tally(on_event, Stage.GENERATE, len(whole.places)))
    return close_images(folder, books.budget.counts, config)


def show(books: Codebooks, dataset: Dataset, config: DistillConfig, folder: Path, on_event: OnEvent) -> Images:
    """Write the real image that each codeword of a budget is into `folder`, the manifest last.

    Raises:
        DatasetChangedError: as for `show_all`.
    """
    whole = Stretch.whole(books, folder)
    for _ in show_all((whole,), dataset, config, Tally(on_event, Stage.GENERATE, len(whole.places))):
        pass
    return close_images(folder, books.budget.counts, config)


def show_all(stretches: Sequence[Stretch], dataset: Dataset, config: DistillConfig, tally: Tally) -> Iterator[Stretch]:
    """Write the real images that codewords are, in one pass over the dataset; yield each stretch when it is complete.

    Raises:
        DatasetChangedError: an image that was encoded does not decode any more, or is gone.
    """
    shown: dict[str, list[tuple[Stretch, int, int]]] = defaultdict(list)
    for stretch in stretches:
        for label, numbers in stretch.numbers():
            for number in numbers:
                shown[stretch.books.manifest.classes[label].medoids[number]].append((stretch, label, number))
    left = {stretch.folder: len(stretch.places) for stretch in stretches}
    for sample in dataset.samples("train", config.output_resolution, refuse_unreadable, shown.keys()):
        for stretch, label, number in shown.pop(sample.key):
            stretch.write(label, number, sample.image)
            left[stretch.folder] -= 1
            if not left[stretch.folder]:
                yield stretch
            tally.add(1)
    if shown:
        raise DatasetChangedError(f"{len(shown)} images that were encoded are no longer in the dataset")


def close_images(folder: Path, counts: Sequence[int], config: DistillConfig) -> Images:
    """Write the manifest behind the images of a budget, `counts` of the classes."""
    manifest = ImagesManifest(tuple(counts), config.output_resolution)
    write_manifest(folder, manifest)
    return Images(folder, manifest)


def _denoised(batch: Sequence[Codeword], prior: LatentPrior, config: DistillConfig) -> Float[Tensor, "b d"]:
    z = torch.stack([codeword.z for codeword in batch])
    sampler = config.resolved_sampler
    if sampler.strength == 0 or not isinstance(prior, Denoiser):
        return z
    labels = torch.tensor([codeword.label for codeword in batch])
    rngs = [stream(config.seed, "generate", codeword.label, codeword.number) for codeword in batch]
    return prior.denoise(z, labels, sampler, rngs)


def _file(folder: Path, label: int, codeword: int) -> Path:
    return folder / image_path(label, codeword)


def _read(file: Path, resolution: int) -> UInt8[Tensor, "3 r r"]:
    with Image.open(file) as image:
        return torch.from_numpy(np.array(fit_square(image, resolution))).permute(2, 0, 1).contiguous()
