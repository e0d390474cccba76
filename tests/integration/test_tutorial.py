"""docs/tutorial.md, word for word, in an empty folder."""

from pathlib import Path

import pytest

from tests.integration.launch import environment
from tests.pages import ROOT, play, read_blocks


@pytest.mark.timeout(900)
def test_the_tutorial_holds_word_for_word(server_folder: Path) -> None:
    play(read_blocks(ROOT / "docs" / "tutorial.md"), server_folder, environment())
