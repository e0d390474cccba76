"""Signing webhooks, and keeping the secrets for it."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from standardwebhooks import Webhook

from jobs.webhook_errors import WebhookSecretError
from jobs.webhook_secrets import Vault, new_secret, shown, sign

VAULT = Vault(SecretStr("a pepper for the tests"))


@given(st.binary(min_size=24, max_size=64), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_signature_is_that_of_the_reference_implementation(secret: bytes, body: str) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    ours = sign(secret, "msg_1", int(at.timestamp()), body.encode())
    assert ours == Webhook(shown(secret)).sign("msg_1", at, body)


def test_a_secret_has_as_many_bytes_as_the_specification_allows() -> None:
    text = shown(new_secret())
    assert text.startswith("whsec_")
    assert 24 <= len(base64.b64decode(text.removeprefix("whsec_"), validate=True)) <= 64


def test_a_secret_is_read_again_for_its_endpoint_only() -> None:
    secret = new_secret()
    kept = VAULT.encrypt(secret, "whe_1")
    assert VAULT.decrypt(kept, "whe_1") == secret
    assert secret not in kept
    for vault, endpoint in ((VAULT, "whe_2"), (Vault(SecretStr("another pepper of ours")), "whe_1")):
        with pytest.raises(WebhookSecretError, match="rotate"):
            vault.decrypt(kept, endpoint)
