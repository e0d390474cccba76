"""Stages cut into blocks, each of which is kept by itself. Torch-free."""

from collections.abc import Iterable
from pathlib import Path

from ddoq.manifests import is_complete


def block_range(index: int, of: int, n_blocks: int) -> range:
    """Name the blocks of one of `of` units."""
    return range(index * n_blocks // of, (index + 1) * n_blocks // of)


def block_folder(folder: Path, block: int) -> Path:
    """Where a block of the stage in `folder` lies."""
    return folder / "blocks" / f"{block:05d}"


def left_to_do(folder: Path, blocks: Iterable[int]) -> list[int]:
    """Name the blocks that are not complete in `folder`."""
    return [block for block in blocks if not is_complete(block_folder(folder, block))]
