"""The code blocks of our pages: which of them are run, by which test, and what has to come of them.

A page whose first line is a comment as of `NAMES_A_TEST` has its blocks of shell and Python run by that test, in their
order, in one shell. A block is left out by a mark on the line above it, which says why, and a block of `text` that
follows at once is what the block before it prints: an ellipsis there stands for anything in its line, or, alone, for
lines.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
LANGUAGES = {"sh", "python", "json", "text"}
RUN = {"sh", "python"}
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"\(not run here: (.+)\)")
NAMES_A_TEST = re.compile(r"<!-- run by (tests/[\w/]+\.py)(?:::(\w+))? -->")
BEGIN = "set -euo pipefail; trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n"
SECONDS = 840
ELLIPSIS = "…"
FENCE = "```"


@dataclass(frozen=True)
class Block:
    """A fenced block; `above` is the line before it, empty ones left out."""

    page: str
    language: str
    text: str
    above: str

    @property
    def reason(self) -> str:
        """Why it is not run, if it says so."""
        mark = NOT_RUN.search(self.above)
        return mark[1] if mark else ""

    @property
    def test(self) -> tuple[str, str] | None:
        """File and name of the test that runs it, if it names one of its own."""
        named = NAMES_A_TEST.fullmatch(self.above)
        return (named[1], named[2] or "") if named else None

    @property
    def command(self) -> str:
        """What a shell has to be told to run it."""
        return f"python - <<'END OF BLOCK'\n{self.text}END OF BLOCK\n" if self.language == "python" else self.text


NOTHING = Block("", "", "", "")


def read_blocks(page: Path) -> Iterator[Block]:
    """Read the code blocks of a page."""
    text = page.read_text("utf-8")
    for found in FENCED.finditer(text):
        above = text[: found.start()].rstrip().rpartition("\n")[2]
        yield Block(str(page.relative_to(ROOT)), found[1], found[2], above)


def runner_of(page: Path) -> str:
    """Name the file of the test that runs all blocks of a page but those with a mark, if there is one."""
    named = NAMES_A_TEST.fullmatch(page.read_text("utf-8").partition("\n")[0])
    return named[1] if named else ""


def play(blocks: Iterable[Block], folder: Path, variables: Mapping[str, str]) -> None:
    """Run blocks in `folder`, but for those with a mark; compare what they print with what is said.

    Raises:
        AssertionError: a command failed, or printed something else; it says which, and what was printed.
    """
    steps = list(_steps(blocks))
    printed, code = _run([block for block, _ in steps], folder, variables)
    assert code == 0, f"exit code {code} of\n{steps[len(printed) - 1][0].text}\n{printed[-1]}"
    for (block, expected), lines in zip(steps, printed, strict=True):
        assert looks_like(expected, lines), f"in {block.page}\n{block.text}\nprinted\n{lines}\nand not\n{expected}"


def _steps(blocks: Iterable[Block]) -> Iterator[tuple[Block, str]]:
    """Pair each block that is run with what it prints, as far as that is said."""
    for block, after in pairwise([*blocks, NOTHING]):
        if block.language in RUN and not block.reason and not block.test:
            yield block, after.text if after.language == "text" and after.above == FENCE else ""


def _run(blocks: Sequence[Block], folder: Path, variables: Mapping[str, str]) -> tuple[list[str], int]:
    """Run blocks in one shell, whose `python` and `ddoq` are ours; answer what each printed, and the exit code."""
    border = "---- the next block ----\n"
    script = BEGIN + f"printf -- '{border.rstrip()}\\n'\n".join(block.command for block in blocks)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env={**variables, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # what is left of it can be ended as a whole
    )
    try:
        printed, _ = shell.communicate(timeout=SECONDS)
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGTERM)
            shell.communicate(timeout=60)
    return printed.split(border), shell.returncode


def looks_like(expected: str, printed: str) -> bool:
    """Whether the lines of `expected`, with what its ellipses stand for, are printed one behind the other."""
    lines = "".join(f"{line.rstrip()}\n" for line in printed.splitlines())
    return bool(re.search("^" + "".join(map(_pattern, expected.splitlines())), lines, re.MULTILINE))


def _pattern(line: str) -> str:
    if line == ELLIPSIS:
        return r"(?:.*\n)*?"
    return ".*".join(map(re.escape, line.split(ELLIPSIS))) + r"\n"
