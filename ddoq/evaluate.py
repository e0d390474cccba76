"""How good is a distilled set? Students trained on it, and on its rivals at equal compute, take one test."""

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean, stdev
from threading import Event as StopSign
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ddoq.budgets import Budget
from ddoq.config import DistillConfig
from ddoq.device import choose_device
from ddoq.errors import BadImagesError
from ddoq.events import Event, OnEvent, Stage
from ddoq.latents import LatentsManifest
from ddoq.marks import Batches, take_test
from ddoq.network_config import NetworkConfig
from ddoq.plans import TrainingPlan
from ddoq.students import train
from ddoq.threads import one_core_each
from ddoq.types import Score, Scores, TrainingSet

READ_LOSS_EVERY = 10  # steps: reading it makes an accelerator wait
TELL_SECONDS = 0.2
NOTHING: Mapping[str, Any] = MappingProxyType({})

Rates = Mapping[str, Mapping[str, float]]  # by network, then contender
Students = Mapping[str, Mapping[str, Sequence[nn.Module]]]  # likewise


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
    contenders: Mapping[str, Sequence[TrainingSet]],
    test: Batches,
    plan: TrainingPlan,
    on_event: OnEvent,
    rates: Rates = NOTHING,
    trained: Students = NOTHING,
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
        rates: Learning rates instead of the plan's, where there are any.
        trained: Students of further contenders, one a seed, which are tested only.

    Raises:
        BadImagesError: `test` is empty.
    """
    networks = plan.protocol.networks
    lessons = [
        Lesson(network, seed, data, at_rate(plan, network.name, rates.get(network.name, {}).get(name)))
        for network in networks
        for name, sets in contenders.items()
        for seed, data in enumerate(sets)
    ]
    with alone_on_cores(plan) as threads:
        fresh = iter(train_all(lessons, threads, on_event))
        students = {
            network.name: {name: [next(fresh) for _ in sets] for name, sets in contenders.items()}
            | dict(trained.get(network.name, {}))
            for network in networks
        }
        everyone = [student for each in students.values() for group in each.values() for student in group]
        n_steps = len(lessons) * plan.steps
        marks = take_test(everyone, test, plan, threads, partial(on_event, Event(Stage.EVALUATE, n_steps, n_steps)))
    if not marks.n_shown.any():
        raise BadImagesError("not one test image could be read, so nothing can be compared; mend the test split")
    rows = iter(marks.split([len(group) for each in students.values() for group in each.values()]))
    results = {network: {name: next(rows) for name in each} for network, each in students.items()}
    first = results[networks[0].name]
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


@dataclass(frozen=True)
class Lesson:
    """One student to be trained: its network, its seed, its training set, and how."""

    network: NetworkConfig
    seed: int
    data: TrainingSet
    plan: TrainingPlan


def at_rate(plan: TrainingPlan, network: str, rate: float | None) -> TrainingPlan:
    """Train a network by another learning rate than the protocol's, if one is given; all else stays."""
    if rate is None:
        return plan
    optimizer = plan.protocol.optimizer
    changed = replace(optimizer, learning_rates={**optimizer.learning_rates, network: rate})
    return replace(plan, protocol=replace(plan.protocol, optimizer=changed))


@contextmanager
def alone_on_cores(plan: TrainingPlan) -> Iterator[ThreadPoolExecutor]:
    """Open a thread a core, on which a student is alone; on an accelerator one thread, which repeats to the bit.

    Small students gain little from several threads each, and lose much when a neighbour keeps one of them waiting.
    """
    with (
        torch.backends.cudnn.flags(deterministic=True, benchmark=False),
        one_core_each(None if plan.device.type == "cpu" else 1) as threads,
    ):
        yield threads


class _Progress:
    """How far one student is, written by its thread and read by ours."""

    def __init__(self, stop: StopSign) -> None:
        self.steps, self.loss, self._stop = 0, math.nan, stop

    def __call__(self, step: int, loss: Tensor) -> None:
        if self._stop.is_set():
            raise CancelledError
        self.steps = step
        if step % READ_LOSS_EVERY == 0:
            self.loss = loss.item()


def train_all(lessons: Sequence[Lesson], threads: ThreadPoolExecutor, on_event: OnEvent) -> list[nn.Module]:
    """Train all students, each for as many steps, and tell from this thread how it goes."""
    stop = StopSign()
    progress = [_Progress(stop) for _ in lessons]
    futures = [
        threads.submit(train, lesson.network, lesson.data, lesson.plan, lesson.seed, on_step)
        for lesson, on_step in zip(lessons, progress, strict=True)
    ]
    running = set(futures)
    try:
        while running:
            ended, running = wait(running, TELL_SECONDS, FIRST_COMPLETED)
            for future in ended:
                future.result()
            on_event(_event(progress, lessons[0].plan.steps))
    finally:
        stop.set()
    return [future.result() for future in futures]


def _event(progress: Sequence[_Progress], n_steps: int) -> Event:
    """Steps of all students, and the mean of the latest losses."""
    losses = [one.loss for one in progress if not math.isnan(one.loss)]
    values = {"loss": fmean(losses)} if losses else {}
    return Event(Stage.EVALUATE, sum(one.steps for one in progress), len(progress) * n_steps, values)
