"""Which learning rate does each contender take? Tried out on validation images, for every one alike."""

from collections.abc import Mapping, Sequence
from math import log
from typing import Final

from ddoq.config import DistillConfig
from ddoq.errors import BadImagesError
from ddoq.events import Event, OnEvent, Stage
from ddoq.marks import Batches, take_test
from ddoq.plans import TrainingPlan
from ddoq.student_pool import Lesson, alone_on_cores, at_rate, train_all
from ddoq.types import TrainingSet

FACTORS: Final = (1 / 3, 1.0, 3.0)  # of the protocol's learning rate

Trials = Mapping[str, tuple[float, ...]]  # by network: accuracy by each of FACTORS


def n_students(config: DistillConfig) -> int:
    """Count the students of a contender, those that the rate is tuned on included."""
    n_tried = len(FACTORS) if config.evaluation == "full" else 0
    return (n_tried + config.students.seeds) * len(config.student_networks)


def tune(
    entries: Sequence[tuple[TrainingSet, TrainingPlan]], validation: Batches, seed: int, on_event: OnEvent
) -> list[Trials]:
    """Train one student of each network on each set by each rate, for all steps, and test them on validation images.

    Args:
        entries: What to train on, and networks and recipe.
        validation: Read once, after all training.
        seed: Of these students: one that no student has whom the test will see.
        on_event: As for `train_all`.

    Returns:
        What each rate reached, for each entry by itself.

    Raises:
        BadImagesError: `validation` is empty.
    """
    lessons = [
        Lesson(network, seed, data, at_rate(plan, network.name, factor * own_rate(plan, network.name)))
        for data, plan in entries
        for network in plan.protocol.networks
        for factor in FACTORS
    ]
    n_steps = sum(lesson.plan.steps for lesson in lessons)
    with alone_on_cores(lessons[0].plan.device) as threads:
        with train_all(lessons, threads, on_event) as trained:
            takers = [(student, lesson.plan) for student, lesson in zip(trained, lessons, strict=True)]
        marks = take_test(takers, validation, threads, lambda _n: on_event(Event(Stage.TRAIN, n_steps, n_steps)))
    if not marks.n_shown.any():
        raise BadImagesError("not one validation image could be read, so nothing can be tuned; mend the training split")
    reached = iter(marks.accuracy.view(-1, len(FACTORS)).tolist())
    return [{network.name: tuple(next(reached)) for network in plan.protocol.networks} for _, plan in entries]


def choose(trials: Trials, plan: TrainingPlan) -> dict[str, float]:
    """Take for each network the rate that did best; of equals the one nearest to the protocol's own."""
    return {network: best_factor(reached) * own_rate(plan, network) for network, reached in trials.items()}


def best_factor(accuracies: Sequence[float]) -> float:
    """Pick the best of `FACTORS` by what each reached; of equals the one nearest to 1, then the smaller."""
    accuracy = dict(zip(FACTORS, accuracies, strict=True))
    return max(FACTORS, key=lambda factor: (accuracy[factor], -abs(log(factor)), -factor))


def own_rate(plan: TrainingPlan, network: str) -> float:
    """The protocol's learning rate for a network, as training begins."""
    optimizer = plan.protocol.optimizer
    return optimizer.learning_rates.get(network, optimizer.learning_rate)
