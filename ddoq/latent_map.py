"""Latents and codewords of a few classes -> their places on two principal axes, few enough to be kept in the report."""

from collections.abc import Sequence
from math import floor, log10

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ddoq.codebooks import Codebooks
from ddoq.latents import Latents
from ddoq.seeds import stream
from ddoq.types import LatentMap, MappedClass, Place

MAPPED_CLASSES, MAPPED_ROWS, MAPPED_CODEWORDS = 10, 60, 100  # at most; rows and codewords of each class
DIGITS = 4  # of the side of the map


def map_latents(latents: Latents, books: Codebooks, class_names: Sequence[str], seed: int) -> LatentMap:
    """Project drawn latents of the first classes, and their heaviest codewords, onto the axes of the former."""
    names = class_names[:MAPPED_CLASSES]
    rows = [
        latents.draw_of_class(label, MAPPED_ROWS, stream(seed, "map", label)).double() for label in range(len(names))
    ]
    codebooks = [books.of_class(label) for label in range(len(names))]
    centroids = [book.centroids[:MAPPED_CODEWORDS].double() for book in codebooks]
    axes, shares = principal_axes(torch.cat(rows))
    origin = torch.cat(rows).mean(dim=0)
    real, codewords = ([(some - origin) @ axes for some in points] for points in (rows, centroids))
    digits = _digits(torch.cat((*real, *codewords)))
    return LatentMap(
        shares,
        {
            name: MappedClass(_places(seen, digits), _places(made, digits), _masses(book.weights[:MAPPED_CODEWORDS]))
            for name, seen, made, book in zip(names, real, codewords, codebooks, strict=True)
        },
    )


def principal_axes(z: Float64[Tensor, "n d"]) -> tuple[Float64[Tensor, "d 2"], tuple[float, float]]:
    """Find the two directions in which rows vary most, and their shares of the variance.

    The largest number of each direction is positive. A direction in which nothing varies is all zeros.
    """
    centred = z - z.mean(dim=0)
    values, vectors = torch.linalg.eigh(centred @ centred.T)  # of rows: far fewer than dimensions
    values, vectors = values.flip(0)[:2].clamp(min=0), vectors.flip(1)[:, :2]
    varies = values > 1e-12 * values[0]
    axes = centred.T @ vectors * torch.where(varies, values, 1).rsqrt() * varies
    axes *= axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)).sign()
    first, second = (values / centred.square().sum().clamp(min=1e-300)).tolist()
    return axes, (round(first, DIGITS), round(second, DIGITS))


def _digits(places: Float64[Tensor, "n 2"]) -> int:
    """Digits behind the point that tell places apart on a map of this size."""
    side = float((places.amax(dim=0) - places.amin(dim=0)).max())
    return DIGITS - floor(log10(side)) if side > 0 else 0


def _places(places: Float64[Tensor, "n 2"], digits: int) -> tuple[Place, ...]:
    return tuple((round(x, digits), round(y, digits)) for x, y in places.tolist())


def _masses(weights: Float[Tensor, " k"]) -> tuple[float, ...]:
    return tuple(round(mass, DIGITS) for mass in weights.tolist())
