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

from ddoq import kernels, row_kernels
from ddoq.row_kernels import Doubles, Floats, Ints

BLOCKS = 4  # of rows in the symmetric product: 5/8 of the full one
LEAST_ROWS = 256  # of a block: below, copying is dearer than multiplying


@dataclass(frozen=True)
class Gram:
    """Inner products of the rows of one class. `seed_norms` are those of the rounded rows: equal rows are at zero."""

    products: Floats
    norms: Floats
    seed_norms: Floats
    mass: Floats

    @property
    def triple(self) -> kernels.Products:
        """What the kernels take."""
        return self.products, self.norms, self.mass


@dataclass
class Partition:
    """A partition of the rows, with what the exchange needs to know of each cell: R, S and M of the module's text."""

    cells: Ints
    reach: Floats
    within: Doubles
    masses: Doubles

    @property
    def parts(self) -> kernels.Parts:
        """What the kernels take, and change in place."""
        return self.cells, self.reach, self.within, self.masses


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
    rounded, scales = row_kernels.round_to_bytes(z.numpy())
    rows, products = torch.from_numpy(rounded), np.empty((len(z), len(z)), np.float32)
    step = max(-(-len(z) // BLOCKS), LEAST_ROWS)
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
    return int(kernels.exchange(gram.triple, partition.parts, max_passes))


def split_costliest(gram: Gram, partition: Partition, more: int) -> Partition:
    """Warm start for more cells: the rows that cost most become cells of their own."""
    k = len(partition.masses)
    costs = gram.mass * kernels.two_nearest(gram.norms, partition.parts)[0]
    cells = partition.cells.copy()
    for row in np.argsort(-costs, kind="stable"):
        if more and (cells == cells[row]).sum() > 1:
            cells[row], k, more = k, k + 1, more - 1
    return tally(gram, cells, k)


def swap(gram: Gram, partition: Partition, uniform: float) -> Partition:
    """Local search: draw a row by its cost, and let it replace the centroid that is missed least. Needs two cells."""
    return Partition(*kernels.swap(gram.triple, partition.parts, uniform))
