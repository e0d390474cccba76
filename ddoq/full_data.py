"""Students of the whole training data, at as many steps as all others: what a distilled set is measured by.

Trained once for the same data and recipe: they are kept in the cache, and the next distillation tests them again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import torch
from pydantic import TypeAdapter

from ddoq.caches import Cache
from ddoq.config import DistillConfig
from ddoq.contender_names import FULL_DATA
from ddoq.contenders import TEST_BATCH
from ddoq.content_keys import content_key
from ddoq.datasets import Dataset, refuse_unreadable
from ddoq.environments import environments_of, note_environments
from ddoq.events import Event, OnEvent, Stage, after
from ddoq.here import environment_here
from ddoq.latents import Latents
from ddoq.manifests import read_manifest, write_manifest
from ddoq.marks import Batches
from ddoq.plans import TrainingPlan
from ddoq.protocols import Protocol
from ddoq.seeds import stream
from ddoq.student_pool import Lesson, alone_on_cores, at_rate, train_all
from ddoq.trained import save_student
from ddoq.tuning import FACTORS, Trials, choose, n_students, tune
from ddoq.types import TrainingSet

CACHED: Final = "full-data"
FULL_DATA_VERSION: Final = 1  # to be raised whenever the same settings would train other students
MAX_BYTES: Final = 2 * 2**30  # of images, as many as are held in memory


@dataclass(frozen=True)
class FullData:
    """Where all training images come from, and where their students are kept."""

    config: DistillConfig
    dataset: Dataset
    latents: Latents
    cache: Cache

    def n_drawn(self, plan: TrainingPlan) -> int:
        """How many images are drawn: all, or as many as the students see, or as `MAX_BYTES` hold."""
        return min(self.n_wanted(plan), MAX_BYTES // (3 * self.config.student_resolution**2))

    def n_wanted(self, plan: TrainingPlan) -> int:
        """How many images the students would see."""
        return min(sum(self.latents.manifest.counts), plan.steps * plan.batch_size)


@dataclass(frozen=True)
class FullDataManifest:
    """What the learning rates tried have reached on validation, beside the students trained by the best.

    By network, then contender, of which there is one.
    """

    trials: Mapping[str, Mapping[str, tuple[float, ...]]]


def train_on_full_data(
    data: FullData, validation: Batches, plan: TrainingPlan, folder: Path, on_event: OnEvent
) -> Trials:
    """Tune the learning rate on full data and train a student a seed of each network, unless that was done before.

    Labels are the classes, whatever the plan's are. Nothing of this depends on the distilled set but its size, and
    that only where it sets the number of steps.

    Args:
        data: What to train on.
        validation: Read once, or not at all.
        plan: Networks and recipe.
        folder: Is there, and takes a file a student.
        on_event: Told steps of all students, and while images are read; may raise to stop.

    Returns:
        What each rate has reached.
    """
    plan = with_class_labels(plan)
    name = f"{full_data_key(data, plan)}/{CACHED}"
    with TemporaryDirectory(dir=folder) as scratch:
        kept = Path(scratch, "students")
        if not data.cache.fetch(name, kept):
            note_environments(kept, (environment_here(),))
            _train(data, validation, plan, kept, on_event)
            data.cache.store(name, kept)
        note_environments(folder, environments_of(kept))
        trials = read_manifest(kept, FullDataManifest).trials
        for file in kept.glob("*.safetensors"):
            file.rename(folder / file.name)
    n_steps = n_students(data.config) * plan.steps
    on_event(Event(Stage.TRAIN, n_steps, n_steps))
    return {network: each[FULL_DATA] for network, each in trials.items()}


def with_class_labels(plan: TrainingPlan) -> TrainingPlan:
    """Train without a teacher; all else stays."""
    hard = replace(plan.protocol, labels="hard", loss="cross-entropy", temperature=None, teacher=None)
    return replace(plan, protocol=hard)


def full_data_key(data: FullData, plan: TrainingPlan) -> str:
    """Answer the SHA-256 (hex) of everything that the students of full data depend on."""
    protocol, config = plan.protocol, data.config
    size_matters = protocol.steps is None or protocol.optimizer.moves_each == "epoch"
    return content_key(
        config,
        data.dataset.fingerprint,
        data.dataset.class_names,
        version=FULL_DATA_VERSION,
        n_images=data.n_drawn(plan),
        resolution=config.student_resolution,
        mean=plan.mean,
        deviation=plan.deviation,
        protocol=TypeAdapter(Protocol).dump_python(replace(protocol, source="", unverified=()), mode="json"),
        steps=plan.steps,
        batch_size=plan.batch_size,
        distilled_images=plan.n_images if size_matters else None,
        factors=FACTORS,
        seed=plan.seed,
        seeds=config.students.seeds,
        device=plan.device.type,
    )


def read_full_data(data: FullData, n_images: int, on_batch: Callable[[], None]) -> TrainingSet:
    """Read `n_images` training images, drawn at random from all that were encoded, as students see them."""
    counts, side = data.latents.manifest.counts, data.config.student_resolution
    chosen = torch.zeros(sum(counts), dtype=torch.bool)
    chosen[torch.randperm(len(chosen), generator=stream(data.config.seed, FULL_DATA))[:n_images]] = True
    keys = {
        key
        for label, mine in enumerate(chosen.split(list(counts)))
        for key, is_chosen in zip(data.latents.keys(label), mine.tolist(), strict=True)
        if is_chosen
    }
    images = torch.empty(n_images, 3, side, side, dtype=torch.uint8)
    labels = torch.empty(n_images, dtype=torch.int64)
    for row, sample in enumerate(data.dataset.samples("train", side, refuse_unreadable, keys)):
        images[row], labels[row] = sample.image, sample.label
        if row % TEST_BATCH == 0:
            on_batch()
    return TrainingSet(images, labels, torch.ones(n_images))


def _train(data: FullData, validation: Batches, plan: TrainingPlan, folder: Path, on_event: OnEvent) -> None:
    """Leave the students, and how their rates were found, in `folder`."""
    n_seeds, networks = data.config.students.seeds, plan.protocol.networks
    n_steps = n_students(data.config) * plan.steps
    real = read_full_data(data, data.n_drawn(plan), lambda: on_event(Event(Stage.TRAIN, 0, n_steps)))
    (trials,) = tune([(real, plan)], validation, n_seeds, after(on_event, 0, n_steps))
    rates = choose(trials, plan)
    lessons = [
        Lesson(network, seed, real, at_rate(plan, network.name, rates[network.name]))
        for network in networks
        for seed in range(n_seeds)
    ]
    on_lessons = after(on_event, n_steps - len(lessons) * plan.steps, n_steps)
    with alone_on_cores(plan.device) as threads, train_all(lessons, threads, on_lessons) as students:
        for lesson, student in zip(lessons, students, strict=True):
            save_student(student, folder, lesson.network.name, lesson.seed)
    by_contender = {network: {FULL_DATA: reached} for network, reached in trials.items()}
    write_manifest(folder, FullDataManifest(by_contender))
