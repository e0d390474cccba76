"""The list of jobs, newest first."""

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from api.listing import Paging
from api.pages.rendering import show
from api.pages.rows import show_row
from api.pages.sessions import Looking
from api.services import Using
from api.shapes import show_job
from jobs.records import JobState
from jobs.upload_uses import names_of_uploads

router = APIRouter(include_in_schema=False)


@router.get("/")
def list_jobs(request: Request, session: Looking, paging: Annotated[Paging, Query()], using: Using) -> Response:
    """List the jobs of the session's owner, page by page."""
    listing = (session.owner, *paging.listing)
    after = using.cursors.unseal(paging.cursor, *listing) if paging.cursor else None
    jobs, last = using.store.page(session.owner, paging.which, after, paging.limit)
    now = datetime.now(UTC)
    files = names_of_uploads(using.engine, session.owner, {job.config.dataset.uri for job in jobs})
    return show(
        request,
        "jobs.html",
        rows=[show_row(show_job(job, now), files) for job in jobs],
        paging=paging,
        states=list(JobState),
        following=_following(paging, using.cursors.seal(last, *listing)) if last else None,
    )


def _following(paging: Paging, cursor: str) -> str:
    filters = [*(("state", state.value) for state in paging.state), *(("label", label) for label in paging.label)]
    return f"/?{urlencode([*filters, ('cursor', cursor)])}"
