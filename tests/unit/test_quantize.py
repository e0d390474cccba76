"""What the quantizer promises, shown on data small enough to see."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ddoq.config import QuantizerConfig
from ddoq.errors import EmptyClassError
from ddoq.quantize import lloyd, nearest, quantize, seed_centroids
from ddoq.seeds import stream

UNTIL_STILL = QuantizerConfig(max_iterations=1000, tolerance=0)


def cloud(n: int = 300, d: int = 5, seed: int = 0) -> torch.Tensor:
    """Gaussian blobs of unequal size."""
    rng = stream(seed, "cloud")
    centres = torch.randn(7, d, generator=rng) * 4
    return centres[torch.randint(7, (n,), generator=rng).square() % 7] + torch.randn(n, d, generator=rng)


def distances(z: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    """Squared distances in double precision, the plain way."""
    return (z.double()[:, None] - centroids.double()[None]).square().sum(dim=2)


def test_weights_are_the_voronoi_masses_of_the_returned_centroids():
    z = cloud()
    book = quantize(z, 8, QuantizerConfig(), stream(1))
    counts = distances(z, book.centroids).argmin(dim=1).bincount(minlength=8)
    assert torch.equal(book.counts, counts)
    torch.testing.assert_close(book.weights, counts / len(z))


def test_distortion_is_the_mean_squared_distance_to_the_nearest_returned_centroid():
    z = cloud()
    book = quantize(z, 8, QuantizerConfig(), stream(1))
    assert book.distortion == pytest.approx(float(distances(z, book.centroids).min(dim=1).values.mean()), rel=1e-5)


def test_centroids_are_the_means_of_their_cells_once_lloyd_stands_still():
    z = cloud()
    book = quantize(z, 8, UNTIL_STILL, stream(1))
    cells = distances(z, book.centroids).argmin(dim=1)
    means = torch.stack([z[cells == cell].mean(dim=0) for cell in range(8)])
    torch.testing.assert_close(book.centroids, means, rtol=1e-4, atol=1e-5)


def test_integer_weights_equal_repeated_rows_from_the_same_start():
    z = cloud(60)
    repeats = torch.arange(60) % 4 + 1
    start = z[:5]
    weighted = lloyd(z, start, UNTIL_STILL, repeats.float())
    repeated = lloyd(z.repeat_interleave(repeats, dim=0), start, UNTIL_STILL, torch.ones(int(repeats.sum())))
    torch.testing.assert_close(weighted.centroids, repeated.centroids)
    torch.testing.assert_close(weighted.weights, repeated.weights)
    assert weighted.distortion == pytest.approx(repeated.distortion, rel=1e-6)


@pytest.mark.parametrize("a", [0.01, 3.0, 1000.0])
def test_scaling_latents_by_a_scales_distortion_by_a_squared(a):
    z = cloud()
    one, scaled = (quantize(rows, 8, QuantizerConfig(), stream(1)) for rows in (z, a * z))
    assert scaled.distortion == pytest.approx(a**2 * one.distortion, rel=1e-4)
    torch.testing.assert_close(scaled.centroids, a * one.centroids, rtol=1e-4, atol=1e-4 * a)


def test_adding_a_constant_moves_the_centroids_by_it_and_changes_nothing_else():
    z = cloud()
    one, moved = (quantize(rows, 8, QuantizerConfig(), stream(1)) for rows in (z, z + 100))
    torch.testing.assert_close(moved.centroids, one.centroids + 100, rtol=0, atol=1e-3)
    assert torch.equal(moved.counts, one.counts)


def test_permuting_the_rows_from_the_same_start_changes_nothing():
    z = cloud()
    order = torch.randperm(len(z), generator=stream(5))
    plain, permuted = (lloyd(rows, z[:6], UNTIL_STILL, torch.ones(len(z))) for rows in (z, z[order]))
    torch.testing.assert_close(plain.centroids, permuted.centroids, rtol=1e-4, atol=1e-5)
    assert torch.equal(plain.counts, permuted.counts)


def test_medoids_are_the_rows_nearest_to_the_centroid_of_their_own_cell():
    z = cloud()
    book = quantize(z, 8, QuantizerConfig(), stream(1))
    to_centroids = distances(z, book.centroids)
    for cell, row in enumerate(book.medoids.tolist()):
        inside = to_centroids.argmin(dim=1) == cell
        assert inside[row]
        assert to_centroids[row, cell] == to_centroids[inside, cell].min()


def test_more_iterations_never_raise_the_distortion():
    z, start = cloud(), cloud()[:8]
    costs = [
        lloyd(z, start, QuantizerConfig(max_iterations=n, tolerance=0), torch.ones(len(z))).distortion
        for n in range(1, 12)
    ]
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in itertools.pairwise(costs))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_draw():
    z = cloud()
    first, second, other = (quantize(z, 8, QuantizerConfig(), stream(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.centroids, second.centroids)
    assert not torch.equal(first.centroids, other.centroids)


def test_one_codeword_is_the_mean_of_the_class():
    z = cloud()
    book = quantize(z, 1, QuantizerConfig(), stream(1))
    torch.testing.assert_close(book.centroids[0], z.mean(dim=0))
    assert book.weights.tolist() == [1.0]


def test_as_many_codewords_as_distinct_rows_leave_no_distortion():
    z = torch.cat([cloud(20), cloud(20)[:7]])
    book = quantize(z, 20, QuantizerConfig(), stream(1))
    assert book.distortion == pytest.approx(0, abs=1e-9)
    assert sorted(book.counts.tolist()) == [1] * 13 + [2] * 7


def test_fewer_distinct_rows_than_codewords_is_refused_with_both_numbers():
    z = cloud(3).repeat(10, 1)
    with pytest.raises(EmptyClassError, match=r"3 distinct images.* 4 codewords"):
        quantize(z, 4, QuantizerConfig(), stream(1))


def test_a_class_of_equal_images_can_have_one_codeword_only():
    z = torch.ones(10, 4)
    assert quantize(z, 1, QuantizerConfig(), stream(1)).distortion == 0
    with pytest.raises(EmptyClassError, match="1 distinct images"):
        quantize(z, 2, QuantizerConfig(), stream(1))


def test_rows_closer_than_rounding_still_get_a_codeword_each():
    z = torch.full((4, 3), 1000.0)
    z[1] += 1e-3
    z[2] += 2e-3
    book = quantize(z, 3, QuantizerConfig(), stream(1))
    assert bool((book.counts > 0).all())


def test_seeding_draws_distinct_rows_even_where_most_are_equal():
    z = torch.zeros(1000, 2)
    z[:4] = torch.tensor([[1e-3, 0], [0, 1e-3], [5, 5], [-5, 5]])
    seeds = seed_centroids(z, 5, stream(3), torch.ones(1000))
    assert len(torch.unique(seeds, dim=0)) == 5


def test_nearest_is_the_same_in_one_block_and_in_many(monkeypatch):
    z, centroids = cloud(500), cloud(9, seed=4)
    whole = nearest(z, centroids)
    monkeypatch.setattr("ddoq.quantize.BLOCK_BYTES", 4 * 9 * 7)
    parts = nearest(z, centroids)
    assert torch.equal(whole.cells, parts.cells)
    torch.testing.assert_close(whole.distances, parts.distances)


@given(
    rows=st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=40),
    k=st.integers(1, 10),
    seed=st.integers(0, 99),
)
def test_every_codeword_has_mass_whatever_the_rows(rows, k, seed):
    z = torch.tensor(rows, dtype=torch.float32)
    distinct = len(set(rows))
    if k > distinct:
        with pytest.raises(EmptyClassError):
            quantize(z, k, QuantizerConfig(), stream(seed))
        return
    book = quantize(z, k, QuantizerConfig(), stream(seed))
    assert int(book.counts.min()) >= 1
    assert int(book.counts.sum()) == len(rows)
    assert float(book.weights.sum()) == pytest.approx(1)
