"""How good is a distilled set? Students trained on it, and on its rivals at equal compute, take one test."""

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from functools import partial
from itertools import chain, islice
from statistics import fmean, stdev
from threading import Event as StopSign

import torch
from jaxtyping import Int, UInt8
from torch import Tensor, nn

from ddoq.archive import Recipe
from ddoq.config import DistillConfig
from ddoq.device import choose_device
from ddoq.errors import BadImagesError
from ddoq.events import Event, OnEvent, Stage
from ddoq.latents import LatentsManifest
from ddoq.students import LEARNING_RATE, WEIGHT_DECAY, Protocol, make_student, normalise, train
from ddoq.threads import one_core_each
from ddoq.types import Score, TrainingSet

READ_LOSS_EVERY = 10  # steps: reading it makes an accelerator wait
TELL_SECONDS = 0.2


def protocol_for(config: DistillConfig, n_classes: int, latents: LatentsManifest) -> Protocol:
    """Take from `config` how students are trained, on the device there is."""
    return Protocol(
        n_classes=n_classes,
        mean=latents.mean,
        deviation=latents.deviation,
        steps=config.students.steps,
        batch_size=config.students.batch_size,
        width=config.students.width,
        seed=config.seed,
        device=choose_device(),
    )


def recipe(protocol: Protocol) -> Recipe:
    """Say in words how students were trained, for whoever trains on the archive."""
    return Recipe(
        mean=protocol.mean,
        deviation=protocol.deviation,
        loss="cross-entropy times weight, mean over the batch",
        optimizer=(
            f"AdamW, learning rate {LEARNING_RATE:g} falling to 0 along a half cosine, weight decay "
            f"{WEIGHT_DECAY:g}, on a ConvNet-3 with {protocol.width} channels and InstanceNorm"
        ),
        augmentation="random shifts by up to an eighth of the side, the edge repeated",
        steps=protocol.steps,
        batch_size=protocol.batch_size,
    )


def evaluate(
    contenders: Mapping[str, Sequence[TrainingSet]],
    test: Iterable[tuple[UInt8[Tensor, "b 3 h w"], Int[Tensor, " b"]]],
    protocol: Protocol,
    on_event: OnEvent,
) -> dict[str, Score]:
    """Train one student on each training set, then show each test batch once to all of them.

    Seed `s` means the same initial weights and the same order of batches for every contender, so that differences
    between contenders may be taken seed by seed. Nothing is chosen by the test: the last step counts.

    Args:
        contenders: Training sets by name, one a seed, all images of one side.
        test: Read once, after all training.
        protocol: The recipe, the same for all.
        on_event: Told in this thread, several times a second and at each test batch; may raise to stop all training
            within a step.

    Raises:
        BadImagesError: `test` is empty.
    """
    with torch.backends.cudnn.flags(deterministic=True, benchmark=False), _threads(protocol) as threads:
        students = _train_all(list(chain(*map(enumerate, contenders.values()))), protocol, threads, on_event)
        accuracies = iter(_take_test(students, test, protocol, threads, on_event))
    return {name: score(list(islice(accuracies, len(sets)))) for name, sets in contenders.items()}


def score(values: Sequence[float]) -> Score:
    """Mean and sample deviation of one accuracy a seed."""
    return Score(tuple(values), fmean(values), stdev(values) if len(values) > 1 else 0.0)


def _threads(protocol: Protocol) -> AbstractContextManager[ThreadPoolExecutor]:
    """A thread a core, on which a student is alone; on an accelerator one thread.

    Small students gain little from several threads each, and lose much when a neighbour keeps one of them waiting.
    """
    return one_core_each(None if protocol.device.type == "cpu" else 1)


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


def _train_all(
    sets: Sequence[tuple[int, TrainingSet]], protocol: Protocol, threads: ThreadPoolExecutor, on_event: OnEvent
) -> list[nn.Module]:
    """Train a student on each (seed, training set), and tell from this thread how it goes."""
    stop = StopSign()
    progress = [_Progress(stop) for _ in sets]
    futures = [
        threads.submit(_train_one, data, protocol, seed, on_step)
        for (seed, data), on_step in zip(sets, progress, strict=True)
    ]
    running = set(futures)
    try:
        while running:
            ended, running = wait(running, TELL_SECONDS, FIRST_COMPLETED)
            for future in ended:
                future.result()
            on_event(_event(progress, protocol))
    finally:
        stop.set()
    return [future.result() for future in futures]


def _train_one(data: TrainingSet, protocol: Protocol, seed: int, on_step: _Progress) -> nn.Module:
    student = make_student(protocol, data.images.shape[-1], seed)
    train(student, data, protocol, seed, on_step)
    return student


def _event(progress: Sequence[_Progress], protocol: Protocol) -> Event:
    """Steps of all students, and the mean of the latest losses."""
    losses = [one.loss for one in progress if not math.isnan(one.loss)]
    values = {"loss": fmean(losses)} if losses else {}
    return Event(Stage.EVALUATE, sum(one.steps for one in progress), len(progress) * protocol.steps, values)


def _take_test(
    students: Sequence[nn.Module],
    test: Iterable[tuple[UInt8[Tensor, "b 3 h w"], Int[Tensor, " b"]]],
    protocol: Protocol,
    threads: ThreadPoolExecutor,
    on_event: OnEvent,
) -> list[float]:
    """Show each test batch once to every student; answer the share that each got right."""
    n_right, n_test, n_steps = [0] * len(students), 0, len(students) * protocol.steps
    for images, labels in test:
        count = partial(_count_right, images=images, labels=labels, protocol=protocol)
        n_right = [before + more for before, more in zip(n_right, threads.map(count, students), strict=True)]
        n_test += len(labels)
        on_event(Event(Stage.EVALUATE, n_steps, n_steps))
    if not n_test:
        raise BadImagesError("not one test image could be read, so nothing can be compared; mend the test split")
    return [right / n_test for right in n_right]


@torch.inference_mode()
def _count_right(
    student: nn.Module, images: UInt8[Tensor, "b 3 h w"], labels: Int[Tensor, " b"], protocol: Protocol
) -> int:
    """Count the images that the student names rightly, looking at as many at once as in training."""
    parts = images.to(protocol.device).split(protocol.batch_size)
    found = torch.cat([student(normalise(part, protocol)).argmax(1) for part in parts])
    return int((found == labels.to(protocol.device)).sum())
