"""Whether and when a request is sent again. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pydantic import ValidationError

from ddoq_client.errors import Problem
from ddoq_client.steps import Answer, BrokenError, Request

FIRST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 0.5, 15.0
MOST_RETRY_AFTER_SECONDS = 120.0  # who is to wait for longer is told so instead
_AWAY = frozenset({408, 502, 503, 504})


@dataclass(frozen=True)
class Patience:
    """How often a request is sent at most."""

    tries: int


USUAL = Patience(4)
LONG = Patience(12)  # about two minutes: a watch outlives a restart of the service


def pause_after(
    outcome: Answer | BrokenError, request: Request, patience: Patience, tries: int, luck: float
) -> float | None:
    """Tell for how many seconds to wait before sending a request again; None if it is not sent again.

    Args:
        outcome: What came of it the last time.
        request: Itself.
        patience: How often it is sent at most.
        tries: How often it was sent.
        luck: A number from 0 to 1, so that clients that failed together do not come again together.
    """
    if tries >= patience.tries or not _may_repeat(outcome, request):
        return None
    told = retry_after(outcome) if isinstance(outcome, Answer) else None
    if told is not None and told > MOST_RETRY_AFTER_SECONDS:
        return None
    backoff: float = min(FIRST_PAUSE_SECONDS * 2 ** (tries - 1), MOST_PAUSE_SECONDS)
    return max(backoff * (1 + luck) / 2, told or 0)


def retry_after(answer: Answer) -> float | None:
    """Read `Retry-After`, in seconds from now; None where it is not said, or not understood."""
    said = answer.headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return float(said)
    try:
        moment = parsedate_to_datetime(said)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)


def problem_of(answer: Answer) -> Problem | None:
    """Read an answer as a problem document, if it is one."""
    try:
        return Problem.model_validate_json(answer.content)
    except ValidationError:
        return None


def _may_repeat(outcome: Answer | BrokenError, request: Request) -> bool:
    """A request too many for this minute was not looked at; a full queue or a quota is the caller's to know of."""
    if isinstance(outcome, BrokenError):
        return request.is_repeatable or not outcome.was_sent
    if outcome.status == 429:
        problem = problem_of(outcome)
        return problem is not None and problem.code == "rate.limited"
    return request.is_repeatable and outcome.status in _AWAY
