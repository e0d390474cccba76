"""docs/how-to, word for word, each page where the tutorial has its digits and its service."""

from pathlib import Path

import pytest

from tests.integration.launch import environment
from tests.pages import ROOT, play, read_blocks, runner_of

HERE = str(Path(__file__).relative_to(ROOT))
PAGES = [page for page in sorted((ROOT / "docs" / "how-to").glob("*.md")) if runner_of(page) == HERE]
BEFORE = [
    block
    for block in read_blocks(ROOT / "docs" / "tutorial.md")
    if "load_digits" in block.text or "ddoq up" in block.text
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_the_page_holds_word_for_word(page: Path, server_folder: Path) -> None:
    cache = {"XDG_CACHE_HOME": str(server_folder / "cache")}
    play([*BEFORE, *read_blocks(page)], server_folder, {**environment(), **cache})
