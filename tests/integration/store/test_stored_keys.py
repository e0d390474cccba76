"""API keys in the database."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, event, text

from jobs.errors import KeyNotFoundError, KeyRejectedError
from jobs.keys import Keys, Scope, new_secret

PEPPER = SecretStr("a pepper for the tests")


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """Collect what is sent to the database."""
    sent: list[str] = []

    def hear(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", hear)
    yield sent
    event.remove(engine, "before_cursor_execute", hear)


def test_a_secret_is_known_again(keys: Keys) -> None:
    key, secret = keys.create("ada", "laptop", [Scope.JOBS_READ])
    assert keys.authenticate(secret).id == key.id


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


def test_a_key_is_refused_from_its_end_on(keys: Keys, engine: Engine) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)
    key, secret = keys.create("ada", "laptop", [Scope.JOBS_READ], end)
    assert keys.authenticate(secret).expires_at == key.expires_at == end
    with engine.begin() as connection:
        connection.execute(text("UPDATE api_keys SET expires_at = now()"))
    with pytest.raises(KeyRejectedError):
        keys.authenticate(secret)


def test_the_use_of_a_key_is_noted_once_a_minute(keys: Keys, engine: Engine) -> None:
    key, secret = keys.create("ada", "laptop", [Scope.JOBS_READ])
    assert key.last_used_at is None
    with statements(engine) as sent:
        for _ in range(3):
            keys.authenticate(secret)
    assert [statement.split()[0] for statement in sent] == ["SELECT", "UPDATE", "SELECT", "SELECT"]
    (listed,) = keys.list("ada")
    assert listed.last_used_at is not None


def test_the_use_of_a_key_is_noted_again_after_a_minute(keys: Keys, engine: Engine) -> None:
    _, secret = keys.create("ada", "laptop", [Scope.JOBS_READ])
    keys.authenticate(secret)
    with engine.begin() as connection:
        connection.execute(text("UPDATE api_keys SET last_used_at = now() - interval '2 minutes'"))
    keys.authenticate(secret)
    (listed,) = keys.list("ada")
    assert listed.last_used_at is not None
    assert datetime.now(UTC) - listed.last_used_at < timedelta(minutes=1)


def test_a_key_that_was_found_valid_is_not_looked_up_again_for_some_seconds(engine: Engine) -> None:
    keys = Keys(engine, PEPPER, cache_seconds=60)
    _, secret = keys.create("ada", "laptop", [Scope.JOBS_READ])
    keys.authenticate(secret)
    with statements(engine) as sent:
        keys.authenticate(secret)
    assert sent == []


def test_a_key_is_refused_at_once_by_the_process_that_revoked_it(engine: Engine) -> None:
    keys = Keys(engine, PEPPER, cache_seconds=60)
    key, secret = keys.create("ada", "laptop", [Scope.JOBS_READ])
    keys.authenticate(secret)
    keys.revoke("ada", key.id)
    with pytest.raises(KeyRejectedError):
        keys.authenticate(secret)


def test_a_key_whose_end_has_come_is_refused_though_it_was_found_valid_before(engine: Engine) -> None:
    keys = Keys(engine, PEPPER, cache_seconds=60)
    _, secret = keys.create("ada", "laptop", [Scope.JOBS_READ], datetime.now(UTC) + timedelta(seconds=0.3))
    keys.authenticate(secret)
    time.sleep(0.4)
    with pytest.raises(KeyRejectedError):
        keys.authenticate(secret)
