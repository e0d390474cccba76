"""Scores and counts -> the report."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice

from ddoq.citations import cite
from ddoq.codebooks import ClassEntry, Codebooks
from ddoq.config import DistillConfig
from ddoq.datasets import Dataset, require_readable
from ddoq.image_rules import BadImage
from ddoq.latents import Latents, LatentsManifest
from ddoq.measures import Measures
from ddoq.types import Report, Scores

NAMED = 5
AS_SQUARE: Mapping[str, str] = {"crop": "the middle square", "pad": "the whole on grey bars"}
NOTHING_MEASURED = Measures()


def summarize(
    config: DistillConfig,
    dataset: Dataset,
    latents: Latents,
    books: Codebooks,
    scores: Scores,
    bad_test: list[BadImage],
    measures: Measures = NOTHING_MEASURED,
) -> Report:
    """Put together what there is to say about a distilled set, and cite what it was made and measured by.

    Raises:
        BadImagesError: too many of the test images do not decode.
    """
    n_test = sum(dataset.counts["test"])
    require_readable("test", bad_test, n_test, config.dataset.max_bad_share)
    by_class = dict(zip(dataset.class_names, books.manifest.classes, strict=True))
    weights = {name: tuple(books.of_class(label).weights.tolist()) for label, name in enumerate(dataset.class_names)}
    figures = {
        **_count_figures(latents.manifest, books),
        **({"test_images": n_test - len(bad_test)} if scores.accuracy else {}),
        "unreadable_images": latents.manifest.n_bad + len(bad_test) + scores.n_bad,
        **_resolution_figures(config),
        "distortion": _mean_distortion(latents.manifest, books),
        **scores.figures,
        **measures.figures,
    }
    report = Report(
        accuracy=scores.accuracy,
        distortion={name: entry.distortion for name, entry in by_class.items()},
        weights=weights,
        figures=figures,
        remarks=(
            *_on_reading(dataset, latents.manifest, bad_test),
            *_on_sizes(config, latents.manifest),
            *_on_memory(latents.manifest, by_class),
            *scores.remarks,
            *(f"{sentence}." for sentence in dataset.remarks),
            *(f"Left out: {sentence}." for sentence in dataset.left_out),
        ),
        by_network=scores.by_network if len(scores.by_network) > 1 else {},
        by_class={name: _named(shares, dataset.class_names) for name, shares in scores.by_class.items()},
        calibration=scores.calibration,
        tuning=scores.tuning,
        latent_map=measures.latent_map,
        history=measures.history,
    )
    return replace(report, citations=cite(config, report))


def _named(shares: Iterable[float | None], class_names: Iterable[str]) -> dict[str, float]:
    """By class, but those of which there was no test image."""
    return {name: share for name, share in zip(class_names, shares, strict=True) if share is not None}


def _count_figures(latents: LatentsManifest, books: Codebooks) -> dict[str, float]:
    """How many images stand for how many."""
    counts = books.budget.counts
    return {
        "classes": len(counts),
        "train_images": sum(latents.counts),
        "distilled_images": sum(counts),
        "images_per_class.least": min(counts),
        "images_per_class.most": max(counts),
        "train_images_per_distilled_image": sum(latents.counts) / sum(counts),
    }


def _resolution_figures(config: DistillConfig) -> dict[str, float]:
    """Sides in pixels of what the encoder saw, the decoder made, the archive holds and students saw."""
    decoder = {} if config.parts.canvas == "real" else {"resolution.decoder": config.prior.resolution}
    return {
        "resolution.encoder": config.prior.resolution,
        **decoder,
        "resolution.archive": config.output_resolution,
        "resolution.students": config.student_resolution,
    }


def _mean_distortion(latents: LatentsManifest, books: Codebooks) -> float:
    """Mean squared distance of a training latent to its centroid, over all classes."""
    sums = [n * entry.distortion for n, entry in zip(latents.counts, books.manifest.classes, strict=True)]
    return sum(sums) / sum(latents.counts)


def _on_reading(dataset: Dataset, latents: LatentsManifest, bad_test: list[BadImage]) -> Iterator[str]:
    """Which images became test data, and which were of no use."""
    if dataset.held_out:
        share = sum(dataset.counts["test"]) / sum(map(sum, dataset.counts.values()))
        yield f"The dataset has no test split: {share:.0%} of each class was held out before anything else."
    if "validation" in dataset.counts:
        n_held = sum(dataset.counts["validation"])
        share = n_held / (n_held + sum(dataset.counts["train"]))
        yield f"{share:.0%} of each class's training images were held out as validation before anything else."
    if n_bad := latents.n_bad + len(bad_test):
        named = ", ".join(f"{image.key} ({image.reason})" for image in (*latents.bad, *bad_test)[:NAMED])
        yield f"{n_bad:,} images do not decode and were skipped: {named}{', ...' if n_bad > NAMED else '.'}"


def _on_sizes(config: DistillConfig, latents: LatentsManifest) -> Iterator[str]:
    """How images came to the sides they have."""
    encoder, output = config.prior.resolution, config.output_resolution
    if latents.n_resized:
        span = " to ".join(dict.fromkeys(f"{width} x {height}" for width, height in latents.sizes))
        yield (
            f"{latents.n_resized:,} of {sum(latents.counts):,} training images ({span} pixels) were brought to "
            f"{encoder} x {encoder}: {AS_SQUARE[config.dataset.aspect]}, resized by Lanczos."
        )
    if output == encoder:
        return
    if config.parts.canvas == "real":
        yield f"The distilled images are the dataset's own, of {output} pixels; the encoder saw them at {encoder}."
    else:
        yield f"The distilled images were resized from {encoder} to {output} pixels by Lanczos."


def _on_memory(latents: LatentsManifest, by_class: Mapping[str, ClassEntry]) -> Iterator[str]:
    """What was done otherwise because memory was short."""
    if latents.smaller_batch:
        yield f"Memory was short: images were encoded {latents.smaller_batch} at a time, fewer than were asked for."
    told = {name: entry.remark for name, entry in by_class.items() if entry.remark}
    for name, remark in islice(told.items(), NAMED):
        yield f"Class {name!r} is {remark}."
    if len(told) > NAMED:
        yield f"So are {len(told) - NAMED:,} more classes."
