"""Who looks at a page: an API key that was entered once, and is looked up again at every request."""

import time
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Cookie, Depends, Request, Security
from fastapi.security import SecurityScopes

from api.auth import limit_failures, limit_owner, require_scopes
from api.errors import NoSessionError
from api.pages.cookies import COOKIE
from api.pages.forms import PROOF_FIELD, FormOf
from api.pages.origins import require_own_origin
from api.services import Services, Using
from jobs.errors import KeyRejectedError
from jobs.keys import Scope
from jobs.records import ApiKey

PROOF_HEADER: Final = "X-Form-Token"

Token = Annotated[str | None, Cookie(alias=COOKIE)]


@dataclass(frozen=True)
class Session:
    """A key that was entered in this browser. `token` is the cookie, `form_token` what its forms carry."""

    key: ApiKey
    token: str
    form_token: str

    @property
    def owner(self) -> str:
        """Whose jobs are shown."""
        return self.key.owner

    @property
    def may_change(self) -> bool:
        """Whether the key may make, cancel and delete jobs."""
        return Scope.JOBS_WRITE in self.key.scopes


def open_session(request: Request, needed: SecurityScopes, using: Using, token: Token = None) -> Session:
    """Tell whose session the request carries.

    Raises:
        NoSessionError: it carries none, or one that has ended, or whose key is no longer good.
        MissingScopeError: the key is not for this page.
        RateLimitedError: its owner, or whoever tries tokens from this address, calls too often.
    """
    session = _recognise(request, using, token)
    limit_owner(using, request, session.key)
    require_scopes(session.key, needed.scopes)
    return session


def glance(request: Request, needed: SecurityScopes, using: Using, token: Token = None) -> Session:
    """Tell the same for an image of a page: there are many, so the page alone counts against the rate.

    Raises:
        NoSessionError: as for `open_session`.
        MissingScopeError: as for `open_session`.
    """
    session = _recognise(request, using, token)
    require_scopes(session.key, needed.scopes)
    return session


def _recognise(request: Request, using: Services, token: str | None) -> Session:
    if token is None:
        raise NoSessionError("sign in with an API key first")
    try:
        session = find_session(using, token)
    except NoSessionError as error:
        limit_failures(using, request, error)
        raise
    request.state.key, request.state.session = session.key, session
    return session


def find_session(using: Services, token: str) -> Session:
    """Find the session of a token.

    Raises:
        NoSessionError: there is none.
    """
    key_id = using.session_tokens.key_id(token, time.time())
    try:
        key = using.keys.find(key_id)
    except KeyRejectedError:
        raise NoSessionError("the key of this session was revoked or has expired; sign in with another") from None
    return Session(key, token, using.session_tokens.form_token(token))


def _form_of_session(
    request: Request, session: Annotated[Session, Depends(open_session)], form: FormOf, using: Using
) -> Session:
    require_own_origin(request)
    using.session_tokens.require_form(session.token, form.get(PROOF_FIELD))
    return session


def _header_of_session(request: Request, session: Annotated[Session, Depends(open_session)], using: Using) -> Session:
    require_own_origin(request)
    using.session_tokens.require_form(session.token, request.headers.get(PROOF_HEADER, ""))
    return session


Looking = Annotated[Session, Security(open_session, scopes=[Scope.JOBS_READ.value])]
Glancing = Annotated[Session, Security(glance, scopes=[Scope.JOBS_READ.value])]
Preparing = Annotated[Session, Security(open_session, scopes=[Scope.JOBS_WRITE.value])]
Changing = Annotated[Session, Security(_form_of_session, scopes=[Scope.JOBS_WRITE.value])]
Sending = Annotated[Session, Security(_header_of_session, scopes=[Scope.JOBS_WRITE.value])]
Leaving = Annotated[Session, Security(_form_of_session, scopes=[])]
"""To look at pages; to see a form; to send one; to send bytes by script, the token in a header; to sign out."""
