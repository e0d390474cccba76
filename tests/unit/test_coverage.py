"""Coverage and density are what Naeem et al. define, and rows drawn among the real ones are a fair yardstick."""

from itertools import combinations
from statistics import fmean

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ddoq.coverage import Cover, balls_around, measure_covers
from ddoq.seeds import stream

LINE = torch.tensor([[0.0], [1.0], [3.0], [7.0]])  # nearest others at 1, 1, 2 and 4; second nearest at 3, 2, 3 and 6

cases = st.tuples(st.integers(3, 25), st.integers(1, 8), st.integers(1, 6), st.integers(0, 10_000))  # n, m, k, seed


def cover(rows: Tensor, points: list[list[float]], k: int = 1) -> Cover:
    return balls_around(rows, k).cover(torch.tensor(points))


def by_definition(rows: Tensor, points: Tensor, k: int) -> Cover:
    """Count, distance by distance, as the paper writes it; what is too near to an edge to say is not looked at."""
    k = min(k, len(rows) - 1)
    radii = [sorted(float((a - b).norm()) for j, b in enumerate(rows) if j != i)[k - 1] for i, a in enumerate(rows)]
    distances = [[float((a - p).norm()) / radius for p in points] for a, radius in zip(rows, radii, strict=True)]
    assume(all(abs(distance - 1) > 1e-5 for row in distances for distance in row))
    inside = [[distance < 1 for distance in row] for row in distances]
    return Cover(sum(map(any, inside)) / len(rows), sum(map(sum, inside)) / (k * len(points)))


def test_a_point_covers_the_rows_that_have_it_nearer_than_their_neighbour() -> None:
    assert cover(LINE, [[0.5]]) == Cover(coverage=2 / 4, density=2.0)


def test_a_point_far_from_everything_covers_nothing() -> None:
    assert cover(LINE, [[100.0]]) == Cover(0.0, 0.0)


def test_density_counts_every_ball_and_coverage_each_row_once() -> None:
    assert cover(LINE, [[0.5], [0.5], [6.0]]) == Cover(coverage=3 / 4, density=5 / 3)


def test_more_neighbours_make_larger_balls() -> None:
    assert cover(LINE, [[2.5]], k=2) == Cover(coverage=4 / 4, density=4 / 2)
    assert cover(LINE, [[2.5]], k=1) == Cover(coverage=1 / 4, density=1.0)


def test_the_edge_of_a_ball_is_outside() -> None:
    assert cover(LINE, [[-1.0]]) == Cover(0.0, 0.0)


def test_a_class_with_fewer_others_has_only_these() -> None:
    assert balls_around(LINE, 5).k == 3
    assert cover(LINE, [[0.5]], k=5) == cover(LINE, [[0.5]], k=3)


@settings(deadline=None, max_examples=40)
@given(cases)
def test_the_measure_is_the_definition(case: tuple[int, int, int, int]) -> None:
    n, m, k, seed = case
    rows = torch.randn(n, 3, generator=stream(seed, "rows"), dtype=torch.float64)
    points = 2 * torch.randn(m, 3, generator=stream(seed, "points"), dtype=torch.float64)
    found, expected = balls_around(rows, k).cover(points), by_definition(rows, points, k)
    assert (found.coverage, found.density) == pytest.approx((expected.coverage, expected.density))


def test_the_rows_themselves_have_one_of_both() -> None:
    rows = torch.randn(200, 6, generator=stream(0)) + 30
    assert balls_around(rows, 5).cover(rows) == Cover(1.0, 1.0)


def test_rows_drawn_at_random_have_density_one_in_the_mean() -> None:
    rows = torch.randn(9, 2, generator=stream(1))
    balls = balls_around(rows, 2)
    draws = [balls.cover(rows[list(draw)]).density for draw in combinations(range(9), 3)]
    assert fmean(draws) == pytest.approx(1.0)


def test_neither_moves_when_the_space_is_turned_moved_and_scaled() -> None:
    rows, points = torch.randn(60, 4, generator=stream(2)), torch.randn(9, 4, generator=stream(3))
    turn = torch.linalg.qr(torch.randn(4, 4, generator=stream(4), dtype=torch.float64)).Q
    moved = balls_around(7 * rows.double() @ turn + 3, 5).cover(7 * points.double() @ turn + 3)
    assert moved == balls_around(rows, 5).cover(points)


def test_classes_count_alike_and_those_of_one_row_do_not_count() -> None:
    far, near, one = torch.tensor([[100.0]]), torch.tensor([[0.5]]), torch.tensor([[0.0]])
    covers = measure_covers(iter([(LINE, near, far), (LINE, far, far), (one, one, one)]), 1)
    assert covers is not None
    assert (covers.distilled, covers.random) == (Cover(1 / 4, 1.0), Cover(0.0, 0.0))
    assert covers.n_classes == 2


def test_where_no_class_has_two_rows_nothing_is_measured() -> None:
    one = torch.tensor([[0.0]])
    assert measure_covers([(one, one, one)], 5) is None
