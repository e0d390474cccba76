"""Datasets on real web servers, as they are and as they misbehave."""

import os
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from ddoq.config import DatasetConfig
from ddoq.datasets import open_dataset
from ddoq.errors import (
    AddressRefusedError,
    DatasetChangedError,
    DatasetDeniedError,
    DatasetNotFoundError,
    DatasetTooLargeError,
    DatasetUnavailableError,
    DatasetUriError,
    HostNotAllowedError,
    UnknownSchemeError,
    UntrustedServerError,
    WebPageError,
)
from ddoq.guard import Rules
from ddoq.sources import LocalFile, WebFolder, open_source
from tests.pictures import members, write_zip
from tests.web import access_by_web, serve


@pytest.fixture(scope="module")
def running():
    with serve() as site:
        yield site


@pytest.fixture
def site(running):
    running.pages.clear()
    running.asked.clear()
    return running


@pytest.fixture
def access(tmp_path):
    return access_by_web(tmp_path / "cache")


def content(source):
    return source.path.read_bytes()


def test_an_archive_on_a_web_server_is_a_dataset(site, access, tmp_path):
    write_zip(tmp_path / "x.zip", members())
    dataset = open_dataset(DatasetConfig(uri=site.put("/sets/x.zip", (tmp_path / "x.zip").read_bytes())), access)
    assert dataset.counts == {"train": (12, 12, 12), "test": (4, 4, 4)}
    assert len(list(dataset.samples("train", 16, print))) == 36


def test_a_file_is_downloaded_once_for_each_content(site, access):
    uri = site.put("/x.bin", b"one")
    first = open_source(uri, access)
    assert open_source(uri, access) == first
    assert len(site.bodies_sent()) == 1
    site.put("/x.bin", b"two")
    second = open_source(uri, access)
    assert [content(first), content(second)] == [b"one", b"two"]
    assert first.tag != second.tag


@pytest.mark.parametrize("has_length", [True, False])
def test_a_server_that_tells_no_version_is_asked_each_time_and_the_content_is_the_tag(has_length, site, access):
    uri = site.put("/x.bin", b"one", has_etag=False, has_length=has_length, takes_ranges=False)
    first = open_source(uri, access)
    assert open_source(uri, access) == first  # not even its time has changed
    assert len(site.bodies_sent()) == 2
    site.put("/x.bin", b"two", has_etag=False)
    assert open_source(uri, access).tag != first.tag


def test_the_time_of_the_last_change_is_a_version_too(site, access):
    dated = {"headers": {"Last-Modified": "Sat, 21 Nov 2026 10:00:00 GMT"}, "has_etag": False}
    uri = site.put("/x.bin", bytes(1000), **dated, breaks=[400])
    assert content(open_source(uri, access)) == bytes(1000)
    assert open_source(uri, access).tag == "Sat, 21 Nov 2026 10:00:00 GMT"
    assert [span for _, span in site.bodies_sent()] == [None, "bytes=400-"]


def test_a_download_that_breaks_off_goes_on_where_it_was(site, access):
    data = os.urandom(300_000)
    uri = site.put("/x.bin", data, breaks=[100_000, 50_000])
    assert content(open_source(uri, access)) == data
    assert [span for _, span in site.bodies_sent()] == [None, "bytes=100000-", "bytes=150000-"]


def test_a_download_that_broke_off_for_good_goes_on_the_next_time(site, access):
    data = os.urandom(300_000)
    uri = site.put("/x.bin", data, breaks=[100_000, 50_000, 50_000])
    with pytest.raises(DatasetUnavailableError):
        open_source(uri, access)
    assert content(open_source(uri, access)) == data
    assert site.bodies_sent()[-1] == ("/x.bin", "bytes=200000-")


def test_a_server_without_ranges_is_asked_for_the_whole_again(site, access):
    data = os.urandom(300_000)
    uri = site.put("/x.bin", data, breaks=[100_000], takes_ranges=False)
    assert content(open_source(uri, access)) == data


def test_a_file_that_changes_in_the_middle_is_not_mixed_with_what_was_there(site, access):
    uri = site.put("/x.bin", bytes(300_000), breaks=[1000, 1000, 1000])
    with pytest.raises(DatasetUnavailableError):
        open_source(uri, access)
    data = os.urandom(300_000)
    site.put("/x.bin", data)
    assert content(open_source(uri, access)) == data


def test_several_files_are_a_folder(site, access):
    for number in range(3):
        uri = site.put(f"/train-{number:03d}.tar", bytes([number] * (number + 1)))
    source = open_source(uri.replace("002", "{000..002}"), access)
    assert isinstance(source, WebFolder)
    listed = {entry.member.name: entry.member.size for entry in source.entries()}
    assert listed == {"train-000.tar": 1, "train-001.tar": 2, "train-002.tar": 3}
    with source.opened() as find:
        for entry in source.entries():
            assert find(entry.member)() == content(source.fetch(entry.member))


def test_a_folder_whose_server_tells_no_version_takes_the_content_for_it(site, access):
    uri = site.put("/0.tar", b"one", has_etag=False)
    (before,) = open_source(uri.replace("/0.", "/{0..0}."), access).entries()
    site.put("/0.tar", b"two", has_etag=False)
    (after,) = open_source(uri.replace("/0.", "/{0..0}."), access).entries()
    assert before.tag != after.tag


def test_a_file_of_several_that_changed_since_the_listing_is_refused(site, access):
    uri = site.put("/0.tar", b"one")
    source = open_source(uri.replace("/0.", "/{0..0}."), access)
    (entry,) = source.entries()
    site.put("/0.tar", b"two")
    with pytest.raises(DatasetChangedError):
        source.fetch(entry.member)
    with source.opened() as find, pytest.raises(DatasetChangedError):
        find(entry.member)()


def test_a_missing_one_of_several_files_is_named(site, access):
    uri = site.put("/0.tar", b"one")
    with pytest.raises(DatasetNotFoundError, match=r"/1\.tar"):
        list(open_source(uri.replace("/0.", "/{0..1}."), access).entries())


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, DatasetDeniedError),
        (403, DatasetDeniedError),
        (404, DatasetNotFoundError),
        (410, DatasetNotFoundError),
        (418, DatasetNotFoundError),
        (408, DatasetUnavailableError),
        (429, DatasetUnavailableError),
        (500, DatasetUnavailableError),
        (503, DatasetUnavailableError),
    ],
)
def test_an_answer_without_the_file_says_what_is_wrong(status, error, site, access):
    with pytest.raises(error, match=str(status)):
        open_source(site.put("/x.zip?token=secret", b"no", status=status), access)


def test_what_an_address_has_in_its_query_is_not_told(site, access):
    with pytest.raises(DatasetNotFoundError) as caught:
        open_source(f"{site.url}/gone.zip?X-Amz-Signature=secret", access)
    assert "secret" not in str(caught.value)


def test_no_log_tells_what_an_address_has_in_its_query(site, access, caplog):
    caplog.set_level("INFO")
    open_source(site.put("/x.bin?X-Amz-Signature=secret", b"x"), access)
    assert "secret" not in caplog.text


@pytest.mark.parametrize("kind", ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"])
def test_a_web_page_is_not_taken_for_a_file(kind, site, access):
    with pytest.raises(WebPageError):
        open_source(site.put("/x.zip", b"<html>Log in", headers={"Content-Type": kind}), access)


def test_a_server_that_is_away_may_be_there_later(access):
    with pytest.raises(DatasetUnavailableError):
        open_source("http://127.0.0.1:9/x.zip", access)


@pytest.mark.parametrize("has_length", [True, False])
def test_a_file_that_is_too_large_is_not_kept(has_length, site, access):
    uri = site.put("/x.bin", bytes(2000), has_length=has_length, takes_ranges=has_length)
    with pytest.raises(DatasetTooLargeError):
        open_source(uri, replace(access, reach=replace(access.reach, max_bytes=1999)))


def test_files_that_are_too_large_together_are_refused(site, access):
    for number in range(2):
        uri = site.put(f"/{number}.tar", bytes(1000))
    source = open_source(uri.replace("/1.", "/{0..1}."), replace(access, reach=replace(access.reach, max_bytes=1999)))
    with pytest.raises(DatasetTooLargeError):
        list(source.entries())


def test_a_redirect_is_followed(site, access):
    site.put("/b", b"here")
    for start, target in {"/a": "/b", "/far": f"{site.url}/a"}.items():
        uri = site.put(start, b"", status=302, headers={"Location": target})
    assert content(open_source(uri, access)) == b"here"


def test_a_redirect_in_a_circle_ends(site, access):
    with pytest.raises(DatasetNotFoundError, match="redirect"):
        open_source(site.put("/a", b"", status=302, headers={"Location": "/a"}), access)


def test_a_redirect_to_a_host_that_is_not_allowed_is_refused(site, access):
    uri = site.put("/a", b"", status=302, headers={"Location": "https://elsewhere.example/a"})
    with pytest.raises(HostNotAllowedError, match=r"elsewhere\.example"):
        open_source(uri, access)


@pytest.mark.parametrize("target", ["http://169.254.169.254/latest", "http://[::1]/", "http://2852039166/"])
def test_a_redirect_inside_is_refused(target, site, access):
    uri = site.put("/a", b"", status=302, headers={"Location": target})
    with pytest.raises(AddressRefusedError):
        open_source(uri, replace(access, reach=replace(access.reach, hosts=("*",))))


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "https://[::1", "//"])
def test_a_redirect_to_what_is_no_web_address_is_refused(target, site, access):
    uri = site.put("/a", b"", status=302, headers={"Location": target})
    with pytest.raises((DatasetNotFoundError, DatasetUnavailableError, HostNotAllowedError, DatasetUriError)):
        open_source(uri, access)


def test_without_private_networks_http_is_not_spoken(site, access):
    with pytest.raises(UnknownSchemeError, match="https"):
        open_source(site.put("/x", b"x"), replace(access, reach=replace(access.reach, rules=Rules())))


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def encrypted(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("data.example").configure_cert(context)
    with serve(context) as site:
        yield site


@pytest.fixture
def named(tmp_path):
    """Leave to read names that all lead to this machine."""
    rules = Rules(("127.0.0.1/32",), resolve=lambda *_: ["127.0.0.1"])
    return access_by_web(tmp_path / "cache", rules=rules, hosts=("*.example",))


def test_over_tls_the_name_is_proved_though_the_address_was_checked(encrypted, named, authority, tmp_path, monkeypatch):
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    uri = encrypted.put("/x.bin", b"hello").replace("127.0.0.1", "data.example")
    assert content(open_source(uri, named)) == b"hello"
    with pytest.raises(UntrustedServerError, match=r"other\.example"):
        open_source(uri.replace("data.", "other."), named)


def test_a_certificate_of_an_unknown_authority_is_refused(encrypted, named):
    uri = encrypted.put("/x.bin", b"hello").replace("127.0.0.1", "data.example")
    with pytest.raises(UntrustedServerError):
        open_source(uri, named)


def test_a_redirect_from_tls_to_none_is_refused(encrypted, named, authority, tmp_path, monkeypatch):
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    uri = encrypted.put("/x", b"", status=302, headers={"Location": "http://data.example/x"})
    with pytest.raises(DatasetUriError, match="not encrypted"):
        open_source(uri.replace("127.0.0.1", "data.example"), named)


def test_the_cache_holds_nothing_under_a_name_that_a_stranger_chose(site, access):
    source = open_source(site.put("/..%2f..%2fevil.sh", b"x"), access)
    assert isinstance(source, LocalFile)
    assert source.path.parent == access.cache
    assert Path(source.path).name.isalnum()
