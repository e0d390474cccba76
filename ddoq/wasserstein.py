"""How far a codebook is from the latents it stands for: squared 2-Wasserstein distances, with its weights or without.

Every value is a squared distance, in the squared unit of the latents. Voronoi masses are the best weights that given
centroids can have, and W2^2 is then the distortion; any other weights, equal ones too, need an optimal transport.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ddoq.seeds import draw_numbers
from ddoq.types import Codebook

BLOCK_BYTES = 64 * 2**20  # of distances held at once
PIVOTS = 100_000_000  # at most: POT's limit; a thousand rows by a thousand centroids take some 100,000


@dataclass(frozen=True)
class W2:
    """Squared W2 of the same rows to the same centroids under their masses and under equal weights.

    Means over `n_classes` classes, of each of which at most `n_rows` rows were drawn.
    """

    weighted: float
    uniform: float
    n_rows: int
    n_classes: int


def w2_weighted(z: Float[Tensor, "n d"], codebook: Codebook) -> float:
    """Squared W2 between the rows of `z`, one mass each, and the weighted codebook; exact, in double precision.

    Args:
        z: All rows that the codebook was made of.
        codebook: Its weights must be the Voronoi masses of its centroids, for which W2^2 is the distortion. A row at
            equal distance of several centroids may be counted to any of them.

    Raises:
        ValueError: the weights are not those masses.
    """
    k = len(codebook.centroids)
    counts = torch.zeros(k, dtype=torch.float64)
    cost, n_tied = 0.0, 0
    for rows in z.split(max(1, BLOCK_BYTES // (8 * k))):
        distances = _squared_distances(rows, codebook.centroids)
        least, cells = distances.min(dim=1)
        cost += float(least.sum())
        counts += torch.bincount(cells, minlength=k)
        n_tied += int((distances <= (least + _rounding(rows, distances))[:, None]).sum(dim=1).gt(1).sum())
    misplaced = float((codebook.weights.double().cpu() - counts / len(z)).abs().sum()) / 2
    if misplaced > n_tied / len(z) + 1e-5:
        raise ValueError(
            f"the weights differ from the Voronoi masses of these centroids by {misplaced:.3g} of the mass, of which "
            f"{n_tied / len(z):.3g} may be ties; W2 then is not the distortion"
        )
    return cost / len(z)


def w2_uniform(z: Float[Tensor, "n d"], centroids: Float[Tensor, "k d"], n_rows: int, rng: Generator) -> float:
    """Squared W2 between rows of `z` and the centroids, all of equal weight; an exact transport, in double precision.

    Args:
        z: Rows of one class.
        centroids: Each stands for 1/k of the mass, however many rows are near it.
        n_rows: Rows drawn without replacement; all of them if there are no more. The cost grows with rows times k.
        rng: CPU generator of the draw.
    """
    return _transport(draw_rows(z, n_rows, rng), centroids, torch.ones(len(centroids)))


def measure_w2(classes: Iterable[tuple[Float[Tensor, "n d"], Codebook, Generator]], n_rows: int) -> W2:
    """Mean squared W2 of several classes, weighted and uniform on the same `n_rows` rows of each.

    On all rows the weighted one is the distortion; on fewer, both carry the chance of the same draw.

    Args:
        classes: Latents, their codebook and a CPU generator of the draw, one class at a time; at least one.
        n_rows: Rows drawn of each class at most.
    """
    weighted, uniform = [], []
    for z, codebook, rng in classes:
        rows = draw_rows(z, n_rows, rng)
        weighted.append(_transport(rows, codebook.centroids, codebook.weights))
        uniform.append(_transport(rows, codebook.centroids, torch.ones(len(codebook.weights))))
    return W2(fmean(weighted), fmean(uniform), n_rows, len(weighted))


def _transport(rows: Float[Tensor, "m d"], centroids: Float[Tensor, "k d"], weights: Float[Tensor, " k"]) -> float:
    """Least mean squared distance at which equal masses on `rows` become `weights` (of any sum) on `centroids`."""
    import ot  # a second or two, and whatever array libraries are installed: only for who asks

    costs = _squared_distances(rows, centroids)
    largest = float(costs.max())
    if largest == 0:
        return 0.0
    masses = torch.full((len(rows),), 1 / len(rows), dtype=torch.float64)
    shares = weights.double().cpu() / weights.double().cpu().sum()
    # The simplex compares with fixed tolerances: costs of at most 1 make its answer independent of the unit.
    share_of_largest = ot.emd2(masses.numpy(), shares.numpy(), (costs / largest).numpy(), numItermax=PIVOTS)
    return largest * float(share_of_largest)


def _squared_distances(rows: Float[Tensor, "m d"], centroids: Float[Tensor, "k d"]) -> Float[Tensor, "m k"]:
    """In double precision on the CPU, from centred rows, where squares cancel least."""
    origin = centroids.double().mean(dim=0)
    z, c = rows.double() - origin, centroids.double() - origin
    squares = z.square().sum(dim=1)[:, None] + c.square().sum(dim=1)
    return torch.addmm(squares, z, c.T, alpha=-2).clamp(min=0).cpu()


def _rounding(rows: Float[Tensor, "m d"], distances: Float[Tensor, "m k"]) -> Float[Tensor, " m"]:
    """Difference of squared distances that a codebook made in single precision cannot tell from none."""
    farthest = distances.max(dim=1).values
    lengths = rows.double().square().sum(dim=1).sqrt().cpu()
    return 1e-5 * farthest + 2**-21 * lengths * farthest.sqrt()


def draw_rows(z: Float[Tensor, "n d"], n_rows: int, rng: Generator) -> Float[Tensor, "m d"]:
    """Draw `n_rows` rows without replacement, in their order; all of them if there are no more."""
    return z if len(z) <= n_rows else z[draw_numbers(len(z), n_rows, rng).to(z.device)]
