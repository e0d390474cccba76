"""What students are shown and should answer: hard, fixed, live and stored labels of the same images."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from ddoq.augment import Normalise
from ddoq.errors import TeacherError
from ddoq.labelling import store_labels
from ddoq.lessons import Exercise, exercises
from ddoq.networks import NetworkConfig
from ddoq.plans import TrainingPlan
from ddoq.protocols import D4M_FKD, MINIMAX_HARD, QUICK, RDED, SMALL_HARD, AugmentConfig, Protocol
from ddoq.stored_labels import FolderLabels
from ddoq.students import train
from ddoq.threads import one_core_each
from ddoq.types import SoftLabel, TrainingSet
from tests.teaching import UntaughtTeacher

N, SIDE = 10, 16
MEAN, DEVIATION = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
SOFT = [QUICK, SMALL_HARD, MINIMAX_HARD, D4M_FKD, RDED]
EVERY = pytest.mark.parametrize("protocol", SOFT, ids=lambda protocol: protocol.name)


def plan_of(protocol: Protocol, **changes: object) -> TrainingPlan:
    """Three epochs of batches of four, four and two; or seven steps of four, where steps count."""
    steps = None if protocol.steps is None else 7
    sizes = {"epochs": ((1, 3),), "steps": steps, "batch_sizes": ((1, 4),), "doubles_from": None, "temperature": 4.0}
    short = replace(protocol, **{**sizes, **changes})  # type: ignore[arg-type]
    return TrainingPlan(short, N, 3, MEAN, DEVIATION, 7, torch.device("cpu"))


def data_of(soft_labels: SoftLabel | None, weights: Tensor | None = None) -> TrainingSet:
    images = torch.randint(256, (N, 3, SIDE, SIDE), generator=Generator().manual_seed(1), dtype=torch.uint8)
    weights = torch.rand(N, generator=Generator().manual_seed(2)) if weights is None else weights
    return TrainingSet(images, torch.arange(N) % 3, weights, soft_labels)


def stored(plan: TrainingPlan, folder: Path, teacher: UntaughtTeacher | None = None) -> FolderLabels:
    store_labels(data_of(None).images, teacher or UntaughtTeacher(), plan, folder, lambda _n: None)
    return FolderLabels(folder)


def trained(data: TrainingSet, plan: TrainingPlan, seed: int) -> list[Tensor]:
    """Train as the evaluation does: a student a core."""
    with one_core_each(1) as threads:
        network = NetworkConfig("convnet-3", width=8)
        student = threads.submit(train, network, data, plan, seed, lambda _step, _loss: None).result()
    return [parameter.detach() for parameter in student.parameters()]


def are_equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(mine, its) for mine, its in zip(one, other, strict=True))


def losses(taught: list[Exercise], logits: Tensor) -> list[float]:
    return [float(exercise.judge(logits[: len(exercise.images)])) for exercise in taught]


@EVERY
def test_stored_labels_teach_what_live_ones_of_the_same_views_teach_to_the_bit(
    protocol: Protocol, tmp_path: Path
) -> None:
    plan = plan_of(protocol)
    live, replayed = data_of(UntaughtTeacher()), data_of(stored(plan, tmp_path / "stored"))
    assert are_equal(trained(live, plan, 0), trained(replayed, plan, 0))


@EVERY
def test_every_seed_is_shown_the_same_stored_epochs(protocol: Protocol, tmp_path: Path) -> None:
    plan = plan_of(protocol)
    data = data_of(stored(plan, tmp_path / "stored"))
    shown = [list(exercises(data, plan, seed)) for seed in (0, 5)]
    assert len(shown[0]) == plan.steps
    assert all(torch.equal(mine.images, its.images) for mine, its in zip(*shown, strict=True))
    assert not are_equal(trained(data, plan, 0), trained(data, plan, 5))


def test_live_views_are_drawn_anew_for_each_seed() -> None:
    plan, data = plan_of(RDED), data_of(UntaughtTeacher())
    first, other = (next(exercises(data, plan, seed)).images for seed in (0, 1))
    assert not torch.equal(first, other)


@EVERY
def test_a_live_teacher_is_asked_about_the_very_view_that_the_student_sees(protocol: Protocol) -> None:
    """Done once more by hand: what is shown, its normalisation undone, looked at, softened."""
    plan, teacher = plan_of(protocol), UntaughtTeacher()
    data = data_of(teacher, torch.ones(N))
    student = torch.randn(4, 3, generator=Generator().manual_seed(4))
    for exercise in exercises(data, plan, 2):
        n = len(exercise.images)
        picture = exercise.images * torch.tensor(DEVIATION).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
        log_p = (teacher.look(picture).half().float() / 4).log_softmax(1)
        divergence = (log_p.exp() * (log_p - (student[:n] / 4).log_softmax(1))).sum(1).mean()
        torch.testing.assert_close(exercise.judge(student[:n]), divergence, rtol=1e-3, atol=1e-6)


def test_undoing_the_normalisation_gives_the_pixels_back() -> None:
    still = plan_of(QUICK, augment=AugmentConfig(), batch_sizes=((1, N),), steps=1)
    teacher = UntaughtTeacher()
    (exercise,) = exercises(data_of(None), still, 0)
    pixels = Normalise(MEAN, DEVIATION).undo(exercise.images)
    expected = data_of(None).images / 255
    order = (pixels[:, None] - expected[None]).abs().amax((2, 3, 4)).argmin(1)
    assert sorted(order.tolist()) == list(range(N))
    torch.testing.assert_close(pixels, expected[order])
    torch.testing.assert_close(teacher.look(pixels), teacher.look(expected[order]))


@pytest.mark.parametrize("protocol", [D4M_FKD, RDED], ids=lambda protocol: protocol.name)
def test_weights_are_mixed_as_the_images_are(protocol: Protocol, tmp_path: Path) -> None:
    plan = plan_of(protocol)
    labels = stored(plan, tmp_path / "stored")
    weights, logits = data_of(None).weights, torch.randn(4, 3, generator=Generator().manual_seed(4))
    weighted = losses(list(exercises(data_of(labels), plan, 0)), logits)
    for loss, (draw, answers) in zip(weighted, labels.steps(plan.steps, SIDE), strict=True):
        assert draw.mixing is not None
        top, left, bottom, right = draw.mixing.boxes[0].tolist()
        share = 1 - (bottom - top) * (right - left) / SIDE**2
        mixed = share * weights[draw.rows] + (1 - share) * weights[draw.rows][draw.mixing.partners.long()]
        log_q, log_p = (logits[: len(answers)] / 4).log_softmax(1), (answers.float() / 4).log_softmax(1)
        expected = (mixed * (log_p.exp() * (log_p - log_q)).sum(1)).mean()
        torch.testing.assert_close(torch.tensor(loss), expected, rtol=1e-4, atol=1e-7)


def test_fixed_labels_are_of_the_image_whatever_the_view() -> None:
    sharp = 100 * one_hot(torch.arange(N) % 3, 3).half()
    plan, logits = plan_of(QUICK, temperature=1.0), torch.randn(4, 3, generator=Generator().manual_seed(4))
    fixed, hard = (losses(list(exercises(data_of(labels), plan, 3)), logits) for labels in (sharp, None))
    assert fixed == pytest.approx(hard, rel=1e-5)


def test_stored_labels_of_a_teacher_of_another_side_are_what_it_says_of_the_resized_view(tmp_path: Path) -> None:
    plan, teacher = plan_of(RDED), UntaughtTeacher(resolution=32)
    labels = stored(plan, tmp_path / "stored", teacher)
    assert teacher.sides == {SIDE}  # as students see them; it resizes them itself
    for exercise, (_, logits) in zip(exercises(data_of(labels), plan, 0), labels.steps(plan.steps, SIDE), strict=True):
        picture = Normalise(MEAN, DEVIATION).undo(exercise.images)
        torch.testing.assert_close(teacher.look(picture).half(), logits, rtol=1e-2, atol=1e-3)


def test_stored_labels_are_for_as_many_steps_as_were_asked_for(tmp_path: Path) -> None:
    labels = stored(plan_of(QUICK), tmp_path / "stored")
    assert len(list(exercises(data_of(labels), plan_of(QUICK, steps=5), 0))) == 5
    with pytest.raises(TeacherError, match="stored for 7 steps, not for 8; train for 7"):
        list(exercises(data_of(labels), plan_of(QUICK, steps=8), 0))


def test_stored_labels_are_for_images_of_one_side(tmp_path: Path) -> None:
    data = data_of(stored(plan_of(QUICK), tmp_path / "stored"))
    with pytest.raises(TeacherError, match="stored for images of 16 pixels; these have 8"):
        list(exercises(replace(data, images=data.images[..., :8, :8]), plan_of(QUICK), 0))


def test_a_live_teacher_whose_logits_are_not_finite_ends_the_training() -> None:
    teacher = UntaughtTeacher()
    with torch.no_grad():
        next(teacher.network.parameters()).fill_(float("nan"))
    with pytest.raises(TeacherError, match="not finite in half precision"):
        trained(data_of(teacher), plan_of(RDED), 0)
