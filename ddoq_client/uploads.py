"""Files to the service, in parts; when the same file was begun before, only what is missing of it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path

from ddoq_client.downloads import OnBytes, ignore
from ddoq_client.exchange import Page, ask, get, once, path_of, read, read_item, send_json
from ddoq_client.steps import Flow, Request, work
from ddoq_client.views import Part, Upload

PART_SECONDS = 300.0
COMPLETION_SECONDS = 3600.0  # the service reads the whole file once


@dataclass(frozen=True)
class Source:
    """A file that is to be sent."""

    file: BufferedReader
    name: str
    size_bytes: int
    sha256: str

    def n_bytes_of(self, number: int, part_size_bytes: int) -> int:
        """Tell how large a part is: the last one is shorter."""
        return min(part_size_bytes, self.size_bytes - (number - 1) * part_size_bytes)

    def part(self, number: int, part_size_bytes: int) -> bytes:
        """Read one part, from 1."""
        self.file.seek((number - 1) * part_size_bytes)
        return self.file.read(part_size_bytes)


def upload(path: Path, on_bytes: OnBytes = ignore) -> Flow[Upload]:
    """Send a file to be a dataset."""
    with path.open("rb") as file:
        source = yield from work(lambda: _examine(file, path.name))
        begun = yield from _begin(source)
        yield from _send(source, begun, on_bytes)
    request = Request("POST", path_of("uploads", begun.id, "complete"), timeout_seconds=COMPLETION_SECONDS)
    return (yield from send_json(Upload, request, {}))


def missing_parts(upload: Upload) -> list[int]:
    """Tell which parts are not there, lowest first."""
    there = {part.number for part in upload.parts}
    return [number for number in range(1, (upload.n_parts or 0) + 1) if number not in there]


def _examine(file: BufferedReader, name: str) -> Source:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Source(file, name, file.tell(), digest)


def _begin(source: Source) -> Flow[Upload]:
    """Find the upload of a file that was begun and not finished, with its parts, or begin one."""
    found = yield from _find(source)
    if found:
        return (yield from get(Upload, path_of("uploads", found.id)))
    said: Mapping[str, str | int] = {
        "filename": source.name,
        "size_bytes": source.size_bytes,
        "sha256": source.sha256,
    }
    return (yield from send_json(Upload, Request("POST", path_of("uploads"), headers=once()), said))


def _find(source: Source) -> Flow[Upload | None]:
    cursor: tuple[tuple[str, str], ...] = ()
    while True:
        answer = yield from ask(Request("GET", path_of("uploads"), (("limit", "100"), *cursor)))
        page = read(Page, answer)
        for one in page.data:
            upload = read_item(Upload, answer, one)
            if (upload.state, upload.size_bytes, upload.sha256) == ("open", source.size_bytes, source.sha256):
                return upload
        if page.next_cursor is None:
            return None
        cursor = (("cursor", page.next_cursor),)


def _send(source: Source, upload: Upload, on_bytes: OnBytes) -> Flow[None]:
    part_size = upload.part_size_bytes or 0
    missing = missing_parts(upload)
    done = source.size_bytes - sum(source.n_bytes_of(number, part_size) for number in missing)
    on_bytes(source.name, done, source.size_bytes)
    for number in missing:
        body = yield from work(partial(source.part, number, part_size))
        place = path_of("uploads", upload.id, "parts", str(number))
        headers = {"Content-Type": "application/octet-stream"}
        request = Request("PUT", place, headers=headers, body=body, timeout_seconds=PART_SECONDS)
        read(Part, (yield from ask(request)))
        done += len(body)
        on_bytes(source.name, done, source.size_bytes)
