"""docs/errors.md against the trees of errors."""

import re
from pathlib import Path

import pytest

import api.errors
import ddoq.errors
import jobs.errors
from api.problems import status_of
from ddoq.errors import DdoqError

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
ROW = re.compile(
    r"^\| `(?P<code>[a-z_.]+)` \| (?P<status>\d{3})? ?\| (?P<meaning>[^|]*) \|(?P<change>[^|]*)\|$", re.MULTILINE
)


def kinds() -> list[type[DdoqError]]:
    modules = (ddoq.errors, jobs.errors, api.errors)
    found = {kind for module in modules for kind in vars(module).values() if isinstance(kind, type)}
    return sorted((kind for kind in found if issubclass(kind, DdoqError)), key=lambda kind: kind.__name__)


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


@pytest.mark.parametrize("module", [ddoq.errors, jobs.errors, api.errors], ids=lambda module: module.__name__)
def test_every_error_is_drawn_in_the_tree_of_its_module(module: object) -> None:
    names = {name for name, kind in vars(module).items() if isinstance(kind, type) and issubclass(kind, DdoqError)}
    assert names <= set(re.findall(r"\w+", module.__doc__ or ""))
