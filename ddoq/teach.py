"""Training images -> a teacher of this very dataset: stage teach, for the teacher of that kind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil, isfinite
from pathlib import Path
from typing import Final

import torch
from jaxtyping import Float, Int, UInt8
from safetensors.torch import save_file
from torch import Tensor, nn

from ddoq.caches import Cache
from ddoq.config import DistillConfig
from ddoq.content_keys import content_key
from ddoq.datasets import Dataset, refuse_unreadable
from ddoq.device import choose_device
from ddoq.environments import note_environments
from ddoq.errors import ConfigError, TeacherError
from ddoq.events import Event, OnEvent, Stage
from ddoq.here import environment_here
from ddoq.image_figures import Summary
from ddoq.latents import Latents
from ddoq.manifests import read_manifest, write_manifest
from ddoq.networks.loading import WEIGHTS
from ddoq.plans import TrainingPlan
from ddoq.protocols import AugmentConfig, Cosine, OptimizerConfig, Protocol
from ddoq.seeds import stream
from ddoq.students import normalise, train
from ddoq.teacher_config import TeacherBase, TrainedTeacher
from ddoq.types import TrainingSet

TEACH_VERSION: Final = 1  # to be raised whenever the same settings would train another teacher
NUMBER: Final = -1  # among the seeds of students: none of them starts as the teacher did
EPOCHS: Final = 30
MIN_STEPS: Final = 1000  # thirty epochs of a few hundred images are too few
MAX_BYTES: Final = 4 * 2**30  # of training images in memory
READ_LOSS_EVERY: Final = 10  # steps: reading it makes an accelerator wait
BATCH: Final = 256  # images read, or shown to the finished teacher, at once
TAUGHT: Final = "teacher"  # its folder within that of the stage, and its name in the cache


@dataclass(frozen=True)
class TaughtManifest:
    """A trained teacher, in the folder with its `model.safetensors`.

    `mean` and `deviation` are of the channels (0 to 1) of the `n_images` that it learned from, `accuracy` (0 to 1) is
    that on them as they are. `remarks` are sentences for the report.
    """

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    n_images: int
    n_steps: int
    accuracy: float
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class TeachPlace:
    """Where a teacher is trained: `folder` is its own, `key` stands in `cache` for all that it depends on."""

    folder: Path
    cache: Cache
    key: str


def teach_key(config: DistillConfig, fingerprint: str, class_names: Sequence[str]) -> str:
    """Answer the SHA-256 (hex) of everything that a trained teacher depends on.

    Args:
        config: With a teacher of kind `train`.
        fingerprint: Of the dataset.
        class_names: In label order.

    Raises:
        ConfigError: the teacher is of another kind, or there is none.
    """
    return content_key(
        config,
        fingerprint,
        class_names,
        version=TEACH_VERSION,
        teacher=_settings(config).model_dump(exclude=set(TeacherBase.model_fields)),
        resolution=config.student_resolution,
        seed=config.seed,
        device=choose_device().type,
    )


def teach(dataset: Dataset, latents: Latents, config: DistillConfig, at: TeachPlace, on_event: OnEvent) -> Path:
    """Train a teacher on the training images, unless that was done before, and write it into a folder.

    The images are held in memory, a byte a channel and pixel; beyond `MAX_BYTES` of them a random part of the dataset
    has to do, which is said in a remark. An interrupted training starts again from its first step: only a finished
    teacher is kept. On a CPU with as many threads the same teacher comes out, byte for byte.

    Args:
        dataset: Where the images are.
        latents: Of the training images: they name those that decode.
        config: With a teacher of kind `train`.
        at: Where to write and what to reuse.
        on_event: Told of the images read, of every step and the latest loss known; may raise to stop within a step.

    Returns:
        The folder: `model.safetensors` and a `TaughtManifest`.

    Raises:
        ConfigError: the teacher is of another kind, or there is none.
        TeacherError: the training diverges.
    """
    name, settings = f"{at.key}/{TAUGHT}", _settings(config)
    if at.cache.fetch(name, at.folder):
        n_steps = read_manifest(at.folder, TaughtManifest).n_steps
        on_event(Event(Stage.TEACH, n_steps, n_steps))
        return at.folder
    keys = _choose_keys(latents, config)
    n_steps = count_steps(settings, len(keys))
    data, summary = _read(dataset, keys, config.student_resolution, lambda: on_event(Event(Stage.TEACH, 0, n_steps)))
    plan = TrainingPlan(
        protocol=protocol_of(settings, n_steps),
        n_images=len(keys),
        n_classes=len(dataset.class_names),
        mean=summary.mean,
        deviation=summary.deviation,
        seed=config.seed,
        device=choose_device(),
    )
    network, accuracy = _train(data, plan, on_event)
    note_environments(at.folder, (environment_here(),))
    weights = {name: weight.contiguous() for name, weight in network.cpu().state_dict().items()}
    save_file(weights, at.folder / WEIGHTS)
    remarks = _on_part(len(keys), sum(latents.manifest.counts))
    write_manifest(at.folder, TaughtManifest(plan.mean, plan.deviation, len(keys), n_steps, accuracy, remarks))
    at.cache.store(name, at.folder)
    return at.folder


def count_steps(teacher: TrainedTeacher, n_images: int) -> int:
    """Optimiser steps on so many images: those asked for, else `EPOCHS` and at least `MIN_STEPS`."""
    if teacher.steps is not None:
        return teacher.steps
    n_epochs, least = (EPOCHS, MIN_STEPS) if teacher.epochs is None else (teacher.epochs, 1)
    return max(ceil(n_epochs * n_images / teacher.batch_size), least)


def protocol_of(teacher: TrainedTeacher, n_steps: int) -> Protocol:
    """Say as a protocol how a teacher is trained."""
    return Protocol(
        name="teacher",
        source="this project",
        networks=(teacher.resolved_network,),
        # 4 epochs of 11,200 CIFAR-10 images: 63 % right in training; 61 % at 0.002 and decay 0.01, 59 % by SGD at 0.1.
        optimizer=OptimizerConfig("adamw", teacher.learning_rate, 0.05, Cosine(), "step"),
        epochs=((1, EPOCHS),),
        steps=n_steps,
        batch_sizes=((1, teacher.batch_size),),
        augment=AugmentConfig(shift=1 / 8, flip=teacher.flip),
        labels="hard",
        loss="cross-entropy",
    )


def _settings(config: DistillConfig) -> TrainedTeacher:
    if not isinstance(config.teacher, TrainedTeacher):
        raise ConfigError("there is no teacher to be trained; set teacher.kind to 'train'")
    return config.teacher


def _choose_keys(latents: Latents, config: DistillConfig) -> list[str]:
    """Name the images to learn from: all that decode, or as many of them, drawn at random, as memory may hold."""
    keys = [key for label in range(len(latents.manifest.counts)) for key in latents.keys(label)]
    n_wanted = MAX_BYTES // (3 * config.student_resolution**2)
    if len(keys) <= n_wanted:
        return keys
    order = torch.randperm(len(keys), generator=stream(config.seed, "teach"))
    return [keys[row] for row in order[:n_wanted].tolist()]


def _read(dataset: Dataset, keys: Sequence[str], side: int, on_part: Callable[[], None]) -> tuple[TrainingSet, Summary]:
    """Read these training images, in the order of the dataset, and their figures."""
    images, labels = torch.empty(len(keys), 3, side, side, dtype=torch.uint8), torch.empty(len(keys), dtype=torch.int64)
    summary, samples = Summary(side), dataset.samples("train", side, refuse_unreadable, keys)
    while batch := list(islice(samples, BATCH)):
        rows = slice(summary.n_images, summary.n_images + len(batch))
        images[rows] = torch.stack([sample.image for sample in batch])
        labels[rows] = torch.tensor([sample.label for sample in batch])
        summary.add(images[rows], batch)
        on_part()
    return TrainingSet(images, labels, torch.ones(len(keys))), summary


def _train(data: TrainingSet, plan: TrainingPlan, on_event: OnEvent) -> tuple[nn.Module, float]:
    """Train the network; answer it and the share of the images that it names rightly."""
    figures: dict[str, float] = {}

    def on_step(step: int, loss: Float[Tensor, ""]) -> None:
        if step % READ_LOSS_EVERY == 1 or step == plan.steps:  # the first step too
            figures["loss"] = loss.item()
        if not isfinite(figures["loss"]):
            raise TeacherError(f"the teacher's loss is not finite at step {step}; lower teacher.learning_rate")
        on_event(Event(Stage.TEACH, step, plan.steps, dict(figures)))

    with torch.backends.cudnn.flags(deterministic=True, benchmark=False):
        network, n_right = train(plan.protocol.networks[0], data, plan, NUMBER, on_step), 0
        for images, labels in zip(data.images.split(BATCH), data.labels.split(BATCH), strict=True):
            n_right += _count_right(network, images, labels, plan)
            on_event(Event(Stage.TEACH, plan.steps, plan.steps, dict(figures)))
    return network, n_right / len(data.labels)


@torch.inference_mode()
def _count_right(
    network: nn.Module, images: UInt8[Tensor, "b 3 h h"], labels: Int[Tensor, " b"], plan: TrainingPlan
) -> int:
    found = network(normalise(images.to(plan.device), plan)).argmax(1)
    return int((found.cpu() == labels).sum())


def _on_part(n_images: int, n_all: int) -> tuple[str, ...]:
    if n_images == n_all:
        return ()
    return (
        f"The teacher was trained on {n_images:,} of the {n_all:,} training images, drawn at random: no more fit into "
        f"{MAX_BYTES >> 30} GiB.",
    )
