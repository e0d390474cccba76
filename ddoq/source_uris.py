"""Dataset URIs of the network -> what they ask for, and whether that is allowed. Reads nothing, torch-free."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote

import httpx

from ddoq.errors import (
    AddressRefusedError,
    BucketNotAllowedError,
    DatasetUriError,
    HostNotAllowedError,
    HubNotAllowedError,
    UnknownSchemeError,
)
from ddoq.guard import Rules, literal_address, refusal

FORMS: Final = (
    "file:///absolute/path, s3://bucket/key, https://host/path, hf://datasets/owner/name@commit or upload://id"
)
MOST_FILES: Final = 10_000
HUB: Final = "https://huggingface.co"
CONVERTED: Final = "refs/convert/parquet"
_CONVERTED_NAMES: Final = {"~parquet", CONVERTED}
_OWN_PREFIXES: Final = {"jobs", "cache", "uploads"}
_BUCKET: Final = re.compile(r"[A-Za-z0-9._-]{1,255}")
_RANGE: Final = re.compile(r"\{(\d{1,9})\.\.(\d{1,9})\}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_HUB_URI: Final = re.compile(r"datasets/(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<rest>.*))?", re.ASCII)
_HUB_FORM: Final = "hf://datasets/owner/name@revision/path"


@dataclass(frozen=True)
class Reach:
    """Which servers datasets may come from, and how much.

    `hosts` are those of `https://` (`"*"` is any, `"*.example.com"` any below), `hub_datasets` those of `hf://` (`"*"`,
    `"owner/*"`, `"owner/name"`); `rules` hold beside them. `max_bytes` is the most that one dataset is fetched of.
    `waits` are the seconds before each further attempt at a request that broke off.
    """

    hosts: tuple[str, ...] = ()
    hub_datasets: tuple[str, ...] = ()
    hub: str = HUB
    rules: Rules = field(default_factory=Rules)
    max_bytes: int = 200 * 2**30
    waits: tuple[float, ...] = (1.0, 4.0, 15.0)


@dataclass(frozen=True)
class WebFiles:
    """Addresses by file name; `is_list` where the URI has a range, even one of a single number."""

    urls: Mapping[str, httpx.URL]
    is_list: bool


@dataclass(frozen=True)
class HubPlace:
    """A folder or file of a hub's dataset; `revision` is a commit, or the branch of converted Parquet."""

    dataset: str
    revision: str
    path: str

    @property
    def is_pinned(self) -> bool:
        return _COMMIT.fullmatch(self.revision) is not None

    @property
    def is_moving(self) -> bool:
        return self.revision == CONVERTED


def parse_web(uri: str, reach: Reach) -> WebFiles:
    """Take an `https://` URI apart: `https://host/path`, with at most one range such as `{000..012}` in the path.

    `http://` is taken where private networks are allowed; the guard then lets it reach only these.

    Raises:
        UnknownSchemeError: `http://`, where there are none.
        DatasetUriError: not of this form, with credentials, or with a range of more than 10,000 files.
        HostNotAllowedError: a host that is not in `reach.hosts`.
        AddressRefusedError: a literal address that may not be reached.
    """
    if uri.lower().startswith("http:") and not reach.rules.private_networks:
        raise UnknownSchemeError(f"{shown(uri)!r} is not encrypted; write https://")
    found = _RANGE.search(uri)
    numbers = _numbers(uri, found) if found else [""]
    start, end = (uri[: found.start()], uri[found.end() :]) if found else (uri, "")
    if set("{}") & {*start, *end} or (found and not _is_in_path(start)):
        raise DatasetUriError(f"{shown(uri)!r} may have one range, such as {{000..012}}, in its path")
    urls = [_url(f"{start}{number}{end}") for number in numbers]
    require_host(urls[0], reach)
    files = {_file_name(url): url for url in urls}
    if len(files) < len(urls):
        raise DatasetUriError(f"{shown(uri)!r} names files alike; put the range into the last part of the path")
    return WebFiles(files, is_list=found is not None)


def parse_hub(uri: str, reach: Reach) -> HubPlace:
    """Take an `hf://datasets/owner/name@revision/path` URI apart.

    The revision is a commit in 40 hexadecimal digits, or `~parquet` (`refs%2Fconvert%2Fparquet`), the branch into which
    the hub converts. A branch or tag is returned as it is: see `unpinned`.

    Raises:
        DatasetUriError: not of this form.
        HubNotAllowedError: a dataset that is not in `reach.hub_datasets`.
    """
    found = _HUB_URI.fullmatch(uri.partition("://")[2].rstrip("/"))
    if not found or {".", ".."} & set(found["id"].split("/")):
        raise DatasetUriError(f"{uri!r} names no dataset of a hub; write {_HUB_FORM}")
    dataset, rest = found["id"], found["rest"] or ""
    if not {"*", dataset, f"{dataset.partition('/')[0]}/*"} & set(reach.hub_datasets):
        raise HubNotAllowedError(f"dataset {dataset!r} may not be read here; use one of {sorted(reach.hub_datasets)}")
    whole = rest.startswith(CONVERTED)
    revision, path = (CONVERTED, rest.removeprefix(CONVERTED)) if whole else _parted(rest)
    path = unquote(path.strip("/"))
    if {".", ".."} & set(path.split("/")) or not path.isprintable():
        raise DatasetUriError(f"{uri!r} has a path that leads elsewhere; write {_HUB_FORM}")
    return HubPlace(dataset, CONVERTED if unquote(revision) in _CONVERTED_NAMES else unquote(revision), path)


def unpinned(place: HubPlace, commit: str | None = None) -> DatasetUriError:
    """Make the error for a branch or a tag, naming the `commit` that it is now, where that is known."""
    is_now = f"; {place.revision or 'main'!r} is now {commit}" if commit else ""
    return DatasetUriError(
        f"dataset {place.dataset!r} needs the commit that is meant, in 40 digits: "
        f"hf://datasets/{place.dataset}@{commit or '<commit>'}{is_now}"
    )


def require_host(url: httpx.URL, reach: Reach) -> None:
    """Raise HostNotAllowedError for a host that is not listed, AddressRefusedError for a literal address inside."""
    host = url.host.rstrip(".").lower()
    address = literal_address(host)
    reason = refusal(address, reach.rules) if address else None
    if reason:
        raise AddressRefusedError(f"{host!r} may not be reached from here: {reason}")
    if not any(_matches(host, allowed.lower()) for allowed in reach.hosts):
        raise HostNotAllowedError(f"host {host!r} may not be read here; use one of {sorted(reach.hosts)}")


def require_bucket(rest: str, buckets: tuple[str, ...], own_bucket: str | None) -> None:
    """Refuse a bucket that is not listed, and in the service's own whatever the service wrote.

    Args:
        rest: `bucket/key`.
        buckets: Allow-list; `"*"` is any but the service's own, which must be listed by its name.
        own_bucket: Where the service keeps what it writes, below `jobs/`, `cache/` and `uploads/`.

    Raises:
        BucketNotAllowedError: not listed, or the service's own data.
        DatasetUriError: a key with `.` or `..` between slashes, which a store in a file system might follow.
    """
    bucket, _, key = rest.partition("/")
    any_other = {"*"} if bucket != own_bucket else set()
    if not _BUCKET.fullmatch(bucket) or not {bucket, *any_other} & set(buckets):
        raise BucketNotAllowedError(f"bucket {bucket!r} may not be read here; use one of {sorted(buckets)}")
    parts = key.split("/")
    if {".", ".."} & {bucket, *parts}:
        raise DatasetUriError(f"'s3://{rest}' has '.' or '..' between slashes; write the key as it is")
    if bucket == own_bucket and (parts[0].lower() in _OWN_PREFIXES | {""}):
        raise BucketNotAllowedError(f"'s3://{rest}' holds what the service wrote; name a prefix of your own")


def shown(url: str | httpx.URL) -> str:
    """Answer an address without what may be a secret in it: credentials and query."""
    text = str(url).partition("?")[0].partition("#")[0]
    scheme, separator, rest = text.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


def _url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise DatasetUriError(f"{shown(text)!r} is no address: {error}") from error
    if url.userinfo:
        raise DatasetUriError(
            f"{shown(url)!r} comes with credentials, which do not belong into a config; leave them out"
        )
    is_plain = url.host and "%" not in url.host and (url.port is None or 0 < url.port < 2**16)
    if not is_plain or url.fragment or not url.is_absolute_url:
        raise DatasetUriError(f"{shown(url)!r} is no address of a file; write https://host/path")
    return url


def _is_in_path(start: str) -> bool:
    return "/" in start.partition("://")[2] and not {"?", "#"} & set(start)


def _numbers(uri: str, found: re.Match[str]) -> list[str]:
    """Expand a range as webdataset does: the zeros in front are kept."""
    first, last = int(found[1]), int(found[2])
    if not first <= last < first + MOST_FILES:
        raise DatasetUriError(f"{shown(uri)!r} names {last - first + 1} files; 1 to {MOST_FILES} can be read")
    width = max(len(text) if text.startswith("0") else 0 for text in found.groups())
    return [f"{number:0{width}d}" for number in range(first, last + 1)]


def _file_name(url: httpx.URL) -> str:
    return PurePosixPath(url.path).name or "dataset"


def _parted(rest: str) -> tuple[str, str]:
    revision, _, path = rest.partition("/")
    return revision, path


def _matches(host: str, allowed: str) -> bool:
    return allowed in {"*", host} or (allowed.startswith("*.") and host.endswith(allowed[1:]))
