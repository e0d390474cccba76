"""How much of the real data lies near to some distilled image, and how near to real data the images keep.

Around each real row lies a ball that ends at its k-th nearest other row. Coverage is the share of balls with a point
inside; density the mean number of balls that a point is in, divided by k. The real rows themselves have one of both,
and so have rows drawn among them in the mean of density: drawn rows are a fair yardstick.

Source: Naeem et al. (2020), arXiv:2002.09797; the balls are open, as in its code, clovaai/generative-evaluation-prdc.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

import torch
from jaxtyping import Float, Float64
from torch import Tensor

NEIGHBOURS = 5
INSIDE = 1 - 1e-6  # of the radius: a point on the edge of a ball is outside, however the distance was rounded


@dataclass(frozen=True)
class Cover:
    """Of some points: `coverage` from 0 to 1, `density` from 0, where 1 is that of real data."""

    coverage: float
    density: float


@dataclass(frozen=True)
class Covers:
    """Means over `n_classes` classes for the distilled images and for as many real ones drawn at random."""

    distilled: Cover
    random: Cover
    n_classes: int


@dataclass(frozen=True)
class Balls:
    """Around each row of `centres` an open ball, which ends at the `k`-th nearest other row."""

    centres: Float64[Tensor, "n d"]
    radii: Float64[Tensor, " n"]
    k: int

    def cover(self, points: Float[Tensor, "m d"]) -> Cover:
        """Measure points, at least one, in the space of the rows."""
        inside = torch.cdist(self.centres, points.double()) < INSIDE * self.radii[:, None]
        n_covered, n_inside = int(inside.any(dim=1).sum()), int(inside.sum())
        return Cover(n_covered / len(self.centres), n_inside / (self.k * len(points)))


def balls_around(rows: Float[Tensor, "n d"], k: int) -> Balls:
    """Put a ball around each of at least two rows, up to its `k`-th nearest other, or its farthest if it has fewer.

    Memory and time grow with the square of the number of rows.
    """
    centres, k = rows.double(), min(k, len(rows) - 1)
    distances = torch.cdist(centres, centres).fill_diagonal_(torch.inf)
    return Balls(centres, distances.kthvalue(k, dim=1).values, k)


def measure_covers(
    classes: Iterable[tuple[Float[Tensor, "n d"], Float[Tensor, "m d"], Float[Tensor, "l d"]]], k: int
) -> Covers | None:
    """Mean coverage and density over several classes; none where no class has two rows.

    Args:
        classes: Real rows, encoded distilled images and real rows drawn at random, one class at a time.
        k: Neighbours, >= 1; a class of fewer others has only these.
    """
    pairs = []
    for rows, distilled, random in classes:
        if len(rows) > 1:
            balls = balls_around(rows, k)
            pairs.append((balls.cover(distilled), balls.cover(random)))
    if not pairs:
        return None
    return Covers(_mean([cover for cover, _ in pairs]), _mean([cover for _, cover in pairs]), len(pairs))


def _mean(covers: list[Cover]) -> Cover:
    return Cover(fmean(cover.coverage for cover in covers), fmean(cover.density for cover in covers))
