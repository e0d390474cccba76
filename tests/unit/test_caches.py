"""Folders kept under content keys."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ddoq.caches import GRACE_SECONDS, Cache, FolderCache, Kept, choose_evicted


@pytest.fixture
def cache(tmp_path: Path) -> FolderCache:
    return FolderCache(tmp_path / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    (made / "below").mkdir(parents=True)
    (made / "one.txt").write_text("1")
    (made / "below" / "two.txt").write_text("2")
    return made


def content(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_a_folder_is_a_cache(cache):
    assert isinstance(cache, Cache)


def test_what_was_stored_is_fetched_with_everything_below_it(cache, folder, tmp_path):
    cache.store("key/prior", folder)
    assert cache.fetch("key/prior", tmp_path / "fetched")
    assert content(tmp_path / "fetched") == {"one.txt": "1", "below/two.txt": "2"}


def test_fetching_replaces_the_folder(cache, folder, tmp_path):
    cache.store("key/prior", folder)
    (tmp_path / "fetched").mkdir()
    (tmp_path / "fetched" / "old.txt").write_text("old")
    cache.fetch("key/prior", tmp_path / "fetched")
    assert "old.txt" not in content(tmp_path / "fetched")


def test_fetching_what_is_not_there_changes_nothing(cache, folder):
    assert not cache.fetch("key/prior", folder)
    assert content(folder)


def test_changing_the_folder_afterwards_does_not_change_what_is_kept(cache, folder, tmp_path):
    cache.store("key/prior", folder)
    (folder / "one.txt").write_text("changed")
    cache.fetch("key/prior", tmp_path / "fetched")
    assert content(tmp_path / "fetched")["one.txt"] == "1"


def test_names_are_those_directly_below_a_prefix_in_order(cache, folder):
    for name in ("key/prior", "key/checkpoint-2", "key/checkpoint-1", "keys/prior"):
        cache.store(name, folder)
    assert cache.names("key") == ["key/checkpoint-1", "key/checkpoint-2", "key/prior"]
    assert cache.names("nothing") == []


def test_what_was_forgotten_is_gone(cache, folder, tmp_path):
    cache.store("key/prior", folder)
    cache.forget("key/prior")
    assert cache.names("key") == []
    assert not cache.fetch("key/prior", tmp_path / "fetched")


def test_forgetting_what_is_not_there_is_no_fault(cache):
    cache.forget("key/prior")


def test_storing_twice_under_one_name_is_no_fault(cache, folder, tmp_path):
    cache.store("key/prior", folder)
    cache.store("key/prior", folder)
    assert cache.fetch("key/prior", tmp_path / "fetched")


def test_many_may_store_under_one_name_at_once(cache, folder, tmp_path):
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: cache.store("key/prior", folder), range(20)))
    cache.fetch("key/prior", tmp_path / "fetched")
    assert content(tmp_path / "fetched") == content(folder)


def test_a_store_that_breaks_off_leaves_no_name(cache, tmp_path):
    with pytest.raises(FileNotFoundError):
        cache.store("key/prior", tmp_path / "absent")
    assert cache.names("key") == []


def test_nothing_unfinished_stays_behind(cache, folder):
    cache.store("key/prior", folder)
    cache.store("key/prior", folder)
    cache.forget("key/prior")
    assert not list((cache.root / ".unfinished").iterdir())


def test_nothing_unfinished_stays_beside_what_was_fetched(cache, folder, tmp_path):
    cache.store("key/prior", folder)
    cache.fetch("key/prior", tmp_path / "into" / "fetched")
    assert [path.name for path in (tmp_path / "into").iterdir()] == ["fetched"]


def evicted(*used_at: float, max_bytes: int = 20) -> list[str]:
    """Choose among folders of ten bytes, called by their number."""
    return choose_evicted([Kept(str(number), 10, time) for number, time in enumerate(used_at)], max_bytes)


def test_what_was_unused_longest_goes_first_and_no_more_than_has_to():
    assert evicted(3 * GRACE_SECONDS, GRACE_SECONDS, 2 * GRACE_SECONDS, 5 * GRACE_SECONDS) == ["1", "2"]


def test_nothing_goes_while_there_is_room():
    assert evicted(0, 2 * GRACE_SECONDS) == []
    assert choose_evicted([], 1) == []


def test_what_was_used_within_the_grace_stays_whatever_the_size():
    assert evicted(1, 2, GRACE_SECONDS, GRACE_SECONDS + 1.5, max_bytes=1) == ["0"]


@pytest.fixture
def crowded(cache, folder) -> FolderCache:
    """Room for two folders of two bytes, both there, `old/prior` unused for longer."""
    for age, name in ((3, "old/prior"), (2, "young/prior")):
        cache.store(name, folder)
        then = (cache.root / name).stat().st_mtime - age * GRACE_SECONDS
        os.utime(cache.root / name, (then, then))
    return FolderCache(cache.root, max_bytes=4)


def every_name(cache: FolderCache) -> list[str]:
    return [name for key in ("new", "old", "young") for name in cache.names(key)]


def test_storing_beyond_the_size_evicts_what_was_unused_longest(crowded, folder):
    crowded.store("new/prior", folder)
    assert every_name(crowded) == ["new/prior", "young/prior"]


def test_fetching_is_a_use(crowded, folder, tmp_path):
    crowded.fetch("old/prior", tmp_path / "fetched")
    crowded.store("new/prior", folder)
    assert every_name(crowded) == ["new/prior", "old/prior"]


def test_storing_again_is_a_use(crowded, folder):
    crowded.store("old/prior", folder)
    crowded.store("new/prior", folder)
    assert every_name(crowded) == ["new/prior", "old/prior"]


def test_fetching_while_others_evict_gives_the_whole_or_nothing(crowded, folder, tmp_path):
    def fetch(number: int) -> dict[str, str] | None:
        to = tmp_path / str(number)
        crowded.store("old/prior", folder)
        return content(to) if crowded.fetch("old/prior", to) else None

    with ThreadPoolExecutor(4) as threads:
        fetched = threads.map(fetch, range(40))
        for _ in range(40):
            crowded.forget("old/prior")
        assert all(found in (None, content(folder)) for found in fetched)
