"""The exchange on the rows themselves: exact, for any number of rows, without a matrix of rows by centroids.

Distances of a block of rows come from one matrix product that stays in the cache; a kernel then walks the block and
moves rows by Hartigan & Wong's rule. Within a block these distances lag behind the moves, so each move is first checked
against the two centroids as they are: no move ever raises the cost, and a pass without one has seen true distances.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ddoq import row_kernels
from ddoq.row_kernels import Bytes, Dots, Doubles, Floats, Ints

BLOCK_ROWS = 2048
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
        return torch.from_numpy(row_kernels.means_of(self.sums, self.masses)[0][: len(self.sums)])


@dataclass(frozen=True)
class Rounded:
    """Rows as bytes, each in units of its own scale."""

    rows: Bytes
    scales: Floats


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
    return Cells(z, norms, mass, of_rows, *row_kernels.gather(z.numpy(), mass.numpy(), of_rows, k))


def round_rows(z: Float[Tensor, "n d"]) -> Rounded | None:
    """Round rows to bytes, where the processor is made to multiply them."""
    if not torch.cpu._is_vnni_supported():
        return None
    return Rounded(*row_kernels.round_to_bytes(z.numpy()))


def cost_of(cells: Cells) -> float:
    """Sum of the masses times the squared distances to the centroids of the cells."""
    total = float(cells.mass.double() @ cells.norms.double())
    return total - float((np.square(cells.sums).sum(axis=1) / cells.masses).sum())


def nearest(cells: Cells, z: Float[Tensor, "n d"], rounded: Rounded | None) -> Ints:
    """Nearest centroid of each row, the first of equals, a block of rows at a time."""
    table = _table(cells, z, rounded)
    found = np.empty(len(z), np.int64)
    for start in range(0, len(z), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        dots, scales = table.multiply(rows)
        row_kernels.nearest_in_block(dots, scales, table.means[2], table.means[1], found[rows])
    return found


def exchange_pass(
    cells: Cells, may_move: bool, threads: ThreadPoolExecutor | None, rounded: Rounded | None = None
) -> Pass:
    """Walk all rows once, moving each where that lowers the cost.

    Args:
        cells: Changed in place.
        may_move: False only looks: `moved` then counts the rows that would move, and `saved` is 0.
        threads: Multiply blocks in these. The blocks are the same without, so the result is too.
        rounded: Look for rows to move in these, in a fraction of the time: some are missed, and `nearest` is not true.
    """
    n = len(cells.z)
    together = LARGE_BLOCKS if n > LARGE_ROWS else 1
    seen = cells.of_rows.copy()
    starts = range(0, n, BLOCK_ROWS)
    moved, saved = 0, 0.0
    for first in range(0, len(starts), together):
        group = [slice(start, start + BLOCK_ROWS) for start in starts[first : first + together]]
        table = _table(cells, cells.z, rounded)
        for rows, (block, restless) in zip(group, _compare(cells, table, group, threads), strict=True):
            state = (cells.of_rows[rows], cells.sums, cells.masses)
            counted, fell = row_kernels.exchange_block(block, table.means, state, restless, seen[rows], may_move)
            moved, saved = moved + counted, saved + fell
    return Pass(moved, saved, seen)


def distances_to(z: Float[Tensor, "n d"], centroids: Float[Tensor, "k d"], of_rows: Ints) -> Doubles:
    """Squared distance of each row to the centroid of its cell, from the differences."""
    distances: Doubles = row_kernels.distances_to(z.numpy(), centroids.numpy(), of_rows)
    return distances


@dataclass(frozen=True)
class _Table:
    """Centroids as they are at one moment, padded and, if the rows are, rounded, to be multiplied with these."""

    z: Float[Tensor, "n d"]
    rounded: Rounded | None
    means: row_kernels.Means
    columns: Tensor

    def multiply(self, rows: slice) -> tuple[Dots, Floats]:
        """Products of a block of rows with the centroids, and the scales of these rows."""
        if self.rounded is None:
            return torch.mm(self.z[rows], self.columns).numpy(), np.ones(len(self.z[rows]), np.float32)
        return torch._int_mm(torch.from_numpy(self.rounded.rows[rows]), self.columns).numpy(), self.rounded.scales[rows]


def _table(cells: Cells, z: Float[Tensor, "n d"], rounded: Rounded | None) -> _Table:
    """The centroids of `cells`, to be multiplied with rows `z`, which need not be those of `cells`."""
    centroids, squares = row_kernels.means_of(cells.sums, cells.masses)
    if rounded is None:
        ones = np.ones(len(squares), np.float32)
        return _Table(z, None, (centroids, squares, ones), torch.from_numpy(centroids).T)
    whole, scales = row_kernels.round_to_bytes(centroids)
    return _Table(z, rounded, (centroids, squares, scales), torch.from_numpy(whole).T)


def _compare(
    cells: Cells, table: _Table, group: list[slice], threads: ThreadPoolExecutor | None
) -> list[tuple[row_kernels.Block, Ints]]:
    """For each block, the products of its rows with the centroids, and the rows that may want to move."""
    masses, norms, mass = cells.masses.copy(), cells.norms.numpy(), cells.mass.numpy()

    def compare(rows: slice) -> tuple[row_kernels.Block, Ints]:
        block = (cells.z[rows].numpy(), norms[rows], mass[rows], *table.multiply(rows))
        return block, row_kernels.find_restless(block, table.means, cells.of_rows[rows], masses)

    return list(threads.map(compare, group) if threads and len(group) > 1 else map(compare, group))
