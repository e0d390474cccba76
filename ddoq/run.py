"""One distillation in progress: where its stages keep their files, what each says when it is done, what they reopen."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ddoq.archive import Recipe
from ddoq.caches import Cache
from ddoq.codebooks import Codebooks
from ddoq.config import DistillConfig
from ddoq.datasets import Dataset, open_dataset
from ddoq.errors import DatasetChangedError
from ddoq.events import OnEvent, Stage
from ddoq.labels import SoftLabels, open_labels
from ddoq.manifests import read_manifest
from ddoq.read_manifest import ReadManifest
from ddoq.sources import Access
from ddoq.teachers import Teacher, load_teacher
from ddoq.types import Report


@dataclass(frozen=True)
class FitManifest:
    """The content key of the fitted prior in the stage's folder `prior`."""

    key: str


@dataclass(frozen=True)
class TeachManifest:
    """The content key of the trained teacher in the stage's folder."""

    key: str


@dataclass(frozen=True)
class GenerateManifest:
    """The budgets for which images were made, a folder each."""

    budgets: tuple[str, ...]


@dataclass(frozen=True)
class EvaluateManifest:
    """What the evaluate stage found for each budget, and how it trained there."""

    reports: Mapping[str, Report]
    recipes: Mapping[str, Recipe]


@dataclass(frozen=True)
class Run:
    """One distillation in progress: where its stages keep their files, what it may read, and what outlives it.

    Where memory was too short before, batches are halved from the start, `halvings` times.
    """

    config: DistillConfig
    folders: Mapping[Stage, Path]
    access: Access
    cache: Cache
    on_event: OnEvent
    halvings: int = 0

    def halved(self, size: int) -> int:
        """How many to take at once, of what is `size` otherwise; >= 1."""
        return max(1, size >> self.halvings)


def fitted_folder(run: Run) -> Path:
    """Where the fit stage leaves the prior, as a diffusers folder."""
    return run.folders[Stage.FIT] / "prior"


def found(run: Run) -> ReadManifest:
    """Read what the read stage found."""
    return read_manifest(run.folders[Stage.READ], ReadManifest)


def dataset_of(run: Run) -> Dataset:
    """Open the dataset again, which must be the one that the read stage saw."""
    dataset = open_dataset(run.config.dataset, run.access, run.config.validation_share)
    if dataset.fingerprint != found(run).fingerprint:
        raise DatasetChangedError(f"{run.config.dataset.uri} changed while it was being distilled; start again")
    return dataset


def teacher_of(run: Run) -> Teacher:
    """Load the teacher, whatever its kind."""
    teacher = load_teacher(run.config, found(run).class_names, run.folders.get(Stage.TEACH))
    teacher.batch_size = run.halved(teacher.batch_size)
    return teacher


def labels_of(run: Run, books: Codebooks) -> SoftLabels | None:
    """Open the soft labels of a budget, where any were made beforehand."""
    return open_labels(run.folders[Stage.LABEL] / books.budget.name) if Stage.LABEL in run.config.stages else None
