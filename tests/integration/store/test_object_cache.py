"""What outlives a job, on a real object store."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep

import pytest

import ddoq.caches
from jobs.artifacts import ObjectStore
from jobs.caches import ObjectCache, open_cache
from jobs.settings import Settings

ROOM = 2**30  # bytes, more than is stored
TICK = 1.1  # seconds: object stores tell no fractions


@pytest.fixture
def prior(tmp_path: Path) -> Path:
    folder = tmp_path / "prior"
    (folder / "transformer").mkdir(parents=True)
    (folder / "transformer" / "weights.safetensors").write_bytes(bytes(range(256)))
    (folder / "model_index.json").write_text("{}")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_kept_folder_comes_back_in_the_place_of_what_was_there(
    objects: ObjectStore, prior: Path, tmp_path: Path
) -> None:
    cache = ObjectCache(objects, "ada", ROOM)
    cache.store("key/prior", prior)
    other = tmp_path / "other"
    other.mkdir()
    (other / "leftover").write_text("old")
    assert cache.fetch("key/prior", other)
    assert tree(other) == tree(prior)


def test_what_was_never_kept_is_not_found_and_nothing_is_touched(objects: ObjectStore, prior: Path) -> None:
    before = tree(prior)
    assert not ObjectCache(objects, "ada", ROOM).fetch("key/prior", prior)
    assert tree(prior) == before


def test_names_are_those_below_a_prefix_in_order(objects: ObjectStore, prior: Path) -> None:
    cache = ObjectCache(objects, "ada", ROOM)
    for name in ("key/checkpoint-0000200", "key/checkpoint-0000100", "key2/prior"):
        cache.store(name, prior)
    assert cache.names("key") == ["key/checkpoint-0000100", "key/checkpoint-0000200"]


def test_what_is_forgotten_is_gone_and_may_be_forgotten_again(objects: ObjectStore, prior: Path) -> None:
    cache = ObjectCache(objects, "ada", ROOM)
    cache.store("key/prior", prior)
    cache.forget("key/prior")
    cache.forget("key/prior")
    assert cache.names("key") == []


@pytest.mark.parametrize("owner", ["bob", "..", "ada/../ada", "ä\n"])
def test_owners_do_not_see_each_others_folders(objects: ObjectStore, prior: Path, tmp_path: Path, owner: str) -> None:
    ObjectCache(objects, "ada", ROOM).store("key/prior", prior)
    cache = ObjectCache(objects, owner, ROOM)
    assert cache.names("key") == []
    assert not cache.fetch("key/prior", tmp_path / "copy")


def test_nothing_unfinished_is_left_beside_the_folder(objects: ObjectStore, prior: Path, tmp_path: Path) -> None:
    cache = ObjectCache(objects, "ada", ROOM)
    cache.store("key/prior", prior)
    cache.fetch("key/prior", tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "prior"]


@pytest.fixture
def room_for_two(objects: ObjectStore, prior: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectCache:
    """A cache that takes two priors and keeps nothing for being young."""
    monkeypatch.setattr(ddoq.caches, "GRACE_SECONDS", 0)
    ObjectCache(objects, "measured", ROOM).store("key/prior", prior)
    (measured,) = objects.list_stored("cache")
    objects.delete(measured.key)
    return ObjectCache(objects, "ada", 2 * measured.size_bytes)


def kept_in(cache: ObjectCache) -> list[str]:
    return [name for key in "abc" for name in cache.names(key)]


def test_beyond_its_size_the_one_unused_longest_goes(room_for_two: ObjectCache, prior: Path, tmp_path: Path) -> None:
    for name in ("a/prior", "b/prior"):
        room_for_two.store(name, prior)
        sleep(TICK)
    room_for_two.fetch("a/prior", tmp_path / "copy")
    sleep(TICK)
    room_for_two.store("c/prior", prior)
    assert kept_in(room_for_two) == ["a/prior", "c/prior"]


def test_what_was_used_within_the_grace_stays_beyond_the_size(
    objects: ObjectStore, prior: Path, tmp_path: Path
) -> None:
    cache = ObjectCache(objects, "ada", 1)
    for name in ("a/prior", "b/prior"):
        cache.store(name, prior)
    assert kept_in(cache) == ["a/prior", "b/prior"]


def test_the_size_is_that_of_each_owner(room_for_two: ObjectCache, objects: ObjectStore, prior: Path) -> None:
    bob = ObjectCache(objects, "bob", ROOM)
    bob.store("a/prior", prior)
    sleep(TICK)
    for name in ("b/prior", "c/prior"):
        room_for_two.store(name, prior)
    assert kept_in(bob) == ["a/prior"]
    assert kept_in(room_for_two) == ["b/prior", "c/prior"]


@pytest.mark.parametrize("is_shared", [False, True])
def test_owners_share_a_cache_where_the_settings_say_so(
    objects: ObjectStore, settings: Settings, prior: Path, tmp_path: Path, *, is_shared: bool
) -> None:
    settings = settings.model_copy(update={"cache_shared": is_shared})
    open_cache(objects, settings, "ann").store("a/prior", prior)
    assert open_cache(objects, settings, "ann").fetch("a/prior", tmp_path / "hers")
    assert open_cache(objects, settings, "bob").fetch("a/prior", tmp_path / "his") is is_shared


def test_a_fetch_is_noted_beside_what_was_fetched_and_forgotten_with_it(
    objects: ObjectStore, prior: Path, tmp_path: Path
) -> None:
    cache = ObjectCache(objects, "ada", ROOM)
    cache.store("key/prior", prior)
    cache.fetch("key/prior", tmp_path / "copy")
    assert cache.names("key") == ["key/prior"]
    cache.forget("key/prior")
    assert list(objects.list_keys("")) == []


def test_a_use_of_what_is_gone_goes_too(objects: ObjectStore, prior: Path, tmp_path: Path) -> None:
    cache = ObjectCache(objects, "ada", ROOM)
    cache.store("key/prior", prior)
    cache.fetch("key/prior", tmp_path / "copy")
    (tar,) = (key for key in objects.list_keys("cache") if key.endswith(".tar"))
    objects.delete(tar)
    cache.store("other/prior", prior)
    assert [key for key in objects.list_keys("cache") if key.endswith(".used")] == []


def test_two_that_evict_at_once_keep_the_same(room_for_two: ObjectCache, prior: Path) -> None:
    room_for_two.store("a/prior", prior)
    sleep(TICK)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda key: room_for_two.store(f"{key}/prior", prior), "bcbc"))
    assert kept_in(room_for_two) == ["b/prior", "c/prior"]
