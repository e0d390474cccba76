"""docs/errors.md and the tests against the trees of errors."""

import importlib
import pkgutil
import re
import sys
from functools import cache
from pathlib import Path

import pytest

import ddoq.errors
from api.problems import status_of
from ddoq.errors import DdoqError, hint_of, kinds_of_error
from jobs.errors import DiskFullError

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "errors.md"
PACKAGES = ("ddoq", "jobs", "api", "worker", "cli")
ROW = re.compile(
    r"^\| `(?P<code>[a-z_.]+)` \| (?P<status>\d{3})? ?\| (?P<meaning>[^|]*) \|(?P<change>[^|]*)\|$", re.MULTILINE
)


def import_everything() -> None:
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(module.name)


@cache
def kinds() -> tuple[type[DdoqError], ...]:
    """List every error of ours, wherever it is defined; tests may have made more, which are not."""
    import_everything()
    ours = {kind for kind in kinds_of_error() if kind.__module__.split(".")[0] in PACKAGES}
    return tuple(sorted(ours, key=lambda kind: kind.__name__))


def drawing_of(kind: type[DdoqError]) -> str:
    """Give the docstrings in which an error may be drawn: of its module, and of the package above it."""
    module = kind.__module__
    return "".join(sys.modules[name].__doc__ or "" for name in (module, module.rpartition(".")[0]))


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


@pytest.mark.parametrize("kind", kinds())
def test_every_error_is_drawn_in_the_tree_of_its_module_with_its_code(kind: type[DdoqError]) -> None:
    is_base = rows()[kind.code]["meaning"].startswith("Base of")
    code = "" if is_base or kind is DdoqError else rf" +{re.escape(kind.code)}\b"
    assert re.search(rf"\b{kind.__name__}\b{code}", drawing_of(kind))


def test_every_error_of_the_algorithm_can_be_imported_from_one_place() -> None:
    of_the_algorithm = {kind.__name__ for kind in kinds() if kind.__module__.startswith("ddoq.")}
    assert of_the_algorithm == {name for name in ddoq.errors.__all__ if name[0].isupper()}


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
    assert hint_of("worker.disk_full") == DiskFullError.hint


@pytest.mark.parametrize("kind", kinds())
def test_every_error_that_is_told_is_reached_by_a_test(kind: type[DdoqError]) -> None:
    told = re.compile(rf"\b{kind.__name__}\b|[\"']{re.escape(kind.code)}[\"']")
    is_base = rows()[kind.code]["meaning"].startswith("Base of")
    assert is_base or any(told.search(text) for text in sources_of_tests())
