"""What a chaos run has to show for itself: each job against what it should have become, and how long recovery took."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ddoq.config import DistillConfig
from tests.kill.mischief import KINDS, Done
from tests.kill.watching import Service, assert_whole, wait

ENDED = "('succeeded', 'failed', 'cancelled', 'expired')"


@dataclass(frozen=True)
class Verdict:
    """What came out: `wrongs` is empty when nothing was lost, doubled, spoilt or left over."""

    statuses: Mapping[str, int]
    n_faults: Mapping[str, int]
    recoveries: Mapping[str, Sequence[float]]
    n_attempts: int
    n_units: int
    wrongs: Sequence[str]

    def table(self) -> str:
        """Write it as Markdown."""
        jobs = ", ".join(f"{n} {status}" for status, n in sorted(self.statuses.items()))
        lines = [
            f"{sum(self.statuses.values())} jobs: {jobs}. {self.n_units} units in {self.n_attempts} attempts.",
            "",
            "| fault | times | recoveries seen | median s | slowest s |",
            "|---|---:|---:|---:|---:|",
        ]
        for kind in KINDS:
            seconds = sorted(self.recoveries.get(kind, ()))
            figures = f"{seconds[len(seconds) // 2]:.1f} | {seconds[-1]:.1f}" if seconds else "- | -"
            lines.append(f"| {kind} | {self.n_faults.get(kind, 0)} | {len(seconds)} | {figures} |")
        return "\n".join([*lines, "", *(f"WRONG: {wrong}" for wrong in self.wrongs)])


def await_the_end(service: Service, seconds: float) -> None:
    """Wait until every job has ended."""

    def look() -> bool | None:
        return None if _open_jobs(service) else True

    wait(look, seconds, lambda: f"{_open_jobs(service)} to end", pause_seconds=1)


def judge(
    service: Service,
    submitted: Mapping[str, DistillConfig],
    expected: Mapping[str, tuple[str, ...]],
    cancelled: set[str],
    faults: Sequence[Done],
) -> Verdict:
    """Compare every job with what it should have become.

    Args:
        service: Whose jobs have all ended.
        submitted: Configs of the jobs that were accepted, by id.
        expected: SHA-256 of the archives that each config makes undisturbed, by the config as JSON.
        cancelled: Jobs that somebody asked to cancel.
        faults: What was done.
    """
    rows = {row["id"]: row for row in service.outside.rows("SELECT * FROM jobs")}
    wrongs = [f"{job_id} was accepted and is not there" for job_id in submitted.keys() - rows.keys()]
    for job_id, row in rows.items():
        wrongs += _wrongs_of(service, row, expected, job_id in cancelled)
    (units,) = service.outside.rows("SELECT count(*) AS n, sum(attempt) AS attempts FROM units")
    return Verdict(
        statuses=Counter(row["state"] for row in rows.values()),
        n_faults=Counter(fault.kind for fault in faults),
        recoveries=_recoveries(service, faults),
        n_attempts=int(units["attempts"]),
        n_units=units["n"],
        wrongs=wrongs,
    )


def _open_jobs(service: Service) -> list[str]:
    found = service.outside.rows(f"SELECT id FROM jobs WHERE state NOT IN {ENDED} ORDER BY id")
    return [row["id"] for row in found]


def _wrongs_of(
    service: Service, row: Mapping[str, Any], expected: Mapping[str, tuple[str, ...]], may_be_cancelled: bool
) -> list[str]:
    wrongs = []
    try:
        assert_whole(service, row["id"])
    except AssertionError as error:
        wrongs.append(f"{row['id']} is not whole: {error}")
    if row["state"] == "succeeded":
        wrongs += _wrong_archive(service, row, expected)
    elif row["state"] != "cancelled" or not may_be_cancelled:
        wrongs.append(f"{row['id']} {row['state']}: {row['failure_message']}")
    return wrongs


def _wrong_archive(service: Service, row: Mapping[str, Any], expected: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Compare what is stored, and what is said of it, with the undisturbed run."""
    query = "SELECT * FROM artifacts WHERE job_id = %s AND name LIKE '%%.zip'"
    archives = service.outside.rows(query, row["id"])
    files = [service.outside.object_file(archive["key"]) for archive in archives]
    stored = sorted(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    said = sorted(archive["sha256"] for archive in archives)
    right = list(expected[DistillConfig.model_validate(row["config"]).model_dump_json()])
    return [] if stored == said == right else [f"{row['id']} has other bytes than undisturbed"]


def _recoveries(service: Service, faults: Sequence[Done]) -> Mapping[str, list[float]]:
    """Seconds from each fault to the next attempt of the unit that it hit, else to the next unit finished."""
    found: dict[str, list[float]] = {}
    for fault in faults:
        seconds = _seconds_to_next_attempt(service, fault) if fault.unit else _seconds_to_next_finish(service, fault)
        if seconds is not None and fault.kind != "job cancelled":
            found.setdefault(fault.kind, []).append(seconds)
    return found


def _seconds_to_next_attempt(service: Service, fault: Done) -> float | None:
    query = """
        SELECT extract(epoch FROM min(e.at) - %s::timestamptz)::float AS seconds
        FROM events e JOIN units u ON u.job_id = e.job_id
        WHERE u.id = %s AND e.kind = 'unit_started' AND e.data->>'stage' = u.stage
          AND (e.data->>'index')::int = u."index" AND (e.data->>'attempt')::int > %s
    """
    (row,) = service.outside.rows(query, fault.begun_at, fault.unit, fault.attempt)
    seconds: float | None = row["seconds"]
    return seconds


def _seconds_to_next_finish(service: Service, fault: Done) -> float | None:
    query = """
        SELECT extract(epoch FROM min(at) - %s::timestamptz)::float AS seconds
        FROM events WHERE kind = 'unit_finished' AND at > %s
    """
    (row,) = service.outside.rows(query, fault.over_at, fault.over_at)
    seconds: float | None = row["seconds"]
    return seconds
