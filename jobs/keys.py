"""API keys: who is calling, and what for. The database knows only what the secret becomes under the pepper."""

import hmac
import re
import secrets
import string
from collections.abc import Iterable
from enum import StrEnum
from hashlib import sha256
from zlib import crc32

from pydantic import SecretStr
from sqlalchemy import Engine, Row, func, insert, select, update

from jobs.errors import KeyNotFoundError, KeyRejectedError
from jobs.ids import new_key_id
from jobs.records import ApiKey
from jobs.tables import api_keys

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM_BITS = 160
RANDOM_LENGTH, CHECK_LENGTH = 27, 6  # characters that 160 and 32 bits need
SHAPE = re.compile(rf"ddoq_[0-9A-Za-z]{{{RANDOM_LENGTH + CHECK_LENGTH}}}")


class Scope(StrEnum):
    """What a key may be used for."""

    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    KEYS_MANAGE = "keys:manage"
    WEBHOOKS_MANAGE = "webhooks:manage"


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


class Keys:
    """Creates, checks and revokes API keys. Safe to share between threads."""

    def __init__(self, engine: Engine, pepper: SecretStr) -> None:
        self._engine = engine
        self._pepper = pepper

    def create(self, owner: str, name: str, scopes: Iterable[Scope]) -> tuple[ApiKey, str]:
        """Create a key and return it with its secret, which cannot be had again."""
        secret = new_secret()
        row = {
            "id": new_key_id(),
            "owner": owner,
            "name": name,
            "scopes": sorted(set(scopes)),
            "digest": self._digest(secret),
        }
        with self._engine.begin() as connection:
            return _key(connection.execute(insert(api_keys).values(row).returning(api_keys)).one()), secret

    def authenticate(self, secret: str) -> ApiKey:
        """Find the key that this secret belongs to.

        Raises:
            KeyRejectedError: it is malformed, unknown or revoked.
        """
        if not is_well_formed(secret):
            raise KeyRejectedError("this is no API key of ours; a key begins with ddoq_ and has 38 characters")
        live = select(api_keys).where(api_keys.c.digest == self._digest(secret), api_keys.c.revoked_at.is_(None))
        with self._engine.connect() as connection:
            row = connection.execute(live).one_or_none()
        if row is None:
            raise KeyRejectedError("this API key is unknown or was revoked; create another")
        return _key(row)

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
    )
