"""Values that cost something to make, kept while there is room for them."""

from collections import OrderedDict
from threading import Lock
from typing import Generic, TypeVar

V = TypeVar("V")


class Kept(Generic[V]):
    """What was asked for last, by key, up to so many bytes; the latest is kept in any case. For many threads."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._n_bytes = 0
        self._values: OrderedDict[str, tuple[int, V]] = OrderedDict()
        self._lock = Lock()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str) -> V | None:
        """Find a value, which is the latest asked for now."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][1]

    def put(self, key: str, n_bytes: int, value: V) -> None:
        """Keep a value of that size, in the place of an older one; for it, those go that were not asked for longest."""
        with self._lock:
            if key in self._values:
                self._n_bytes -= self._values.pop(key)[0]
            self._values[key] = (n_bytes, value)
            self._n_bytes += n_bytes
            while self._n_bytes > self._most_bytes and len(self._values) > 1:
                self._n_bytes -= self._values.popitem(last=False)[1][0]
