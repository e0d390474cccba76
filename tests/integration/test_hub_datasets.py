"""Datasets of a hub, over HTTP as the hub speaks it."""

import io
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ddoq.config import DatasetConfig
from ddoq.datasets import open_dataset
from ddoq.errors import (
    DatasetDeniedError,
    DatasetNotFoundError,
    DatasetTooLargeError,
    DatasetUnavailableError,
    DatasetUriError,
    HubNotAllowedError,
)
from ddoq.sources import HubFolder, LocalFile, open_source
from tests.pictures import members, png
from tests.web import Page, access_by_web, serve_hub

OTHER = "f" * 40
CARD = """---
license: mit
dataset_info:
  features:
  - name: image
    dtype: image
  - name: label
    dtype:
      class_label:
        names:
          '0': cat
          '1': dog
          '2': eel
---
# Pictures
"""


def parquet(n_rows=18):
    rows = [{"image": {"bytes": png(i % 3, i), "path": None}, "label": i % 3} for i in range(n_rows)]
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


@pytest.fixture
def hub():
    files = {"README.md": CARD.encode(), "data/train-00000-of-00001.parquet": parquet()}
    with serve_hub("ann/pictures", files) as hub:
        yield hub


@pytest.fixture
def access(hub, tmp_path):
    return access_by_web(tmp_path / "cache", hub=hub.site.url)


def names(source):
    return [entry.member.name for entry in source.entries()]


def test_a_dataset_of_a_hub_is_read_with_the_label_names_of_its_card(hub, access):
    dataset = open_dataset(DatasetConfig(uri=hub.uri), access)
    assert dataset.class_names == ("cat", "dog", "eel")
    assert len(list(dataset.samples("train", 16, print))) + sum(dataset.counts["test"]) == 18


def test_without_a_card_the_labels_are_numbers(hub, access):
    del hub.files["README.md"]
    assert open_dataset(DatasetConfig(uri=hub.uri), access).class_names == ("0", "1", "2")


def test_pictures_in_class_folders_are_read_one_by_one(hub, access):
    hub.files.clear()
    hub.files.update(members(n_train=3, n_test=1))
    dataset = open_dataset(DatasetConfig(uri=hub.uri), access)
    assert dataset.counts["train"] == (3, 3, 3)
    assert len(list(dataset.samples("train", 16, print))) == 9
    assert not access.cache.exists()


def test_a_folder_below_is_a_dataset_of_its_own(hub, access):
    hub.files["two words/b/1.bin"] = b"1"
    assert names(open_source(f"{hub.uri}/two%20words", access)) == ["b/1.bin"]
    assert names(open_source(f"{hub.uri}/two words/b/", access)) == ["1.bin"]


def test_a_file_is_downloaded_from_where_the_hub_leads(hub, access):
    source = open_source(f"{hub.uri}/data/train-00000-of-00001.parquet", access)
    assert isinstance(source, LocalFile)
    assert source.path.read_bytes() == hub.files["data/train-00000-of-00001.parquet"]
    assert source.hub_names == {"label": ("cat", "dog", "eel")}
    assert open_source(f"{hub.uri}/data/train-00000-of-00001.parquet", access) == source
    assert len(hub.large.asked) == 1


def test_a_download_that_breaks_off_goes_on_where_it_was(hub, access):
    data = bytes(range(256)) * 1000
    hub.files["x.bin"] = data
    hub.large.put("/x.bin", data, breaks=[100_000])
    assert open_source(f"{hub.uri}/x.bin", access).path.read_bytes() == data
    assert [span for _, span in hub.large.asked] == [None, "bytes=100000-"]


def test_a_large_file_is_proved_by_its_digest(hub, access):
    hub.files["x.bin"] = bytes(1000)
    hub.large.put("/x.bin", bytes(999) + b"1")
    with pytest.raises(DatasetUnavailableError, match="damaged"):
        open_source(f"{hub.uri}/x.bin", access)


def test_a_listing_goes_on_over_pages(hub, access):
    hub.files.update({f"more/{i:02d}.bin": bytes([i]) for i in range(25)})
    hub.page_size = 7
    assert len(names(open_source(hub.uri, access))) == 27


def test_a_listing_that_goes_on_elsewhere_is_not_followed(hub, access):
    def find(path):
        return Page(b"[]", headers={"Link": '<https://elsewhere.example/>; rel="next"'}) if "/tree/" in path else None

    hub.site.find = find
    with pytest.raises(DatasetUnavailableError, match="elsewhere"):
        open_source(hub.uri, access)


def test_the_fingerprint_is_that_of_the_files_whatever_the_commit(hub, access):
    before = open_dataset(DatasetConfig(uri=hub.uri), access).fingerprint
    hub.commit = OTHER
    assert open_dataset(DatasetConfig(uri=hub.uri), access).fingerprint == before
    hub.files["data/train-00000-of-00001.parquet"] = parquet(21)
    hub.large.pages.clear()
    assert open_dataset(DatasetConfig(uri=hub.uri), access).fingerprint != before


@pytest.mark.parametrize("revision", ["~parquet", "refs/convert/parquet", "refs%2Fconvert%2Fparquet"])
def test_the_converted_branch_is_read_at_its_commit_which_is_said(revision, hub, access):
    hub.branches["refs/convert/parquet"] = hub.commit
    uri = f"hf://datasets/ann/pictures@{revision}"
    source = open_source(f"{uri}/data", access)
    assert isinstance(source, HubFolder)
    assert names(source) == ["train-00000-of-00001.parquet"]
    dataset = open_dataset(DatasetConfig(uri=uri), access)
    assert dataset.left_out[0] == f"what 'ann/pictures@refs/convert/parquet' becomes after commit {hub.commit}"


@pytest.mark.parametrize(("suffix", "branch"), [("", "main"), ("@main", "main"), ("@v1.0/data", "v1.0")])
def test_a_branch_is_refused_with_the_commit_that_it_is_now(suffix, branch, hub, access):
    hub.branches[branch] = hub.commit
    with pytest.raises(DatasetUriError, match=f"hf://datasets/ann/pictures@{hub.commit}; '{branch}' is now"):
        open_source(f"hf://datasets/ann/pictures{suffix}", access)


def test_a_branch_that_the_hub_does_not_know_is_refused_too(hub, access):
    with pytest.raises(DatasetUriError, match="@<commit>"):
        open_source("hf://datasets/ann/pictures@no-such", access)


@pytest.mark.parametrize("path", ["", "/gone", "/data/gone.parquet"])
def test_what_is_not_there_is_not_found(path, hub, access):
    if not path:
        hub.files.clear()
    with pytest.raises(DatasetNotFoundError):
        open_source(hub.uri + path, access)


@pytest.mark.parametrize("status", [401, 403])
def test_a_dataset_that_is_not_public_is_refused_with_a_word_on_tokens(status, hub, access):
    hub.site.find = lambda _path: Page(b"{}", status)
    with pytest.raises(DatasetDeniedError, match=r"private, gated or not there; no token is sent"):
        open_source(hub.uri, access)


@pytest.mark.parametrize("body", [b"<html>", b'{"error": 1}', b'[{"type": "file"}]', b"[" * 100_000])
def test_an_answer_that_is_not_understood_may_be_another_one_later(body, hub, access):
    hub.site.find = lambda _path: Page(body)
    with pytest.raises(DatasetUnavailableError, match="not understood"):
        open_source(hub.uri, access)


def test_a_dataset_that_is_too_large_is_refused_before_anything_is_fetched(hub, access):
    with pytest.raises(DatasetTooLargeError):
        open_source(hub.uri, replace(access, reach=replace(access.reach, max_bytes=1000)))
    assert not hub.large.asked


def test_no_token_of_the_environment_is_sent(hub, access, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    seen = []
    hub.site.find = lambda path: seen.append(path) or hub.find(path)
    open_source(hub.uri, access)
    assert seen
    assert "hf_secret" not in str(seen)


def test_another_dataset_is_refused_without_asking_the_hub(hub, access):
    with pytest.raises(HubNotAllowedError, match="ann/pictures"):
        open_source(hub.uri, replace(access, reach=replace(access.reach, hub_datasets=("bob/*", "ann/picture"))))
    assert not hub.site.asked
