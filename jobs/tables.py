"""The tables, as SQLAlchemy sees them. `migrations/` makes them; a test proves that both say the same."""

from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from ddoq.events import Stage
from jobs.columns import Id, UploadId, moment, one_of
from jobs.records import JobState, UnitState, UploadState
from jobs.webhook_records import DeliveryState, DisabledReason

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

OF_JOB: dict[str, Any] = {"ondelete": "CASCADE"}

jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("config", JSON, nullable=False),
    Column("n_events", Integer, nullable=False, server_default=text("0")),
    Column("n_running", Integer, nullable=False, server_default=text("0"), comment="its units that are being run"),
    Column("failure_code", Text),
    Column("failure_stage", Text),
    Column("failure_message", Text),
    Column("failure_retryable", Boolean),
    Column("priority", SmallInteger, nullable=False, server_default=text("1"), comment="0 low, 1 normal, 2 high"),
    Column("timeout_seconds", Integer, comment="fails when it has run so long since its first start"),
    Column("blocks", JSON, comment="into how many blocks each stage can be cut at most, once that is known"),
    Column("idempotency_key", Text),
    Column("request_digest", Text, comment="SHA-256 of the body that came with the idempotency key"),
    Column("upload_id", UploadId, ForeignKey("uploads.id", ondelete="SET NULL"), comment="what its dataset is"),
    Column("traceparent", Text, comment="W3C trace context of the request that asked for it"),
    moment("queue_deadline_at", comment="expires unless it has begun by then"),
    moment("expires_at", comment="its artifacts are deleted then"),
    moment("artifacts_deleted_at"),
    moment("created_at", nullable=False),
    moment("started_at"),
    moment("finished_at"),
    moment("cleaned_at"),
    Column("labels", JSONB, nullable=False, server_default=text("'{}'")),
    Column("retried_from", Id, comment="the job of which this one is another try; its row may be gone"),
    moment("deleted_at", comment="by its owner; what is left of the row says only that"),
    UniqueConstraint("owner", "idempotency_key"),
    one_of("state", JobState),
    one_of("stage", Stage),
    CheckConstraint("(state = 'failed') = (failure_code IS NOT NULL)", name="failed_with_a_code"),
    CheckConstraint(
        "(state IN ('succeeded', 'failed', 'cancelled', 'expired')) = (finished_at IS NOT NULL)",
        name="finished_when_ended",
    ),
    CheckConstraint("priority BETWEEN 0 AND 2", name="priority"),
    CheckConstraint("n_running >= 0", name="n_running"),
    Index("ix_jobs_listed", "owner", "id", postgresql_where=text("deleted_at IS NULL")),
    Index("ix_jobs_listed_by_state", "owner", "state", "id", postgresql_where=text("deleted_at IS NULL")),
    Index(
        "ix_jobs_labels",
        "labels",
        postgresql_using="gin",
        postgresql_ops={"labels": "jsonb_path_ops"},
        postgresql_where=text("deleted_at IS NULL"),
    ),
    Index("ix_jobs_deleted", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    Index(None, "finished_at"),
    Index(
        "ix_jobs_expiring",
        "expires_at",
        postgresql_where=text("artifacts_deleted_at IS NULL AND finished_at IS NOT NULL"),
    ),
    Index("ix_jobs_open", "id", postgresql_where=text("state IN ('queued', 'running', 'cancelling')")),
    Index("ix_jobs_upload_id", "upload_id", postgresql_where=text("upload_id IS NOT NULL")),
    Index("ix_jobs_unclean", "finished_at", postgresql_where=text("cleaned_at IS NULL AND finished_at IS NOT NULL")),
    postgresql_with={"fillfactor": 50},  # counting in a row needs room beside it, else every index learns of it
)

units = Table(
    "units",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("job_id", Id, ForeignKey(jobs.c.id, **OF_JOB), nullable=False),
    Column("stage", Text, nullable=False),
    Column("index", Integer, nullable=False),
    Column("of", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False, server_default=text("0"), comment="claims so far: names the prefix"),
    Column("crashes", Integer, nullable=False, server_default=text("0"), comment="leases lost so far: bounded"),
    Column("out_of_memory", Integer, nullable=False, server_default=text("0"), comment="attempts that ended so"),
    Column("failures", JSONB, nullable=False, server_default=text("'[]'"), comment="why each attempt broke"),
    Column("protocol", SmallInteger, nullable=False, server_default=text("1"), comment="what a worker has to speak"),
    Column("worker", Text),
    Column("lease_token", Text),
    moment("lease_expires_at"),
    Column("done", Integer, nullable=False, server_default=text("0")),
    Column("total", Integer, nullable=False, server_default=text("0")),
    Column("prefix", Text, comment="where the winning attempt wrote"),
    Column("peak_bytes", BigInteger, comment="resident memory of the winning attempt's process, at most"),
    moment("progress_at"),
    moment("started_at"),
    moment("finished_at"),
    UniqueConstraint("job_id", "stage", "index"),
    one_of("stage", Stage),
    one_of("state", UnitState),
    CheckConstraint('"index" >= 0 AND "index" < "of"', name="index"),
    CheckConstraint("(state = 'running') = (lease_token IS NOT NULL)", name="leased_when_running"),
    CheckConstraint("(lease_token IS NULL) = (lease_expires_at IS NULL)", name="lease_whole"),
    CheckConstraint("(state = 'done') = (prefix IS NOT NULL)", name="prefix_when_done"),
    Index("ix_units_ready", "job_id", "index", postgresql_where=text("state = 'ready'")),
    Index("ix_units_running", "job_id", postgresql_where=text("state = 'running'")),  # not the lease: it moves often
    postgresql_with={"autovacuum_vacuum_scale_factor": 0.01},  # a queue: most versions of its rows are dead soon
)

outputs = Table(
    "outputs",
    metadata,
    Column("job_id", Id, ForeignKey(jobs.c.id, **OF_JOB), primary_key=True),
    Column("stage", Text, primary_key=True),
    Column("attempts", ARRAY(Integer), nullable=False, comment="which attempt won each unit of a done stage, in order"),
    one_of("stage", Stage),
)

workers = Table(
    "workers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("protocol", SmallInteger, nullable=False),
    moment("started_at", nullable=False),
    moment("seen_at", nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("job_id", Id, ForeignKey(jobs.c.id, **OF_JOB), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("data", JSON, nullable=False),
    moment("at", nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("job_id", Id, ForeignKey(jobs.c.id, **OF_JOB), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("key", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("media_type", Text, nullable=False),
)

figures = Table(
    "figures",
    metadata,
    Column("job_id", Id, ForeignKey(jobs.c.id, **OF_JOB), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Double, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Id, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True, comment="HMAC-SHA-256 of the secret under the pepper"),
    moment("created_at", nullable=False),
    moment("revoked_at"),
    moment("expires_at", comment="it is refused from then on"),
    moment("last_used_at", comment="to a minute"),
    Index(None, "owner", "id"),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", UploadId, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("filename", Text),
    Column("media_type", Text),
    Column("size_bytes", BigInteger, comment="as declared, or as sent; counts against the owner's quota"),
    Column("sha256", Text, comment="as declared, or of what was sent whole"),
    Column("key", Text, comment="where its bytes are in the bucket; while it is open, where its parts will be"),
    Column("multipart_id", Text, comment="what the object store calls its parts"),
    moment("created_at", nullable=False),
    moment("used_at", nullable=False, comment="when it was begun, then finished, then given to a job"),
    Column("idempotency_key", Text),
    Column("request_digest", Text, comment="SHA-256 of the body that came with the idempotency key"),
    UniqueConstraint("owner", "idempotency_key"),
    one_of("state", UploadState),
    CheckConstraint("state <> 'ready' OR (key IS NOT NULL AND size_bytes IS NOT NULL)", name="whole_when_ready"),
    Index(None, "owner", "id"),
    Index(None, "used_at"),
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Id, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("events", ARRAY(Text), nullable=False, comment="what it wants to hear, beside ping"),
    Column("description", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False, comment="encrypted under a key derived from the pepper"),
    Column("old_secret", LargeBinary, comment="the one before, also signed with until it expires"),
    moment("old_secret_expires_at"),
    moment("disabled_at"),
    Column("disabled_reason", Text),
    moment("failing_since", comment="of the first of the attempts that have failed since one succeeded"),
    moment("rests_until", comment="its first pending delivery is not attempted before"),
    moment("attempted_at"),
    Column("lease_token", Text, comment="of the process that delivers to it now"),
    moment("lease_expires_at"),
    moment("created_at", nullable=False),
    one_of("disabled_reason", DisabledReason),
    CheckConstraint("(disabled_at IS NULL) = (disabled_reason IS NULL)", name="disabled_for_a_reason"),
    CheckConstraint("(old_secret IS NULL) = (old_secret_expires_at IS NULL)", name="old_secret_expires"),
    CheckConstraint("(lease_token IS NULL) = (lease_expires_at IS NULL)", name="lease_whole"),
    Index(None, "owner", "id"),
    postgresql_with={"fillfactor": 50},  # each delivery writes to its row
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("endpoint_id", Id, ForeignKey(webhook_endpoints.c.id, ondelete="CASCADE"), primary_key=True),
    Column("message_id", Id, primary_key=True, comment="the webhook-id"),
    Column("position", BigInteger, Identity(), nullable=False, comment="in the endpoint's queue"),
    Column("type", Text, nullable=False),
    Column("job_id", Id),
    Column("data", JSON, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("n_attempts", Integer, nullable=False, server_default=text("0"), comment="since it was queued"),
    Column("attempts", JSONB, nullable=False, server_default=text("'[]'"), comment="the latest, oldest first"),
    moment("created_at", nullable=False),
    one_of("state", DeliveryState),
    Index("ix_webhook_deliveries_pending", "endpoint_id", "position", postgresql_where=text("state = 'pending'")),
    Index(None, "created_at"),
)

owner_limits = Table(
    "owner_limits",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("jobs_per_day", Integer, comment="sent within 24 hours; null is any number"),
    Column("worker_seconds_per_month", BigInteger, comment="of the jobs of 30 days; null is any number"),
    CheckConstraint("jobs_per_day >= 0", name="jobs_per_day"),
    CheckConstraint("worker_seconds_per_month >= 0", name="worker_seconds_per_month"),
)
