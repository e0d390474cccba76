"""Run the migrations: on the database that the caller names, else on the one in the settings."""

from alembic import context
from sqlalchemy import func, select

from jobs.schema import make_engine
from jobs.settings import load_settings
from jobs.tables import metadata

ONE_AT_A_TIME = 0x64646F72  # any number, the same in all processes


def migrate() -> None:
    url = context.config.attributes.get("database_url") or load_settings().database_url
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            context.configure(connection=connection, target_metadata=metadata)
            with context.begin_transaction():
                connection.execute(select(func.pg_advisory_xact_lock(ONE_AT_A_TIME)))
                context.run_migrations()
    finally:
        engine.dispose()


migrate()
