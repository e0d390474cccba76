"""The way to the database: how to connect, and how to bring its schema up to date."""

from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine


def make_engine(database_url: str) -> Engine:
    """Make an engine with a pool of connections. Make it after a fork, never before."""
    return create_engine(
        database_url,
        isolation_level="READ COMMITTED",  # every claim and move locks what it reads; nothing else is assumed
        pool_pre_ping=True,
        pool_size=10,
        connect_args={"connect_timeout": 10},
    )


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
