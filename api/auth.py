"""Who is calling, and whether this call is theirs to make."""

from collections.abc import Collection
from typing import Annotated

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from api.errors import MissingKeyError
from api.services import Using
from jobs.errors import MissingScopeError
from jobs.keys import Scope
from jobs.records import ApiKey

_bearer = HTTPBearer(
    scheme_name="ApiKey",
    description="An API key, `ddoq_…`, sent as `Authorization: Bearer KEY`. Its scopes say what it may be used for.",
    auto_error=False,
)


def authenticate(
    needed: SecurityScopes, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)], using: Using
) -> ApiKey:
    """Tell whose key the request carries.

    Raises:
        MissingKeyError: it carries none.
        KeyRejectedError: the key is malformed, unknown or revoked.
        MissingScopeError: the key is not for this call.
    """
    if bearer is None:
        raise MissingKeyError("send an API key as 'Authorization: Bearer ddoq_…'")
    key = using.keys.authenticate(bearer.credentials)
    require_scopes(key, needed.scopes)
    return key


def require_scopes(key: ApiKey, needed: Collection[str]) -> None:
    """Refuse a key that lacks one of the scopes."""
    missing = sorted(set(needed) - set(key.scopes))
    if missing:
        raise MissingScopeError(f"the key {key.name!r} lacks {', '.join(missing)}; use a key that has it")


Reader = Annotated[ApiKey, Security(authenticate, scopes=[Scope.JOBS_READ.value])]
Writer = Annotated[ApiKey, Security(authenticate, scopes=[Scope.JOBS_WRITE.value])]
KeyManager = Annotated[ApiKey, Security(authenticate, scopes=[Scope.KEYS_MANAGE.value])]
WebhookManager = Annotated[ApiKey, Security(authenticate, scopes=[Scope.WEBHOOKS_MANAGE.value])]
