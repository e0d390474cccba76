"""What the scoreboard trains students on: two datasets, codebooks of each by every reducer, and their images."""

import gzip
import io
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from scoreboard_rows import DDOQ, DENOISED, IPCS, Course, DatasetName, Look, Maker, Row
from torch import Tensor, nn

from ddoq.budgets import Budget
from ddoq.caches import FolderCache
from ddoq.codebooks import Codebooks, open_codebooks
from ddoq.config import DistillConfig
from ddoq.contenders import stream_test
from ddoq.datasets import Dataset, open_dataset
from ddoq.distill import fit_prior
from ddoq.encode import encode
from ddoq.errors import BadImagesError
from ddoq.evaluate import plan_for
from ddoq.evaluation_config import StudentsConfig
from ddoq.events import Stage, ignore
from ddoq.generate import Images, generate, open_images, show
from ddoq.image_rules import BadImage
from ddoq.latents import Latents, open_latents
from ddoq.manifests import is_complete
from ddoq.networks import NetworkConfig
from ddoq.plans import TrainingPlan
from ddoq.prior import LatentPrior, load_denoiser, load_encoder
from ddoq.quantize_stage import quantize_all
from ddoq.sources import Access
from ddoq.students import train
from ddoq.teacher_config import CheckpointTeacher
from ddoq.teachers import Teacher, load_teacher
from ddoq.types import TrainingSet
from ddoq.weights import training_weights

SIDES: Mapping[DatasetName, int] = {"fashion-mnist": 28, "cifar-10": 32}
TEACHER_WIDTH, TEACHER_STEPS, TEACHER_BATCH = 64, 4000, 64  # of the one that is trained, for Fashion-MNIST
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # those of the CIFAR ResNets
EPOCH = (1980, 1, 1, 0, 0, 0)

TestBatches = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Study:
    """A dataset of the scoreboard, and the folder that keeps what was made of it."""

    name: DatasetName
    data: Path
    folder: Path
    course: Course
    fit_steps: int | None = None

    @property
    def side(self) -> int:
        return SIDES[self.name]

    @property
    def zip_file(self) -> Path:
        return self.folder.with_suffix(".zip")

    @cached_property
    def access(self) -> Access:
        return Access((self.data, self.folder.parent), (), None, self.folder / "downloads")

    @cached_property
    def dataset(self) -> Dataset:
        if not self.zip_file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_zip(self.zip_file, MEMBERS[self.name](self.data))
        return open_dataset(self.config(DDOQ).dataset, self.access)

    @cached_property
    def test(self) -> TestBatches:
        """All test images, as students see them."""
        bad: list[BadImage] = []
        batches = list(stream_test(self.config(DDOQ), self.dataset, bad))
        if bad:
            raise BadImagesError(f"{len(bad)} test images do not decode, the first is {bad[0].key!r}")
        return batches

    @cached_property
    def teacher(self) -> Teacher:
        return load_teacher(self.config(DDOQ, soft=True), self.dataset.class_names, None)

    @cached_property
    def teacher_config(self) -> CheckpointTeacher:
        """The given CIFAR ResNet; for Fashion-MNIST a network trained on all training images, once."""
        if self.name == "cifar-10":
            file = self.data / "cifar10-resnets" / "resnet20.safetensors"
            mean, deviation, network, width = IMAGENET_MEAN, IMAGENET_DEVIATION, "cifar-resnet-20", None
        else:
            file, manifest = self.folder / "teacher.safetensors", self.latents("decoded").manifest
            mean, deviation, network, width = manifest.mean, manifest.deviation, "convnet-3", TEACHER_WIDTH
            if not file.exists():
                save_file(train_teacher(self).state_dict(), unfinished := file.with_suffix(".part"))
                unfinished.rename(file)
        return CheckpointTeacher(
            network=network, checkpoint=str(file), mean=mean, deviation=deviation, resolution=self.side, width=width
        )

    @cached_property
    def teacher_words(self) -> str:
        """Say who the teacher is, and how many of the test images it names rightly."""
        n_right = sum(int((self.teacher.label(x).argmax(1) == labels).sum()) for x, labels in self.test)
        n_test = sum(len(labels) for _, labels in self.test)
        return f"{self.teacher_config.network}, right on {n_right / n_test:.1%} of the test images"

    def config(self, maker: Maker, seed: int = 0, *, soft: bool = False) -> DistillConfig:
        """Describe one row as a job would."""
        course = self.course
        prior: dict[str, Any] = {"kind": "pixels", "resolution": self.side}
        if maker.look == "denoised":
            prior = {"kind": "fit", "model": str(self.data / "taesd"), "resolution": 64, "steps": self.fit_steps}
        students: dict[str, Any] = {"protocol": course.protocol, "steps": course.steps, "width": course.width}
        return DistillConfig.model_validate(
            {
                "dataset": {"uri": self.zip_file.as_uri()},
                "images_per_class": IPCS,
                "reducer": maker.reducer,
                "canvas": "real" if maker.look == "real" else "prior",
                "prior": prior,
                "teacher": self.teacher_config if soft else None,
                "students": {**students, "seeds": course.seeds, "resolution": self.side},
                "seed": seed,
            }
        )

    def latents(self, look: Look) -> Latents:
        """Encode all training images, once; where images are to be denoised, fit the prior too."""
        if look == "denoised":
            self._fit()
            return open_latents(self._fitting[1] / Stage.ENCODE)
        folder = self.folder / "pixels"
        if is_complete(folder):
            return open_latents(folder)
        shutil.rmtree(folder, ignore_errors=True)
        config = self.config(DDOQ)
        return encode(self.dataset, load_encoder(config), config, folder, ignore)

    def _fit(self) -> Path:
        return fit_prior(*self._fitting, ignore, FolderCache(self.folder / "priors"))

    @property
    def _fitting(self) -> tuple[DistillConfig, Path, Access]:
        config = self.config(DENOISED).model_copy(update={"students": StudentsConfig(resolution=self.side)})
        return config, self.folder / "fitting", self.access  # of every course

    def codebooks(self, maker: Maker, seed: int) -> tuple[Codebooks, ...]:
        """Reduce every class, for every number of images at once."""
        space = "fitted" if maker.look == "denoised" else "pixels"
        folder = self.folder / "codebooks" / f"{space}-{maker.reducer}-{seed}"
        if is_complete(folder):
            return open_codebooks(folder)
        shutil.rmtree(folder, ignore_errors=True)
        latents = self.latents(maker.look)
        return quantize_all(latents, self.dataset.class_names, self.config(maker, seed), folder, ignore)

    def images(self, maker: Maker, seed: int, books: Codebooks) -> Images:
        """Make an image of each codeword."""
        folder = self.folder / "images" / f"{maker.look}-{maker.reducer}-{seed}" / books.budget.name
        if is_complete(folder):
            return open_images(folder)
        config = self.config(maker, seed)
        if maker.look == "real":
            return show(books, self.dataset, config, folder, ignore)
        return generate(books, self._prior(config, maker.look), config, folder, ignore)

    def _prior(self, config: DistillConfig, look: Look) -> LatentPrior:
        if look == "decoded":
            return load_encoder(config)
        return load_denoiser(config, self.dataset.class_names, self._fit())

    def training_sets(self, row: Row) -> tuple[TrainingSet, ...]:
        """Make the sets of a row, one a seed: every draw that the reducer makes is a new one."""
        return tuple(self._training_set(row, seed) for seed in range(self.course.seeds))

    def _training_set(self, row: Row, seed: int) -> TrainingSet:
        books = self.codebooks(row.maker, seed)[IPCS.index(row.ipc)]
        images, classes = self.images(row.maker, seed, books), range(len(books.budget.counts))
        pictures = torch.cat([images.of_class(label, self.side) for label in classes])
        weights = torch.cat([training_weights(books.of_class(label).counts, row.weights) for label in classes])
        labels = torch.arange(len(classes)).repeat_interleave(torch.tensor(books.budget.counts))
        soft = self.teacher.label(pictures).float() if row.labels == "soft" else None
        return TrainingSet(pictures, labels, weights, soft)

    def plan(self, row: Row) -> TrainingPlan:
        """Say how students of a row are trained, as a job would train them."""
        config = self.config(row.maker, soft=row.labels == "soft")
        budget = Budget("", (row.ipc,) * len(self.dataset.class_names))
        return plan_for(config, budget, self.latents("decoded").manifest)


def train_teacher(study: Study) -> nn.Module:
    """Train a network on all real training images."""
    samples = list(study.dataset.samples("train", study.side, print))
    labels = torch.tensor([sample.label for sample in samples])
    data = TrainingSet(torch.stack([sample.image for sample in samples]), labels, torch.ones(len(samples)))
    students = {"steps": TEACHER_STEPS, "batch_size": TEACHER_BATCH, "width": TEACHER_WIDTH, "resolution": study.side}
    config = DistillConfig.model_validate(
        {
            "dataset": {"uri": study.zip_file.as_uri()},
            "prior": {"kind": "pixels", "resolution": study.side},
            "students": students,
        }
    )
    plan = plan_for(config, Budget("", study.dataset.counts["train"]), study.latents("decoded").manifest)
    return train(NetworkConfig("convnet-3", TEACHER_WIDTH), data, plan, 0, lambda _step, _loss: None)


def write_zip(file: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write a zip, whole or not at all, with no times in it."""
    unfinished = file.with_suffix(".part")
    with zipfile.ZipFile(unfinished, "w") as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, EPOCH), content)
    unfinished.rename(file)


def fashion_members(data: Path) -> Iterator[tuple[str, bytes]]:
    """Turn the IDX files into PNG files in class folders."""
    folder = data / "fashion-mnist"
    for split, stem in (("train", "train"), ("test", "t10k")):
        pixels = np.frombuffer(
            gzip.decompress((folder / f"{stem}-images-idx3-ubyte.gz").read_bytes()), np.uint8, -1, 16
        )
        labels = np.frombuffer(gzip.decompress((folder / f"{stem}-labels-idx1-ubyte.gz").read_bytes()), np.uint8, -1, 8)
        for number, (image, label) in enumerate(zip(pixels.reshape(-1, 28, 28), labels, strict=True)):
            png = io.BytesIO()
            Image.fromarray(image).save(png, "PNG")
            yield f"{split}/{label}/{number:05d}.png", png.getvalue()


def cifar_members(data: Path) -> Iterator[tuple[str, bytes]]:
    """Put both splits together."""
    for stem in ("cifar10-train-14k", "cifar10-test-5k"):
        with zipfile.ZipFile(data / "cifar10" / f"{stem}.zip") as archive:
            for name in archive.namelist():
                yield name, archive.read(name)


MEMBERS = {"fashion-mnist": fashion_members, "cifar-10": cifar_members}
