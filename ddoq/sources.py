"""Dataset URI -> something that can be listed and read. The only place that knows schemes."""

from collections.abc import Callable, Mapping
from typing import Final

from ddoq.errors import UnknownSchemeError
from ddoq.source_files import LocalFolder, open_path
from ddoq.source_https import WebFolder, open_web
from ddoq.source_hub import HubFolder, open_hub
from ddoq.source_s3 import S3Folder, open_s3, open_upload
from ddoq.source_types import LINK, SPECIAL_FILE, Access, Entry, Load, LocalFile, Member, StoredObject
from ddoq.source_uris import FORMS, shown

__all__ = [
    "LINK",
    "SPECIAL_FILE",
    "Access",
    "Entry",
    "Folder",
    "HubFolder",
    "Load",
    "LocalFile",
    "LocalFolder",
    "Member",
    "S3Folder",
    "Source",
    "StoredObject",
    "WebFolder",
    "open_source",
]

Folder = LocalFolder | S3Folder | WebFolder | HubFolder
Source = LocalFile | Folder

_OPENERS: Final[Mapping[str, Callable[[str, Access], Source]]] = {
    "file": lambda uri, access: open_path(_rest(uri), access),
    "s3": lambda uri, access: open_s3(_rest(uri), access),
    "https": open_web,
    "http": open_web,
    "hf": open_hub,
    "upload": lambda uri, access: open_upload(_rest(uri), access),
}


def open_source(uri: str, access: Access) -> Source:
    """Find what a dataset URI stands for, if this installation may read it.

    Args:
        uri: `file:///absolute/path` (percent-encoded) or `s3://bucket/key` (as it is). A key that is no object, that is
            empty or that ends in `/` stands for the objects below it. `https://` and `hf://` as for `parse_web` and
            `parse_hub`. `upload://id` is a file that was sent before.
        access: What may be read.

    Returns:
        A file or a folder. A file that is not on this machine is downloaded once, into `access.cache` under a name that
        says which content it is.

    Raises:
        UnknownSchemeError: any other scheme.
        OutsideRootsError: a path that leads outside `access.file_roots`, by links too.
        BucketNotAllowedError: a bucket that is not allowed, here or by the store; what the service itself wrote.
        DatasetUriError, HostNotAllowedError, HubNotAllowedError, AddressRefusedError: as for the parsers.
        DatasetDeniedError, WebPageError, DatasetTooLargeError: by what the server answers.
        DatasetNotFoundError: nothing is there.
        DatasetUnavailableError: the server does not answer, or fails; so does whatever reads from it later.
    """
    scheme, separator, _ = uri.partition("://")
    opener = _OPENERS.get(scheme.lower()) if separator else None
    if opener is None:
        raise UnknownSchemeError(f"{shown(uri)!r} is not read here; write {FORMS}")
    return opener(uri, access)


def _rest(uri: str) -> str:
    return uri.partition("://")[2]
