"""The calls about jobs, as flows."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ddoq_client.errors import ConfigError, WaitTimeoutError
from ddoq_client.exchange import Page, ask, get, listed, once, paged, pairs, path_of, read, read_item, send_json
from ddoq_client.retries import LONG, USUAL, Patience, retry_after
from ddoq_client.steps import Answer, Emit, Emitting, Flow, Pause, Request, work
from ddoq_client.views import Artifact, Event, JobView, Plan, Priority

Config = Mapping[str, Any] | BaseModel | Path | str
WAIT_SECONDS = 60  # as long as the service holds an answer back at most
POLL_SECONDS = 2.0  # where something between us and the service does not let it hold answers back
EVENTS_PAGE = 1000


def job_options(
    priority: Priority | None,
    labels: Mapping[str, str] | None,
    queue_deadline_s: int | None,
    timeout_s: int | None,
) -> dict[str, Any]:
    """Name what was said of how the job is to be run; the service knows what holds otherwise."""
    said = {"priority": priority, "labels": labels, "queue_deadline_s": queue_deadline_s, "timeout_s": timeout_s}
    return {name: value for name, value in said.items() if value is not None}


def submit(config: Config, options: Mapping[str, Any]) -> Flow[JobView]:
    """Ask for a distillation, under a name of its own: however often it is sent, it makes one job."""
    body = yield from work(lambda: body_of(config))
    if options:
        body["job"] = {**body.get("job", {}), **options}
    return (yield from send_json(JobView, Request("POST", path_of("jobs"), headers=once()), body))


def plan(config: Config) -> Flow[Plan]:
    """Ask what a job would be."""
    body = yield from work(lambda: body_of(config))
    request = Request("POST", path_of("jobs"), (("validate_only", "true"),))
    return (yield from send_json(Plan, request, body))


def body_of(config: Config) -> dict[str, Any]:
    """Write a config as the body of a request.

    Raises:
        ConfigError: the file does not hold a JSON object.
    """
    if isinstance(config, BaseModel):
        return config.model_dump(mode="json")
    if isinstance(config, Mapping):
        return dict(config)
    try:
        body = json.loads(Path(config).read_bytes())
    except ValueError as error:
        raise ConfigError(f"{config} is not JSON ({error})") from error
    if not isinstance(body, dict):
        raise ConfigError(f"{config} is not a config: it holds no JSON object")
    return body


def job(job_id: str) -> Flow[JobView]:
    """Look at a job."""
    return get(JobView, path_of("jobs", job_id))


def jobs(status: str | Sequence[str], label: Mapping[str, str], limit: int | None) -> Emitting[JobView]:
    """Emit jobs, newest first."""
    states = (status,) if isinstance(status, str) else status
    named = (f"{name}:{value}" for name, value in label.items())
    return paged(JobView, path_of("jobs"), (*pairs("state", states), *pairs("label", named)), limit)


def watch(job_id: str) -> Emitting[JobView]:
    """Emit a job as it is, then each time when it has changed, until it has ended."""
    answer = yield from ask(Request("GET", path_of("jobs", job_id)))
    while True:
        if answer.status != 304:
            seen = read(JobView, answer)
            yield Emit(seen)
            if seen.has_ended:
                return
        known = {"If-None-Match": answer.headers["etag"]} if "etag" in answer.headers else {}
        answer = yield from _held(job_id, WAIT_SECONDS, known, LONG)


def wait(job_id: str, timeout_seconds: float | None) -> Flow[JobView]:
    """Wait for the end of a job.

    Raises:
        WaitTimeoutError: it has not ended in time.
    """
    ends_at = math.inf if timeout_seconds is None else time.monotonic() + timeout_seconds
    patience = USUAL
    while True:
        seconds = math.ceil(max(0, min(WAIT_SECONDS, ends_at - time.monotonic())))
        seen = read(JobView, (yield from _held(job_id, seconds, {}, patience)))
        if seen.has_ended:
            return seen
        if time.monotonic() >= ends_at:
            raise WaitTimeoutError(f"job {job_id} is still {seen.status} after {timeout_seconds:g} seconds")
        patience = LONG if timeout_seconds is None else USUAL


def _held(job_id: str, seconds: int, headers: Mapping[str, str], patience: Patience) -> Flow[Answer]:
    """Look at a job when there is news; `seconds` is how long the answer may take."""
    prefer = {"Prefer": f"wait={seconds}", **headers}
    request = Request("GET", path_of("jobs", job_id), headers=prefer, timeout_seconds=seconds + 30.0)
    answer = yield from ask(request, patience)
    if "preference-applied" not in answer.headers:
        yield Pause(retry_after(answer) or POLL_SECONDS)
    return answer


def cancel(job_id: str) -> Flow[JobView]:
    """Ask for the end of a job."""
    return _told(Request("POST", path_of("jobs", job_id, "cancel")))


def retry(job_id: str) -> Flow[JobView]:
    """Ask for another try, under a name of its own."""
    return _told(Request("POST", path_of("jobs", job_id, "retry"), headers=once()))


def _told(request: Request) -> Flow[JobView]:
    return read(JobView, (yield from ask(request)))


def events(job_id: str) -> Emitting[Event]:
    """Emit what has happened to a job, oldest first."""
    after, size = 0, EVENTS_PAGE
    while size == EVENTS_PAGE:
        query = (("after", str(after)), ("limit", str(EVENTS_PAGE)))
        answer = yield from ask(Request("GET", path_of("jobs", job_id, "events"), query))
        found = [read_item(Event, answer, one) for one in read(Page, answer).data]
        for event in found:
            yield Emit(event)
        after, size = found[-1].sequence if found else after, len(found)


def artifacts(job_id: str) -> Flow[tuple[Artifact, ...]]:
    """List the files that a job made."""
    return listed(Artifact, path_of("jobs", job_id, "artifacts"))
