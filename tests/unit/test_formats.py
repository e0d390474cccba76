"""Every format through `open_dataset`: which one is found, and what is read."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ddoq.dataset_config import DatasetConfig
from ddoq.datasets import open_dataset
from ddoq.errors import (
    BadCsvError,
    DamagedArchiveError,
    FormatError,
    LabelNamesError,
    NoColumnError,
    NotAnArchiveError,
    UnknownClassError,
    UnknownSplitError,
)
from tests.pictures import access_to, members, png, write_folder, write_tar, write_tar_zst, write_zip

TARS = {
    "tar": write_tar,
    "tar.gz": lambda path, files: write_tar(path, files, "w:gz"),
    "tar.zst": write_tar_zst,
}
CONTAINERS = {"folder": write_folder, "zip": write_zip, **TARS}


def opened(uri, folder, **fields):
    return open_dataset(DatasetConfig(uri=uri, **fields), access_to(folder))


def labelled_keys(dataset, split="train"):
    def must_be_good(image):
        raise AssertionError(image)

    return [(sample.key, dataset.class_names[sample.label]) for sample in dataset.samples(split, 8, must_be_good)]


def samples(n, label=lambda i: str(i % 2), ending="cls"):
    """Members of a WebDataset tar, images and labels by turns."""
    files = {}
    for i in range(n):
        files[f"{i:04d}.png"] = png(i % 2, i)
        files[f"{i:04d}.{ending}"] = label(i).encode()
    return files


def table(n, header="file_name,label", label=lambda i: "ab"[i % 2], folder="images/"):
    """A folder of images and a CSV that labels them."""
    rows = [header, *(f"{folder}{i:02d}.png,{label(i)}" for i in range(n))]
    return {f"{folder}{i:02d}.png": png(i % 2, i) for i in range(n)} | {"labels.csv": "\n".join(rows).encode()}


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


@pytest.mark.parametrize("kind", list(CONTAINERS))
@pytest.mark.parametrize("header", ["image,label", "file_name,class", "path,category"])
def test_a_csv_beside_images_labels_them(kind, header, tmp_path):
    dataset = opened(CONTAINERS[kind](tmp_path / "data", table(10, header)), tmp_path)
    assert dataset.class_names == ("a", "b")
    assert dataset.counts == {"train": (4, 4), "test": (1, 1)}
    assert sorted(labelled_keys(dataset))[1] == ("images/01.png", "b")
    assert dataset.left_out == ()


def test_a_csv_may_have_a_byte_order_mark_tabs_quotes_and_a_column_for_the_split(tmp_path):
    rows = ["\ufefflabel\tnote\tsplit\tfile_name"]
    rows += [f'{"ab"[i % 2]}\t"two\nlines"\t{"valid" if i > 7 else "training"}\t./{i}.png' for i in range(10)]
    files = {f"x/{i}.png": png(i % 2, i) for i in range(10)} | {"x/all.tsv": "\r\n".join(rows).encode()}
    dataset = opened(write_zip(tmp_path / "data.zip", files), tmp_path)
    assert dataset.counts == {"train": (4, 4), "test": (1, 1)}


def test_an_image_folder_as_the_hub_lays_it_is_read(tmp_path):
    files = {f"{split}/{i}.png": png(i % 2, i) for split in ("train", "test") for i in range(6)}
    rows = "file_name,label\n" + "".join(f"{i}.png,{i % 2}\n" for i in range(6))
    files |= {f"{split}/metadata.csv": rows.encode() for split in ("train", "test")}
    dataset = opened(write_folder(tmp_path / "data", files), tmp_path, label_names=("cat", "dog"))
    assert dataset.class_names == ("cat", "dog")
    assert dataset.counts == {"train": (3, 3), "test": (3, 3)}


def test_rows_that_name_no_image_are_left_out_and_counted(tmp_path):
    files = table(10)
    files["labels.csv"] += b"\n../x.png,a\n/etc/passwd,a\nimages/none.png,a\nimages/10.png,\n\nimages/11.png"
    files |= {f"images/{i}.png": png(0, i) for i in (10, 11, 12)}
    dataset = opened(write_zip(tmp_path / "data.zip", files), tmp_path)
    assert dataset.left_out == (
        "2 files whose names lead out of the dataset or are not plain text (such as '../x.png')",
        "1 rows whose image is not there (such as 'images/none.png')",
        "2 rows without a label (such as 'images/10.png')",
        "3 images that no CSV names (such as 'images/10.png')",
    )


def test_an_image_in_two_rows_is_refused(tmp_path):
    files = table(4)
    files["labels.csv"] += b"\n./images/00.png,b"
    with pytest.raises(BadCsvError, match=r"names '\./images/00\.png'"):
        opened(write_zip(tmp_path / "data.zip", files), tmp_path)


@pytest.mark.parametrize("text", ["file_name,label\nimages/00.png,ü".encode("latin-1"), b"file_name,label,label\n"])
def test_a_csv_that_cannot_be_read_is_refused(text, tmp_path):
    with pytest.raises(BadCsvError):
        opened(write_zip(tmp_path / "data.zip", table(4) | {"labels.csv": text}), tmp_path)


def test_a_csv_without_the_columns_is_refused_and_those_there_are_named(tmp_path):
    with pytest.raises(NoColumnError, match=r"\['who', 'what'\]"):
        opened(write_zip(tmp_path / "data.zip", table(4, "who,what")), tmp_path)


def test_class_folders_come_before_a_csv_unless_it_is_asked_for(tmp_path):
    files = members(n_train=5, n_test=0)
    rows = ["file_name,label", *(f"{name},{'even' if i % 2 else 'odd'}" for i, name in enumerate(files))]
    uri = write_zip(tmp_path / "data.zip", files | {"labels.csv": "\n".join(rows).encode()})
    dataset = opened(uri, tmp_path)
    assert dataset.class_names == ("cat", "dog", "eel")
    assert dataset.left_out == ("1 files that are no images by their names (such as 'labels.csv')",)
    assert opened(uri, tmp_path, format="csv").class_names == ("even", "odd")


@pytest.mark.parametrize(
    ("write", "files", "format_", "found"),
    [
        (write_zip, members(), "csv", "48 images and can be read as folders"),
        (write_zip, members(), "webdataset", "48 images and can be read as folders"),
        (write_zip, table(4), "parquet", "4 images, 1 CSVs and can be read as csv, folders"),
        (write_folder, {"x/y.txt": b""}, "folders", "nothing that is read"),
    ],
)
def test_a_format_that_is_not_there_is_refused_and_what_was_found_is_named(write, files, format_, found, tmp_path):
    with pytest.raises(FormatError, match=found):
        opened(write(tmp_path / "data", files), tmp_path, format=format_)


def test_the_format_of_a_bare_parquet_file_is_refused_where_another_is_asked_for(tmp_path):
    pq.write_table(pa.table({"image": [b"x"], "label": [0]}), tmp_path / "x")
    with pytest.raises(FormatError, match="a Parquet file and can be read as parquet"):
        opened((tmp_path / "x").as_uri(), tmp_path, format="csv")


def test_parquet_in_an_archive_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(FormatError, match=r"'data/train\.parquet' is Parquet in an archive; upload it bare"):
        opened(write_zip(tmp_path / "data.zip", {"data/train.parquet": b"PAR1"}), tmp_path)


def test_a_validation_folder_serves_as_test_where_there_is_none(tmp_path):
    files = {name.replace("test/", "valid/"): data for name, data in members().items()}
    dataset = opened(write_zip(tmp_path / "data.zip", files), tmp_path)
    assert dataset.counts["test"] == (4, 4, 4)
    assert not dataset.held_out
    assert dataset.remarks == ("There is no test split; the split 'valid' serves as test",)
    assert labelled_keys(dataset, "test")[0] == ("cat/012.png", "cat")


def test_another_choice_of_splits_is_another_fingerprint(tmp_path):
    files = members() | {name.replace("test/", "extra/"): data for name, data in members().items() if "test" in name}
    uri = write_zip(tmp_path / "data.zip", files)
    plain, chosen = opened(uri, tmp_path), opened(uri, tmp_path, splits={"test": "extra"})
    assert plain.fingerprint != chosen.fingerprint
    assert labelled_keys(plain, "test") == labelled_keys(chosen, "test")
    assert "images in 'test' beside train and test" in chosen.left_out[0]


@pytest.mark.parametrize("n_train", [12, 20])
def test_the_own_validation_split_is_used_where_it_is_named(n_train, tmp_path):
    files = members(n_train=n_train) | {f"val/{name}/x.png": png(3, 0) for name in ("cat", "dog", "eel")}
    config = DatasetConfig(uri=write_zip(tmp_path / "x.zip", files), splits={"validation": "val"})
    dataset = open_dataset(config, access_to(tmp_path), 0.1)
    assert dataset.counts == {"train": (n_train,) * 3, "test": (4, 4, 4), "validation": (1, 1, 1)}
    assert labelled_keys(dataset, "validation")[0] == ("cat/x.png", "cat")
    assert "validation" not in open_dataset(config, access_to(tmp_path)).counts


@pytest.mark.parametrize("kind", ["folders", "csv"])
def test_a_split_that_is_not_there_is_refused(kind, tmp_path):
    uri = write_zip(tmp_path / "data.zip", members() if kind == "folders" else table(4))
    with pytest.raises(UnknownSplitError, match="names 'holdout', which is not there"):
        opened(uri, tmp_path, splits={"test": "holdout"})


@pytest.mark.parametrize("kind", ["folders", "csv", "parquet", "webdataset"])
def test_a_class_map_renames_merges_and_leaves_out_in_every_format(kind, tmp_path):
    names = ("cat", "dog", "eel")
    if kind == "folders":
        uri = write_zip(tmp_path / "data.zip", members(names, n_train=5, n_test=0))
    elif kind == "csv":
        uri = write_zip(tmp_path / "data.zip", table(15, label=lambda i: names[i % 3]))
    elif kind == "parquet":
        rows = {"image": [png(i % 3, i) for i in range(15)], "label": [names[i % 3] for i in range(15)]}
        pq.write_table(pa.table(rows), tmp_path / "x")
        uri = (tmp_path / "x").as_uri()
    else:
        uri = write_tar(tmp_path / "data.tar", samples(15, lambda i: names[i % 3]))
    merged = opened(uri, tmp_path, class_map={"dog": "mammal", "cat": "mammal"})
    assert merged.class_names == ("eel", "mammal")
    assert merged.counts == {"train": (4, 8), "test": (1, 2)}
    fewer = opened(uri, tmp_path, class_map={"eel": None, "cat": "tiger"})
    assert fewer.class_names == ("dog", "tiger")
    assert fewer.left_out == ("5 images of classes that class_map leaves out (such as 'eel')",)
    with pytest.raises(UnknownClassError, match="'ape', which is no class; the classes are 'cat', 'dog', 'eel'"):
        opened(uri, tmp_path, class_map={"ape": "mammal"})


def test_folders_called_by_numbers_get_the_names_of_labels(tmp_path):
    uri = write_zip(tmp_path / "data.zip", members(("0", "1", "10"), n_train=5, n_test=0))
    names = [f"digit {n}" for n in ("zero", "one", *range(2, 11))]
    assert opened(uri, tmp_path, label_names=names).class_names == ("digit zero", "digit one", "digit 10")
    short = opened(uri, tmp_path, label_names=names[:2])
    assert short.left_out == ("5 images with labels that have no name (such as '10')",)


def test_names_for_integers_are_refused_where_labels_are_text(tmp_path):
    with pytest.raises(LabelNamesError, match="'cat' is a label"):
        opened(write_zip(tmp_path / "data.zip", members()), tmp_path, label_names=("a", "b"))


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


@pytest.mark.parametrize("kind", ["csv", "webdataset"])
def test_the_fingerprint_changes_with_a_label(kind, tmp_path):
    prints = set()
    for label in ("0", "1"):
        if kind == "csv":
            uri = write_zip(tmp_path / "data.zip", table(11, label=lambda i, label=label: label if i == 10 else i % 2))
        else:
            uri = write_tar(tmp_path / "data.tar", samples(11, lambda i, label=label: label if i == 10 else str(i % 2)))
        prints |= {opened(uri, tmp_path).fingerprint for _ in range(2)}
    assert len(prints) == 2
