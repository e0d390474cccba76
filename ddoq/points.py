"""The exchange on the rows themselves: exact, for any number of rows, without a matrix of rows by centroids.

Distances of a block of rows come from one matrix product that stays in the cache; a kernel then walks the block and
moves rows by Hartigan & Wong's rule. Within a block these distances lag behind the moves, so each move is first checked
against the two centroids as they are: no move ever raises the cost, and a pass without one has seen true distances.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ddoq import kernels
from ddoq.kernels import Doubles, Floats, Ints

BLOCK_ROWS = 1024
LARGE_ROWS = 20_000  # from here on several blocks share one set of centroids, so that they can be multiplied at once
LARGE_BLOCKS = 4


@dataclass
class Cells:
    """A partition of centred rows `z` with squared lengths `norms`: the cell of each row, sums and masses of cells."""

    z: Float[Tensor, "n d"]
    norms: Float[Tensor, " n"]
    mass: Float[Tensor, " n"]
    of_rows: Ints
    sums: Doubles
    masses: Doubles

    @property
    def centroids(self) -> Float[Tensor, "k d"]:
        """Means of the cells."""
        return torch.from_numpy((self.sums / self.masses[:, None]).astype(np.float32))


@dataclass(frozen=True)
class Pass:
    """What one pass over all rows did: rows moved, cost saved, and the nearest centroid of each row as it was seen."""

    moved: int
    saved: float
    nearest: Ints


def gather(
    z: Float[Tensor, "n d"], norms: Float[Tensor, " n"], mass: Float[Tensor, " n"], of_rows: Ints, k: int
) -> Cells:
    """Sum up a partition."""
    return Cells(z, norms, mass, of_rows, *kernels.gather(z.numpy(), mass.numpy(), of_rows, k))


def nearest(z: Float[Tensor, "n d"], centroids: Float[Tensor, "k d"]) -> Int[Tensor, " n"]:
    """Nearest centroid of each row, the first of equals, a block of rows at a time."""
    offset = centroids.square().sum(dim=1)
    return torch.cat([torch.addmm(offset, rows, centroids.T, alpha=-2).argmin(dim=1) for rows in z.split(BLOCK_ROWS)])


def exchange_pass(cells: Cells, may_move: bool, threads: ThreadPoolExecutor | None) -> Pass:
    """Walk all rows once, moving each where that lowers the cost.

    Args:
        cells: Changed in place.
        may_move: False only looks: `moved` then counts the rows that would move, and `saved` is 0.
        threads: Multiply blocks in these. The blocks are the same without, so the result is too.
    """
    n = len(cells.z)
    together = LARGE_BLOCKS if n > LARGE_ROWS else 1
    norms, mass, seen = cells.norms.numpy(), cells.mass.numpy(), np.empty(n, np.int64)
    starts = range(0, n, BLOCK_ROWS)
    moved, saved = 0, 0.0
    for first in range(0, len(starts), together):
        group = [slice(start, start + BLOCK_ROWS) for start in starts[first : first + together]]
        for rows, products in zip(group, _products(cells, group, threads), strict=True):
            block = (cells.z[rows].numpy(), norms[rows], mass[rows], products)
            state = (cells.of_rows[rows], cells.sums, cells.masses)
            counted, fell = kernels.exchange_block(block, state, seen[rows], may_move)
            moved, saved = moved + counted, saved + fell
    return Pass(moved, saved, seen)


def distances_to(z: Float[Tensor, "n d"], centroids: Float[Tensor, "k d"], of_rows: Ints) -> Doubles:
    """Squared distance of each row to the centroid of its cell, from the differences."""
    distances: Doubles = kernels.distances_to(z.numpy(), centroids.numpy(), of_rows)
    return distances


def _products(cells: Cells, group: list[slice], threads: ThreadPoolExecutor | None) -> list[Floats]:
    """For each block, |c|^2 - 2 z c for every row z and centroid c."""
    centroids = cells.centroids
    offset = centroids.square().sum(dim=1)

    def multiply(rows: slice) -> Floats:
        products: Floats = torch.addmm(offset, cells.z[rows], centroids.T, alpha=-2).numpy()
        return products

    return list(threads.map(multiply, group) if threads else map(multiply, group))
