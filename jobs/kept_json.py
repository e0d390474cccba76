"""JSON objects of the object store that never change, read and parsed once."""

from collections import OrderedDict
from threading import Lock
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter

from jobs.artifacts import ObjectStore

MOST_BYTES = 16 * 2**20  # of JSON whose values are kept; those take some times more
A = TypeVar("A")


class KeptJson:
    """What was read last, by key. Safe to share between threads."""

    def __init__(self, objects: ObjectStore, most_bytes: int = MOST_BYTES) -> None:
        self._objects = objects
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, tuple[int, object]] = OrderedDict()
        self._n_bytes = 0
        self._lock = Lock()

    def read(self, key: str, kind: TypeAdapter[A]) -> A:
        """Read an object, which is always asked for as the same kind.

        Raises:
            ObjectNotFoundError: there is no such object.
            StorageUnavailableError: the object store is away.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return cast("A", self._kept[key][1])
        text = self._objects.read(key)
        value = kind.validate_json(text)
        self._keep(key, len(text), value)
        return value

    def _keep(self, key: str, n_bytes: int, value: Any) -> None:
        with self._lock:
            self._n_bytes += n_bytes - self._kept.pop(key, (0, None))[0]
            self._kept[key] = (n_bytes, value)
            while self._n_bytes > self._most_bytes and len(self._kept) > 1:
                self._n_bytes -= self._kept.popitem(last=False)[1][0]
