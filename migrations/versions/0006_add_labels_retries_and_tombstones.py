"""Label jobs, link retries, keep a tombstone of what was deleted; index the ways in which jobs are listed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

LISTED = sa.text("deleted_at IS NULL")
RETRIED = "the job of which this one is another try; its row may be gone"
DELETED = "by its owner; what is left of the row says only that"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("labels", JSONB(), server_default="{}", nullable=False))
    op.add_column("jobs", sa.Column("retried_from", sa.String(30, collation="C"), comment=RETRIED))
    op.add_column("jobs", sa.Column("deleted_at", sa.DateTime(timezone=True), comment=DELETED))
    op.drop_index(op.f("ix_jobs_owner_id"), "jobs")
    op.create_index("ix_jobs_listed", "jobs", ["owner", "id"], postgresql_where=LISTED)
    op.create_index("ix_jobs_listed_by_state", "jobs", ["owner", "state", "id"], postgresql_where=LISTED)
    op.create_index(
        "ix_jobs_labels",
        "jobs",
        ["labels"],
        postgresql_using="gin",
        postgresql_ops={"labels": "jsonb_path_ops"},
        postgresql_where=LISTED,
    )
    op.create_index("ix_jobs_deleted", "jobs", ["deleted_at"], postgresql_where=sa.text("deleted_at IS NOT NULL"))


def downgrade() -> None:
    """Take it all back; tombstones go, since they could not be read as jobs."""
    op.execute("DELETE FROM jobs WHERE deleted_at IS NOT NULL")
    for name in ("ix_jobs_deleted", "ix_jobs_labels", "ix_jobs_listed_by_state", "ix_jobs_listed"):
        op.drop_index(name, "jobs")
    op.create_index(op.f("ix_jobs_owner_id"), "jobs", ["owner", "id"])
    for name in ("deleted_at", "retried_from", "labels"):
        op.drop_column("jobs", name)
