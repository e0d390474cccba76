"""Trained students -> marks: how many images each names rightly, and whether it is as sure as it is right."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import isnan
from typing import Final

import torch
from jaxtyping import Float, Float64, Int, UInt8
from torch import Tensor, nn

from ddoq.plans import TrainingPlan
from ddoq.students import normalise

Batches = Iterable[tuple[UInt8[Tensor, "b 3 h h"], Int[Tensor, " b"]]]

Taker = tuple[nn.Module, TrainingPlan]  # a student, and how it was trained

N_BINS: Final = 15  # as Guo et al. have them


@dataclass(frozen=True)
class Marks:
    """How students did on the same images.

    `n_right` and `n_shown` are counts by class. `gaps` are sums over the images in each of `N_BINS` bins of confidence,
    of equal width: one for each right answer, less the student's confidence in it.
    """

    n_right: Float64[Tensor, "s c"]
    n_shown: Float64[Tensor, " c"]
    gaps: Float64[Tensor, "s bins"]

    @property
    def accuracy(self) -> Float64[Tensor, " s"]:
        """Of each student, 0 to 1."""
        return self.n_right.sum(1) / self.n_shown.sum()

    @property
    def calibration_error(self) -> Float64[Tensor, " s"]:
        """Of each student, 0 to 1: expected difference of accuracy and confidence in a bin.

        Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, Eq. 3.
        """
        return self.gaps.abs().sum(1) / self.n_shown.sum()

    @property
    def by_class(self) -> tuple[float | None, ...]:
        """Mean accuracy in each class, or none where no image was of it."""
        shares = (self.n_right.mean(0) / self.n_shown).tolist()
        return tuple(None if isnan(share) else share for share in shares)

    def split(self, sizes: Sequence[int]) -> Iterator["Marks"]:
        """Part the students into groups of these sizes."""
        for n_right, gaps in zip(self.n_right.split(list(sizes)), self.gaps.split(list(sizes)), strict=True):
            yield Marks(n_right, self.n_shown, gaps)


def take_test(
    takers: Sequence[Taker], test: Batches, threads: ThreadPoolExecutor, on_images: Callable[[int], None]
) -> Marks:
    """Show each batch of images once to every student, all of as many classes.

    `on_images` is told after each batch how many images it had.
    """
    n_classes = takers[0][1].n_classes
    n_right = torch.zeros(len(takers), n_classes, dtype=torch.float64)
    gaps = torch.zeros(len(takers), N_BINS, dtype=torch.float64)
    n_shown = torch.zeros(n_classes, dtype=torch.float64)
    for images, labels in test:
        rights, differences = zip(*threads.map(partial(_mark, images=images, labels=labels), takers), strict=True)
        n_right += torch.stack(rights)
        gaps += torch.stack(differences)
        n_shown += labels.bincount(minlength=n_classes)
        on_images(len(labels))
    return Marks(n_right, n_shown, gaps)


@torch.inference_mode()
def _mark(
    taker: Taker, images: UInt8[Tensor, "b 3 h h"], labels: Int[Tensor, " b"]
) -> tuple[Int[Tensor, " c"], Float64[Tensor, " bins"]]:
    """Count right answers and sum gaps, looking at as many images at once as in training."""
    student, plan = taker
    parts = images.to(plan.device).split(plan.batch_size)
    answers = [_answer(student, part, plan) for part in parts]
    confidence, found = (torch.cat(each).cpu() for each in zip(*answers, strict=True))
    is_right = found == labels
    bins = (confidence * N_BINS).ceil().long().clamp(1, N_BINS) - 1  # a bin holds its upper edge, as in the source
    gap = is_right.double() - confidence.double()
    return (
        labels[is_right].bincount(minlength=plan.n_classes),
        torch.zeros(N_BINS, dtype=torch.float64).index_add(0, bins, gap),
    )


def _answer(
    student: nn.Module, images: UInt8[Tensor, "b 3 h h"], plan: TrainingPlan
) -> tuple[Float[Tensor, " b"], Int[Tensor, " b"]]:
    """Name the class of each image, and say how sure: zero, where training has gone astray and nothing is finite."""
    logits = student(normalise(images, plan))
    return logits.softmax(1).amax(1).nan_to_num(0.0), logits.argmax(1)
