"""What happened to a job: as a list, or as a stream while it happens."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Reader
from api.errors import TooManyStreamsError
from api.listing import MAX_PAGE_EVENTS, next_page
from api.openapi import problems
from api.paths import JobId
from api.services import Services, Using
from api.shapes import job_path, show_events
from api.streams import MEDIA_TYPE, EventStream, frames
from api.views import EventPage
from jobs.records import ApiKey

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page of events; or, where `Accept` asks for it, Server-Sent Events until the job has ended.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    },
    204: {"description": "The job has ended, and nothing follows `Last-Event-ID`: the stream is over."},
}


class Following(BaseModel):
    """Which events to list."""

    model_config = ConfigDict(extra="forbid")

    after: int = Field(0, ge=0, lt=2**31, description="Only events with a higher sequence.")
    limit: int = Field(100, ge=1, le=MAX_PAGE_EVENTS, description="Events an answer; a stream has no limit.")


LastEventId = Annotated[
    int | None,
    Header(
        alias="Last-Event-ID",
        ge=0,
        lt=2**31,
        description="Of a stream: the sequence of the last event that the caller has. It wins over `after`.",
    ),
]
Accept = Annotated[str, Header(alias="Accept", description=f"`{MEDIA_TYPE}` asks for a stream.")]


@router.get(
    "/{job_id}/events",
    operation_id="list_events",
    summary="List or follow what happened to a job",
    response_model=EventPage,
    responses={**_STREAM, **problems(401, 403, 404, 410, 422, TooManyStreamsError)},
)
def list_events(
    caller: Reader,
    job_id: JobId,
    following: Annotated[Following, Query()],
    using: Using,
    response: Response,
    last: LastEventId = None,
    accept: Accept = "*/*",
) -> EventPage | Response:
    """List events, oldest first; ask again with `next_after` for more. Or follow them as Server-Sent Events."""
    if _wants_stream(accept):
        return _stream(using, caller, job_id, following.after if last is None else last)
    events = using.store.events(caller.owner, job_id, following.after, following.limit)
    response.headers["Vary"] = "Accept"
    if len(events) == following.limit:
        more = [("after", str(events[-1].sequence)), ("limit", str(following.limit))]
        response.headers["Link"] = next_page(f"{job_path(job_id)}/events", more)
    return show_events(events, following.after)


def _wants_stream(accept: str) -> bool:
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return MEDIA_TYPE in kinds and "application/json" not in kinds


def _stream(using: Services, caller: ApiKey, job_id: str, after: int) -> Response:
    news = using.store.news(caller.owner, job_id, after, 1)
    if news.is_all and not news.events:
        return Response(status_code=204)
    using.streams.enter(caller.id)
    return EventStream(frames(using.store, using.watcher, caller.owner, job_id, after), using.streams, caller.id)
