"""Add the stage teach."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BEFORE = "'read', 'encode', 'fit', 'quantize', 'generate', 'label', 'evaluate', 'package'"
AFTER = "'read', 'encode', 'fit', 'quantize', 'generate', 'teach', 'label', 'evaluate', 'package'"


def upgrade() -> None:
    allow(AFTER)


def downgrade() -> None:
    """Take the stage back; refused by the database while a job is in it."""
    allow(BEFORE)


def allow(stages: str) -> None:
    for table in ("jobs", "units"):
        op.drop_constraint(op.f(f"ck_{table}_stage"), table, type_="check")
        op.create_check_constraint(op.f(f"ck_{table}_stage"), table, f"stage IN ({stages})")
