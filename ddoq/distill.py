"""The whole flow: read, encode, quantize, generate, evaluate, package.

Stages meet only through files. Each has its own folder and writes its manifest there last, so that a stage whose
manifest is there is complete, and a second call resumes behind it.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ddoq.archive import Recipe
from ddoq.codebooks import open_codebooks, quantize_all
from ddoq.config import DistillConfig
from ddoq.contenders import gather_contenders, stream_test
from ddoq.datasets import BadImage, Dataset, open_dataset, require_images
from ddoq.errors import ConfigError, DatasetChangedError
from ddoq.evaluate import evaluate, protocol_for, recipe
from ddoq.events import Event, OnEvent, Stage, ignore
from ddoq.generate import generate, open_images
from ddoq.latents import encode, open_latents
from ddoq.manifests import is_complete, read_manifest, write_manifest
from ddoq.package import Contents, package
from ddoq.prior import load_prior
from ddoq.sources import Access
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
class EvaluateManifest:
    """What the evaluate stage found, and how it trained."""

    report: Report
    recipe: Recipe


@dataclass(frozen=True)
class Run:
    """One distillation in progress: where its stages keep their files, and what it may read."""

    config: DistillConfig
    folders: Mapping[Stage, Path]
    access: Access
    on_event: OnEvent


def distill(config: DistillConfig, folder: Path, access: Access, on_event: OnEvent = ignore) -> Path:
    """Distil a dataset into `folder`, behind the stages that are complete there, and answer the path of the archive.

    Raises:
        ConfigError: `folder` holds the stages of another config.
        DdoqError: whatever a stage refuses; the stages before it stay complete.
    """
    _claim_folder(config, folder)
    run = Run(config, {stage: folder / stage for stage in Stage}, access, on_event)
    for stage in Stage:
        if not is_complete(run.folders[stage]):
            run_stage(stage, run)
    return run.folders[Stage.PACKAGE] / "archive.zip"


def run_stage(stage: Stage, run: Run) -> None:
    """Run one stage from the start; the stages before it must be complete in `run.folders`."""
    shutil.rmtree(run.folders[stage], ignore_errors=True)
    run.folders[stage].mkdir(parents=True)
    STAGES[stage](run)


def _read(run: Run) -> None:
    dataset = open_dataset(run.config.dataset, run.access)
    require_images(dataset, run.config.images_per_class)
    manifest = ReadManifest(
        class_names=dataset.class_names,
        n_train=dataset.counts["train"],
        n_test=dataset.counts["test"],
        held_out=dataset.held_out,
        left_out=dataset.left_out,
        fingerprint=dataset.fingerprint,
    )
    write_manifest(run.folders[Stage.READ], manifest)
    run.on_event(Event(Stage.READ, 1, 1))


def _encode(run: Run) -> None:
    encode(
        _dataset(run), load_prior(run.config), run.config.dataset.max_bad_share, run.folders[Stage.ENCODE], run.on_event
    )


def _quantize(run: Run) -> None:
    latents = open_latents(run.folders[Stage.ENCODE])
    quantize_all(latents, _found(run).class_names, run.config, run.folders[Stage.QUANTIZE], run.on_event)


def _generate(run: Run) -> None:
    books = open_codebooks(run.folders[Stage.QUANTIZE])
    generate(books, load_prior(run.config), run.config, run.folders[Stage.GENERATE], run.on_event)


def _evaluate(run: Run) -> None:
    dataset, latents = _dataset(run), open_latents(run.folders[Stage.ENCODE])
    books, images = open_codebooks(run.folders[Stage.QUANTIZE]), open_images(run.folders[Stage.GENERATE])
    contenders = gather_contenders(run.config, dataset, latents, books, images)
    bad: list[BadImage] = []
    test = stream_test(run.config, dataset, bad)
    protocol = protocol_for(run.config, len(dataset.class_names), latents.manifest)
    scores = evaluate(contenders, test, protocol, run.on_event)
    report = summarize(run.config, dataset, latents, books, scores, bad)
    write_manifest(run.folders[Stage.EVALUATE], EvaluateManifest(report, recipe(protocol)))


def _package(run: Run) -> None:
    evaluated = read_manifest(run.folders[Stage.EVALUATE], EvaluateManifest)
    contents = Contents(
        config=run.config,
        class_names=_found(run).class_names,
        books=open_codebooks(run.folders[Stage.QUANTIZE]),
        images=open_images(run.folders[Stage.GENERATE]),
        report=evaluated.report,
        recipe=evaluated.recipe,
    )
    package(contents, run.folders[Stage.PACKAGE], run.on_event)


STAGES: Mapping[Stage, Callable[[Run], None]] = {
    Stage.READ: _read,
    Stage.ENCODE: _encode,
    Stage.QUANTIZE: _quantize,
    Stage.GENERATE: _generate,
    Stage.EVALUATE: _evaluate,
    Stage.PACKAGE: _package,
}

# The folders that a stage reads; whoever runs one alone has to bring these.
NEEDS: Mapping[Stage, tuple[Stage, ...]] = {
    Stage.READ: (),
    Stage.ENCODE: (Stage.READ,),
    Stage.QUANTIZE: (Stage.READ, Stage.ENCODE),
    Stage.GENERATE: (Stage.QUANTIZE,),
    Stage.EVALUATE: (Stage.READ, Stage.ENCODE, Stage.QUANTIZE, Stage.GENERATE),
    Stage.PACKAGE: (Stage.READ, Stage.QUANTIZE, Stage.GENERATE, Stage.EVALUATE),
}


def _found(run: Run) -> ReadManifest:
    return read_manifest(run.folders[Stage.READ], ReadManifest)


def _dataset(run: Run) -> Dataset:
    """Open the dataset again, which must be the one that the read stage saw."""
    dataset = open_dataset(run.config.dataset, run.access)
    if dataset.fingerprint != _found(run).fingerprint:
        raise DatasetChangedError(f"{run.config.dataset.uri} changed while it was being distilled; start again")
    return dataset


def _claim_folder(config: DistillConfig, folder: Path) -> None:
    """Mark a folder as this config's, and refuse one that is another's."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "config.json"
    if not file.exists():
        file.write_text(config.model_dump_json(indent=1))
    if DistillConfig.model_validate_json(file.read_text()) != config:
        raise ConfigError(f"{folder} holds the stages of another config; choose another folder or empty this one")
