"""`ddoq doctor` and `ddoq db` against real servers that are there, away, or refuse."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from cli.servers import free_port
from jobs.settings import Settings

Run = Callable[..., Result]


def given(settings: Settings) -> dict[str, str]:
    """The environment of the service."""
    return {
        "DDOQ_DATABASE_URL": settings.database_url,
        "DDOQ_BROKER_URL": settings.broker_url,
        "DDOQ_S3_ENDPOINT": str(settings.s3_endpoint),
        "DDOQ_S3_BUCKET": settings.s3_bucket,
        "DDOQ_S3_ACCESS_KEY": settings.s3_access_key,
        "DDOQ_S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        "DDOQ_KEY_PEPPER": settings.key_pepper.get_secret_value(),
        "DDOQ_SCRATCH": str(settings.scratch),
    }


@pytest.fixture
def ddoq(settings: Settings) -> Run:
    """Run `ddoq` in the environment of a service that is in order, but for what is changed."""

    def run(*arguments: str, **changes: str) -> Result:
        return CliRunner().invoke(main, arguments, env={**given(settings), **changes})

    return run


def verdicts(ended: Result) -> dict[str, str]:
    return {check["subject"]: check["verdict"] for check in json.loads(ended.stdout)["checks"]}


def test_nothing_is_missing_where_all_servers_are_there(ddoq: Run) -> None:
    ended = ddoq("doctor", "--for", "worker", "--json")
    found = verdicts(ended)
    assert (ended.exit_code, "missing" in found.values()) == (0, False)
    there = {"settings", "scratch", "database", "schema", "broker", "bucket", "packages of worker"}
    assert {subject for subject in found if subject in there} == there


FAULTS = [
    ("database", {"DDOQ_DATABASE_URL": f"postgresql://ddoq:terribly-secret@127.0.0.1:{free_port()}/ddoq"}),
    ("database", {"DDOQ_DATABASE_URL": "postgresql://ddoq:terribly-secret@127.0.0.1:port/ddoq"}),
    ("broker", {"DDOQ_BROKER_URL": f"redis://:terribly-secret@127.0.0.1:{free_port()}/0"}),
    ("bucket", {"DDOQ_S3_BUCKET": "there-is-no-such-bucket"}),
    ("bucket", {"DDOQ_S3_ENDPOINT": f"http://127.0.0.1:{free_port()}"}),
    ("bucket", {"DDOQ_S3_SECRET_KEY": "terribly-secret"}),
    ("settings", {"DDOQ_LEASE_SECONDS": "never"}),
]


@pytest.mark.parametrize(("subject", "changes"), FAULTS)
def test_what_is_wrong_is_missing_alone_and_no_secret_is_printed(
    ddoq: Run, subject: str, changes: dict[str, str]
) -> None:
    ended = ddoq("doctor", "--for", "api", "--json", **changes)
    found = verdicts(ended)
    assert (ended.exit_code, {name for name in found if found[name] == "missing"}) == (1, {subject})
    assert "terribly-secret" not in ended.output


def test_a_broker_that_rejects_the_password_is_told(ddoq: Run, settings: Settings) -> None:
    wrong = settings.broker_url.replace("password", "wrong-password")
    ended = ddoq("doctor", "--for", "api", DDOQ_BROKER_URL=wrong)
    assert (ended.exit_code, "it rejects the password" in ended.stdout, "wrong-password" in ended.stdout) == (
        1,
        True,
        False,
    )


def test_a_schema_that_is_not_at_head_is_mended_by_the_command_that_is_named(
    ddoq: Run, empty_settings: Settings
) -> None:
    behind = {"DDOQ_DATABASE_URL": empty_settings.database_url}
    ended = ddoq("doctor", "--for", "api", **behind)
    assert (ended.exit_code, "Run: ddoq db upgrade" in ended.stdout) == (1, True)
    assert ddoq("db", "check", **behind).exit_code == 1
    created = ddoq("keys", "create", "ann", **behind)
    assert (created.exit_code, "ddoq db upgrade" in created.stderr) == (1, True)
    assert ddoq("db", "upgrade", **behind).exit_code == 0
    checked = ddoq("db", "check", "--json", **behind)
    assert (checked.exit_code, json.loads(checked.stdout)) == (0, {"is_at_head": True})


def test_a_client_with_a_good_key_lacks_nothing_and_one_with_a_wrong_key_does(
    service_url: str, anns_key: str, tmp_path: Path
) -> None:
    def look(key: str) -> Result:
        variables = {"DDOQ_URL": service_url, "DDOQ_API_KEY": key}
        return CliRunner().invoke(main, ["doctor", "--for", "client", "--json"], env=variables)

    assert (look(anns_key).exit_code, verdicts(look(anns_key))["API key"]) == (0, "ok")
    wrong = look("ddoq_" + "0" * 33)
    found = verdicts(wrong)
    assert (wrong.exit_code, {name for name in found if found[name] == "missing"}) == (1, {"API key"})


def test_a_key_is_made_for_programs(ddoq: Run) -> None:
    made = json.loads(ddoq("keys", "create", "ann", "--scope", "jobs:read", "--json").stdout)
    assert (made["owner"], made["scopes"], made["secret"].startswith("ddoq_")) == ("ann", ["jobs:read"], True)
