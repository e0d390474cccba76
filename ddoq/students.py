"""Students: networks that are trained on a set of images by a protocol, to tell what the set is worth."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from jaxtyping import Float, Int, UInt8
from torch import Generator, Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from ddoq.augment import Augmentation, CutMix, Normalise, make_augmentation
from ddoq.losses import hard_loss, mixed_hard_loss, soft_loss
from ddoq.networks import NetworkConfig, make_network
from ddoq.protocols import OptimizerConfig, Protocol
from ddoq.seeds import stream
from ddoq.types import TrainingSet

CUTMIX = CutMix()

OnStep = Callable[[int, Float[Tensor, ""]], None]


@dataclass(frozen=True)
class TrainingPlan:
    """A protocol of hard or fixed labels, settled for a dataset, the size of its distilled set and a device.

    `n_images` are those of the distilled set, by which epochs become steps: as many for every contender. `mean` and
    `deviation` are of the RGB channels of the real images, 0 to 1.
    """

    protocol: Protocol
    n_images: int
    n_classes: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    seed: int
    device: torch.device

    @property
    def steps(self) -> int:
        """Optimiser steps of each student."""
        return self.protocol.n_steps(self.n_images, self.n_classes)

    @property
    def batch_size(self) -> int:
        """Images a step; fewer in the last of an epoch, where epochs count."""
        return self.protocol.batch_size(self.n_images, self.n_classes)

    def rate(self, network: str, n_done: int) -> float:
        """The learning rate of a network's next step, after `n_done` of them."""
        progress = self.protocol.progress(n_done, self.n_images, self.n_classes)
        return self.protocol.optimizer.rate(network, progress)


def train(network: NetworkConfig, data: TrainingSet, plan: TrainingPlan, seed: int, on_step: OnStep) -> nn.Module:
    """Train a new student for exactly `plan.steps` steps and answer it in evaluation mode.

    The start depends on `seed` alone; batches and views on `seed`, the number of images and their side only, so that
    contenders of one size meet them in the same order.

    Args:
        network: Its architecture.
        data: What it learns from.
        plan: How it learns.
        seed: Number of the student, beside the plan's own seed.
        on_step: Told steps done and loss after each; what it raises ends the training.
    """
    start = stream(plan.seed, "student", seed)
    student = make_network(network, plan.n_classes, data.images.shape[-1], start)
    return teach(student, network.name, data, plan, seed, on_step)


def teach(
    student: nn.Module, name: str, data: TrainingSet, plan: TrainingPlan, seed: int, on_step: OnStep
) -> nn.Module:
    """Train a network on from where it is, itself, on the plan's device; arguments and answer as of `train`.

    `name` is that by which the protocol may have a learning rate and a schedule of its own for it.
    """
    draws = stream(plan.seed, "batches", seed)
    student = student.to(plan.device).train()
    optimizer = make_optimizer(student, plan.protocol.optimizer)
    show = make_augmentation(plan.protocol.augment, Normalise(plan.mean, plan.deviation))
    near = data.to(plan.device)
    for step, rows in enumerate(draw_batches(len(data.labels), plan, draws), start=1):
        for group in optimizer.param_groups:
            group["lr"] = plan.rate(name, step - 1)
        loss = _loss(student, near.take(rows), plan.protocol, show, draws)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        on_step(step, loss.detach())
    return student.eval()


def normalise(images: UInt8[Tensor, "b 3 h h"], plan: TrainingPlan) -> Float[Tensor, "b 3 h h"]:
    """Show images as they are, but for the scale of their channels: as students are tested."""
    nothing_drawn = torch.empty(len(images), 0, dtype=torch.float16)
    return Normalise(plan.mean, plan.deviation).apply(images / 255, nothing_drawn)


def make_optimizer(student: nn.Module, config: OptimizerConfig) -> Optimizer:
    """Build the optimiser of a student's parameters; the learning rate is set at each step."""
    parameters = list(student.parameters())
    is_decayed = [config.decayed == "all" or parameter.ndim > 1 for parameter in parameters]
    groups = [
        {
            "params": [parameter for parameter, mine in zip(parameters, is_decayed, strict=True) if mine == decays],
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for decays in dict.fromkeys(is_decayed)
    ]
    if config.kind == "sgd":
        return SGD(groups, config.learning_rate, momentum=config.momentum, fused=True)
    kind = Adam if config.kind == "adam" else AdamW
    return kind(groups, config.learning_rate, fused=True)


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


def _loss(
    student: nn.Module, batch: TrainingSet, protocol: Protocol, show: Augmentation, draws: Generator
) -> Float[Tensor, ""]:
    """Show a batch, each image in a view of its own, and judge what the student says."""
    images = show(batch.images / 255, draws)
    if batch.soft_labels is not None:
        return soft_loss(student(images), batch.soft_labels, batch.weights, protocol.temperature or 1.0)
    if not protocol.augment.cutmix:
        return hard_loss(student(images), batch.labels, batch.weights)
    mixing = CUTMIX.draw(len(images), images.shape[-1], draws)
    return mixed_hard_loss(student(CUTMIX.apply(images, mixing)), batch.labels, batch.weights, mixing)
