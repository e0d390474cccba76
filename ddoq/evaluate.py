"""How good is a distilled set? Students trained on it, and on its rivals at equal compute, take one test."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from torch import nn

from ddoq.budgets import Budget
from ddoq.config import DistillConfig
from ddoq.device import choose_device
from ddoq.errors import BadImagesError
from ddoq.events import Event, OnEvent, Stage
from ddoq.latents import LatentsManifest
from ddoq.marks import Batches, Marks, take_test
from ddoq.plans import TrainingPlan
from ddoq.student_pool import Lesson, alone_on_cores, train_all
from ddoq.types import Score, Scores, TrainingSet

Students = Mapping[str, Mapping[str, Sequence[nn.Module]]]  # by network, then contender, one a seed


@dataclass(frozen=True)
class Candidates:
    """Trained students of one budget, and how they were trained but for their learning rates."""

    students: Students
    plan: TrainingPlan

    @property
    def groups(self) -> list[Sequence[nn.Module]]:
        """The students of each network and contender."""
        return [group for each in self.students.values() for group in each.values()]


def plan_for(config: DistillConfig, budget: Budget, latents: LatentsManifest) -> TrainingPlan:
    """Take from `config` how students are trained on the sets of a budget, on the device there is."""
    return TrainingPlan(
        protocol=config.resolved_protocol,
        n_images=sum(budget.counts),
        n_classes=len(budget.counts),
        mean=latents.mean,
        deviation=latents.deviation,
        seed=config.seed,
        device=choose_device(),
    )


def evaluate(
    contenders: Mapping[str, Sequence[TrainingSet]], test: Batches, plan: TrainingPlan, on_event: OnEvent
) -> Scores:
    """Train a student of each network on each training set, then show each test batch once to all of them.

    Seed `s` means the same initial weights and the same order of batches for every contender, so that differences
    between contenders may be taken seed by seed. Nothing is chosen by the test: the last step counts.

    Args:
        contenders: Training sets by name, one a seed, all images of one side.
        test: Read once, after all training.
        plan: Networks and recipe, the same for all.
        on_event: Told in this thread, several times a second and at each test batch; may raise to stop all training
            within a step.

    Raises:
        BadImagesError: `test` is empty.
    """
    networks = plan.protocol.networks
    lessons = [
        Lesson(network, seed, data, plan)
        for network in networks
        for sets in contenders.values()
        for seed, data in enumerate(sets)
    ]
    with alone_on_cores(plan.device) as threads, train_all(lessons, threads, on_event) as trained:
        students = {
            network.name: {name: [next(trained) for _ in sets] for name, sets in contenders.items()}
            for network in networks
        }
    n_steps = len(lessons) * plan.steps
    (scores,) = examine([Candidates(students, plan)], test, lambda _n: on_event(Event(Stage.TRAIN, n_steps, n_steps)))
    return scores


def examine(every: Sequence[Candidates], test: Batches, on_images: Callable[[int], None]) -> list[Scores]:
    """Show each test batch once to the students of all budgets, and score each budget by itself.

    Args:
        every: Who is tested: the same classes in each budget.
        test: Read once.
        on_images: Told after each batch how many images it had; may raise to stop.

    Raises:
        BadImagesError: `test` is empty.
    """
    takers = [(student, one.plan) for one in every for group in one.groups for student in group]
    with alone_on_cores(every[0].plan.device) as threads:
        marks = take_test(takers, test, threads, on_images)
    if not marks.n_shown.any():
        raise BadImagesError("not one test image could be read, so nothing can be compared; mend the test split")
    of_budgets = marks.split([sum(map(len, one.groups)) for one in every])
    return [_score(one, its) for one, its in zip(every, of_budgets, strict=True)]


def _score(one: Candidates, marks: Marks) -> Scores:
    """Put the marks of a budget's students, in their order, together by network and contender."""
    rows = marks.split([len(group) for group in one.groups])
    results = {network: {name: next(rows) for name in each} for network, each in one.students.items()}
    first = results[one.plan.protocol.networks[0].name]
    return Scores(
        by_network={
            network: {name: score(group.accuracy.tolist()) for name, group in each.items()}
            for network, each in results.items()
        },
        by_class={name: group.by_class for name, group in first.items()},
        calibration={name: fmean(group.calibration_error.tolist()) for name, group in first.items()},
    )


def score(values: Sequence[float]) -> Score:
    """Mean and sample deviation of one accuracy a seed."""
    return Score(tuple(values), fmean(values), stdev(values) if len(values) > 1 else 0.0)
