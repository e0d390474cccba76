import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ddoq.config import DatasetConfig
from ddoq.datasets import open_dataset
from ddoq.errors import (
    DamagedArchiveError,
    EmptyClassError,
    LabelNamesError,
    NoColumnError,
    OneClassError,
    UnknownClassError,
)
from tests.pictures import access_to, png

HUB_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def table_of(labels, label_type=None, names=None, image_type=None):
    images = [png(0, i, (8, 8)) for i in range(len(labels))]
    if image_type == HUB_IMAGE:
        images = [{"bytes": data, "path": "x.png"} for data in images]
    table = pa.table({"image": pa.array(images, image_type or pa.binary()), "label": pa.array(labels, label_type)})
    if names is None:
        return table
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def write(path, table, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    return path.as_uri()


def opened(uri, folder, **fields):
    return open_dataset(DatasetConfig(uri=uri, **fields), access_to(folder))


def labelled_keys(dataset, split, keys=None):
    def must_be_good(image):
        raise AssertionError(image)

    samples = dataset.samples(split, 8, must_be_good, keys)
    return [(sample.key, dataset.class_names[sample.label]) for sample in samples]


def test_text_labels_are_classes_in_code_point_order(tmp_path):
    dataset = opened(write(tmp_path / "x.parquet", table_of(["b", "a", "b", "a"])), tmp_path, test_share=0.5)
    assert dataset.class_names == ("a", "b")
    assert labelled_keys(dataset, "train") == [("row-0000000", "b"), ("row-0000001", "a")]
    assert labelled_keys(dataset, "test") == [("row-0000002", "b"), ("row-0000003", "a")]


def test_integer_labels_are_classes_in_numeric_order(tmp_path):
    dataset = opened(write(tmp_path / "x.parquet", table_of([10, 9, -1, 100] * 5)), tmp_path)
    assert dataset.class_names == ("-1", "9", "10", "100")


def test_integer_labels_get_the_names_that_the_hub_gave_them_in_its_order(tmp_path):
    table = table_of([0, 1, 2] * 5, names=["zebra", "ant", "cow"], image_type=HUB_IMAGE)
    dataset = opened(write(tmp_path / "x.parquet", table), tmp_path)
    assert dataset.class_names == ("zebra", "ant", "cow")
    assert labelled_keys(dataset, "test")[0] == ("row-0000012", "zebra")


def test_dictionary_encoded_labels_are_read(tmp_path):
    table = table_of(["b", "a"] * 5, pa.dictionary(pa.int8(), pa.string()))
    assert opened(write(tmp_path / "x.parquet", table), tmp_path).counts["train"] == (4, 4)


def test_rows_without_a_label_are_left_out_and_said(tmp_path):
    table = table_of([0, 1, None, -1, 0, 1], pa.int64(), names=["a", "b"])
    dataset = opened(write(tmp_path / "x.parquet", table), tmp_path, test_share=0.5)
    assert dataset.left_out == ("2 rows without a label (such as 'an empty label')",)
    assert [key for key, _ in labelled_keys(dataset, "train")] == ["row-0000000", "row-0000001"]


def test_files_named_train_and_test_are_the_splits_and_rows_count_on_from_file_to_file(tmp_path):
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001", "validation-00000"):
        write(tmp_path / "data" / f"{name}.parquet", table_of(["a", "b"]))
    dataset = opened(tmp_path.as_uri(), tmp_path)
    assert not dataset.held_out
    assert [key for key, _ in labelled_keys(dataset, "train")] == [f"row-000000{i}" for i in range(4)]
    assert [key for key, _ in labelled_keys(dataset, "test")] == ["row-0000000", "row-0000001"]
    assert "validation-00000.parquet" in dataset.left_out[0]


def test_what_is_held_out_counts_through_all_files_and_row_groups(tmp_path):
    for i in range(3):
        write(tmp_path / f"{i}.parquet", table_of(["a", "b"] * 10), row_group_size=7)
    dataset = opened(tmp_path.as_uri(), tmp_path)
    train, test = labelled_keys(dataset, "train"), labelled_keys(dataset, "test")
    assert dataset.counts == {"train": (24, 24), "test": (6, 6)}
    assert sorted(train + test) == [(f"row-{i:07d}", "ab"[i % 2]) for i in range(60)]


def test_validation_is_every_nth_row_for_training_of_a_class(tmp_path):
    for i in range(3):
        write(tmp_path / f"{i}.parquet", table_of(["a", "b"] * 10), row_group_size=7)
    config, access = DatasetConfig(uri=tmp_path.as_uri()), access_to(tmp_path)
    plain, dataset = open_dataset(config, access), open_dataset(config, access, 0.1)
    assert dataset.counts == {"train": (22, 22), "test": (6, 6), "validation": (2, 2)}
    assert labelled_keys(dataset, "test") == labelled_keys(plain, "test")
    of_plain = labelled_keys(plain, "train")
    held = [row for name in "ab" for row in [pair for pair in of_plain if pair[1] == name][9::10]]
    assert sorted(labelled_keys(dataset, "validation")) == sorted(held)
    assert sorted(labelled_keys(dataset, "train") + held) == sorted(of_plain)


def test_validation_of_files_with_a_test_split_is_of_those_for_training(tmp_path):
    write(tmp_path / "data" / "train-0.parquet", table_of(["a", "b"] * 3))
    write(tmp_path / "data" / "test-0.parquet", table_of(["a", "b"]))
    dataset = open_dataset(DatasetConfig(uri=tmp_path.as_uri()), access_to(tmp_path), 0.1)
    assert dataset.counts == {"train": (2, 2), "test": (1, 1), "validation": (1, 1)}
    assert labelled_keys(dataset, "validation") == [("row-0000004", "a"), ("row-0000005", "b")]


def test_a_class_that_validation_would_leave_no_row_is_refused(tmp_path):
    write(tmp_path / "data" / "train-0.parquet", table_of(["a", "a", "b"]))
    write(tmp_path / "data" / "test-0.parquet", table_of(["a", "b"]))
    with pytest.raises(EmptyClassError, match="class 'b' has 1 training image, which validation would take"):
        open_dataset(DatasetConfig(uri=tmp_path.as_uri()), access_to(tmp_path), 0.1)


def test_some_rows_are_given_without_the_others(tmp_path):
    dataset = opened(write(tmp_path / "x.parquet", table_of(["a", "b"] * 20), row_group_size=7), tmp_path)
    wanted = ["row-0000002", "row-0000030"]
    assert [key for key, _ in labelled_keys(dataset, "train", wanted)] == wanted


def test_classes_asked_for_come_in_the_order_asked_for(tmp_path):
    uri = write(tmp_path / "x.parquet", table_of(["a", "b", "c"] * 5))
    dataset = opened(uri, tmp_path, class_names=("c", "a"))
    assert dataset.class_names == ("c", "a")
    assert dataset.counts["train"] == (4, 4)
    assert dataset.left_out == ("5 images of classes that class_names leaves out (such as 'b')",)


def test_rows_whose_image_is_missing_or_damaged_are_bad(tmp_path):
    images = pa.array([png(0, 0), None, b"no image", png(0, 1)] * 2, pa.binary())
    uri = write(tmp_path / "x.parquet", pa.table({"image": images, "label": ["a"] * 4 + ["b"] * 4}))
    bad = []
    list(opened(uri, tmp_path, test_share=0.25).samples("train", 8, bad.append))
    assert [image.key for image in bad] == ["row-0000001", "row-0000002", "row-0000005", "row-0000006"]


def test_columns_may_have_other_names(tmp_path):
    uri = write(tmp_path / "x.parquet", table_of(["a", "b"] * 5).rename_columns(["img", "fine_label"]))
    assert opened(uri, tmp_path, image_column="img", label_column="fine_label").counts["test"] == (1, 1)


@pytest.mark.parametrize("fields", [{"image_column": "pixels"}, {"label_column": "kind"}])
def test_a_missing_column_is_refused_and_those_there_are_named(fields, tmp_path):
    with pytest.raises(NoColumnError, match=r"\['image', 'label'\]"):
        opened(write(tmp_path / "x.parquet", table_of(["a", "b"])), tmp_path, **fields)


@pytest.mark.parametrize("fields", [{"image_column": "label"}, {"label_column": "image"}])
def test_a_column_of_an_unusable_type_is_refused(fields, tmp_path):
    with pytest.raises(NoColumnError, match="is of type"):
        opened(write(tmp_path / "x.parquet", table_of(["a", "b"])), tmp_path, **fields)


def test_labels_of_two_types_are_refused(tmp_path):
    write(tmp_path / "0.parquet", table_of(["a", "b"]))
    write(tmp_path / "1.parquet", table_of([0, 1]))
    with pytest.raises(NoColumnError, match="alike"):
        opened(tmp_path.as_uri(), tmp_path)


def test_a_truncated_file_is_refused(tmp_path):
    uri = write(tmp_path / "x.parquet", table_of(["a", "b"] * 5))
    (tmp_path / "x.parquet").write_bytes((tmp_path / "x.parquet").read_bytes()[:-20])
    with pytest.raises(DamagedArchiveError, match="cannot be read as Parquet"):
        opened(uri, tmp_path)


@pytest.mark.parametrize("metadata", [b"{", b"[]", b'{"info": 3}'])
def test_damaged_metadata_is_refused(metadata, tmp_path):
    table = table_of([0, 1]).replace_schema_metadata({"huggingface": metadata})
    with pytest.raises(DamagedArchiveError, match="huggingface"):
        opened(write(tmp_path / "x.parquet", table), tmp_path)


def test_a_single_class_is_refused(tmp_path):
    with pytest.raises(OneClassError):
        opened(write(tmp_path / "x.parquet", table_of(["a"] * 10)), tmp_path)


def test_an_unknown_class_is_refused(tmp_path):
    with pytest.raises(UnknownClassError):
        opened(write(tmp_path / "x.parquet", table_of(["a", "b"] * 5)), tmp_path, class_names=("a", "x"))


def test_too_few_rows_to_hold_one_out_are_refused(tmp_path):
    with pytest.raises(EmptyClassError):
        opened(write(tmp_path / "x.parquet", table_of(["a", "b"])), tmp_path)


def test_a_file_written_by_the_datasets_library_is_read(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["wolf", "bear"]))
    rows = {"image": [{"bytes": png(0, i), "path": None} for i in range(10)], "label": [0, 1] * 5}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "train.parquet")
    dataset = opened((tmp_path / "train.parquet").as_uri(), tmp_path)
    assert dataset.class_names == ("wolf", "bear")
    assert len(labelled_keys(dataset, "train")) == 8


@pytest.mark.parametrize("places", [range(3), range(2, 9), range(9, 16), range(15, 99)], ids=str)
def test_places_of_a_split_are_those_of_the_whole_over_files_and_row_groups(places, tmp_path):
    for number, labels in enumerate((["a", "b", None, "a", "b"] * 2, ["b", "a"] * 4)):
        write(tmp_path / "data" / f"train-{number}.parquet", table_of(labels), row_group_size=3)
    write(tmp_path / "data" / "test.parquet", table_of(["a", "b"]))
    dataset = opened((tmp_path / "data").as_uri(), tmp_path)
    whole = [(sample.key, sample.label) for sample in dataset.stream("train", 8)]
    assert len(whole) == sum(dataset.counts["train"]) == 16
    found = [(sample.key, sample.label) for sample in dataset.stream("train", 8, places=places)]
    assert found == whole[places.start : places.stop]


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (["img", "labels"], ("img", "labels")),
        (["picture", "fine_label"], ("picture", "fine_label")),
        (["image", "class"], ("image", "class")),
    ],
)
def test_the_only_column_that_fits_is_taken_and_said(columns, found, tmp_path):
    dataset = opened(write(tmp_path / "x.parquet", table_of(["a", "b"] * 5).rename_columns(columns)), tmp_path)
    assert dataset.class_names == ("a", "b")
    taken = [(default, name) for default, name in zip(("image", "label"), found, strict=True) if default != name]
    assert dataset.remarks == tuple(f"There is no column {default!r}; {name!r} was taken" for default, name in taken)


def test_of_several_columns_that_fit_none_is_taken(tmp_path):
    table = table_of(["a", "b"] * 5).append_column("other", pa.array(["x"] * 10)).rename_columns(["image", "x", "y"])
    with pytest.raises(NoColumnError, match=r"'x', 'y' could be meant; name it by dataset\.label_column"):
        opened(write(tmp_path / "x.parquet", table), tmp_path)


def test_a_column_whose_values_have_names_is_the_label_whatever_other_integers_there_are(tmp_path):
    table = table_of([0, 1] * 5, names=["ant", "bee"]).append_column("id", pa.array(range(10)))
    table = table.rename_columns(["image", "kind", "id"])
    features = {"kind": {"names": ["ant", "bee"], "_type": "ClassLabel"}, "id": {"_type": "Value"}}
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    assert opened(write(tmp_path / "x.parquet", table), tmp_path).class_names == ("ant", "bee")


@pytest.mark.parametrize(
    "images", [pa.array(["a.png"] * 10), pa.array([[b"x"]] * 10), pa.array([{"path": "a.png"}] * 10)], ids=str
)
def test_paths_and_lists_of_images_are_refused_with_what_to_do(images, tmp_path):
    table = pa.table({"image": images, "label": ["a", "b"] * 5})
    with pytest.raises(NoColumnError, match="neither paths nor lists of images are read; write each image's bytes"):
        opened(write(tmp_path / "x.parquet", table), tmp_path)


def test_large_binary_images_are_read(tmp_path):
    uri = write(tmp_path / "x.parquet", table_of(["a", "b"] * 5, image_type=pa.large_binary()))
    assert len(labelled_keys(opened(uri, tmp_path), "train")) == 8


def test_names_of_the_config_come_before_those_of_the_hub(tmp_path):
    uri = write(tmp_path / "x.parquet", table_of([0, 1, 2] * 5, names=["a", "b", "c"]))
    dataset = opened(uri, tmp_path, label_names=("x", "y"))
    assert dataset.class_names == ("x", "y")
    assert dataset.left_out == ("5 rows without a label (such as 'an empty label')",)


def test_names_for_integers_are_refused_where_the_column_is_text(tmp_path):
    with pytest.raises(LabelNamesError):
        opened(write(tmp_path / "x.parquet", table_of(["a", "b"] * 5)), tmp_path, label_names=("x", "y"))


def test_splits_of_files_are_those_that_the_config_names(tmp_path):
    for name, n in (("train", 3), ("test", 2), ("extra", 1)):
        write(tmp_path / "data" / f"{name}-0.parquet", table_of(["a", "b"] * n))
    folder = (tmp_path / "data").as_uri()
    dataset = opened(folder, tmp_path, splits={"test": "extra"})
    assert dataset.counts == {"train": (3, 3), "test": (1, 1)}
    assert dataset.left_out == ("1 Parquet files named neither train nor test (such as 'test-0.parquet')",)
    config = DatasetConfig(uri=folder, splits={"validation": "extra"})
    counts = {"train": (3, 3), "test": (2, 2), "validation": (1, 1)}
    assert open_dataset(config, access_to(tmp_path), 0.1).counts == counts


def test_a_single_file_is_for_training_whatever_it_is_called(tmp_path):
    dataset = opened(write(tmp_path / "test.parquet", table_of(["a", "b"] * 5)), tmp_path)
    assert dataset.counts == {"train": (4, 4), "test": (1, 1)}
