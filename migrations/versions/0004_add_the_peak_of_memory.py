"""Add the peak of memory of a unit."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    comment = "resident memory of the winning attempt's process, at most"
    op.add_column("units", sa.Column("peak_bytes", sa.BigInteger, comment=comment))


def downgrade() -> None:
    op.drop_column("units", "peak_bytes")
