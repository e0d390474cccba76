"""Images -> soft labels in files: of each image as it is, or of each view that students will see."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import torch
from jaxtyping import Float16, UInt8
from torch import Tensor

from ddoq.label_sizes import n_shown
from ddoq.lessons import BATCH, ask, draw_for
from ddoq.plans import TrainingPlan
from ddoq.stored_labels import file_name, write_epoch
from ddoq.teachers import Teacher
from ddoq.threads import one_core_each
from ddoq.types import LiveTeacher
from ddoq.views import Draw, views_of

OnImages = Callable[[int], None]


def count_labelled(plan: TrainingPlan) -> int:
    """Count the pictures that are labelled of one set."""
    if plan.protocol.labels == "fixed":
        return plan.n_images
    return n_shown(plan.protocol, plan.n_images, plan.n_classes)


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

    Students of all seeds see the same epochs: those that student 0 would see live. Memory holds one epoch. What is
    written does not depend on the number of cores.
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


def _epochs(draws: Iterator[Draw], plan: TrainingPlan) -> Iterator[list[Draw]]:
    """Cut what is drawn into epochs."""
    while epoch := list(islice(draws, plan.steps_an_epoch)):
        yield epoch
