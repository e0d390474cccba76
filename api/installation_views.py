"""The shape of what is told of the installation and of the caller."""

from datetime import datetime

from pydantic import Field

from api.views import View
from ddoq.events import Stage


class MethodView(View):
    """A method: its parts, each of which a config may choose instead."""

    name: str
    reducer: str = Field(description="What reduces a class to points.")
    canvas: str = Field(description="What is shown for a point.")
    weights: str = Field(description="How masses become training weights.")


class KindView(View):
    """A kind of prior or teacher."""

    kind: str
    description: str


class NetworkView(View):
    """A network that students and teachers can be."""

    name: str
    least_side: int = Field(description="Pixels that its images must have at least on a side.")


class ModelList(View):
    """What a config may name here."""

    models: list[str] = Field(
        description="Hub ids and local folders that `prior.model` and `teacher` may name; a folder stands for all "
        "below it, `*` for any."
    )
    methods: list[MethodView]
    priors: list[KindView]
    teachers: list[KindView]
    networks: list[NetworkView]
    protocols: list[str] = Field(description="How students can be trained: `students.protocol`.")


class WorkerView(View):
    """A worker that was seen lately."""

    name: str
    since: datetime
    seen_at: datetime
    stage: Stage | None = Field(description="Of the unit that it works on, whoever owns it; null while it waits.")


class WorkerList(View):
    """Workers, by name."""

    data: list[WorkerView]


class MeView(View):
    """The API key that this request came with."""

    key_id: str
    name: str
    owner: str = Field(description="Whose jobs and keys it sees.")
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None = Field(description="It is refused from then on; null for a key that lasts.")


class Use(View):
    """How much of a limit is used."""

    used: int
    limit: int


class LimitsView(View):
    """What this installation allows, and how much of it is used."""

    queued_jobs: Use = Field(description="The owner's jobs that are queued.")
    queued_jobs_of_all: int = Field(description="Jobs of all owners together that may be queued.")
    event_streams: Use = Field(description="Streams of events that this key has open on this server.")
    reads_per_minute: int = Field(description="GET and HEAD requests of the owner; 0 is any number.")
    writes_per_minute: int = Field(description="All other requests of the owner; 0 is any number.")
    body_bytes: int = Field(description="Of a request's body, at most, but for uploads.")
    upload_bytes: int = Field(description="Of one upload, at most.")
    upload_bytes_of_owner: int = Field(description="Of all uploads of the owner, at most.")
    open_uploads: int = Field(description="Uploads of the owner that may be unfinished at a time.")
    webhook_endpoints: int = Field(description="Webhook endpoints that the owner may have.")
    page_jobs: int = Field(description="`limit` of a list of jobs, at most.")
    page_events: int = Field(description="`limit` of a list of events, at most.")
    wait_seconds: int = Field(description="`Prefer: wait`, at most.")
    labels: int = Field(description="Labels of a job, at most.")
    retention_days: float = Field(description="Artifacts are kept so long after the end of their job.")
    tombstone_days: int = Field(description="A deleted job is answered with 410 for so long, then with 404.")
