"""`ddoq completion`: the script by which a shell completes our commands."""

from collections.abc import Mapping
from types import MappingProxyType

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

SHELLS: Mapping[str, type[ShellComplete]] = MappingProxyType(
    {"bash": BashComplete, "fish": FishComplete, "zsh": ZshComplete}
)


@click.command()
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    For bash, put eval "$(ddoq completion bash)" into ~/.bashrc, for zsh the same with zsh into ~/.zshrc, and for fish
    run ddoq completion fish > ~/.config/fish/completions/ddoq.fish once.
    """
    click.echo(SHELLS[shell](context.find_root().command, {}, "ddoq", "_DDOQ_COMPLETE").source())
