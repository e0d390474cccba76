"""A small distillation of classes with different numbers of images, finished up to its evaluation: real files."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from ddoq.archive import Recipe
from ddoq.codebooks import Codebooks
from ddoq.config import DistillConfig
from ddoq.datasets import Dataset, open_dataset
from ddoq.evaluate import score
from ddoq.events import Stage, ignore
from ddoq.generate import Images, ImagesManifest
from ddoq.here import environment_here
from ddoq.images import encode_png
from ddoq.latents import Latents, LatentsManifest, Shard
from ddoq.measures import Measured, measure
from ddoq.network_config import NetworkConfig
from ddoq.package import Contents
from ddoq.prior.pixels import Pixels
from ddoq.protocols import QUICK
from ddoq.quantize_stage import quantize_all
from ddoq.summary import summarize
from ddoq.types import Scores
from tests.pictures import access_to, members, write_folder

CLASSES = ("cat", "dog", "eel")
COUNTS = (2, 5, 3)
SIDE = 8
SCORES = Scores(
    by_network={"convnet-3": {"distilled": score([0.9, 0.91]), "random real": score([0.8, 0.81])}},
    by_class={"distilled": (0.9, None, 1.0), "random real": (0.8, None, 0.8)},
)
RECIPE = Recipe(
    protocol=replace(QUICK, steps=10, batch_sizes=((1, 8),), networks=(NetworkConfig("convnet-3", width=8),)),
    n_images=sum(COUNTS),
    n_classes=len(CLASSES),
    resolution=SIDE,
    seed=0,
    mean=(0.5, 0.5, 0.5),
    deviation=(0.3, 0.3, 0.3),
    networks=("convnet-3",),
    loss="cross-entropy times weight",
    optimizer="AdamW",
    schedule="falling",
    augmentation="shifts",
    steps=10,
    batch_size=8,
)

PROVENANCE = {stage: (environment_here(),) for stage in (Stage.READ, Stage.PACKAGE)}


@dataclass(frozen=True)
class Finished:
    """Everything that the stages before evaluation left for one budget."""

    config: DistillConfig
    dataset: Dataset
    latents: Latents
    books: Codebooks
    images: Images

    def measured(self) -> Measured:
        return Measured(self.config, CLASSES, self.latents, self.books, self.images, lambda: Pixels(SIDE))

    def contents(self) -> Contents:
        found = measure(self.measured())
        report = summarize(self.config, self.dataset, self.latents, self.books, SCORES, [], found)
        return Contents(self.config, CLASSES, self.books, self.images, report, RECIPE, PROVENANCE)


def finish(folder: Path, **changes: object) -> tuple[Finished, ...]:
    """Distil three classes of twelve images of 16 x 16 pixels, by default to two, five and three images."""
    config = config_of(write_folder(folder / "data", members(CLASSES, n_train=12)), **changes)
    dataset = open_dataset(config.dataset, access_to(folder), config.validation_share)
    latents = _encode(dataset, folder / "latents")
    every = quantize_all(latents, CLASSES, config, folder / "books", ignore)
    return tuple(
        Finished(config, dataset, latents, books, _paint(books, config, folder / "images" / books.budget.name))
        for books in every
    )


def config_of(uri: str, **changes: object) -> DistillConfig:
    body = {
        "dataset": {"uri": uri},
        "images_per_class": dict(zip(CLASSES, COUNTS, strict=True)),
        "prior": {"kind": "pixels", "resolution": SIDE},
        "students": {"seeds": 2, "steps": 3, "width": 8, "batch_size": 8},
        **changes,
    }
    return DistillConfig.model_validate(body)


def colour(label: int, codeword: int) -> int:
    """The grey in which every pixel of an image is painted, so that it is known again."""
    return (100 * label + 10 * codeword) % 256


def _encode(dataset: Dataset, folder: Path) -> Latents:
    """Take the pixels as latents."""
    folder.mkdir()
    samples = sorted(dataset.samples("train", SIDE, lambda _: None), key=lambda sample: sample.label)
    z = torch.stack([sample.image.flatten() / 127.5 - 1 for sample in samples])
    counts = tuple(torch.tensor([sample.label for sample in samples]).bincount().tolist())
    save_file({"latents": z.half()}, folder / "shard.safetensors")
    (folder / "shard.keys.json").write_text(json.dumps([sample.key for sample in samples]))
    manifest = LatentsManifest(
        dimension=z.shape[1],
        counts=counts,
        shards=(Shard("shard.safetensors", counts),),
        mean=(0.5, 0.5, 0.5),
        deviation=(0.3, 0.3, 0.3),
        sizes=((16, 16), (16, 16)),
        n_resized=len(z),
        n_bad=0,
        bad=(),
    )
    return Latents(folder, manifest)


def _paint(books: Codebooks, config: DistillConfig, folder: Path) -> Images:
    images = Images(folder, ImagesManifest(books.budget.counts, config.output_resolution))
    for label, n in enumerate(books.budget.counts):
        for codeword in range(n):
            side = config.output_resolution
            file = images.file(label, codeword)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode_png(torch.full((3, side, side), colour(label, codeword), dtype=torch.uint8)))
    return images
