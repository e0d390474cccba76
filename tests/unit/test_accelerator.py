"""What the accelerator's quantizer promises, shown on the CPU and, where there is one, on the accelerator."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from ddoq import accelerator_gram as by_gram
from ddoq import accelerator_points as by_points
from ddoq.accelerator import quantize_batch, quantize_on
from ddoq.accelerator_moves import disjoint_moves, draw
from ddoq.config import QuantizerConfig
from ddoq.errors import EmptyClassError
from ddoq.seeds import stream
from ddoq.types import Codebook

DEFAULT = QuantizerConfig()
ON_POINTS = 1  # byte of budget: no Gram matrix fits
FORMS = pytest.mark.parametrize("budget_bytes", [2**31, ON_POINTS], ids=["gram", "points"])


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Thousands of tiny operations: threads that wait for each other beside other tests take ten times longer."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA accelerator on this machine")
    return str(request.param)


def mixture(n: int, d: int, seed: int = 0, n_blobs: int = 12) -> torch.Tensor:
    """Gaussian blobs of unequal size, off the origin."""
    rng = stream(seed, "mixture")
    centres = torch.randn(n_blobs, d, generator=rng) * 2 + 3
    blobs = torch.randint(n_blobs, (n,), generator=rng).square() % n_blobs
    return centres[blobs] + torch.randn(n, d, generator=rng)


def one(z: torch.Tensor, k: int, config: QuantizerConfig = DEFAULT, seed: int = 1, budget: int = 2**31) -> Codebook:
    return quantize_batch([z], k, config, [stream(seed)], budget)[0]


def cost(z: torch.Tensor, cells: torch.Tensor, k: int) -> float:
    """Sum of squared distances to the means of the cells, the plain way."""
    members = (z[cells == cell].double() for cell in range(k))
    return sum(float((rows - rows.mean(dim=0)).square().sum()) for rows in members if len(rows))


def best_single_move(z: torch.Tensor, cells: torch.Tensor, k: int) -> float:
    """Largest fall of the cost that moving one row gives, by trying them all."""
    before, falls = cost(z, cells, k), [0.0]
    for row in range(len(z)):
        for cell in range(k):
            moved = cells.clone()
            moved[row] = cell
            falls.append(before - cost(z, moved, k))
    return max(falls)


def same(first: Codebook, second: Codebook) -> bool:
    """Whether two codebooks are the same to the last bit."""
    fields = ("centroids", "weights", "counts", "medoids", "cells")
    tensors = all(torch.equal(getattr(first, name), getattr(second, name)) for name in fields)
    return tensors and (first.distortion, first.iterations) == (second.distortion, second.iterations)


@FORMS
def test_no_single_move_lowers_the_cost_of_a_fixed_point(device, budget_bytes):
    z = mixture(60, 5).to(device)
    book = one(z, 6, budget=budget_bytes)
    assert book.is_fixed_point
    assert best_single_move(z, book.cells, 6) <= 1e-6 * cost(z, book.cells, 6)


@FORMS
def test_masses_medoids_and_distortion_are_those_of_the_returned_centroids(device, budget_bytes):
    z = mixture(300, 7).to(device)
    book = one(z, 9, budget=budget_bytes)
    distances = (z.double()[:, None] - book.centroids.double()).square().sum(dim=2)
    assert torch.equal(book.cells, distances.argmin(dim=1))
    assert torch.equal(book.counts, book.cells.bincount(minlength=9))
    torch.testing.assert_close(book.weights, book.counts / len(z))
    assert book.distortion == pytest.approx(float(distances.amin(dim=1).mean()), rel=1e-12)
    inside = torch.where(book.cells[:, None] == torch.arange(9, device=device), distances, torch.inf)
    assert torch.equal(book.medoids, inside.argmin(dim=0))


@FORMS
def test_centroids_are_the_means_of_their_cells(budget_bytes):
    z = mixture(300, 7)
    book = one(z, 9, budget=budget_bytes)
    means = torch.stack([z[book.cells == cell].double().mean(dim=0).float() for cell in range(9)])
    assert torch.equal(book.centroids, means)


def test_exchange_by_gram_matrices_is_never_worse_than_its_lloyd_start():
    for seed in range(3):
        z = mixture(200, 20, seed)
        block = by_gram.gram_block([z])
        seeds, _ = by_gram.seed(block, 15, torch.rand(1, 15, 1, generator=stream(seed), dtype=torch.float64))
        start = by_gram.lloyd(block, by_gram.assign(block, seeds), 15, steps=50)
        cells, moves = by_gram.exchange(block, start, 15, torch.tensor([10**6]))
        assert int(moves) > 0
        assert cost(z, cells[0], 15) < cost(z, start[0], 15)


def test_exchange_on_points_is_never_worse_than_its_lloyd_start():
    for seed in range(3):
        z = mixture(200, 20, seed)
        rows = by_points.seed(z, 15, torch.rand(15, 1, generator=stream(seed), dtype=torch.float64))
        start = by_points.lloyd(z, rows, steps=50)
        cells, _, is_fixed_point = by_points.exchange(z, start, 15, torch.float64, 100)
        assert is_fixed_point
        assert cost(z, cells, 15) < cost(z, start, 15)


@pytest.mark.parametrize("form", ["gram", "points"])
def test_a_class_in_many_blocks_of_rows_still_ends_in_a_fixed_point(form, monkeypatch):
    monkeypatch.setattr("ddoq.accelerator_points.BLOCK_BYTES", 8 * 20 * 37)
    z = mixture(300, 20)
    book = one(z, 11, budget=2**31 if form == "gram" else ON_POINTS)
    assert book.is_fixed_point
    assert int(book.counts.min()) > 0


def test_gains_of_the_chosen_moves_add_up_exactly():
    z = mixture(200, 8).double()
    cells = torch.randint(10, (200,), generator=stream(2))
    target = (cells + 1 + torch.randint(9, (200,), generator=stream(3))) % 10
    gains = [
        cost(z, cells, 10) - cost(z, cells.clone().index_fill_(0, torch.tensor([row]), int(to)), 10)
        for row, to in enumerate(target)
    ]
    gain = torch.tensor(gains, dtype=torch.float64).clamp(min=0)
    chosen = disjoint_moves(gain[None], cells[None], target[None], 10)[0]
    together = torch.where(chosen, target, cells)
    assert int(chosen.sum()) > 1
    assert cost(z, cells, 10) - cost(z, together, 10) == pytest.approx(float(gain[chosen].sum()), rel=1e-9)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
def test_chosen_moves_share_no_cell_and_the_best_is_among_them_even_among_equals(moves):
    moves = [(gain if source != target else 0, source, target) for gain, source, target in moves]
    gain, source, target = (torch.tensor([column]) for column in zip(*moves, strict=True))
    chosen = disjoint_moves(gain.double(), source, target, 6)[0]
    cells = torch.cat([source[0][chosen], target[0][chosen]]).tolist()
    assert len(cells) == len(set(cells))
    assert bool((gain[0][chosen] > 0).all())
    if int(gain.max()) > 0:
        assert int(gain[0][chosen].max()) == int(gain.max())


def test_a_row_without_chance_is_never_drawn():
    chances = torch.tensor([[0, 3, 0, 1, 0]])
    uniforms = torch.tensor([[0.0, 0.74, 0.75, 1 - 2**-53]], dtype=torch.float64)
    assert draw(chances, uniforms).tolist() == [[1, 1, 3, 3]]


def test_a_class_gets_the_same_bytes_alone_and_beside_classes_of_other_sizes(device):
    classes = [mixture(n, 33, seed=n).to(device) for n in (50, 211, 64, 300, 130)]
    together = quantize_batch(classes, 8, DEFAULT, [stream(n) for n in range(5)])
    in_pairs = quantize_batch(classes, 8, DEFAULT, [stream(n) for n in range(5)], 2 * by_gram.block_bytes(300, 8))
    for n, z in enumerate(classes):
        alone = quantize_batch([z], 8, DEFAULT, [stream(n)])[0]
        assert same(together[n], alone)
        assert same(in_pairs[n], alone)


def test_permuting_the_classes_permutes_the_answers(device):
    classes = [mixture(n, 12, seed=n).to(device) for n in (80, 40, 120, 60)]
    order = [2, 0, 3, 1]
    plain = quantize_batch(classes, 5, DEFAULT, [stream(n) for n in range(4)])
    permuted = quantize_batch([classes[n] for n in order], 5, DEFAULT, [stream(n) for n in order])
    assert all(same(plain[n], book) for n, book in zip(order, permuted, strict=True))


@FORMS
def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_draw(device, budget_bytes):
    z = mixture(200, 10).to(device)
    first, second, other = (one(z, 12, seed=seed, budget=budget_bytes) for seed in (1, 1, 2))
    assert same(first, second)
    assert not torch.equal(first.centroids, other.centroids)


@FORMS
@pytest.mark.parametrize(("n", "d", "k"), [(500, 16, 12), (300, 600, 8), (700, 4, 20)])
def test_distortion_is_no_more_than_one_percent_above_ten_restarts_of_lloyd(n, d, k, budget_bytes):
    z = mixture(n, d)
    peer = KMeans(k, n_init=10, random_state=0).fit(z.numpy()).inertia_ / n
    assert one(z, k, QuantizerConfig(effort="best"), budget=budget_bytes).distortion <= 1.01 * peer


def test_most_effort_gives_least_distortion_on_average():
    found = {
        effort: sum(one(mixture(200, 6, seed), 15, QuantizerConfig(effort=effort)).distortion for seed in range(6))
        for effort in ("fast", "default", "best")
    }
    assert found["best"] < min(found["default"], found["fast"])


@FORMS
def test_one_codeword_is_the_mean_of_the_class(budget_bytes):
    z = mixture(100, 4)
    book = one(z, 1, budget=budget_bytes)
    torch.testing.assert_close(book.centroids[0], z.mean(dim=0))
    assert book.weights.tolist() == [1.0]
    assert book.is_fixed_point


@FORMS
def test_as_many_codewords_as_rows_are_the_rows(budget_bytes):
    z = mixture(30, 4)
    book = one(z, 30, budget=budget_bytes)
    assert book.distortion == 0
    assert torch.equal(book.centroids[book.cells], z)


@FORMS
def test_fewer_distinct_rows_than_codewords_is_refused_with_both_numbers(budget_bytes):
    z = mixture(5, 3000).repeat(9, 1)
    assert one(z, 5, budget=budget_bytes).distortion == 0
    with pytest.raises(EmptyClassError, match=r"5 distinct images.* 6 codewords"):
        one(z, 6, budget=budget_bytes)


@FORMS
def test_a_class_without_variance_has_one_codeword_only(budget_bytes):
    z = torch.full((12, 6), 0.3)
    assert one(z, 1, budget=budget_bytes).distortion == 0
    with pytest.raises(EmptyClassError, match="1 distinct images"):
        one(z, 2, budget=budget_bytes)


@FORMS
def test_rows_closer_than_the_rounding_of_their_products_still_get_a_codeword_each(budget_bytes):
    z = torch.full((5, 3), 1000.0)
    z[1] += 1e-3
    z[2] += 2e-3
    z[3] = -4000
    book = one(z, 4, budget=budget_bytes)
    assert sorted(book.counts.tolist()) == [1, 1, 1, 2]
    assert book.distortion == 0


def test_a_class_that_the_gram_matrix_cannot_tell_apart_does_not_disturb_its_neighbours():
    close = torch.full((40, 5), 1.0) + 1e-4 * mixture(40, 5)
    close[0] = -1e4
    classes = [mixture(50, 5), close, mixture(60, 5, seed=1)]
    books = quantize_batch(classes, 10, DEFAULT, [stream(n) for n in range(3)])
    assert all(book.is_fixed_point and int(book.counts.min()) > 0 for book in books)
    assert same(books[0], quantize_batch(classes[:1], 10, DEFAULT, [stream(0)])[0])


def test_a_run_cut_short_says_that_it_is_no_fixed_point(monkeypatch):
    monkeypatch.setattr("ddoq.accelerator_points.BLOCK_BYTES", 8 * 50 * 100)
    z = torch.cat([mixture(1000, 3, seed) for seed in range(2)])
    book = one(z, 50, QuantizerConfig(max_passes=1, effort="fast"), budget=ON_POINTS)
    still = best_single_exact_gain(z, book) <= 1e-9
    assert book.is_fixed_point == still
    assert not book.is_fixed_point


def best_single_exact_gain(z: torch.Tensor, book: Codebook) -> float:
    """Largest gain of a single move by the exchange rule, in float64."""
    distances = (z.double()[:, None] - book.centroids.double()).square().sum(dim=2)
    rows, counts = torch.arange(len(z)), book.counts.double()
    removal = counts / (counts - 1).clamp(min=1) * (counts > 1)
    own = distances[rows, book.cells] * removal[book.cells]
    others = (distances * (counts / (counts + 1))).index_put((rows, book.cells), torch.tensor(torch.inf).double())
    return float((own - others.amin(dim=1)).max())


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=30),
    k=st.integers(1, 8),
    seed=st.integers(0, 99),
    budget=st.sampled_from([2**31, ON_POINTS]),
)
def test_every_codebook_is_a_fixed_point_with_mass_everywhere_whatever_the_rows(rows, k, seed, budget):
    z = torch.tensor(rows, dtype=torch.float32)
    if k > len(set(rows)):
        with pytest.raises(EmptyClassError, match=f"{len(set(rows))} distinct images"):
            one(z, k, seed=seed, budget=budget)
        return
    book = one(z, k, seed=seed, budget=budget)
    assert book.is_fixed_point
    assert int(book.counts.min()) > 0
    assert len(torch.unique(book.centroids, dim=0)) == k
    assert best_single_exact_gain(z, book) <= 1e-4  # the centroids are rounded to float32


def test_classes_before_one_that_is_refused_are_answered_first():
    z = torch.randn(40, 5, generator=stream(0))
    requests = [(z, (3,), stream(1)), (z[:1].expand(40, 5), (3,), stream(2)), (z, (3,), stream(3))]
    books = quantize_on(torch.device("cpu"), requests, QuantizerConfig())
    assert len(next(books)[0].counts) == 3
    with pytest.raises(EmptyClassError, match="1 distinct"):
        next(books)
