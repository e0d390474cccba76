"""Many classes at once by their Gram matrices: seeding, Lloyd and exchange never touch the dimension again.

With R[k, i] the sum of G[i, j] over the members j of cell k of m rows, and S[k] the sum of R[k, i] over its members,
row i is at squared distance S/m^2 - 2 R[k, i]/m + G[i, i] from the centroid. Gram matrices are rounded to whole
numbers so fine that every sum of them is exact in float64: R and S stay exact through any number of updates, and a
class gets the same bytes whatever the padding and the neighbours.

Source: exchange rule of Hartigan & Wong (1979); greedy seeding of Arthur & Vassilvitskii (2007).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ddoq.accelerator_moves import disjoint_moves, draw, insertion_cost, removal_gain

LLOYD_STEPS = 5
RESOLUTION = 1e-5  # of the two squared norms: a squared distance below is rounding of the float32 product
LEAST_GAIN = 1e-7  # of the mean squared norm; what is smaller is left to the exact passes on the points


@dataclass(frozen=True)
class GramBlock:
    """Gram matrices of several classes, whole numbers; `filled` tells rows from padding, whose entries are zero."""

    gram: Float[Tensor, "c n n"]
    filled: Bool[Tensor, "c n"]

    @property
    def diagonal(self) -> Float[Tensor, "c n"]:
        """Squared norms of the rows."""
        return self.gram.diagonal(dim1=1, dim2=2)


@dataclass(frozen=True)
class CellSums:
    """R, S and sizes of the cells of a partition; updated in place."""

    rows: Float[Tensor, "c k n"]
    totals: Float[Tensor, "c k"]
    counts: Float[Tensor, "c k"]


def block_bytes(n: int, k: int) -> int:
    """Memory of one class of `n` rows, padding included: the matrix in float64, and four arrays of k x n."""
    return 8 * n * n + 4 * 8 * k * n


def gram_block(classes: Sequence[Float[Tensor, "_ d"]]) -> GramBlock:
    """Multiply the rows of each class, centred, by themselves.

    One product a class, in its own shape: a batched product would round by the size of the batch.
    """
    largest, device = max(len(z) for z in classes), classes[0].device
    gram = torch.zeros(len(classes), largest, largest, dtype=torch.float64, device=device)
    filled = torch.zeros(len(classes), largest, dtype=torch.bool, device=device)
    for index, z in enumerate(classes):
        centred = z - z.mean(dim=0)  # distances of centred rows lose the fewest digits
        gram[index, : len(z), : len(z)] = _whole(centred @ centred.T)
        filled[index, : len(z)] = True
    return GramBlock(gram, filled)


def seed(block: GramBlock, k: int, uniforms: Float[Tensor, "c k t"]) -> tuple[Int[Tensor, "c k"], Bool[Tensor, " c"]]:
    """Draw `k` rows a class by k-means++, at each draw the best of `t` candidates.

    The second answer marks classes with fewer than `k` rows further apart than rounding; their rows mean nothing.
    """
    index = torch.arange(len(block.gram), device=block.gram.device)
    distances = torch.full_like(block.diagonal, torch.inf)
    chances = block.filled.long()
    exhausted = torch.zeros_like(index, dtype=torch.bool)
    seeds = []
    for step in range(k):
        exhausted |= chances.amax(dim=1) == 0
        candidates = draw(chances, uniforms[:, step])
        left = torch.minimum(distances[:, None], _distances(block, candidates))
        best = left.sum(dim=2).argmin(dim=1)
        seeds.append(candidates[index, best])
        distances = left[index, best]
        chances = distances.long()
    return torch.stack(seeds, dim=1), exhausted


def assign(block: GramBlock, seeds: Int[Tensor, "c k"]) -> Int[Tensor, "c n"]:
    """Assign each row to its nearest seed, each seed to itself."""
    k = seeds.shape[1]
    products = block.gram.gather(1, seeds[:, :, None].expand(-1, -1, block.gram.shape[2]))
    cells = (block.diagonal.gather(1, seeds)[:, :, None] - 2 * products).argmin(dim=1)
    return cells.scatter(1, seeds, torch.arange(k, device=seeds.device).expand_as(seeds))


def lloyd(block: GramBlock, cells: Int[Tensor, "c n"], k: int, steps: int = LLOYD_STEPS) -> Int[Tensor, "c n"]:
    """Take Lloyd steps; a class whose next step would empty a cell stays where it is."""
    for _ in range(steps):
        sums = cell_sums(block, cells, k)
        size = sums.counts[:, :, None]
        nearest = (sums.totals[:, :, None] / size.square() - 2 * sums.rows / size).argmin(dim=1)
        occupied = (_members(block, nearest, k).amax(dim=2) > 0).all(dim=1)
        cells = torch.where(occupied[:, None], nearest, cells)
    return cells


def exchange(
    block: GramBlock, cells: Int[Tensor, "c n"], k: int, most_moves: Int[Tensor, " c"]
) -> tuple[Int[Tensor, "c n"], Int[Tensor, " c"]]:
    """Move rows to other cells while the cost of their class falls; the second answer counts the moves.

    Classes with `most_moves` zero stay as they are. The only wait for the device in a round is for the list of moves.
    """
    cells = cells.clone()
    sums = cell_sums(block, cells, k)
    everywhere = torch.arange(k, device=cells.device)
    costs = _insertion_costs(block, sums, cells, *_grid(len(cells), everywhere)).view_as(sums.rows)
    moves = torch.zeros_like(most_moves)
    while True:
        gain, target = _best_moves(block, sums, cells, costs)
        gain.masked_fill_((moves >= most_moves)[:, None], 0)
        chosen = disjoint_moves(gain, cells, target, k)
        index, row = chosen.nonzero(as_tuple=True)
        if len(index) == 0:
            return cells, moves
        moves += chosen.sum(dim=1)
        source, joined = cells[index, row], target[index, row]
        _move(block, sums, (index, row), source, joined)
        cells[index, row] = joined
        touched = torch.cat([index, index]), torch.cat([source, joined])
        costs[touched] = _insertion_costs(block, sums, cells, *touched)


def explained(block: GramBlock, cells: Int[Tensor, "c n"], k: int) -> Float[Tensor, " c"]:
    """Sum of S/m: the squared norms less the cost, so the larger the better; whole numbers, exact in any order."""
    sums = cell_sums(block, cells, k)
    return (sums.totals / sums.counts).round().sum(dim=1)


def cell_sums(block: GramBlock, cells: Int[Tensor, "c n"], k: int) -> CellSums:
    """Sum the Gram matrices over the members of each cell."""
    members = _members(block, cells, k)
    rows = members @ block.gram
    return CellSums(rows, (members * rows).sum(dim=2), members.sum(dim=2))


def _whole(gram: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    """Round to whole numbers below 2**bits in size, so that any sum of all n x n of them is below 2**53."""
    bits = 52 - 2 * math.ceil(math.log2(len(gram) + 1))
    symmetric = (gram.tril() + gram.tril(-1).T).double()
    largest = symmetric.abs().amax().clamp(min=torch.finfo(torch.float64).tiny)
    return (symmetric * (2.0**bits / largest)).round()


def _distances(block: GramBlock, rows: Int[Tensor, "c t"]) -> Float[Tensor, "c t n"]:
    """Squared distances from the named rows to all; exactly zero where float32 cannot tell them apart."""
    products = block.gram.gather(1, rows[:, :, None].expand(-1, -1, block.gram.shape[2]))
    norms = block.diagonal[:, None] + block.diagonal.gather(1, rows)[:, :, None]
    squares = norms - 2 * products
    return torch.where((squares > RESOLUTION * norms) & block.filled[:, None], squares, 0)


def _members(block: GramBlock, cells: Int[Tensor, "c n"], k: int) -> Float[Tensor, "c k n"]:
    everywhere = torch.arange(k, device=cells.device)[:, None]
    return ((cells[:, None] == everywhere) & block.filled[:, None]).double()


def _grid(n_classes: int, everywhere: Int[Tensor, " k"]) -> tuple[Int[Tensor, " ck"], Int[Tensor, " ck"]]:
    index = torch.arange(n_classes, device=everywhere.device)
    return index.repeat_interleave(len(everywhere)), everywhere.repeat(n_classes)


def _insertion_costs(
    block: GramBlock, sums: CellSums, cells: Int[Tensor, "c n"], index: Int[Tensor, " m"], cell: Int[Tensor, " m"]
) -> Float[Tensor, "m n"]:
    """Cost of adding each row to the named cells of the named classes; infinite where it is a member already."""
    size = sums.counts[index, cell][:, None]
    centre = sums.totals[index, cell][:, None] / size.square()
    distances = centre - sums.rows[index, cell] * (2 / size) + block.diagonal[index]
    return insertion_cost(distances, size).masked_fill_(cells[index] == cell[:, None], torch.inf)


def _best_moves(
    block: GramBlock, sums: CellSums, cells: Int[Tensor, "c n"], costs: Float[Tensor, "c k n"]
) -> tuple[Float[Tensor, "c n"], Int[Tensor, "c n"]]:
    """Gain of the best move of each row (zero where none is worth making) and the cell it goes to."""
    cheapest, target = costs.min(dim=1)
    size = sums.counts.gather(1, cells)
    own = sums.rows.gather(1, cells[:, None])[:, 0]
    distances = sums.totals.gather(1, cells) / size.square() - own * (2 / size) + block.diagonal
    gain = removal_gain(distances, size) - cheapest
    least = LEAST_GAIN * block.diagonal.sum(dim=1, keepdim=True) / block.filled.sum(dim=1, keepdim=True)
    return torch.where((gain > least) & block.filled, gain, 0), target


def _move(
    block: GramBlock,
    sums: CellSums,
    place: tuple[Int[Tensor, " m"], Int[Tensor, " m"]],
    source: Int[Tensor, " m"],
    target: Int[Tensor, " m"],
) -> None:
    """Update the sums by moves on disjoint cells."""
    index, row = place
    products, norms = block.gram[index, row], block.diagonal[index, row]
    sums.totals[index, source] += norms - 2 * sums.rows[index, source, row]
    sums.totals[index, target] += norms + 2 * sums.rows[index, target, row]
    sums.rows[index, source] -= products
    sums.rows[index, target] += products
    sums.counts[index, source] -= 1
    sums.counts[index, target] += 1
