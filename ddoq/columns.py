"""Which column of a table, or field of a JSON file, holds the image and which the label."""

from collections.abc import Collection
from typing import Final

from ddoq.dataset_config import IMAGE_COLUMN, LABEL_COLUMN

# The usual names, tried in this order where the config names none.
IMAGE_COLUMNS: Final = (IMAGE_COLUMN, "img", "file_name", "filename", "path", "file")
LABEL_COLUMNS: Final = (LABEL_COLUMN, "labels", "cls", "class", "category")
SPLIT_COLUMN: Final = "split"


def image_columns(wanted: str) -> tuple[str, ...]:
    """List the names under which the image may be found."""
    return IMAGE_COLUMNS if wanted == IMAGE_COLUMN else (wanted,)


def label_columns(wanted: str) -> tuple[str, ...]:
    """List the names under which the label may be found."""
    return LABEL_COLUMNS if wanted == LABEL_COLUMN else (wanted,)


def first_of(names: Collection[str], present: Collection[str]) -> str | None:
    return next((name for name in names if name in present), None)


def remark_on(taken: str, default: str) -> str:
    """Say which column was taken instead of one that is not there."""
    return f"There is no column {default!r}; {taken!r} was taken"
