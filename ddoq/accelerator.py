"""The quantizer on a GPU, in plain torch: many classes at once by their Gram matrices, large ones on their points.

Both forms end alike, class by class: exact exchange passes until a single move cannot lower the cost, then centroids,
masses, medoids and distortion in float64. How the same bytes come of any run is said in `accelerator_moves`.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from ddoq import accelerator_gram as by_gram
from ddoq import accelerator_points as by_points
from ddoq.class_requests import ClassRequest, require_finite, require_rows
from ddoq.config import QuantizerConfig
from ddoq.errors import EmptyClassError
from ddoq.types import Codebook

BEST_RESTARTS = 4
COINCIDENT = 1e-9  # of the squared norms: centroids closer than this are compared exactly
DEVICE_BYTES = 2**31  # of rows on the device at once, and of Gram matrices


@dataclass(frozen=True)
class Start:
    """Cells of a class after the fast exchange, and the passes that took."""

    cells: Int[Tensor, " n"]
    passes: int


def quantize_on(
    device: torch.device, classes: Iterable[ClassRequest], quantizer: QuantizerConfig, budget_bytes: int = DEVICE_BYTES
) -> Iterator[tuple[Codebook, ...]]:
    """Quantize many classes on a device, a block at a time, and answer on the CPU in the order of the classes.

    Rows take `budget_bytes` of the device, Gram matrices as many again.

    Raises:
        EmptyClassError: a class has fewer distinct rows than codewords; the classes before it are answered first.
        NotFiniteError: a row with NaN or infinity.
    """
    for block in _group_requests(classes, budget_bytes):
        try:
            yield from _quantize_block(device, block, quantizer, budget_bytes)
        except EmptyClassError:
            for request in block:  # whose class it is shows when each is alone
                yield from _quantize_block(device, [request], quantizer, budget_bytes)


def _quantize_block(
    device: torch.device, block: Sequence[ClassRequest], quantizer: QuantizerConfig, budget_bytes: int
) -> list[tuple[Codebook, ...]]:
    """Quantize classes of the same numbers of codewords together."""
    rows, ks = [z.to(device) for z, _, _ in block], block[0][1]
    for z in rows:
        require_rows(len(z), ks)
        require_finite(z)
    rngs = [rng for _, _, rng in block]
    books = [map(_to_cpu, quantize_batch(rows, k, quantizer, rngs, budget_bytes)) for k in ks]
    return list(zip(*books, strict=True))


def _to_cpu(book: Codebook) -> Codebook:
    return replace(
        book,
        centroids=book.centroids.cpu(),
        weights=book.weights.cpu(),
        counts=book.counts.cpu(),
        medoids=book.medoids.cpu(),
        cells=book.cells.cpu(),
    )


def _group_requests(classes: Iterable[ClassRequest], budget_bytes: int) -> Iterator[list[ClassRequest]]:
    """Group classes of the same numbers of codewords in their order, within `budget_bytes` or of one class."""
    block: list[ClassRequest] = []
    held = 0
    for request in classes:
        size = 4 * request[0].numel()
        if block and (held + size > budget_bytes or tuple(request[1]) != tuple(block[0][1])):
            yield block
            block, held = [], 0
        block.append(request)
        held += size
    if block:
        yield block


def quantize_batch(
    classes: Sequence[Float[Tensor, "_ d"]],
    k: int,
    quantizer: QuantizerConfig,
    rngs: Sequence[Generator],
    budget_bytes: int = DEVICE_BYTES,
) -> list[Codebook]:
    """Quantize each class by `k` weighted points, on the device that holds the classes.

    Args:
        classes: Latents, a class each, one row a sample; finite, of any sizes, all on one device.
        k: Codewords, 1 <= k <= number of distinct rows of each class.
        quantizer: Effort and the most passes over the rows of a class.
        rngs: CPU generators of the draws, one a class; the codebook of a class depends on no other class.
        budget_bytes: Memory of the Gram matrices held at once. A class that alone needs more is taken on its points.

    Returns:
        A codebook a class, in the order given; tensors on the device of the classes.

    Raises:
        EmptyClassError: a class has fewer than `k` distinct rows.
    """
    uniforms = [_uniforms(k, quantizer, rng) for rng in rngs]
    books: dict[int, Codebook] = {}
    with _full_precision():
        for members in _blocks([len(z) for z in classes], k, budget_bytes):
            block = [classes[index].float() for index in members]
            draws = torch.stack([uniforms[index] for index in members]).to(block[0].device)
            fits = by_gram.block_bytes(len(block[-1]), k) <= budget_bytes
            starts = _gram_starts(block, k, quantizer, draws) if fits else [None] * len(block)
            for index, z, begun, own in zip(members, block, starts, draws, strict=True):
                start = begun or _points_start(z, k, quantizer, own)
                books[index] = _finish(z, start, k, quantizer.max_passes)
    return [books[index] for index in range(len(classes))]


def _blocks(sizes: Sequence[int], k: int, budget_bytes: int) -> Iterator[list[int]]:
    """Group classes of like size, the largest last, so that each group padded to it fits the budget."""
    members: list[int] = []
    for index in sorted(range(len(sizes)), key=sizes.__getitem__):
        if members and (len(members) + 1) * by_gram.block_bytes(sizes[index], k) > budget_bytes:
            yield members
            members = []
        members.append(index)
    if members:
        yield members


def _gram_starts(
    block: Sequence[Float[Tensor, "_ d"]], k: int, quantizer: QuantizerConfig, draws: Float[Tensor, "c r k t"]
) -> list[Start | None]:
    """Partition the classes of a block, the best of the restarts each; None where float32 tells too few rows apart."""
    grams = by_gram.gram_block(block)
    most_moves = quantizer.max_passes * grams.filled.sum(dim=1)
    cells, moves = torch.zeros_like(grams.filled, dtype=torch.int64), torch.zeros_like(most_moves)
    best = torch.full(moves.shape, -1.0, dtype=torch.float64, device=moves.device)
    for restart in draws.unbind(dim=1):
        seeds, exhausted = by_gram.seed(grams, k, restart)
        begun = by_gram.lloyd(grams, by_gram.assign(grams, seeds), k)
        ended, made = by_gram.exchange(grams, begun, k, most_moves.masked_fill(exhausted, 0))
        explained = by_gram.explained(grams, ended, k).masked_fill(exhausted, -1)
        better = explained > best
        best = torch.maximum(best, explained)
        cells, moves = torch.where(better[:, None], ended, cells), torch.where(better, made, moves)
    told_apart, n_moves = (best >= 0).tolist(), moves.tolist()
    return [
        Start(cells[index, : len(z)], math.ceil(n_moves[index] / len(z))) if told_apart[index] else None
        for index, z in enumerate(block)
    ]


def _points_start(z: Float[Tensor, "n d"], k: int, quantizer: QuantizerConfig, draws: Float[Tensor, "r k t"]) -> Start:
    """Partition one class on its points, the best of the restarts."""
    if len(z) == 0:
        raise EmptyClassError(f"0 distinct images, fewer than the {k} codewords asked for")
    starts = []
    for restart in draws:
        begun = by_points.lloyd(z, by_points.seed(z, k, restart))
        cells, passes, _ = by_points.exchange(z, begun, k, z.dtype, quantizer.max_passes)
        cost = by_points.own_squares(z, by_points.partition(z, cells, k).centroids, cells).sum()
        starts.append((float(cost), Start(cells, passes)))
    return min(starts, key=lambda start: start[0])[1]


def _finish(z: Float[Tensor, "n d"], start: Start, k: int, max_passes: int) -> Codebook:
    """Exchange exactly, then take the Voronoi cells of the centroids as they are returned; refill those left empty."""
    cells, passes = start.cells, start.passes
    for _ in range(k + 1):
        cells, more, is_fixed_point = by_points.exchange(z, cells, k, torch.float64, max_passes)
        passes += more
        centroids = by_points.partition(z, cells, k).centroids
        moved = _merge_twins(centroids, _voronoi(z, centroids.float(), cells))
        counts = by_points.sizes(moved, k)
        if bool((counts > 0).all()):
            break
        cells = _refill(moved, by_points.own_squares(z, centroids, moved), counts)
    else:  # float32 centroids too coarse for the data: keep the cells that these are the means of
        centroids, moved = by_points.partition(z, cells, k).centroids, cells
        is_fixed_point = False
    is_fixed_point &= torch.equal(cells, moved)
    return _codebook(z, centroids.float(), moved, passes, is_fixed_point)


def _codebook(
    z: Float[Tensor, "n d"], centroids: Float[Tensor, "k d"], cells: Int[Tensor, " n"], passes: int, is_fixed: bool
) -> Codebook:
    counts = by_points.sizes(cells, len(centroids))
    distances = by_points.own_squares(z, centroids, cells)
    return Codebook(
        centroids=centroids,
        weights=(counts.double() / len(z)).float(),
        counts=counts,
        medoids=_medoids(cells, distances, len(centroids)),
        cells=cells,
        distortion=float(distances.mean()),
        iterations=passes,
        is_fixed_point=is_fixed,
    )


def _voronoi(z: Float[Tensor, "n d"], centroids: Float[Tensor, "k d"], cells: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Move each row to its nearest centroid if that is nearer, by exact distances, than the centroid of its cell."""
    nearest = by_points.nearest(z, centroids, z.mean(dim=0).double())
    nearer = by_points.own_squares(z, centroids, nearest) < by_points.own_squares(z, centroids, cells)
    return torch.where(nearer, nearest, cells)


def _merge_twins(centroids: Float[Tensor, "k d"], cells: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Give the rows of a centroid that equals an earlier one to that: copies of one row can fill two cells."""
    centred = centroids - centroids.mean(dim=0)
    norms = centred.square().sum(dim=1)
    both = norms[:, None] + norms
    near = (both - 2 * centred @ centred.T <= COINCIDENT * both).triu(diagonal=1)
    for first, second in near.nonzero().tolist():
        if torch.equal(centroids[first], centroids[second]):
            cells = torch.where(cells == second, first, cells)
    return cells


def _refill(cells: Int[Tensor, " n"], distances: Float[Tensor, " n"], counts: Int[Tensor, " k"]) -> Int[Tensor, " n"]:
    """Put into each empty cell the row furthest from its centroid, of those that do not empty another cell."""
    cells, distances, counts = cells.clone(), distances.clone(), counts.clone()
    for empty in (counts == 0).nonzero()[:, 0]:
        row = torch.where(counts[cells] > 1, distances, -1).argmax()
        counts[cells[row]] -= 1
        counts[empty] += 1
        cells[row] = empty
    return cells


def _medoids(cells: Int[Tensor, " n"], distances: Float[Tensor, " n"], k: int) -> Int[Tensor, " k"]:
    """Row nearest to the centroid of each cell, the first of equals."""
    least = torch.full((k,), torch.inf, dtype=torch.float64, device=cells.device)
    least.scatter_reduce_(0, cells, distances, "amin")
    rows = torch.arange(len(cells), device=cells.device)
    candidates = torch.where(distances == least[cells], rows, len(cells))
    return torch.full((k,), len(cells), device=cells.device).scatter_reduce_(0, cells, candidates, "amin")


def _uniforms(k: int, quantizer: QuantizerConfig, rng: Generator) -> Float[Tensor, "r k t"]:
    restarts = BEST_RESTARTS if quantizer.effort == "best" else 1
    candidates = 1 if quantizer.effort == "fast" else 2 + int(math.log(k))
    return torch.rand(restarts, k, candidates, generator=rng, dtype=torch.float64)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Multiply float32 matrices in float32, not TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
