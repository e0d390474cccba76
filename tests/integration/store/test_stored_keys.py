"""API keys in the database."""

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from jobs.errors import KeyNotFoundError, KeyRejectedError
from jobs.keys import Keys, Scope, new_secret


def test_a_secret_is_known_again(keys: Keys) -> None:
    key, secret = keys.create("ada", "laptop", [Scope.JOBS_READ])
    assert keys.authenticate(secret) == key


def test_a_key_has_the_scopes_that_it_was_given(keys: Keys) -> None:
    key, _ = keys.create("ada", "laptop", [Scope.JOBS_WRITE, Scope.JOBS_READ, Scope.JOBS_READ])
    assert key.scopes == ("jobs:read", "jobs:write")


def test_an_unknown_secret_is_rejected(keys: Keys) -> None:
    with pytest.raises(KeyRejectedError):
        keys.authenticate(new_secret())


def test_a_malformed_secret_is_rejected(keys: Keys) -> None:
    with pytest.raises(KeyRejectedError):
        keys.authenticate("secret\0")


def test_a_revoked_secret_is_rejected(keys: Keys) -> None:
    key, secret = keys.create("ada", "laptop", [Scope.JOBS_READ])
    keys.revoke("ada", key.id)
    with pytest.raises(KeyRejectedError):
        keys.authenticate(secret)


def test_revoking_twice_keeps_the_first_moment(keys: Keys) -> None:
    key, _ = keys.create("ada", "laptop", [Scope.JOBS_READ])
    assert keys.revoke("ada", key.id) == keys.revoke("ada", key.id)


def test_somebody_elses_key_is_not_found(keys: Keys) -> None:
    key, _ = keys.create("ada", "laptop", [Scope.JOBS_READ])
    with pytest.raises(KeyNotFoundError):
        keys.revoke("bob", key.id)


def test_an_owner_sees_their_own_keys_oldest_first(keys: Keys) -> None:
    mine = [keys.create("ada", name, [Scope.JOBS_READ])[0] for name in ("b", "a")]
    keys.create("bob", "c", [Scope.JOBS_READ])
    assert keys.list("ada") == tuple(mine)


def test_the_database_never_sees_the_secret(keys: Keys, engine: Engine) -> None:
    _, secret = keys.create("ada", "laptop", [Scope.JOBS_READ])
    with engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM api_keys")).one()
    assert secret[5:] not in repr(row)


def test_a_secret_is_worth_nothing_under_another_pepper(keys: Keys, engine: Engine) -> None:
    _, secret = keys.create("ada", "laptop", [Scope.JOBS_READ])
    with pytest.raises(KeyRejectedError):
        Keys(engine, SecretStr("another pepper, as long")).authenticate(secret)
