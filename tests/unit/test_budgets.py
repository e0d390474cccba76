"""How many images each class gets."""

import itertools
import subprocess
import sys
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddoq.budgets import Budget, Curve, budget_names, choose_grid, equal_shares, given_budgets, require_room, share_out
from ddoq.config import DistillConfig
from ddoq.errors import ConfigError, UnknownClassError

NAMES = ("daisy", "rose", "tulip")


def config(**settings: object) -> DistillConfig:
    return DistillConfig.model_validate({"dataset": {"uri": "file:///data/flowers.zip"}, **settings})


def power_law(n: int, variance: float, exponent: float, ks: tuple[int, ...] = (1, 2, 4, 8, 16)) -> Curve:
    """A class whose distortion is exactly variance * k ** -exponent."""
    return Curve(n, n, ks, tuple(variance * k**-exponent for k in ks))


# Power laws as above: images, variance and exponent. Made into curves by the tests.
LAWS = st.tuples(st.integers(1, 12), st.floats(0.01, 100), st.floats(0.05, 2))
SHARE = st.floats(0, 1)  # of the way from an image for each class to all there are


def between(curves: list[Curve], share: float) -> int:
    """Set a total some share of the way from the least to the most."""
    most = sum(curve.n_distinct for curve in curves)
    return len(curves) + round(share * (most - len(curves)))


def test_one_number_is_one_budget_for_all_classes():
    assert given_budgets(config(images_per_class=7), NAMES) == (Budget("ipc-7", (7, 7, 7)),)


@pytest.mark.parametrize(
    "asked", [{"images_per_class": 7}, {"images_per_class": [3, 1]}, {"images_per_class": dict.fromkeys(NAMES, 2)}]
)
def test_budgets_have_their_names_before_the_classes_are_known(asked: dict[str, object]) -> None:
    given = given_budgets(config(**asked), NAMES)
    assert given
    assert budget_names(config(**asked)) == tuple(budget.name for budget in given)


def test_a_total_is_one_budget_by_its_name() -> None:
    assert budget_names(config(total_images=30)) == ("total-30",)


def test_a_list_is_a_budget_for_each_number_in_its_order():
    found = given_budgets(config(images_per_class=[10, 1, 50]), NAMES)
    assert found == tuple(Budget(f"ipc-{k}", (k, k, k)) for k in (10, 1, 50))


def test_numbers_by_class_come_in_label_order():
    asked = {"tulip": 3, "daisy": 1, "rose": 2}
    assert given_budgets(config(images_per_class=asked), NAMES) == (Budget("by-class", (1, 2, 3)),)


def test_a_total_is_not_known_before_the_latents():
    assert given_budgets(config(total_images=20), NAMES) is None


def test_numbers_for_an_unknown_class_are_refused_by_its_name():
    with pytest.raises(UnknownClassError, match="names 'lily', which the dataset does not have"):
        given_budgets(config(images_per_class={"daisy": 1, "rose": 2, "tulip": 3, "lily": 4}), NAMES)


def test_classes_left_out_are_refused_by_their_names():
    names = ("daisy", *(f"rose {number}" for number in range(9)), "tulip")
    with pytest.raises(UnknownClassError, match=r"leaves out 'rose 0', .*'rose 4' and 4 more; give a number for each"):
        given_budgets(config(images_per_class={"daisy": 2, "tulip": 1}), names)


def test_a_total_of_fewer_than_the_classes_is_refused_with_both_numbers():
    with pytest.raises(ConfigError, match=r"total_images = 2 is fewer than the 3 classes; raise it to 3"):
        require_room([10, 10, 10], 2)


def test_a_total_of_more_than_the_images_is_refused_with_both_numbers():
    with pytest.raises(ConfigError, match=r"total_images = 31 is more than the 30 distinct images"):
        share_out([power_law(10, 1, 1)] * 3, 31)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), SHARE)
def test_equal_shares_differ_by_one_at_most_but_for_classes_used_up(n_images, share):
    total = between([power_law(n, 1, 1) for n in n_images], share)
    counts = equal_shares(n_images, total)
    assert sum(counts) == total
    assert all(1 <= count <= n for count, n in zip(counts, n_images, strict=True))
    free = [count for count, n in zip(counts, n_images, strict=True) if count < n]
    assert all(max(counts) - count <= 1 for count in free)


@given(st.lists(LAWS, min_size=1, max_size=6), SHARE)
def test_shares_sum_to_the_total_and_stay_within_each_class(laws, share):
    curves = [power_law(*law) for law in laws]
    total = between(curves, share)
    counts = share_out(curves, total)
    assert sum(counts) == total
    assert all(1 <= count <= curve.n_distinct for count, curve in zip(counts, curves, strict=True))


@settings(deadline=None)
@given(st.lists(LAWS, min_size=2, max_size=3), SHARE)
def test_no_other_shares_cost_less_by_the_curves(laws, share):
    curves = [power_law(*law) for law in laws]
    total = between(curves, share)
    ranges = (range(1, curve.n_distinct + 1) for curve in curves)
    least = min(_cost(curves, counts) for counts in itertools.product(*ranges) if sum(counts) == total)
    assert _cost(curves, share_out(curves, total)) == pytest.approx(least)


@given(st.lists(LAWS, min_size=1, max_size=4), SHARE)
def test_one_more_image_takes_none_from_any_class(laws, share):
    curves = [power_law(*law) for law in laws]
    total = between(curves, share)
    fewer = share_out(curves, max(len(curves), total - 1))
    assert all(few <= many for few, many in zip(fewer, share_out(curves, total), strict=True))


def test_equal_classes_get_equal_shares():
    assert share_out([power_law(50, 3, 0.3)] * 4, 40) == (10, 10, 10, 10)


def test_a_class_of_wider_spread_gets_more():
    narrow, wide = share_out([power_law(100, 1, 0.5), power_law(100, 10, 0.5)], 40)
    assert wide > narrow


def test_a_class_of_more_images_gets_more():
    few, many = share_out([power_law(100, 1, 0.5), power_law(1000, 1, 0.5)], 40)
    assert many > few


def test_a_class_that_codewords_do_not_help_gets_one():
    assert share_out([power_law(100, 9, 0), power_law(100, 1, 0.5)], 40) == (1, 39)


def test_a_class_of_equal_images_gets_one():
    assert share_out([Curve(100, 1, (1,), (0.0,)), power_law(100, 1, 0.5)], 40) == (1, 39)


def test_a_curve_is_exact_where_it_is_a_power_law_and_beyond_what_was_measured():
    curve = power_law(100, 5, 0.4)
    for k in (1, 3, 8, 50):
        assert curve.cost(k) == pytest.approx(100 * 5 * k**-0.4)


DISTORTIONS = st.lists(st.floats(0.01, 100), min_size=5, max_size=5)


@given(DISTORTIONS)
def test_a_curve_is_convex_and_never_rises_whatever_was_measured(distortions):
    curve = Curve(40, 40, (1, 2, 4, 9, 20), tuple(distortions))
    costs = [curve.cost(k) for k in range(1, 41)]
    gains = [before - after for before, after in itertools.pairwise(costs)]
    assert all(gain >= -1e-9 for gain in gains)
    assert all(later <= earlier + 1e-9 * costs[0] for earlier, later in itertools.pairwise(gains))


@given(DISTORTIONS)
def test_a_curve_is_never_above_what_was_measured(distortions):
    curve = Curve(40, 40, (1, 2, 4, 9, 20), tuple(distortions))
    lowest = inf
    for k, distortion in zip(curve.ks, curve.distortions, strict=True):
        lowest = min(lowest, distortion)
        assert curve.cost(k) <= 40 * lowest * (1 + 1e-9)


@given(st.integers(1, 50), st.integers(1, 500), st.integers(0, 5000))
def test_curves_are_measured_from_one_codeword_over_the_equal_share_as_far_as_can_be_needed(n_classes, n, more):
    total = n_classes + more
    ks = choose_grid(total, n, n_classes)
    assert ks[0] == 1
    assert list(ks) == sorted(set(ks))
    assert min(n, -(-total // n_classes), total - n_classes + 1) in ks
    assert ks[-1] <= min(n, total - n_classes + 1)


def test_budgets_load_no_torch():
    code = "import sys, ddoq.budgets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _cost(curves: list[Curve], counts: tuple[int, ...]) -> float:
    return sum(curve.cost(count) for curve, count in zip(curves, counts, strict=True))
