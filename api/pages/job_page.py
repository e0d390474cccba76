"""The page of a job, in the order in which a person asks; and what can be done to it from there."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.changing import cancel, options_of, retry
from api.errors import ArtifactNotFoundError
from api.pages.forms import FormOf
from api.pages.job_environments import computed
from api.pages.job_files import artifacts_of, file_of
from api.pages.job_images import Gallery, arrange, find_images, prefix_of, show_classes
from api.pages.job_report import Findings, accuracies_of_sweep, read_report, tell
from api.pages.job_words import DOES, PLOTS, counted, curl, happened, made, request_json, rest_in_words, standing
from api.pages.rendering import show
from api.pages.sessions import Changing, Looking, Preparing
from api.pages.wording import span
from api.paths import JobId
from api.services import Services, Using
from api.shapes import show_job
from ddoq.budgets import budget_names
from ddoq.events import Stage
from jobs.errors import JobEndedError
from jobs.forecasts import forecast_rest
from jobs.records import Artifact, Job, JobState
from jobs.states import TERMINAL
from jobs.submitting import Idempotency

router = APIRouter(include_in_schema=False)

LATEST_EVENTS = 15
SHOWN_JSON = 4000  # letters of a config that a page shows; a longer one is a file only
CONFIG = "config.json"
ONCE = re.compile("[0-9a-f]{32}")  # what a form names its request by

Sought = Annotated[str, Query(max_length=200, description="Part of the name of a class.")]
BudgetName = Annotated[str, Query(max_length=40, description="Of a sweep; the first unless said otherwise.")]
PageNumber = Annotated[int, Query(ge=1, le=10_000)]


@dataclass(frozen=True)
class Whole:
    """What a page shows of one budget: its images and findings, none where there are not any, and its files.

    Of plots there are names and words. `computed` says by what environments.
    """

    budget: str
    gallery: Gallery | None
    findings: Findings | None
    archive: Artifact | None
    plots: tuple[tuple[str, str], ...]
    computed: Mapping[str, str]
    others: tuple[Artifact, ...]


@router.get("/jobs/{job_id}")
def see_job(
    request: Request,
    session: Looking,
    job_id: JobId,
    using: Using,
    budget: BudgetName = "",
    sought: Annotated[Sought, Query(alias="class")] = "",
    page: PageNumber = 1,
) -> Response:
    """Show a job."""
    job, now = using.store.get(session.owner, job_id), datetime.now(UTC)
    whole = _whole(using, job, budget, sought, page)
    view, body = show_job(job, now), request_json(job.config, options_of(job))
    return show(
        request,
        "job.html",
        job=view,
        file=file_of(using, job),
        kept_until=job.expires_at if job.state is JobState.SUCCEEDED else None,
        standing=standing(view),
        timing=_timing(using, job, now),
        is_open=job.state not in TERMINAL,
        is_growing=any(each.stage is Stage.GENERATE and each.status != "done" for each in view.stages),
        budgets=budget_names(job.config),
        sweep=accuracies_of_sweep(job.config, job.figures),
        whole=whole,
        made=made(job.config, whole.budget, _figures(job, whole.budget)),
        sought=sought,
        does=DOES,
        counted=counted,
        side=job.config.output_resolution,
        body=body if len(body) <= SHOWN_JSON else None,
        curl=curl(str(request.base_url), CONFIG),
        events=[happened(event) for event in using.store.latest_events(session.owner, job_id, LATEST_EVENTS)],
        once=uuid4().hex,
    )


@router.get("/jobs/{job_id}/classes/{label}")
def see_class(
    request: Request, session: Looking, job_id: JobId, label: int, using: Using, budget: BudgetName = ""
) -> Response:
    """Show all images of one class."""
    job = using.store.get(session.owner, job_id)
    chosen = choose_budget(job, budget)
    images = find_images(using, job, artifacts_of(using, job), chosen)
    if images is None or not 0 <= label < len(images.names):
        raise ArtifactNotFoundError(f"job {job_id} has no images of a class {label}")
    (shown,) = show_classes(images, [label], 1000)
    return show(request, "job_class.html", job=job, budget=chosen, shown=shown, is_open=job.state not in TERMINAL)


@router.get("/jobs/{job_id}/config.json")
def send_config(session: Looking, job_id: JobId, using: Using) -> Response:
    """Send the body that asks for the same job again."""
    job = using.store.get(session.owner, job_id)
    headers = {"Content-Disposition": f'attachment; filename="{CONFIG}"'}
    return Response(request_json(job.config, options_of(job)), headers=headers, media_type="application/json")


@router.post("/jobs/{job_id}/cancel")
def stop_job(session: Changing, job_id: JobId, using: Using) -> Response:
    """Cancel a job; one that has ended meanwhile is shown as it ended."""
    with suppress(JobEndedError):
        cancel(using, session.owner, job_id)
    return _to(job_id)


@router.post("/jobs/{job_id}/retry")
def try_again(session: Changing, job_id: JobId, form: FormOf, using: Using) -> Response:
    """Queue the same job again; a form that is sent twice makes one."""
    once = form.get("once") if ONCE.fullmatch(form.get("once")) else None
    digest = sha256(f"retry {job_id}".encode()).hexdigest()
    submitted = retry(using, session.owner, job_id, Idempotency(f"page-{once}", digest) if once else None)
    if submitted.is_new:
        using.waker.wake()
    return _to(submitted.job.id)


@router.get("/jobs/{job_id}/delete")
def ask_before_deleting(request: Request, session: Preparing, job_id: JobId, using: Using) -> Response:
    """Ask whether a job is to be deleted."""
    job = using.store.ended(session.owner, job_id)
    return show(request, "job_delete.html", job=job, file=file_of(using, job), artifacts=artifacts_of(using, job))


@router.post("/jobs/{job_id}/delete")
def delete_job(session: Changing, job_id: JobId, using: Using) -> Response:
    """Delete a job that has ended."""
    using.store.delete(session.owner, job_id)
    return RedirectResponse("/", 303)


def _whole(using: Services, job: Job, budget: str, sought: str, page: int) -> Whole:
    chosen, artifacts = choose_budget(job, budget), artifacts_of(using, job)
    prefix = prefix_of(job.config, chosen)
    own = {artifact.name.removeprefix(prefix): artifact for artifact in artifacts if artifact.name.startswith(prefix)}
    images, report = find_images(using, job, artifacts, chosen), read_report(using, job, artifacts, chosen)
    return Whole(
        budget=chosen,
        gallery=arrange(images, job.config, chosen, sought, page) if images else None,
        findings=tell(report) if report else None,
        archive=own.get("archive.zip"),
        plots=tuple((own[name].name, words) for name, words in PLOTS.items() if name in own),
        computed=computed(using, job, artifacts, chosen),
        others=tuple(artifact for name, artifact in own.items() if name != "archive.zip"),
    )


def _figures(job: Job, budget: str) -> Mapping[str, float]:
    """Pick the figures of a budget."""
    prefix = f"{budget}." if prefix_of(job.config, budget) else ""
    return {name.removeprefix(prefix): value for name, value in job.figures.items() if name.startswith(prefix)}


def choose_budget(job: Job, budget: str) -> str:
    """Pick the budget of a job that is named, or its first."""
    names = budget_names(job.config)
    return budget if budget in names else names[0]


def _timing(using: Services, job: Job, now: datetime) -> str | None:
    """Say how long a job has been running, and roughly what is left."""
    if job.state is not JobState.RUNNING or job.started_at is None:
        return None
    rest = rest_in_words(forecast_rest(using.engine, job, now))
    return f"Begun {span((now - job.started_at).total_seconds())} ago. {rest}"


def _to(job_id: str) -> Response:
    return RedirectResponse(f"/jobs/{job_id}", 303)
