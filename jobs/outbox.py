"""The outbox of webhooks: what the endpoints of a job's owner are to hear is written with the move of the job itself.

Lock order: a unit's row, its job's row, then the endpoints' rows by id. These are held to the end of the transaction,
and a message gets its id and its place only then: to one endpoint, the order of ids is the order in which jobs moved.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Insert,
    Null,
    Text,
    any_,
    case,
    cast,
    extract,
    func,
    insert,
    literal,
    null,
    select,
    true,
)

from jobs.errors import QueueDeadlineError
from jobs.records import JobState
from jobs.tables import jobs, webhook_deliveries, webhook_endpoints
from jobs.webhook_records import JobEventType

# Microseconds and 48 random bits, drawn by the database, whose clock is the same for all.
_MICROSECONDS = cast(extract("epoch", func.clock_timestamp()) * 1_000_000, BigInteger)
_RANDOM = func.left(func.replace(cast(func.gen_random_uuid(), Text), "-", ""), 12)
MESSAGE_ID = func.concat("msg_", func.lpad(func.to_hex(_MICROSECONDS), 14, "0"), _RANDOM)
"""A new `webhook-id`: `msg_` and 26 characters that sort by age."""

_ENDED = {
    JobState.SUCCEEDED: JobEventType.SUCCEEDED,
    JobState.FAILED: JobEventType.FAILED,
    JobState.CANCELLED: JobEventType.CANCELLED,
    JobState.EXPIRED: JobEventType.EXPIRED,
}


def announce_end(connection: Connection, job_id: str, state: JobState) -> None:
    """Write down for every endpoint that wants to hear it that a job has ended, in the transaction that ends it."""
    code = case((jobs.c.state == JobState.EXPIRED, literal(QueueDeadlineError.code, Text)), else_=jobs.c.failure_code)
    told = _told(jobs.c.id, jobs.c.state, jobs.c.stage, jobs.c.labels, code)
    ended = select(jobs.c.id, jobs.c.owner, told.label("data"))
    connection.execute(_announcing(ended.where(jobs.c.id == job_id).subquery("ended"), _ENDED[state]))


def announcing_start(moved: CTE, job: CTE) -> Insert:
    """Write the same of the start of a job, as part of the statement that starts its unit.

    Args:
        moved: The job's row as it has become: `id`, `owner`, `stage`.
        job: The same as it was: `id`, `started_at`, `labels`. A job that was begun before is not told of again.
    """
    told = _told(moved.c.id, literal(JobState.RUNNING, Text), moved.c.stage, job.c.labels, null())
    begun = select(moved.c.id, moved.c.owner, told.label("data")).join(job, job.c.id == moved.c.id)
    return _announcing(begun.where(job.c.started_at.is_(None)).subquery("begun"), JobEventType.STARTED)


def _announcing(job: FromClause, event: JobEventType) -> Insert:
    listens = (webhook_endpoints.c.owner == job.c.owner) & webhook_endpoints.c.disabled_at.is_(None)
    listening = (
        select(webhook_endpoints.c.id, job.c.id.label("job_id"), job.c.data)
        .join(job, listens)
        .where(literal(event, Text) == any_(webhook_endpoints.c.events))
        .order_by(webhook_endpoints.c.id)
        .with_for_update(key_share=True, of=webhook_endpoints)
        .cte("listening")
    )
    # One row, and only once all endpoints are locked: all hear of the move under the same id.
    named = select(MESSAGE_ID.label("id")).select_from(listening).having(func.count() > 0).cte("named")
    row = select(listening.c.id, named.c.id, literal(event, Text), listening.c.job_id, listening.c.data)
    return insert(webhook_deliveries).from_select(
        ["endpoint_id", "message_id", "type", "job_id", "data"], row.select_from(listening.join(named, true()))
    )


def _told(
    job_id: ColumnElement[str],
    state: ColumnElement[str],
    stage: ColumnElement[str],
    labels: ColumnElement[Any],
    code: "ColumnElement[Any] | Null",
) -> ColumnElement[Any]:
    """Say of a job only what points to it: whoever wants more asks with a key."""
    path = literal("/v1/jobs/", Text) + job_id
    links = {"self": path, "events": path + "/events", "artifacts": path + "/artifacts"}
    told = {"job_id": job_id, "status": state, "stage": stage, "labels": labels, "error_code": cast(code, Text)}
    return _object(**told, links=_object(**links))


def _object(**parts: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.json_build_object(*(one for name, part in parts.items() for one in (literal(name, Text), part)))
