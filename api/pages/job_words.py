"""A job in words: how it stands, what its stages do, what happened to it, how to run it again. Pure."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from api.pages.wording import about, capital, span
from api.views import JobView, StageView
from ddoq.budgets import Budget, given_budgets
from ddoq.config import DistillConfig
from ddoq.events import Stage
from ddoq.provenance import how_made
from jobs.forecasts import Rest
from jobs.options import JobOptions
from jobs.records import JobEvent, JobState
from jobs.states import EventKind

DOES: Final[Mapping[Stage, str]] = MappingProxyType(
    {
        Stage.READ: "list the images",
        Stage.ENCODE: "make latents of the images",
        Stage.FIT: "train the prior",
        Stage.QUANTIZE: "find the codewords of each class",
        Stage.GENERATE: "make the images",
        Stage.TEACH: "train the teacher",
        Stage.LABEL: "label the images",
        Stage.TRAIN: "train students on each contender",
        Stage.EVALUATE: "test and compare",
        Stage.PACKAGE: "write the archive",
    }
)
HAPPENED: Final[Mapping[str, str]] = MappingProxyType(
    {
        EventKind.QUEUED: "accepted",
        EventKind.UNIT_STARTED: "begun",
        EventKind.UNIT_FINISHED: "done",
        EventKind.DRAINED: "given back",
        EventKind.LEASE_LOST: "broke off",
        EventKind.CANCELLING: "cancel asked for",
        EventKind.CANCELLED: "cancelled",
        EventKind.EXPIRED: "expired",
        EventKind.SUCCEEDED: "succeeded",
        EventKind.FAILED: "failed",
        EventKind.ARTIFACT_MISSING: "an artifact is gone from the object store",
    }
)
PLOTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "accuracy.svg": "Test accuracy of students of each contender",
        "accuracy-by-class.svg": "Test accuracy by class, distilled against random real",
        "weights.svg": "The share of its class that each image stands for",
        "latent-map.svg": "Where the images lie among the real ones",
        "distortion.svg": "Distortion of each class",
        "distortion-by-pass.svg": "Distortion after each pass of the quantizer",
    }
)
"""What is on the plots of a report, in the order of their use."""
COUNTS: Final = ("images_per_class.least", "images_per_class.most")


@dataclass(frozen=True)
class Happened:
    """An event, for people."""

    at: datetime
    words: str


def standing(job: JobView) -> str:
    """Say in one sentence how a job stands; the same until that changes, for those who hear it."""
    match job.status:
        case JobState.QUEUED:
            return _waiting(job)
        case JobState.RUNNING:
            return f"Running: {job.stage}, stage {_number(job)} of {len(job.stages)}."
        case JobState.CANCELLING:
            return "Stopping: it ends with the batch at hand."
        case JobState.SUCCEEDED:
            return f"Done in {_took(job)}."
        case JobState.FAILED:
            return f"Failed in stage {job.stage}, after {_took(job)}."
        case ended:
            return f"{ended.capitalize()} after {_took(job)}."


def _waiting(job: JobView) -> str:
    if job.started_at is not None:
        return f"Waiting for a worker to go on with {job.stage}."
    return "Waiting for a worker" + (f", number {job.queue_position} in line." if job.queue_position else ".")


def rest_in_words(rest: Rest) -> str:
    """Say roughly what is left."""
    left = f"{capital(about(rest.seconds))} left." if rest.seconds >= 1 or not rest.unknown else ""
    if not rest.unknown:
        return left
    beside = "Besides, " if left else ""
    how = f"{beside}how long {', '.join(rest.unknown)} will take is not known: nothing like it has ended here lately."
    return f"{left} {how}" if left else capital(how)


def counted(stage: StageView) -> str:
    """Write how far a stage is."""
    if stage.status == "pending" or not stage.total:
        return ""
    return f"{stage.done:,} of {stage.total:,}"


def happened(event: JobEvent) -> Happened:
    """Say what happened, to which unit, and why where that is known."""
    data = event.data
    words = HAPPENED.get(event.kind, event.kind)
    if "index" in data and "of" in data:
        attempt = f", attempt {data['attempt']}" if data.get("attempt", 1) != 1 else ""
        words = f"{data['stage']} {data['index'] + 1} of {data['of']}{attempt}: {words}"
    reason = data.get("reason")
    return Happened(event.at, f"{words}: {reason}" if reason else words)


def made(config: DistillConfig, budget: str, figures: Mapping[str, float]) -> Mapping[str, str]:
    """Say part by part how the images of a budget were made, or are to be; nothing while it is not known how many.

    `figures` are those of its report, once there are any.
    """
    counts = tuple(int(figures[name]) for name in COUNTS if name in figures) or _asked(config, budget)
    words = how_made(config, Budget(budget, counts), figures) if counts else {}
    return {part: told for part, told in words.items() if told}


def request_json(config: DistillConfig, options: JobOptions) -> str:
    """Write the body that asks for the same job again, every default said."""
    asked = options.model_dump_json(exclude_defaults=True)
    whole = config.model_dump_json(indent=1)
    return whole if asked == "{}" else f'{whole[:-2]},\n "job": {asked}\n}}'


def curl(base: str, file: str) -> str:
    """Write the command that submits a file."""
    url = shlex.quote(f"{base.rstrip('/')}/v1/jobs")
    head = '-H "Authorization: Bearer $KEY" -H "Content-Type: application/json"'
    return f"curl {url} \\\n  {head} \\\n  --data @{file}"


def _asked(config: DistillConfig, budget: str) -> tuple[int, ...]:
    """Say how many images of a class are asked for, as far as the config tells."""
    if isinstance(config.images_per_class, Mapping):
        return tuple(config.images_per_class.values())
    return next((given.counts for given in given_budgets(config, ("",)) or () if given.name == budget), ())


def _number(job: JobView) -> int:
    """Count the stage at hand, from 1."""
    return [stage.stage for stage in job.stages].index(job.stage) + 1


def _took(job: JobView) -> str:
    """Write how long an ended job took: from its first start, or for want of one, since it was sent."""
    end = job.finished_at or job.created_at
    return span((end - (job.started_at or job.created_at)).total_seconds())
