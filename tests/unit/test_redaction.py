"""Secrets out of texts."""

import pytest
from pydantic import SecretStr

from jobs.redaction import learn, redact
from jobs.settings import Settings

KEY = "ddoq_0123456789ABCDEFGHIJKLMNOPQ2Fyy18"
SECRETS = Settings(
    database_url="postgresql://ddoq:database%2Fpassword@host/ddoq",
    broker_url="redis://:broker-password@host/0",
    s3_bucket="bucket",
    s3_access_key="an-access-key",
    s3_secret_key=SecretStr("a-secret-key"),
    s3_session_token=SecretStr("a-session-token"),
    key_pepper=SecretStr("a-pepper-of-length"),
)


@pytest.mark.parametrize(
    "secret",
    [
        "database%2Fpassword",
        "database/password",
        "broker-password",
        "an-access-key",
        "a-secret-key",
        "a-session-token",
        "a-pepper-of-length",
    ],
)
def test_what_the_settings_keep_secret_is_taken_out_wherever_it_stands(secret: str) -> None:
    learn(SECRETS)
    assert redact(f"before{secret}behind, and {secret}") == "before[redacted]behind, and [redacted]"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"the key {KEY} is", "the key ddoq_[redacted] is"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw!", "whsec_[redacted]!"),
        (f"Authorization: Bearer {KEY}", "Authorization: Bearer [redacted]"),
        ('{"authorization": "Basic YWxhZGRpbg=="}', '{"authorization": "Basic [redacted]"}'),
        ("sent 'Bearer eyJhbGciOiJIUzI1NiJ9.e30.abc'", "sent 'Bearer [redacted]'"),
        ("https://host/a?X-Amz-Signature=0123abc&b=1", "https://host/a?X-Amz-Signature=[redacted]&b=1"),
        ("X-Amz-Credential=AKIA%2F2026&X", "X-Amz-Credential=[redacted]&X"),
        ("https://ann:hunter2@host:8443/a", "https://[redacted]@host:8443/a"),
        ("redis://:hunter2@host/0", "redis://[redacted]@host/0"),
    ],
)
def test_the_secrets_of_others_are_known_by_their_form(text: str, clean: str) -> None:
    assert redact(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "file:///data/a@b.zip",
        "ann@example.com",
        "https://host/a?b=1",
        "the bearer of this",
        "ddoq_database_up",
        "job_01m8",
    ],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert redact(text) == text
