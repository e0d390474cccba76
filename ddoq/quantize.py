"""Latents of a class -> codebook, in the order of the mathematics: seed, exchange, swap, exact centroids and masses.

The mass of a codeword is the share of the class in its Voronoi cell. For fixed centroids these masses are the
W2-optimal weights, and W2 squared to the empirical measure then equals the distortion. A partition in which no single
row lowers the cost by changing its cell (Hartigan & Wong) is a Voronoi partition, and a better one than Lloyd's
iterations end in. `docs/quantizer.md` has the formulas and the measurements.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ddoq import gram, points, row_kernels
from ddoq.accelerator import DEVICE_BYTES, quantize_on
from ddoq.class_requests import ClassRequest, require_finite, require_rows
from ddoq.config import QuantizerConfig
from ddoq.device import choose_device
from ddoq.errors import EmptyClassError
from ddoq.row_kernels import Ints
from ddoq.threads import one_core_each
from ddoq.types import Codebook

GRAM_ROWS = 4096  # at most: 64 MiB of inner products, twice that while they are rounded
ROWS_A_DIMENSION = 8  # up to here the inner products are cheap beside the passes that they save
SAMPLE_ROWS = 12  # a codeword, where they are not
LEAST_SAMPLE = 256  # rows of a sample: fewer are no saving
SAMPLE_SWAPS = 20  # times fewer in a sample: what they gain there is not gained on all rows
ORIGIN_ROWS = 64  # whose mean is near enough to that of a class


@dataclass(frozen=True)
class Effort:
    """How much is tried: candidates a seed, rounds of local search, and the fall that ends the passes.

    The last is a share of the cost that a pass over all rows must save for another to follow.
    """

    candidates: int
    swaps: int
    tolerance: float


EFFORTS = {"fast": Effort(1, 0, 1e-3), "default": Effort(4, 16, 2.5e-4), "best": Effort(8, 100, 0.0)}


@dataclass(frozen=True)
class Task:
    """One class to be quantized: rows from an origin amid them, their squared lengths, masses, and how hard to try."""

    z: Float[Tensor, "n d"]
    norms: Float[Tensor, " n"]
    origin: Float[Tensor, " d"]
    mass: Float[Tensor, " n"]
    rounded: points.Rounded | None
    max_passes: int
    effort: Effort
    rng: Generator


def quantize(
    z: Float[Tensor, "n d"], k: int, quantizer: QuantizerConfig, rng: Generator, mass: Float[Tensor, " n"] | None = None
) -> Codebook:
    """Quantize the empirical measure of `z` by `k` weighted points.

    Args:
        z: Latents of one class, one row each, in the prior's own scale; finite.
        k: Codewords, 1 <= k <= number of distinct rows.
        quantizer: How much to try, and when to stop.
        rng: CPU generator of every draw.
        mass: Positive mass of each row; one each when left out.

    Returns:
        Centroids, their Voronoi masses (all > 0, sum 1), counts, medoids, cells and the mean squared distortion, at the
        end, of the start found in inner products and after each pass over the rows.

    Raises:
        EmptyClassError: fewer than `k` distinct rows.
        NotFiniteError: a row with NaN or infinity.

    Source: Hartigan & Wong (1979); seeding Arthur & Vassilvitskii (2007); weights arXiv:2501.07681.
    """
    task = _task(z, quantizer, rng, mass)
    with one_core_each() as threads, one_core_each(1) as alone:
        return alone.submit(_sweep, task, [k], threads).result()[0]


def quantize_sweep(
    z: Float[Tensor, "n d"], ks: Sequence[int], quantizer: QuantizerConfig, rng: Generator
) -> tuple[Codebook, ...]:
    """Quantize by several numbers of codewords at once, as `quantize` does; answers in the order of `ks`.

    They share the matrix of inner products, and each starts from the better of fresh seeds and the one below it, split.
    """
    with one_core_each() as threads, one_core_each(1) as alone:
        return alone.submit(_sweep, _task(z, quantizer, rng, None), ks, threads).result()


def quantize_classes(
    classes: Iterable[ClassRequest], quantizer: QuantizerConfig, halvings: int = 0
) -> Iterator[tuple[Codebook, ...]]:
    """Quantize many classes as `quantize_sweep` does, and answer in their order.

    On the CPU each class has a core of its own; a CUDA device, if there is one, takes many at once.

    Memory: as many classes as there are cores and one more, and for each its inner products, at most 128 MiB; on a
    CUDA device 2 GiB of rows and as much again of inner products. Half of it, `halvings` times over.
    """
    if (device := choose_device()).type == "cuda":  # others lack the double precision that the last step needs
        yield from quantize_on(device, classes, quantizer, DEVICE_BYTES >> halvings)
        return
    n_threads = max(1, torch.get_num_threads() >> halvings)
    with one_core_each(n_threads) as threads, one_core_each(n_threads) as within:
        window: deque[Future[tuple[Codebook, ...]]] = deque()
        for z, ks, rng in classes:
            window.append(threads.submit(_quantize_one, z, ks, quantizer, rng, within))
            if len(window) > n_threads:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()


def _task(
    z: Float[Tensor, "n d"], quantizer: QuantizerConfig, rng: Generator, mass: Float[Tensor, " n"] | None
) -> Task:
    """Check the rows and take them from an origin amid them, where distances lose the fewest digits."""
    n, d = z.shape
    z = z.float().contiguous()
    origin = z[:: -(-n // ORIGIN_ROWS)].mean(dim=0)
    rows, norms = torch.from_numpy(np.empty((n, d), np.float32)), torch.empty(n)  # numpy asks for huge pages
    row_kernels.centre(z.numpy(), origin.numpy(), rows.numpy(), norms.numpy())
    require_finite(norms)
    mass = torch.ones(n) if mass is None else mass.float()
    rounded = None if _has_gram(n, d) else points.round_rows(rows)
    return Task(rows, norms, origin, mass, rounded, quantizer.max_passes, EFFORTS[quantizer.effort], rng)


def _has_gram(n: int, d: int) -> bool:
    """Whether the inner products of all rows are cheap enough."""
    return n <= min(GRAM_ROWS, ROWS_A_DIMENSION * d)


def _quantize_one(
    z: Float[Tensor, "n d"], ks: Sequence[int], quantizer: QuantizerConfig, rng: Generator, threads: ThreadPoolExecutor
) -> tuple[Codebook, ...]:
    require_rows(len(z), ks)
    return _sweep(_task(z, quantizer, rng, None), ks, threads)


def _sweep(task: Task, ks: Sequence[int], threads: ThreadPoolExecutor | None) -> tuple[Codebook, ...]:
    starts = _start(task, sorted(set(ks)))
    books = {k: _settle(task, of_rows, k, threads) for k, of_rows in starts.items()}
    return tuple(books[k] for k in ks)


def _start(task: Task, ks: Sequence[int]) -> Mapping[int, Ints]:
    """A good partition of all rows for each of the rising `ks`, found in inner products: of a sample, if need be."""
    n, d = task.z.shape
    n_sample = n if _has_gram(n, d) else min(n, GRAM_ROWS, max(LEAST_SAMPLE, SAMPLE_ROWS * ks[-1]))
    rows = torch.arange(n) if n_sample == n else torch.randperm(n, generator=task.rng)[:n_sample].sort().values
    sample = task.z if n_sample == n else task.z[rows]
    products = gram.gram_of(sample, task.norms[rows], task.mass[rows])
    starts: dict[int, Ints] = {}
    below: gram.Partition | None = None
    for k in ks:
        below = _search(products, k, below, task)
        if below is None:
            starts[k] = _distinct_start(task, k)
        else:
            starts[k] = below.cells if n_sample == n else _widen(task, rows, below.cells, k)
    return starts


def _search(products: gram.Gram, k: int, below: gram.Partition | None, task: Task) -> gram.Partition | None:
    """Seed, exchange, and try swaps; None when the rows give out."""
    n = len(products.mass)
    uniforms = torch.rand(k, task.effort.candidates, generator=task.rng, dtype=torch.float64).numpy()
    best = gram.seed_partition(products, k, uniforms)
    if best is None:
        return None
    gram.exchange(products, best, task.max_passes)
    if below is not None:
        best = _better(products, best, gram.split_costliest(products, below, k - len(below.masses)), task.max_passes)
    n_swaps = task.effort.swaps // (1 if n == len(task.z) else SAMPLE_SWAPS) if 1 < k < n else 0
    for uniform in torch.rand(n_swaps, generator=task.rng, dtype=torch.float64).tolist():
        best = _better(products, best, gram.swap(products, best, uniform), task.max_passes)
    return best


def _better(products: gram.Gram, one: gram.Partition, other: gram.Partition, max_passes: int) -> gram.Partition:
    """The cheaper of a settled partition and another once it is settled."""
    gram.exchange(products, other, max_passes)
    return min(one, other, key=lambda partition: gram.cost_of(products, partition))


def _widen(task: Task, rows: Tensor, cells: Ints, k: int) -> Ints:
    """Give every row the nearest centroid of a sample's partition; the sample keeps its cells, so none is empty."""
    sample = points.gather(task.z[rows], task.norms[rows], task.mass[rows], cells, k)
    of_rows = points.nearest(sample, task.z, task.rounded)
    of_rows[rows.numpy()] = cells
    return of_rows


def _distinct_start(task: Task, k: int) -> Ints:
    """Start from distinct rows drawn at random, where equal rows left too few to seed from.

    Raises:
        EmptyClassError: there are fewer than `k`.
    """
    distinct, of_rows = torch.unique(task.z, dim=0, return_inverse=True)
    if len(distinct) < k:
        raise EmptyClassError(f"{len(distinct)} distinct images, fewer than the {k} codewords asked for")
    chosen = torch.randperm(len(distinct), generator=task.rng)[:k]
    cells = torch.cdist(distinct.double(), distinct[chosen].double()).argmin(dim=1)
    cells[chosen] = torch.arange(k)
    return np.ascontiguousarray(cells[of_rows].numpy())


def _settle(task: Task, of_rows: Ints, k: int, threads: ThreadPoolExecutor | None) -> Codebook:
    """Exchange on the rows themselves until nothing moves or little is saved, then read off the codebook."""
    cells = points.gather(task.z, task.norms, task.mass, of_rows, k)
    seen, history = _exchange(task, cells, threads)
    while seen.moved:  # the cells of the last centroids; should one be empty, moving rows fills it
        seen = points.exchange_pass(cells, False, threads)
        if np.bincount(seen.nearest, minlength=k).all():
            break
        seen = points.exchange_pass(cells, True, threads)
    return _read_off(task, cells.centroids, seen, history)


def _exchange(task: Task, cells: points.Cells, threads: ThreadPoolExecutor | None) -> tuple[points.Pass, list[float]]:
    """Pass until nothing moves or little is saved, in rounded rows first; answer the last pass and all costs."""
    costs = [points.cost_of(cells)]
    rounded = task.rounded if task.max_passes > 1 else None
    for n_passes in range(1, task.max_passes + 1):
        seen = points.exchange_pass(cells, True, threads, rounded)
        costs.append(costs[-1] - seen.saved)
        is_settled = seen.moved == 0 or seen.saved < task.effort.tolerance * costs[-1]
        if is_settled and rounded is None:
            break
        if is_settled or n_passes == task.max_passes - 1:
            rounded = None  # the last word is with the rows as they are
    return seen, costs


def _read_off(task: Task, centroids: Float[Tensor, "k d"], seen: points.Pass, costs: Sequence[float]) -> Codebook:
    """Masses, medoids and distortion of exactly these centroids."""
    k, cells = len(centroids), seen.nearest
    distances = points.distances_to(task.z, centroids, cells)
    mass = task.mass.double().numpy()
    shares = np.bincount(cells, mass, minlength=k)
    medoids = row_kernels.medoids_of(cells, distances, k)
    return Codebook(
        centroids=centroids + task.origin,
        weights=torch.from_numpy(shares / shares.sum()).float(),
        counts=torch.from_numpy(np.bincount(cells, minlength=k)),
        medoids=torch.from_numpy(medoids),
        cells=torch.from_numpy(cells),
        distortion=float(mass @ distances / mass.sum()),
        iterations=len(costs) - 1,
        is_fixed_point=seen.moved == 0,
        history=tuple(max(cost, 0.0) / float(mass.sum()) for cost in costs),
    )
