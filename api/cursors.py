"""Cursors of lists: opaque, signed, good only for the list that gave them out. Pure."""

import base64
import binascii
import hashlib
import hmac

from api.errors import CursorError, Fault

_MAC_BYTES = 16


class Cursors:
    """Sign and check cursors under a key derived from the server's pepper."""

    def __init__(self, pepper: bytes) -> None:
        self._key = hmac.digest(pepper, b"ddoq cursors", hashlib.sha256)

    def seal(self, after: str, *listing: str) -> str:
        """Wrap the place behind `after` in the list that `listing` tells apart: whose, and filtered how."""
        return base64.urlsafe_b64encode(self._mac(after, listing) + after.encode()).decode().rstrip("=")

    def unseal(self, cursor: str, *listing: str) -> str:
        """Return the place in the list.

        Raises:
            CursorError: the cursor is none of ours, or was given out for another list.
        """
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            after = raw[_MAC_BYTES:].decode()
        except (binascii.Error, ValueError):
            raise _refusal() from None
        if not hmac.compare_digest(raw[:_MAC_BYTES], self._mac(after, listing)):
            raise _refusal()
        return after

    def _mac(self, after: str, listing: tuple[str, ...]) -> bytes:
        text = "\0".join((after, *listing)).encode()
        return hmac.digest(self._key, text, hashlib.sha256)[:_MAC_BYTES]


def _refusal() -> CursorError:
    message = "the cursor was not given out for this list; begin again without one"
    return CursorError(message, [Fault("?cursor", CursorError.code, message)])
