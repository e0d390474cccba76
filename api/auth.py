"""Who is calling, whether this call is theirs to make, and whether they call too often."""

from collections.abc import Collection
from typing import Annotated

from fastapi import Request, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.openapi.models import HTTPBearer
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from api.errors import MissingKeyError
from api.services import Services, services_of
from ddoq.errors import DdoqError
from jobs.errors import KeyRejectedError, MissingScopeError, RateLimitedError
from jobs.keys import Scope
from jobs.rates import Rate
from jobs.records import ApiKey

READS = frozenset({"GET", "HEAD"})


class KeyCheck(SecurityBase):
    """Whose key a request carries: a dependency that the description of the API shows as a way to authenticate."""

    def __init__(self) -> None:
        self.scheme_name = "ApiKey"
        self.model = HTTPBearer(
            description="An API key, `ddoq_…`, sent as `Authorization: Bearer KEY`. Its scopes say what it may be used "
            "for."
        )

    async def __call__(self, request: Request, needed: SecurityScopes) -> ApiKey:
        """Tell whose key the request carries.

        Raises:
            MissingKeyError: it carries none.
            KeyRejectedError: the key is malformed, unknown, revoked or expired.
            MissingScopeError: the key is not for this call.
            RateLimitedError: its owner, or whoever has no key at this address, calls too often.
        """
        using, secret = services_of(request), _secret(request)
        key = _recognise(using, request, secret)
        if key is None:
            key = await run_in_threadpool(_ask, using, request, secret)
        require_scopes(key, needed.scopes)
        return key


def _secret(request: Request) -> str | None:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() or None if scheme.lower() == "bearer" else None


def require_scopes(key: ApiKey, needed: Collection[str]) -> None:
    """Refuse a key that lacks one of the scopes."""
    missing = sorted(set(needed) - set(key.scopes))
    if missing:
        raise MissingScopeError(f"the key {key.name!r} lacks {', '.join(missing)}; use a key that has it")


def _recognise(using: Services, request: Request, secret: str | None) -> ApiKey | None:
    """Answer the key if it is remembered and its owner far from the limit: no server is asked, and nobody waits."""
    key = using.keys.remembered(secret) if secret else None
    if key is None:
        return None
    name, limit = _limit_of(using, request)
    rate = using.rates.take_late(name, key.owner, limit) if limit else None
    if limit and rate is None:
        return None
    request.state.key, request.state.rate = key, rate
    return key


def _ask(using: Services, request: Request, secret: str | None) -> ApiKey:
    try:
        key = _identify(using, secret)
    except (MissingKeyError, KeyRejectedError) as error:
        limit_failures(using, request, error)
        raise
    request.state.key = key
    limit_owner(using, request, key)
    return key


def _identify(using: Services, secret: str | None) -> ApiKey:
    if secret is None:
        raise MissingKeyError("send an API key as 'Authorization: Bearer ddoq_…'")
    return using.keys.authenticate(secret)


def limit_owner(using: Services, request: Request, key: ApiKey) -> None:
    """Count a request for the owner, not for the key: who may make keys could make more room.

    Raises:
        RateLimitedError: the owner sent too many.
    """
    name, limit = _limit_of(using, request)
    rate = using.rates.take(name, key.owner, limit)
    request.state.rate = rate
    if rate and not rate.is_allowed:
        raise _limited(rate, f"{name} of {key.owner!r}")


def _limit_of(using: Services, request: Request) -> tuple[str, int]:
    is_read, settings = request.method in READS, using.settings
    return ("reads", settings.reads_per_minute) if is_read else ("writes", settings.writes_per_minute)


def limit_failures(using: Services, request: Request, error: DdoqError) -> None:
    """Count a failure for the address that it came from; who has a key is not slowed down by others there.

    Raises:
        RateLimitedError: too many came from there.
    """
    address = request.client.host if request.client else ""
    rate = using.rates.take("failures", address, using.settings.failed_logins_per_minute)
    if rate and not rate.is_allowed:
        raise _limited(rate, "requests without a valid key from this address") from error


def _limited(rate: Rate, whose: str) -> RateLimitedError:
    message = f"more than {rate.limit} {whose} came within a minute; try again in {rate.retry_after_seconds} seconds"
    return RateLimitedError(message, rate.retry_after_seconds)


_check = KeyCheck()
Reader = Annotated[ApiKey, Security(_check, scopes=[Scope.JOBS_READ.value])]
Writer = Annotated[ApiKey, Security(_check, scopes=[Scope.JOBS_WRITE.value])]
KeyManager = Annotated[ApiKey, Security(_check, scopes=[Scope.KEYS_MANAGE.value])]
WebhookManager = Annotated[ApiKey, Security(_check, scopes=[Scope.WEBHOOKS_MANAGE.value])]
