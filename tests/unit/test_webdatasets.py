"""Tars of samples: what is read, in which order, and what is left out."""

import json

import pytest

from ddoq.dataset_config import DatasetConfig
from ddoq.datasets import open_dataset
from ddoq.errors import (
    DamagedArchiveError,
    NotAnArchiveError,
)
from tests.pictures import (
    access_to,
    png,
    samples,
    write_folder,
    write_tar,
    write_tar_zst,
)

TARS = {
    "tar": write_tar,
    "tar.gz": lambda path, files: write_tar(path, files, "w:gz"),
    "tar.zst": write_tar_zst,
}


def opened(uri, folder, **fields):
    return open_dataset(DatasetConfig(uri=uri, **fields), access_to(folder))


def labelled_keys(dataset, split="train"):
    def must_be_good(image):
        raise AssertionError(image)

    return [(sample.key, dataset.class_names[sample.label]) for sample in dataset.samples(split, 8, must_be_good)]


@pytest.mark.parametrize("kind", list(TARS))
def test_a_tar_of_samples_is_a_webdataset(kind, tmp_path):
    dataset = opened(TARS[kind](tmp_path / "data", samples(10)), tmp_path)
    assert dataset.class_names == ("0", "1")
    assert dataset.counts == {"train": (4, 4), "test": (1, 1)}
    assert sorted(labelled_keys(dataset))[:3] == [("0000.png", "0"), ("0001.png", "1"), ("0002.png", "0")]
    assert dataset.left_out == ()


@pytest.mark.parametrize("kind", list(TARS))
def test_shards_are_read_in_the_order_of_their_names_and_split_by_them(kind, tmp_path):
    names = ("train-000001", "train-000000", "val-000000")
    files = dict(reversed(samples(4).items()))
    (tmp_path / "data").mkdir()
    for name in names:
        TARS[kind](tmp_path / "data" / f"{name}.{kind}", files)
    dataset = opened((tmp_path / "data").as_uri(), tmp_path)
    assert [key for key, _ in labelled_keys(dataset)] == [
        f"train-00000{shard}.{kind}/000{i}.png" for shard in (0, 1) for i in (3, 2, 1, 0)
    ]
    assert labelled_keys(dataset, "test")[0] == (f"val-000000.{kind}/0003.png", "1")
    assert dataset.remarks == ("There is no test split; the split 'val' serves as test",)


def test_a_part_of_the_samples_opens_only_their_shards(tmp_path):
    (tmp_path / "data").mkdir()
    for shard in range(3):
        write_tar(tmp_path / "data" / f"{shard}.tar", samples(10))
    dataset = opened((tmp_path / "data").as_uri(), tmp_path)
    (tmp_path / "data" / "0.tar").unlink()
    whole = [f"{shard}.tar/{i:04d}.png" for shard in range(3) for i in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)]
    found = [sample.key for sample in dataset.stream("train", 8, places=range(10, 20))]
    assert found
    assert set(found) < set(whole[10:])


def test_labels_in_json_are_found_under_the_usual_names_or_the_one_asked_for(tmp_path):
    records = samples(10, lambda i: json.dumps({"cls": "ab"[i % 2], "breed": "xyz"[i % 3]}), "json")
    uri = write_tar(tmp_path / "data.tar", records)
    assert opened(uri, tmp_path).class_names == ("a", "b")
    assert opened(uri, tmp_path, label_column="breed", test_share=0.5).class_names == ("x", "y", "z")


def test_integer_labels_are_ordered_by_number_and_named(tmp_path):
    uri = write_tar(tmp_path / "data.tar", samples(24, lambda i: str((9, 10, 2)[i % 3])))
    assert opened(uri, tmp_path).class_names == ("2", "9", "10")
    names = [f"name-{20 - i}" for i in range(11)]
    assert opened(uri, tmp_path, label_names=names).class_names == ("name-18", "name-11", "name-10")


def test_samples_that_are_not_one_image_and_one_label_are_left_out_and_counted(tmp_path):
    extra = {
        "two.left.png": png(0, 0),
        "two.right.png": png(0, 1),
        "two.cls": b"0",
        "no-image.cls": b"1",
        "no-label.png": png(0, 2),
        "odd.png": png(0, 3),
        "odd.cls": b"a\0b",
        "long.png": png(0, 4),
        "long.json": b'{"label": 1, "rest": "%s"}' % (b"x" * 20_000),
        "deep.png": png(0, 5),
        "deep.json": b"[" * 10_000,
    }
    dataset = opened(write_tar(tmp_path / "data.tar", samples(10) | extra), tmp_path)
    assert dataset.counts["train"] == (4, 4)
    assert set(dataset.left_out) == {
        "1 label files larger than 16 KiB (such as 'long.json')",
        "1 labels without an image beside them (such as 'no-image')",
        "2 images that share one label with others (such as 'two.left.png')",
        "4 images without a label beside them (such as 'no-label.png')",
    }


def test_class_folders_in_several_tars_are_one_dataset(tmp_path):
    (tmp_path / "data").mkdir()
    write_tar(tmp_path / "data" / "train-0.tar", {f"cat/{i}.png": png(0, i) for i in range(4)})
    write_tar(tmp_path / "data" / "train-1.tar.gz", {f"dog/{i}.png": png(1, i) for i in range(4)}, "w:gz")
    write_tar(tmp_path / "data" / "test-0.tar", {f"{name}/0.png": png(2, 0) for name in ("cat", "dog")})
    dataset = opened((tmp_path / "data").as_uri(), tmp_path)
    assert dataset.class_names == ("cat", "dog")
    assert dataset.counts == {"train": (4, 4), "test": (1, 1)}
    assert labelled_keys(dataset)[0] == ("train-0.tar/cat/0.png", "cat")


def test_a_shard_that_is_no_tar_is_refused(tmp_path):
    uri = write_folder(tmp_path / "data", {"a.tar": b"hello", "b.tar": b""})
    with pytest.raises(NotAnArchiveError, match=r"'a\.tar' is neither a zip, a tar"):
        opened(uri, tmp_path)


@pytest.mark.parametrize("kind", list(TARS))
def test_every_truncation_of_a_shard_is_refused(kind, tmp_path):
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / f"x.{kind}"
    TARS[kind](path, samples(6))
    data = path.read_bytes().rstrip(b"\0") if kind == "tar" else path.read_bytes()
    for length in range(len(data) // 9, len(data), len(data) // 9):
        path.write_bytes(data[:length])
        with pytest.raises(DamagedArchiveError):
            opened((tmp_path / "data").as_uri(), tmp_path)
