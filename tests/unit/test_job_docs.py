"""docs/jobs.md against what can happen to a job."""

from pathlib import Path

import pytest

from jobs.states import EventKind

PAGE = Path(__file__).parents[2] / "docs" / "jobs.md"


@pytest.mark.parametrize("kind", EventKind)
def test_every_kind_of_event_is_documented(kind: EventKind) -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert any(f"`{kind}`" in row.split("|")[1] for row in rows)
