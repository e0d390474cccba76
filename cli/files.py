"""Files that must not be seen by others, nor half written."""

import os
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, in one step."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    unfinished.replace(path)
