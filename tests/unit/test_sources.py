import os

import pytest

from ddoq.errors import (
    BucketNotAllowedError,
    DatasetChangedError,
    DatasetNotFoundError,
    OutsideRootsError,
    UnknownSchemeError,
)
from ddoq.sources import Access, LocalFile, LocalFolder, open_source
from tests.pictures import access_to


def read_all(folder):
    with folder.opened() as find:
        return {entry.member.name: find(entry.member)() for entry in folder.entries() if entry.refusal is None}


@pytest.mark.parametrize(
    "uri", ["", "data.zip", "/data.zip", "hf:/datasets/a/b", "file:/data.zip", "FTP://x/y", "s3:/b/k", "https:/host/x"]
)
def test_an_unknown_scheme_is_refused_and_the_known_ones_are_named(uri, tmp_path):
    with pytest.raises(UnknownSchemeError, match=r"file:///absolute/path, s3://bucket/key, https"):
        open_source(uri, access_to(tmp_path))


def test_a_file_is_found_by_its_percent_encoded_path(tmp_path):
    path = tmp_path / "two words #1.zip"
    path.write_bytes(b"12345")
    source = open_source(path.as_uri(), access_to(tmp_path))
    assert isinstance(source, LocalFile)
    assert (source.path, source.size) == (path, 5)


def test_the_scheme_is_known_in_capitals_and_localhost_is_here(tmp_path):
    assert isinstance(open_source(f"FILE://localhost{tmp_path}", access_to(tmp_path)), LocalFolder)


def test_a_file_on_another_host_is_not_found(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="absolute path"):
        open_source("file://elsewhere/data.zip", access_to(tmp_path))


@pytest.mark.parametrize("path", ["/etc/passwd", "{root}/../other", "{root}/%2e%2e/other", "{root}-sibling", "/"])
def test_a_path_outside_the_roots_is_refused(path, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "root-sibling").mkdir()
    with pytest.raises(OutsideRootsError, match="outside the folders"):
        open_source("file://" + path.format(root=root), access_to(root))


def test_a_missing_path_outside_the_roots_is_not_told_from_one_that_is_there(tmp_path):
    with pytest.raises(OutsideRootsError):
        open_source("file:///no/such/thing", access_to(tmp_path))


def test_a_link_that_leads_outside_the_roots_is_outside(tmp_path):
    root, secret = tmp_path / "root", tmp_path / "secret"
    root.mkdir()
    secret.mkdir()
    (root / "door").symlink_to(secret)
    with pytest.raises(OutsideRootsError):
        open_source((root / "door").as_uri(), access_to(root))


def test_a_root_may_itself_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "real")
    assert isinstance(open_source((tmp_path / "root").as_uri(), access_to(tmp_path / "root")), LocalFolder)


def test_without_roots_no_file_is_read(tmp_path):
    with pytest.raises(OutsideRootsError):
        open_source(tmp_path.as_uri(), Access((), (), None, tmp_path))


@pytest.mark.parametrize("name", ["gone.zip", "gone/data.zip", "nul%00.zip", "n" * 300])
def test_a_missing_file_is_not_found(name, tmp_path):
    with pytest.raises(DatasetNotFoundError):
        open_source(f"{tmp_path.as_uri()}/{name}", access_to(tmp_path))


def test_a_pipe_is_no_dataset(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DatasetNotFoundError, match="neither a file nor a folder"):
        open_source((tmp_path / "pipe").as_uri(), access_to(tmp_path))


def test_a_folder_is_listed_by_name_and_read(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2").write_bytes(b"two")
    (tmp_path / "a").write_bytes(b"one")
    assert list(read_all(LocalFolder(tmp_path)).items()) == [("a", b"one"), ("b/2", b"two")]


def test_links_and_pipes_in_a_folder_are_listed_and_not_read(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "file-link").symlink_to(tmp_path / "secret")
    (folder / "folder-link").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    refusals = {entry.member.name: entry.refusal for entry in LocalFolder(folder).entries()}
    assert set(refusals) == {"file-link", "folder-link", "pipe"}
    assert all(refusals.values())


def test_a_file_that_becomes_a_link_after_the_listing_is_not_followed(tmp_path):
    (tmp_path / "a").write_bytes(b"secret")
    folder = LocalFolder(tmp_path)
    (entry,) = folder.entries()
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    with folder.opened() as find, pytest.raises(DatasetChangedError):
        find(entry.member)()


@pytest.mark.parametrize("content", [b"longer", b"s"])
def test_a_file_that_changes_size_after_the_listing_is_refused(content, tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    folder = LocalFolder(tmp_path)
    (entry,) = folder.entries()
    (tmp_path / "a").write_bytes(content)
    with folder.opened() as find, pytest.raises(DatasetChangedError, match="changed"):
        find(entry.member)()


@pytest.mark.parametrize("buckets", [(), ("other",)])
def test_a_bucket_that_is_not_allowed_is_refused_without_asking_the_store(buckets, tmp_path):
    def must_not_be_asked():
        raise AssertionError

    with pytest.raises(BucketNotAllowedError, match="'data'"):
        open_source("s3://data/set.zip", Access((), buckets, must_not_be_asked, tmp_path))


def test_a_bucket_name_cannot_smuggle_a_path(tmp_path):
    def must_not_be_asked():
        raise AssertionError

    with pytest.raises(BucketNotAllowedError):
        open_source("s3://da%2fta?x=1/set.zip", Access((), ("*",), must_not_be_asked, tmp_path))
