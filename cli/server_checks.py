"""What `ddoq doctor` finds out about the servers behind the service: settings, database, schema, broker, bucket."""

import os
from collections.abc import Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING

from cli.checks import Check, check_room, missing, ok, warning
from cli.database import read_settings
from cli.exits import CommandError

if TYPE_CHECKING:
    from jobs.settings import Settings

OF_CLIENTS = frozenset({"DDOQ_URL", "DDOQ_API_KEY"})
PREFIX = "DDOQ_"


def has_settings() -> bool:
    """Whether the environment has what only a service of its own servers is given."""
    return {"DDOQ_S3_BUCKET", "DDOQ_KEY_PEPPER"} <= os.environ.keys()


def check_servers() -> Iterator[Check]:
    """Look at the settings, and at each server that they name."""
    yield from _odd_variables()
    try:
        settings = read_settings()
    except CommandError as error:
        yield missing("settings", error.message, "Set or correct what is named.")
        return
    yield ok("settings", "all there")
    yield check_room("scratch", settings.scratch)
    yield from _database(settings)
    yield _broker(settings)
    yield _bucket(settings)


def _odd_variables() -> Iterator[Check]:
    """Tell of variables that are no setting, such as mistyped ones."""
    from jobs.settings import Settings

    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | OF_CLIENTS
    for name in sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known):
        near = get_close_matches(name, known, n=1)
        meant = f"Did you mean {near[0]}?" if near else "Unset it: nothing reads it."
        yield warning("settings", f"{name} is no setting", meant)


def _database(settings: "Settings") -> Iterator[Check]:
    from sqlalchemy.exc import SQLAlchemyError

    from jobs.redaction import redact
    from jobs.schema import is_at_head, make_engine

    try:
        engine = make_engine(settings.database_url)
        at_head = is_at_head(engine)
        engine.dispose()
    except (SQLAlchemyError, ValueError) as error:
        reason = redact(str(getattr(error, "orig", None) or error)).strip().splitlines()[0]
        yield missing(
            "database", reason, "Start PostgreSQL, or correct DDOQ_DATABASE_URL: its host, user and password."
        )
        return
    yield ok("database", "answers")
    if at_head:
        yield ok("schema", "at head")
    else:
        yield missing("schema", "not the one that this version needs", "Run: ddoq db upgrade")


def _broker(settings: "Settings") -> Check:
    import redis

    try:
        with redis.Redis.from_url(settings.broker_url, socket_connect_timeout=5, socket_timeout=5) as broker:
            broker.ping()
    except redis.AuthenticationError:
        return missing("broker", "it rejects the password", "Correct the password in DDOQ_BROKER_URL.")
    except (redis.RedisError, ValueError) as error:
        return missing("broker", type(error).__name__, "Start Valkey or Redis, or correct DDOQ_BROKER_URL.")
    return ok("broker", "answers")


def _bucket(settings: "Settings") -> Check:
    from jobs.artifacts import asking_for, make_s3_client
    from jobs.errors import ObjectNotFoundError, StorageRefusedError, StorageUnavailableError

    name = settings.s3_bucket
    client = make_s3_client(settings)
    try:
        with asking_for(name):
            client.list_objects_v2(Bucket=name, MaxKeys=1)
    except ObjectNotFoundError:
        return missing("bucket", f"there is no bucket {name}", "Make it, or correct DDOQ_S3_BUCKET.")
    except StorageRefusedError:
        mend = "Correct DDOQ_S3_ACCESS_KEY and DDOQ_S3_SECRET_KEY, or give the key or role the right to read and write."
        return missing("bucket", f"the object store refuses the key for {name}", mend)
    except StorageUnavailableError:
        return missing("bucket", "the object store does not answer", "Start it, or correct DDOQ_S3_ENDPOINT.")
    finally:
        client.close()
    return ok("bucket", f"{name} answers")
