"""`ddoq keys`: API keys and what their owners may use, in the database itself."""

from datetime import UTC, datetime, timedelta

import click

from cli.database import open_database
from cli.options import json_option, tell

SCOPES = ("jobs:read", "jobs:write", "keys:manage", "webhooks:manage", "admin")


@click.group()
def keys() -> None:
    """API keys, made in the database itself: needs the service's own environment (DDOQ_DATABASE_URL and so on)."""


@keys.command()
@click.argument("owner")
@click.option("--name", default="made by hand", show_default=True, help="What the key is for.")
@click.option(
    "--scope", "scopes", type=click.Choice(SCOPES), multiple=True, help="Repeatable; without it, all but admin."
)
@click.option("--days", type=click.IntRange(1), help="Days after which it is refused; without it, never.")
@json_option
def create(owner: str, name: str, scopes: tuple[str, ...], days: int | None, as_json: bool) -> None:
    """Make a key for OWNER; its secret is printed this once."""
    from jobs.keys import USUAL, Keys, Scope

    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    wanted = [Scope(scope) for scope in scopes] or USUAL
    with open_database() as (engine, settings):
        key, secret = Keys(engine, settings.key_pepper).create(owner, name, wanted, expires_at)
    tell({**vars(key), "secret": secret}, as_json, secret)


@keys.command()
@click.argument("owner")
@click.option("--jobs-per-day", type=click.IntRange(0), help="Jobs that may be sent within 24 hours.")
@click.option("--worker-seconds", type=click.IntRange(0), help="Seconds of workers for the jobs of 30 days.")
@click.option("--none", "is_unlimited", is_flag=True, help="Take all limits away.")
@json_option
def limits(owner: str, jobs_per_day: int | None, worker_seconds: int | None, is_unlimited: bool, as_json: bool) -> None:
    """Say what OWNER may use; print what holds now. A limit that is not named stays as it is."""
    from jobs.quotas import Quota, read_quota, set_quota

    with open_database() as (engine, _):
        with engine.connect() as connection:
            quota = Quota() if is_unlimited else read_quota(connection, owner)
        changed = Quota(
            quota.jobs_per_day if jobs_per_day is None else jobs_per_day,
            quota.worker_seconds_per_month if worker_seconds is None else worker_seconds,
        )
        set_quota(engine, owner, changed)
    lines = (f"{name} {'any' if limit is None else limit}" for name, limit in vars(changed).items())
    tell(changed, as_json, "\n".join(lines))
