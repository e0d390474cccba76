"""A student's marks are what it gets right, and how far from that its confidence is."""

from dataclasses import replace
from math import log

import pytest
import torch
from torch import Tensor, nn

from ddoq.marks import Marks, take_test
from ddoq.plans import TrainingPlan
from ddoq.protocols import QUICK
from ddoq.student_pool import alone_on_cores

PLAN = TrainingPlan(
    protocol=replace(QUICK, batch_sizes=((1, 8),)),
    n_images=8,
    n_classes=2,
    mean=(0.0, 0.0, 0.0),
    deviation=(1.0, 1.0, 1.0),
    seed=0,
    device=torch.device("cpu"),
)


class Oracle(nn.Module):
    """Says the first class of bright images, with confidences given from darkest to brightest."""

    def __init__(self, sure: dict[int, float]) -> None:
        super().__init__()
        self.sure = sure

    def forward(self, images: Tensor) -> Tensor:
        odds = [self.sure[round(255 * float(image[0, 0, 0]))] for image in images]
        return torch.tensor([[log(odd), log(1 - odd)] if 0 < odd < 1 else [odd, odd] for odd in odds])


def grey(*levels: int) -> Tensor:
    return torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8)


def marks_of(oracle: nn.Module, levels: list[int], labels: list[int]) -> Marks:
    with alone_on_cores(PLAN.device) as threads:
        return take_test([(oracle, PLAN)], [(grey(*levels), torch.tensor(labels))], threads, lambda _n: None)


def test_who_is_sure_at_four_fifths_and_right_at_half_is_three_tenths_off() -> None:
    marks = marks_of(Oracle({1: 0.8}), [1] * 4, [0, 0, 1, 1])
    assert marks.accuracy.item() == 0.5
    assert marks.calibration_error.item() == pytest.approx(0.3)


def test_who_is_as_right_as_sure_has_no_error() -> None:
    assert marks_of(Oracle({1: 0.75}), [1] * 4, [0, 0, 0, 1]).calibration_error.item() == pytest.approx(0, abs=1e-6)


def test_errors_of_different_confidences_do_not_cancel() -> None:
    """Half of the images: right, and unsure at 0.6. The other half: wrong, and sure at 0.9."""
    marks = marks_of(Oracle({1: 0.6, 2: 0.9}), [1, 1, 2, 2], [0, 0, 1, 1])
    assert marks.calibration_error.item() == pytest.approx((0.4 + 0.9) / 2)


def test_errors_of_nearly_the_same_confidence_do() -> None:
    marks = marks_of(Oracle({1: 0.61, 2: 0.65}), [1, 1, 2, 2], [0, 0, 1, 1])
    assert marks.calibration_error.item() == pytest.approx(abs(2 * (1 - 0.61) - 2 * 0.65) / 4)


def test_a_student_that_has_gone_astray_still_gets_marks() -> None:
    marks = marks_of(Oracle({1: float("nan")}), [1, 1], [0, 1])
    assert marks.accuracy.item() == 0.5
    assert marks.calibration_error.item() == 0.5


def test_the_marks_of_a_group_are_its_own() -> None:
    n_right = torch.tensor([[2.0, 0.0], [0.0, 1.0], [2.0, 2.0]]).double()
    marks = Marks(n_right, torch.tensor([2.0, 2.0]).double(), torch.zeros(3, 15).double())
    one, two = marks.split([1, 2])
    assert one.accuracy.tolist() == [0.5]
    assert two.by_class == (0.5, 0.75)  # of two images of each class
