"""What a process leaves for its successor, should it be killed: which unit it had. So nobody waits for the lease."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ValidationError
from sqlalchemy import NullPool, create_engine

from jobs.errors import LeaseLostError
from jobs.leases import Leases
from jobs.records import Claim
from jobs.settings import Settings

NAME: Final = "unit.json"
OOM_COUNTERS: Final = ("/sys/fs/cgroup/memory.events", "/proc/vmstat")  # of this container, or of the whole machine
OOM_KILLS: Final = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)

log = logging.getLogger(__name__)


class Note(BaseModel):
    """A unit at work: `pid` of the process, and how many the system had killed for want of memory when it began."""

    unit_id: int
    token: str
    pid: int
    oom_kills: int


@contextmanager
def noted(scratch: Path, claim: Claim) -> Iterator[None]:
    """Leave a note for as long as the block runs; a process that can still raise speaks for itself."""
    note = Note(unit_id=claim.unit_id, token=claim.token, pid=os.getpid(), oom_kills=count_oom_kills())
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        (scratch / NAME).write_text(note.model_dump_json())
    except OSError as error:  # the work itself will say so, if it needs the room
        log.warning("no note of unit %s: %s", claim.unit_id, error)
    try:
        yield
    finally:
        (scratch / NAME).unlink(missing_ok=True)


def report_predecessor(settings: Settings) -> bool:
    """Tell of the unit whose process was killed in the middle of it, if there is a note; True when it is free now."""
    file = settings.scratch / NAME
    try:
        note = Note.model_validate_json(file.read_bytes())
    except (FileNotFoundError, ValidationError):
        return False
    if note.pid != os.getpid() and _is_alive(note.pid):
        return False  # its lease decides
    is_memory = count_oom_kills() > note.oom_kills
    reason = "the system killed its process for want of memory" if is_memory else "its process was killed"
    engine = create_engine(settings.database_url, poolclass=NullPool, connect_args={"connect_timeout": 10})
    leases = Leases(engine, settings.lease_seconds, settings.max_attempts)
    try:
        leases.crash_lost(note.unit_id, note.token, reason, out_of_memory=is_memory)
    except LeaseLostError:
        return False
    finally:
        file.unlink(missing_ok=True)
    log.warning("unit %s: %s", note.unit_id, reason)
    return True


def count_oom_kills() -> int:
    """How many processes the system has killed for want of memory, in this container where it counts by container."""
    for name in OOM_COUNTERS:
        try:
            found = OOM_KILLS.search(Path(name).read_text())
        except OSError:
            continue
        if found:
            return int(found[1])
    return 0


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
