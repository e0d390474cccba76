"""The keys to the object store: those of the settings, or what boto3 finds without them, as the role of a machine."""

from dataclasses import dataclass, field

import boto3

from jobs.errors import StorageRefusedError
from jobs.settings import Settings

NONE_FOUND = (
    "there is no key to the object store: set DDOQ_S3_ACCESS_KEY and DDOQ_S3_SECRET_KEY, or give this machine a role"
)


@dataclass(frozen=True)
class S3Keys:
    """A key id with its secret, and the token that temporary ones have; all none: boto3 is to look for them."""

    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)


def given_keys(settings: Settings) -> S3Keys:
    """Take the keys of the settings, or none."""
    secret, token = settings.s3_secret_key.get_secret_value(), settings.s3_session_token.get_secret_value()
    return S3Keys(settings.s3_access_key or None, secret or None, token or None)


def found_keys(settings: Settings) -> S3Keys:
    """Find the keys as they are now, for a process that cannot look for them.

    Raises:
        StorageRefusedError: there are none.
    """
    if settings.s3_access_key:
        return given_keys(settings)
    found = boto3.Session().get_credentials()
    if found is None:
        raise StorageRefusedError(NONE_FOUND)
    now = found.get_frozen_credentials()
    return S3Keys(now.access_key, now.secret_key, now.token)
