"""The HTTP client of the service. Needs none of what the service needs."""

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

import click
import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from ddoq.config import DistillConfig
from ddoq.events import Stage
from jobs.options import JobOptions

ENDED = ("succeeded", "failed", "cancelled", "expired")
POLL_SECONDS = 0.5
TIMEOUT_SECONDS = 60
COMPLETION_SECONDS = 3600  # the service reads the whole file once
CHUNK_BYTES = 1 << 20

V = TypeVar("V")


class ClientError(click.ClickException):
    """The service refused, did not answer, or sent something else than it promised."""


class StageProgress(BaseModel):
    """How far a stage is: `done` of `total` pieces; `total` is 0 until known. `seconds` since its start, or of all."""

    stage: Stage
    status: str
    done: int
    total: int
    seconds: float | None = None


class Failure(BaseModel):
    """Why a job failed."""

    code: str
    message: str


class Job(BaseModel):
    """A job as the service shows it."""

    id: str
    status: str
    stages: tuple[StageProgress, ...]
    error: Failure | None
    figures: dict[str, float]

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


class Event(BaseModel):
    """Something that happened to a job."""

    sequence: int
    kind: str
    data: dict[str, object]


class Artifact(BaseModel):
    """A file that a job made."""

    name: str
    size_bytes: int
    sha256: str


class _Part(BaseModel):
    number: int


class Upload(BaseModel):
    """A file that is being sent to the service, or was; `parts` are those that are there."""

    id: str
    uri: str
    state: str
    size_bytes: int | None
    sha256: str | None
    part_size_bytes: int | None
    n_parts: int | None
    parts: tuple[_Part, ...] = ()


class _Page(BaseModel):
    data: list[object]


class _Problem(BaseModel):
    code: str
    detail: str


class Client:
    """Calls one service with one API key. Every call raises ClientError when it is refused or not answered."""

    def __init__(self, url: str, key: str) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._http.close()

    def submit(self, config: DistillConfig, options: JobOptions | None = None) -> Job:
        """Ask for a distillation."""
        body = config.model_dump(mode="json")
        if options:
            body["job"] = options.model_dump(mode="json")
        return self._call(Job, "POST", "/v1/jobs", content=json.dumps(body))

    def get(self, job_id: str) -> Job:
        """Look at a job."""
        return self._call(Job, "GET", f"/v1/jobs/{quote(job_id, safe='')}")

    def cancel(self, job_id: str) -> Job:
        """Ask for the end of a job."""
        return self._call(Job, "POST", f"/v1/jobs/{quote(job_id, safe='')}/cancel")

    def watch(self, job_id: str) -> Iterator[Job]:
        """Look at a job again and again, until it has ended."""
        while not (job := self.get(job_id)).has_ended:
            yield job
            time.sleep(POLL_SECONDS)
        yield job

    def events(self, job_id: str) -> tuple[Event, ...]:
        """List what happened to a job, oldest first."""
        return self._list(Event, f"/v1/jobs/{quote(job_id, safe='')}/events?limit=1000")

    def artifacts(self, job_id: str) -> tuple[Artifact, ...]:
        """List the files that a job made."""
        return self._list(Artifact, f"/v1/jobs/{quote(job_id, safe='')}/artifacts")

    def download(self, job_id: str, artifact: Artifact, folder: Path) -> Path:
        """Download a file into `folder`; it gets its name only after its checksum was compared."""
        path = _path_in(folder, artifact.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.part")
        digest = hashlib.sha256()
        with unfinished.open("wb") as file:
            for chunk in self._stream(f"/v1/jobs/{quote(job_id, safe='')}/artifacts/{quote(artifact.name)}"):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != artifact.sha256:
            unfinished.unlink()
            raise ClientError(
                f"{artifact.name} came with sha256 {digest.hexdigest()}, not {artifact.sha256}; try again"
            )
        return unfinished.replace(path)

    def upload(self, path: Path) -> Upload:
        """Send a file to be a dataset; when the same file was begun before, only what is missing of it."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            upload = self._begin_upload(path.name, file.tell(), digest)
            place, n_bytes = f"/v1/uploads/{upload.id}", upload.part_size_bytes or 0
            there = {part.number for part in self._call(Upload, "GET", place).parts}
            for number in sorted(set(range(1, (upload.n_parts or 0) + 1)) - there):
                file.seek((number - 1) * n_bytes)
                self._call(_Part, "PUT", f"{place}/parts/{number}", file.read(n_bytes))
        return self._call(Upload, "POST", f"{place}/complete", "{}", COMPLETION_SECONDS)

    def _begin_upload(self, filename: str, size_bytes: int, sha256: str) -> Upload:
        """Find the upload of a file that was begun and not finished, or begin one."""
        for upload in self._list(Upload, "/v1/uploads?limit=100"):
            if (upload.state, upload.size_bytes, upload.sha256) == ("open", size_bytes, sha256):
                return upload
        said = {"filename": filename, "size_bytes": size_bytes, "sha256": sha256}
        return self._call(Upload, "POST", "/v1/uploads", json.dumps(said))

    def _call(
        self,
        kind: type[V],
        method: str,
        path: str,
        content: str | bytes | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> V:
        """Ask for something, with a body of JSON (text) or of bytes."""
        headers = {"Content-Type": "application/json"} if isinstance(content, str) else {}
        try:
            answer = self._http.request(method, path, content=content, headers=headers, timeout=timeout_seconds)
            while _comes_too_early(answer):
                time.sleep(float(answer.headers["Retry-After"]))
                answer = self._http.request(method, path, content=content, headers=headers, timeout=timeout_seconds)
        except httpx.TransportError as error:
            raise self._unanswered(error) from error
        if answer.is_error:
            raise _refused(answer)
        return _read(kind, answer)

    def _list(self, kind: type[V], path: str) -> tuple[V, ...]:
        return TypeAdapter(tuple[kind, ...]).validate_python(self._call(_Page, "GET", path).data)  # type: ignore[valid-type]

    def _stream(self, path: str) -> Iterator[bytes]:
        try:
            with self._http.stream("GET", path, follow_redirects=True) as answer:
                if answer.is_error:
                    answer.read()
                    raise _refused(answer)
                yield from answer.iter_bytes(CHUNK_BYTES)
        except httpx.TransportError as error:
            raise self._unanswered(error) from error

    def _unanswered(self, error: httpx.TransportError) -> ClientError:
        return ClientError(f"no answer from {self._http.base_url} ({error}); is the service running?")


def _read(kind: type[V], answer: httpx.Response) -> V:
    try:
        return TypeAdapter(kind).validate_json(answer.content)
    except ValidationError as error:
        raise ClientError(f"{answer.url} answered with something else than a {kind.__name__}; is it ddoq?") from error


def _refused(answer: httpx.Response) -> ClientError:
    """Say what the problem document says."""
    try:
        problem = _Problem.model_validate_json(answer.content)
    except ValidationError:
        return ClientError(f"{answer.url} answered {answer.status_code} without saying why; is it ddoq?")
    return ClientError(f"{problem.code}: {problem.detail}")


def _comes_too_early(answer: httpx.Response) -> bool:
    """Whether the request was only one too many for this minute; a full queue or a quota is the user's to know of."""
    return answer.status_code == httpx.codes.TOO_MANY_REQUESTS and b'"rate.limited"' in answer.content


def _path_in(folder: Path, name: str) -> Path:
    """Refuse a name that leads out of the folder: the service is not trusted with our files."""
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/") or "\\" in name:
        raise ClientError(
            f"the service has a file named {name!r}, which may lie outside {folder}; it is not downloaded"
        )
    return folder.joinpath(*parts)
