"""What a student is shown at each step, and how its answer is judged: by hard, fixed, live or stored labels.

Whatever the labels, a view is an image of the training set as `ddoq.views` shows it, and a weight is that of the
image, mixed where images are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Float16, UInt8
from torch import Tensor

from ddoq.errors import TeacherError
from ddoq.losses import hard_loss, mixed_hard_loss, soft_loss
from ddoq.plans import TrainingPlan
from ddoq.seeds import stream
from ddoq.stored_labels import StoredLabels
from ddoq.types import LiveTeacher, TrainingSet
from ddoq.views import Draw, draw_steps, views_of

BATCH = 64  # images that a teacher looks at at once, however many a student does

Judge = Callable[[Float[Tensor, "b c"]], Float[Tensor, ""]]


@dataclass(frozen=True)
class Exercise:
    """One step of a training: `images` as they are shown, and what makes a loss of the logits of them."""

    images: Float[Tensor, "b 3 h h"]
    judge: Judge


def exercises(data: TrainingSet, plan: TrainingPlan, seed: int) -> Iterator[Exercise]:
    """Yield what a student is shown at each of the plan's steps, on the plan's device.

    Batches and views depend on `seed`, the number of images and their side only, so that contenders of one size meet
    them in the same order; where labels are stored, on nothing.

    Raises:
        TeacherError: a live teacher's logits are NaN or too large for half precision; labels are not stored for
            images of this side, or not for as many steps.
    """
    near, soft = data.to(plan.device), data.soft_labels
    if soft is None:
        return _hard(near, plan, seed)
    if isinstance(soft, Tensor):
        return _fixed(near, plan, seed, soft)
    if isinstance(soft, StoredLabels):
        return _stored(near, plan, soft)
    return _live(near, plan, seed, soft)


def draw_for(images: UInt8[Tensor, "m 3 h h"], plan: TrainingPlan, seed: int) -> Iterator[Draw]:
    """Draw what the student `seed` is shown at each step; stored labels are of what student 0 would be."""
    return draw_steps(len(images), images.shape[-1], plan, stream(plan.seed, "batches", seed))


def ask(teacher: LiveTeacher, pictures: Float[Tensor, "b 3 h h"]) -> Float16[Tensor, "b c"]:
    """Ask for logits of images in [0, 1], in half precision as all soft labels are, on the teacher's device.

    Raises:
        TeacherError: they are NaN, or too large for half precision.
    """
    logits = torch.cat([teacher.look(part) for part in pictures.split(BATCH)]).half()
    if not bool(logits.isfinite().all()):
        raise TeacherError("the teacher's logits are not finite in half precision; use another teacher")
    return logits


def _hard(data: TrainingSet, plan: TrainingPlan, seed: int) -> Iterator[Exercise]:
    """Classes, mixed as images are."""
    views = views_of(plan)
    for draw in draw_for(data.images, plan, seed):
        given = {"labels": data.labels[draw.rows], "weights": data.weights[draw.rows]}
        loss = partial(mixed_hard_loss, mixing=draw.mixing) if draw.mixing else hard_loss
        yield Exercise(views.show(data.images[draw.rows], draw), partial(loss, **given))


def _fixed(data: TrainingSet, plan: TrainingPlan, seed: int, logits: Float[Tensor, "m c"]) -> Iterator[Exercise]:
    """What the teacher said of each image as it is, whatever the view."""
    views, logits = views_of(plan), logits.to(plan.device)
    for draw in draw_for(data.images, plan, seed):
        yield Exercise(views.show(data.images[draw.rows], draw), _soft(logits[draw.rows], data, draw, plan))


def _live(data: TrainingSet, plan: TrainingPlan, seed: int, teacher: LiveTeacher) -> Iterator[Exercise]:
    """What the teacher says of the very view that the student sees."""
    views = views_of(plan)
    for draw in draw_for(data.images, plan, seed):
        images = views.show(data.images[draw.rows], draw)
        yield Exercise(images, _soft(ask(teacher, views.as_picture(images)), data, draw, plan))


def _stored(data: TrainingSet, plan: TrainingPlan, stored: StoredLabels) -> Iterator[Exercise]:
    """The views that the teacher saw beforehand, and what it said of each."""
    views = views_of(plan)
    for draw, logits in stored.steps(plan.steps, data.images.shape[-1]):
        images = views.show(data.images[draw.rows], draw)
        yield Exercise(images, _soft(logits.to(plan.device), data, draw, plan))


def _soft(logits: Float[Tensor, "b c"], data: TrainingSet, draw: Draw, plan: TrainingPlan) -> Judge:
    """Judge by a teacher's logits of what is shown."""
    weights = data.weights[draw.rows]
    mixed = draw.mixing.mix(weights) if draw.mixing else weights
    temperature = plan.protocol.temperature or 1.0
    return partial(soft_loss, teacher=logits.float(), weights=mixed, temperature=temperature)
