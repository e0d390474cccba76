"""What each stage does with the folders of those before it. Stages meet only through files, the manifest last."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ddoq.archive import Recipe
from ddoq.budgets import Budget, given_budgets
from ddoq.caches import Cache
from ddoq.codebooks import Codebooks, open_codebooks, quantize_all
from ddoq.comparison import DISTILLED
from ddoq.config import DistillConfig
from ddoq.contenders import gather_contenders, stream_test
from ddoq.datasets import BadImage, Dataset, open_dataset, require_images
from ddoq.errors import DatasetChangedError
from ddoq.evaluate import evaluate, plan_for
from ddoq.events import Event, OnEvent, Stage, after
from ddoq.fit import FitPlace, fit, fit_key
from ddoq.full_data import FullData
from ddoq.full_evaluation import evaluate_in_full, tuned
from ddoq.generate import generate, open_images, show
from ddoq.label_sizes import require_room
from ddoq.labelling import label_all
from ddoq.labels import SoftLabels, open_labels
from ddoq.latents import encode, open_latents
from ddoq.manifests import read_manifest, write_manifest
from ddoq.package import Contents, package_all
from ddoq.prior import LatentPrior, load_denoiser, load_encoder
from ddoq.recipes import recipe
from ddoq.sources import Access
from ddoq.students import TrainingPlan
from ddoq.summary import summarize
from ddoq.teach import TAUGHT, TaughtManifest, TeachPlace, teach, teach_key
from ddoq.teachers import Teacher, load_teacher
from ddoq.types import Report, Scores


@dataclass(frozen=True)
class ReadManifest:
    """What the read stage found: image files of each class, before any is decoded. `fingerprint` changes with them.

    `n_validation` are held out of those for training, which `n_train` leaves out; None where there is no validation.
    `remarks` are those on a teacher that is there already, for the report.
    """

    class_names: tuple[str, ...]
    n_train: tuple[int, ...]
    n_test: tuple[int, ...]
    n_validation: tuple[int, ...] | None
    held_out: bool
    left_out: tuple[str, ...]
    fingerprint: str
    remarks: tuple[str, ...] = ()


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
    dataset = open_dataset(run.config.dataset, run.access, run.config.validation_share)
    one_each = Budget("", (1,) * len(dataset.class_names))  # total_images is shared out when the latents are there
    budgets = given_budgets(run.config, dataset.class_names) or (one_each,)
    require_images(dataset, [max(counts) for counts in zip(*(budget.counts for budget in budgets), strict=True)])
    n_images = {budget.name: run.config.total_images or sum(budget.counts) for budget in budgets}
    require_room(run.config, n_images, len(dataset.class_names))
    manifest = ReadManifest(
        class_names=dataset.class_names,
        n_train=dataset.counts["train"],
        n_test=dataset.counts["test"],
        n_validation=dataset.counts.get("validation"),
        held_out=dataset.held_out,
        left_out=dataset.left_out,
        fingerprint=dataset.fingerprint,
        remarks=_try_teacher(run, dataset),
    )
    write_manifest(run.folders[Stage.READ], manifest)
    run.on_event(Event(Stage.READ, 1, 1))


def _try_teacher(run: Run, dataset: Dataset) -> tuple[str, ...]:
    """Refuse a teacher that does not fit before any work; answer what there is to say about another."""
    if run.config.teacher is None or Stage.TEACH in run.config.stages:
        return ()
    return load_teacher(run.config, dataset.class_names, None).remarks


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
        draw(books, folder / books.budget.name, after(run.on_event, sum(totals[:index]), sum(totals)))
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


def _teach(run: Run) -> None:
    found, folder = _found(run), run.folders[Stage.TEACH]
    key = teach_key(run.config, found.fingerprint, found.class_names)
    place = TeachPlace(folder / TAUGHT, run.cache, key)
    teach(_dataset(run), open_latents(run.folders[Stage.ENCODE]), run.config, place, run.on_event)
    write_manifest(folder, TeachManifest(key))


def _label(run: Run) -> None:
    latents = open_latents(run.folders[Stage.ENCODE])
    every = [
        (books, open_images(run.folders[Stage.GENERATE] / books.budget.name))
        for books in open_codebooks(run.folders[Stage.QUANTIZE])
    ]
    label_all(run.config, _dataset(run), latents, every, _teacher(run), run.folders[Stage.LABEL], run.on_event)


def _teacher(run: Run) -> Teacher:
    return load_teacher(run.config, _found(run).class_names, run.folders.get(Stage.TEACH))


def _labels(run: Run, books: Codebooks) -> SoftLabels | None:
    """Open the soft labels of a budget, where any were made beforehand."""
    return open_labels(run.folders[Stage.LABEL] / books.budget.name) if Stage.LABEL in run.config.stages else None


def _live_labels(run: Run) -> SoftLabels | None:
    """Load the teacher, where students ask it themselves."""
    if run.config.resolved_protocol.labels != "live":
        return None
    teacher = _teacher(run)
    return SoftLabels(teacher, (teacher,) * run.config.n_draws)


def _evaluate(run: Run) -> None:
    every, latents = open_codebooks(run.folders[Stage.QUANTIZE]), open_latents(run.folders[Stage.ENCODE])
    plans = {books.budget.name: plan_for(run.config, books.budget, latents.manifest) for books in every}
    lengths = [plan.steps for plan in plans.values()]
    reports = {
        books.budget.name: _evaluate_one(run, books, plans[books.budget.name], _turn(run.on_event, index, lengths))
        for index, books in enumerate(every)
    }
    recipes = {name: recipe(tuned(plan, reports[name].tuning, DISTILLED)) for name, plan in plans.items()}
    write_manifest(run.folders[Stage.EVALUATE], EvaluateManifest(reports, recipes))


def _evaluate_one(run: Run, books: Codebooks, plan: TrainingPlan, on_event: OnEvent) -> Report:
    dataset, latents, bad = _dataset(run), open_latents(run.folders[Stage.ENCODE]), list[BadImage]()
    scores = _score(run, books, plan, bad, on_event)
    report = summarize(run.config, dataset, latents, books, scores, bad)
    return replace(report, remarks=(*report.remarks, *_on_teacher(run)))


def _score(run: Run, books: Codebooks, plan: TrainingPlan, bad: list[BadImage], on_event: OnEvent) -> Scores:
    """Compare as much as the config asks for."""
    if run.config.evaluation == "none":
        on_event(Event(Stage.EVALUATE, plan.steps, plan.steps))
        return Scores({}, {})
    dataset, latents = _dataset(run), open_latents(run.folders[Stage.ENCODE])
    images = open_images(run.folders[Stage.GENERATE] / books.budget.name)
    soft_labels = _labels(run, books) or _live_labels(run)
    contenders = gather_contenders(run.config, dataset, latents, books, images, soft_labels)
    test = stream_test(run.config, dataset, bad)
    if run.config.evaluation == "quick":
        return evaluate(contenders, test, plan, on_event)
    full = FullData(run.config, dataset, latents, run.cache, run.folders[Stage.EVALUATE])
    read = partial(stream_test, run.config, dataset, split="validation")
    return evaluate_in_full(contenders, full, read, test, plan, on_event)


def _on_teacher(run: Run) -> tuple[str, ...]:
    """What there is to say about the teacher, if there is one."""
    if Stage.TEACH not in run.config.stages:
        return _found(run).remarks
    return read_manifest(run.folders[Stage.TEACH] / TAUGHT, TaughtManifest).remarks


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
    Stage.TEACH: _teach,
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
    Stage.TEACH: (Stage.READ, Stage.ENCODE),
    Stage.LABEL: (Stage.READ, Stage.ENCODE, Stage.QUANTIZE, Stage.GENERATE, Stage.TEACH),
    Stage.EVALUATE: (Stage.READ, Stage.ENCODE, Stage.QUANTIZE, Stage.GENERATE, Stage.TEACH, Stage.LABEL),
    Stage.PACKAGE: (Stage.READ, Stage.QUANTIZE, Stage.GENERATE, Stage.LABEL, Stage.EVALUATE),
}


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
    dataset = open_dataset(run.config.dataset, run.access, run.config.validation_share)
    if dataset.fingerprint != _found(run).fingerprint:
        raise DatasetChangedError(f"{run.config.dataset.uri} changed while it was being distilled; start again")
    return dataset
