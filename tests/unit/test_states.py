"""The table of moves."""

import pytest

from ddoq.events import Stage
from jobs.records import JobState
from jobs.states import CLAIMABLE, HELD, MOVES, TERMINAL, require_legal, stage_after


def test_every_state_is_in_the_table() -> None:
    assert set(MOVES) == set(JobState)


def test_what_has_ended_stays_ended() -> None:
    assert {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED} == TERMINAL


def test_every_state_can_come_to_an_end() -> None:
    reached = set(TERMINAL)
    for _ in JobState:
        reached |= {state for state, moves in MOVES.items() if moves & reached}
    assert reached == set(JobState)


def test_every_state_can_be_reached_from_queued() -> None:
    reached = {JobState.QUEUED}
    for _ in JobState:
        reached |= {move for state in reached for move in MOVES[state]}
    assert reached == set(JobState)


def test_a_cancelling_job_never_runs_again() -> None:
    assert not MOVES[JobState.CANCELLING] & CLAIMABLE


def test_no_ended_job_is_held_or_claimed() -> None:
    assert not TERMINAL & (CLAIMABLE | HELD)


@pytest.mark.parametrize("now", list(JobState))
@pytest.mark.parametrize("to", list(JobState))
def test_only_moves_of_the_table_are_legal(now: JobState, to: JobState) -> None:
    if to in MOVES[now]:
        require_legal(now, to)
        return
    with pytest.raises(ValueError, match=f"{now} to {to}"):
        require_legal(now, to)


def test_the_stages_follow_each_other_to_the_end() -> None:
    stages: list[Stage] = []
    stage: Stage | None = Stage.READ
    while stage is not None:
        stages.append(stage)
        stage = stage_after(stage, tuple(Stage))
    assert stages == list(Stage)
