"""Competitive learning over a stream learns what the rule says, and measures what it returns."""

import itertools
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ddoq.clvq import quantize_stream
from ddoq.errors import EmptyClassError, NotFiniteError
from ddoq.seeds import stream
from ddoq.types import Codebook


def cloud(n: int = 300, d: int = 5, seed: int = 0) -> Tensor:
    """Gaussian blobs of unequal size."""
    rng = stream(seed, "cloud")
    centres = torch.randn(7, d, generator=rng) * 4
    return centres[torch.randint(7, (n,), generator=rng).square() % 7] + torch.randn(n, d, generator=rng)


def cut(z: Tensor, rows: int) -> Callable[[], Iterator[Tensor]]:
    return lambda: iter(z.split(rows))


def distances(z: Tensor, centroids: Tensor) -> Tensor:
    """Squared distances in double precision, the plain way."""
    return (z.double()[:, None] - centroids.double()[None]).square().sum(dim=2)


def seeds_of(z: Tensor, k: int, seed: int) -> Tensor:
    """The rows that k-means++ draws of `z`, as learning of no further row leaves them: it repeats them."""
    rng, rows = stream(seed), [-1]
    chances = torch.ones(len(z), dtype=torch.float64)
    for _ in range(k):
        rows.append(int(torch.multinomial(chances, 1, generator=rng)))
        chances = distances(z, z[rows[1:]]).min(dim=1).values
    return z[rows[1:]]


def row_by_row(z: Tensor, start: Tensor) -> Tensor:
    """CLVQ as it is written down: the winner goes to each row by 1/count."""
    centroids, counts = start.double().clone(), [0] * len(start)
    for row in z.double():
        winner = int((row - centroids).square().sum(dim=1).argmin())
        counts[winner] += 1
        centroids[winner] += (row - centroids[winner]) / counts[winner]
    return centroids


def assert_same(one: Codebook, other: Codebook) -> None:
    assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("centroids", "counts", "medoids"))
    assert torch.equal(one.cells, other.cells)
    assert one.distortion == other.distortion


def assert_measured(z: Tensor, book: Codebook) -> None:
    """Everything but the centroids is what brute force makes of exactly these centroids."""
    least, cells = distances(z, book.centroids).min(dim=1)
    assert torch.equal(book.cells, cells)
    assert torch.equal(book.counts, cells.bincount(minlength=len(book.counts)))
    torch.testing.assert_close(book.weights, (book.counts.double() / len(z)).float())
    assert book.distortion == pytest.approx(float(least.mean()), rel=1e-12)
    for cell, row in enumerate(book.medoids.tolist()):
        inside = (cells == cell).nonzero().flatten()
        assert row == int(inside[least[inside].argmin()])


def test_a_pass_over_one_full_batch_is_one_step_of_lloyd() -> None:
    z = cloud()
    cells = distances(z, seeds_of(z, 8, 1)).argmin(dim=1)
    means = torch.stack([z[cells == cell].mean(dim=0) for cell in range(8)])
    torch.testing.assert_close(quantize_stream(cut(z, 300), 8, 300, stream(1)).centroids, means, rtol=1e-5, atol=1e-5)


def test_batches_of_one_row_are_competitive_learning_row_by_row() -> None:
    z = cloud(120)
    book = quantize_stream(cut(z, 50), 4, 1, stream(2))
    torch.testing.assert_close(book.centroids.double(), row_by_row(z, seeds_of(z[:4], 4, 2)), rtol=1e-5, atol=1e-5)


def test_it_learns_as_mini_batch_k_means_without_reassignment() -> None:
    from sklearn.cluster import MiniBatchKMeans

    z = cloud(400)
    start = seeds_of(z[:50], 6, 3).numpy()
    rival = MiniBatchKMeans(6, init=start, n_init=1, batch_size=50, reassignment_ratio=0)
    for batch in z.split(50):
        rival.partial_fit(batch.numpy())
    book = quantize_stream(cut(z, 400), 6, 50, stream(3))
    torch.testing.assert_close(book.centroids, torch.from_numpy(rival.cluster_centers_), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n", range(10, 21))
def test_the_remainder_of_the_stream_is_counted(n: int) -> None:
    book = quantize_stream(cut(cloud(n), 4), 3, 10, stream(1))
    assert int(book.counts.sum()) == len(book.cells) == n


@pytest.mark.parametrize("n", range(10, 21))
def test_the_remainder_of_the_stream_is_learnt(n: int) -> None:
    z = cloud(n)
    book = quantize_stream(cut(z, 4), 1, 10, stream(1))
    torch.testing.assert_close(book.centroids[0], z.mean(dim=0), rtol=1e-5, atol=1e-5)


def test_a_stream_shorter_than_a_batch_is_learnt_whole() -> None:
    z = cloud(30)
    assert_same(quantize_stream(cut(z, 7), 5, 1000, stream(1)), quantize_stream(cut(z, 30), 5, 30, stream(1)))


@pytest.mark.parametrize("rows", [1, 7, 64, 65, 300])
def test_cutting_the_stream_otherwise_changes_nothing(rows: int) -> None:
    z = cloud()
    assert_same(quantize_stream(cut(z, rows), 8, 64, stream(1)), quantize_stream(cut(z, 100), 8, 64, stream(1)))


def test_empty_pieces_of_the_stream_change_nothing() -> None:
    z = cloud(60)
    pieces = [z[:0], z[:25], z[:0], z[25:], z[:0]]
    assert_same(quantize_stream(lambda: iter(pieces), 4, 20, stream(1)), quantize_stream(cut(z, 60), 4, 20, stream(1)))


def test_a_stream_may_fill_the_same_memory_again() -> None:
    z, memory = cloud(64), torch.empty(8, 5)

    def refill() -> Iterator[Tensor]:
        for rows in z.split(8):
            yield memory.copy_(rows)

    assert_same(quantize_stream(refill, 4, 20, stream(1)), quantize_stream(cut(z, 64), 4, 20, stream(1)))


def test_rows_of_half_precision_are_learnt_in_single() -> None:
    z = cloud().half()
    assert_same(quantize_stream(cut(z, 50), 8, 64, stream(1)), quantize_stream(cut(z.float(), 50), 8, 64, stream(1)))


def test_masses_medoids_and_distortion_are_those_of_the_returned_centroids() -> None:
    z = cloud()
    assert_measured(z, quantize_stream(cut(z, 50), 8, 64, stream(1)))


def test_they_are_so_far_from_the_origin_too() -> None:
    z = cloud() + 1000
    assert_measured(z, quantize_stream(cut(z, 50), 8, 64, stream(1)))


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(*[st.integers(-3, 3)] * 2), min_size=1, max_size=25),
    k=st.integers(1, 6),
    batch_rows=st.integers(1, 9),
    seed=st.integers(0, 50),
)
def test_every_cell_has_rows_or_the_class_is_refused(
    rows: list[tuple[int, int]], k: int, batch_rows: int, seed: int
) -> None:
    z, n_distinct = torch.tensor(rows).float(), len(set(rows))
    if n_distinct < k:
        with pytest.raises(EmptyClassError, match=f"{n_distinct} distinct images, fewer than the {k} codewords"):
            quantize_stream(cut(z, 4), k, batch_rows, stream(seed))
        return
    book = quantize_stream(cut(z, 4), k, batch_rows, stream(seed))
    assert int(book.counts.min()) > 0
    assert int(book.counts.sum()) == len(z)
    assert torch.equal(book.counts, book.cells.bincount(minlength=k))
    chosen = distances(z, book.centroids)[torch.arange(len(z)), book.cells]
    torch.testing.assert_close(chosen, distances(z, book.centroids).min(dim=1).values, rtol=1e-9, atol=1e-9)
    assert torch.equal(book.cells[book.medoids], torch.arange(k))


def test_a_cell_left_empty_by_learning_is_set_onto_the_costliest_row() -> None:
    z = torch.tensor([[10, 0], [9, 0], [10, 0], [4, 7], [0, 2], [0, 4], [10, 6], [9, 7]]).float()
    learnt = row_by_row(z, z[[0, 1, 3, 4]])
    least, cells = distances(z, learnt).min(dim=1)
    assert int(cells.bincount(minlength=4).min()) == 0
    book = quantize_stream(cut(z, 3), 4, 1, stream(0))
    assert int(book.counts.min()) > 0
    assert z[least.argmax()].tolist() in book.centroids.tolist()
    assert_measured(z, book)


def test_a_cell_that_another_one_empties_in_turn_is_set_onto_a_row_too() -> None:
    z = torch.tensor([[2, 8], [9, 0], [10, 1], [0, 4], [12, 11], [2, 4], [12, 12], [12, 1]]).float()
    book = quantize_stream(cut(z, 3), 4, 4, stream(0))  # takes three passes of measuring
    assert int(book.counts.min()) > 0
    assert_measured(z, book)


def test_repeated_rows_at_the_start_do_not_stop_the_seeding() -> None:
    z = torch.cat([torch.zeros(50, 2), cloud(50, 2)])
    book = quantize_stream(cut(z, 10), 5, 5, stream(1))
    assert int(book.counts.min()) > 0


def test_as_many_codewords_as_rows_leave_no_distortion() -> None:
    z = cloud(20)
    book = quantize_stream(cut(z, 6), 20, 6, stream(1))
    assert book.distortion == pytest.approx(0, abs=1e-12)
    assert book.counts.tolist() == [1] * 20


def test_rows_closer_than_rounding_still_get_a_codeword_each() -> None:
    z = torch.tensor([[0.0, 0.0], [1e-30, 0.0], [0.0, 1e-30], [1.0, 5.0]])
    assert quantize_stream(cut(z, 4), 4, 4, stream(1)).counts.tolist() == [1] * 4


def test_an_empty_stream_is_refused() -> None:
    with pytest.raises(EmptyClassError, match="0 distinct images, fewer than the 3 codewords"):
        quantize_stream(lambda: iter(()), 3, 10, stream(1))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_rows_that_are_not_finite_are_refused(value: float) -> None:
    z = cloud(30)
    z[29, 2] = value
    with pytest.raises(NotFiniteError):
        quantize_stream(cut(z, 10), 3, 10, stream(1))


@pytest.mark.parametrize(("k", "batch_rows"), [(0, 10), (3, 0)])
def test_no_codewords_and_no_rows_at_once_are_refused(k: int, batch_rows: int) -> None:
    with pytest.raises(ValueError, match=f"k = {k} and batch_rows = {batch_rows}"):
        quantize_stream(cut(cloud(30), 10), k, batch_rows, stream(1))


def test_a_stream_that_does_not_start_over_is_refused() -> None:
    once = iter(cloud(30).split(10))
    with pytest.raises(ValueError, match="start it over"):
        quantize_stream(lambda: once, 3, 5, stream(1))


def test_a_stream_with_other_rows_the_second_time_is_refused() -> None:
    streams = itertools.chain([cloud(30)], itertools.repeat(torch.ones(30, 5)))
    with pytest.raises(ValueError, match="start it over"):
        quantize_stream(lambda: iter(next(streams).split(10)), 3, 10, stream(1))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_draw() -> None:
    z = cloud()
    first, second, other = (quantize_stream(cut(z, 50), 8, 64, stream(seed)) for seed in (1, 1, 2))
    assert_same(first, second)
    assert not torch.equal(first.centroids, other.centroids)
