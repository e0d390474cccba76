"""Strength and guidance of a fitted prior: what they do to the distilled images of the sign digits.

    python benchmarks/strengths.py --data DATA --cache FOLDER [--plot docs/images/strengths.png]

DATA holds `sign-digits/sign-digits-100.zip` and `taesd`. Encoding and training are kept in FOLDER: a second run begins
behind them. Printed for each setting: the share of the distilled images that a network trained on all real training
images takes for their class; how far denoising moved them (mean squared distance of the image, encoded again, to its
centroid); what they are worth as a codebook (mean squared distance of the real latents to the nearest of them); and
test accuracy of students trained on them, as a job trains them.
"""

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ddoq.caches import FolderCache
from ddoq.codebooks import Codebooks
from ddoq.config import DistillConfig
from ddoq.contenders import stream_test
from ddoq.datasets import Dataset, open_dataset
from ddoq.distill import fit_prior
from ddoq.evaluate import evaluate, plan_for
from ddoq.events import Event, Stage, ignore
from ddoq.latents import Latents, open_latents
from ddoq.networks import NetworkConfig
from ddoq.pictures import fit_square
from ddoq.plans import TrainingPlan
from ddoq.prior import Denoiser, load_denoiser
from ddoq.prior_config import Sampler
from ddoq.quantize_stage import quantize_all
from ddoq.seeds import stream
from ddoq.sources import Access
from ddoq.students import normalise, train
from ddoq.types import TrainingSet
from ddoq.weights import training_weights

STRENGTHS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
GUIDANCES = (1.0, 1.5, 2.0, 3.0)
JUDGE_STEPS, JUDGE_WIDTH = 1000, 64
SHOWN_STRENGTHS, SHOWN_EACH = (0.0, 0.3, 0.5, 0.7, 1.0), 2
CAPTION, GAP, COLOURS = 14, 8, 96  # of the sheet: two heights in pixels; the palette keeps the file small


@dataclass(frozen=True)
class Study:
    """A dataset with its latents, codebooks and fitted prior."""

    config: DistillConfig
    dataset: Dataset
    latents: Latents
    books: Codebooks
    prior: Denoiser

    @property
    def centroids(self) -> Tensor:
        """All centroids [m d], class after class."""
        return torch.cat([self.books.of_class(label).centroids for label in self.labels.unique().tolist()])

    @property
    def labels(self) -> Tensor:
        return torch.arange(len(self.books.budget.counts)).repeat_interleave(torch.tensor(self.books.budget.counts))

    @property
    def weights(self) -> Tensor:
        counts = [self.books.of_class(label).counts for label in self.labels.unique().tolist()]
        return torch.cat([training_weights(each, self.config.parts.weights) for each in counts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--plot", type=Path, help="PNG to write")
    parser.add_argument("--steps", type=int, help="of the fit, instead of the default")
    parser.add_argument("--guidance", type=float, help="while strengths are compared; default: the prior's")
    parser.add_argument("--strength", type=float, help="while guidances are compared; default: the prior's")
    arguments = parser.parse_args()
    study = prepare(arguments.data.resolve(), arguments.cache.resolve(), arguments.steps)
    default = study.config.resolved_sampler
    default = replace(
        default, strength=arguments.strength or default.strength, guidance=arguments.guidance or default.guidance
    )
    strengths = [replace(default, strength=strength) for strength in STRENGTHS]
    guidances = [replace(default, guidance=guidance) for guidance in GUIDANCES]
    images = {sampler: paint(study, sampler) for sampler in dict.fromkeys(strengths + guidances)}
    report(study, images)
    if arguments.plot:
        columns = {
            f"strength {sampler.strength:g}": images[sampler]
            for sampler in strengths
            if sampler.strength in SHOWN_STRENGTHS
        }
        draw(study, {"real medoid": medoids(study, study.prior.resolution), **columns}, arguments.plot)


def prepare(data: Path, cache: Path, steps: int | None) -> Study:
    """Encode, fit and quantize the sign digits, ten images for each class."""
    prior = {"kind": "fit", "model": str(data / "taesd"), "resolution": 64, "steps": steps}
    uri = (data / "sign-digits" / "sign-digits-100.zip").as_uri()
    config = DistillConfig.model_validate({"dataset": {"uri": uri}, "prior": prior})
    access = Access((data,), (), None, cache / "downloads")
    folder = cache / sha256(config.model_dump_json().encode()).hexdigest()[:16]
    started = time.monotonic()
    fitted = fit_prior(config, folder, access, tell, FolderCache(cache / "priors"))
    print(f"fit: {time.monotonic() - started:.0f} s in this run, in {fitted}")
    dataset, latents = open_dataset(config.dataset, access), open_latents(folder / Stage.ENCODE)
    (books,) = quantize_all(latents, dataset.class_names, config, folder / "codebooks", ignore)
    return Study(config, dataset, latents, books, load_denoiser(config, dataset.class_names, fitted))


def tell(event: Event) -> None:
    """Print the loss from time to time."""
    if event.stage is Stage.FIT and event.done % 100 == 1:
        print(f"step {event.done} of {event.total}, loss {event.values.get('loss', 0):.4f}", flush=True)


def paint(study: Study, sampler: Sampler) -> Tensor:
    """Denoise and decode every centroid [m 3 h h], with the noise that a job would draw."""
    books, z = study.books.budget.counts, study.centroids
    if sampler.strength > 0:
        places = [(label, number) for label, count in enumerate(books) for number in range(count)]
        rngs = [stream(study.config.seed, "generate", *place) for place in places]
        z = study.prior.denoise(z, study.labels, sampler, rngs)
    return study.prior.decode(z)


def medoids(study: Study, resolution: int) -> Tensor:
    """Read the real image nearest to each centroid [m 3 h h]."""
    keys = [key for entry in study.books.manifest.classes for key in entry.medoids]
    found = {sample.key: sample.image for sample in study.dataset.samples("train", resolution, print, set(keys))}
    return torch.stack([found[key] for key in keys])


def report(study: Study, images: Mapping[Sampler, Tensor]) -> None:
    """Print a line for each setting, and what real images reach."""
    judge, plan = train_judge(study)
    sets = {f"{sampler.strength:g} {sampler.guidance:g}": pictures for sampler, pictures in images.items()}
    sets["medoids"] = medoids(study, study.prior.resolution)
    students = compare(study, sets)
    print(f"{'strength guidance':18s} {'judged right':>12s} {'moved':>8s} {'codebook':>9s} {'students':>16s}")
    for name, pictures in sets.items():
        seen = normalise(shrink(pictures, study.config.student_resolution), plan)
        with torch.inference_mode():
            right = (judge(seen).argmax(dim=1) == study.labels).float().mean().item()
        z = study.prior.encode(pictures)
        moved = (z - study.centroids).square().sum(dim=1).mean().item()
        print(f"{name:18s} {right:12.3f} {moved:8.2f} {worth(study, z):9.2f} {students[name]:>16s}", flush=True)


def worth(study: Study, z: Tensor) -> float:
    """Mean squared distance of the real latents to the nearest of `z` [m d] of their class."""
    costs = []
    for label in range(len(study.books.budget.counts)):
        rows = study.latents.of_class(label)
        costs.append(torch.cdist(rows, z[study.labels == label]).min(dim=1).values.square())
    return torch.cat(costs).mean().item()


def train_judge(study: Study) -> tuple[torch.nn.Module, TrainingPlan]:
    """Train one network on all real training images; print how good it is on the test images."""
    samples = list(study.dataset.samples("train", study.config.student_resolution, print))
    labels = torch.tensor([sample.label for sample in samples])
    data = TrainingSet(torch.stack([sample.image for sample in samples]), labels, torch.ones(len(samples)))
    plan, network = plan_of(study), NetworkConfig("convnet-3", JUDGE_WIDTH)
    plan = replace(plan, protocol=replace(plan.protocol, steps=JUDGE_STEPS, batch_sizes=((1, 64),)))
    judge = train(network, data, plan, 0, lambda _step, _loss: None)
    right = []
    with torch.inference_mode():
        for images, truth in stream_test(study.config, study.dataset, []):
            right.append(judge(normalise(images, plan)).argmax(dim=1) == truth)
    print(f"judge: {torch.cat(right).float().mean().item():.3f} of the real test images right")
    return judge, plan


def compare(study: Study, sets: Mapping[str, Tensor]) -> dict[str, str]:
    """Train students on each set of images; answer mean and deviation of their test accuracy."""
    side, seeds = study.config.student_resolution, study.config.students.seeds
    contenders = {
        name: (TrainingSet(shrink(pictures, side), study.labels, study.weights),) * seeds
        for name, pictures in sets.items()
    }
    scores = evaluate(contenders, stream_test(study.config, study.dataset, []), plan_of(study), ignore)
    return {name: f"{score.mean:.3f} +- {score.deviation:.3f}" for name, score in scores.accuracy.items()}


def plan_of(study: Study) -> TrainingPlan:
    return plan_for(study.config, study.books.budget, study.latents.manifest)


def shrink(pictures: Tensor, side: int) -> Tensor:
    """Resize images [m 3 h h] as a job does for its students."""
    squares = [np.asarray(fit_square(to_image(picture), side)) for picture in pictures]
    return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).contiguous()


def to_image(picture: Tensor) -> Image.Image:
    return Image.fromarray(picture.permute(1, 2, 0).numpy())


def draw(study: Study, columns: Mapping[str, Tensor], file: Path) -> None:
    """Write a sheet: a row for each class, a group of columns for each setting, of its heaviest codewords."""
    side = study.prior.resolution
    group = side * SHOWN_EACH + GAP
    sheet = Image.new("RGB", (group * len(columns) - GAP, CAPTION + side * len(study.dataset.class_names)), "white")
    pen = ImageDraw.Draw(sheet)
    for place, (caption, pictures) in enumerate(columns.items()):
        pen.text((place * group, 0), caption, fill="black")
        for label in range(len(study.dataset.class_names)):
            chosen = pictures[study.labels == label][:SHOWN_EACH]
            for column, picture in enumerate(chosen):
                sheet.paste(to_image(picture), (place * group + column * side, CAPTION + label * side))
    sheet.quantize(COLOURS).save(file, optimize=True)
    print(f"{file}: {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
