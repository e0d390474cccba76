"""What is said of two accuracies."""

import subprocess
import sys

import pytest

from ddoq.comparison import compare
from ddoq.conclusions import Comparison, Spread, compare_apart, conclude
from ddoq.evaluate import score


def test_a_gain_beyond_its_margin_is_called_better_or_worse() -> None:
    assert conclude(Comparison("random real", 0.1, 0.05)) == "distilled is better"
    assert conclude(Comparison("random real", -0.1, 0.05)) == "distilled is worse"


@pytest.mark.parametrize(("gain", "margin"), [(0.1, None), (0.1, 0.1), (0.0, 0.0)])
def test_a_gain_within_its_margin_is_noise(gain: float, margin: float | None) -> None:
    assert conclude(Comparison("random real", gain, margin)) == "not distinguishable"


def test_two_jobs_are_told_apart_only_beyond_the_spread_of_both() -> None:
    one, far, near = Spread(0.9, 0.01, 5), Spread(0.7, 0.01, 5), Spread(0.89, 0.02, 5)
    assert not compare_apart(one, far, "b").is_noise
    assert compare_apart(one, near, "b").is_noise


def test_one_seed_tells_no_jobs_apart() -> None:
    assert compare_apart(Spread(0.9, 0.0, 1), Spread(0.1, 0.01, 5), "b") == Comparison("b", 0.8, None)


def test_without_pairs_the_margin_is_that_of_pairs_which_have_nothing_in_common() -> None:
    mine, its = (0.5, 0.7, 0.9), (0.4, 0.1, 0.4)  # as gains: mean 0.4, and their covariance is 0
    (paired,) = compare({"distilled": score(list(mine)), "rival": score(list(its))})
    spreads = [Spread(found.mean, found.deviation, 3) for found in (score(list(mine)), score(list(its)))]
    apart = compare_apart(*spreads, "rival")
    assert (apart.gain, apart.margin) == (pytest.approx(paired.gain), pytest.approx(paired.margin))


def test_the_words_need_no_torch() -> None:
    code = "import sys, ddoq.conclusions, ddoq.measure_words, ddoq.image_index; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
