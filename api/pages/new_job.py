"""The form of a new job: what it would be first, then the job."""

import secrets

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from api.changing import submit
from api.pages.drafts import Draft, new_draft, read_draft
from api.pages.forms import Form, FormOf
from api.pages.mistakes import explain
from api.pages.plan_words import tell_plan
from api.pages.rendering import show
from api.pages.schema import ADDRESS, DIAL
from api.pages.sessions import Changing, Preparing
from api.plan_views import PlanView
from api.planning import plan_job
from api.problems import faults_of, write_problem
from api.services import Services, Using
from ddoq.errors import DdoqError
from jobs.records import Job
from jobs.submitting import Idempotency

router = APIRouter(include_in_schema=False)


@router.get("/new")
def show_form(request: Request, _session: Preparing) -> Response:
    """Show the form as nobody has touched it."""
    return _show(request, new_draft(), secrets.token_urlsafe(16))


@router.post("/new")
def answer_form(request: Request, session: Changing, form: FormOf, using: Using) -> Response:
    """Show what the form asks for: inputs of another kind, the plan, or the job that it made."""
    draft, once = read_draft(form), form.get("once")
    try:
        match form.get("act"):
            case "plan":
                plan = plan_job(using, session.owner, draft.request().config)
                return _show(request, draft, once, plan=plan)
            case "start":
                return RedirectResponse(f"/jobs/{_start(using, session.owner, draft, form).id}", 303)
    except DdoqError as error:
        return _show(request, draft, once, refused=error)
    return _show(request, draft, once)


def _start(using: Services, owner: str, draft: Draft, form: Form) -> Job:
    """Queue the job; the same form, sent twice, makes one, and another if it was changed between."""
    wanted = draft.request()
    once = Idempotency(f"page-{form.get('once')[:100]}-{wanted.digest}", wanted.digest)
    submitted = submit(using, owner, wanted, once)
    if submitted.is_new:
        using.waker.wake()
    return submitted.job


def _show(
    request: Request, draft: Draft, once: str, plan: PlanView | None = None, refused: DdoqError | None = None
) -> Response:
    problem = None
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
        plan=plan,
        words=tell_plan(plan) if plan else None,
    )
