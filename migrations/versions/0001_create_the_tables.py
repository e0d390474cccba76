"""Create the tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_jobs()
    create_units()
    index_units()
    create_events()
    create_artifacts()
    create_figures()
    create_api_keys()


def downgrade() -> None:
    for table in ("api_keys", "figures", "artifacts", "events", "units", "jobs"):
        op.drop_table(table)


def create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=30, collation="C"), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("n_events", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failure_code", sa.Text()),
        sa.Column("failure_stage", sa.Text()),
        sa.Column("failure_message", sa.Text()),
        sa.Column("failure_retryable", sa.Boolean()),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("cleaned_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("(state = 'failed') = (failure_code IS NOT NULL)", name=op.f("ck_jobs_failed_with_a_code")),
        sa.CheckConstraint(
            "(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name=op.f("ck_jobs_finished_when_ended"),
        ),
        sa.CheckConstraint(
            "stage IN ('read', 'encode', 'quantize', 'generate', 'evaluate', 'package')", name=op.f("ck_jobs_stage")
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'cancelling', 'succeeded', 'failed', 'cancelled')",
            name=op.f("ck_jobs_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index(op.f("ix_jobs_owner_id"), "jobs", ["owner", "id"])
    op.create_index(
        "ix_jobs_unclean",
        "jobs",
        ["finished_at"],
        postgresql_where=sa.text("cleaned_at IS NULL AND finished_at IS NOT NULL"),
    )


def create_units() -> None:
    op.create_table(
        "units",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("job_id", sa.String(length=30, collation="C"), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("of", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "attempt",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="claims so far: names the prefix",
        ),
        sa.Column(
            "crashes", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="leases lost so far: bounded"
        ),
        sa.Column("crash_reason", sa.Text(), comment="why the last attempt broke, if it could still tell"),
        sa.Column("worker", sa.Text()),
        sa.Column("lease_token", sa.Text()),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True)),
        sa.Column("done", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("total", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("prefix", sa.Text(), comment="where the winning attempt wrote"),
        sa.Column("progress_at", sa.DateTime(timezone=True)),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("(state = 'done') = (prefix IS NOT NULL)", name=op.f("ck_units_prefix_when_done")),
        sa.CheckConstraint(
            "(state = 'running') = (lease_token IS NOT NULL)", name=op.f("ck_units_leased_when_running")
        ),
        sa.CheckConstraint("(lease_token IS NULL) = (lease_expires_at IS NULL)", name=op.f("ck_units_lease_whole")),
        sa.CheckConstraint(
            "stage IN ('read', 'encode', 'quantize', 'generate', 'evaluate', 'package')", name=op.f("ck_units_stage")
        ),
        sa.CheckConstraint("state IN ('ready', 'running', 'done')", name=op.f("ck_units_state")),
        sa.CheckConstraint('"index" >= 0 AND "index" < "of"', name=op.f("ck_units_index")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_units_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_units")),
        sa.UniqueConstraint("job_id", "stage", "index", name=op.f("uq_units_job_id_stage_index")),
    )


def index_units() -> None:
    op.create_index("ix_units_ready", "units", ["id"], postgresql_where=sa.text("state = 'ready'"))
    op.create_index("ix_units_running", "units", ["lease_expires_at"], postgresql_where=sa.text("state = 'running'"))


def create_events() -> None:
    op.create_table(
        "events",
        sa.Column("job_id", sa.String(length=30, collation="C"), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_events_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "sequence", name=op.f("pk_events")),
    )


def create_artifacts() -> None:
    op.create_table(
        "artifacts",
        sa.Column("job_id", sa.String(length=30, collation="C"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_artifacts_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "name", name=op.f("pk_artifacts")),
    )


def create_figures() -> None:
    op.create_table(
        "figures",
        sa.Column("job_id", sa.String(length=30, collation="C"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_figures_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "name", name=op.f("pk_figures")),
    )


def create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=30, collation="C"), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="HMAC-SHA-256 of the secret under the pepper"),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
    )
    op.create_index(op.f("ix_api_keys_owner_id"), "api_keys", ["owner", "id"])
