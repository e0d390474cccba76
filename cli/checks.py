"""What `ddoq doctor` finds on this machine: Python, packages, the device, room on disks."""

import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

from ddoq.measure_words import in_bytes

OLDEST_PYTHON = (3, 11)
LITTLE_ROOM, NO_ROOM = 10 * 2**30, 2**30  # bytes: less than a dataset and its latents often take, and than any job
REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)(\[(?P<extras>[\w,.-]+)\])?[^;]*(;.*extra == ['\"](?P<extra>[\w.-]+)['\"])?"
)


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True)
class Check:
    """Something that was looked at: what was found, and unless all is well how to mend it, in a sentence."""

    subject: str
    verdict: Verdict
    found: str
    mend: str = ""


def ok(subject: str, found: str) -> Check:
    """Tell of what is as it should be."""
    return Check(subject, Verdict.OK, found)


def warning(subject: str, found: str, mend: str) -> Check:
    """Tell of what works and may not be meant."""
    return Check(subject, Verdict.WARNING, found, mend)


def missing(subject: str, found: str, mend: str) -> Check:
    """Tell of what keeps something from working."""
    return Check(subject, Verdict.MISSING, found, mend)


def check_python() -> Check:
    """Look whether this Python is new enough."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        return missing("Python", found, "Install Python 3.11 or newer and ddoq in it.")
    return ok("Python", found)


def check_extra(extra: str, is_wanted: bool) -> Check:
    """Look whether the packages of an extra are installed."""
    subject, mend = f"packages of {extra}", f"Run: pip install 'ddoq[{extra}]'"
    absent = sorted(name for name in packages_of(extra) if not _is_installed(name))
    if not absent:
        return ok(subject, "installed")
    return (missing if is_wanted else warning)(subject, f"not installed: {', '.join(absent)}", mend)


def packages_of(extra: str) -> set[str]:
    """Name what `pip install 'ddoq[extra]'` asks for beside ddoq itself, by way of other extras too."""
    found = [row for line in requires("ddoq") or () if (row := REQUIREMENT.match(line)) and row["extra"] == extra]
    names = {row["name"] for row in found if row["name"] != "ddoq"}
    others = (other for row in found if row["name"] == "ddoq" for other in (row["extras"] or "").split(","))
    return names.union(*map(packages_of, others))


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def check_device() -> Iterator[Check]:
    """Look where torch would compute. Nothing is said where there is no torch: that is told of its package."""
    if not _is_installed("torch"):
        return
    import torch

    from ddoq.device import choose_device

    device = choose_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    if device.type == "cpu":
        mend = "Keep to small images and models, or install the driver of a GPU and the build of torch for it."
        yield warning("device", f"CPU alone, torch {torch.__version__}", mend)
    else:
        yield ok("device", f"{name}, torch {torch.__version__}")


def check_room(subject: str, folder: Path) -> Check:
    """Look for room on the disk of a folder, which may still have to be made."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    found = f"{in_bytes(free)} free at {folder}"
    if free < NO_ROOM:
        return missing(subject, found, "Make room, or name a folder on another disk.")
    if free < LITTLE_ROOM:
        return warning(subject, found, "Make room before a job on a large dataset, or name a folder on another disk.")
    return ok(subject, found)
