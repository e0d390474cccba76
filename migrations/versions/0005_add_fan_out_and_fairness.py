"""Cut stages into blocks for many workers; add the stage train, priorities, deadlines, idempotency and workers."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STAGES = "'read', 'encode', 'fit', 'quantize', 'generate', 'teach', 'label', 'evaluate', 'package'"
WITH_TRAIN = "'read', 'encode', 'fit', 'quantize', 'generate', 'teach', 'label', 'train', 'evaluate', 'package'"
STATES = "'queued', 'running', 'cancelling', 'succeeded', 'failed', 'cancelled'"
ENDED = "'succeeded', 'failed', 'cancelled'"
EXPIRING = "artifacts_deleted_at IS NULL AND finished_at IS NOT NULL"

ON_JOBS: tuple[sa.Column[Any], ...] = (
    sa.Column("priority", sa.SmallInteger(), server_default="1", nullable=False, comment="0 low, 1 normal, 2 high"),
    sa.Column("queue_deadline_at", sa.DateTime(timezone=True), comment="expires unless it has begun by then"),
    sa.Column("timeout_seconds", sa.Integer(), comment="fails when it has run so long since its first start"),
    sa.Column("blocks", sa.JSON(), comment="into how many blocks each stage can be cut at most, once that is known"),
    sa.Column("idempotency_key", sa.Text()),
    sa.Column("request_digest", sa.Text(), comment="SHA-256 of the body that came with the idempotency key"),
    sa.Column("n_running", sa.Integer(), server_default="0", nullable=False, comment="its units that are being run"),
    sa.Column("expires_at", sa.DateTime(timezone=True), comment="its artifacts are deleted then"),
    sa.Column("artifacts_deleted_at", sa.DateTime(timezone=True)),
)
OPEN = "state IN ('queued', 'running', 'cancelling')"
ON_UNITS: tuple[sa.Column[Any], ...] = (
    sa.Column("protocol", sa.SmallInteger(), server_default="1", nullable=False, comment="what a worker has to speak"),
    sa.Column("out_of_memory", sa.Integer(), server_default="0", nullable=False, comment="attempts that ended so"),
    sa.Column("failures", JSONB(), server_default="[]", nullable=False, comment="why each attempt broke"),
)


def upgrade() -> None:
    for of_job in ON_JOBS:
        op.add_column("jobs", of_job)
    for of_unit in ON_UNITS:
        op.add_column("units", of_unit)
    op.drop_column("units", "crash_reason")
    _allow(WITH_TRAIN, f"{STATES}, 'expired'", f"{ENDED}, 'expired'")
    op.create_check_constraint(op.f("ck_jobs_priority"), "jobs", "priority BETWEEN 0 AND 2")
    op.create_check_constraint(op.f("ck_jobs_n_running"), "jobs", "n_running >= 0")
    op.create_unique_constraint(op.f("uq_jobs_owner_idempotency_key"), "jobs", ["owner", "idempotency_key"])
    op.create_index(op.f("ix_jobs_finished_at"), "jobs", ["finished_at"])
    op.create_index("ix_jobs_expiring", "jobs", ["expires_at"], postgresql_where=sa.text(EXPIRING))
    op.create_table(
        "workers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("protocol", sa.SmallInteger(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_workers")),
    )
    _make_claims_cheap()
    _create_outputs()


def downgrade() -> None:
    """Take it all back; refused by the database while a job has expired or is in the stage train."""
    op.drop_table("outputs")
    op.drop_table("workers")
    _index_units_as_before()
    op.drop_constraint(op.f("ck_jobs_n_running"), "jobs", type_="check")
    for name in ("ix_jobs_finished_at", "ix_jobs_expiring"):
        op.drop_index(name, "jobs")
    op.drop_constraint(op.f("uq_jobs_owner_idempotency_key"), "jobs", type_="unique")
    op.drop_constraint(op.f("ck_jobs_priority"), "jobs", type_="check")
    _allow(STAGES, STATES, ENDED)
    reason = sa.Column("crash_reason", sa.Text(), comment="why the last attempt broke, if it could still tell")
    op.add_column("units", reason)
    for of_unit in ON_UNITS:
        op.drop_column("units", of_unit.name)
    for of_job in ON_JOBS:
        op.drop_column("jobs", of_job.name)


def _make_claims_cheap() -> None:
    """Keep what a claim looks for in small indexes and in the job's row."""
    op.execute("UPDATE jobs SET n_running = (SELECT count(*) FROM units WHERE job_id = jobs.id AND state = 'running')")
    op.execute("ALTER TABLE jobs SET (fillfactor = 50)")
    op.execute("ALTER TABLE units SET (autovacuum_vacuum_scale_factor = 0.01)")
    op.create_index("ix_jobs_open", "jobs", ["id"], postgresql_where=sa.text(OPEN))
    _replace_index("ix_units_ready", "job_id", "index", where="state = 'ready'")
    _replace_index("ix_units_running", "job_id", where="state = 'running'")


def _index_units_as_before() -> None:
    op.drop_index("ix_jobs_open", "jobs")
    _replace_index("ix_units_ready", "id", where="state = 'ready'")
    _replace_index("ix_units_running", "lease_expires_at", where="state = 'running'")
    op.execute("ALTER TABLE jobs RESET (fillfactor)")
    op.execute("ALTER TABLE units RESET (autovacuum_vacuum_scale_factor)")


def _create_outputs() -> None:
    """Write down for every stage that is done already which attempts won."""
    op.create_table(
        "outputs",
        sa.Column("job_id", sa.String(length=30, collation="C"), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column(
            "attempts",
            sa.ARRAY(sa.Integer()),
            nullable=False,
            comment="which attempt won each unit of a done stage, in order",
        ),
        sa.CheckConstraint(f"stage IN ({WITH_TRAIN})", name=op.f("ck_outputs_stage")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_outputs_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "stage", name=op.f("pk_outputs")),
    )
    op.execute(
        'INSERT INTO outputs SELECT job_id, stage, array_agg(attempt ORDER BY "index") FROM units '
        "GROUP BY job_id, stage HAVING bool_and(state = 'done')"
    )


def _replace_index(name: str, *columns: str, where: str) -> None:
    op.drop_index(name, "units")
    op.create_index(name, "units", columns, postgresql_where=sa.text(where))


def _allow(stages: str, states: str, ended: str) -> None:
    for table in ("jobs", "units"):
        _replace(table, "stage", f"stage IN ({stages})")
    _replace("jobs", "state", f"state IN ({states})")
    _replace("jobs", "finished_when_ended", f"(state IN ({ended})) = (finished_at IS NOT NULL)")


def _replace(table: str, name: str, condition: str) -> None:
    op.drop_constraint(op.f(f"ck_{table}_{name}"), table, type_="check")
    op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, condition)
