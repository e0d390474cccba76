"""What `ddoq doctor` finds out about the service as its callers see it: answer, clock, key, scopes, workers."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from cli.checks import Check, missing, ok, warning
from cli.exits import CommandError
from cli.service import Place, find_service
from ddoq_client import Client
from ddoq_client.errors import Problem, ProblemError, ServiceError

TIMEOUT_SECONDS = 10
SKEW_SECONDS, MOST_SKEW_SECONDS = 30, 900  # what deadlines bear; from here on object stores refuse presigned addresses
NAME_ONE = "Start 'ddoq up', name its folder by --data, or set DDOQ_URL and DDOQ_API_KEY."
SET_CLOCK = "Let both machines set their clocks by a time server."


def check_service(data: Path, is_wanted: bool) -> Iterator[Check]:
    """Look at the service that the environment or a data folder names, with the key that is named there."""
    try:
        place = find_service(data)
    except CommandError as error:
        yield (missing if is_wanted else warning)("service", error.message.partition(";")[0], NAME_ONE)
        return
    try:
        answer = httpx.get(f"{place.url.rstrip('/')}/readyz", timeout=TIMEOUT_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        yield missing("service", f"no answer from {place.url} ({error})", "Start the service, or correct DDOQ_URL.")
        return
    yield _readiness(place.url, answer)
    if "date" in answer.headers:
        yield check_clock(parsedate_to_datetime(answer.headers["date"]))
    yield from _key(place)


def check_clock(theirs: datetime) -> Check:
    """Compare the clock of this machine with the service's, as an answer of just now named it."""
    seconds = abs((datetime.now(UTC) - theirs).total_seconds())
    found = f"{seconds:.0f} s from the service's"
    if seconds >= MOST_SKEW_SECONDS:
        return missing("clock", found, SET_CLOCK)
    return warning("clock", found, SET_CLOCK) if seconds >= SKEW_SECONDS else ok("clock", found)


def _readiness(url: str, answer: httpx.Response) -> Check:
    if answer.is_success:
        return ok("service", f"{url} is ready")
    try:
        problem = Problem.model_validate_json(answer.content)
    except ValueError:
        return missing("service", f"{url} answers {answer.status_code} and is not ddoq", "Correct DDOQ_URL.")
    return missing("service", f"{url} is not ready: {problem.detail}", "Run 'ddoq doctor' where the service runs.")


def _key(place: Place) -> Iterator[Check]:
    """Look at what the key is for, and with it at the workers."""
    try:
        with Client(*place) as client:
            me, workers = client.me(), client.workers()
    except ProblemError as error:
        yield missing("API key", f"{error.code}: {error.detail}", error.hint or "Use another key.")
        return
    except ServiceError as error:
        yield missing("API key", str(error), "Correct DDOQ_URL and DDOQ_API_KEY.")
        return
    scopes = ", ".join(me.scopes)
    if "jobs:write" in me.scopes:
        yield ok("API key", f"{me.owner}'s, for {scopes}")
    else:
        yield warning("API key", f"{me.owner}'s, for {scopes}", "To submit jobs, use a key with the scope jobs:write.")
    if workers:
        yield ok("workers", f"{len(workers)} seen within the last minute")
    else:
        yield warning("workers", "none was seen within the last minute", "Start a worker: jobs wait until one comes.")
