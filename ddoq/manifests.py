"""The last file that a stage writes: its presence says that the stage is complete."""

import os
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

NAME = "manifest.json"
M = TypeVar("M")


def write_manifest(folder: Path, manifest: object) -> None:
    """Write `manifest` (a dataclass of plain values) into `folder`, whole or not at all."""
    unfinished = folder / f"{NAME}.part"
    unfinished.write_bytes(TypeAdapter(type(manifest)).dump_json(manifest, indent=1))
    os.replace(unfinished, folder / NAME)  # noqa: PTH105  one atomic step


def read_manifest(folder: Path, kind: type[M]) -> M:
    """Read the manifest of a complete stage."""
    return TypeAdapter(kind).validate_json((folder / NAME).read_bytes())


def is_complete(folder: Path) -> bool:
    """Whether the stage that writes `folder` has finished."""
    return (folder / NAME).is_file()
