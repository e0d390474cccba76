"""What each stage does with the folders of those before it. Stages meet only through files, the manifest last."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ddoq.archive import Recipe
from ddoq.budgets import Budget, given_budgets
from ddoq.caches import Cache
from ddoq.codebooks import Codebooks, open_codebooks, quantize_all
from ddoq.config import DistillConfig
from ddoq.contenders import gather_contenders, random_images, stream_test
from ddoq.datasets import BadImage, Dataset, open_dataset, require_images
from ddoq.errors import ConfigError, DatasetChangedError
from ddoq.evaluate import evaluate, plan_for
from ddoq.events import Event, OnEvent, Stage
from ddoq.fit import FitPlace, fit, fit_key
from ddoq.generate import generate, open_images, show
from ddoq.labels import SoftLabels, Teacher, close_labels, open_labels, write_labels
from ddoq.latents import encode, open_latents
from ddoq.manifests import read_manifest, write_manifest
from ddoq.package import Contents, package_all
from ddoq.prior import LatentPrior, load_denoiser, load_encoder
from ddoq.recipes import recipe
from ddoq.sources import Access
from ddoq.students import TrainingPlan
from ddoq.summary import summarize
from ddoq.types import Report


@dataclass(frozen=True)
class ReadManifest:
    """What the read stage found: image files of each class, before any is decoded. `fingerprint` changes with them."""

    class_names: tuple[str, ...]
    n_train: tuple[int, ...]
    n_test: tuple[int, ...]
    held_out: bool
    left_out: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True)
class FitManifest:
    """The content key of the fitted prior in the stage's folder `prior`."""

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
    """One distillation in progress: where its stages keep their files, what it may read, and what outlives it."""

    config: DistillConfig
    folders: Mapping[Stage, Path]
    access: Access
    cache: Cache
    on_event: OnEvent


def run_stage(stage: Stage, run: Run) -> None:
    """Run one stage from the start; the stages before it must be complete in `run.folders`."""
    shutil.rmtree(run.folders[stage], ignore_errors=True)
    run.folders[stage].mkdir(parents=True)
    STAGES[stage](run)


def needs(stage: Stage, config: DistillConfig) -> tuple[Stage, ...]:
    """Name the stages whose folders a stage reads; whoever runs one alone has to bring these."""
    return tuple(needed for needed in NEEDS[stage] if needed in config.stages)


def _read(run: Run) -> None:
    dataset = open_dataset(run.config.dataset, run.access)
    one_each = Budget("", (1,) * len(dataset.class_names))  # total_images is shared out when the latents are there
    budgets = given_budgets(run.config, dataset.class_names) or (one_each,)
    require_images(dataset, [max(counts) for counts in zip(*(budget.counts for budget in budgets), strict=True)])
    manifest = ReadManifest(
        class_names=dataset.class_names,
        n_train=dataset.counts["train"],
        n_test=dataset.counts["test"],
        held_out=dataset.held_out,
        left_out=dataset.left_out,
        fingerprint=dataset.fingerprint,
    )
    if run.config.teacher:
        Teacher(run.config.teacher, len(dataset.class_names))  # one that does not fit is refused before any work
    write_manifest(run.folders[Stage.READ], manifest)
    run.on_event(Event(Stage.READ, 1, 1))


def _encode(run: Run) -> None:
    encode(_dataset(run), load_encoder(run.config), run.config, run.folders[Stage.ENCODE], run.on_event)


def _fit(run: Run) -> None:
    found, folder = _found(run), run.folders[Stage.FIT]
    key = fit_key(run.config, found.fingerprint, found.class_names)
    latents = open_latents(run.folders[Stage.ENCODE])
    place = FitPlace(fitted_folder(run), run.cache, key)
    fit(latents, load_encoder(run.config), run.config, found.class_names, place, run.on_event)
    write_manifest(folder, FitManifest(key))


def _quantize(run: Run) -> None:
    latents = open_latents(run.folders[Stage.ENCODE])
    quantize_all(latents, _found(run).class_names, run.config, run.folders[Stage.QUANTIZE], run.on_event)


def _generate(run: Run) -> None:
    every, folder = open_codebooks(run.folders[Stage.QUANTIZE]), run.folders[Stage.GENERATE]
    draw = _show(run) if run.config.parts.canvas == "real" else _paint(run)
    totals = [sum(books.budget.counts) for books in every]
    for index, books in enumerate(every):
        draw(books, folder / books.budget.name, _after(run.on_event, sum(totals[:index]), sum(totals)))
    write_manifest(folder, GenerateManifest(tuple(books.budget.name for books in every)))


def _paint(run: Run) -> Callable[[Codebooks, Path, OnEvent], object]:
    """Make images of codewords by the prior."""
    if run.config.resolved_sampler.strength > 0:
        prior: LatentPrior = load_denoiser(run.config, _found(run).class_names, fitted_folder(run))
    else:
        prior = load_encoder(run.config)
    return lambda books, folder, on_event: generate(books, prior, run.config, folder, on_event)


def _show(run: Run) -> Callable[[Codebooks, Path, OnEvent], object]:
    """Take the images that the codewords are from the dataset."""
    dataset = _dataset(run)
    return lambda books, folder, on_event: show(books, dataset, run.config, folder, on_event)


def _label(run: Run) -> None:
    every, folder = open_codebooks(run.folders[Stage.QUANTIZE]), run.folders[Stage.LABEL]
    dataset, latents = _dataset(run), open_latents(run.folders[Stage.ENCODE])
    if run.config.teacher is None:
        raise ConfigError("there is no teacher to label images; set teacher")
    teacher = Teacher(run.config.teacher, len(dataset.class_names))
    for index, books in enumerate(every):
        images = open_images(run.folders[Stage.GENERATE] / books.budget.name)
        classes = range(len(books.budget.counts))
        distilled = [teacher.label(images.of_class(label, teacher.resolution)) for label in classes]
        random = map(teacher.label, random_images(run.config, dataset, latents, books, teacher.resolution))
        write_labels(folder / books.budget.name, SoftLabels(torch.cat(distilled), tuple(random)))
        run.on_event(Event(Stage.LABEL, index + 1, len(every)))
    close_labels(folder, (books.budget.name for books in every))


def _labels(run: Run, books: Codebooks) -> SoftLabels | None:
    """Read the soft labels of a budget, where the config asks for any."""
    return open_labels(run.folders[Stage.LABEL] / books.budget.name) if run.config.teacher else None


def _evaluate(run: Run) -> None:
    every, latents = open_codebooks(run.folders[Stage.QUANTIZE]), open_latents(run.folders[Stage.ENCODE])
    plans = {books.budget.name: plan_for(run.config, books.budget, latents.manifest) for books in every}
    lengths = [plan.steps for plan in plans.values()]
    reports = {
        books.budget.name: _evaluate_one(run, books, plans[books.budget.name], _turn(run.on_event, index, lengths))
        for index, books in enumerate(every)
    }
    recipes = {name: recipe(plan, run.config.student_resolution) for name, plan in plans.items()}
    write_manifest(run.folders[Stage.EVALUATE], EvaluateManifest(reports, recipes))


def _evaluate_one(run: Run, books: Codebooks, plan: TrainingPlan, on_event: OnEvent) -> Report:
    dataset, latents = _dataset(run), open_latents(run.folders[Stage.ENCODE])
    images = open_images(run.folders[Stage.GENERATE] / books.budget.name)
    contenders = gather_contenders(run.config, dataset, latents, books, images, _labels(run, books))
    bad: list[BadImage] = []
    scores = evaluate(contenders, stream_test(run.config, dataset, bad), plan, on_event)
    return summarize(run.config, dataset, latents, books, scores, bad)


def _package(run: Run) -> None:
    evaluated = read_manifest(run.folders[Stage.EVALUATE], EvaluateManifest)
    contents = [
        Contents(
            config=run.config,
            class_names=_found(run).class_names,
            books=books,
            images=open_images(run.folders[Stage.GENERATE] / books.budget.name),
            report=evaluated.reports[books.budget.name],
            recipe=evaluated.recipes[books.budget.name],
            soft_labels=_labels(run, books),
        )
        for books in open_codebooks(run.folders[Stage.QUANTIZE])
    ]
    package_all(contents, run.folders[Stage.PACKAGE], run.on_event)


STAGES: Mapping[Stage, Callable[[Run], None]] = {
    Stage.READ: _read,
    Stage.ENCODE: _encode,
    Stage.FIT: _fit,
    Stage.QUANTIZE: _quantize,
    Stage.GENERATE: _generate,
    Stage.LABEL: _label,
    Stage.EVALUATE: _evaluate,
    Stage.PACKAGE: _package,
}

NEEDS: Mapping[Stage, tuple[Stage, ...]] = {
    Stage.READ: (),
    Stage.ENCODE: (Stage.READ,),
    Stage.FIT: (Stage.READ, Stage.ENCODE),
    Stage.QUANTIZE: (Stage.READ, Stage.ENCODE),
    Stage.GENERATE: (Stage.READ, Stage.FIT, Stage.QUANTIZE),
    Stage.LABEL: (Stage.READ, Stage.ENCODE, Stage.QUANTIZE, Stage.GENERATE),
    Stage.EVALUATE: (Stage.READ, Stage.ENCODE, Stage.QUANTIZE, Stage.GENERATE, Stage.LABEL),
    Stage.PACKAGE: (Stage.READ, Stage.QUANTIZE, Stage.GENERATE, Stage.LABEL, Stage.EVALUATE),
}


def _after(on_event: OnEvent, n_before: int, n_total: int) -> OnEvent:
    """Count what a part of a stage has done behind what came before it."""
    return lambda event: on_event(replace(event, done=n_before + event.done, total=n_total))


def _turn(on_event: OnEvent, index: int, lengths: Sequence[int]) -> OnEvent:
    """Count the turn `index` of several, each done by as many as the others, of these lengths."""

    def tell(event: Event) -> None:
        n_each = event.total // lengths[index]
        on_event(replace(event, done=n_each * sum(lengths[:index]) + event.done, total=n_each * sum(lengths)))

    return tell


def fitted_folder(run: Run) -> Path:
    """Where the fit stage leaves the prior, as a diffusers folder."""
    return run.folders[Stage.FIT] / "prior"


def _found(run: Run) -> ReadManifest:
    return read_manifest(run.folders[Stage.READ], ReadManifest)


def _dataset(run: Run) -> Dataset:
    """Open the dataset again, which must be the one that the read stage saw."""
    dataset = open_dataset(run.config.dataset, run.access)
    if dataset.fingerprint != _found(run).fingerprint:
        raise DatasetChangedError(f"{run.config.dataset.uri} changed while it was being distilled; start again")
    return dataset
