"""Add what owners may use, when keys end and were used, and the trace context of a job."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    request = "W3C trace context of the request that asked for it"
    op.add_column("jobs", sa.Column("traceparent", sa.Text(), comment=request))
    op.add_column("api_keys", sa.Column("expires_at", sa.DateTime(timezone=True), comment="it is refused from then on"))
    op.add_column("api_keys", sa.Column("last_used_at", sa.DateTime(timezone=True), comment="to a minute"))
    op.create_table(
        "owner_limits",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("jobs_per_day", sa.Integer(), comment="sent within 24 hours; null is any number"),
        sa.Column("worker_seconds_per_month", sa.BigInteger(), comment="of the jobs of 30 days; null is any number"),
        sa.CheckConstraint("jobs_per_day >= 0", name=op.f("ck_owner_limits_jobs_per_day")),
        sa.CheckConstraint("worker_seconds_per_month >= 0", name=op.f("ck_owner_limits_worker_seconds_per_month")),
        sa.PrimaryKeyConstraint("owner", name=op.f("pk_owner_limits")),
    )


def downgrade() -> None:
    op.drop_table("owner_limits")
    op.drop_column("api_keys", "last_used_at")
    op.drop_column("api_keys", "expires_at")
    op.drop_column("jobs", "traceparent")
