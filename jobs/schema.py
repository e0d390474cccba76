"""The way to the database: how to connect, and how to bring its schema up to date."""

import math
import time
from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import OperationalError
from pydantic_core import from_json
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

RESTED_SECONDS = 1.0


def make_engine(database_url: str) -> Engine:
    """Make an engine with a pool of connections. Make it after a fork, never before."""
    engine = create_engine(
        database_url,
        isolation_level="READ COMMITTED",  # every claim and move locks what it reads; nothing else is assumed
        pool_size=20,
        max_overflow=0,  # a connection is kept: to make one costs more than what is asked by it
        connect_args={"connect_timeout": 10},
        json_deserializer=from_json,
    )
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", _require_alive)
    return engine


def _note_use(connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:  # noqa: ARG001  the event's
    record.info["used_at"] = time.monotonic()


def _require_alive(connection: DBAPIConnection, record: ConnectionPoolEntry, proxy: PoolProxiedConnection) -> None:
    """Have a connection that has rested replaced if the server is gone: a ping before each statement costs as much."""
    if time.monotonic() - record.info.get("used_at", math.inf) < RESTED_SECONDS:
        return
    try:
        proxy.cursor().execute("SELECT 1")
        connection.rollback()
    except OperationalError as error:
        raise InvalidatePoolError from error  # what else is in the pool is as old


def upgrade(database_url: str, revision: str = "head") -> None:
    """Bring the schema up to date, or to an older revision. Safe to call from several processes at once."""
    config = _config()
    config.attributes["database_url"] = database_url
    command.upgrade(config, revision)


def is_at_head(engine: Engine) -> bool:
    """Whether the schema is the one that this code was written for."""
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_heads()
    return set(found) == set(ScriptDirectory.from_config(_config()).get_heads())


def _config() -> Config:
    return Config(str(files("migrations") / "alembic.ini"))
