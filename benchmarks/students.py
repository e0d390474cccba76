"""Students trained as a job trains them, against a plain loop over contenders and seeds.

    python benchmarks/students.py [--side 32] [--images 100] [--steps 30] [--contenders 4] [--seeds 3] [--rounds 5]

The loop trains one student after the other, with all threads that torch takes, by torch's own layers and the same
recipe: ConvNet-3, AdamW, shifts, batches of 32. Each round runs both on the same images; printed are the seconds of
each, their ratio (median, least, most) and the accuracies on the training images, which say that both learn the same.
"""

import argparse
import time
from dataclasses import replace
from statistics import median

import torch
from torch import Tensor, nn

from ddoq.evaluate import evaluate
from ddoq.events import ignore
from ddoq.plans import TrainingPlan
from ddoq.protocols import QUICK
from ddoq.seeds import stream
from ddoq.types import TrainingSet

CLASSES, WIDTH, DEPTH = 10, 128, 3
MEAN = DEVIATION = (0.5, 0.5, 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    for name, default in {"side": 32, "images": 100, "steps": 30, "contenders": 4, "seeds": 3, "rounds": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    chosen = parser.parse_args()
    plan = TrainingPlan(
        protocol=replace(QUICK, steps=chosen.steps),
        n_images=chosen.images,
        n_classes=CLASSES,
        mean=MEAN,
        deviation=DEVIATION,
        seed=0,
        device=torch.device("cpu"),
    )
    sets = [made_images(chosen.images, chosen.side, number) for number in range(chosen.contenders)]
    print(f"{chosen.contenders * chosen.seeds} students, {torch.get_num_threads()} threads")
    print(f"{'loop s':>8} {'ours s':>8} {'ratio':>6} {'loop %':>7} {'ours %':>7}")
    ratios = []
    for number in range(chosen.rounds + 1):
        loop, loop_right = timed_loop(sets, plan, chosen.seeds)
        ours, ours_right = timed_ours(sets, plan, chosen.seeds)
        if number:  # the first warms up: compilers, caches
            ratios.append(loop / ours)
            right = f"{100 * loop_right:7.1f} {100 * ours_right:7.1f}"
            print(f"{loop:8.2f} {ours:8.2f} {ratios[-1]:6.2f} {right}", flush=True)
    print(f"ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def made_images(n: int, side: int, number: int) -> TrainingSet:
    """Noise with a bright row by class: images of which only the amount and the size matter."""
    rng = stream(number, "students benchmark")
    images = torch.randint(128, (n, 3, side, side), generator=rng, dtype=torch.uint8)
    labels = torch.arange(n) % CLASSES
    for index, label in enumerate(labels.tolist()):
        images[index, :, label * side // CLASSES] = 255
    return TrainingSet(images, labels, torch.ones(n))


def timed_ours(sets: list[TrainingSet], plan: TrainingPlan, n_seeds: int) -> tuple[float, float]:
    contenders = {str(number): (data,) * n_seeds for number, data in enumerate(sets)}
    start = time.perf_counter()
    scores = evaluate(contenders, [(sets[0].images, sets[0].labels)], plan, ignore)
    return time.perf_counter() - start, scores.accuracy["0"].mean


def timed_loop(sets: list[TrainingSet], plan: TrainingPlan, n_seeds: int) -> tuple[float, float]:
    start = time.perf_counter()
    students = [train_plainly(data, plan, seed) for data in sets for seed in range(n_seeds)]
    with torch.inference_mode():
        right = [(each(scaled(sets[0].images)).argmax(1) == sets[0].labels).float().mean().item() for each in students]
    return time.perf_counter() - start, sum(right[:n_seeds]) / n_seeds


def train_plainly(data: TrainingSet, plan: TrainingPlan, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    student = plain_convnet(data.images.shape[-1])
    optimizer = torch.optim.AdamW(student.parameters(), 0.002, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, plan.steps)
    for step in range(plan.steps):
        if step * 32 % len(data.labels) < 32:
            order = torch.randperm(len(data.labels))
        rows = order[torch.arange(step * 32, step * 32 + 32) % len(order)]
        loss = nn.functional.cross_entropy(student(shifted(scaled(data.images[rows]))), data.labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return student.eval()


def plain_convnet(side: int) -> nn.Module:
    layers: list[nn.Module] = []
    for block in range(DEPTH):
        layers += [nn.Conv2d(WIDTH if block else 3, WIDTH, 3, padding=1), nn.GroupNorm(WIDTH, WIDTH)]
        layers += [nn.ReLU(inplace=True), nn.AvgPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(WIDTH * (side // 2**DEPTH) ** 2, CLASSES))


def scaled(images: Tensor) -> Tensor:
    return (images / 255 - 0.5) / 0.5


def shifted(images: Tensor) -> Tensor:
    """Each image moved by up to an eighth of the side."""
    most = images.shape[-1] // 8
    moved = nn.functional.pad(images, (most,) * 4, mode="replicate")
    corners = torch.randint(2 * most + 1, (len(images), 2)).tolist()
    side = images.shape[-1]
    return torch.stack([one[:, i : i + side, j : j + side] for one, (i, j) in zip(moved, corners, strict=True)])


if __name__ == "__main__":
    main()
