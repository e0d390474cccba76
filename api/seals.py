"""Texts that come back as they were given out: signed under a key derived from the server's pepper. Pure."""

import base64
import binascii
import hashlib
import hmac


class Seal:
    """Sign and check texts for one purpose; what was sealed for another is not opened."""

    def __init__(self, pepper: bytes, purpose: bytes, n_bytes: int = 32) -> None:
        self._key = hmac.digest(pepper, purpose, hashlib.sha256)
        self._n_bytes = n_bytes

    def seal(self, text: str, *context: str) -> str:
        """Wrap a text, good only where `context` is the same."""
        return base64.urlsafe_b64encode(self.mac(text, *context) + text.encode()).decode().rstrip("=")

    def unseal(self, sealed: str, *context: str) -> str | None:
        """Return the text; None when it is none of ours, or was sealed for another context."""
        try:
            raw = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
            text = raw[self._n_bytes :].decode()
        except (binascii.Error, ValueError):
            return None
        return text if hmac.compare_digest(raw[: self._n_bytes], self.mac(text, *context)) else None

    def mac(self, text: str, *context: str) -> bytes:
        """Sign a text in its context."""
        return hmac.digest(self._key, "\0".join((text, *context)).encode(), hashlib.sha256)[: self._n_bytes]
