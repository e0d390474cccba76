"""Every contender takes the learning rate that does best on validation images, and all have the same choice."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ddoq.errors import BadImagesError
from ddoq.evaluate import at_rate, evaluate
from ddoq.events import Event, ignore
from ddoq.tuning import FACTORS, best_factor, choose, tune
from tests.unit.test_evaluate import PLAN, SEVERAL, Test, stripes, training_set, varied

VALIDATION = [stripes(40, 7)]


def test_the_best_on_validation_is_taken() -> None:
    assert best_factor((0.5, 0.6, 0.7)) == 3
    assert best_factor((0.7, 0.6, 0.5)) == 1 / 3


def test_of_equals_the_protocols_own_is_taken() -> None:
    assert best_factor((0.7, 0.7, 0.7)) == 1
    assert best_factor((0.7, 0.6, 0.7)) == 1 / 3


def test_a_rate_that_is_too_low_is_raised() -> None:
    plan = varied(steps=40, optimizer=replace(PLAN.protocol.optimizer, learning_rate=1e-3))
    trials = tune({"a": training_set(20)}, VALIDATION, plan, 5, ignore)
    assert choose(trials, plan) == {"convnet-3": {"a": pytest.approx(3e-3)}}, trials


def test_the_rate_of_a_network_of_its_own_is_the_one_that_is_varied() -> None:
    optimizer = replace(PLAN.protocol.optimizer, learning_rates={"convnet-3": 0.5})
    assert choose({"convnet-3": {"a": (0.9, 0.1, 0.1)}}, varied(optimizer=optimizer))["convnet-3"]["a"] == 0.5 / 3


def test_every_contender_and_network_is_tried_by_every_rate_to_the_end() -> None:
    events: list[Event] = []
    plan = varied(networks=SEVERAL)
    trials = tune({"a": training_set(8), "b": training_set(6)}, VALIDATION, plan, 5, events.append)
    assert {network: list(each) for network, each in trials.items()} == {
        "convnet-3": ["a", "b"],
        "cifar-resnet-20": ["a", "b"],
    }
    assert events[-1].done == events[-1].total == 2 * 2 * len(FACTORS) * PLAN.steps


def test_a_contender_is_tuned_the_same_whoever_else_competes() -> None:
    alone = tune({"a": training_set(8)}, VALIDATION, PLAN, 5, ignore)
    beside = tune({"b": training_set(6, 1), "a": training_set(8)}, VALIDATION, PLAN, 5, ignore)
    assert beside["convnet-3"]["a"] == alone["convnet-3"]["a"]


def test_validation_is_read_once_after_all_training() -> None:
    validation = Test()
    tune({"a": training_set(8)}, validation, PLAN, 5, validation.watch)
    assert validation.passes == [len(FACTORS) * PLAN.steps]


def test_by_the_rate_that_is_the_protocols_own_a_student_is_the_one_that_it_was() -> None:
    """So that tuning and evaluation train alike, and a seed of its own is all that parts them."""
    trials = tune({"a": training_set(8)}, VALIDATION, PLAN, 0, ignore)
    plain = evaluate({"a": [training_set(8)]}, VALIDATION, PLAN, ignore)
    assert trials["convnet-3"]["a"][1] == plain.accuracy["a"].mean


def test_no_validation_images_are_refused() -> None:
    with pytest.raises(BadImagesError, match="not one validation image"):
        tune({"a": training_set(8)}, [], PLAN, 5, ignore)


def test_a_student_learns_by_the_rate_that_was_chosen_for_it() -> None:
    data = [training_set(20)] * 2
    slow, fast = 1e-9, 2e-3
    rates = {"convnet-3": {"slow": slow, "fast": fast}}
    scores = evaluate({"slow": data, "fast": data}, Test(), varied(steps=150), ignore, rates)
    assert scores.accuracy["fast"].mean > 0.9
    assert scores.accuracy["slow"].mean < 0.7


def test_a_changed_rate_is_that_of_one_network() -> None:
    plan = at_rate(PLAN, "convnet-3", 0.5)
    assert plan.rate("convnet-3", 0) == 0.5
    assert plan.rate("resnet-18", 0) == PLAN.rate("resnet-18", 0)
    assert plan.rate("convnet-3", 10) == pytest.approx(0.25)  # half-way down the cosine


def test_students_trained_before_are_tested_with_the_others() -> None:
    def test() -> Iterator[tuple[Tensor, Tensor]]:
        yield stripes(40, 99)

    class Zero(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.tensor([1.0, 0.0]).expand(len(images), 2)

    scores = evaluate({"a": [training_set(8)]}, test(), PLAN, ignore, trained={"convnet-3": {"zero": [Zero()]}})
    assert list(scores.accuracy) == ["a", "zero"]
    assert scores.accuracy["zero"].mean == 0.5
    assert scores.by_class["zero"] == (1.0, 0.0)
