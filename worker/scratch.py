"""What a worker keeps on its disk: the work at hand, and of other jobs what it made or fetched, up to a size."""

import hashlib
import os
import shutil
import stat
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from jobs.artifacts import ObjectStore


class Scratch:
    """One worker's own folder, in front of the object store: what lies here is not fetched again.

    Folders have the names of their prefixes in the store, so that they can be told apart by job. What a killed process
    left here is used like all else: a folder with its manifest is complete.
    """

    def __init__(self, root: Path, objects: ObjectStore, max_bytes: int) -> None:
        self._root = root
        self._objects = objects
        self._max_bytes = max_bytes
        self._job_id: str | None = None

    def folder(self, prefix: str) -> Path:
        """Where the folder of a prefix lies, or would."""
        return self._root / prefix

    def sources(self, job_id: str) -> Path:
        """Where the datasets of a job are kept that have to be fetched whole."""
        return self._of_job(job_id) / "sources"

    def joined(self, job_id: str, stage: str, prefixes: Sequence[str]) -> Path:
        """Where the parts of a stage are put together; other parts, another folder."""
        name = hashlib.sha256("\n".join(prefixes).encode()).hexdigest()[:16]
        return self._of_job(job_id) / stage / f"joined-{name}"

    def bring(self, prefixes: Sequence[str]) -> list[Path]:
        """Fetch what is not here of these complete folders.

        Raises:
            ObjectNotFoundError: one of them is not complete in the object store.
            StorageUnavailableError: that is away.
        """
        for prefix in prefixes:
            self._objects.download_folder(prefix, self.folder(prefix))
        return [self.folder(prefix) for prefix in prefixes]

    def forget(self, prefix: str) -> None:
        """Delete what lies here of a prefix."""
        shutil.rmtree(self.folder(prefix), ignore_errors=True)

    def turn_to(self, job_id: str) -> None:
        """Begin work on a job. When that is another than before, make room: what was unused longest goes first."""
        self._of_job(job_id).mkdir(parents=True, exist_ok=True)
        os.utime(self._of_job(job_id))
        if job_id != self._job_id:
            self.make_room(job_id, self._max_bytes)
        self._job_id = job_id

    def make_room(self, job_id: str, max_bytes: int) -> None:
        """Delete folders of other jobs until they take `max_bytes` at most."""
        others = [folder for folder in self._jobs() if folder.name != job_id]
        sizes = {folder: _size(folder) for folder in others}
        excess = sum(sizes.values()) - max_bytes
        for folder in sorted(others, key=lambda folder: folder.stat().st_mtime):
            if excess <= 0:
                return
            shutil.rmtree(folder)
            excess -= sizes[folder]

    def job_ids(self) -> list[str]:
        """Name the jobs of which something is here."""
        return [folder.name for folder in self._jobs()]

    def keep_only(self, job_ids: Collection[str]) -> None:
        """Delete what is of other jobs."""
        for folder in self._jobs():
            if folder.name not in job_ids:
                shutil.rmtree(folder)

    def _of_job(self, job_id: str) -> Path:
        return self._root / "jobs" / job_id

    def _jobs(self) -> list[Path]:
        below = self._root / "jobs"
        return list(below.iterdir()) if below.is_dir() else []


def _size(folder: Path) -> int:
    """Bytes of the files below a folder; a file with several names counts once."""
    sizes: dict[int, int] = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            found = path.lstat()
            if stat.S_ISREG(found.st_mode):
                sizes[found.st_ino] = found.st_size
    return sum(sizes.values())
