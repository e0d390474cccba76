"""Add webhook endpoints and their deliveries."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    create_endpoints()
    create_deliveries()


def downgrade() -> None:
    op.drop_table("webhook_deliveries")
    op.drop_table("webhook_endpoints")


def moment(name: str, comment: str | None = None) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), comment=comment)


def create_endpoints() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.String(length=30, collation="C"), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.ARRAY(sa.Text()), nullable=False, comment="what it wants to hear, beside ping"),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False, comment="encrypted under a key derived from the pepper"),
        sa.Column("old_secret", sa.LargeBinary(), comment="the one before, also signed with until it expires"),
        moment("old_secret_expires_at"),
        moment("disabled_at"),
        sa.Column("disabled_reason", sa.Text()),
        moment("failing_since", "of the first of the attempts that have failed since one succeeded"),
        moment("rests_until", "its first pending delivery is not attempted before"),
        moment("attempted_at"),
        sa.Column("lease_token", sa.Text(), comment="of the process that delivers to it now"),
        moment("lease_expires_at"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.CheckConstraint(
            "disabled_reason IN ('owner', 'gone', 'failing')", name=op.f("ck_webhook_endpoints_disabled_reason")
        ),
        sa.CheckConstraint(
            "(disabled_at IS NULL) = (disabled_reason IS NULL)", name=op.f("ck_webhook_endpoints_disabled_for_a_reason")
        ),
        sa.CheckConstraint(
            "(old_secret IS NULL) = (old_secret_expires_at IS NULL)",
            name=op.f("ck_webhook_endpoints_old_secret_expires"),
        ),
        sa.CheckConstraint(
            "(lease_token IS NULL) = (lease_expires_at IS NULL)", name=op.f("ck_webhook_endpoints_lease_whole")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoints")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index(op.f("ix_webhook_endpoints_owner_id"), "webhook_endpoints", ["owner", "id"])


def create_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("endpoint_id", sa.String(length=30, collation="C"), nullable=False),
        sa.Column("message_id", sa.String(length=30, collation="C"), nullable=False, comment="the webhook-id"),
        sa.Column("position", sa.BigInteger(), sa.Identity(), nullable=False, comment="in the endpoint's queue"),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("job_id", sa.String(length=30, collation="C")),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column(
            "n_attempts", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="since it was queued"
        ),
        sa.Column(
            "attempts", JSONB(), server_default=sa.text("'[]'"), nullable=False, comment="the latest, oldest first"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name=op.f("ck_webhook_deliveries_state")),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["webhook_endpoints.id"],
            name=op.f("fk_webhook_deliveries_endpoint_id_webhook_endpoints"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("endpoint_id", "message_id", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index(
        "ix_webhook_deliveries_pending",
        "webhook_deliveries",
        ["endpoint_id", "position"],
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(op.f("ix_webhook_deliveries_created_at"), "webhook_deliveries", ["created_at"])
