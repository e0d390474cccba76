"""The form of a new job: what it would be first, then the job."""

import secrets
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.changing import options_of, submit
from api.errors import InvalidRequestError
from api.pages.drafts import Draft, draft_of, new_draft, read_draft
from api.pages.forms import Form, FormOf
from api.pages.mistakes import explain
from api.pages.plan_words import tell_plan
from api.pages.rendering import show
from api.pages.schema import ADDRESS, DIAL
from api.pages.sessions import Changing, Preparing
from api.paths import require_job_id
from api.plan_views import PlanView
from api.planning import plan_job
from api.problems import faults_of, write_problem
from api.services import Services, Using
from ddoq.errors import DdoqError
from jobs.records import Job
from jobs.submitting import Idempotency

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Answer:
    """What is said above the form: the plan of what it asks for, why that is refused, or whose config it holds.

    Of that job, `source`, the form says all if it `is_whole`.
    """

    plan: PlanView | None = None
    refused: DdoqError | None = None
    source: Job | None = None
    is_whole: bool = True


NOTHING: Final = Answer()


@router.get("/new")
def show_form(
    request: Request, session: Preparing, using: Using, source: Annotated[str, Query(alias="from", max_length=40)] = ""
) -> Response:
    """Show the form as nobody has touched it, or as a job was asked for."""
    once = secrets.token_urlsafe(16)
    if not source:
        return _show(request, new_draft(), once)
    job = using.store.get(session.owner, require_job_id(source))
    draft = draft_of(job.config, options_of(job))
    return _show(request, draft, once, Answer(source=job, is_whole=_asks_for(draft, job)))


@router.post("/new")
def answer_form(request: Request, session: Changing, form: FormOf, using: Using) -> Response:
    """Show what the form asks for: inputs of another kind, the plan, or the job that it made."""
    draft, once = read_draft(form), form.get("once")
    try:
        match form.get("act"):
            case "plan":
                plan = plan_job(using, session.owner, draft.request().config)
                return _show(request, draft, once, Answer(plan=plan))
            case "start":
                return RedirectResponse(f"/jobs/{_start(using, session.owner, draft, form).id}", 303)
    except DdoqError as error:
        return _show(request, draft, once, Answer(refused=error))
    return _show(request, draft, once)


def _start(using: Services, owner: str, draft: Draft, form: Form) -> Job:
    """Queue the job; the same form, sent twice, makes one, and another if it was changed between."""
    wanted = draft.request()
    once = Idempotency(f"page-{form.get('once')[:100]}-{wanted.digest}", wanted.digest)
    submitted = submit(using, owner, wanted, once)
    if submitted.is_new:
        using.waker.wake()
    return submitted.job


def _asks_for(draft: Draft, job: Job) -> bool:
    """Whether a form asks for what a job was asked for."""
    try:
        wanted = draft.request()
    except InvalidRequestError:  # by the rules of today, or in a form that inputs cannot take
        return False
    return (wanted.config, wanted.job) == (job.config, options_of(job))


def _show(request: Request, draft: Draft, once: str, answer: Answer = NOTHING) -> Response:
    problem, refused = None, answer.refused
    if refused is not None:
        request.state.problem = refused.code
        problem = write_problem(type(refused), str(refused), request.state.request_id, faults_of(refused))
    refusal = explain(problem, draft.sections) if problem else None
    return show(
        request,
        "new.html",
        problem.status if problem else 200,
        first=[draft.inputs[name] for name in (DIAL, ADDRESS)],
        sections=draft.sections,
        texts=draft.texts,
        touched=draft.touched,
        once=once,
        refusal=refusal,
        beside=refusal.beside if refusal else {},
        answer=answer,
        plan=answer.plan,
        words=tell_plan(answer.plan) if answer.plan else None,
    )
