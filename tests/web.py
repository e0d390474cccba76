"""A small web server and a small hub for tests: real sockets, real HTTP, faults on request."""

import hashlib
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from ddoq.guard import Rules
from ddoq.source_uris import Reach
from ddoq.sources import Access

HERE = Rules(("127.0.0.1/32",))


@dataclass
class Page:
    """What is at a path. `breaks` are the bytes after which each of the first answers with the body breaks off."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    has_etag: bool = True
    has_length: bool = True
    takes_ranges: bool = True
    breaks: list[int] = field(default_factory=list)

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.body).hexdigest()[:16]}"'


@dataclass
class Site:
    """Pages by path, and every request that came: path, range."""

    url: str
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    find: Callable[[str], Page | None] = lambda _path: None

    def put(self, path: str, body: bytes, **rest: object) -> str:
        """Put a page there and answer its address."""
        self.pages[path] = Page(body, **rest)  # type: ignore[arg-type]
        return self.url + path

    def bodies_sent(self) -> list[tuple[str, str | None]]:
        """Answer the requests for more than the single byte that is asked for to learn the version."""
        return [(path, span) for path, span in self.asked if span != "bytes=0-0"]


@contextmanager
def serve(context: ssl.SSLContext | None = None) -> Iterator[Site]:
    """Run a site on a free port of this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.daemon_threads = True
        site = Site(f"http{'s' if context else ''}://127.0.0.1:{server.server_port}")
        server.site = site  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


def access_by_web(cache: Path, **reach: object) -> Access:
    """Leave to read from this machine over the network, without a wait between attempts."""
    allowed = {"hosts": ("127.0.0.1",), "hub_datasets": ("*",), "rules": HERE, "waits": (0.0, 0.0), **reach}
    return Access((), (), None, cache, Reach(**allowed))  # type: ignore[arg-type]


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        site: Site = self.server.site  # type: ignore[attr-defined]
        site.asked.append((self.path, self.headers["Range"]))
        page = site.find(self.path) or site.pages.get(self.path) or Page(b"nothing here", 404)
        span = self._span(page)
        body = page.body if span is None else page.body[span[0] : span[1]]
        self.send_response(page.status if span is None else 206)
        for name, value in page.headers.items():
            self.send_header(name, value)
        if page.has_etag:
            self.send_header("ETag", page.etag)
        if span is not None:
            self.send_header("Content-Range", f"bytes {span[0]}-{span[0] + len(body) - 1}/{len(page.body)}")
        if page.has_length:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        is_cut = page.breaks and len(body) > page.breaks[0]
        with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):  # who asked may have seen enough
            self.wfile.write(body[: page.breaks.pop(0)] if is_cut else body)
        self.close_connection = True

    def _span(self, page: Page) -> tuple[int, int] | None:
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
        is_other = self.headers["If-Range"] not in {None, page.etag, page.headers.get("Last-Modified")}
        if not found or not page.takes_ranges or page.status != 200 or is_other:
            return None
        return int(found[1]), int(found[2]) + 1 if found[2] else len(page.body)

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Hub:
    """A hub with one dataset, whose files are the same in each of its revisions; large files lie on another host."""

    site: Site
    large: Site
    dataset: str
    commit: str
    files: dict[str, bytes]
    branches: dict[str, str] = field(default_factory=dict)
    page_size: int = 1000

    @property
    def uri(self) -> str:
        return f"hf://datasets/{self.dataset}@{self.commit}"

    def find(self, path: str) -> Page | None:
        parts = urlsplit(path)
        revision = re.fullmatch(rf"/api/datasets/{self.dataset}/revision/(.*)", parts.path)
        tree = re.fullmatch(rf"/api/datasets/{self.dataset}/tree/([^/]*)/?(.*)", parts.path)
        file = re.fullmatch(rf"/datasets/{self.dataset}/resolve/([^/]*)/(.*)", parts.path)
        if revision:
            return self._revision(unquote(revision[1]))
        if tree and tree[1] == self.commit:
            return self._tree(parts.path, unquote(tree[2]), parse_qs(parts.query))
        if file and file[1] == self.commit:
            return self._file(unquote(file[2]))
        return None

    def _revision(self, name: str) -> Page | None:
        return Page(json.dumps({"sha": self.branches[name]}).encode()) if name in self.branches else None

    def _tree(self, path: str, folder: str, query: dict[str, list[str]]) -> Page | None:
        prefix = f"{folder}/" if folder else ""
        found = [item for name, data in sorted(self.files.items()) for item in self._items(prefix, name, data, query)]
        start = int(query.get("cursor", ["0"])[0])
        end = start + self.page_size
        rest = f"{self.site.url}{path}?recursive={query['recursive'][0]}&cursor={end}"
        link = {"Link": f'<{rest}>; rel="next"'} if end < len(found) else {}
        return Page(json.dumps(found[start:end]).encode(), headers=link) if found else None

    def _items(self, prefix: str, name: str, data: bytes, query: dict[str, list[str]]) -> list[dict[str, object]]:
        if not name.startswith(prefix) or ("/" in name[len(prefix) :] and query["recursive"] == ["false"]):
            return []
        large = {"lfs": {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}} if is_large(name) else {}
        oid = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
        return [{"type": "file", "path": name, "oid": oid, "size": len(data), **large}]

    def _file(self, name: str) -> Page | None:
        if name not in self.files:
            return None
        if not is_large(name):
            return Page(self.files[name])
        if f"/{quote(name)}" not in self.large.pages:
            self.large.put(f"/{quote(name)}", self.files[name])
        return Page(status=302, headers={"Location": f"{self.large.url}/{quote(name)}?signature=secret"})


def is_large(name: str) -> bool:
    return not name.endswith((".md", ".png"))


@contextmanager
def serve_hub(dataset: str, files: dict[str, bytes]) -> Iterator[Hub]:
    """Run a hub with one dataset."""
    with serve() as site, serve() as large:
        hub = Hub(site, large, dataset, "0123456789abcdef0123456789abcdef01234567", files)
        site.find = hub.find
        large.find = lambda path: large.pages.get(path.partition("?")[0])
        yield hub
