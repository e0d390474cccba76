"""Who is compared with the distilled set, at equal compute: its images otherwise weighted, medoids, random images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from types import MappingProxyType

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ddoq.codebooks import Codebooks
from ddoq.comparison import DISTILLED, MEDOIDS, RANDOM, SAME_LABELS
from ddoq.config import DistillConfig
from ddoq.datasets import BadImage, Dataset, refuse_unreadable
from ddoq.generate import Images
from ddoq.labels import SoftLabels
from ddoq.latents import Latents
from ddoq.layouts import Split
from ddoq.methods import Weighting
from ddoq.seeds import stream
from ddoq.types import TrainingSet
from ddoq.weights import training_weights

TEST_BATCH = 256
WEIGHTED: Mapping[Weighting, str] = MappingProxyType(
    {"uniform": "uniform weights", "share": "share weights", "sqrt": "sqrt weights"}
)

Choice = Sequence[Sequence[str]]  # keys of real images, class by class


def gather_contenders(
    config: DistillConfig,
    dataset: Dataset,
    latents: Latents,
    books: Codebooks,
    images: Images,
    soft_labels: SoftLabels | None = None,
) -> dict[str, tuple[TrainingSet, ...]]:
    """Load the training sets of every contender, `config.n_draws` of each; only the random ones differ among them.

    All have as many images of each class as the budget gives it. Rivals that are the distilled set itself are left
    out: weights where they come to the same, medoids where the images are real. With soft labels, random images compete
    with and without. Full evaluation has every way to weigh the distilled images, other evaluation only equal weights.
    """
    parts, n_seeds, resolution = config.parts, config.n_draws, config.student_resolution
    medoids = [] if parts.canvas == "real" else [entry.medoids for entry in books.manifest.classes]
    draws = [draw_random(config, latents, books.budget.counts, seed) for seed in range(n_seeds)]
    real = _read_real(dataset, resolution, {key for choice in (medoids, *draws) for keys in choice for key in keys})
    counts = images.manifest.counts
    pictures = torch.cat([images.of_class(label, resolution) for label in range(len(counts))])
    contenders = {DISTILLED: (_training_set(pictures, _weights(parts.weights, books), counts),) * n_seeds}
    for other in _other_weights(config):
        weights = _weights(other, books)
        if not any(torch.equal(weights, sets[0].weights) for sets in contenders.values()):
            contenders[WEIGHTED[other]] = (_training_set(pictures, weights, counts),) * n_seeds
    if medoids:
        contenders[MEDOIDS] = (_real_set(medoids, real),) * n_seeds
    contenders[RANDOM] = tuple(_real_set(draw, real) for draw in draws)
    return contenders if soft_labels is None else _with_soft_labels(contenders, soft_labels)


def draw_random(config: DistillConfig, latents: Latents, counts: Sequence[int], seed: int) -> Choice:
    """Draw real training images that decode, without repeats, `counts` of the classes: those of a random contender."""
    draws = []
    for label, n_wanted in enumerate(counts):
        keys = latents.keys(label)
        order = torch.randperm(len(keys), generator=stream(config.seed, "random real", label, seed))
        draws.append([keys[row] for row in order[:n_wanted].tolist()])
    return draws


def read_choice(dataset: Dataset, choice: Choice, resolution: int) -> UInt8[Tensor, "m 3 h h"]:
    """Read real training images, in the order of a training set."""
    real = _read_real(dataset, resolution, {key for keys in choice for key in keys})
    return torch.stack([real[key] for keys in choice for key in keys])


def stream_test(
    config: DistillConfig, dataset: Dataset, bad: list[BadImage], split: Split = "test"
) -> Iterator[tuple[UInt8[Tensor, "b 3 h h"], Int[Tensor, " b"]]]:
    """Yield the images of a split in batches, as students are tested on them; those that do not decode go to `bad`.

    Of images of the protocol's margin times the side, students see the middle.
    """
    side = config.student_resolution
    whole = round(side * config.resolved_protocol.test_margin)
    middle = slice((whole - side) // 2, (whole - side) // 2 + side)
    samples = dataset.samples(split, whole, bad.append)
    while batch := list(islice(samples, TEST_BATCH)):
        images = torch.stack([sample.image for sample in batch])[:, :, middle, middle]
        yield images, torch.tensor([sample.label for sample in batch])


def _with_soft_labels(
    contenders: Mapping[str, tuple[TrainingSet, ...]], soft_labels: SoftLabels
) -> dict[str, tuple[TrainingSet, ...]]:
    """Put the teacher's labels to the distilled images, and to the random ones as one more contender."""
    labelled = dict(contenders)
    for name in {DISTILLED, *WEIGHTED.values()} & contenders.keys():
        labelled[name] = tuple(replace(data, soft_labels=soft_labels.distilled) for data in contenders[name])
    labelled[SAME_LABELS] = tuple(
        replace(data, soft_labels=labels) for data, labels in zip(contenders[RANDOM], soft_labels.random, strict=True)
    )
    return labelled


def _other_weights(config: DistillConfig) -> list[Weighting]:
    """Name the ways to weigh the distilled images that are not their own."""
    own = config.parts.weights
    return [other for other in WEIGHTED if other != own and (config.evaluation == "full" or other == "uniform")]


def _weights(weighting: Weighting, books: Codebooks) -> Float[Tensor, " m"]:
    """Weigh the codewords, class after class."""
    labels = range(len(books.manifest.classes))
    return torch.cat([training_weights(books.of_class(label).counts, weighting) for label in labels])


def _read_real(dataset: Dataset, resolution: int, keys: set[str]) -> Mapping[str, Tensor]:
    return {sample.key: sample.image for sample in dataset.samples("train", resolution, refuse_unreadable, keys)}


def _real_set(choice: Choice, real: Mapping[str, Tensor]) -> TrainingSet:
    pictures = torch.stack([real[key] for keys in choice for key in keys])
    return _training_set(pictures, torch.ones(len(pictures)), [len(keys) for keys in choice])


def _training_set(pictures: Tensor, weights: Tensor, counts: Sequence[int]) -> TrainingSet:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return TrainingSet(pictures, labels, weights)
