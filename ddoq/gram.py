"""The quantizer in the form of inner products, for a class with few rows beside its dimensions.

With G = Z Z^T (rows centred), m_i the mass of row i, M_c the mass of cell c, R_ic = sum over j in c of m_j G_ij and
S_c = sum over i in c of m_i R_ic, the centroid of c is never formed: the squared distance of row i to it is
G_ii - 2 R_ic / M_c + S_c / M_c^2. One symmetric product a class pays for seeding, exchange, restarts and every K.

Hartigan & Wong's rule: to take row i out of its cell a saves m M_a / (M_a - m) d(i, a)^2, to put it into cell b costs
m M_b / (M_b + m) d(i, b)^2; the row moves where the cost is least, if that is less than what is saved. The move changes
two columns of R by a row of G.

Source: Hartigan & Wong (1979); seeding Arthur & Vassilvitskii (2007), greedy; swaps Lattanzi & Sohler (2019).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ddoq import kernels
from ddoq.kernels import Doubles, Floats, Ints

BLOCKS = 4  # of rows in the symmetric product: 5/8 of the full one


@dataclass(frozen=True)
class Gram:
    """Inner products of the rows of one class. `seed_norms` are those of the rounded rows: equal rows are at zero."""

    products: Floats
    norms: Floats
    seed_norms: Floats
    mass: Floats


@dataclass
class Partition:
    """A partition of the rows, with what the exchange needs to know of each cell: R, S and M of the module's text."""

    cells: Ints
    reach: Floats
    within: Doubles
    masses: Doubles


def gram_of(z: Float[Tensor, "n d"], norms: Float[Tensor, " n"], mass: Float[Tensor, " n"]) -> Gram:
    """Multiply the rows with each other, rounded to 8 bits each in its own scale where the processor is made for it.

    The rounding decides only which moves are tried: centroids, masses and distances are taken from `z` afterwards.

    Args:
        z: Centred rows.
        norms: Their squared lengths.
        mass: Their masses.
    """
    products = _products_in_bytes(z) if torch.cpu._is_vnni_supported() else (z @ z.T).numpy()
    seed_norms = products.diagonal().copy()
    np.fill_diagonal(products, norms.numpy())
    return Gram(products, norms.numpy(), seed_norms, mass.numpy())


def _products_in_bytes(z: Float[Tensor, "n d"]) -> Floats:
    """The upper blocks by 8-bit products, the lower ones by symmetry."""
    rounded, scales = kernels.round_to_bytes(z.numpy())
    rows, products = torch.from_numpy(rounded), np.empty((len(z), len(z)), np.float32)
    step = -(-len(z) // BLOCKS)
    for start in range(0, len(z), step):
        part = torch._int_mm(rows[start : start + step], rows[start:].T)
        kernels.place_products(part.numpy(), scales, start, products)
    return products


def seed_partition(gram: Gram, k: int, uniforms: Doubles) -> Partition | None:
    """Seed by greedy k-means++ (a candidate for each column of `uniforms`); None when the rows give out before `k`."""
    rows = kernels.draw_seeds(gram.products, gram.seed_norms, gram.mass, k, uniforms)
    if rows[-1] < 0:
        return None
    return tally(gram, kernels.nearest_of(gram.products, gram.norms, rows), k)


def tally(gram: Gram, cells: Ints, k: int) -> Partition:
    """Sum up a partition from nothing."""
    return Partition(cells, *kernels.tally(gram.products, gram.mass, cells, k))


def cost_of(gram: Gram, partition: Partition) -> float:
    """Sum of the masses times the squared distances."""
    total = np.dot(gram.mass.astype(np.float64), gram.norms.astype(np.float64))
    return float(total - (partition.within / partition.masses).sum())


def exchange(gram: Gram, partition: Partition, max_passes: int) -> int:
    """Move rows by the rule, in turn, until a whole pass moves none; answer the passes that took."""
    parts = (partition.cells, partition.reach, partition.within, partition.masses)
    return int(kernels.exchange((gram.products, gram.norms, gram.mass), parts, max_passes))


def split_costliest(gram: Gram, partition: Partition, more: int) -> Partition:
    """Warm start for more cells: the rows that cost most become cells of their own."""
    k, n = len(partition.masses), len(gram.mass)
    costs = gram.mass * _distances(gram, partition)[np.arange(n), partition.cells]
    cells = partition.cells.copy()
    for row in np.argsort(-costs, kind="stable"):
        if more and (cells == cells[row]).sum() > 1:
            cells[row], k, more = k, k + 1, more - 1
    return tally(gram, cells, k)


def swap(gram: Gram, partition: Partition, uniform: float) -> Partition:
    """Local search: draw a row by its cost, and let it replace the centroid that is missed least. Needs two cells."""
    distances = _distances(gram, partition)
    chances = (gram.mass * distances.min(axis=1)).cumsum(dtype=np.float64)
    row = min(int(np.searchsorted(chances, uniform * chances[-1], side="right")), len(chances) - 1)
    to_row = np.maximum(gram.norms + gram.norms[row] - 2 * gram.products[row], 0)
    cells = kernels.replace_one(distances, gram.mass, to_row)
    return tally(gram, cells, distances.shape[1])


def _distances(gram: Gram, partition: Partition) -> Floats:
    inverse = (1 / partition.masses).astype(np.float32)
    offset = (partition.within / partition.masses**2).astype(np.float32)
    distances: Floats = np.maximum(gram.norms[:, None] - 2 * partition.reach * inverse + offset, 0)
    return distances
