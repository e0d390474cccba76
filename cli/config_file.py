"""The config of a distillation, from a file or from what is piped in."""

import sys
from pathlib import Path

from pydantic import ValidationError

from cli.exits import CommandError, Exit
from ddoq.config import DistillConfig

STDIN = Path("-")


def read_config(file: Path) -> DistillConfig:
    """Read a config from a JSON file, or from stdin where `file` is `-`.

    Raises:
        CommandError: it is not one; the message names every fault.
    """
    text = sys.stdin.buffer.read() if file == STDIN else file.read_bytes()
    try:
        return DistillConfig.model_validate_json(text)
    except ValidationError as error:
        name = "what came in" if file == STDIN else file
        faults = (f"{'.'.join(map(str, fault['loc'])) or 'the whole'}: {fault['msg']}" for fault in error.errors())
        raise CommandError(f"{name} is not a config: {'; '.join(faults)}", Exit.USAGE) from error
