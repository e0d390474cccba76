"""Which learning rate does each contender take? Tried out on validation images, for every one alike."""

from collections.abc import Mapping, Sequence
from functools import partial
from math import log
from typing import Final

from ddoq.errors import BadImagesError
from ddoq.evaluate import Lesson, Rates, alone_on_cores, at_rate, train_all
from ddoq.events import Event, OnEvent, Stage
from ddoq.marks import Batches, take_test
from ddoq.plans import TrainingPlan
from ddoq.types import TrainingSet

FACTORS: Final = (1 / 3, 1.0, 3.0)  # of the protocol's learning rate

Trials = Mapping[str, Mapping[str, tuple[float, ...]]]  # by network, then contender: accuracy by each of FACTORS


def tune(
    sets: Mapping[str, TrainingSet], validation: Batches, plan: TrainingPlan, seed: int, on_event: OnEvent
) -> Trials:
    """Train one student of each network on each set by each rate, for all steps, and test them on validation images.

    Args:
        sets: By contender.
        validation: Read once, after all training.
        plan: Networks and recipe.
        seed: Of these students: one that no student has whom the test will see.
        on_event: As for `evaluate`.

    Raises:
        BadImagesError: `validation` is empty.
    """
    lessons = [
        Lesson(network, seed, data, at_rate(plan, network.name, factor * own_rate(plan, network.name)))
        for network in plan.protocol.networks
        for data in sets.values()
        for factor in FACTORS
    ]
    n_steps = len(lessons) * plan.steps
    with alone_on_cores(plan) as threads:
        students = train_all(lessons, threads, on_event)
        on_batch = partial(on_event, Event(Stage.EVALUATE, n_steps, n_steps))
        marks = take_test(students, validation, plan, threads, on_batch)
    if not marks.n_shown.any():
        raise BadImagesError("not one validation image could be read, so nothing can be tuned; mend the training split")
    groups = iter(marks.accuracy.view(-1, len(FACTORS)).tolist())
    return {network.name: {name: tuple(next(groups)) for name in sets} for network in plan.protocol.networks}


def choose(trials: Trials, plan: TrainingPlan) -> Rates:
    """Take for each network and contender the rate that did best; of equals the one nearest to the protocol's own."""
    return {
        network: {name: best_factor(accuracies) * own_rate(plan, network) for name, accuracies in each.items()}
        for network, each in trials.items()
    }


def best_factor(accuracies: Sequence[float]) -> float:
    """Pick the best of `FACTORS` by what each reached; of equals the one nearest to 1, then the smaller."""
    accuracy = dict(zip(FACTORS, accuracies, strict=True))
    return max(FACTORS, key=lambda factor: (accuracy[factor], -abs(log(factor)), -factor))


def own_rate(plan: TrainingPlan, network: str) -> float:
    """The protocol's learning rate for a network, as training begins."""
    optimizer = plan.protocol.optimizer
    return optimizer.learning_rates.get(network, optimizer.learning_rate)
