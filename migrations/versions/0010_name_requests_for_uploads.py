"""Let a request for an upload be sent again without making another."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

UNIQUE = "uq_uploads_owner_idempotency_key"


def upgrade() -> None:
    digest = "SHA-256 of the body that came with the idempotency key"
    op.add_column("uploads", sa.Column("idempotency_key", sa.Text()))
    op.add_column("uploads", sa.Column("request_digest", sa.Text(), comment=digest))
    op.create_unique_constraint(op.f(UNIQUE), "uploads", ["owner", "idempotency_key"])


def downgrade() -> None:
    op.drop_constraint(op.f(UNIQUE), "uploads", type_="unique")
    op.drop_column("uploads", "request_digest")
    op.drop_column("uploads", "idempotency_key")
