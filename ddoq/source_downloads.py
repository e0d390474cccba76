"""A file on a server -> a file in the cache, resumed where it broke off."""

import hashlib
import time
from http import HTTPStatus
from pathlib import Path
from typing import Final

from ddoq.errors import DatasetUnavailableError
from ddoq.source_types import LocalFile, local_file, require_size
from ddoq.source_uris import shown
from ddoq.source_web import Remote, Web, first_byte, require_same

_PROGRESS: Final = 2**24  # an attempt that brought so many bytes is followed by as many others as the first


def download(web: Web, remote: Remote, cache: Path) -> LocalFile:
    """Fetch a file once; the name in the cache says which content it is, so it can never be out of date.

    A file whose server tells neither ETag nor Last-Modified is fetched each time, and its content is its tag. What came
    before a break is kept beside, and the server is asked for the rest; no two processes may share a cache.

    Raises:
        DatasetTooLargeError: it is larger than may be fetched.
        DatasetChangedError: it is no longer the version that was seen.
        DatasetUnavailableError: it breaks off again and again, or arrives damaged.
    """
    require_size(remote.size or 0, web.reach.max_bytes)
    name = hashlib.sha256(f"{remote.url}\n{remote.tag}\n{remote.size}".encode()).hexdigest()
    path, part = cache / name, cache / f"{name}.part"
    if remote.tag is not None and path.exists():
        return local_file(path, remote.tag)
    cache.mkdir(parents=True, exist_ok=True)
    if remote.tag is None:
        part.unlink(missing_ok=True)
    _fill(web, remote, part)
    digest = _sha256(part) if remote.sha256 or remote.tag is None else ""
    if remote.sha256 not in {None, digest}:
        part.unlink()
        raise DatasetUnavailableError(f"{shown(remote.url)!r} arrived damaged; try again")
    path = path if remote.tag is not None else cache / digest
    if path.exists():
        part.unlink()  # the one that is there may be in use
    else:
        part.replace(path)
    return local_file(path, remote.tag or digest)


def _fill(web: Web, remote: Remote, part: Path) -> None:
    waits = list(web.reach.waits)
    while True:
        before = _size(part)
        try:
            _go_on(web, remote, part)
        except DatasetUnavailableError:
            if _size(part) - before >= _PROGRESS:
                waits = list(web.reach.waits)
            if not waits:
                raise
            time.sleep(waits.pop(0))
        else:
            return


def _go_on(web: Web, remote: Remote, part: Path) -> None:
    """Fetch what is missing; all of it where the server does not say that it is the same file."""
    n_there = _size(part) if remote.is_fixed or remote.validator else 0
    if n_there and n_there == remote.size:
        return
    headers = {"Range": f"bytes={n_there}-"} if n_there else {}
    if n_there and remote.validator:
        headers["If-Range"] = remote.validator
    with web.get(remote.url, headers) as answer, part.open("ab") as file:
        require_same(answer, remote)
        start = first_byte(answer)
        if start not in {0, n_there} or answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            file.truncate(0)
            raise DatasetUnavailableError(f"{shown(remote.url)!r} cannot be gone on with; try again")
        file.truncate(start)
        most = web.reach.max_bytes if remote.size is None else remote.size
        for chunk in answer.iter_raw():
            file.write(chunk)
            require_size(file.tell(), most)
    if remote.size not in {None, _size(part)}:
        raise DatasetUnavailableError(f"{shown(remote.url)!r} broke off; try again")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
