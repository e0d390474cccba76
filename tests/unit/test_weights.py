"""Counts of the cells -> training weights."""

import pytest
import torch

from ddoq.weights import training_weights

COUNTS = torch.tensor([1, 4, 9, 16, 70])


@pytest.mark.parametrize("weighting", ["uniform", "share", "sqrt"])
def test_weights_have_mean_one_in_each_class(weighting):
    assert float(training_weights(COUNTS, weighting).mean()) == pytest.approx(1)


def test_uniform_weights_forget_the_counts():
    assert training_weights(COUNTS, "uniform").tolist() == [1.0] * 5


def test_share_weights_are_in_proportion_to_the_counts():
    weights = training_weights(COUNTS, "share")
    torch.testing.assert_close(weights / weights[0], COUNTS.float())


def test_sqrt_weights_are_in_proportion_to_the_roots_of_the_counts():
    weights = training_weights(COUNTS, "sqrt")
    torch.testing.assert_close(weights / weights[0], COUNTS.float().sqrt())
