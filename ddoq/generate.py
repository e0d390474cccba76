"""Codebooks -> images on disk: what the prior makes of each codeword, or the real image that it is."""

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
from ddoq.events import Event, OnEvent, Stage
from ddoq.images import encode_png, fit_square, fit_squares
from ddoq.manifests import read_manifest, write_manifest
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
    """Open what `generate` or `show` wrote."""
    return Images(folder, read_manifest(folder, ImagesManifest))


def generate(books: Codebooks, prior: LatentPrior, config: DistillConfig, folder: Path, on_event: OnEvent) -> Images:
    """Denoise and decode every centroid and write the images into `folder`, the manifest last.

    The noise of an image depends on the seed, its class and its number only, so that neither the size of a batch nor
    what else is generated changes it beyond rounding. Batches run across classes; memory holds one of them, and one
    that the device's memory does not hold is halved.

    Raises:
        OutOfMemoryError: the device's memory does not hold the work on one image.
    """
    n_done, n_images = 0, sum(books.budget.counts)

    def paint(batch: Sequence[Codeword]) -> UInt8[Tensor, "b 3 r r"]:
        return fit_squares(prior.decode(_denoised(batch, prior, config)), config.output_resolution)

    def on_smaller(size: int) -> None:
        on_event(Event(Stage.GENERATE, n_done, n_images, {"batch_size": size}))

    for batch, pictures in in_batches(_codewords(books), prior.batch_size, paint, on_smaller):
        for codeword, picture in zip(batch, pictures, strict=True):
            _write(folder, codeword.label, codeword.number, encode_png(picture))
        n_done += len(batch)
        on_event(Event(Stage.GENERATE, n_done, n_images))
    return _close(books, config, folder)


def show(books: Codebooks, dataset: Dataset, config: DistillConfig, folder: Path, on_event: OnEvent) -> Images:
    """Write the real image that each codeword is into `folder`, the manifest last.

    Raises:
        DatasetChangedError: an image that was encoded does not decode any more, or is gone.
    """
    places = {
        key: (label, number)
        for label, entry in enumerate(books.manifest.classes)
        for number, key in enumerate(entry.medoids)
    }
    n_done = 0
    for sample in dataset.samples("train", config.output_resolution, refuse_unreadable, places.keys()):
        _write(folder, *places[sample.key], encode_png(sample.image))
        n_done += 1
        on_event(Event(Stage.GENERATE, n_done, len(places)))
    if n_done < len(places):
        raise DatasetChangedError(f"{len(places) - n_done} images that were encoded are no longer in the dataset")
    return _close(books, config, folder)


def _codewords(books: Codebooks) -> Iterator[Codeword]:
    for label in range(len(books.manifest.classes)):
        for number, z in enumerate(books.of_class(label).centroids):
            yield Codeword(label, number, z)


def _denoised(batch: Sequence[Codeword], prior: LatentPrior, config: DistillConfig) -> Float[Tensor, "b d"]:
    z = torch.stack([codeword.z for codeword in batch])
    sampler = config.resolved_sampler
    if sampler.strength == 0 or not isinstance(prior, Denoiser):
        return z
    labels = torch.tensor([codeword.label for codeword in batch])
    rngs = [stream(config.seed, "generate", codeword.label, codeword.number) for codeword in batch]
    return prior.denoise(z, labels, sampler, rngs)


def _close(books: Codebooks, config: DistillConfig, folder: Path) -> Images:
    manifest = ImagesManifest(books.budget.counts, config.output_resolution)
    write_manifest(folder, manifest)
    return Images(folder, manifest)


def _write(folder: Path, label: int, codeword: int, png: bytes) -> None:
    file = _file(folder, label, codeword)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(png)


def _file(folder: Path, label: int, codeword: int) -> Path:
    return folder / f"{label:05d}" / f"{codeword:04d}.png"


def _read(file: Path, resolution: int) -> UInt8[Tensor, "3 r r"]:
    with Image.open(file) as image:
        return torch.from_numpy(np.array(fit_square(image, resolution))).permute(2, 0, 1).contiguous()
