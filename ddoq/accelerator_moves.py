"""What both forms of the accelerator's quantizer share: draws, the exchange rule, and moves that do not touch.

The same bytes in every run, although a GPU adds in no fixed order: sums whose order is free are of whole numbers
(exact in any order), scatters take a maximum or a minimum (the same in any order), and no other write collides.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

SELECTIONS = 2  # a third finds too few moves to pay for itself


def draw(chances: Int[Tensor, "c n"], uniforms: Float[Tensor, "c t"]) -> Int[Tensor, "c t"]:
    """Draw rows in proportion to whole `chances` of sum below 2**53; an arbitrary row where all are zero."""
    sums = chances.cumsum(dim=1)
    points = (uniforms * sums[:, -1:]).long()
    return torch.searchsorted(sums, points, right=True).clamp_(max=chances.shape[1] - 1)


def removal_gain(distance: Tensor, counts: Tensor) -> Tensor:
    """Fall of a cell's cost when a row at this squared distance leaves; zero for a row alone in its cell."""
    return torch.where(counts > 1, distance * (counts / (counts - 1).clamp(min=1)), 0)


def insertion_cost(distance: Tensor, counts: Tensor) -> Tensor:
    """Rise of a cell's cost when a row at this squared distance joins."""
    return distance * (counts / (counts + 1))


def disjoint_moves(
    gain: Float[Tensor, "c n"], source: Int[Tensor, "c n"], target: Int[Tensor, "c n"], k: int
) -> Bool[Tensor, "c n"]:
    """Choose moves by falling gain (the first row of equals) so that no two share a cell: their gains add up exactly.

    A move is chosen when it is the best at both of its cells, so the best of all always is; a second selection
    among the cells left untouched comes close to choosing one by one.
    """
    chosen = torch.zeros_like(gain, dtype=torch.bool)
    for _ in range(SELECTIONS):
        won = _best_at_both(gain, source, target, k)
        chosen |= won
        touched = torch.zeros(len(gain), k, dtype=torch.int8, device=gain.device)
        for cells in (source, target):
            touched.scatter_reduce_(1, cells, won.to(torch.int8), "amax")
        taken = touched.gather(1, source) | touched.gather(1, target)
        gain = gain.masked_fill(taken > 0, 0)
    return chosen


def _best_at_both(
    gain: Float[Tensor, "c n"], source: Int[Tensor, "c n"], target: Int[Tensor, "c n"], k: int
) -> Bool[Tensor, "c n"]:
    n = gain.shape[1]
    rows = torch.arange(n, device=gain.device).expand_as(gain)
    best = torch.zeros(len(gain), k, dtype=gain.dtype, device=gain.device)
    first = torch.full((len(gain), k), n, device=gain.device)
    for cells in (source, target):
        best.scatter_reduce_(1, cells, gain, "amax")
    for cells in (source, target):
        first.scatter_reduce_(1, cells, torch.where(gain == best.gather(1, cells), rows, n), "amin")
    return (gain > 0) & (first.gather(1, source) == rows) & (first.gather(1, target) == rows)
