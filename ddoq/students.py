"""ConvNet-3, the small network on which the field compares distilled sets, and the one recipe that trains it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from ddoq.seeds import stream
from ddoq.types import TrainingSet

BLOCKS = 3
LEARNING_RATE = 0.002
WEIGHT_DECAY = 0.01
SHIFT = 1 / 8  # of the side: four pixels at 32, as CIFAR is augmented; one at 8

OnStep = Callable[[int, Float[Tensor, ""]], None]


@dataclass(frozen=True)
class Protocol:
    """How every student is trained. `mean` and `deviation` are of the RGB channels of the real images, 0 to 1."""

    n_classes: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    steps: int
    batch_size: int
    width: int
    seed: int
    device: torch.device


def make_student(protocol: Protocol, side: int, seed: int) -> nn.Sequential:
    """Build an untrained ConvNet-3 for images of `side` >= 8 pixels; the same `seed` gives the same start.

    Three times 3x3 convolution, InstanceNorm, ReLU and 2x2 average pooling, then one linear layer.

    Source: Gidaris & Komodakis (2018), as in Zhao et al., arXiv:2006.05929; initial weights as torch draws them.
    """
    layers: list[nn.Module] = []
    with torch.device("meta"):
        for block in range(BLOCKS):
            layers += [
                nn.Conv2d(protocol.width if block else 3, protocol.width, 3, padding=1),
                nn.GroupNorm(protocol.width, protocol.width),  # a group a channel: InstanceNorm, twice as fast here
                nn.ReLU(inplace=True),
                nn.AvgPool2d(2),
            ]
        layers += [nn.Flatten(), nn.Linear(protocol.width * (side // 2**BLOCKS) ** 2, protocol.n_classes)]
    student = nn.Sequential(*layers).to_empty(device="cpu")
    _draw_parameters(student, stream(protocol.seed, "student", seed))
    return student.to(protocol.device)


def train(student: nn.Module, data: TrainingSet, protocol: Protocol, seed: int, on_step: OnStep) -> None:
    """Train `student` in place for exactly `protocol.steps` steps; tell `on_step` steps done and loss after each.

    Batches and shifts depend on `seed`, the number of images and their side only, so that contenders of one size meet
    them in the same order.
    """
    draws = stream(protocol.seed, "batches", seed)
    # AdamW, not the field's SGD: one learning rate serves 8 and 32 pixels, and 300 steps are enough.
    optimizer = torch.optim.AdamW(student.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, protocol.steps)
    images, labels, weights = (part.to(protocol.device) for part in (data.images, data.labels, data.weights))
    for step, rows in enumerate(draw_batches(len(images), protocol, draws), start=1):
        batch = normalise(_shift(images[rows], draws), protocol)
        loss = weighted_loss(student(batch), labels[rows], weights[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        on_step(step, loss.detach())


def weighted_loss(
    logits: Float[Tensor, "b c"], labels: Int[Tensor, " b"], weights: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    """Mean of the cross-entropies times their weights: a weight of two counts as the image taken twice."""
    return (weights * cross_entropy(logits, labels, reduction="none")).mean()


def normalise(images: UInt8[Tensor, "b 3 h w"], protocol: Protocol) -> Float[Tensor, "b 3 h w"]:
    """Bring the channels of the real images to mean zero and deviation one."""
    mean = torch.tensor(protocol.mean, device=images.device).view(3, 1, 1)
    deviation = torch.tensor(protocol.deviation, device=images.device).view(3, 1, 1)
    return (images / 255 - mean) / deviation.clamp_min(1 / 255)  # a channel that never changes has no scale


def draw_batches(n: int, protocol: Protocol, draws: Generator) -> Iterator[Int[Tensor, " b"]]:
    """Yield `steps` batches of rows: the `n` rows in a new order each epoch, cut without regard to its end."""
    rows = torch.empty(0, dtype=torch.int64)
    for _ in range(protocol.steps):
        n_epochs = -(-max(protocol.batch_size - len(rows), 0) // n)
        rows = torch.cat([rows, *(torch.randperm(n, generator=draws) for _ in range(n_epochs))])
        yield rows[: protocol.batch_size]
        rows = rows[protocol.batch_size :]


def _draw_parameters(student: nn.Sequential, draws: Generator) -> None:
    """Draw what torch's own layers would, but from a generator of ours."""
    for layer in student:
        if isinstance(layer, nn.GroupNorm):
            layer.reset_parameters()
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = layer.weight[0].numel() ** -0.5
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator=draws)


def _shift(images: UInt8[Tensor, "b 3 h h"], draws: Generator) -> UInt8[Tensor, "b 3 h h"]:
    """Move each image by up to `SHIFT` of its side, down or up and across; what comes in repeats the edge."""
    n, side = len(images), images.shape[-1]
    farthest = int(side * SHIFT)
    moves = torch.randint(-farthest, farthest + 1, (2, n, 1), generator=draws)
    down, across = (moves + torch.arange(side)).clamp(0, side - 1).to(images.device)
    image, channel = torch.arange(n).view(-1, 1, 1, 1), torch.arange(3).view(-1, 1, 1)
    return images[image, channel, down[:, None, :, None], across[:, None, None, :]]
