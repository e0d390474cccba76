"""What each stage does with the folders of those before it. Stages meet only through files, the manifest last."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from ddoq.budgets import Budget, given_budgets
from ddoq.codebooks import Codebooks, open_codebooks, quantize_all
from ddoq.config import DistillConfig
from ddoq.datasets import Dataset, open_dataset, require_images
from ddoq.encode_stage import encode_all
from ddoq.evaluation_stage import evaluate_all
from ddoq.events import Event, OnEvent, Stage, after
from ddoq.fit import FitPlace, fit, fit_key
from ddoq.generate import generate, open_images, show
from ddoq.label_sizes import require_room
from ddoq.labelling import label_all
from ddoq.latents import open_latents
from ddoq.manifests import read_manifest, write_manifest
from ddoq.package import Contents, package_all
from ddoq.prior import LatentPrior, load_denoiser, load_encoder
from ddoq.run import (
    EvaluateManifest,
    FitManifest,
    GenerateManifest,
    ReadManifest,
    Run,
    TeachManifest,
    dataset_of,
    fitted_folder,
    found,
    labels_of,
    teacher_of,
)
from ddoq.teach import TAUGHT, TeachPlace, teach, teach_key
from ddoq.teachers import load_teacher
from ddoq.train_stage import join_train, n_train_blocks, train_blocks
from ddoq.usage import measure_usage


def run_stage(stage: Stage, run: Run) -> None:
    """Run one stage, behind its complete blocks; the stages before it must be complete in `run.folders`."""
    if stage is not Stage.TRAIN:
        shutil.rmtree(run.folders[stage], ignore_errors=True)
    run.folders[stage].mkdir(parents=True, exist_ok=True)
    with measure_usage(run.folders[stage]):
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


def _fit(run: Run) -> None:
    listed, folder = found(run), run.folders[Stage.FIT]
    key = fit_key(run.config, listed.fingerprint, listed.class_names)
    latents = open_latents(run.folders[Stage.ENCODE])
    place = FitPlace(fitted_folder(run), run.cache, key)
    fit(latents, load_encoder(run.config), run.config, listed.class_names, place, run.on_event)
    write_manifest(folder, FitManifest(key))


def _quantize(run: Run) -> None:
    latents = open_latents(run.folders[Stage.ENCODE])
    quantize_all(latents, found(run).class_names, run.config, run.folders[Stage.QUANTIZE], run.on_event)


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
        prior: LatentPrior = load_denoiser(run.config, found(run).class_names, fitted_folder(run))
    else:
        prior = load_encoder(run.config)
    return lambda books, folder, on_event: generate(books, prior, run.config, folder, on_event)


def _show(run: Run) -> Callable[[Codebooks, Path, OnEvent], object]:
    """Take the images that the codewords are from the dataset."""
    dataset = dataset_of(run)
    return lambda books, folder, on_event: show(books, dataset, run.config, folder, on_event)


def _teach(run: Run) -> None:
    listed, folder = found(run), run.folders[Stage.TEACH]
    key = teach_key(run.config, listed.fingerprint, listed.class_names)
    place = TeachPlace(folder / TAUGHT, run.cache, key)
    teach(dataset_of(run), open_latents(run.folders[Stage.ENCODE]), run.config, place, run.on_event)
    write_manifest(folder, TeachManifest(key))


def _label(run: Run) -> None:
    latents = open_latents(run.folders[Stage.ENCODE])
    every = [
        (books, open_images(run.folders[Stage.GENERATE] / books.budget.name))
        for books in open_codebooks(run.folders[Stage.QUANTIZE])
    ]
    label_all(run.config, dataset_of(run), latents, every, teacher_of(run), run.folders[Stage.LABEL], run.on_event)


def _train(run: Run) -> None:
    folder = run.folders[Stage.TRAIN]
    train_blocks(run, range(n_train_blocks(run.config)))
    join_train(run, [folder])
    shutil.rmtree(folder / "blocks")


def _package(run: Run) -> None:
    evaluated = read_manifest(run.folders[Stage.EVALUATE], EvaluateManifest)
    contents = [
        Contents(
            config=run.config,
            class_names=found(run).class_names,
            books=books,
            images=open_images(run.folders[Stage.GENERATE] / books.budget.name),
            report=evaluated.reports[books.budget.name],
            recipe=evaluated.recipes[books.budget.name],
            soft_labels=labels_of(run, books),
        )
        for books in open_codebooks(run.folders[Stage.QUANTIZE])
    ]
    package_all(contents, run.folders[Stage.PACKAGE], run.on_event)


STAGES: Mapping[Stage, Callable[[Run], None]] = {
    Stage.READ: _read,
    Stage.ENCODE: encode_all,
    Stage.FIT: _fit,
    Stage.QUANTIZE: _quantize,
    Stage.GENERATE: _generate,
    Stage.TEACH: _teach,
    Stage.LABEL: _label,
    Stage.TRAIN: _train,
    Stage.EVALUATE: evaluate_all,
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
    Stage.TRAIN: (Stage.READ, Stage.ENCODE, Stage.QUANTIZE, Stage.GENERATE, Stage.TEACH, Stage.LABEL),
    Stage.EVALUATE: (Stage.READ, Stage.ENCODE, Stage.QUANTIZE, Stage.GENERATE, Stage.TEACH, Stage.TRAIN),
    Stage.PACKAGE: (Stage.READ, Stage.QUANTIZE, Stage.GENERATE, Stage.LABEL, Stage.EVALUATE),
}
