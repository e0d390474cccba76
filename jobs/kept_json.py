"""JSON objects of the object store that never change, read and parsed once."""

from typing import TypeVar, cast

from pydantic import TypeAdapter

from jobs.artifacts import ObjectStore
from jobs.kept import Kept

MOST_BYTES = 16 * 2**20  # of JSON whose values are kept; those take some times more
A = TypeVar("A")


class KeptJson:
    """What was read last, by key. Safe to share between threads."""

    def __init__(self, objects: ObjectStore, most_bytes: int = MOST_BYTES) -> None:
        self._objects = objects
        self._kept: Kept[object] = Kept(most_bytes)

    def read(self, key: str, kind: TypeAdapter[A]) -> A:
        """Read an object, which is always asked for as the same kind.

        Raises:
            ObjectNotFoundError: there is no such object.
            StorageUnavailableError: the object store is away.
        """
        if (found := self._kept.get(key)) is not None:
            return cast("A", found)
        text = self._objects.read(key)
        value = kind.validate_json(text)
        self._kept.put(key, len(text), value)
        return value
