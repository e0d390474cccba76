"""`https://`: a file on a web server, or several whose names differ by a number."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import httpx

from ddoq.source_downloads import download
from ddoq.source_types import Access, Entry, Load, LocalFile, Member, capped
from ddoq.source_uris import Reach, parse_web, require_host
from ddoq.source_web import Remote, Web, open_session


@dataclass(frozen=True)
class WebFolder:
    """Files of a web server, by name."""

    urls: Mapping[str, httpx.URL]
    reach: Reach
    cache: Path
    reads_in_order = False
    n_threads = 8  # waits for the network, not for a core
    left_out = ()

    def entries(self) -> Iterator[Entry]:
        return capped(map(self._entry, self.urls), self.reach.max_bytes)

    @contextmanager
    def opened(self) -> Iterator[Callable[[Member], Load]]:
        with self._session() as web:
            yield lambda member: partial(web.read_member, self._remotes[member.name], member)

    def fetch(self, member: Member) -> LocalFile:
        return self.fetch_named(member.name)

    def fetch_named(self, name: str) -> LocalFile:
        with self._session() as web:
            return download(web, self._remotes[name], self.cache)

    @cached_property
    def _remotes(self) -> Mapping[str, Remote]:
        with self._session() as web, ThreadPoolExecutor(self.n_threads, "probe") as pool:
            return dict(zip(self.urls, pool.map(web.probe, self.urls.values()), strict=True))

    def _session(self) -> AbstractContextManager[Web]:
        return open_session(self.reach, lambda url: require_host(url, self.reach))

    def _entry(self, name: str) -> Entry:
        remote = self._remotes[name]
        if remote.size is not None and remote.tag is not None:
            return Entry(Member(name, remote.size), remote.tag)
        file = self.fetch_named(name)
        return Entry(Member(name, file.size), file.tag)


def open_web(uri: str, access: Access) -> LocalFile | WebFolder:
    """Find the file of an `https://` URI and download it, or list those of a range.

    A redirect is followed to hosts that are allowed themselves, at most five times.
    """
    files = parse_web(uri, access.reach)
    folder = WebFolder(files.urls, access.reach, access.cache)
    return folder if files.is_list else folder.fetch_named(next(iter(files.urls)))
