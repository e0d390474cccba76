"""What can be measured of a distilled set without training anything: distances, coverage, bytes, and a map."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ddoq.batches import in_batches
from ddoq.codebooks import Codebooks
from ddoq.config import DistillConfig
from ddoq.coverage import NEIGHBOURS, measure_covers
from ddoq.generate import Images
from ddoq.latent_map import map_latents
from ddoq.latents import Latents
from ddoq.prior import LatentPrior
from ddoq.prior_config import PixelsPrior
from ddoq.seeds import stream
from ddoq.types import LatentMap
from ddoq.wasserstein import draw_rows, measure_w2

W2_CLASSES, W2_ROWS = 20, 1000  # at most, and rows of each: exact transport stays below a second a class
HISTORY_CLASSES = 50  # at most, as many as a plot has room for
WEIGHT_BYTES = 4  # single precision

OpenEncoder = Callable[[], LatentPrior]


@dataclass(frozen=True)
class Measures:
    """Figures by name, the map, and the distortion by pass of the first classes of which it was kept."""

    figures: Mapping[str, float] = field(default_factory=dict)
    latent_map: LatentMap | None = None
    history: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """What is measured: a budget's codebooks and images beside the latents they stand for.

    `open_encoder` is called at most once, and only where images have to be encoded. `soft_label_bytes` are those that
    the archive holds.
    """

    config: DistillConfig
    class_names: Sequence[str]
    latents: Latents
    books: Codebooks
    images: Images
    open_encoder: OpenEncoder
    soft_label_bytes: int = 0


def measure(one: Measured) -> Measures:
    """Measure the distilled set of one budget.

    W2, coverage and density are means over the same drawn classes, and of each the same drawn rows.
    """
    return Measures(
        {**_w2_figures(one), **_cover_figures(one), **_size_figures(one)},
        map_latents(one.latents, one.books, one.class_names, one.config.seed),
        _history(one),
    )


def _drawn_classes(one: Measured) -> list[int]:
    order = torch.randperm(len(one.class_names), generator=stream(one.config.seed, "w2"))
    return sorted(order[:W2_CLASSES].tolist())


def _drawn_rows(one: Measured, label: int) -> Float[Tensor, "n d"]:
    return one.latents.draw_of_class(label, W2_ROWS, stream(one.config.seed, "w2", label))


def _w2_figures(one: Measured) -> dict[str, float]:
    """Mean squared W2 of drawn classes and rows to their codebooks, weighted and uniform."""
    classes = (
        (_drawn_rows(one, label), one.books.of_class(label), stream(one.config.seed, "w2", label))
        for label in _drawn_classes(one)
    )
    w2 = measure_w2(classes, W2_ROWS)
    return {
        "w2.weighted": w2.weighted,
        "w2.uniform": w2.uniform,
        "w2.classes": w2.n_classes,
        "w2.rows_of_a_class_at_most": w2.n_rows,
    }


def _cover_figures(one: Measured) -> dict[str, float]:
    """Mean coverage and density of the images of drawn classes, and of as many real ones."""
    covers = measure_covers(_points(one), NEIGHBOURS)
    if covers is None:
        return {}
    return {
        "coverage.distilled": covers.distilled.coverage,
        "coverage.random": covers.random.coverage,
        "density.distilled": covers.distilled.density,
        "density.random": covers.random.density,
        "coverage.neighbours": NEIGHBOURS,
        "coverage.classes": covers.n_classes,
        "coverage.rows_of_a_class_at_most": W2_ROWS,
    }


def _points(one: Measured) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Rows of each drawn class, its distilled images in their space, and as many of the rows, drawn at random."""
    seed, is_real = one.config.seed, one.config.parts.canvas == "real"
    encoder = None if is_real else one.open_encoder()
    for label in _drawn_classes(one):
        rows = _drawn_rows(one, label)
        medoids = one.books.of_class(label).medoids[:W2_ROWS]  # the heaviest, of so many that rows are too few
        distilled = one.latents.rows_of_class(label, medoids) if encoder is None else _encoded(one, encoder, label)
        yield rows, distilled, draw_rows(rows, len(distilled), stream(seed, "coverage", label))


def _encoded(one: Measured, encoder: LatentPrior, label: int) -> Float[Tensor, "m d"]:
    """Encode the images of a class as they are in the archive, in the way and precision of the real ones."""
    images, prior = one.images.of_class(label, encoder.resolution)[:W2_ROWS], one.config.prior
    is_sampled = not isinstance(prior, PixelsPrior) and prior.latents == "sample"

    def encode(batch: Sequence[tuple[int, UInt8[Tensor, "3 h h"]]]) -> Tensor:
        rngs = [stream(one.config.seed, "posterior", "distilled", label, number) for number, _ in batch]
        return encoder.encode(torch.stack([image for _, image in batch]), rngs if is_sampled else None)

    parts = in_batches(enumerate(images), encoder.batch_size, encode, lambda _: None)
    return torch.cat([z for _, z in parts]).half().float()


def _size_figures(one: Measured) -> dict[str, float]:
    """Bytes of the distilled set with everything that training on it takes, and of the training images as stored."""
    counts, n_train = one.images.manifest.counts, one.latents.manifest.n_bytes
    files = (one.images.file(label, number) for label, n in enumerate(counts) for number in range(n))
    parts = {
        "bytes.distilled_images": sum(file.stat().st_size for file in files),
        "bytes.weights": WEIGHT_BYTES * sum(counts),
        **({"bytes.soft_labels": one.soft_label_bytes} if one.config.teacher else {}),
    }
    n_distilled = sum(parts.values())
    whole = {"bytes.train": n_train, "compression.bytes": n_train / n_distilled} if n_train else {}
    return {**parts, "bytes.distilled": n_distilled, **whole}


def _history(one: Measured) -> dict[str, tuple[float, ...]]:
    """Distortion by pass of the first classes that have any."""
    entries = zip(one.class_names, one.books.manifest.classes, strict=True)
    return dict(islice(((name, entry.history) for name, entry in entries if entry.history), HISTORY_CLASSES))
