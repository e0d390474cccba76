"""What a stage cost in time and memory. Kept beside its files and not in the archive, which has no clock."""

import re
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import torch
from pydantic import TypeAdapter

from ddoq.device import choose_device

NAME: Final = "usage.json"
FORGET_PEAK: Final = "5"  # see proc_pid_clear_refs(5)
PEAK: Final = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
COUNTS_MEMORY: Final = ("cuda", "xpu")  # the accelerators whose allocators do


@dataclass(frozen=True)
class Usage:
    """What one stage took, of this process alone.

    `peak_bytes` are resident. Where the system does not forget an earlier peak, `peak_of` is "process", and they may
    be of something that the process did before. `accelerator_bytes` are those that torch held there, if there is one.
    """

    seconds: float
    peak_bytes: int
    peak_of: Literal["stage", "process"]
    accelerator_bytes: int | None


@contextmanager
def measure_usage(folder: Path) -> Iterator[None]:
    """Measure the work in the block; write what it took into `folder`, unless it raises."""
    counts, is_forgotten = choose_device().type in COUNTS_MEMORY, _forget_peak()
    if counts:
        torch.accelerator.reset_peak_memory_stats()
    start = time.monotonic()
    yield
    seconds, peak = round(time.monotonic() - start, 3), _peak_bytes() if is_forgotten else None
    usage = Usage(
        seconds=seconds,
        peak_bytes=_peak_of_life() if peak is None else peak,
        peak_of="process" if peak is None else "stage",
        accelerator_bytes=torch.accelerator.max_memory_allocated() if counts else None,
    )
    (folder / NAME).write_bytes(TypeAdapter(Usage).dump_json(usage, indent=1))


def read_usage(folder: Path) -> Usage | None:
    """Read what the stage in `folder` took; None where nobody measured it."""
    file = folder / NAME
    return TypeAdapter(Usage).validate_json(file.read_bytes()) if file.is_file() else None


def _forget_peak() -> bool:
    """Let the peak of resident memory start from what is resident now; say whether the system did so."""
    try:
        Path("/proc/self/clear_refs").write_text(FORGET_PEAK)
    except OSError:  # no Linux, or not allowed here
        return False
    return True


def _peak_bytes() -> int | None:
    """Peak of resident memory since it was last forgotten; None where the system does not tell."""
    found = PEAK.search(Path("/proc/self/status").read_text())
    return 1024 * int(found[1]) if found else None


def _peak_of_life() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
