"""What the service answers about jobs and their files. Fields that a newer service adds are ignored."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ddoq_client.errors import JobFailedError

Priority = Literal["low", "normal", "high"]
ENDED = frozenset({"succeeded", "failed", "cancelled", "expired"})


class View(BaseModel):
    """Something that the service told; it does not change."""

    model_config = ConfigDict(frozen=True)


class UnitCounts(View):
    """How many of a stage's units wait for a worker, are worked on, and are done."""

    ready: int
    running: int
    done: int


class StageProgress(View):
    """How far a stage is: `done` of `total` pieces, 0 until that is known; `status` pending to done, or stopped."""

    stage: str
    status: str
    done: int
    total: int
    units: UnitCounts | None = None
    seconds: float | None = None
    peak_bytes: int | None = None
    attempts: int = 0


class Failure(View):
    """Why a job failed or expired."""

    code: str
    message: str
    stage: str | None = None
    hint: str = ""
    retryable: bool = False


class JobView(View):
    """A job as the service shows it."""

    id: str
    status: str
    stage: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    priority: str = "normal"
    queue_position: int | None = None
    queue_deadline_at: datetime | None = None
    timeout_s: int | None = None
    expires_at: datetime | None = None
    labels: dict[str, str] = {}
    retried_from: str | None = None
    config: dict[str, Any] = {}
    stages: tuple[StageProgress, ...] = ()
    error: Failure | None = None
    figures: dict[str, float] = {}

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    def raise_for_failure(self) -> None:
        """Do nothing for a job that succeeded or has not ended.

        Raises:
            JobFailedError: it failed, expired or was cancelled.
        """
        if self.error:
            raise JobFailedError(self.id, self.error.code, self.error.message)
        if self.has_ended and self.status != "succeeded":
            raise JobFailedError(self.id, f"job.{self.status}", f"job {self.id} was {self.status}")


class Event(View):
    """Something that happened to a job; `sequence` counts from 1 without gaps."""

    sequence: int
    at: datetime
    kind: str
    data: dict[str, Any] = {}


class Progress(View):
    """How far a running stage is; of a stream, beside its events."""

    stage: str
    done: int
    total: int


class Artifact(View):
    """A file that a job made."""

    name: str
    size_bytes: int
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    media_type: str = "application/octet-stream"
    expires_at: datetime | None = None


class Part(View):
    """A part of an upload that is there."""

    number: int
    size_bytes: int = 0


class Upload(View):
    """A file that is being sent to the service, or was; `parts` are those that are there, where it was asked for."""

    id: str
    uri: str
    state: str
    filename: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    created_at: datetime
    expires_at: datetime | None = None
    part_size_bytes: int | None = None
    n_parts: int | None = None
    parts: tuple[Part, ...] = ()


class ClassCounts(View):
    """Images of a class, before any was decoded."""

    name: str
    train: int
    test: int
    validation: int | None = None


class DatasetFound(View):
    """The dataset as a job would see it."""

    format: str
    n_bytes: int
    classes: tuple[ClassCounts, ...]
    held_out: bool = False
    left_out: Sequence[str] = ()
    fingerprint: str = ""


class Budget(View):
    """An archive that comes out."""

    name: str
    n_images: int


class Estimate(View):
    """What a stage will take; null where nothing is known. `basis` says where the numbers come from."""

    seconds: float | None = None
    peak_bytes: int | None = None
    basis: str = ""


class StagePlan(View):
    """A step of a job that may be."""

    stage: str
    blocks: int
    units: int
    estimate: Estimate


class Plan(View):
    """What a job would be; nothing is stored."""

    config: dict[str, Any]
    dataset: DatasetFound
    archives: tuple[Budget, ...]
    stages: tuple[StagePlan, ...]
    seconds: float | None = None
    warnings: Sequence[str] = ()
    not_checked: Sequence[str] = ()
