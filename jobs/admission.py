"""What can be refused at the door, before anything is read. The worker checks again, with the data in hand."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote

from ddoq.config import DistillConfig
from ddoq.errors import (
    DatasetNotFoundError,
    OutsideRootsError,
    PriorNotAllowedError,
    PriorNotFoundError,
    TeacherNotAllowedError,
    TeacherNotFoundError,
    UnknownSchemeError,
)
from ddoq.guard import Rules
from ddoq.prior_config import ModelPrior, PixelsPrior
from ddoq.source_uris import FORMS, Reach, parse_hub, parse_web, require_bucket, shown, unpinned
from ddoq.teacher_config import CheckpointTeacher, PretrainedTeacher, TeacherConfig, TrainedTeacher
from jobs.settings import Settings


def admit(config: DistillConfig, settings: Settings) -> None:
    """Refuse a config that asks for what this installation does not allow.

    Raises:
        UnknownSchemeError, OutsideRootsError, BucketNotAllowedError, HostNotAllowedError, HubNotAllowedError,
            AddressRefusedError, DatasetUriError, DatasetNotFoundError: by the dataset's URI.
        PriorNotAllowedError, PriorNotFoundError: by the prior's model.
        TeacherNotAllowedError, TeacherNotFoundError: by the teacher.
    """
    admit_dataset(config.dataset.uri, settings)
    if not isinstance(config.prior, PixelsPrior):
        admit_model(config.prior, settings.models)
    if config.teacher is not None:
        admit_teacher(config.teacher, settings.models)


def admit_dataset(uri: str, settings: Settings) -> None:
    """Refuse a URI of an unknown scheme, outside the roots (links followed), in another bucket, host or hub dataset."""
    scheme, separator, rest = uri.partition("://")
    match scheme.lower() if separator else "":
        case "file":
            _admit_path(rest, settings.file_roots)
        case "s3":
            require_bucket(rest, settings.dataset_buckets, settings.s3_bucket)
        case "https" | "http":
            parse_web(uri, reach_of(settings))
        case "hf":
            _admit_hub(uri, reach_of(settings))
        case "upload":
            return  # whose it is, and whether it is complete, is known where the job is stored
        case _:
            raise UnknownSchemeError(f"{shown(uri)!r} is not read here; write {FORMS}")


def reach_of(settings: Settings) -> Reach:
    """Tell which servers datasets may come from."""
    return Reach(
        hosts=settings.dataset_hosts,
        hub_datasets=settings.hub_datasets,
        hub=settings.hub_endpoint,
        rules=Rules(settings.private_networks),
        max_bytes=settings.max_dataset_bytes,
    )


def admit_model(prior: ModelPrior, allowed: Sequence[str]) -> None:
    """Refuse a model that is not listed, and a hub id without its revision.

    Args:
        prior: Its `model` is an absolute path, or else a hub id; none is the pixels that are fitted.
        allowed: Hub ids, and folders that stand for all below them; `"*"` is any.
    """
    if prior.model is None:
        return
    if not _is_allowed(prior.model, allowed):
        raise PriorNotAllowedError(f"model {prior.model!r} is not allowed here; use one of {sorted(allowed)}")
    if prior.revision is None and not prior.model.startswith("/"):
        raise PriorNotFoundError(f"{prior.model!r} is a hub id; set prior.revision to the commit that is meant")


def admit_teacher(teacher: TeacherConfig, allowed: Sequence[str]) -> None:
    """Refuse what is not listed, nor below one of the allowed folders, and a hub id without its revision.

    `"*"` is any. A teacher that is trained here is always allowed.
    """
    if isinstance(teacher, TrainedTeacher):
        return
    source = teacher.checkpoint if isinstance(teacher, CheckpointTeacher) else teacher.model
    if not _is_allowed(source, allowed):
        raise TeacherNotAllowedError(f"teacher {source!r} is not allowed here; use one of {sorted(allowed)}")
    if isinstance(teacher, PretrainedTeacher) and teacher.revision is None and not source.startswith("/"):
        raise TeacherNotFoundError(f"{source!r} is a hub id; set teacher.revision to the commit that is meant")


def _is_allowed(model: str, allowed: Sequence[str]) -> bool:
    """Whether a model is listed, or is a path below a folder that is; `"*"` is any."""
    return bool({"*", model} & set(allowed)) or (model.startswith("/") and _is_below(model, map(Path, allowed)))


def _admit_path(rest: str, roots: Sequence[Path]) -> None:
    path = unquote(rest).removeprefix("localhost")
    if not path.startswith("/") or "\0" in path:
        raise DatasetNotFoundError(f"'file://{rest}' is no absolute path; write file:///absolute/path")
    if not _is_below(path, roots):
        raise OutsideRootsError(f"{path!r} is outside the folders that may be read here; move it below one of them")


def _admit_hub(uri: str, reach: Reach) -> None:
    place = parse_hub(uri, reach)
    if not place.is_pinned and not place.is_moving:
        raise unpinned(place)


def _is_below(path: str, folders: Iterable[Path]) -> bool:
    """Compare after links were followed; what does not exist is taken as written."""
    real = Path(os.path.realpath(path))
    return any(folder.is_absolute() and real.is_relative_to(os.path.realpath(folder)) for folder in folders)
