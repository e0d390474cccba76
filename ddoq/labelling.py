"""Images -> soft labels in files: of each image as it is, or of each view that students will see. Stage label."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, count, islice
from pathlib import Path

import torch
from jaxtyping import Float16, UInt8
from torch import Tensor

from ddoq.codebooks import Codebooks
from ddoq.config import DistillConfig
from ddoq.contenders import random_images
from ddoq.datasets import Dataset
from ddoq.evaluate import plan_for
from ddoq.events import Event, OnEvent, Stage
from ddoq.generate import Images
from ddoq.label_sizes import n_shown
from ddoq.labels import close_labels, write_labels
from ddoq.latents import Latents
from ddoq.lessons import BATCH, ask, draw_for
from ddoq.plans import TrainingPlan
from ddoq.stored_labels import file_name, write_epoch
from ddoq.teachers import Teacher
from ddoq.threads import one_core_each
from ddoq.types import LiveTeacher
from ddoq.views import Draw, views_of

OnImages = Callable[[int], None]


def label_all(
    config: DistillConfig,
    dataset: Dataset,
    latents: Latents,
    every: Sequence[tuple[Codebooks, Images]],
    teacher: Teacher,
    folder: Path,
    on_event: OnEvent,
) -> None:
    """Label the distilled images of every budget, and those of its random contenders, a folder each in `folder`.

    Where labels are stored, students of all seeds see the same epochs: those that student 0 would see live.

    Raises:
        TeacherError: logits are NaN, or too large for half precision.
    """
    plans = [plan_for(config, books.budget, latents.manifest) for books, _ in every]
    is_stored, n_sets = config.resolved_protocol.labels == "stored", 1 + config.n_draws
    side = config.student_resolution if is_stored else teacher.resolution
    tell = _Tally(on_event, n_sets * sum(_n_labelled(plan) for plan in plans))
    for (books, images), plan in zip(every, plans, strict=True):
        distilled = torch.cat([images.of_class(label, side) for label in range(len(books.budget.counts))])
        random = random_images(config, dataset, latents, books, side)
        names = chain(["distilled"], (f"random.{seed}" for seed in count()))
        sets, own = zip(names, chain([distilled], random), strict=False), folder / books.budget.name
        if is_stored:
            for name, pictures in sets:
                store_labels(pictures, teacher, plan, own / name, tell)
        else:
            write_labels(own, {name: label_images(pictures, teacher, tell) for name, pictures in sets})
    close_labels(folder, (books.budget.name for books, _ in every))


def label_images(images: UInt8[Tensor, "m 3 h h"], teacher: Teacher, on_images: OnImages) -> Float16[Tensor, "m c"]:
    """Label each image as it is, of the teacher's resolution."""
    logits = []
    for part in images.split(BATCH):
        logits.append(teacher.label(part))
        on_images(len(part))
    return torch.cat(logits)


def store_labels(
    images: UInt8[Tensor, "m 3 h h"], teacher: LiveTeacher, plan: TrainingPlan, folder: Path, on_images: OnImages
) -> None:
    """Label all that a plan's students see of `images`, of the students' side, and write a file an epoch.

    Memory holds one epoch. What is written does not depend on the number of cores.
    """
    folder.mkdir(parents=True)
    views, near, draws = views_of(plan), images.to(plan.device), draw_for(images, plan, 0)

    def label(draw: Draw) -> Float16[Tensor, "b c"]:
        return ask(teacher, views.as_picture(views.show(near[draw.rows], draw))).cpu()

    n_threads = None if plan.device.type == "cpu" else 1
    with torch.backends.cudnn.flags(deterministic=True, benchmark=False), one_core_each(n_threads) as threads:
        for number, epoch in enumerate(_epochs(draws, plan)):
            labelled = []
            for draw, logits in zip(epoch, threads.map(label, epoch), strict=True):
                labelled.append((draw, logits))
                on_images(len(draw.rows))
            write_epoch(folder / file_name(number), labelled, images.shape[-1])


def _n_labelled(plan: TrainingPlan) -> int:
    """Pictures that are labelled of one set."""
    if plan.protocol.labels == "fixed":
        return plan.n_images
    return n_shown(plan.protocol, plan.n_images, plan.n_classes)


def _epochs(draws: Iterator[Draw], plan: TrainingPlan) -> Iterator[list[Draw]]:
    """Cut what is drawn into epochs."""
    while epoch := list(islice(draws, plan.steps_an_epoch)):
        yield epoch


class _Tally:
    """Counts images for the listener."""

    def __init__(self, on_event: OnEvent, n_images: int) -> None:
        self._on_event, self._n_done, self._n_images = on_event, 0, n_images

    def __call__(self, n: int) -> None:
        self._n_done += n
        self._on_event(Event(Stage.LABEL, self._n_done, self._n_images))
