"""What a browser holds instead of the API key: a session's token, and a token for its forms. Pure."""

import hmac
from typing import Final

from api.errors import ForeignFormError, NoSessionError
from api.seals import Seal

SESSION_SECONDS: Final = 12 * 3600


class SessionTokens:
    """Sign and check tokens under keys derived from the server's pepper."""

    def __init__(self, pepper: bytes) -> None:
        self._sessions = Seal(pepper, b"ddoq page sessions")
        self._forms = Seal(pepper, b"ddoq page forms")

    def issue(self, key_id: str, now: float) -> str:
        """Name an API key by a token that ends `SESSION_SECONDS` from now; times are in seconds of Unix."""
        return self._sessions.seal(f"{key_id} {int(now) + SESSION_SECONDS}")

    def key_id(self, token: str, now: float) -> str:
        """Tell which API key a token names.

        Raises:
            NoSessionError: the token is none of ours, or has ended.
        """
        key_id, _, ends_at = (self._sessions.unseal(token) or "").partition(" ")
        if not key_id or now >= int(ends_at):
            raise NoSessionError("this session has ended; sign in again")
        return key_id

    def form_token(self, token: str) -> str:
        """Answer what forms of a session carry: nobody else can tell it."""
        return self._forms.mac(token).hex()

    def require_form(self, token: str, given: str) -> None:
        """Refuse a form that no page of the session made.

        Raises:
            ForeignFormError: it carries another token, or none.
        """
        if not hmac.compare_digest(self.form_token(token).encode(), given.encode()):
            raise ForeignFormError("this form is not of this session; open the page again and send it from there")
