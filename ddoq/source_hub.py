"""`hf://`: datasets of a Hugging Face hub at a commit, by its HTTP API; no library of its own, no token.

Source: https://huggingface.co/docs/hub/api (tree, revision) and the addresses that `huggingface_hub` builds.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, RootModel, ValidationError

from ddoq.errors import DatasetDeniedError, DatasetError, DatasetNotFoundError, DatasetUnavailableError
from ddoq.hub_cards import label_names
from ddoq.source_downloads import download
from ddoq.source_types import Access, Entry, Load, LocalFile, Member, capped
from ddoq.source_uris import CONVERTED, HubPlace, Reach, parse_hub, unpinned
from ddoq.source_web import Remote, Web, open_session

M = TypeVar("M", bound=BaseModel)

_MOST_ANSWER: Final = 2**24  # bytes of a page of a listing
_MOST_CARD: Final = 2**22
_ITSELF: Final = ""


class _Large(BaseModel):
    oid: str  # SHA-256 of the content


class _Item(BaseModel):
    type: str
    path: str
    oid: str
    size: int = 0
    lfs: _Large | None = None


class _Page(RootModel[tuple[_Item, ...]]):
    pass


class _Revision(BaseModel):
    sha: str


@dataclass(frozen=True)
class HubFolder:
    """Files of a hub's dataset at `commit`, below `place.path`. Each is fetched when it is read."""

    place: HubPlace
    commit: str
    reach: Reach
    cache: Path
    reads_in_order = False
    n_threads = 8  # waits for the network, not for a core

    @property
    def is_file(self) -> bool:
        """Whether the path is that of a file, which is then the only one and has no name."""
        return _ITSELF in self._files

    @property
    def left_out(self) -> tuple[str, ...]:
        if not self.place.is_moving:
            return ()
        return (f"what '{self.place.dataset}@{CONVERTED}' becomes after commit {self.commit}",)

    def entries(self) -> Iterator[Entry]:
        listed = (Entry(Member(name, file.size or 0), file.tag or "") for name, file in self._files.items())
        return capped(listed, self.reach.max_bytes)

    @contextmanager
    def opened(self) -> Iterator[Callable[[Member], Load]]:
        with self._session() as web:
            yield lambda member: partial(web.read_member, self._files[member.name], member)

    def fetch(self, member: Member) -> LocalFile:
        with self._session() as web:
            file = download(web, self._files[member.name], self.cache)
        return replace(file, hub_names=self._names, left_out=self.left_out)

    @cached_property
    def _files(self) -> Mapping[str, Remote]:
        with self._session() as web:
            return _list_files(web, self.place, self.commit)

    @cached_property
    def _names(self) -> Mapping[str, tuple[str, ...]]:
        """Read the dataset's card, if it has one."""
        address = _file_url(self.reach.hub, self.place, self.commit, "README.md")
        with self._session() as web:
            try:
                return label_names(web.read(address, _MOST_CARD)[0].decode("utf-8", "replace"))
            except DatasetUnavailableError:
                raise
            except DatasetError:
                return {}

    def _session(self) -> AbstractContextManager[Web]:
        return _open_hub(self.reach, self.place)


def open_hub(uri: str, access: Access) -> LocalFile | HubFolder:
    """Find the folder of an `hf://` URI and list it, or download the file.

    The hub may redirect to any public host, as it does to those that hold large files.
    """
    place = parse_hub(uri, access.reach)
    with _open_hub(access.reach, place) as web:
        folder = HubFolder(place, _commit(web, place), access.reach, access.cache)
    if not sum(1 for _ in folder.entries()):  # all of them, to see that they are not too large
        raise DatasetNotFoundError(f"there is nothing at {uri!r}")
    return folder.fetch(Member(_ITSELF, 0)) if folder.is_file else folder


@contextmanager
def _open_hub(reach: Reach, place: HubPlace) -> Iterator[Web]:
    try:
        with open_session(reach, lambda _url: None) as web:
            yield web
    except DatasetDeniedError as error:
        # the hub does not tell one that is private from one that is not there
        raise DatasetDeniedError(
            f"dataset {place.dataset!r} is private, gated or not there; no token is sent to the hub"
        ) from error


def _commit(web: Web, place: HubPlace) -> str:
    if place.is_pinned:
        return place.revision
    if place.is_moving:
        return _ask_commit(web, place)
    try:
        commit = _ask_commit(web, place)
    except DatasetError as error:
        raise unpinned(place) from error
    raise unpinned(place, commit)


def _ask_commit(web: Web, place: HubPlace) -> str:
    revision = quote(place.revision or "main", safe="")
    data, _ = web.read(httpx.URL(f"{web.reach.hub}/api/datasets/{place.dataset}/revision/{revision}"), _MOST_ANSWER)
    return _understood(_Revision, data).sha


def _list_files(web: Web, place: HubPlace, commit: str) -> dict[str, Remote]:
    """List the files below a path; the one that is at the path itself has no name."""
    try:
        items = list(_tree(web, place, commit, place.path, "true"))
    except DatasetNotFoundError:
        folder = place.path.rpartition("/")[0]
        items = [item for item in _tree(web, place, commit, folder, "false") if item.path == place.path]
    prefix = f"{place.path}/" if place.path else ""
    return {
        item.path[len(prefix) :]: _remote(web.reach.hub, place, commit, item) for item in items if item.type == "file"
    }


def _tree(web: Web, place: HubPlace, commit: str, path: str, recursive: str) -> Iterator[_Item]:
    start = f"{web.reach.hub}/api/datasets/{place.dataset}/tree/{commit}"
    url = httpx.URL(f"{start}/{quote(path)}" if path else start, params={"recursive": recursive, "expand": "false"})
    while True:
        data, answer = web.read(url, _MOST_ANSWER)
        yield from _understood(_Page, data).root
        following = answer.links.get("next", {}).get("url")
        if following is None:
            return
        url = url.join(following)
        if not str(url).startswith(f"{web.reach.hub}/"):
            raise DatasetUnavailableError("the hub's listing goes on elsewhere; try again")


def _remote(hub: str, place: HubPlace, commit: str, item: _Item) -> Remote:
    sha256 = item.lfs.oid if item.lfs else None
    return Remote(_file_url(hub, place, commit, item.path), item.size, sha256 or item.oid, is_fixed=True, sha256=sha256)


def _file_url(hub: str, place: HubPlace, commit: str, path: str) -> httpx.URL:
    return httpx.URL(f"{hub}/datasets/{place.dataset}/resolve/{commit}/{quote(path)}")


def _understood(kind: type[M], data: bytes) -> M:
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise DatasetUnavailableError("the hub's answer is not understood; try again") from error
