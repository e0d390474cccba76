"""What is written of the commands, against the commands."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli.main import main
from tests.cli_reference import PAGE, page

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WRITTEN = re.compile(r"^(?:[$] )?ddoq (?![A-Z[(])(.+)$", re.MULTILINE)
ENDS = {"|", "||", "&&", "<", ">"}
WITHOUT_JSON = {"up", "completion"}  # one runs until it is stopped, the other prints a script


def commands(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from commands(command)
        else:
            yield command


EVERY = list(commands(main))
NAMES = [str(command.name) for command in EVERY]


def test_the_reference_is_that_of_the_commands() -> None:
    assert page() == PAGE.read_text("utf-8"), "run make docs-reference"


@pytest.mark.parametrize("command", EVERY, ids=NAMES)
def test_every_command_and_each_of_its_options_says_what_it_is_for(command: click.Command) -> None:
    silent = [option.name for option in command.params if isinstance(option, click.Option) and not option.help]
    assert (bool(command.help), silent) == (True, [])


@pytest.mark.parametrize("command", EVERY, ids=NAMES)
def test_every_command_that_answers_can_answer_in_json(command: click.Command) -> None:
    has_json = any("--json" in option.opts for option in command.params)
    assert has_json == (command.name not in WITHOUT_JSON)


def written() -> Iterator[str]:
    """Find the command lines in the code blocks of our pages, the generated ones left out."""
    for path in PAGES:
        text = path.read_text("utf-8").partition("## Commands\n\n### ddoq")[0]
        for block in re.findall(r"```(?:sh)?\n(.*?)```", text, re.DOTALL):
            yield from WRITTEN.findall(block)


def find(words: list[str]) -> tuple[click.Command, list[str]]:
    """Find a command, also below a group; answer what is left for it."""
    command: click.Command = main
    while isinstance(command, click.Group):
        command, words = command.commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize("line", sorted(set(written())))
def test_every_command_line_in_the_docs_is_one_that_the_command_takes(line: str) -> None:
    words = shlex.split(line, comments=True)
    end = next((place for place, word in enumerate(words) if word in ENDS), len(words))
    command, rest = find(words[:end])
    given, left, _ = command.make_parser(click.Context(command)).parse_args(rest)
    missing = [each.name for each in command.params if each.required and given.get(str(each.name)) is None]
    assert (left, missing) == ([], [])
