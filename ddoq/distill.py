"""The whole flow: read, encode, quantize, generate, train, evaluate, package; where asked for fit, teach, label.

Stages meet only through files. Each has its own folder and writes its manifest there last, so that a stage whose
manifest is there is complete, and a second call resumes behind it.
"""

from pathlib import Path

from ddoq.caches import Cache, FolderCache
from ddoq.config import DistillConfig
from ddoq.errors import ConfigError
from ddoq.events import OnEvent, Stage, ignore
from ddoq.manifests import is_complete, read_manifest
from ddoq.package import PackageManifest
from ddoq.run import Run, fitted_folder
from ddoq.sources import Access
from ddoq.stages import run_stage


def distill(
    config: DistillConfig, folder: Path, access: Access, on_event: OnEvent = ignore, cache: Cache | None = None
) -> tuple[Path, ...]:
    """Distil a dataset into `folder`, behind the stages that are complete there, and answer the paths of the archives.

    Args:
        config: What to do.
        folder: Takes everything; one config's for ever.
        access: What may be read.
        on_event: Told of progress; what it raises stops the work, which a second call takes up again.
        cache: Keeps latents, fitted priors and trained teachers; a folder within `folder` when left out.

    Raises:
        ConfigError: `folder` holds the stages of another config.
        DdoqError: whatever a stage refuses; the stages before it stay complete.
    """
    run = _open_run(config, folder, access, on_event, cache)
    _run_through(Stage.PACKAGE, run)
    packaged = read_manifest(run.folders[Stage.PACKAGE], PackageManifest)
    return tuple(run.folders[Stage.PACKAGE] / file.name for file in packaged.files if file.name.endswith(".zip"))


def fit_prior(
    config: DistillConfig, folder: Path, access: Access, on_event: OnEvent = ignore, cache: Cache | None = None
) -> Path:
    """Run the stages up to the fitted prior and answer its folder; arguments and errors as of `distill`.

    Raises:
        ConfigError: the config's prior is not one that is fitted.
    """
    if Stage.FIT not in config.stages:
        raise ConfigError(f"prior {config.prior.kind!r} is not fitted; set prior.kind to 'fit'")
    run = _open_run(config, folder, access, on_event, cache)
    _run_through(Stage.FIT, run)
    return fitted_folder(run)


def _open_run(config: DistillConfig, folder: Path, access: Access, on_event: OnEvent, cache: Cache | None) -> Run:
    _claim_folder(config, folder)
    folders = {stage: folder / stage for stage in Stage}
    return Run(config, folders, access, cache or FolderCache(folder / "cache"), on_event)


def _run_through(last: Stage, run: Run) -> None:
    stages = run.config.stages
    for stage in stages[: stages.index(last) + 1]:
        if not is_complete(run.folders[stage]):
            run_stage(stage, run)


def _claim_folder(config: DistillConfig, folder: Path) -> None:
    """Mark a folder as this config's, and refuse one that is another's."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "config.json"
    if not file.exists():
        file.write_text(config.model_dump_json(indent=1))
    if DistillConfig.model_validate_json(file.read_text()) != config:
        raise ConfigError(f"{folder} holds the stages of another config; choose another folder or empty this one")
