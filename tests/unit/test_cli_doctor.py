"""What `ddoq doctor` finds on a machine."""

import json
import shutil
import tomllib
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from packaging.requirements import Requirement

from cli.checks import LITTLE_ROOM, NO_ROOM, Verdict, check_extra, check_room, packages_of
from cli.main import main
from cli.service_checks import check_clock
from tests.web import serve

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
ME = {
    "key_id": "key_1",
    "name": "test",
    "owner": "ann",
    "scopes": ["jobs:read", "jobs:write"],
    "created_at": "2026-01-01T12:00:00Z",
    "expires_at": None,
}
WORKER = {"name": "w", "since": "2026-01-01T12:00:00Z", "seen_at": "2026-01-01T12:00:00Z", "stage": None}
Disk = namedtuple("Disk", "total used free")


def doctor(*arguments: str, **variables: str | None) -> Result:
    nothing = {"DDOQ_URL": None, "DDOQ_API_KEY": None, "DDOQ_S3_BUCKET": None, "DDOQ_KEY_PEPPER": None}
    return CliRunner().invoke(main, ["doctor", *arguments], env={**nothing, **variables})


def found(*arguments: str, **variables: str | None) -> dict[str, dict[str, str]]:
    """Answer the checks by subject."""
    return {check["subject"]: check for check in json.loads(doctor(*arguments, "--json", **variables).stdout)["checks"]}


def of_service(scopes: list[str], workers: list[object]) -> dict[str, dict[str, str]]:
    """Answer what is found of a service."""
    with serve() as site:
        site.put("/readyz", b'{"status": "ready"}')
        site.put("/v1/me", json.dumps({**ME, "scopes": scopes}).encode())
        site.put("/v1/workers", json.dumps({"data": workers}).encode())
        return found("--for", "client", DDOQ_URL=site.url, DDOQ_API_KEY="key")


@pytest.mark.parametrize("extra", ["core", "api", "worker", "embedded"])
def test_the_packages_of_an_extra_are_those_that_pip_would_install(extra: str) -> None:
    def wanted(name: str) -> set[str]:
        lines = [Requirement(line) for line in EXTRAS[name]]
        own = {line.name for line in lines if line.name != "ddoq"}
        return own.union(*(wanted(other) for line in lines if line.name == "ddoq" for other in line.extras))

    assert packages_of(extra) == wanted(extra)


def test_an_extra_that_is_wanted_and_not_there_is_missing_and_its_installation_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cli.checks.requires", lambda _name: ['there-is-no-such-package>=1; extra == "core"'])
    check = check_extra("core", is_wanted=True)
    assert (check.verdict, check.mend) == (Verdict.MISSING, "Run: pip install 'ddoq[core]'")
    assert check.found == "not installed: there-is-no-such-package"
    assert check_extra("core", is_wanted=False).verdict is Verdict.WARNING


@pytest.mark.parametrize(
    ("free", "verdict"),
    [(NO_ROOM - 1, Verdict.MISSING), (LITTLE_ROOM - 1, Verdict.WARNING), (LITTLE_ROOM, Verdict.OK)],
)
def test_room_is_judged_on_the_disk_that_a_folder_will_be_on(
    free: int, verdict: Verdict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(shutil, "disk_usage", lambda place: asked.append(place) or Disk(0, 0, free))
    assert check_room("scratch", tmp_path / "not" / "yet").verdict is verdict
    assert asked == [tmp_path]


def test_all_is_well_with_a_service_that_is_ready_a_key_and_a_worker() -> None:
    checks = of_service(["jobs:read", "jobs:write"], [WORKER])
    assert {subject for subject, check in checks.items() if check["verdict"] == "ok"} == {
        "Python",
        "service",
        "clock",
        "API key",
        "workers",
    }


def test_a_key_that_may_only_look_and_a_service_without_workers_are_warned_of() -> None:
    checks = of_service(["jobs:read"], [])
    assert (checks["API key"]["verdict"], "jobs:write" in checks["API key"]["mend"]) == ("warning", True)
    assert checks["workers"]["verdict"] == "warning"


@pytest.mark.parametrize(("minutes", "verdict"), [(0, "ok"), (2, "warning"), (-20, "missing")])
def test_a_clock_that_goes_wrong_is_told(minutes: int, verdict: str) -> None:
    check = check_clock(datetime.now(UTC) + timedelta(minutes=minutes))
    assert check.verdict.value == verdict


def test_a_service_that_is_not_ready_says_why() -> None:
    problem = {"code": "service.not_ready", "detail": "the broker does not answer", "status": 503}
    with serve() as site:
        site.put("/readyz", json.dumps(problem).encode(), status=503)
        check = found("--for", "client", DDOQ_URL=site.url, DDOQ_API_KEY="key")["service"]
    assert (check["verdict"], "the broker does not answer" in check["found"]) == ("missing", True)


@pytest.mark.parametrize("url", ["not an address", "http://127.0.0.1:1"])
def test_a_service_that_cannot_be_reached_is_missing(url: str) -> None:
    ended = doctor("--for", "client", DDOQ_URL=url, DDOQ_API_KEY="key")
    assert (ended.exit_code, "missing  service" in ended.stdout) == (1, True)


def test_a_client_without_a_service_is_told_how_to_name_one(tmp_path: Path) -> None:
    ended = doctor("--for", "client", "--data", str(tmp_path))
    assert (ended.exit_code, "set DDOQ_URL and DDOQ_API_KEY" in ended.stdout) == (1, True)


def test_settings_that_are_missing_are_named(tmp_path: Path) -> None:
    ended = doctor("--for", "worker", "--data", str(tmp_path), DDOQ_DATABASE_URL=None)
    assert (ended.exit_code, "DDOQ_DATABASE_URL: Field required" in ended.stdout) == (1, True)


def test_a_mistyped_setting_is_told_with_the_one_that_was_meant() -> None:
    check = found("--for", "api", DDOQ_S3_BUKET="ddoq")
    told = doctor("--for", "api", DDOQ_S3_BUKET="ddoq").stdout
    assert check["settings"]["verdict"] == "missing"
    assert "DDOQ_S3_BUKET is no setting" in told
    assert "Did you mean DDOQ_S3_BUCKET?" in told


def test_what_is_not_well_is_mended_by_the_line_below() -> None:
    lines = doctor("--for", "client", DDOQ_URL="http://127.0.0.1:1", DDOQ_API_KEY="key").stdout.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("missing"))
    assert lines[place + 1] == "         Start the service, or correct DDOQ_URL."
