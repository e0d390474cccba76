"""One large class on its points: seeding, Lloyd with a fused nearest pass, and exchange by blocks of rows.

Float32 where it only ranks; before a move is made its gain is taken from differences in float64. The same exchange in
float64 throughout ends either form: a pass of it without a move proves a fixed point.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ddoq.accelerator_moves import disjoint_moves, draw, insertion_cost, removal_gain
from ddoq.errors import EmptyClassError

BLOCK_BYTES = 64 * 2**20  # of one temporary array
LLOYD_STEPS = 10
LEAST_GAIN = 1e-9  # of the removal's gain; the rounding of float64 is far below


@dataclass(frozen=True)
class Partition:
    """Which cell each row is in, with the float64 sum and the size of each cell; updated in place."""

    cells: Int[Tensor, " n"]
    sums: Float[Tensor, "k d"]
    counts: Float[Tensor, " k"]

    @property
    def centroids(self) -> Float[Tensor, "k d"]:
        """Mean of each cell."""
        return self.sums / self.counts[:, None]


def seed(z: Float[Tensor, "n d"], k: int, uniforms: Float[Tensor, "k t"]) -> Int[Tensor, " k"]:
    """Draw `k` distinct rows by k-means++, at each draw the best of `t` candidates; equal rows are at distance zero.

    Raises:
        EmptyClassError: fewer than `k` distinct rows.
    """
    distances = torch.full((len(z),), torch.inf, dtype=torch.float64, device=z.device)
    chances = torch.ones(1, len(z), dtype=torch.int64, device=z.device)
    seeds, possible = [], []
    for step in range(k):
        possible.append(chances.amax() > 0)
        candidates = draw(chances, uniforms[step : step + 1])[0]
        left = torch.stack([torch.minimum(distances, _to_one(z, z[row])) for row in candidates.split(1)])
        best = left.sum(dim=1).argmin()
        seeds.append(candidates[best])
        distances = left[best]
        chances = _whole(distances)[None]
    n_distinct = int(torch.stack(possible).sum())
    if n_distinct < k:
        raise EmptyClassError(f"{n_distinct} distinct images, fewer than the {k} codewords asked for")
    return torch.stack(seeds)


def lloyd(z: Float[Tensor, "n d"], seeds: Int[Tensor, " k"], steps: int = LLOYD_STEPS) -> Int[Tensor, " n"]:
    """Assign to the seeds, then take Lloyd steps until one would empty a cell."""
    k = len(seeds)
    origin = z.mean(dim=0)
    cells = nearest(z, z[seeds], origin)
    cells[seeds] = torch.arange(k, device=z.device)
    for _ in range(steps):
        moved = nearest(z, partition(z, cells, k).centroids, origin)
        if not bool(sizes(moved, k).all()):
            break
        cells = moved
    return cells


def exchange(
    z: Float[Tensor, "n d"], cells: Int[Tensor, " n"], k: int, dtype: torch.dtype, max_passes: int
) -> tuple[Int[Tensor, " n"], int, bool]:
    """Move rows while the cost falls; answer the cells, the passes, and whether the last pass found no move.

    Distances are ranked in `dtype`. A pass makes at most `n` rounds of moves.
    """
    cells = cells.clone()
    origin = z.mean(dim=0).to(dtype)
    for passes in range(1, max_passes + 1):
        state = partition(z, cells, k)  # sums afresh: those of equal rows are then exact
        moves = [_settle(z[rows], state, state.cells[rows], origin) for rows in row_blocks(len(z), max(k, z.shape[1]))]
        cells = state.cells
        if not any(moves):
            return cells, passes, True
    return cells, max_passes, False


def partition(z: Float[Tensor, "n d"], cells: Int[Tensor, " n"], k: int) -> Partition:
    """Sum the rows of each cell in float64, as matrix products: the same sums in any run."""
    sums = torch.zeros(k, z.shape[1], dtype=torch.float64, device=z.device)
    for rows in row_blocks(len(z), max(k, z.shape[1])):
        sums += _members(cells[rows], k).double() @ z[rows].double()
    return Partition(cells, sums, sizes(cells, k).double())


def nearest(z: Float[Tensor, "n d"], centroids: Float[Tensor, "k d"], origin: Float[Tensor, " d"]) -> Int[Tensor, " n"]:
    """Assign each row to its nearest centroid, in the precision of `origin`, a block of rows at a time.

    Taking `origin` from both first leaves the most digits; it should be near the mean of the rows.
    """
    centred = (centroids - origin).to(origin.dtype)
    blocks = row_blocks(len(z), max(len(centroids), z.shape[1]))
    return torch.cat([_ranks(z[rows].to(origin.dtype) - origin, centred).argmin(dim=1) for rows in blocks])


def sizes(cells: Int[Tensor, " n"], k: int) -> Int[Tensor, " k"]:
    """Count the rows of each cell."""
    counts = torch.zeros(k, dtype=torch.int64, device=cells.device)
    return counts.index_add_(0, cells, torch.ones_like(cells))  # whole numbers: exact in any order


def own_squares(
    z: Float[Tensor, "n d"], centroids: Float[Tensor, "k d"], cells: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Squared distance of each row to the centroid of its cell, exact: zero for equal rows only."""
    blocks = row_blocks(len(z), z.shape[1])
    return torch.cat([_squares(z[rows], centroids[cells[rows]]) for rows in blocks])


def row_blocks(n: int, width: int) -> Iterator[slice]:
    """Cut `n` rows so that a float64 array of `width` columns fits `BLOCK_BYTES`."""
    step = max(1, BLOCK_BYTES // (8 * width))
    return (slice(first, min(first + step, n)) for first in range(0, n, step))


def _settle(
    z: Float[Tensor, "b d"],
    state: Partition,
    cells: Int[Tensor, " b"],
    origin: Float[Tensor, " d"],
) -> bool:
    """Make moves of one block of rows, whose `cells` are a view, until none is left; say whether there was one."""
    centred = z.to(origin.dtype) - origin
    distances = _distances(centred, state.centroids - origin)
    anything = torch.zeros((), dtype=torch.bool, device=z.device)
    for _ in range(len(z)):
        gain, target = _best_moves(distances, cells, state.counts)
        row = disjoint_moves(gain[None], cells[None], target[None], len(state.counts))[0].nonzero()[:, 0]
        if len(row) == 0:  # the one wait for the device in a round
            break
        ends = torch.stack([cells[row], target[row]])
        exact = torch.stack([_squares(z[row], state.centroids[end]) for end in ends])
        real = _gain(exact, state.counts[ends]) > 0
        _move(state, z[row].double() * real[:, None], ends, real)
        cells[row] = torch.where(real, ends[1], ends[0])
        both = ends.flatten()
        afresh = _distances(centred, state.centroids[both] - origin)
        distances[:, both] = torch.where(real.repeat(2), afresh, distances[:, both])
        # A move that only rounding favoured is not tried again: its exact distances take the place of the others.
        distances[row, ends] = torch.where(real, distances[row, ends], exact.to(origin.dtype))
        anything |= real.any()
    return bool(anything)


def _best_moves(
    distances: Float[Tensor, "b k"], cells: Int[Tensor, " b"], counts: Float[Tensor, " k"]
) -> tuple[Float[Tensor, " b"], Int[Tensor, " b"]]:
    """Gain of the best move of each row (zero where none is worth making) and the cell it goes to."""
    own = distances.gather(1, cells[:, None])
    costs = insertion_cost(distances, counts.to(distances.dtype)).scatter_(1, cells[:, None], torch.inf)
    target = costs.argmin(dim=1)
    ends = torch.stack([cells, target])
    both = torch.stack([own[:, 0], distances.gather(1, target[:, None])[:, 0]]).double()
    return torch.where(target != cells, _gain(both, counts[ends]), 0), target


def _gain(distances: Float[Tensor, "2 m"], counts: Float[Tensor, "2 m"]) -> Tensor:
    """Fall of the cost when rows move from the first cell to the second; zero where it is no more than rounding."""
    removal = removal_gain(distances[0], counts[0])
    gain = removal - insertion_cost(distances[1], counts[1])
    return torch.where(gain > LEAST_GAIN * removal, gain, 0)


def _move(state: Partition, rows: Float[Tensor, "m d"], ends: Int[Tensor, "2 m"], real: Tensor) -> None:
    """Take rows from the first cells to the second; all cells differ, so no two writes collide."""
    for end, sign in zip(ends, (-1, 1), strict=True):
        state.sums[end] += sign * rows
        state.counts[end] += sign * real


def _to_one(z: Float[Tensor, "n d"], centre: Float[Tensor, "1 d"]) -> Float[Tensor, " n"]:
    return torch.cat([_squares(z[rows], centre) for rows in row_blocks(len(z), z.shape[1])])


def _squares(z: Float[Tensor, "b d"], centre: Float[Tensor, "_ d"]) -> Float[Tensor, " b"]:
    """Squared distances in float64 from differences, to one centre or to one a row."""
    return (z.double() - centre.double()).square().sum(dim=1)


def _ranks(z: Float[Tensor, "b d"], centroids: Float[Tensor, "k d"]) -> Float[Tensor, "b k"]:
    """Squared distances less the squared norms of the rows."""
    return torch.addmm(centroids.square().sum(dim=1), z, centroids.T, alpha=-2)


def _distances(z: Float[Tensor, "b d"], centroids: Float[Tensor, "k d"]) -> Float[Tensor, "b k"]:
    """Squared distances in the precision of `z`."""
    return _ranks(z, centroids.to(z.dtype)).add_(z.square().sum(dim=1, keepdim=True)).clamp_(min=0)


def _whole(distances: Float[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Scale to whole chances of sum below 2**52, none zero that was not: their sums are exact in any order."""
    bits = 52 - math.ceil(math.log2(len(distances) + 1))
    largest = distances.amax().clamp(min=torch.finfo(torch.float64).tiny)
    return (distances / largest * (2.0**bits - 1)).ceil().long()


def _members(cells: Int[Tensor, " b"], k: int) -> Tensor:
    return cells == torch.arange(k, device=cells.device)[:, None]
