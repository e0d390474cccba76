"""The map of latents shows where they vary most, and says how much of that it shows."""

import pytest
import torch

from ddoq.latent_map import MAPPED_CLASSES, MAPPED_CODEWORDS, map_latents, principal_axes
from ddoq.seeds import stream
from ddoq.types import LatentMap
from tests.finished import CLASSES, COUNTS, Finished, finish


@pytest.fixture(scope="module")
def ragged(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(tmp_path_factory.mktemp("mapped"))[0]


def map_of(one: Finished) -> LatentMap:
    return map_latents(one.latents, one.books, CLASSES, one.config.seed)


def test_the_axes_are_those_of_the_largest_variance() -> None:
    z = torch.randn(300, 8, generator=stream(0), dtype=torch.float64)
    z -= z.mean(dim=0)
    z = torch.linalg.qr(z).Q * torch.tensor([1, 9, 1, 1, 4, 1, 1, 1])  # variances 81 and 16 of 103, nothing else
    axes, shares = principal_axes(z)
    expected = torch.zeros(8, 2, dtype=torch.float64)
    expected[1, 0] = expected[4, 1] = 1
    torch.testing.assert_close(axes, expected, rtol=0, atol=1e-6)
    assert shares == pytest.approx((81 / 103, 16 / 103), abs=1e-4)


def test_where_nothing_varies_along_an_axis_it_is_zero() -> None:
    z = torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [4.0, 0.0, 0.0]], dtype=torch.float64)
    axes, shares = principal_axes(z)
    assert axes[:, 1].tolist() == [0, 0, 0]
    assert shares == (1.0, 0.0)
    assert principal_axes(torch.ones(3, 2, dtype=torch.float64))[1] == (0.0, 0.0)


def test_distances_on_the_map_are_those_along_the_axes(ragged: Finished) -> None:
    one = map_of(ragged).classes["dog"]
    centroids = ragged.books.of_class(1).centroids.double()
    rows = torch.cat([ragged.latents.of_class(label) for label in range(3)]).double()  # twelve each: all are drawn
    axes, _ = principal_axes(rows)
    wanted = (centroids - rows.mean(dim=0)) @ axes
    torch.testing.assert_close(torch.tensor(one.codewords, dtype=torch.float64), wanted, rtol=0, atol=1e-2)


def test_every_class_has_its_codewords_with_their_masses(ragged: Finished) -> None:
    classes = map_of(ragged).classes
    assert {name: len(one.codewords) for name, one in classes.items()} == dict(zip(CLASSES, COUNTS, strict=True))
    assert all(len(one.latents) == 12 and sum(one.weights) == pytest.approx(1, abs=1e-3) for one in classes.values())


def test_the_same_seed_gives_the_same_map(ragged: Finished) -> None:
    assert map_of(ragged) == map_of(ragged)


def test_places_are_rounded_to_what_a_map_can_show(ragged: Finished) -> None:
    places = [place for one in map_of(ragged).classes.values() for place in one.latents]
    digits = [len(str(abs(x)).partition(".")[2]) for x, _ in places]
    assert max(digits) <= 4


def test_the_map_is_bounded() -> None:
    assert MAPPED_CLASSES * MAPPED_CODEWORDS <= 1000
