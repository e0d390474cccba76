"""The service's own database, for its operator: what `ddoq keys` and `ddoq db` work on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from cli.exits import CommandError, Exit
from cli.options import json_option, tell

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from jobs.settings import Settings

BEHIND = "the schema is not the one that this version needs; run 'ddoq db upgrade'"


@click.group()
def db() -> None:
    """The database of the service: needs the service's own environment (DDOQ_DATABASE_URL and so on)."""


@db.command("upgrade")
@json_option
def upgrade_schema(as_json: bool) -> None:
    """Bring the schema up to date. Safe to run from several places at once, and again."""
    from jobs.schema import upgrade

    with open_database() as (_, settings):
        upgrade(settings.database_url)
    tell({"is_at_head": True}, as_json, "the schema is up to date")


@db.command("check")
@json_option
def check_schema(as_json: bool) -> None:
    """Say whether the schema is the one that this version needs; exit code 1 if it is not."""
    from jobs.schema import is_at_head

    with open_database() as (engine, _):
        at_head = is_at_head(engine)
    tell({"is_at_head": at_head}, as_json, "the schema is up to date" if at_head else BEHIND)
    if not at_head:
        raise click.exceptions.Exit(Exit.REFUSED)


@contextmanager
def open_database() -> "Iterator[tuple[Engine, Settings]]":
    """Connect to the database that the environment names.

    Raises:
        CommandError: a setting is missing or wrong, or the database does not answer or is not migrated.
    """
    from sqlalchemy.exc import ArgumentError, OperationalError, ProgrammingError

    from jobs.schema import make_engine

    settings = read_settings()
    try:
        engine = make_engine(settings.database_url)
    except (ArgumentError, ValueError) as error:
        raise CommandError("DDOQ_DATABASE_URL is no address of a database", Exit.USAGE) from error
    try:
        yield engine, settings
    except OperationalError as error:
        raise CommandError(f"the database does not answer: {error.orig}", Exit.NO_ANSWER) from error
    except ProgrammingError as error:
        raise CommandError(f"the database refused: {error.orig}; {BEHIND}") from error
    finally:
        engine.dispose()


def read_settings() -> "Settings":
    """Read the settings of the service from the environment.

    Raises:
        CommandError: a variable is missing or not usable; the message names each.
    """
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from jobs.settings import load_settings

    try:
        return load_settings()
    except ValidationError as error:
        faults = (f"DDOQ_{'.'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in error.errors())
        raise CommandError(f"the service's settings: {'; '.join(faults)}", Exit.USAGE) from error
    except SettingsError as error:
        raise CommandError(f"the service's settings: {error}", Exit.USAGE) from error
