"""What a killed process leaves to its successor."""

import os
import subprocess
import sys
from contextlib import suppress

import pytest
from sqlalchemy import Engine

from ddoq.events import Stage
from jobs.leases import Leases
from jobs.records import Claim, JobState
from jobs.settings import Settings
from jobs.store import Store
from tests.job_steps import reach, take
from worker.notes import NAME, Note, count_oom_kills, noted, report_predecessor


@pytest.fixture
def claim(store: Store, leases: Leases) -> Claim:
    return reach(store, leases, Stage.ENCODE)


def dead_pid() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def leave(settings: Settings, claim: Claim, **changes: int) -> None:
    """Let a process have been killed in the middle of a unit."""
    note = Note(unit_id=claim.unit_id, token=claim.token, pid=dead_pid(), oom_kills=count_oom_kills())
    settings.scratch.mkdir(parents=True)
    (settings.scratch / NAME).write_text(note.model_copy(update=changes).model_dump_json())


def test_the_unit_of_a_killed_process_is_free_at_once(
    settings: Settings, store: Store, leases: Leases, claim: Claim
) -> None:
    leave(settings, claim)
    assert report_predecessor(settings)
    assert store.get("ada", claim.job_id).state is JobState.QUEUED
    again = take(leases, "another")
    assert (again.unit_id, again.attempt, again.is_small) == (claim.unit_id, 2, False)
    assert not report_predecessor(settings), "it is told once"


def test_a_process_that_the_system_killed_for_memory_is_followed_by_a_smaller_attempt(
    settings: Settings, leases: Leases, claim: Claim
) -> None:
    leave(settings, claim, oom_kills=count_oom_kills() - 1)
    assert report_predecessor(settings)
    assert take(leases).is_small


def test_a_process_that_lives_keeps_its_unit(settings: Settings, leases: Leases, claim: Claim) -> None:
    leave(settings, claim, pid=os.getppid())
    assert not report_predecessor(settings)
    leases.heartbeat(claim)


def test_who_can_still_speak_leaves_no_note(settings: Settings, claim: Claim) -> None:
    with suppress(ZeroDivisionError), noted(settings.scratch, claim):
        assert (settings.scratch / NAME).is_file()
        raise ZeroDivisionError
    assert not (settings.scratch / NAME).exists()


def test_a_unit_that_another_has_by_now_is_left_alone(
    settings: Settings, leases: Leases, claim: Claim, engine: Engine
) -> None:
    leases.give_back(claim)
    other = take(leases, "another")
    leave(settings, claim)
    assert not report_predecessor(settings)
    leases.heartbeat(other)
