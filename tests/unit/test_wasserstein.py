"""The distance of a codebook to its latents is the exact transport, and Voronoi masses make it least."""

from dataclasses import replace

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ddoq.clvq import quantize_stream
from ddoq.seeds import stream
from ddoq.types import Codebook
from ddoq.wasserstein import measure_w2, w2_uniform, w2_weighted


def cloud(n: int = 300, d: int = 5, seed: int = 0) -> Tensor:
    """Gaussian blobs of unequal size."""
    rng = stream(seed, "cloud")
    centres = torch.randn(7, d, generator=rng) * 4
    return centres[torch.randint(7, (n,), generator=rng).square() % 7] + torch.randn(n, d, generator=rng)


def four_equal_blobs() -> Tensor:
    """25 rows around each of four far centres."""
    return torch.randn(100, 4, generator=stream(1)) + 100 * (torch.arange(100) % 4)[:, None]


def codebook_of(z: Tensor, k: int, seed: int = 0) -> Codebook:
    return quantize_stream(lambda: iter((z,)), k, 32, stream(seed))


def transport(z: Tensor, centroids: Tensor, weights: Tensor) -> float:
    """The plain way: costs from differences, POT without any scaling."""
    costs = (z.double()[:, None] - centroids.double()[None]).square().sum(dim=2)
    masses = weights.double() / weights.double().sum()
    return float(ot.emd2(np.full(len(z), 1 / len(z)), masses.numpy(), costs.numpy()))


def random_codebook(n: int, k: int, seed: int) -> tuple[Tensor, Codebook]:
    z = torch.randn(n, 3, generator=stream(seed, "rows")) * 2
    return z, codebook_of(z, k, seed)


cases = st.tuples(st.integers(6, 40), st.integers(1, 6), st.integers(0, 10_000))  # rows, codewords, seed


@settings(deadline=None, max_examples=50)
@given(cases)
def test_the_weighted_distance_is_the_exact_transport_with_voronoi_masses(case: tuple[int, int, int]) -> None:
    z, book = random_codebook(*case)
    assert w2_weighted(z, book) == pytest.approx(transport(z, book.centroids, book.counts), rel=1e-6, abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(cases)
def test_equal_weights_are_never_nearer_than_voronoi_masses(case: tuple[int, int, int]) -> None:
    z, book = random_codebook(*case)
    assert w2_uniform(z, book.centroids, len(z), stream(0)) >= w2_weighted(z, book) * (1 - 1e-9)


@settings(deadline=None, max_examples=50)
@given(cases)
def test_the_uniform_distance_is_the_exact_transport_with_equal_weights(case: tuple[int, int, int]) -> None:
    z, book = random_codebook(*case)
    expected = transport(z, book.centroids, torch.ones(len(book.weights)))
    assert w2_uniform(z, book.centroids, len(z), stream(0)) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_the_weighted_distance_is_the_distortion() -> None:
    z = cloud()
    book = codebook_of(z, 8)
    assert w2_weighted(z, book) == pytest.approx(book.distortion, rel=1e-9)


def test_the_weighted_distance_is_the_distortion_far_from_the_origin_too() -> None:
    z = cloud() + 1000
    book = codebook_of(z, 8)
    assert w2_weighted(z, book) == pytest.approx(book.distortion, rel=1e-7)


def test_uniform_equals_weighted_where_all_cells_are_equal() -> None:
    z = four_equal_blobs()
    book = codebook_of(z, 4)
    assert book.counts.tolist() == [25] * 4
    assert w2_uniform(z, book.centroids, 100, stream(0)) == pytest.approx(w2_weighted(z, book), rel=1e-9)


def test_two_points_against_their_unequal_halves_is_done_by_hand() -> None:
    z = torch.tensor([[0.0], [0.0], [0.0], [2.0]])
    book = codebook_of(z, 2)
    assert w2_weighted(z, book) == 0
    assert w2_uniform(z, book.centroids, 4, stream(0)) == pytest.approx(1.0)  # a quarter of the mass goes a way of 2


@pytest.mark.parametrize("a", [1e-4, 3.0, 1e4])
def test_scaling_latents_by_a_scales_both_by_a_squared(a: float) -> None:
    z = cloud(100)
    book = codebook_of(z, 6)
    scaled = replace(book, centroids=a * book.centroids)
    assert w2_weighted(a * z, scaled) == pytest.approx(a**2 * w2_weighted(z, book), rel=1e-5)
    one, other = (w2_uniform(s * z, s * book.centroids, 60, stream(0)) for s in (1.0, a))
    assert other == pytest.approx(a**2 * one, rel=1e-5)


def test_masses_other_than_voronoi_masses_are_refused() -> None:
    z = cloud()
    book = codebook_of(z, 8)
    with pytest.raises(ValueError, match="differ from the Voronoi masses"):
        w2_weighted(z, replace(book, weights=torch.full((8,), 1 / 8)))


def test_masses_of_other_rows_are_refused() -> None:
    z = cloud()
    with pytest.raises(ValueError, match="differ from the Voronoi masses"):
        w2_weighted(z[:50], codebook_of(z, 8))


@pytest.mark.parametrize("shares", [[0.75, 0.25], [0.25, 0.75]])
def test_a_row_between_two_centroids_may_belong_to_either(shares: list[float]) -> None:
    z = torch.tensor([[-1.0], [1.0], [0.0], [0.0]])
    book = replace(codebook_of(z[:2], 2), centroids=torch.tensor([[-1.0], [1.0]]), weights=torch.tensor(shares))
    assert w2_weighted(z, book) == pytest.approx(0.5)


def test_a_class_of_equal_rows_has_distance_zero() -> None:
    z = torch.ones(9, 3)
    book = codebook_of(z, 1)
    assert w2_weighted(z, book) == w2_uniform(z, book.centroids, 5, stream(0)) == 0


def test_the_subset_is_drawn_by_the_generator_alone() -> None:
    z = cloud()
    centroids = codebook_of(z, 6).centroids
    first, second, other = (w2_uniform(z, centroids, 40, stream(seed)) for seed in (1, 1, 2))
    assert first == second != other


def test_more_rows_than_there_are_means_all_in_any_order() -> None:
    z = cloud(60)
    centroids = codebook_of(z, 6).centroids
    all_rows = w2_uniform(z, centroids, 60, stream(1))
    assert w2_uniform(z, centroids, 1000, stream(2)) == all_rows
    assert w2_uniform(z.flip(0), centroids, 60, stream(3)) == pytest.approx(all_rows, rel=1e-9)


def test_of_a_whole_dataset_on_all_rows_the_weighted_distance_is_the_mean_distortion() -> None:
    sets = [cloud(80, seed=seed) for seed in range(3)]
    books = [codebook_of(z, 5) for z in sets]
    w2 = measure_w2(((z, book, stream(0)) for z, book in zip(sets, books, strict=True)), 80)
    assert w2.weighted == pytest.approx(sum(book.distortion for book in books) / 3, rel=1e-6)
    uniform = [w2_uniform(z, book.centroids, 80, stream(0)) for z, book in zip(sets, books, strict=True)]
    assert w2.uniform == pytest.approx(sum(uniform) / 3)
    assert (w2.n_rows, w2.n_classes) == (80, 3)


def test_on_a_subset_both_distances_are_of_the_same_rows() -> None:
    z = four_equal_blobs()
    w2 = measure_w2([(z, codebook_of(z, 4), stream(5))], 30)
    assert w2.weighted == w2.uniform
