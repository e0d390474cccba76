"""What goes over the wire: the shape of every answer and of every body, with its description."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FutureDatetime

from api.paging import NextCursor
from api.repeating import digest_of
from ddoq.config import DistillConfig
from ddoq.events import Stage
from jobs.keys import Scope
from jobs.options import JobOptions, Priority
from jobs.records import JobState


class View(BaseModel):
    model_config = ConfigDict(frozen=True)


class JobRequest(DistillConfig):
    """The config of a distillation, and beside it how the job is to be run."""

    job: JobOptions = Field(
        default_factory=JobOptions,  # a default that holds a dict is copied, deeply, for each request
        json_schema_extra={"default": JobOptions().model_dump(mode="json")},
    )

    @property
    def config(self) -> DistillConfig:
        """The config alone."""
        names = DistillConfig.model_fields
        return DistillConfig.model_construct(_fields_set=set(names), **{name: getattr(self, name) for name in names})

    @property
    def digest(self) -> str:
        """What tells the body from another, however it was written."""
        return digest_of(self)


class UnitCounts(View):
    """How many of the units of a stage wait for a worker, are worked on, and are done."""

    ready: int
    running: int
    done: int


class StageView(View):
    """One step of the flow."""

    stage: Stage
    status: Literal["pending", "ready", "running", "done", "stopped"] = Field(
        description="pending: not its turn; ready: waits for a worker; stopped: the job ended in the middle of it."
    )
    done: int = Field(description="Finished pieces of `total`; what a piece is differs between stages.")
    total: int = Field(
        description="Pieces; 0 until known, and while not all units have begun what those that have make of all."
    )
    units: UnitCounts = Field(description="The parts that workers take of it; all 0 before its turn.")
    seconds: float | None = Field(description="From its first start to its end, or until now; null before it starts.")
    peak_bytes: int | None = Field(
        description="Resident memory at most of a process that worked on it; null before its first end."
    )
    attempts: int = Field(description="How often a worker began it; more than 1 after a crash or a deployment.")


class FailureView(View):
    """Why the job failed. Not a failed request: the codes are those of docs/errors.md."""

    code: str
    stage: Stage | None
    message: str = Field(description="What went wrong this time, and what to change.")
    hint: str = Field(description="What to do about this kind of failure, the same each time.")
    retryable: bool = Field(description="Whether the same job may succeed when submitted again.")


class JobLinks(View):
    """Where to go from here, as paths on this server."""

    self: str
    events: str
    artifacts: str
    cancel: str
    retry: str


class JobView(View):
    """One distillation that was asked for."""

    id: str = Field(description="`job_` and 26 characters; sorts by age.")
    status: JobState = Field(description="succeeded, failed, cancelled and expired are final.")
    stage: Stage = Field(description="The step the job is in, or ended in.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    priority: Priority
    queue_position: int | None = Field(description="1 for the job that is begun next; null unless it is queued.")
    queue_deadline_at: datetime | None = Field(description="It expires unless it has begun by then.")
    timeout_s: int | None = Field(description="It fails when it has not ended so many seconds after its first start.")
    expires_at: datetime | None = Field(description="Its artifacts are deleted then; null until it has ended.")
    labels: dict[str, str] = Field(description="Those that it was submitted with.")
    retried_from: str | None = Field(description="The job of which this one is another try.")
    config: DistillConfig = Field(description="The config as it is run, defaults filled in.")
    stages: list[StageView] = Field(description="Every step, in order.")
    error: FailureView | None = Field(description="Only when the job failed or expired.")
    figures: dict[str, float] = Field(
        description="The report's numbers by name, once there are any; of several budgets, each name behind that of "
        "its budget, as in `ipc-10.distortion`."
    )
    links: JobLinks


class JobPage(View):
    """Jobs, newest first."""

    data: list[JobView]
    next_cursor: NextCursor


class EventView(View):
    """Something that happened to the job."""

    sequence: int = Field(description="Counts from 1 without gaps within the job.")
    at: datetime
    kind: str = Field(description="Listed in docs/jobs.md.")
    data: dict[str, Any]


class EventPage(View):
    """Events, oldest first."""

    data: list[EventView]
    next_after: int = Field(description="Ask again with this as `after` for what happened since.")


class ArtifactView(View):
    """One file that the job made."""

    name: str
    size_bytes: int
    sha256: str = Field(description="Hexadecimal; also the ETag of the download.")
    media_type: str
    expires_at: datetime | None = Field(description="It is deleted then; null until the job has ended.")
    download_url: str = Field(description="Path on this server; needs the same API key.")


class ArtifactList(View):
    """The files that the job has made so far."""

    data: list[ArtifactView]


def _with_time_zone(moment: datetime | None) -> datetime | None:
    if moment is not None and moment.tzinfo is None:
        raise ValueError("must name its time zone, as in 2030-01-01T00:00:00Z")
    return moment


class NewKey(BaseModel):
    """What a new API key is to be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=200, description="For people: who or what uses the key.")]
    scopes: Annotated[
        tuple[Scope, ...], Field(min_length=1, max_length=len(Scope), description="At most those of the calling key.")
    ]
    expires_at: Annotated[
        FutureDatetime | None,
        AfterValidator(_with_time_zone),
        Field(description="RFC 3339; the key is refused from then on. Null: it does not end by itself."),
    ] = None


class KeyView(View):
    """An API key as it may be shown: never its secret."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    revoked_at: datetime | None
    expires_at: datetime | None = Field(description="It is refused from then on; null: it does not end by itself.")
    last_used_at: datetime | None = Field(description="To a minute; null until its first use.")


class CreatedKey(KeyView):
    """A new API key, with its secret."""

    secret: str = Field(description="Send it as a Bearer token. It is shown this once.")


class KeyList(View):
    """Keys, oldest first, revoked ones too."""

    data: list[KeyView]


class Alive(View):
    """The process answers."""

    status: Literal["ok"]


class Ready(View):
    """Everything that the service needs is there."""

    status: Literal["ready"]
