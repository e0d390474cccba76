"""Codebooks -> images on disk."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from ddoq.codebooks import Codebooks
from ddoq.config import DistillConfig
from ddoq.events import Event, OnEvent, Stage
from ddoq.images import encode_png, fit_square
from ddoq.manifests import read_manifest, write_manifest
from ddoq.prior import LatentPrior


@dataclass(frozen=True)
class ImagesManifest:
    """How many images of which side in pixels the generate stage made."""

    n_classes: int
    images_per_class: int
    resolution: int


@dataclass(frozen=True)
class Images:
    """The images of a complete generate stage, in the order of the codewords."""

    folder: Path
    manifest: ImagesManifest

    def file(self, label: int, codeword: int) -> Path:
        """PNG file of one image."""
        return _file(self.folder, label, codeword)

    def of_class(self, label: int, resolution: int) -> UInt8[Tensor, "k 3 h h"]:
        """Read the images of a class back, resized to `resolution`."""
        files = (self.file(label, codeword) for codeword in range(self.manifest.images_per_class))
        return torch.stack([_read(file, resolution) for file in files])


def open_images(folder: Path) -> Images:
    """Open what `generate` wrote."""
    return Images(folder, read_manifest(folder, ImagesManifest))


def generate(books: Codebooks, prior: LatentPrior, config: DistillConfig, folder: Path, on_event: OnEvent) -> Images:
    """Decode every centroid and write the images into `folder`, the manifest last."""
    n_classes, k = len(books.manifest.classes), config.images_per_class
    for label in range(n_classes):
        _file(folder, label, 0).parent.mkdir(parents=True, exist_ok=True)
        codeword = 0
        for z in books.of_class(label).centroids.split(prior.batch_size):
            for image in _resize(prior.decode(z), config.output_resolution):
                _file(folder, label, codeword).write_bytes(encode_png(image))
                codeword += 1
            on_event(Event(Stage.GENERATE, label * k + codeword, n_classes * k))
    manifest = ImagesManifest(n_classes, k, config.output_resolution)
    write_manifest(folder, manifest)
    return Images(folder, manifest)


def _file(folder: Path, label: int, codeword: int) -> Path:
    return folder / f"{label:05d}" / f"{codeword:04d}.png"


def _resize(images: UInt8[Tensor, "b 3 h h"], resolution: int) -> UInt8[Tensor, "b 3 r r"]:
    if images.shape[-1] == resolution:
        return images
    return torch.stack([_to_tensor(fit_square(_to_image(image), resolution)) for image in images])


def _read(file: Path, resolution: int) -> UInt8[Tensor, "3 r r"]:
    with Image.open(file) as image:
        return _to_tensor(fit_square(image, resolution))


def _to_image(image: UInt8[Tensor, "3 h h"]) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())


def _to_tensor(image: Image.Image) -> UInt8[Tensor, "3 r r"]:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
