"""Requests with their repetitions, and answers as values: what all calls are made of."""

import random
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, TypeAdapter, ValidationError

from ddoq_client.errors import NotAnsweredError, NotDdoqError, ProblemError, ServiceError
from ddoq_client.retries import USUAL, Patience, pause_after, problem_of, retry_after
from ddoq_client.steps import Answer, Ask, BrokenError, Emit, Emitting, Flow, Open, Pause, Request

T = TypeVar("T")
Query = tuple[tuple[str, str], ...]
PAGE = 100

_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)


class Page(BaseModel):
    """One page of a list."""

    data: list[Any]
    next_cursor: str | None = None


def ask(request: Request, patience: Patience = USUAL) -> Flow[Answer]:
    """Send a request until it is answered for good.

    Raises:
        NotAnsweredError: nobody answered.
        ProblemError: it was refused.
        NotDdoqError: it was refused by somebody else.
    """
    return judge((yield from settle(Ask(request), patience)))


def settle(step: Ask | Open, patience: Patience = USUAL) -> Flow[Answer | BrokenError]:
    """Take a step again and again, until it is answered for good or patience ends."""
    tries, in_doubt = 0, False
    while True:
        tries += 1
        outcome = yield from _attempt(step, in_doubt=in_doubt)
        pause = pause_after(outcome, step.request, patience, tries, random.random())
        if pause is None:
            return outcome
        in_doubt = in_doubt or _may_be_done(outcome)
        yield Pause(pause)


def _attempt(step: Ask | Open, *, in_doubt: bool) -> Flow[Answer | BrokenError]:
    try:
        answer: Answer = yield step
    except BrokenError as broken:
        return broken
    return replace(answer, in_doubt=in_doubt)


def _may_be_done(outcome: Answer | BrokenError) -> bool:
    """Whether a request that is sent again may have been carried out: one too many for this minute was not."""
    return outcome.was_sent if isinstance(outcome, BrokenError) else outcome.status != 429


def judge(outcome: Answer | BrokenError) -> Answer:
    """Let a good answer pass; raise what any other means."""
    if isinstance(outcome, BrokenError):
        raise unanswered(outcome) from outcome
    if outcome.status >= 400:
        raise refusal(outcome)
    return outcome


def unanswered(broken: BrokenError) -> NotAnsweredError:
    """Say who did not answer."""
    return NotAnsweredError(f"no answer from {broken.url} ({broken}); is the service running?")


def refusal(answer: Answer) -> ServiceError:
    """Say what the problem document says."""
    problem = problem_of(answer)
    if problem:
        return ProblemError(problem, retry_after(answer))
    return NotDdoqError(f"{answer.url} answered {answer.status} without saying why; is it ddoq?")


def read(kind: type[T], answer: Answer) -> T:
    """Read an answer's body.

    Raises:
        NotDdoqError: it is something else.
    """
    try:
        return TypeAdapter(kind).validate_json(answer.content)
    except ValidationError as error:
        raise _not_ddoq(kind, answer) from error


def read_item(kind: type[T], answer: Answer, item: object) -> T:
    """Read one of the things in an answer's body."""
    try:
        return TypeAdapter(kind).validate_python(item)
    except ValidationError as error:
        raise _not_ddoq(kind, answer) from error


def _not_ddoq(kind: type[T], answer: Answer) -> NotDdoqError:
    return NotDdoqError(f"{answer.url} answered with something else than a {kind.__name__}; is it ddoq?")


def get(kind: type[T], path: str, query: Query = ()) -> Flow[T]:
    """Look at something."""
    return read(kind, (yield from ask(Request("GET", path, query))))


def listed(kind: type[T], path: str, query: Query = ()) -> Flow[tuple[T, ...]]:
    """Look at a list that comes in one piece."""
    answer = yield from ask(Request("GET", path, query))
    return tuple(read_item(kind, answer, one) for one in read(Page, answer).data)


def paged(kind: type[T], path: str, query: Query = (), limit: int | None = None) -> Emitting[T]:
    """Emit what a list holds, page by page, `limit` at most."""
    cursor: Query = ()
    while limit is None or limit > 0:
        size = PAGE if limit is None else min(limit, PAGE)
        answer = yield from ask(Request("GET", path, (*query, ("limit", str(size)), *cursor)))
        page = read(Page, answer)
        for one in page.data:
            yield Emit(read_item(kind, answer, one))
        if page.next_cursor is None:
            return
        cursor = (("cursor", page.next_cursor),)
        limit = None if limit is None else limit - len(page.data)


def send_json(kind: type[T], request: Request, body: Mapping[str, Any]) -> Flow[T]:
    """Send a request with a body of JSON; read what it is answered with."""
    headers = {**request.headers, "Content-Type": "application/json"}
    return read(kind, (yield from ask(replace(request, headers=headers, body=_ANYTHING.dump_json(body)))))


def remove(path: str) -> Flow[None]:
    """Delete something. That it is gone is no error where an earlier try may have done it."""
    outcome = yield from settle(Ask(Request("DELETE", path)))
    if isinstance(outcome, Answer) and outcome.in_doubt and outcome.status in {404, 410}:
        return
    judge(outcome)


def once() -> dict[str, str]:
    """Name a request: however often it is sent, it makes one thing."""
    return {"Idempotency-Key": uuid.uuid4().hex}


def path_of(*names: str) -> str:
    """Write a path, whatever its parts are called."""
    return "/v1/" + "/".join(quote(name, safe="") for name in names)


def pairs(name: str, values: Iterable[str]) -> Query:
    """Repeat a parameter for each of its values."""
    return tuple((name, value) for value in values)
