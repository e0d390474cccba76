"""The one network and the one recipe on which contenders are compared."""

from dataclasses import replace
from itertools import islice

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ddoq.students import Protocol, draw_batches, make_student, normalise, train, weighted_loss
from ddoq.types import TrainingSet

PROTOCOL = Protocol(
    n_classes=3,
    mean=(0.5, 0.4, 0.3),
    deviation=(0.2, 0.2, 0.2),
    steps=12,
    batch_size=4,
    width=8,
    seed=7,
    device=torch.device("cpu"),
)


def training_set(n: int = 6, side: int = 8) -> TrainingSet:
    images = torch.randint(256, (n, 3, side, side), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return TrainingSet(images, torch.arange(n) % 3, torch.ones(n))


def gradient(logits: Tensor, loss: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(loss, logits)
    return found


def ignore(_step: int, _loss: Tensor) -> None:
    """Listen to nothing."""


def trained(seed: int, data: TrainingSet) -> list[Tensor]:
    student = make_student(PROTOCOL, 8, seed)
    train(student, data, PROTOCOL, seed, ignore)
    return [parameter.detach() for parameter in student.parameters()]


def test_a_weight_of_two_pulls_as_hard_as_the_same_image_twice() -> None:
    logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels, counts = torch.tensor([0, 1, 2]), torch.tensor([2, 1, 3])
    weighted = 3 * weighted_loss(logits, labels, counts.float())
    rows = torch.arange(3).repeat_interleave(counts)
    repeated = 6 * cross_entropy(logits[rows], labels[rows])
    torch.testing.assert_close(gradient(logits, weighted), gradient(logits, repeated))


def test_weights_of_one_give_the_plain_cross_entropy() -> None:
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    torch.testing.assert_close(weighted_loss(logits, labels, torch.ones(5)), cross_entropy(logits, labels))


def test_images_of_weight_zero_teach_nothing() -> None:
    few = training_set(6)
    ignored = TrainingSet(few.images, few.labels, torch.tensor([1.0, 1, 1, 1, 1, 0]))
    repainted = few.images.clone()
    repainted[5] = 255 - repainted[5]
    other = TrainingSet(repainted, few.labels, ignored.weights)
    for mine, its in zip(trained(0, ignored), trained(0, other), strict=True):
        torch.testing.assert_close(mine, its)


def test_one_seed_gives_one_start() -> None:
    first, second = make_student(PROTOCOL, 8, 1), make_student(PROTOCOL, 8, 1)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_two_seeds_give_two_starts() -> None:
    first, second = make_student(PROTOCOL, 8, 1), make_student(PROTOCOL, 8, 2)
    assert not torch.equal(next(first.parameters()), next(second.parameters()))


def test_training_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    trained(0, training_set())
    assert torch.equal(torch.get_rng_state(), before)


def test_the_same_seed_trains_the_same_student() -> None:
    data = training_set()
    assert all(torch.equal(a, b) for a, b in zip(trained(3, data), trained(3, data), strict=True))


@pytest.mark.parametrize("n", [3, 30])
def test_training_takes_exactly_the_steps_asked_for_whatever_the_number_of_images(n: int) -> None:
    told: list[tuple[int, Tensor]] = []
    train(make_student(PROTOCOL, 8, 0), training_set(n), PROTOCOL, 0, lambda *step: told.append(step))
    assert [step for step, loss in told] == list(range(1, 13))


def test_an_epoch_meets_every_image_once() -> None:
    batches = list(islice(draw_batches(6, PROTOCOL, torch.Generator().manual_seed(0)), 3))
    assert sorted(torch.cat(batches).tolist()) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_every_batch_is_full_even_with_fewer_images_than_a_batch_holds() -> None:
    assert {len(batch) for batch in draw_batches(3, PROTOCOL, torch.Generator())} == {PROTOCOL.batch_size}


def test_normalised_images_have_mean_zero_where_they_have_the_mean_colour() -> None:
    grey = torch.full((1, 3, 8, 8), 51, dtype=torch.uint8)  # 0.2 of 255
    protocol = replace(PROTOCOL, mean=(0.2, 0.2, 0.2))
    torch.testing.assert_close(normalise(grey, protocol), torch.zeros(1, 3, 8, 8))


def test_a_channel_that_never_changes_stays_finite() -> None:
    protocol = replace(PROTOCOL, deviation=(0.0, 0.0, 0.0))
    assert normalise(training_set().images, protocol).isfinite().all()


@pytest.mark.parametrize("side", [8, 9, 15, 28, 32])
def test_a_student_takes_images_of_any_side_from_eight(side: int) -> None:
    student = make_student(PROTOCOL, side, 0)
    assert student(torch.zeros(2, 3, side, side)).shape == (2, 3)


@pytest.mark.parametrize("side", [8, 32])
def test_a_student_has_three_convolutions_of_the_width_asked_for(side: int) -> None:
    layers = [layer for layer in make_student(PROTOCOL, side, 0) if isinstance(layer, torch.nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in layers] == [(3, 8), (8, 8), (8, 8)]


def test_a_student_norms_each_channel_of_each_image_by_itself() -> None:
    student = make_student(PROTOCOL, 8, 0)
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(student(images)[:1], student(images[:1]))
