"""Every command in the README and in docs/ is run by a test, or the page says why it is not."""

import re
from pathlib import Path

import pytest

from tests.pages import LANGUAGES, ROOT, RUN, Block, looks_like, read_blocks, runner_of

DOCS = ROOT / "docs"
DATED = {"log.md"}  # what was done on a day, by what stood in the tree then
PAGES = [ROOT / "README.md", *sorted(page for page in DOCS.rglob("*.md") if page.name not in DATED)]
BLOCKS = [block for page in PAGES for block in read_blocks(page)]
COMMANDS = [block for block in BLOCKS if block.language in RUN]
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)(?:#([^)]*))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def name_of(block: Block) -> str:
    first, *_ = block.text.splitlines()
    return f"{block.page}: {first}"


def anchors(page: Path) -> set[str]:
    """Name the headings of a page as links to them do."""
    headings = HEADING.findall(page.read_text("utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("block", COMMANDS, ids=name_of)
def test_every_block_of_commands_is_run_by_a_test_or_says_why_not(block: Block) -> None:
    own = block.test
    ways = [bool(block.reason), own is not None, bool(runner_of(ROOT / block.page)) and not own and not block.reason]
    assert ways.count(True) == 1, "write (not run here: the reason) above it, or <!-- run by tests/file.py::test -->"
    assert not block.reason or len(block.reason.split()) >= 3, "that is no reason"


@pytest.mark.parametrize("block", [block for block in COMMANDS if block.test], ids=name_of)
def test_a_test_that_a_block_names_is_there(block: Block) -> None:
    assert block.test
    file, name = block.test
    assert re.search(rf"^def {name}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("page", [page for page in PAGES if runner_of(page)], ids=lambda page: page.stem)
def test_the_test_that_a_page_names_plays_it(page: Path) -> None:
    source = (ROOT / runner_of(page)).read_text("utf-8")
    assert "play(" in source or "exec(" in source
    assert page.name in source or page.parent.name in source


@pytest.mark.parametrize("block", BLOCKS, ids=name_of)
def test_every_block_says_what_it_is(block: Block) -> None:
    assert block.language in LANGUAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text("utf-8")):
        place = page.parent / target
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), f"{target}#{anchor}"


SAID = [
    ("a\nb\n", "a\nb\n", True),
    ("b\n", "a\nb\nc\n", True),
    ("a\nc\n", "a\nb\nc\n", False),
    ("a\n…\nc\n", "a\nb\nb\nc\n", True),
    ("a\n…\n", "a\n", True),
    ("a … c\n", "a bb c  \n", True),
    ("a … c\n", "a b\nc\n", False),
    ("a.c\n", "abc\n", False),
    ("b\n", "ab\n", False),
    ("", "anything\n", True),
]


@pytest.mark.parametrize(("expected", "printed", "is_like"), SAID)
def test_an_ellipsis_stands_for_the_rest_of_its_line_or_for_lines(expected: str, printed: str, is_like: bool) -> None:
    assert looks_like(expected, printed) == is_like


def test_marks_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.pages.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- run by tests/a.py -->\n\nSo (not run here: needs a GPU):\n\n```sh\nb\n```\n"
        "<!-- run by tests/a.py::test_b -->\n```sh\nc\n```\n\nplain\n```python\nd\n```\n"
    )
    first, second, third = read_blocks(page)
    assert (first.reason, second.test, third.reason, third.test) == ("needs a GPU", ("tests/a.py", "test_b"), "", None)
    assert (runner_of(page), third.command) == ("tests/a.py", "python - <<'END OF BLOCK'\nd\nEND OF BLOCK\n")
