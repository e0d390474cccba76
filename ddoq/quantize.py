"""Latents of a class -> codebook: k-means++ seeding, Lloyd's iterations, masses from a last assignment.

The mass of a codeword is the share of the class in its Voronoi cell. For fixed centroids these masses are the
W2-optimal weights, and W2 squared to the empirical measure then equals the distortion.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from ddoq.config import QuantizerConfig
from ddoq.errors import EmptyClassError
from ddoq.types import Codebook

BLOCK_BYTES = 64 * 2**20  # of distances held at once


@dataclass(frozen=True)
class Assignment:
    """Nearest centroid of each row, and the squared distance to it."""

    cells: Int[Tensor, " n"]
    distances: Float[Tensor, " n"]


def quantize(
    z: Float[Tensor, "n d"], k: int, quantizer: QuantizerConfig, rng: Generator, mass: Float[Tensor, " n"] | None = None
) -> Codebook:
    """Quantize the empirical measure of `z` by `k` weighted points.

    Args:
        z: Latents of one class, one row each, in the prior's own scale; finite.
        k: Codewords, 1 <= k <= number of distinct rows.
        quantizer: Stopping rule.
        rng: CPU generator of the k-means++ draw.
        mass: Positive mass of each row; one each when left out.

    Returns:
        Centroids, their Voronoi masses (all > 0, sum 1), counts, medoids and the mean squared distortion.

    Raises:
        EmptyClassError: fewer than `k` distinct rows.

    Source: Lloyd (1982); seeding Arthur & Vassilvitskii (2007); weights arXiv:2501.07681.
    """
    z = z.float()
    mass = torch.ones(len(z), device=z.device) if mass is None else mass
    origin = z.mean(dim=0)
    z = z - origin  # distances of centred rows lose the fewest digits
    codebook = lloyd(z, seed_centroids(z, k, rng, mass), quantizer, mass)
    return replace(codebook, centroids=codebook.centroids + origin)


def seed_centroids(z: Float[Tensor, "n d"], k: int, rng: Generator, mass: Float[Tensor, " n"]) -> Float[Tensor, "k d"]:
    """Draw `k` distinct rows, each in proportion to mass times squared distance to those drawn before (k-means++)."""
    chances = mass.double()
    distances = torch.full_like(chances, torch.inf)
    rows: list[int] = []
    while len(rows) < k:
        if not bool((chances > 0).any()):
            raise EmptyClassError(f"{len(rows)} distinct images, fewer than the {k} codewords asked for")
        rows.append(_draw(chances, rng))
        distances = torch.minimum(distances, (z - z[rows[-1]]).square().sum(dim=1).double())
        chances = mass * distances
    return z[rows]


def lloyd(
    z: Float[Tensor, "n d"], start: Float[Tensor, "k d"], quantizer: QuantizerConfig, mass: Float[Tensor, " n"]
) -> Codebook:
    """Iterate from `start` until the distortion stops falling, then take masses of exactly the centroids returned."""
    centroids, assignment = _occupied(z, start, mass)
    cost = _cost(assignment, mass)
    iterations = 0
    for _ in range(quantizer.max_iterations):
        iterations += 1
        moved, assignment = _occupied(z, _means(z, assignment.cells, len(start), mass), mass)
        before, cost = cost, _cost(assignment, mass)
        centroids = moved
        if before - cost <= quantizer.tolerance * before:
            break
    shares = torch.zeros(len(start), dtype=torch.float64, device=z.device)
    shares.index_add_(0, assignment.cells, mass.double())
    return Codebook(
        centroids=centroids,
        weights=(shares / shares.sum()).float(),
        counts=torch.bincount(assignment.cells, minlength=len(start)),
        medoids=_medoids(assignment, len(start)),
        distortion=cost / float(mass.double().sum()),
        iterations=iterations,
    )


def nearest(z: Float[Tensor, "n d"], centroids: Float[Tensor, "k d"]) -> Assignment:
    """Assign each row to its nearest centroid (the first of equals), a block of rows at a time."""
    norms = centroids.square().sum(dim=1)
    rows_at_once = max(1, BLOCK_BYTES // (4 * len(centroids)))
    cells = torch.cat([torch.addmm(norms, part, centroids.T, alpha=-2).argmin(dim=1) for part in z.split(rows_at_once)])
    # The expanded square above only ranks; the distance kept is taken from the difference and cannot be negative.
    parts = zip(z.split(rows_at_once), cells.split(rows_at_once), strict=True)
    distances = torch.cat([(part - centroids[cell]).square().sum(dim=1) for part, cell in parts])
    return Assignment(cells, distances)


def _occupied(
    z: Float[Tensor, "n d"], centroids: Float[Tensor, "k d"], mass: Float[Tensor, " n"]
) -> tuple[Float[Tensor, "k d"], Assignment]:
    """Assign, moving each centroid without rows onto the costliest row, until no cell is empty."""
    assignment = nearest(z, centroids)
    moved: dict[int, int] = {}  # cell -> the row it now sits on; that row stays its own, whatever rounding says
    while True:
        empty = (torch.bincount(assignment.cells, minlength=len(centroids)) == 0).nonzero().flatten()
        if len(empty) == 0:
            return centroids, assignment
        cell, row = int(empty[0]), int((mass * assignment.distances).argmax())
        moved[cell] = row
        centroids = centroids.index_copy(0, empty[:1], z[row : row + 1])
        assignment = nearest(z, centroids)
        assignment.cells[list(moved.values())] = torch.tensor(list(moved), device=z.device)
        assignment.distances[list(moved.values())] = 0


def _means(
    z: Float[Tensor, "n d"], cells: Int[Tensor, " n"], k: int, mass: Float[Tensor, " n"]
) -> Float[Tensor, "k d"]:
    """Mass-weighted mean of the rows of each cell, as matrix products: the same sums in any run, on a GPU too."""
    sums = torch.zeros(k, z.shape[1], device=z.device)
    masses = torch.zeros(k, 1, device=z.device)
    rows_at_once = max(1, BLOCK_BYTES // (4 * k))
    for part, cell, weight in zip(*(t.split(rows_at_once) for t in (z, cells, mass)), strict=True):
        members = torch.zeros(k, len(part), device=z.device)
        members[cell, torch.arange(len(part), device=z.device)] = weight
        sums += members @ part
        masses += members.sum(dim=1, keepdim=True)
    return sums / masses


def _medoids(assignment: Assignment, k: int) -> Int[Tensor, " k"]:
    """Row nearest to the centroid of each cell."""
    order = assignment.distances.argsort(descending=True, stable=True)
    medoids = torch.empty(k, dtype=torch.int64, device=order.device)
    for cell in range(k):
        medoids[cell] = order[assignment.cells[order] == cell][-1]
    return medoids


def _cost(assignment: Assignment, mass: Float[Tensor, " n"]) -> float:
    return float((mass.double() * assignment.distances.double()).sum())


def _draw(chances: Float[Tensor, " n"], rng: Generator) -> int:
    """Draw an index in proportion to `chances`, never one whose chance is zero."""
    total = chances.cumsum(dim=0)
    point = torch.rand((), generator=rng, dtype=torch.float64).to(total.device) * total[-1]
    row = int(torch.searchsorted(total, point, right=True).clamp(max=len(chances) - 1))
    while chances[row] <= 0:
        row -= 1
    return row
