"""docs/security.md against the tests that it names."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "security.md").read_text("utf-8")
RULES = (
    "Addresses are read by us",
    "One guard for outgoing requests",
    "Archives are streamed, never extracted",
    "Images are decoded apart",
    "safetensors only",
    "The page runs nothing but its own script",
    "Texts stay texts",
    "Secrets stay secret",
    "Webhooks are signed",
)
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(test_\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_test_that_is_named_exists(file: str, name: str) -> None:
    assert f"def {name}(" in (TESTS / file).read_text("utf-8")


def test_every_risk_of_the_list_is_there() -> None:
    assert re.findall(r"^\| API(\d+) ", PAGE, re.MULTILINE) == [str(number) for number in range(1, 11)]


def test_every_rule_is_there() -> None:
    rows = PAGE.partition("## What comes in is hostile")[2]
    assert tuple(re.findall(r"^\| (?!rule|-)([^|]+?) \|", rows, re.MULTILINE)) == RULES


def test_every_row_names_a_test() -> None:
    rows = [row for row in PAGE.splitlines() if row.startswith("| ") and not row.startswith(("| risk", "| rule"))]
    assert [row for row in rows if "::test_" not in row] == []
