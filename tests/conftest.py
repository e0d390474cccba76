"""Real servers for the tests, started once a session and never shared between test runs."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import psycopg
import pytest
import redis
from hypothesis import settings
from jaxtyping import install_import_hook
from pydantic import SecretStr

# The same examples every time: who changed nothing breaks nothing. `--hypothesis-profile explore` draws others.
settings.register_profile("repeat", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile("repeat")

CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"  # an int is a float, as for mypy

import ddoq.kernels  # compiled: cannot be checked
import ddoq.pool_kernels

with install_import_hook("ddoq", CHECKER):
    # Shapes are checked at run time, in tests only: what this loads is checked wherever a test imports it.
    import ddoq.distill
    import ddoq.training  # noqa: F401

from cli.servers import start_postgres, start_s3, start_valkey
from cli.watchdog import Watchdog
from jobs.artifacts import ObjectStore, make_s3_client
from jobs.schema import upgrade
from jobs.settings import Settings

MIGRATED = "migrated"


@dataclass(frozen=True)
class Stack:
    """Where the servers are. `database_url` is the server's own database, which no test may change."""

    database_url: str
    broker_url: str
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str

    def create_database(self, template: str = "template1") -> str:
        """Create a database and answer its URL; it lives as long as the session."""
        name = f"test_{uuid4().hex}"
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url_of(name)

    def url_of(self, database: str) -> str:
        return self.database_url.replace("/postgres?", f"/{database}?")


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """Make a folder for servers, outside of `tmp_path`: each new test run closes that to all but its own user, and
    under root PostgreSQL runs as another."""
    with TemporaryDirectory(prefix="ddoq-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with (
        TemporaryDirectory(prefix="ddoq-test-", ignore_cleanup_errors=True) as path,
        Watchdog() as watchdog,  # ends the servers when this process is killed
        ExitStack() as servers,
    ):
        postgres = start_postgres(Path(path) / "postgres", watchdog.guard)
        servers.callback(postgres.stop)
        valkey = start_valkey(Path(path) / "valkey", "password", watchdog.guard)
        servers.callback(valkey.stop)
        s3 = start_s3(Path(path) / "s3", "access", "secret", watchdog.guard)
        servers.callback(s3.stop)
        yield Stack(postgres.url, valkey.url, s3.url, "access", "secret")


@pytest.fixture(scope="session")
def migrated(stack: Stack) -> str:
    """Name a database with the schema at head, to be copied."""
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {MIGRATED}")
    upgrade(stack.url_of(MIGRATED).replace("postgresql://", "postgresql+psycopg://"))
    return MIGRATED


@pytest.fixture
def empty_settings(stack: Stack, tmp_path: Path) -> Settings:
    """Name a database without any table, a bucket that is not there, and an empty broker."""
    return settings_of(stack, stack.create_database(), tmp_path)


@pytest.fixture
def settings(stack: Stack, migrated: str, tmp_path: Path) -> Settings:
    """Name a migrated database, an empty bucket and an empty broker, of this test alone."""
    settings = settings_of(stack, stack.create_database(migrated), tmp_path)
    client = make_s3_client(settings)
    ObjectStore(client, settings.s3_bucket).ensure_bucket()
    client.close()
    return settings


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real datasets and models, where a checkout has them beside it."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the datasets in ../shared/data beside the repository")
    return folder


def settings_of(stack: Stack, database_url: str, scratch: Path) -> Settings:
    with redis.Redis.from_url(stack.broker_url) as broker:
        broker.flushall()
    return Settings(
        database_url=database_url,
        broker_url=stack.broker_url,
        s3_endpoint=stack.s3_endpoint,
        s3_bucket=f"test-{uuid4().hex}",
        s3_access_key=stack.s3_access_key,
        s3_secret_key=SecretStr(stack.s3_secret_key),
        key_pepper=SecretStr("a pepper for the tests"),
        scratch=scratch / "scratch",
        key_cache_seconds=0,
        reads_per_minute=0,  # the tests of limits set their own; the others ask as often as they like
        writes_per_minute=0,
        failed_logins_per_minute=0,
    )
