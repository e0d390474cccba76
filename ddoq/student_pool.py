"""Many students trained side by side, each alone on a core."""

import math
from collections import deque
from collections.abc import Iterator, Sequence, Set
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from statistics import fmean
from threading import Event as StopSign

import torch
from torch import Tensor, nn

from ddoq.events import Event, OnEvent, Stage
from ddoq.network_config import NetworkConfig
from ddoq.plans import TrainingPlan
from ddoq.students import train
from ddoq.threads import one_core_each
from ddoq.types import TrainingSet

READ_LOSS_EVERY = 10  # steps: reading it makes an accelerator wait
TELL_SECONDS = 0.2


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
def alone_on_cores(device: torch.device) -> Iterator[ThreadPoolExecutor]:
    """Open a thread a core, on which a student is alone; on an accelerator one thread, which repeats to the bit.

    Small students gain little from several threads each, and lose much when a neighbour keeps one of them waiting.
    """
    with (
        torch.backends.cudnn.flags(deterministic=True, benchmark=False),
        one_core_each(None if device.type == "cpu" else 1) as threads,
    ):
        yield threads


@contextmanager
def train_all(
    lessons: Sequence[Lesson], threads: ThreadPoolExecutor, on_event: OnEvent
) -> Iterator[Iterator[nn.Module]]:
    """Train students; yield them in the order of their lessons, each once it and all before it are trained.

    None is held for longer than until it is yielded, and leaving the block stops all training within a step.

    Args:
        lessons: Of networks, sets and plans that may differ.
        threads: On which each is alone.
        on_event: Told in this thread, while students are waited for: steps of all, and the mean of the latest losses.
    """
    stop = StopSign()
    progress = [_Progress(lesson.plan.steps, stop) for lesson in lessons]
    futures = deque(
        threads.submit(train, lesson.network, lesson.data, lesson.plan, lesson.seed, on_step)
        for lesson, on_step in zip(lessons, progress, strict=True)
    )

    def trained() -> Iterator[nn.Module]:
        running: Set[Future[nn.Module]] = set(futures)
        while futures:
            running = _still_running(running)
            n_ready = sum(1 for _ in takewhile(Future.done, futures))  # asked first: all steps of these are told
            on_event(_event(progress))
            for _ in range(n_ready):
                yield futures.popleft().result()

    try:
        yield trained()
    finally:
        stop.set()


def _still_running(futures: Set[Future[nn.Module]]) -> Set[Future[nn.Module]]:
    """Wait for a moment, or until one has ended; raise what one raised."""
    ended, running = wait(futures, TELL_SECONDS, FIRST_COMPLETED)
    for future in ended:
        future.result()
    return running


class _Progress:
    """How far one student is, written by its thread and read by ours."""

    def __init__(self, n_steps: int, stop: StopSign) -> None:
        self.n_steps, self.steps, self.loss, self._stop = n_steps, 0, math.nan, stop

    def __call__(self, step: int, loss: Tensor) -> None:
        if self._stop.is_set():
            raise CancelledError
        self.steps = step
        if step % READ_LOSS_EVERY == 0:
            self.loss = loss.item()


def _event(progress: Sequence[_Progress]) -> Event:
    """Steps of all students, and the mean of the latest losses."""
    losses = [one.loss for one in progress if not math.isnan(one.loss)]
    values = {"loss": fmean(losses)} if losses else {}
    n_done, n_total = sum(one.steps for one in progress), sum(one.n_steps for one in progress)
    return Event(Stage.TRAIN, n_done, n_total, values)
