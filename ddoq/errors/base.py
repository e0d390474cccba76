"""The root of the tree that `ddoq.errors` draws, its small branches, and what can be asked of it."""

from collections.abc import Iterator
from typing import ClassVar


class DdoqError(Exception):
    """What nobody foresaw; the base of everything that a caller can understand and act on, by its `hint`."""

    code: ClassVar[str] = "internal"
    hint: ClassVar[str] = "Look in the server's log under the request_id, and report what it says."


class AddressRefusedError(DdoqError):
    """The host leads to an address that may not be reached from here."""

    code = "address.refused"
    hint = "Use a server with a public address, or ask the operator to add its network to `DDOQ_PRIVATE_NETWORKS`."


class ConfigError(DdoqError):
    """The config is not one that can be run."""

    code = "config.invalid"
    hint = "Change the field that the message names."


class ArchiveError(DdoqError):
    """The file is not a complete, undamaged distilled archive."""

    code = "archive.invalid"
    hint = "Download it again, and compare its sha256."


def kinds_of_error(base: type[DdoqError] = DdoqError) -> Iterator[type[DdoqError]]:
    """Walk `base` and every class below it that has been imported."""
    yield base
    for kind in base.__subclasses__():
        yield from kinds_of_error(kind)


def hint_of(code: str) -> str:
    """Tell what to do about a code; of one that is not known here, such as a newer worker's, what is always true."""
    return next((kind.hint for kind in kinds_of_error() if kind.code == code), DdoqError.hint)
