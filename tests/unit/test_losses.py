"""Losses: what a weight is, what a temperature does, what mixing does."""

import pytest
import torch
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy, kl_div, one_hot

from ddoq.augment import CutMix, Mixing
from ddoq.losses import hard_loss, mixed_hard_loss, soft_loss

LABELS = torch.tensor([0, 1, 2, 3, 0, 1])


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed), dtype=torch.float64)


def unmixed(n: int) -> Mixing:
    return Mixing(torch.zeros(n, 4, dtype=torch.int16), torch.arange(n).flip(0).short(), 8)


def test_weights_of_one_give_the_unweighted_loss_to_the_bit() -> None:
    logits, teacher, ones = numbers(6, 4).float(), numbers(6, 4, seed=1).float(), torch.ones(6)
    assert torch.equal(hard_loss(logits, LABELS, ones), cross_entropy(logits, LABELS, reduction="none").mean())
    log_q, log_p = (logits / 20).log_softmax(1), (teacher / 20).log_softmax(1)
    plain = kl_div(log_q, log_p, reduction="none", log_target=True).sum(1).mean()
    assert torch.equal(soft_loss(logits, teacher, ones, 20.0), plain)


def test_weights_of_one_give_the_losses_of_torch() -> None:
    logits, teacher, ones = numbers(6, 4), numbers(6, 4, seed=1), torch.ones(6, dtype=torch.float64)
    torch.testing.assert_close(hard_loss(logits, LABELS, ones), cross_entropy(logits, LABELS))
    expected = kl_div((logits / 3).log_softmax(1), (teacher / 3).softmax(1), reduction="batchmean")
    torch.testing.assert_close(soft_loss(logits, teacher, ones, 3.0), expected)


def test_a_whole_number_as_weight_is_the_image_taken_as_often() -> None:
    counts = torch.tensor([2, 1, 0, 1, 1, 1])  # of mean one
    rows = torch.arange(6).repeat_interleave(counts)
    logits, teacher, ones = numbers(6, 4), numbers(6, 4, seed=1), torch.ones(6, dtype=torch.float64)
    weighted = hard_loss(logits, LABELS, counts.double())
    torch.testing.assert_close(weighted, hard_loss(logits[rows], LABELS[rows], ones))
    weighted = soft_loss(logits, teacher, counts.double(), 20.0)
    torch.testing.assert_close(weighted, soft_loss(logits[rows], teacher[rows], ones, 20.0))


def test_a_student_who_agrees_with_the_teacher_has_nothing_to_learn() -> None:
    logits = numbers(6, 4).requires_grad_()
    loss = soft_loss(logits, logits.detach() + 5, torch.ones(6, dtype=torch.float64), 20.0)
    (gradient,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(loss.detach(), torch.zeros((), dtype=torch.float64))
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))


def test_a_high_temperature_matches_centred_logits() -> None:
    logits, teacher, weights = numbers(6, 4), numbers(6, 4, seed=1), numbers(6, seed=2).exp()
    gap = (logits - logits.mean(1, keepdim=True)) - (teacher - teacher.mean(1, keepdim=True))
    expected = (weights * gap.square().sum(1) / (2 * 4)).mean()
    torch.testing.assert_close(1e4**2 * soft_loss(logits, teacher, weights, 1e4), expected, rtol=1e-3, atol=0)


def test_a_high_temperature_has_the_gradients_of_centred_logits_over_the_number_of_classes() -> None:
    """T^2 d(loss)/d(logits) -> weight * (centred student - centred teacher) / (classes * batch), error of order 1/T."""
    logits, teacher, weights = numbers(6, 4).requires_grad_(), numbers(6, 4, seed=1), numbers(6, seed=2).exp()
    (gradient,) = torch.autograd.grad(soft_loss(logits, teacher, weights, 1e4), logits)
    student = logits.detach()
    gap = (student - student.mean(1, keepdim=True)) - (teacher - teacher.mean(1, keepdim=True))
    torch.testing.assert_close(1e4**2 * gradient, weights[:, None] * gap / (4 * 6), rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("is_shared", [True, False])
def test_mixed_weights_of_one_are_one_to_the_bit(is_shared: bool) -> None:
    for seed in range(50):
        mixing = CutMix(is_shared).draw(7, 31, Generator().manual_seed(seed))
        assert torch.equal(mixing.mix(torch.ones(7)), torch.ones(7))


def test_both_sides_are_divided_by_the_temperature() -> None:
    logits, teacher, weights = numbers(6, 4), numbers(6, 4, seed=1), torch.ones(6, dtype=torch.float64)
    torch.testing.assert_close(
        soft_loss(logits, teacher, weights, 5.0), soft_loss(logits / 5, teacher / 5, weights, 1.0)
    )


def test_a_very_sure_teacher_gives_a_finite_loss() -> None:
    teacher = torch.tensor([[1e4, 0.0, -1e4]])
    assert soft_loss(torch.zeros(1, 3), teacher, torch.ones(1), 1.0).isfinite()


def test_mixing_nothing_is_the_plain_loss_to_the_bit() -> None:
    logits, weights = numbers(6, 4).float(), numbers(6, seed=2).exp().float()
    assert torch.equal(mixed_hard_loss(logits, LABELS, weights, unmixed(6)), hard_loss(logits, LABELS, weights))


def test_mixing_everything_is_the_loss_with_the_partners_labels() -> None:
    logits, weights = numbers(6, 4), numbers(6, seed=2).exp()
    mixing = Mixing(torch.tensor([[0, 0, 8, 8]] * 6).short(), torch.arange(6).flip(0).short(), 8)
    expected = hard_loss(logits, LABELS.flip(0), weights.flip(0))
    torch.testing.assert_close(mixed_hard_loss(logits, LABELS, weights, mixing), expected)


@pytest.mark.parametrize("is_shared", [True, False])
def test_mixed_labels_are_the_mix_of_the_classes(is_shared: bool) -> None:
    logits, weights = numbers(6, 4), numbers(6, seed=2).exp()
    mixing = CutMix(is_shared).draw(6, 32, Generator().manual_seed(3))
    classes = mixing.mix(one_hot(LABELS, 4).double())
    expected = (mixing.mix(weights) * cross_entropy(logits, classes, reduction="none")).mean()
    torch.testing.assert_close(mixed_hard_loss(logits, LABELS, weights, mixing), expected)
