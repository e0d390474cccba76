"""Files of a job onto this machine: resumed where they broke off, compared by checksum, never outside the folder."""

import hashlib
from collections.abc import Callable, Collection
from contextlib import closing
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import quote, urljoin

from ddoq_client.errors import ArtifactError, ChecksumError, NotDdoqError, UnsafeNameError
from ddoq_client.exchange import judge, path_of, settle, unanswered
from ddoq_client.jobs import artifacts
from ddoq_client.retries import FIRST_PAUSE_SECONDS, USUAL
from ddoq_client.steps import Answer, BrokenError, Flow, Open, Pause, Request, read_chunk, work
from ddoq_client.views import Artifact

CHUNK_BYTES = 1 << 20
MOST_REDIRECTS = 5
REDIRECTS = frozenset({302, 303, 307, 308})

OnBytes = Callable[[str, int, int], None]
"""Hears the name of a file, how many of its bytes are there or sent, and how many it has."""


def ignore(_name: str, _done: int, _total: int) -> None:
    """Hear nothing."""


class Unfinished:
    """A file as far as it has come, with the digest of that. Its name tells the whole's digest: parts never mix."""

    def __init__(self, path: Path) -> None:
        self.n_bytes = 0
        self._file = path.open("a+b")
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def recall(self, most_bytes: int) -> None:
        """Count and digest what an earlier call left; what cannot be a beginning of the file is dropped."""
        self._file.seek(0)
        while chunk := self._file.read(CHUNK_BYTES):
            self._digest.update(chunk)
            self.n_bytes += len(chunk)
        if self.n_bytes > most_bytes:
            self.clear()

    def append(self, chunk: bytes) -> None:
        """Add bytes."""
        self._file.write(chunk)
        self._digest.update(chunk)
        self.n_bytes += len(chunk)

    def clear(self) -> None:
        """Begin anew."""
        self._file.truncate(0)
        self._digest, self.n_bytes = hashlib.sha256(), 0

    def close(self) -> None:
        """Write what is not yet on disk."""
        self._file.close()


def download(
    job_id: str, folder: Path, names: Collection[str] | None, on_bytes: OnBytes = ignore
) -> Flow[tuple[Path, ...]]:
    """Bring files of a job into a folder, all if none are named.

    Raises:
        ArtifactError: the job has none of a name.
        UnsafeNameError: a name leads out of the folder; nothing is downloaded then.
        ChecksumError: a file came with other bytes than the service promised.
    """
    there = yield from artifacts(job_id)
    missing = sorted(set(names or ()) - {artifact.name for artifact in there})
    if missing:
        has = ", ".join(artifact.name for artifact in there) or "none yet"
        raise ArtifactError(f"job {job_id} has no file {missing[0]!r}; it has {has}")
    wanted = [artifact for artifact in there if names is None or artifact.name in names]
    paths = [path_in(folder, artifact.name) for artifact in wanted]
    for artifact, path in zip(wanted, paths, strict=True):
        yield from _fetch(job_id, artifact, path, on_bytes)
    return tuple(paths)


def path_in(folder: Path, name: str) -> Path:
    """Tell where a file goes: the service is not trusted with the rest of the disk.

    Raises:
        UnsafeNameError: that may be outside the folder.
    """
    parts = PurePosixPath(name).parts
    path = folder.joinpath(*parts)
    is_odd = not parts or ".." in parts or name.startswith("/") or "\\" in name or not name.isprintable()
    has_drive = any(PureWindowsPath(part).drive for part in parts)
    if is_odd or has_drive or not path.parent.resolve().is_relative_to(folder.resolve()):
        raise UnsafeNameError(
            f"the service has a file named {name!r}, which may lie outside {folder}; nothing is downloaded"
        )
    return path


def part_of(path: Path, sha256: str) -> Path:
    """Name the file in which a download grows."""
    return path.with_name(f"{path.name}.{sha256[:12]}.part")


def _fetch(job_id: str, artifact: Artifact, path: Path, on_bytes: OnBytes) -> Flow[None]:
    """Bring one file; it gets its name only after its checksum was compared."""
    if (yield from work(lambda: _is_there(path, artifact))):
        on_bytes(artifact.name, artifact.size_bytes, artifact.size_bytes)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path, artifact.sha256)
    with closing(Unfinished(part)) as unfinished:
        yield from work(lambda: unfinished.recall(artifact.size_bytes))
        on_bytes(artifact.name, unfinished.n_bytes, artifact.size_bytes)
        yield from _fill(
            f"{path_of('jobs', job_id, 'artifacts')}/{quote(artifact.name)}", artifact, unfinished, on_bytes
        )
    if unfinished.sha256 != artifact.sha256:
        part.unlink()
        raise ChecksumError(f"{artifact.name} came with sha256 {unfinished.sha256}, not {artifact.sha256}; try again")
    part.replace(path)


def _is_there(path: Path, artifact: Artifact) -> bool:
    if not path.is_file() or path.stat().st_size != artifact.size_bytes:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == artifact.sha256


def _fill(place: str, artifact: Artifact, unfinished: Unfinished, on_bytes: OnBytes) -> Flow[None]:
    """Receive what is missing, going on where it breaks off as long as anything comes."""
    n_vain = 0
    while unfinished.n_bytes < artifact.size_bytes:
        before = unfinished.n_bytes
        try:
            yield from _receive(place, artifact, unfinished, on_bytes)
        except BrokenError as broken:
            n_vain = n_vain + 1 if unfinished.n_bytes <= before else 0
            if n_vain >= USUAL.tries:
                raise unanswered(broken) from broken
            yield Pause(FIRST_PAUSE_SECONDS)


def _receive(place: str, artifact: Artifact, unfinished: Unfinished, on_bytes: OnBytes) -> Flow[None]:
    answer = yield from _open(place, unfinished.n_bytes, artifact.sha256)
    if first_byte(answer) != unfinished.n_bytes:
        unfinished.clear()
    if first_byte(answer) != unfinished.n_bytes:
        raise NotDdoqError(f"{answer.url} answered with other bytes than were asked for; is it ddoq?")
    while chunk := (yield from read_chunk()):
        if unfinished.n_bytes + len(chunk) > artifact.size_bytes:
            unfinished.clear()
            raise ChecksumError(f"{artifact.name} came with more than its {artifact.size_bytes} bytes; try again")
        yield from work(partial(unfinished.append, chunk))
        on_bytes(artifact.name, unfinished.n_bytes, artifact.size_bytes)
    if unfinished.n_bytes < artifact.size_bytes:
        raise BrokenError(answer.url, "the answer ended early", was_sent=True)


def _open(place: str, n_bytes: int, sha256: str) -> Flow[Answer]:
    """Ask for a file from a byte on, of this service or of the object store that it leads to."""
    headers = {"Accept-Encoding": "identity"}
    if n_bytes:
        headers["Range"] = f"bytes={n_bytes}-"
    request = Request("GET", place, headers={**headers, "If-Range": f'"{sha256}"'})
    for _ in range(MOST_REDIRECTS):
        answer = judge((yield from settle(Open(request))))
        if answer.status not in REDIRECTS or "location" not in answer.headers:
            return answer
        # An object store knows the file by another tag; the checksum tells whether it is the same.
        request = Request("GET", urljoin(answer.url, answer.headers["location"]), headers=headers)
    raise NotDdoqError(f"{place} leads from one address to another without end; is it ddoq?")


def first_byte(answer: Answer) -> int | None:
    """Tell which byte of the file an answer begins with; None if that is not said."""
    if answer.status == 200:
        return 0
    unit, _, span = answer.headers.get("content-range", "").partition(" ")
    start = span.partition("-")[0]
    return int(start) if answer.status == 206 and unit == "bytes" and start.isascii() and start.isdigit() else None
