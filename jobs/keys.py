"""API keys: who is calling, and what for. The database knows only what the secret becomes under the pepper."""

import hmac
import re
import secrets
import string
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from zlib import crc32

from pydantic import SecretStr
from sqlalchemy import ColumnElement, Engine, Row, and_, false, func, insert, or_, select, update

from jobs.errors import KeyNotFoundError, KeyRejectedError
from jobs.ids import new_key_id
from jobs.records import ApiKey
from jobs.rows import now
from jobs.tables import api_keys

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM_BITS = 160
RANDOM_LENGTH, CHECK_LENGTH = 27, 6  # characters that 160 and 32 bits need
NOTED_FOR = timedelta(minutes=1)
MOST_REMEMBERED = 10_000  # keys; all are forgotten at once, so that none is counted
SHAPE = re.compile(rf"ddoq_[0-9A-Za-z]{{{RANDOM_LENGTH + CHECK_LENGTH}}}")


class Scope(StrEnum):
    """What a key may be used for."""

    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    KEYS_MANAGE = "keys:manage"
    WEBHOOKS_MANAGE = "webhooks:manage"
    ADMIN = "admin"


USUAL = frozenset(Scope) - {Scope.ADMIN}
"""What a key is for, unless told otherwise."""


def base62(number: int, length: int) -> str:
    """Write a number as `length` characters."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(BASE62[digit])
    return "".join(reversed(digits))


def new_secret() -> str:
    """Draw a secret: `ddoq_`, 160 random bits, and a checksum by which scanners tell a key from noise."""
    random = base62(secrets.randbits(RANDOM_BITS), RANDOM_LENGTH)
    return f"ddoq_{random}{_check(random)}"


def is_well_formed(secret: str) -> bool:
    """Whether this could be a key at all: shape and checksum, without asking the database."""
    return SHAPE.fullmatch(secret) is not None and secret.endswith(_check(secret[5 : 5 + RANDOM_LENGTH]))


def _check(random: str) -> str:
    return base62(crc32(random.encode()), CHECK_LENGTH)


@dataclass(frozen=True)
class Remembered:
    """A key that was found valid, until it is looked up again; `until` is on the monotonic clock."""

    key: ApiKey
    until: float


class Keys:
    """Creates, checks and revokes API keys. Safe to share between threads.

    A key that was found valid is taken for valid for `cache_seconds`, also if another process revokes it meanwhile.
    """

    def __init__(self, engine: Engine, pepper: SecretStr, cache_seconds: float = 0) -> None:
        self._engine = engine
        self._pepper = pepper
        self._cache_seconds = cache_seconds
        self._remembered: dict[bytes, Remembered] = {}  # each step on it is one of dict's own, so it needs no lock

    def create(
        self, owner: str, name: str, scopes: Iterable[Scope], expires_at: datetime | None = None
    ) -> tuple[ApiKey, str]:
        """Create a key and return it with its secret, which cannot be had again."""
        secret = new_secret()
        row = {
            "id": new_key_id(),
            "owner": owner,
            "name": name,
            "scopes": sorted(set(scopes)),
            "digest": self._digest(secret),
            "expires_at": expires_at,
        }
        with self._engine.begin() as connection:
            return _key(connection.execute(insert(api_keys).values(row).returning(api_keys)).one()), secret

    def authenticate(self, secret: str) -> ApiKey:
        """Find the key that this secret belongs to.

        Raises:
            KeyRejectedError: it is malformed, unknown, revoked or expired.
        """
        if not is_well_formed(secret):
            raise KeyRejectedError("this is no API key of ours; a key begins with ddoq_ and has 38 characters")
        if known := self.remembered(secret):
            return known
        digest = self._digest(secret)
        key = self._find(api_keys.c.digest == digest)
        if self._cache_seconds:
            self._remember(digest, key)
        return key

    def remembered(self, secret: str) -> ApiKey | None:
        """Find the key that this secret belongs to, if it was found valid a moment ago."""
        known = self._remembered.get(self._digest(secret))
        if known is None or time.monotonic() >= known.until or _has_expired(known.key):
            return None
        return known.key

    def find(self, key_id: str) -> ApiKey:
        """Find a key by its id: for whoever has shown its secret before.

        Raises:
            KeyRejectedError: it is unknown, revoked or expired.
        """
        return self._find(api_keys.c.id == key_id)

    def _find(self, wanted: ColumnElement[bool]) -> ApiKey:
        """Look a key up, and note that it is used, to a minute."""
        usable = and_(
            wanted,
            api_keys.c.revoked_at.is_(None),
            or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now()),
        )
        is_noted = func.coalesce(api_keys.c.last_used_at > now() - NOTED_FOR, false()).label("is_noted")
        with self._engine.connect() as connection:
            row = connection.execute(select(api_keys, is_noted).where(usable)).one_or_none()
            if row is None:
                raise KeyRejectedError("this API key is unknown, was revoked or has expired; create another")
            if not row.is_noted:
                connection.execute(update(api_keys).where(usable).values(last_used_at=now()))
                connection.commit()
        return _key(row)

    def _remember(self, digest: bytes, key: ApiKey) -> None:
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[digest] = Remembered(key, time.monotonic() + self._cache_seconds)

    def list(self, owner: str) -> tuple[ApiKey, ...]:
        """List the keys of an owner, oldest first, revoked ones too."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(api_keys).where(api_keys.c.owner == owner).order_by(api_keys.c.id))
            return tuple(_key(row) for row in rows)

    def revoke(self, owner: str, key_id: str) -> ApiKey:
        """Revoke a key for good; revoking it again changes nothing.

        Raises:
            KeyNotFoundError: unknown, or somebody else's.
        """
        of_owner = (api_keys.c.owner == owner) & (api_keys.c.id == key_id)
        revoked_at = func.coalesce(api_keys.c.revoked_at, func.clock_timestamp())
        with self._engine.begin() as connection:
            revoke = update(api_keys).where(of_owner).values(revoked_at=revoked_at).returning(api_keys)
            row = connection.execute(revoke).one_or_none()
        if row is None:
            raise KeyNotFoundError(f"there is no API key {key_id}")
        self._remembered.clear()
        return _key(row)

    def _digest(self, secret: str) -> bytes:
        return hmac.digest(self._pepper.get_secret_value().encode(), secret.encode(), sha256)


def _key(row: Row[*tuple[object, ...]]) -> ApiKey:
    shown = row._mapping
    return ApiKey(
        id=shown["id"],
        owner=shown["owner"],
        name=shown["name"],
        scopes=tuple(shown["scopes"]),
        created_at=shown["created_at"],
        revoked_at=shown["revoked_at"],
        expires_at=shown["expires_at"],
        last_used_at=shown["last_used_at"],
    )


def _has_expired(key: ApiKey) -> bool:
    return key.expires_at is not None and key.expires_at <= datetime.now(UTC)
