"""What columns of several tables share: ids, moments, and words of an enumeration."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    String,
    Text,
    TypeDecorator,
    func,
    literal_column,
)

# Ids sort by age; the collation "C" keeps that order whatever the database's own is.
Id = String(30, collation="C")
UploadId = String(33, collation="C")


class Utc(TypeDecorator[datetime]):
    """A moment, handed out in UTC whatever the session's time zone is."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.astimezone(UTC) if value else None


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    """Allow a column the values of an enumeration only."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def fixed(value: StrEnum) -> ColumnElement[str]:
    """Write a state into the statement itself: only so does the planner see that a partial index applies."""
    return literal_column(f"'{value}'", Text)


def moment(name: str, *, nullable: bool = True, comment: str | None = None) -> Column[Any]:
    """Make a column of moments; one that must be there is now unless it is given."""
    default = None if nullable else func.clock_timestamp()
    return Column(name, Utc, nullable=nullable, server_default=default, comment=comment)
