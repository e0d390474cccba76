"""What the store hands out: small frozen records, no sessions, no rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from ddoq.config import DistillConfig
from ddoq.events import Stage
from jobs.options import Priority

PROTOCOL = 1  # what units mean: raised when workers of before would misread the units of today
SPOKEN = frozenset({PROTOCOL})  # the units that this code can run


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class UnitState(StrEnum):
    READY = "ready"
    RUNNING = "running"
    DONE = "done"


class UploadState(StrEnum):
    OPEN = "open"
    READY = "ready"


@dataclass(frozen=True)
class Failure:
    """Why a job ended badly: a stable code, the stage, a sentence that says what to change."""

    code: str
    message: str
    retryable: bool
    stage: Stage | None = None


@dataclass(frozen=True)
class StageUnits:
    """What the units of one stage of one job add up to.

    `total` is 0 until a unit has told its own; then it is what those that told make of all. `finished_at` is null
    until all are done. `attempts` and `peak_bytes` are those of the unit that has most.
    """

    n_ready: int
    n_running: int
    n_done: int
    done: int
    total: int
    attempts: int
    started_at: datetime | None
    finished_at: datetime | None
    peak_bytes: int | None


@dataclass(frozen=True)
class Job:
    """One distillation that somebody asked for.

    `stages` are those that have units yet; `figures` are the report's numbers by name, once there are any;
    `queue_position` is 1 for the job that is begun next, and null unless it is queued. `retried_from` is the job of
    which this one is another try.
    """

    id: str
    owner: str
    state: JobState
    stage: Stage
    config: DistillConfig
    failure: Failure | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    stages: Mapping[Stage, StageUnits]
    figures: Mapping[str, float]
    priority: Priority
    queue_deadline_at: datetime | None
    timeout_seconds: int | None
    expires_at: datetime | None
    queue_position: int | None
    labels: Mapping[str, str]
    retried_from: str | None


@dataclass(frozen=True)
class Version:
    """Which job, and what it was changed last by: of a job that has ended, another answer has another version."""

    job_id: str
    state: JobState
    n_events: int
    expires_at: datetime | None


@dataclass(frozen=True)
class JobEvent:
    """Something that happened to a job; `sequence` counts from 1 without gaps within the job."""

    sequence: int
    at: datetime
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Artifact:
    """A file that a job made: `name` within the job, `key` in the bucket."""

    name: str
    key: str
    size_bytes: int
    sha256: str
    media_type: str


@dataclass(frozen=True)
class Claim:
    """The right to run one unit until the lease ends; `token` proves it on every write.

    `inputs` are the object prefixes of the finished stages before this one; `prefix` is where this attempt writes.
    The unit is part `index` of `of` of the stage's blocks; what earlier attempts completed of them lies beside
    `prefix`. `is_small`, where an attempt ran out of memory, asks for less at once. `traceparent` is the trace context
    of the request that made the job, where traces are kept.
    """

    unit_id: int
    job_id: str
    owner: str
    stage: Stage
    index: int
    of: int
    attempt: int
    token: str
    worker: str
    config: DistillConfig
    inputs: Mapping[Stage, tuple[str, ...]]
    prefix: str
    is_small: bool = False
    traceparent: str | None = None


class Order(StrEnum):
    """What the holder of a lease is told when it reports."""

    CONTINUE = "continue"
    CANCEL = "cancel"


@dataclass(frozen=True)
class ApiKey:
    """A key as it may be shown: never the secret."""

    id: str
    owner: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True)
class Upload:
    """A file that an owner sends, to be a dataset.

    `size_bytes` and `sha256` are as declared, or as found when it was sent whole. `key` is where its bytes are in the
    bucket, or its parts will be; `multipart_id` is what the object store calls those, once they were begun. `used_at`
    is when it was begun, then finished, then last given to a job.
    """

    id: str
    owner: str
    state: UploadState
    filename: str | None
    media_type: str | None
    size_bytes: int | None
    sha256: str | None
    key: str | None
    multipart_id: str | None
    created_at: datetime
    used_at: datetime


@dataclass(frozen=True)
class UploadPart:
    """A part of an upload that the object store has; `number` counts from 1."""

    number: int
    size_bytes: int
    etag: str
