"""Every contender takes the learning rate that does best on validation images, and all have the same choice."""

from dataclasses import replace

import pytest

from ddoq.errors import BadImagesError
from ddoq.evaluate import evaluate
from ddoq.events import Event, ignore
from ddoq.student_pool import at_rate
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
    (trials,) = tune([(training_set(20), plan)], VALIDATION, 5, ignore)
    assert choose(trials, plan) == {"convnet-3": pytest.approx(3e-3)}, trials


def test_the_rate_of_a_network_of_its_own_is_the_one_that_is_varied() -> None:
    optimizer = replace(PLAN.protocol.optimizer, learning_rates={"convnet-3": 0.5})
    assert choose({"convnet-3": (0.9, 0.1, 0.1)}, varied(optimizer=optimizer)) == {"convnet-3": 0.5 / 3}


def test_every_contender_and_network_is_tried_by_every_rate_to_the_end() -> None:
    events: list[Event] = []
    plan = varied(networks=SEVERAL)
    tried = tune([(training_set(8), plan), (training_set(6), plan)], VALIDATION, 5, events.append)
    assert [list(trials) for trials in tried] == [["convnet-3", "cifar-resnet-20"]] * 2
    assert {len(reached) for trials in tried for reached in trials.values()} == {len(FACTORS)}
    assert events[-1].done == events[-1].total == 2 * 2 * len(FACTORS) * PLAN.steps


def test_a_contender_is_tuned_the_same_whoever_else_competes() -> None:
    (alone,) = tune([(training_set(8), PLAN)], VALIDATION, 5, ignore)
    longer = (training_set(6, 1), varied(steps=30))
    _, beside = tune([longer, (training_set(8), PLAN)], VALIDATION, 5, ignore)
    assert beside == alone


def test_validation_is_read_once_after_all_training() -> None:
    validation = Test()
    tune([(training_set(8), PLAN)], validation, 5, validation.watch)
    assert validation.passes == [len(FACTORS) * PLAN.steps]


def test_by_the_rate_that_is_the_protocols_own_a_student_is_the_one_that_it_was() -> None:
    """So that tuning and evaluation train alike, and a seed of its own is all that parts them."""
    (trials,) = tune([(training_set(8), PLAN)], VALIDATION, 0, ignore)
    plain = evaluate({"a": [training_set(8)]}, VALIDATION, PLAN, ignore)
    assert trials["convnet-3"][1] == plain.accuracy["a"].mean


def test_no_validation_images_are_refused() -> None:
    with pytest.raises(BadImagesError, match="not one validation image"):
        tune([(training_set(8), PLAN)], [], 5, ignore)


def test_a_student_learns_by_the_rate_that_was_chosen_for_it() -> None:
    slow, fast = (at_rate(varied(steps=150), "convnet-3", rate) for rate in (1e-9, 2e-3))
    scores = [evaluate({"a": [training_set(20)] * 2}, Test(), plan, ignore).accuracy["a"].mean for plan in (slow, fast)]
    assert scores[0] < 0.7
    assert scores[1] > 0.9


def test_a_changed_rate_is_that_of_one_network() -> None:
    plan = at_rate(PLAN, "convnet-3", 0.5)
    assert plan.rate("convnet-3", 0) == 0.5
    assert plan.rate("resnet-18", 0) == PLAN.rate("resnet-18", 0)
    assert plan.rate("convnet-3", 10) == pytest.approx(0.25)  # half-way down the cosine
