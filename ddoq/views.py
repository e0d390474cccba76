"""What students are shown at each step: a batch of images, each in a view of its own, mixed if the protocol mixes."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from jaxtyping import Float, Float16, Int, UInt8
from torch import Generator, Tensor

from ddoq.augment import Augmentation, CutMix, Mixing, Normalise, make_augmentation
from ddoq.plans import TrainingPlan

CUTMIX = CutMix()


@dataclass(frozen=True)
class Draw:
    """What was drawn for a step: rows of the training images, the view of each, and how views are mixed, if at all."""

    rows: Int[Tensor, " b"]
    views: Float16[Tensor, "b k"]
    mixing: Mixing | None


@dataclass(frozen=True)
class Views:
    """Draws what students are shown, shows it, and turns what was shown into a picture again."""

    augmentation: Augmentation
    normalise: Normalise
    is_mixed: bool

    def draw(self, rows: Int[Tensor, " b"], side: int, rng: Generator) -> Draw:
        """Draw a view of each of these rows, of images of `side` pixels, and how they are mixed."""
        views = self.augmentation.draw(len(rows), side, rng)
        return Draw(rows, views, CUTMIX.draw(len(rows), side, rng) if self.is_mixed else None)

    def show(self, images: UInt8[Tensor, "b 3 h h"], draw: Draw) -> Float[Tensor, "b 3 h h"]:
        """Show the images of the rows drawn, normalised, on the device where they are."""
        shown = self.augmentation.apply(images / 255, draw.views)
        return shown if draw.mixing is None else CUTMIX.apply(shown, draw.mixing)

    def as_picture(self, shown: Float[Tensor, "b 3 h h"]) -> Float[Tensor, "b 3 h h"]:
        """Undo the normalisation: black is 0 and white 1, though colours that were changed may lie outside."""
        return self.normalise.undo(shown)


def views_of(plan: TrainingPlan) -> Views:
    """Build what a plan's students are shown through."""
    normalise, augment = Normalise(plan.mean, plan.deviation), plan.protocol.augment
    return Views(make_augmentation(augment, normalise), normalise, augment.cutmix)


def draw_steps(n: int, side: int, plan: TrainingPlan, draws: Generator) -> Iterator[Draw]:
    """Yield what is shown of `n` images of `side` pixels at each of the plan's steps."""
    views = views_of(plan)
    for rows in draw_batches(n, plan, draws):
        yield views.draw(rows, side, draws)


def draw_batches(n: int, plan: TrainingPlan, draws: Generator) -> Iterator[Int[Tensor, " b"]]:
    """Yield `plan.steps` batches of rows: the `n` rows in a new order each epoch.

    Where the protocol counts epochs, the last batch of each may be smaller; where it counts steps, batches are cut
    without regard to the end of an epoch.
    """
    draw = _draw_within_epochs if plan.protocol.steps is None else _draw_across_epochs
    return islice(draw(n, plan.batch_size, draws), plan.steps)


def _draw_within_epochs(n: int, size: int, draws: Generator) -> Iterator[Int[Tensor, " b"]]:
    while True:
        yield from torch.randperm(n, generator=draws).split(size)


def _draw_across_epochs(n: int, size: int, draws: Generator) -> Iterator[Int[Tensor, " b"]]:
    rows = torch.empty(0, dtype=torch.int64)
    while True:
        n_epochs = -(-max(size - len(rows), 0) // n)
        rows = torch.cat([rows, *(torch.randperm(n, generator=draws) for _ in range(n_epochs))])
        yield rows[:size]
        rows = rows[size:]
