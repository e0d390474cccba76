"""Which format is found, and what every format has: splits, label names, class maps."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ddoq.dataset_config import DatasetConfig
from ddoq.datasets import open_dataset
from ddoq.errors import (
    FormatError,
    LabelNamesError,
    UnknownClassError,
    UnknownSplitError,
)
from tests.pictures import (
    access_to,
    labelled_table,
    members,
    png,
    samples,
    write_folder,
    write_tar,
    write_zip,
)


def opened(uri, folder, **fields):
    return open_dataset(DatasetConfig(uri=uri, **fields), access_to(folder))


def labelled_keys(dataset, split="train"):
    def must_be_good(image):
        raise AssertionError(image)

    return [(sample.key, dataset.class_names[sample.label]) for sample in dataset.samples(split, 8, must_be_good)]


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
        (write_zip, labelled_table(4), "parquet", "4 images, 1 CSVs and can be read as csv, folders"),
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
    uri = write_zip(tmp_path / "data.zip", members() if kind == "folders" else labelled_table(4))
    with pytest.raises(UnknownSplitError, match="names 'holdout', which is not there"):
        opened(uri, tmp_path, splits={"test": "holdout"})


@pytest.mark.parametrize("kind", ["folders", "csv", "parquet", "webdataset"])
def test_a_class_map_renames_merges_and_leaves_out_in_every_format(kind, tmp_path):
    names = ("cat", "dog", "eel")
    if kind == "folders":
        uri = write_zip(tmp_path / "data.zip", members(names, n_train=5, n_test=0))
    elif kind == "csv":
        uri = write_zip(tmp_path / "data.zip", labelled_table(15, label=lambda i: names[i % 3]))
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


@pytest.mark.parametrize("kind", ["csv", "webdataset"])
def test_the_fingerprint_changes_with_a_label(kind, tmp_path):
    prints = set()
    for label in ("0", "1"):
        if kind == "csv":
            uri = write_zip(
                tmp_path / "data.zip", labelled_table(11, label=lambda i, label=label: label if i == 10 else i % 2)
            )
        else:
            uri = write_tar(tmp_path / "data.tar", samples(11, lambda i, label=label: label if i == 10 else str(i % 2)))
        prints |= {opened(uri, tmp_path).fingerprint for _ in range(2)}
    assert len(prints) == 2
