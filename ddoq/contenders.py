"""Who is compared with the distilled set, at equal compute: its images otherwise weighted, medoids, random images."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ddoq.codebooks import Codebooks
from ddoq.config import DistillConfig
from ddoq.contender_names import DISTILLED, LEARN_FROM_TEACHER, MEDOIDS, RANDOM, SAME_LABELS, WEIGHTED, other_weights
from ddoq.datasets import Dataset, refuse_unreadable
from ddoq.generate import Images
from ddoq.image_rules import BadImage
from ddoq.labels import SoftLabels
from ddoq.latents import Latents
from ddoq.methods import Weighting
from ddoq.seeds import stream
from ddoq.splits import Split
from ddoq.types import TrainingSet
from ddoq.weights import training_weights

TEST_BATCH = 256

Choice = Sequence[Sequence[str]]  # keys of real images, class by class


def gather_contenders(
    config: DistillConfig,
    dataset: Dataset,
    latents: Latents,
    books: Codebooks,
    images: Images,
    soft_labels: SoftLabels | None = None,
    only: Collection[str] | None = None,
) -> dict[str, tuple[TrainingSet, ...]]:
    """Load the training sets of every contender, `config.n_draws` of each; only the random ones differ among them.

    All have as many images of each class as the budget gives it. Rivals that are the distilled set itself are left
    out: weights where they come to the same, medoids where the images are real. With soft labels, random images compete
    with and without. Full evaluation has every way to weigh the distilled images, other evaluation only equal weights.
    Where contenders are named in `only`, no others are loaded.
    """

    def is_asked(name: str) -> bool:
        return only is None or name in only

    weighings = {name: weights for name, weights in _weighings(config, books).items() if is_asked(name)}
    medoids = [entry.medoids for entry in books.manifest.classes] if is_asked(MEDOIDS) else []
    if config.parts.canvas == "real":
        medoids = []
    n_draws = config.n_draws if is_asked(RANDOM) or is_asked(SAME_LABELS) else 0
    draws = [draw_random(config, latents, books.budget.counts, seed) for seed in range(n_draws)]
    keys = {key for choice in (medoids, *draws) for keys in choice for key in keys}
    real = _read_real(dataset, config.student_resolution, keys) if keys else {}
    contenders = _weigh(images, weighings, config)
    if medoids:
        contenders[MEDOIDS] = (_real_set(medoids, real),) * config.n_draws
    if draws:
        contenders[RANDOM] = tuple(_real_set(draw, real) for draw in draws)
    if soft_labels is not None:
        contenders = _with_soft_labels(contenders, soft_labels)
    return {name: sets for name, sets in contenders.items() if is_asked(name)}


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


def _weighings(config: DistillConfig, books: Codebooks) -> dict[str, Float[Tensor, " m"]]:
    """Weigh the distilled images in every way that competes, but for those that come to the same as others."""
    found = {DISTILLED: _weights(config.parts.weights, books)}
    for other in other_weights(config):
        weights = _weights(other, books)
        if not any(torch.equal(weights, known) for known in found.values()):
            found[WEIGHTED[other]] = weights
    return found


def _weigh(
    images: Images, weighings: Mapping[str, Float[Tensor, " m"]], config: DistillConfig
) -> dict[str, tuple[TrainingSet, ...]]:
    """Load the distilled images, if there are ways to weigh them, and make a contender of each way."""
    if not weighings:
        return {}
    counts = images.manifest.counts
    pictures = torch.cat([images.of_class(label, config.student_resolution) for label in range(len(counts))])
    return {name: (_training_set(pictures, weights, counts),) * config.n_draws for name, weights in weighings.items()}


def _with_soft_labels(
    contenders: Mapping[str, tuple[TrainingSet, ...]], soft_labels: SoftLabels
) -> dict[str, tuple[TrainingSet, ...]]:
    """Put the teacher's labels to the distilled images, and to the random ones as one more contender."""
    labelled = dict(contenders)
    for name in LEARN_FROM_TEACHER & contenders.keys():
        labelled[name] = tuple(replace(data, soft_labels=soft_labels.distilled) for data in contenders[name])
    if RANDOM in contenders:
        labelled[SAME_LABELS] = tuple(
            replace(data, soft_labels=labels)
            for data, labels in zip(contenders[RANDOM], soft_labels.random, strict=True)
        )
    return labelled


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
