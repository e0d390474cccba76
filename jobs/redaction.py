"""Secrets out of texts: of logs, of answers, of what is stored about a job.

A process learns the secrets of its settings once; those of others are known by their form.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote

from jobs.settings import Settings

REDACTED = "[redacted]"
SHORTEST = 8  # characters; replacing a shorter secret wherever it stands would garble words, so choose longer ones
FORMS = (
    (re.compile(r"ddoq_[0-9A-Za-z]{33}"), f"ddoq_{REDACTED}"),
    (re.compile(r"whsec_[0-9A-Za-z+/_=-]{16,}"), f"whsec_{REDACTED}"),
    (re.compile(r"\bhf_[0-9A-Za-z]{30,}"), f"hf_{REDACTED}"),
    (re.compile(r"(?i)(\bauthorization\b[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic)\s+)?)[^\s\"',;]+"), rf"\1{REDACTED}"),
    (re.compile(r"(?i)(\bbearer\s+)[0-9a-z._~+/=-]{16,}"), rf"\1{REDACTED}"),
    (re.compile(r"(?i)((?:X-Amz-(?:Signature|Credential|Security-Token)|\bSignature)=)[^&\s\"']+"), rf"\1{REDACTED}"),
    (re.compile(r"(?i)(\b[a-z][a-z0-9+.-]{0,30}://)[^/\s\"'@?#]+@"), rf"\1{REDACTED}@"),
)
"""What a key, a token, a presigned address and a password in an address look like, and what is left of each."""

_known: set[str] = set()


def learn(settings: Settings) -> None:
    """Take the secrets of the settings out of every text from now on."""
    _known.update(secret for secret in _secrets(settings) if len(secret) >= SHORTEST)


def redact(text: str) -> str:
    """Replace every secret in a text."""
    for secret in sorted(_known, key=len, reverse=True):  # one may hold another
        text = text.replace(secret, REDACTED)
    for form, instead in FORMS:
        text = form.sub(instead, text)
    return text


def _secrets(settings: Settings) -> Iterator[str]:
    yield settings.key_pepper.get_secret_value()
    yield settings.s3_secret_key.get_secret_value()
    yield settings.s3_session_token.get_secret_value()
    yield settings.s3_access_key
    for url in (settings.database_url, settings.broker_url):
        userinfo = url.partition("://")[2].partition("/")[0].rpartition("@")[0]
        password = userinfo.partition(":")[2]
        yield from (password, unquote(password))
