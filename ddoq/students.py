"""Students: networks that are trained on a set of images by a protocol, to tell what the set is worth."""

from collections.abc import Callable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from ddoq.augment import Normalise
from ddoq.lessons import exercises
from ddoq.networks import NetworkConfig, make_network
from ddoq.plans import TrainingPlan
from ddoq.protocols import OptimizerConfig
from ddoq.seeds import stream
from ddoq.types import TrainingSet

OnStep = Callable[[int, Float[Tensor, ""]], None]


def train(network: NetworkConfig, data: TrainingSet, plan: TrainingPlan, seed: int, on_step: OnStep) -> nn.Module:
    """Train a new student for exactly `plan.steps` steps and answer it in evaluation mode.

    The start depends on `seed` alone, what is shown on what `ddoq.lessons` says.

    Args:
        network: Its architecture.
        data: What it learns from.
        plan: How it learns.
        seed: Number of the student, beside the plan's own seed.
        on_step: Told steps done and loss after each; what it raises ends the training.
    """
    start = stream(plan.seed, "student", seed)
    student = make_network(network, plan.n_classes, data.images.shape[-1], start)
    return train_further(student, network.name, data, plan, seed, on_step)


def train_further(
    student: nn.Module, name: str, data: TrainingSet, plan: TrainingPlan, seed: int, on_step: OnStep
) -> nn.Module:
    """Train a network on from where it is, itself, on the plan's device; arguments and answer as of `train`.

    `name` is that by which the protocol may have a learning rate and a schedule of its own for it.
    """
    student = student.to(plan.device).train()
    optimizer = make_optimizer(student, plan.protocol.optimizer)
    for step, exercise in enumerate(exercises(data, plan, seed), start=1):
        for group in optimizer.param_groups:
            group["lr"] = plan.rate(name, step - 1)
        with torch.autocast(plan.device.type, torch.bfloat16, enabled=plan.device.type == "cuda"):
            logits = student(exercise.images)
        loss = exercise.judge(logits.float())
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
