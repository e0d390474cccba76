"""Images that a CSV labels."""

import pytest

from ddoq.dataset_config import DatasetConfig
from ddoq.datasets import open_dataset
from ddoq.errors import (
    BadCsvError,
    NoColumnError,
)
from tests.pictures import (
    access_to,
    labelled_table,
    png,
    write_folder,
    write_tar,
    write_tar_zst,
    write_zip,
)

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


@pytest.mark.parametrize("kind", list(CONTAINERS))
@pytest.mark.parametrize("header", ["image,label", "file_name,class", "path,category"])
def test_a_csv_beside_images_labels_them(kind, header, tmp_path):
    dataset = opened(CONTAINERS[kind](tmp_path / "data", labelled_table(10, header)), tmp_path)
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
    files = labelled_table(10)
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
    files = labelled_table(4)
    files["labels.csv"] += b"\n./images/00.png,b"
    with pytest.raises(BadCsvError, match=r"names '\./images/00\.png'"):
        opened(write_zip(tmp_path / "data.zip", files), tmp_path)


@pytest.mark.parametrize("text", ["file_name,label\nimages/00.png,ü".encode("latin-1"), b"file_name,label,label\n"])
def test_a_csv_that_cannot_be_read_is_refused(text, tmp_path):
    with pytest.raises(BadCsvError):
        opened(write_zip(tmp_path / "data.zip", labelled_table(4) | {"labels.csv": text}), tmp_path)


def test_a_csv_without_the_columns_is_refused_and_those_there_are_named(tmp_path):
    with pytest.raises(NoColumnError, match=r"\['who', 'what'\]"):
        opened(write_zip(tmp_path / "data.zip", labelled_table(4, "who,what")), tmp_path)


@pytest.mark.parametrize("row", [b"," * 10**6, b'"\n",' * 10**4], ids=["columns", "lines"])
def test_a_row_that_would_take_much_memory_is_refused(row, tmp_path):
    files = labelled_table(4)
    with pytest.raises(BadCsvError, match="a row has over"):
        opened(write_zip(tmp_path / "data.zip", files | {"labels.csv": files["labels.csv"] + b"\n" + row}), tmp_path)
