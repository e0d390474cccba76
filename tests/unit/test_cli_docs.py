"""docs/cli.md against the commands."""

from collections.abc import Iterator

import click
import pytest

from cli.main import main
from tests.cli_reference import PAGE, page

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
