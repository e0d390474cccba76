"""Statements whose text is made once, for those that are run often."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, CursorResult, Select
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg


class Prepared:
    """A statement as PostgreSQL is sent it. Values go in and come out as the driver has them: JSON goes in as text.

    A statement of parts is looked up by all its parts each time it is run; of a long one that is most of the work.
    """

    def __init__(self, statement: Select[Any]) -> None:
        compiled = statement.compile(dialect=PGDialect_psycopg())  # type: ignore[no-untyped-call]  # the library's
        self._text = str(compiled)
        self._given = {name: value for name, value in compiled.params.items() if value is not None}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[*tuple[Any, ...]]:
        """Run it, with values for the parameters that have none yet."""
        return connection.exec_driver_sql(self._text, {**self._given, **values})
