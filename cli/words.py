"""Values -> words and columns for people."""

from collections.abc import Sequence
from datetime import datetime


def in_columns(rows: Sequence[Sequence[str]]) -> str:
    """Align rows of as many cells each."""
    safe = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*safe, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in safe)
    return "\n".join(line.rstrip() for line in lines)


def printable(text: str) -> str:
    """Show what would steer a terminal, such as an escape in the name of a stranger's file, as a mark."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def in_time(seconds: float) -> str:
    """Write a duration by its two largest units, as in 3 min 12 s."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"


def at_time(moment: datetime) -> str:
    """Write a moment to the minute, by the clock of this machine."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def in_pairs(labels: dict[str, str]) -> str:
    """Write labels as they are given on the command line."""
    return " ".join(f"{name}={value}" for name, value in labels.items())
