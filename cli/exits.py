"""How a command ends: exit codes that scripts can rely on, and every expected error in one sentence."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Any

import click

from cli.words import printable
from ddoq.errors import ConfigError, DdoqError
from ddoq_client.errors import (
    ArtifactError,
    NotAnsweredError,
    NotConfiguredError,
    NotDdoqError,
    ProblemError,
    ServiceError,
)
from ddoq_client.errors import ConfigError as RefusedConfigError


class Exit(IntEnum):
    """An exit code. None ever changes its meaning; `docs/cli.md` lists them."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    JOB_FAILED = 3
    JOB_STOPPED = 4
    NOT_FOUND = 5
    NO_ANSWER = 6
    KEY_REJECTED = 7
    INTERRUPTED = 130


MEANINGS: Mapping[Exit, str] = MappingProxyType(
    {
        Exit.DONE: "done; of a job that was watched: it succeeded",
        Exit.REFUSED: "refused, or failed for another reason than those below",
        Exit.USAGE: "the command line, the config or a setting is wrong",
        Exit.JOB_FAILED: "the job failed",
        Exit.JOB_STOPPED: "the job was cancelled, or expired",
        Exit.NOT_FOUND: "there is no such job, upload or file, or not any more",
        Exit.NO_ANSWER: "the service, or a server that the command needs, did not answer, or something else did",
        Exit.KEY_REJECTED: "the API key was rejected, or lacks a scope",
        Exit.INTERRUPTED: "interrupted by Ctrl-C; a job that was watched runs on",
    }
)

OF_ERRORS: Mapping[type[Exception], Exit] = MappingProxyType(
    {
        ConfigError: Exit.USAGE,
        RefusedConfigError: Exit.USAGE,
        NotConfiguredError: Exit.USAGE,
        ArtifactError: Exit.NOT_FOUND,
        NotAnsweredError: Exit.NO_ANSWER,
        NotDdoqError: Exit.NO_ANSWER,
    }
)
OF_CODES: Mapping[str, Exit] = MappingProxyType(
    {"config.invalid": Exit.USAGE, "request.invalid": Exit.USAGE, "request.idempotency_mismatch": Exit.USAGE}
)
OF_STATUSES: Mapping[int, Exit] = MappingProxyType(
    {
        401: Exit.KEY_REJECTED,
        403: Exit.KEY_REJECTED,
        404: Exit.NOT_FOUND,
        410: Exit.NOT_FOUND,
        502: Exit.NO_ANSWER,
        503: Exit.NO_ANSWER,
        504: Exit.NO_ANSWER,
    }
)


class CommandError(click.ClickException):
    """The command cannot do what it was asked for."""

    def __init__(self, message: str, code: Exit = Exit.REFUSED) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]  # click's own is one for a whole class


class Commands(click.Group):
    """Commands that end with one of our exit codes and a sentence where an error was to be expected."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """Name the commands in the order in which they are used."""
        return list(self.commands)

    def invoke(self, context: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            click.echo("\ninterrupted", err=True)
            raise click.exceptions.Exit(Exit.INTERRUPTED) from None
        except BrokenPipeError:
            raise  # whoever reads has seen enough: click ends without a word
        except (DdoqError, ServiceError, ModuleNotFoundError, OSError) as error:
            raise explain(error) from error


def explain(error: DdoqError | ServiceError | ModuleNotFoundError | OSError) -> CommandError:
    """Say what went wrong in a sentence, with the hint where there is one, and choose the exit code."""
    code = next((code for kind, code in OF_ERRORS.items() if isinstance(error, kind)), Exit.REFUSED)
    if isinstance(error, ProblemError):
        return CommandError(with_hint(f"{error.code}: {error.detail}", error.hint), exit_of(error.code, error.status))
    if isinstance(error, DdoqError):
        return CommandError(f"{error.code}: {error}", code)
    if isinstance(error, ModuleNotFoundError):
        return CommandError(f"{error.name} is not installed; 'ddoq doctor' says what to install for which command")
    if isinstance(error, OSError):
        return CommandError(f"{error.filename or 'the file system'}: {error.strerror or error}")
    return CommandError(str(error), code)


def with_hint(sentence: str, hint: str) -> str:
    """Put below a sentence of the service what to do about it."""
    return "\nHint: ".join(printable(text) for text in (sentence, hint) if text)


def exit_of(code: str, status: int) -> Exit:
    """Choose the exit code for a request that the service refused."""
    return OF_CODES.get(code) or OF_STATUSES.get(status, Exit.REFUSED)
