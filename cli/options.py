"""What several commands share: their options and arguments, and how an answer is printed."""

from pathlib import Path

import click
from pydantic_core import to_json

from cli.folder import DEFAULT

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FILE_OR_STDIN = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


def read_labels(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Read labels that were given as NAME=VALUE.

    Raises:
        click.BadParameter: one is not.
    """
    pairs = {name: value for name, equals, value in (each.partition("=") for each in values) if name and equals}
    for value in values:
        if value.partition("=")[0] not in pairs:
            raise click.BadParameter(f"{value!r} is not NAME=VALUE")
    return pairs


data_option = click.option(
    "--data", type=FOLDER, default=DEFAULT, show_default=True, help="Data folder of the 'ddoq up' to use."
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else there."
)
config_argument = click.argument("config_file", metavar="CONFIG", type=FILE_OR_STDIN)
job_argument = click.argument("job_id", metavar="JOB")


def tell(document: object, as_json: bool, words: str) -> None:
    """Print an answer: for programs the whole document, for people what they asked for."""
    click.echo(to_json(document, indent=1) if as_json else words)
