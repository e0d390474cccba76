"""A job as one row of a list. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from api.views import JobView, StageView
from ddoq.image_counts import ImagesPerClass
from jobs.records import JobState
from jobs.states import TERMINAL


@dataclass(frozen=True)
class Progress:
    """How far a job is, roughly: a share of its stages, in per cent, and words."""

    percent: int
    words: str


@dataclass(frozen=True)
class JobRow:
    """What a list says of a job. `file` is what the upload that is its dataset was called, if that is known."""

    id: str
    state: JobState
    dataset: str
    file: str | None
    images: str
    created_at: datetime
    labels: tuple[tuple[str, str], ...]
    progress: Progress | None


def show_row(job: JobView, files: Mapping[str, str]) -> JobRow:
    """Say of a job what a list has room for; `files` are names of uploads by URI."""
    config = job.config
    return JobRow(
        id=job.id,
        state=job.status,
        dataset=config.dataset.uri,
        file=files.get(config.dataset.uri),
        images=images_in_words(config.images_per_class, config.total_images),
        created_at=job.created_at,
        labels=tuple(sorted(job.labels.items())),
        progress=None if job.status in TERMINAL else progress_of(job),
    )


def images_in_words(per_class: ImagesPerClass | None, total: int | None) -> str:
    """Say how many images a config asks for."""
    if per_class is None:
        return f"{total} in all"
    if isinstance(per_class, int):
        return str(per_class)
    return ", ".join(str(n) for n in per_class) if isinstance(per_class, tuple) else "by class"


def progress_of(job: JobView) -> Progress:
    """Tell how many stages are done, the one at hand by its own share."""
    n_done = sum(stage.status == "done" for stage in job.stages)
    running = [stage for stage in job.stages if stage.status == "running"]
    share = (n_done + sum(_share(stage) for stage in running)) / len(job.stages)
    if job.queue_position is not None:
        return Progress(0, f"queued, position {job.queue_position}")
    return Progress(int(100 * share), f"{job.stage}, {n_done} of {len(job.stages)} stages done")


def _share(stage: StageView) -> float:
    return min(1.0, stage.done / stage.total) if stage.total else 0.0
