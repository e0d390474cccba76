"""The migrations make what the tables say."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text

from ddoq.events import Stage
from jobs.leases import Leases
from jobs.schema import is_at_head, make_engine, upgrade
from jobs.settings import Settings
from jobs.tables import metadata

CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = current_schema()::regnamespace AND conrelid::regclass::text <> 'alembic_version' ORDER BY 1, 2
"""
INDEXES = """
SELECT indexname, replace(indexdef, current_schema(), '') FROM pg_indexes
WHERE schemaname = current_schema() AND tablename <> 'alembic_version' ORDER BY 1
"""
OLD_JOB = """
INSERT INTO jobs (id, owner, state, stage, config) VALUES
    ('job', 'ada', 'running', 'quantize', '{"dataset": {"uri": "file:///data/x.zip"}}');
INSERT INTO units (job_id, stage, "index", "of", state, attempt, prefix, lease_token, lease_expires_at) VALUES
    ('job', 'read', 0, 1, 'done', 1, 'jobs/job/read/0/1', NULL, NULL),
    ('job', 'encode', 1, 2, 'done', 3, 'jobs/job/encode/1/3', NULL, NULL),
    ('job', 'encode', 0, 2, 'done', 2, 'jobs/job/encode/0/2', NULL, NULL),
    ('job', 'quantize', 0, 2, 'running', 1, NULL, 'token', now()),
    ('job', 'quantize', 1, 2, 'ready', 0, NULL, NULL, NULL);
"""


def rows(engine: Engine, query: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


@pytest.fixture
def empty(empty_settings: Settings) -> Iterator[Engine]:
    engine = make_engine(empty_settings.database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def from_metadata(engine: Engine) -> Engine:
    """A schema beside the migrated one, made from the metadata alone."""
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA from_metadata"))
    beside = engine.execution_options(schema_translate_map={None: "from_metadata"})
    metadata.create_all(beside)
    return engine


def test_the_migrated_columns_are_those_of_the_metadata(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize("query", [CONSTRAINTS, INDEXES], ids=["constraints", "indexes"])
def test_the_migrated_rules_are_those_of_the_metadata(from_metadata: Engine, query: str) -> None:
    migrated = rows(from_metadata, query)
    with from_metadata.connect() as connection:
        connection.execute(text("SET search_path TO from_metadata"))
        made = [tuple(row) for row in connection.execute(text(query))]
    assert migrated == made != []


def test_a_migrated_database_is_at_head(engine: Engine) -> None:
    assert is_at_head(engine)


def test_an_empty_database_is_not_at_head(empty: Engine) -> None:
    assert not is_at_head(empty)


def test_upgrading_again_changes_nothing(settings: Settings, engine: Engine) -> None:
    upgrade(settings.database_url)
    assert is_at_head(engine)


def test_two_processes_may_upgrade_at_once(empty_settings: Settings, empty: Engine) -> None:
    code = "import sys; from jobs.schema import upgrade; upgrade(sys.argv[1])"
    command = [sys.executable, "-c", code, empty_settings.database_url]
    both = [subprocess.Popen(command) for _ in range(2)]
    assert [one.wait() for one in both] == [0, 0]
    assert is_at_head(empty)


def test_a_job_that_ran_before_the_upgrade_goes_on_behind_it(empty_settings: Settings, empty: Engine) -> None:
    upgrade(empty_settings.database_url, "0004")
    with empty.begin() as connection:
        connection.exec_driver_sql(OLD_JOB)
    upgrade(empty_settings.database_url)
    claim = Leases(empty, lease_seconds=60).claim("worker")
    assert claim is not None
    encoded = ("jobs/job/encode/0/2", "jobs/job/encode/1/3")
    assert claim.inputs == {Stage.READ: ("jobs/job/read/0/1",), Stage.ENCODE: encoded}
    assert rows(empty, "SELECT n_running FROM jobs") == [(2,)]
