"""Latents of a class -> points that stand for it: centroids, or rows chosen by one of several rules. One signature.

Chosen rows get the masses of their Voronoi cells, as centroids do. A choice of few is the start of a choice of many
(but for medoids), so that a sweep costs no more than its largest number of codewords.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from ddoq.class_requests import require_rows
from ddoq.clvq import Batches, quantize_stream
from ddoq.config import QuantizerConfig
from ddoq.errors import NotFiniteError
from ddoq.methods import ReducerName
from ddoq.quantize import quantize_sweep
from ddoq.types import Codebook

STREAM_ROWS = 10  # a codeword, in each batch of a stream
BLOCK_ROWS = 1024


@dataclass(frozen=True)
class ClassRows:
    """The latents of one class, opened from their start by `batches`; `held` are all of them, where memory allows.

    Of a class that is not held, a rule that needs rows in memory chooses among `n_pool` of them, drawn at random.
    """

    batches: Batches
    n_rows: int
    n_pool: int
    held: Float[Tensor, "n d"] | None

    @classmethod
    def of(cls, z: Float[Tensor, "n d"]) -> "ClassRows":
        """Wrap rows that are in memory."""
        return cls(lambda: iter((z,)), len(z), len(z), z)

    def take(self, rows: Int[Tensor, " m"]) -> Float[Tensor, "m d"]:
        """Gather rows in the order given."""
        if self.held is not None:
            return self.held[rows]
        rising = rows.sort()
        found = []
        for start, block in self.blocks():
            inside = (rising.values >= start) & (rising.values < start + len(block))
            found.append(block[rising.values[inside] - start])
        return torch.cat(found)[rising.indices.argsort()]

    def blocks(self) -> Iterator[tuple[int, Float[Tensor, "b d"]]]:
        """Go through all rows, a bounded number at a time, each time with the number of the first."""
        start = 0
        for batch in self.batches():
            for block in batch.split(BLOCK_ROWS):
                yield start, block
                start += len(block)


Reducer = Callable[[ClassRows, Sequence[int], QuantizerConfig, Generator], tuple[Codebook, ...]]


def reduce_class(
    rows: ClassRows, ks: Sequence[int], reducer: ReducerName, quantizer: QuantizerConfig, rng: Generator
) -> tuple[Codebook, ...]:
    """Let points stand for a class, anew for each number of codewords in `ks`; answers in that order.

    Args:
        rows: Latents of the class.
        ks: Numbers of codewords, each from 1 to the number of distinct rows (of rows, where rows are chosen).
        reducer: The rule; see `REDUCERS`.
        quantizer: How much `centroid` and `medoid` try.
        rng: CPU generator of every draw.

    Raises:
        EmptyClassError: fewer rows than codewords.
        NotFiniteError: a row with NaN or infinity.
    """
    require_rows(rows.n_rows, ks)
    return REDUCERS[reducer](rows, ks, quantizer, rng)


def choose_by_herding(z: Float[Tensor, "n d"], k: int) -> Int[Tensor, " k"]:
    """Choose rows one by one, each so that the mean of those chosen comes closest to the mean of all.

    A row is chosen once, so `k` is at most their number. Takes n k d operations and one centred copy of the rows.

    Source: Welling (2009), with distances in place of his inner products, and without replacement, as for coresets.
    """
    z = _centre(z)
    scores = torch.linalg.vecdot(z, z)  # |sum of the chosen + row|^2, less the same number for all rows
    chosen: list[int] = []
    while len(chosen) < k:
        chosen.append(int(scores.argmin()))
        scores += 2 * (z @ z[chosen[-1]])
        scores[chosen[-1]] = torch.inf
    return torch.tensor(chosen)


def choose_k_centres(z: Float[Tensor, "n d"], k: int) -> Int[Tensor, " k"]:
    """Choose the row nearest to the mean, then again and again the row farthest from those chosen.

    The largest distance of a row to those chosen is at most twice the least possible for `k` rows. A row is chosen
    once, so `k` is at most their number. Takes n k d operations and one centred copy of the rows.

    Source: Gonzalez (1985); as a coreset Sener & Savarese (2018).
    """
    z = _centre(z)
    norms = torch.linalg.vecdot(z, z)
    chosen = [int(norms.argmin())]
    distances = torch.full_like(norms, torch.inf)
    while len(chosen) < k:
        last = chosen[-1]
        distances = distances.minimum((norms + norms[last] - 2 * (z @ z[last])).clamp(min=0))
        distances[last] = -1  # once is enough, among equal rows too
        chosen.append(int(distances.argmax()))
    return torch.tensor(chosen)


def _centroids(rows: ClassRows, ks: Sequence[int], quantizer: QuantizerConfig, rng: Generator) -> tuple[Codebook, ...]:
    if rows.held is None:
        return _learnt(rows, ks, quantizer, rng)
    return quantize_sweep(rows.held, ks, quantizer, rng)


def _learnt(rows: ClassRows, ks: Sequence[int], _quantizer: QuantizerConfig, rng: Generator) -> tuple[Codebook, ...]:
    return tuple(quantize_stream(rows.batches, k, STREAM_ROWS * k, rng.clone_state()) for k in ks)


def _medoids(rows: ClassRows, ks: Sequence[int], quantizer: QuantizerConfig, rng: Generator) -> tuple[Codebook, ...]:
    books = _centroids(rows, ks, quantizer, rng)
    return tuple(
        replace(*_read_off(rows, book.medoids, ks=[k]), iterations=book.iterations)
        for k, book in zip(ks, books, strict=True)
    )


def _random(rows: ClassRows, ks: Sequence[int], _quantizer: QuantizerConfig, rng: Generator) -> tuple[Codebook, ...]:
    return _read_off(rows, torch.randperm(rows.n_rows, generator=rng)[: max(ks)], ks)


def _chosen_by(choose: Callable[[Float[Tensor, "n d"], int], Int[Tensor, " k"]]) -> Reducer:
    """Make a reducer of a rule that needs its rows in memory."""

    def choose_rows(
        rows: ClassRows, ks: Sequence[int], _quantizer: QuantizerConfig, rng: Generator
    ) -> tuple[Codebook, ...]:
        if rows.held is not None:
            return _read_off(rows, choose(rows.held, max(ks)), ks)
        pool = torch.randperm(rows.n_rows, generator=rng)[: rows.n_pool].sort().values
        return _read_off(rows, pool[choose(rows.take(pool), max(ks))], ks)

    return choose_rows


REDUCERS: Mapping[ReducerName, Reducer] = MappingProxyType(
    {
        "centroid": _centroids,
        "clvq": _learnt,
        "random": _random,
        "medoid": _medoids,
        "herding": _chosen_by(choose_by_herding),
        "k-centre": _chosen_by(choose_k_centres),
    }
)


def _read_off(rows: ClassRows, chosen: Int[Tensor, " m"], ks: Sequence[int]) -> tuple[Codebook, ...]:
    """Masses, cells and distortion of the first k rows of a choice, for each k, in double precision and in one pass.

    A chosen row is in its own cell, also where it equals one chosen before: so no cell is empty.
    """
    points = rows.take(chosen).float()
    origin = points.double().mean(dim=0)  # distances of centred rows lose the fewest digits
    centred = points.double() - origin
    offset = torch.linalg.vecdot(centred, centred)
    cells: list[list[Tensor]] = [[] for _ in ks]
    costs = [0.0] * len(ks)
    for start, block in rows.blocks():
        z = block.double() - origin
        norms = torch.linalg.vecdot(z, z)
        if not bool(torch.isfinite(norms).all()):
            raise NotFiniteError("a latent holds NaN or infinity; use another prior")
        products = torch.addmm(offset, z, centred.T, alpha=-2)
        inside = ((chosen >= start) & (chosen < start + len(z))).nonzero().flatten()
        products[chosen[inside] - start, inside] = -torch.inf
        for place, k in enumerate(ks):
            least = products[:, :k].min(dim=1)
            cells[place].append(least.indices)
            costs[place] += float((norms + least.values).clamp(min=0).sum())
    return tuple(
        _codebook(points[:k], chosen[:k], torch.cat(parts), cost / rows.n_rows)
        for k, parts, cost in zip(ks, cells, costs, strict=True)
    )


def _codebook(
    points: Float[Tensor, "k d"], chosen: Int[Tensor, " k"], cells: Int[Tensor, " n"], distortion: float
) -> Codebook:
    counts = cells.bincount(minlength=len(points))
    weights = (counts.double() / len(cells)).float()
    return Codebook(points, weights, counts, chosen, cells, distortion, iterations=0, is_fixed_point=False)


def _centre(z: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    return z.float() - z.mean(dim=0, dtype=torch.float64).float()
