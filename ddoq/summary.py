"""Scores and counts -> the report."""

from collections.abc import Mapping

import torch

from ddoq.codebooks import Codebooks
from ddoq.config import DistillConfig
from ddoq.datasets import BadImage, Dataset
from ddoq.errors import BadImagesError
from ddoq.latents import Latents, LatentsManifest
from ddoq.seeds import stream
from ddoq.types import Report, Score
from ddoq.wasserstein import measure_w2

NAMED = 5
W2_CLASSES, W2_ROWS = 20, 1000  # at most, and rows of each: exact transport stays below a second a class


def summarize(
    config: DistillConfig,
    dataset: Dataset,
    latents: Latents,
    books: Codebooks,
    scores: Mapping[str, Score],
    bad_test: list[BadImage],
) -> Report:
    """Put together what there is to say about a distilled set.

    Raises:
        BadImagesError: too many of the test images do not decode.
    """
    n_test, n_distilled = sum(dataset.counts["test"]), len(dataset.class_names) * config.images_per_class
    if len(bad_test) > config.dataset.max_bad_share * n_test:
        raise BadImagesError(
            f"{len(bad_test)} of {n_test} test images do not decode; the first is {bad_test[0].key!r}: "
            f"{bad_test[0].reason}. Mend them or raise dataset.max_bad_share"
        )
    by_class = dict(zip(dataset.class_names, books.manifest.classes, strict=True))
    weights = {name: tuple(books.of_class(label).weights.tolist()) for label, name in enumerate(dataset.class_names)}
    encoded, n_train = latents.manifest, sum(latents.manifest.counts)
    figures = {
        "classes": len(dataset.class_names),
        "train_images": n_train,
        "test_images": n_test - len(bad_test),
        "distilled_images": n_distilled,
        "train_images_per_distilled_image": n_train / n_distilled,
        "unreadable_images": encoded.n_bad + len(bad_test),
        "distortion": _mean_distortion(encoded, books),
        **_w2_figures(config, latents, books),
    }
    return Report(
        accuracy=scores,
        distortion={name: entry.distortion for name, entry in by_class.items()},
        weights=weights,
        figures=figures,
        remarks=tuple(_remarks(config, dataset, encoded, bad_test)),
    )


def _mean_distortion(latents: LatentsManifest, books: Codebooks) -> float:
    """Mean squared distance of a training latent to its centroid, over all classes."""
    sums = [n * entry.distortion for n, entry in zip(latents.counts, books.manifest.classes, strict=True)]
    return sum(sums) / sum(latents.counts)


def _w2_figures(config: DistillConfig, latents: Latents, books: Codebooks) -> dict[str, float]:
    """Mean squared W2 of drawn classes and rows to their codebooks, weighted and uniform."""
    order = torch.randperm(len(latents.manifest.counts), generator=stream(config.seed, "w2"))
    classes = (
        (latents.of_class(label), books.of_class(label), stream(config.seed, "w2", label))
        for label in sorted(order[:W2_CLASSES].tolist())
    )
    w2 = measure_w2(classes, W2_ROWS)
    return {
        "w2.weighted": w2.weighted,
        "w2.uniform": w2.uniform,
        "w2.classes": w2.n_classes,
        "w2.rows_of_a_class_at_most": w2.n_rows,
    }


def _remarks(config: DistillConfig, dataset: Dataset, latents: LatentsManifest, bad_test: list[BadImage]) -> list[str]:
    """Everything that was done to the dataset without being asked for."""
    remarks = []
    if dataset.held_out:
        share = sum(dataset.counts["test"]) / (sum(dataset.counts["test"]) + sum(dataset.counts["train"]))
        remarks.append(f"The dataset has no test split: {share:.0%} of each class was held out before anything else.")
    if latents.n_resized:
        span = " to ".join(dict.fromkeys(f"{width} x {height}" for width, height in latents.sizes))
        side = config.prior.resolution
        remarks.append(
            f"{latents.n_resized} of {sum(latents.counts)} training images ({span} pixels) were brought to "
            f"{side} x {side}: the middle square, resized."
        )
    bad = (*latents.bad, *bad_test)
    if n_bad := latents.n_bad + len(bad_test):
        named = ", ".join(f"{image.key} ({image.reason})" for image in bad[:NAMED])
        remarks.append(f"{n_bad} images do not decode and were skipped: {named}{', ...' if n_bad > NAMED else '.'}")
    remarks += [f"Left out: {sentence}." for sentence in dataset.left_out]
    return remarks
