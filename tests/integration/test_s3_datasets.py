"""Datasets in a real object store."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ddoq.config import DatasetConfig
from ddoq.datasets import open_dataset
from ddoq.errors import (
    BucketNotAllowedError,
    DatasetChangedError,
    DatasetNotFoundError,
    DatasetUnavailableError,
)
from ddoq.sources import Access, LocalFile, S3Folder, open_source
from jobs.artifacts import make_s3_client
from tests.pictures import members, png, write_tar, write_tar_zst, write_zip

ENDS = ("cls", "png")


@pytest.fixture
def client(settings):
    client = make_s3_client(settings)
    yield client
    client.close()


@pytest.fixture
def access(client, settings, tmp_path):
    return Access((), (settings.s3_bucket,), lambda: client, tmp_path / "cache")


@pytest.fixture
def put(client, settings):
    """Put an object and answer its URI."""

    def put(key, data):
        client.put_object(Bucket=settings.s3_bucket, Key=key, Body=data)
        return f"s3://{settings.s3_bucket}/{key}"

    return put


def zipped(tmp_path, files):
    write_zip(tmp_path / "x.zip", files)
    return (tmp_path / "x.zip").read_bytes()


def must_be_good(image):
    raise AssertionError(image)


def labels_of(dataset):
    samples = dataset.samples("train", 16, must_be_good)
    return {sample.key: dataset.class_names[sample.label] for sample in samples}


def all_samples(dataset):
    samples = dataset.samples("train", 16, must_be_good)
    return [(sample.key, hashlib.sha256(sample.image.numpy().tobytes()).hexdigest()) for sample in samples]


def test_an_archive_in_a_bucket_is_read(put, access, tmp_path):
    uri = put("sets/two words/x.zip", zipped(tmp_path, members()))
    dataset = open_dataset(DatasetConfig(uri=uri), access)
    assert dataset.counts == {"train": (12, 12, 12), "test": (4, 4, 4)}
    assert len(all_samples(dataset)) == 36


@pytest.mark.parametrize("end", ["", "/"])
def test_a_prefix_gives_the_same_samples_as_a_zip_and_fetches_no_object_up_front(end, put, access, tmp_path):
    files = members(n_train=5, n_test=1)
    for name, data in files.items():
        uri = put(f"sets/noise/{name}", data).removesuffix(f"/{name}")
    put("sets/noise-2/train/cat/000.png", png(3, 0))
    dataset = open_dataset(DatasetConfig(uri=uri + end), access)
    zipped_uri = write_zip(tmp_path / "x.zip", files)
    assert not access.cache.exists()
    assert all_samples(dataset) == all_samples(
        open_dataset(DatasetConfig(uri=zipped_uri), replace(access, file_roots=(tmp_path,)))
    )


@pytest.mark.parametrize("write", [write_tar, write_tar_zst], ids=["tar", "tar.zst"])
def test_webdataset_shards_below_a_prefix_are_fetched_and_read(write, put, access, tmp_path):
    for shard in range(2):
        files = {f"{i}.{end}": png(i % 2, i) if end == "png" else b"%d" % (i % 2) for i in range(6) for end in ENDS}
        write(tmp_path / "x", files)
        uri = put(f"sets/shards/train-{shard}.tar", (tmp_path / "x").read_bytes()).rpartition("/")[0]
    dataset = open_dataset(DatasetConfig(uri=uri, label_names=("even", "odd")), access)
    assert dataset.counts == {"train": (5, 5), "test": (1, 1)}
    assert labels_of(dataset)["train-1.tar/1.png"] == "odd"


def test_a_csv_below_a_prefix_labels_the_images_beside_it(put, access):
    for i in range(6):
        put(f"sets/labelled/{i}.png", png(i % 2, i))
    rows = "filename,class\n" + "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(6))
    uri = put("sets/labelled/labels.csv", rows.encode()).rpartition("/")[0]
    dataset = open_dataset(DatasetConfig(uri=uri, test_share=0.34), access)
    assert labels_of(dataset) == {"0.png": "a", "1.png": "b", "2.png": "a", "3.png": "b"}


def test_parquet_in_nested_folders_below_a_prefix_is_read(put, access, tmp_path):
    for split in ("train", "test"):
        pq.write_table(pa.table({"img": [png(i, 0) for i in (0, 1)], "label": ["a", "b"]}), tmp_path / "x")
        uri = put(f"sets/hub/default/{split}/0000.parquet", (tmp_path / "x").read_bytes())
    dataset = open_dataset(DatasetConfig(uri=uri.partition("/default")[0]), access)
    assert dataset.counts == {"train": (1, 1), "test": (1, 1)}


def test_an_object_is_downloaded_once_for_each_content(put, access):
    uri = put("x.bin", b"one")
    first = open_source(uri, access)
    assert isinstance(first, LocalFile)
    assert open_source(uri, access) == first
    put("x.bin", b"two")
    second = open_source(uri, access)
    assert [Path(file.path).read_bytes() for file in (first, second)] == [b"one", b"two"]


def test_the_fingerprint_changes_when_an_object_below_a_prefix_does(put, access):
    for name, data in members(n_train=2, n_test=1).items():
        uri = put(f"noise/{name}", data).removesuffix(f"/{name}")
    before = open_dataset(DatasetConfig(uri=uri), access).fingerprint
    assert open_dataset(DatasetConfig(uri=uri), access).fingerprint == before
    put("noise/train/cat/000.png", png(0, 99))
    assert open_dataset(DatasetConfig(uri=uri), access).fingerprint != before


def test_an_object_that_is_gone_ends_the_stream(put, access, client, settings):
    for name, data in members(n_train=2, n_test=1).items():
        uri = put(f"noise/{name}", data).removesuffix(f"/{name}")
    dataset = open_dataset(DatasetConfig(uri=uri), access)
    client.delete_object(Bucket=settings.s3_bucket, Key="noise/train/dog/001.png")
    with pytest.raises(DatasetChangedError, match=r"train/dog/001\.png"):
        all_samples(dataset)


def test_a_store_that_is_away_may_be_there_later(settings, tmp_path):
    away = settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:9"})
    access = Access((), ("sets",), lambda: make_s3_client(away), tmp_path / "cache")
    for uri in ("s3://sets/x.zip", "s3://sets/noise/"):
        with pytest.raises(DatasetUnavailableError, match="'sets' does not answer"):
            open_source(uri, access)


@pytest.mark.parametrize("key", ["gone.zip", "gone/", "nois"])
def test_what_is_not_there_is_not_found(key, put, access, settings):
    put("noise/train/cat/000.png", png(0, 0))
    with pytest.raises(DatasetNotFoundError):
        open_source(f"s3://{settings.s3_bucket}/{key}", access)


def test_a_whole_bucket_is_a_folder(put, access, settings):
    put("train/cat/000.png", png(0, 0))
    source = open_source(f"s3://{settings.s3_bucket}", access)
    assert isinstance(source, S3Folder)
    assert [entry.member.name for entry in source.entries()] == ["train/cat/000.png"]


def test_any_bucket_is_allowed_by_a_star_and_a_missing_one_is_not_found(access):
    with pytest.raises(DatasetNotFoundError):
        open_source("s3://no-such-bucket-anywhere/x.zip", replace(access, s3_buckets=("*",)))


def test_another_bucket_is_refused(access):
    with pytest.raises(BucketNotAllowedError, match="'other'"):
        open_source("s3://other/x.zip", access)
