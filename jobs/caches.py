"""What outlives a job: folders kept in the object store under content keys, such as a fitted prior."""

import hashlib
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from ddoq.caches import Kept, choose_evicted
from jobs.artifacts import ObjectStore, Stored
from jobs.errors import ObjectNotFoundError
from jobs.settings import Settings

SUFFIX = ".tar"  # a folder is one object, so that it is there whole or not at all
USED = ".used"  # an empty object beside it, as old as the latest fetch: reading changes no time in S3


def open_cache(objects: ObjectStore, settings: Settings, owner: str) -> "ObjectCache":
    """Open the cache of an owner, or where all share one, that."""
    return ObjectCache(objects, "" if settings.cache_shared else owner, settings.cache_bytes)


class ObjectCache:
    """The folders of one owner, of `max_bytes` in all. Safe to share between threads and processes.

    Storing evicts what was unused longest (`choose_evicted`), by the clock of the object store. Every call raises
    StorageUnavailableError when that is away.
    """

    def __init__(self, objects: ObjectStore, owner: str, max_bytes: int) -> None:
        self._objects = objects
        self._max_bytes = max_bytes
        self._root = f"cache/{hashlib.sha256(owner.encode()).hexdigest()[:32]}"  # an owner may be called anything

    def names(self, prefix: str) -> list[str]:
        """List what is kept below `prefix`, in order."""
        keys = self._objects.list_keys(f"{self._root}/{prefix}")
        return sorted(self._name(key) for key in keys if key.endswith(SUFFIX))

    def fetch(self, name: str, folder: Path) -> bool:
        """Put what is kept under `name` in the place of `folder`; answer False when there is nothing."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as unfinished:
            packed, unpacked = Path(unfinished, "packed"), Path(unfinished, "unpacked")
            try:
                self._objects.fetch_file(self._key(name, SUFFIX), packed)
            except ObjectNotFoundError:
                return False
            self._objects.put_empty(self._key(name, USED))
            with tarfile.open(packed) as tar:
                tar.extractall(unpacked, filter="data")
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(unpacked, folder)  # noqa: PTH105  one atomic step
        return True

    def store(self, name: str, folder: Path) -> None:
        """Keep a folder under `name`, in the place of what was kept there."""
        with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as unfinished:
            packed = Path(unfinished, "packed")
            with tarfile.open(packed, "w") as tar:
                tar.add(folder, ".")
            self._objects.put_file(packed, self._key(name, SUFFIX), "application/x-tar")
        self._evict()

    def forget(self, name: str) -> None:
        """Keep it no longer."""
        self._objects.delete(self._key(name, SUFFIX))
        self._objects.delete(self._key(name, USED))

    def _evict(self) -> None:
        """Forget what has to go, and uses of what is gone."""
        tars, uses = dict[str, Stored](), dict[str, Stored]()
        for stored in self._objects.list_stored(self._root):
            (uses if stored.key.endswith(USED) else tars)[self._name(stored.key)] = stored
        kept = [
            Kept(name, tar.size_bytes, max(tar.modified, uses.get(name, tar).modified).timestamp())
            for name, tar in tars.items()
        ]
        for name in choose_evicted(kept, self._max_bytes):
            self.forget(name)
        for name in uses.keys() - tars.keys():
            self._objects.delete(self._key(name, USED))

    def _key(self, name: str, suffix: str) -> str:
        return f"{self._root}/{name}{suffix}"

    def _name(self, key: str) -> str:
        return key.removeprefix(f"{self._root}/").removesuffix(SUFFIX).removesuffix(USED)
