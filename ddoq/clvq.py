"""A stream of latents -> codebook, for a class too large for memory: competitive learning, then an exact last pass.

The stream is opened anew for every pass and cut into batches of one size, so that nothing depends on how it came cut.
Held at once: a batch, a few times k rows, and one integer for each row that went by.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from ddoq.errors import EmptyClassError, NotFiniteError
from ddoq.types import Codebook

Batches = Callable[[], Iterator[Float[Tensor, "b d"]]]


def quantize_stream(batches: Batches, k: int, batch_rows: int, rng: Generator) -> Codebook:
    """Quantize a stream of rows by `k` weighted points, in one pass of learning and one of measuring.

    Each centroid is the running mean of the rows it has won, a step of 1/count, a batch at a time. Rare cells are never
    moved while learning. One that is still empty at the end is set onto a costliest row and measured again, at most
    `k` times.

    Args:
        batches: Opens the stream from its start: the same finite rows in the same order at each call, cut anyhow.
        k: Codewords, 1 <= k <= number of distinct rows.
        batch_rows: Rows that learn at once; 1 is competitive learning row by row. Independent of the cut of the stream.
        rng: CPU generator of the k-means++ draw among the first rows.

    Returns:
        Centroids, their Voronoi masses (all > 0, sum 1), counts, medoids, cells, and the mean squared distortion summed
        in double precision. `iterations` counts the one pass of learning; a fixed point is not sought.

    Raises:
        EmptyClassError: fewer than `k` distinct rows.
        NotFiniteError: a row with NaN or infinity.
        ValueError: `k` or `batch_rows` below 1, or `batches` that does not start over.

    Source: CLVQ as mini-batch k-means, Sculley (2010); seeding Arthur & Vassilvitskii (2007); weights arXiv:2501.07681.
    """
    if k < 1 or batch_rows < 1:
        raise ValueError(f"k = {k} and batch_rows = {batch_rows} must both be at least 1")
    first = _first_rows(_cut(batches(), batch_rows), k)
    origin = first.mean(dim=0)  # distances of centred rows lose the fewest digits
    centroids, n_learnt = _learn(_cut(batches(), batch_rows), _draw_seeds(first, k, rng), origin)
    pins: dict[int, int] = {}
    while True:
        measured = _measure(_cut(batches(), batch_rows), centroids, origin, pins)
        if measured.n_rows != n_learnt:
            raise ValueError(f"the stream held {n_learnt} rows, then {measured.n_rows}; batches() must start it over")
        empty = (measured.counts == 0).nonzero().flatten().tolist()
        if not empty:
            return measured.codebook(centroids)
        centroids, pins = _occupy(centroids, empty, measured, pins)


@dataclass(frozen=True)
class _Row:
    """A row of the stream that is far from its centroid."""

    index: int
    distance: float
    point: Float[Tensor, " d"]


@dataclass
class _Measured:
    """Running figures of exactly the centroids at hand; `costliest` has the farthest rows, falling."""

    counts: Int[Tensor, " k"]
    nearest: Float[Tensor, " k"]
    medoids: Int[Tensor, " k"]
    n_rows: int = 0
    cost: float = 0.0
    cells: list[Int[Tensor, " b"]] = field(default_factory=list)
    costliest: list[_Row] = field(default_factory=list)

    def add(self, batch: Float[Tensor, "b d"], cells: Int[Tensor, " b"], distances: Float[Tensor, " b"]) -> None:
        """Take in a batch with the cell of each row and its squared distance to that centroid."""
        k = len(self.counts)
        self.counts += torch.bincount(cells, minlength=k)
        self.cost += float(distances.sum())
        self.cells.append(cells)
        order = distances.argsort(stable=True)
        order = order[cells[order].argsort(stable=True)]  # by cell, the nearest first
        won = cells[order]
        rows = order[torch.cat([won.new_ones(1) > 0, won[1:] != won[:-1]])]
        rows = rows[distances[rows] < self.nearest[cells[rows]]]
        self.nearest[cells[rows]] = distances[rows]
        self.medoids[cells[rows]] = self.n_rows + rows
        self._keep_costliest(batch, distances)
        self.n_rows += len(batch)

    def codebook(self, centroids: Float[Tensor, "k d"]) -> Codebook:
        """Put together what was measured of `centroids`, once no cell is empty."""
        return Codebook(
            centroids=centroids,
            weights=(self.counts.double() / self.n_rows).float(),
            counts=self.counts,
            medoids=self.medoids,
            cells=torch.cat(self.cells),
            distortion=self.cost / self.n_rows,
            iterations=1,
            is_fixed_point=False,
        )

    def _keep_costliest(self, batch: Float[Tensor, "b d"], distances: Float[Tensor, " b"]) -> None:
        """Keep the `k` costliest rows so far, of which empty cells take theirs."""
        k = len(self.counts)
        bar = self.costliest[-1].distance if len(self.costliest) == k else 0.0
        order = distances.argsort(descending=True, stable=True)[:k]
        rows = order[distances[order] > bar].tolist()
        far = [_Row(self.n_rows + row, float(distances[row]), batch[row].clone()) for row in rows]
        self.costliest = sorted([*self.costliest, *far], key=lambda row: -row.distance)[:k]


def _cut(stream: Iterable[Float[Tensor, "b d"]], batch_rows: int) -> Iterator[Float[Tensor, "b d"]]:
    """Cut a stream into batches of `batch_rows` rows; the last holds the remainder, however small."""
    held: list[Tensor] = []
    missing = batch_rows
    for part in stream:
        if not bool(torch.isfinite(part).all()):
            raise NotFiniteError("a latent holds NaN or infinity; use another prior")
        for rows in (part[:missing], *part[missing:].split(batch_rows)):
            held.append(rows.to(torch.float32, copy=True))  # the stream may fill the same memory again
            missing -= len(rows)
            if missing == 0:
                yield torch.cat(held)
                held, missing = [], batch_rows
    if missing < batch_rows:
        yield torch.cat(held)


def _first_rows(batches: Iterable[Float[Tensor, "b d"]], k: int) -> Float[Tensor, "m d"]:
    """Read until `k` distinct rows have come; repetitions are dropped while they have not."""
    rows: Tensor | None = None
    for batch in batches:
        rows = batch if rows is None else torch.cat([rows, batch])
        if len(rows) < k:
            continue
        distinct = rows.unique(dim=0)
        if len(distinct) >= k:
            return rows
        rows = distinct
    n_distinct = 0 if rows is None else len(rows.unique(dim=0))
    raise EmptyClassError(f"{n_distinct} distinct images, fewer than the {k} codewords asked for")


def _draw_seeds(rows: Float[Tensor, "m d"], k: int, rng: Generator) -> Float[Tensor, "k d"]:
    """Draw `k` distinct rows, each in proportion to the squared distance to those drawn before (k-means++)."""
    z = rows.double()  # no two distinct rows of single precision have distance zero
    distances = torch.full((len(z),), torch.inf, dtype=z.dtype, device=z.device)
    chances = torch.ones(len(z), dtype=z.dtype)
    drawn: list[int] = []
    while len(drawn) < k:
        drawn.append(int(torch.multinomial(chances, 1, generator=rng)))
        distances = torch.minimum(distances, (z - z[drawn[-1]]).square().sum(dim=1))
        chances = distances.cpu()
    return rows[drawn]


def _learn(
    batches: Iterable[Float[Tensor, "b d"]], seeds: Float[Tensor, "k d"], origin: Float[Tensor, " d"]
) -> tuple[Float[Tensor, "k d"], int]:
    """Let each batch move the centroids that win its rows; answer the centroids and the number of rows."""
    centroids = seeds - origin
    sums = torch.zeros_like(centroids, dtype=torch.float64)
    counts = torch.zeros(len(seeds), dtype=torch.float64, device=seeds.device)
    for batch in batches:
        z = batch - origin
        members = torch.nn.functional.one_hot(_cells(z, centroids), len(seeds)).to(z.dtype).T
        sums += members @ z  # a matrix product: the same sums in any run, on a GPU too
        counts += members.sum(dim=1)
        won = counts > 0
        centroids[won] = (sums[won] / counts[won, None]).float()
    return (centroids.double() + origin).float(), int(counts.sum())


def _measure(
    batches: Iterable[Float[Tensor, "b d"]],
    centroids: Float[Tensor, "k d"],
    origin: Float[Tensor, " d"],
    pins: dict[int, int],
) -> _Measured:
    """Assign every row to the nearest of exactly these centroids, in double precision.

    A row in `pins` is the centroid of the cell named there, and stays in it whatever rounding says.
    """
    exact = centroids.double()
    k, device = len(exact), exact.device
    nothing = torch.zeros(k, dtype=torch.int64, device=device)
    measured = _Measured(nothing.clone(), torch.full((k,), torch.inf, dtype=exact.dtype, device=device), nothing)
    for batch in batches:
        z = batch.double()
        cells = _cells(z - origin, exact - origin)
        for row, cell in pins.items():
            if 0 <= row - measured.n_rows < len(z):
                cells[row - measured.n_rows] = cell
        measured.add(batch, cells, (z - exact[cells]).square().sum(dim=1))
    return measured


def _occupy(
    centroids: Float[Tensor, "k d"], empty: list[int], measured: _Measured, pins: dict[int, int]
) -> tuple[Float[Tensor, "k d"], dict[int, int]]:
    """Set empty cells onto the costliest rows, no two onto equal ones, and pin those rows."""
    distinct: list[_Row] = []
    for row in measured.costliest:
        if len(distinct) < len(empty) and not any(torch.equal(row.point, other.point) for other in distinct):
            distinct.append(row)
    if not distinct:
        raise ValueError(f"the stream held {len(centroids)} distinct rows, then fewer; batches() must start it over")
    moved = centroids.clone()
    for cell, row in zip(empty, distinct, strict=False):  # the other empty cells wait for the next pass
        moved[cell] = row.point
    return moved, pins | {row.index: cell for cell, row in zip(empty, distinct, strict=False)}


def _cells(z: Float[Tensor, "b d"], centroids: Float[Tensor, "k d"]) -> Int[Tensor, " b"]:
    """Nearest centroid of each row, the first of equals."""
    return torch.addmm(centroids.square().sum(dim=1), z, centroids.T, alpha=-2).argmin(dim=1)
