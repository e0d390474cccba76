"""docs/errors.md and the tests against the trees of errors."""

import re
from functools import cache
from pathlib import Path

import pytest

import api.errors
import ddoq.errors
import jobs.errors
from api.problems import status_of
from ddoq.errors import DdoqError, hint_of, kinds_of_error

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "errors.md"
MODULES = (ddoq.errors, jobs.errors, api.errors)
ROW = re.compile(
    r"^\| `(?P<code>[a-z_.]+)` \| (?P<status>\d{3})? ?\| (?P<meaning>[^|]*) \|(?P<change>[^|]*)\|$", re.MULTILINE
)


def kinds() -> list[type[DdoqError]]:
    return sorted(set(kinds_of_error()), key=lambda kind: kind.__name__)


@cache
def sources_of_tests() -> tuple[str, ...]:
    """Read the sources of all tests but this one, whose errors are all."""
    return tuple(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__))


def rows() -> dict[str, re.Match[str]]:
    return {row["code"]: row for row in ROW.finditer(PAGE.read_text("utf-8"))}


@pytest.mark.parametrize("kind", kinds())
def test_every_error_code_is_documented(kind: type[DdoqError]) -> None:
    assert kind.code in rows()


def test_every_documented_code_exists() -> None:
    assert set(rows()) == {kind.code for kind in kinds()}


def test_no_two_errors_share_a_code() -> None:
    assert len({kind.code for kind in kinds()}) == len(kinds())


@pytest.mark.parametrize("kind", kinds())
def test_a_documented_status_is_the_one_that_is_answered(kind: type[DdoqError]) -> None:
    assert rows()[kind.code]["status"] in (None, str(status_of(kind)))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_error_is_drawn_in_the_tree_of_its_module(module: object) -> None:
    names = {name for name, kind in vars(module).items() if isinstance(kind, type) and issubclass(kind, DdoqError)}
    assert names <= set(re.findall(r"\w+", module.__doc__ or ""))


@pytest.mark.parametrize("kind", kinds())
def test_every_error_has_a_hint_of_its_own_in_one_sentence(kind: type[DdoqError]) -> None:
    hint = vars(kind).get("hint", "")
    assert re.fullmatch(r"[A-Z][^\n]*[^.]\.", hint)
    assert ". " not in hint


@pytest.mark.parametrize("kind", kinds())
def test_a_documented_change_begins_with_the_hint(kind: type[DdoqError]) -> None:
    row = rows()[kind.code]
    assert row["meaning"].startswith("Base of") or row["change"].strip().startswith(kind.hint)


def test_a_code_that_nobody_knows_has_the_hint_of_the_unforeseen() -> None:
    assert hint_of("worker.of_another_version") == DdoqError.hint
    assert hint_of("worker.disk_full") == jobs.errors.DiskFullError.hint


@pytest.mark.parametrize("kind", kinds())
def test_every_error_that_is_told_is_reached_by_a_test(kind: type[DdoqError]) -> None:
    told = re.compile(rf"\b{kind.__name__}\b|[\"']{re.escape(kind.code)}[\"']")
    is_base = rows()[kind.code]["meaning"].startswith("Base of")
    assert is_base or any(told.search(text) for text in sources_of_tests())


def test_every_error_is_where_errors_are_looked_for() -> None:
    defined = re.compile(rf"^class (\w+)\((?:{'|'.join(kind.__name__ for kind in kinds())})\b", re.MULTILINE)
    files = [path for package in ("ddoq", "jobs", "api", "worker", "cli") for path in (ROOT / package).rglob("*.py")]
    elsewhere = {str(path): defined.findall(path.read_text("utf-8")) for path in files if path.name != "errors.py"}
    assert not {path: names for path, names in elsewhere.items() if names}
