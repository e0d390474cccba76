"""Cursors of lists: opaque, signed, good only for the list that gave them out. Pure."""

from api.errors import CursorError, Fault
from api.seals import Seal

_MAC_BYTES = 16


class Cursors:
    """Sign and check cursors under a key derived from the server's pepper."""

    def __init__(self, pepper: bytes) -> None:
        self._seal = Seal(pepper, b"ddoq cursors", _MAC_BYTES)

    def seal(self, after: str, *listing: str) -> str:
        """Wrap the place behind `after` in the list that `listing` tells apart: whose, and filtered how."""
        return self._seal.seal(after, *listing)

    def unseal(self, cursor: str, *listing: str) -> str:
        """Return the place in the list.

        Raises:
            CursorError: the cursor is none of ours, or was given out for another list.
        """
        after = self._seal.unseal(cursor, *listing)
        if after is None:
            message = "the cursor was not given out for this list; begin again without one"
            raise CursorError(message, [Fault("?cursor", CursorError.code, message)])
        return after
