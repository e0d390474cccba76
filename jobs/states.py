"""Which moves a job may make, what they are called in its events, and which stage follows which."""

from collections.abc import Sequence
from enum import StrEnum

from ddoq.events import Stage
from jobs.records import JobState

MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED, JobState.EXPIRED, JobState.FAILED}),
    JobState.RUNNING: frozenset(
        {JobState.QUEUED, JobState.CANCELLING, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}
    ),
    JobState.CANCELLING: frozenset({JobState.CANCELLED, JobState.SUCCEEDED, JobState.FAILED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
    JobState.EXPIRED: frozenset(),
}

TERMINAL = frozenset(state for state, moves in MOVES.items() if not moves)
CLAIMABLE = frozenset({JobState.QUEUED, JobState.RUNNING})
HELD = frozenset({JobState.RUNNING, JobState.CANCELLING})  # a lease is worth something only in these


class EventKind(StrEnum):
    """What can happen to a job. A move of the job and its event are written together."""

    QUEUED = "queued"
    UNIT_STARTED = "unit_started"
    UNIT_FINISHED = "unit_finished"
    DRAINED = "drained"
    LEASE_LOST = "lease_lost"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ARTIFACT_MISSING = "artifact_missing"


def require_legal(now: JobState, to: JobState) -> None:
    """Refuse a move that is not in the table: only a mistake in this package can ask for one."""
    if to not in MOVES[now]:
        raise ValueError(f"a job cannot go from {now} to {to}")


def stage_after(stage: Stage, stages: Sequence[Stage]) -> Stage | None:
    """Name the one of `stages` that follows, or none after the last."""
    position = stages.index(stage) + 1
    return stages[position] if position < len(stages) else None
