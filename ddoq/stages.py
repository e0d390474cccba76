"""What each stage does with the folders of those before it. Stages meet only through files, the manifest last."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ddoq.blocks import FOLDER, block_folder, plan_blocks
from ddoq.budgets import Budget, given_budgets
from ddoq.codebooks import open_codebooks
from ddoq.config import DistillConfig
from ddoq.datasets import Dataset, open_dataset, require_images
from ddoq.encode_stage import encode_blocks, join_encoded
from ddoq.environments import Environment, environments_of, read_provenance, unite, write_provenance
from ddoq.evaluation_stage import evaluate_all
from ddoq.events import Event, Stage
from ddoq.fit import FitPlace, fit, fit_key
from ddoq.generate import open_images
from ddoq.generate_stage import generate_blocks, join_generated
from ddoq.here import environment_here
from ddoq.label_sizes import require_room
from ddoq.label_stage import join_labelled, label_blocks
from ddoq.latents import open_latents
from ddoq.manifests import read_manifest, write_manifest
from ddoq.package import Contents, package_all
from ddoq.prior import load_encoder
from ddoq.quantize_stage import join_quantized, quantize_blocks
from ddoq.read_manifest import ReadManifest
from ddoq.run import (
    EvaluateManifest,
    FitManifest,
    Run,
    TeachManifest,
    dataset_of,
    fitted_folder,
    found,
    labels_of,
)
from ddoq.teach import TAUGHT, TeachPlace, teach, teach_key
from ddoq.teachers import load_teacher
from ddoq.train_stage import join_train, train_blocks
from ddoq.usage import measure_usage


def run_stage(stage: Stage, run: Run) -> None:
    """Run a whole stage; the stages before it must be complete in `run.folders`.

    Of a stage that is cut into blocks, those that are complete in its folder are left as they are.
    """
    folder = run.folders[stage]
    folder.mkdir(parents=True, exist_ok=True)
    _clear(folder, all_but=FOLDER if stage in BLOCKED else None)
    with measure_usage(folder):
        if stage in BLOCKED:
            _work_on(stage, run, range(plan_blocks(run.config, found(run))[stage]))
            JOINS[stage](run, (folder,))
        else:
            _trace(stage, run, (environment_here(),))  # what comes out of a cache is told of anew when it is there
            STAGES[stage](run)
    shutil.rmtree(folder / FOLDER, ignore_errors=True)


def run_blocks(stage: Stage, run: Run, blocks: range) -> None:
    """Work on some blocks of a stage, each in a folder of its own within `run.folders[stage]`, its manifest last.

    Blocks that are complete there are left as they are. Events count the pieces of these blocks only.
    """
    folder = run.folders[stage]
    folder.mkdir(parents=True, exist_ok=True)
    with measure_usage(folder):
        _work_on(stage, run, blocks)


def join_blocks(stage: Stage, run: Run, parts: Sequence[Path]) -> None:
    """Make `run.folders[stage]` a complete stage, its manifest last, of folders that `run_blocks` filled.

    Files are linked where the file system allows it, and the parts stay as they are.

    Raises:
        FileNotFoundError: a block is complete in no part.
        DdoqError: what shows only when all blocks are there, such as too many images that do not decode.
    """
    folder = run.folders[stage]
    folder.mkdir(parents=True, exist_ok=True)
    write_provenance(folder, unite(map(read_provenance, parts)))
    JOINS[stage](run, parts)


def needs(stage: Stage, config: DistillConfig) -> tuple[Stage, ...]:
    """Name the stages whose folders a stage reads; whoever runs one alone has to bring these."""
    return tuple(needed for needed in NEEDS[stage] if needed in config.stages)


def _work_on(stage: Stage, run: Run, blocks: Sequence[int]) -> None:
    BLOCK_WORK[stage](run, blocks)
    folders = (block_folder(run.folders[stage], block) for block in blocks)
    _trace(stage, run, [each for own in folders for each in environments_of(own)])


def _trace(stage: Stage, run: Run, environments: Sequence[Environment]) -> None:
    """Note what computed a stage, and all stages that it comes from: who packages sees not every folder of theirs."""
    before = [read_provenance(run.folders[needed]) for needed in needs(stage, run.config)]
    write_provenance(run.folders[stage], unite([*before, {stage: tuple(environments)}]))


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
    _trace(Stage.FIT, run, environments_of(fitted_folder(run)))
    write_manifest(folder, FitManifest(key))


def _teach(run: Run) -> None:
    listed, folder = found(run), run.folders[Stage.TEACH]
    key = teach_key(run.config, listed.fingerprint, listed.class_names)
    place = TeachPlace(folder / TAUGHT, run.cache, key)
    teach(dataset_of(run), open_latents(run.folders[Stage.ENCODE]), run.config, place, run.on_event)
    _trace(Stage.TEACH, run, environments_of(folder / TAUGHT))
    write_manifest(folder, TeachManifest(key))


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
            provenance=read_provenance(run.folders[Stage.PACKAGE]),
            soft_labels=labels_of(run, books),
        )
        for books in open_codebooks(run.folders[Stage.QUANTIZE])
    ]
    package_all(contents, run.folders[Stage.PACKAGE], run.on_event)


def _clear(folder: Path, all_but: str | None) -> None:
    """Remove what an attempt may have left in a folder."""
    for entry in folder.iterdir():
        if entry.name != all_but:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


STAGES: Mapping[Stage, Callable[[Run], None]] = {
    Stage.READ: _read,
    Stage.FIT: _fit,
    Stage.TEACH: _teach,
    Stage.EVALUATE: evaluate_all,
    Stage.PACKAGE: _package,
}

# Stages that are cut into blocks: how some blocks are worked on, and how they become the files that others read.
BLOCK_WORK: Mapping[Stage, Callable[[Run, Sequence[int]], None]] = {
    Stage.ENCODE: encode_blocks,
    Stage.QUANTIZE: quantize_blocks,
    Stage.GENERATE: generate_blocks,
    Stage.LABEL: label_blocks,
    Stage.TRAIN: train_blocks,
}
JOINS: Mapping[Stage, Callable[[Run, Sequence[Path]], None]] = {
    Stage.ENCODE: join_encoded,
    Stage.QUANTIZE: join_quantized,
    Stage.GENERATE: join_generated,
    Stage.LABEL: join_labelled,
    Stage.TRAIN: join_train,
}
BLOCKED = frozenset(BLOCK_WORK)

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
