"""Add uploads, and which job uses which."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ID = sa.String(length=33, collation="C")
SIZE = "as declared, or as sent; counts against the owner's quota"
KEY = "where its bytes are in the bucket; while it is open, where its parts will be"
USED = "when it was begun, then finished, then given to a job"
WHOLE = "state <> 'ready' OR (key IS NOT NULL AND size_bytes IS NOT NULL)"


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", ID, nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text()),
        sa.Column("media_type", sa.Text()),
        sa.Column("size_bytes", sa.BigInteger(), comment=SIZE),
        sa.Column("sha256", sa.Text(), comment="as declared, or of what was sent whole"),
        sa.Column("key", sa.Text(), comment=KEY),
        sa.Column("multipart_id", sa.Text(), comment="what the object store calls its parts"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp(), nullable=False),
        sa.Column(
            "used_at",
            sa.DateTime(timezone=True),
            server_default=sa.func.clock_timestamp(),
            nullable=False,
            comment=USED,
        ),
        sa.CheckConstraint("state IN ('open', 'ready')", name=op.f("ck_uploads_state")),
        sa.CheckConstraint(WHOLE, name=op.f("ck_uploads_whole_when_ready")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
    op.create_index(op.f("ix_uploads_owner_id"), "uploads", ["owner", "id"])
    op.create_index(op.f("ix_uploads_used_at"), "uploads", ["used_at"])
    op.add_column("jobs", sa.Column("upload_id", ID, comment="what its dataset is"))
    op.create_foreign_key(
        op.f("fk_jobs_upload_id_uploads"), "jobs", "uploads", ["upload_id"], ["id"], ondelete="SET NULL"
    )
    op.create_index("ix_jobs_upload_id", "jobs", ["upload_id"], postgresql_where=sa.text("upload_id IS NOT NULL"))


def downgrade() -> None:
    op.drop_index("ix_jobs_upload_id", "jobs")
    op.drop_constraint(op.f("fk_jobs_upload_id_uploads"), "jobs", type_="foreignkey")
    op.drop_column("jobs", "upload_id")
    op.drop_table("uploads")
