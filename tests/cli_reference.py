"""The reference of the command line, generated from the commands themselves.

python -m tests.cli_reference    write it into docs/cli.md, behind what is written there by hand
"""

from collections.abc import Iterator
from pathlib import Path

import click

from cli.exits import MEANINGS
from cli.main import main

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
BORDER = "<!-- What follows is generated: make docs-reference -->\n"


def describe_commands() -> str:
    """Write the exit codes and every command with its arguments and options as Markdown."""
    codes = (f"| {code.value} | {words} |" for code, words in MEANINGS.items())
    parts = [
        "## Exit codes",
        "\n".join(("| code | meaning |", "|---|---|", *codes)),
        "## Commands",
        *(_describe(name, command) for name, command in _walk("ddoq", main)),
    ]
    return "\n\n".join(parts) + "\n"


def page() -> str:
    """Write the page anew."""
    by_hand = PAGE.read_text("utf-8").partition(BORDER)[0]
    return f"{by_hand}{BORDER}\n{describe_commands()}"


def _walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, groups' before the next of their level."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    for each, below in command.commands.items():
        yield from _walk(f"{name} {each}", below)


def _describe(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name, terminal_width=1000, max_content_width=1000)
    usage = " ".join((name, *command.collect_usage_pieces(context)))
    options = (each for each in command.params if isinstance(each, click.Option))
    rows = [row for option in options if (row := option.get_help_record(context))]
    table = "\n".join(("| option | meaning |", "|---|---|", *(f"| `{_cell(a)}` | {_cell(b)} |" for a, b in rows)))
    parts = [f"### {name}", f"```text\n{usage}\n```", _plain(command.help or ""), table if rows else ""]
    return "\n\n".join(filter(None, parts))


def _plain(text: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
