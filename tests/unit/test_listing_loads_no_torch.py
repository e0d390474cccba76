"""What only lists a dataset stays light: the service does so while a request waits."""

import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pictures import members, write_folder, write_tar, write_zip

WRITERS = {
    "folder": lambda folder: write_folder(folder / "data", members(n_train=4, n_test=1)),
    "zip": lambda folder: write_zip(folder / "data.zip", members(n_train=4, n_test=1)),
    "tar.gz": lambda folder: write_tar(folder / "data.tgz", members(n_train=4, n_test=1), "w:gz"),
}
LISTING = """
import sys
from pathlib import Path
from ddoq.config import DatasetConfig
from ddoq.datasets import open_dataset
from ddoq.sources import Access
cache = Path(sys.argv[2])
dataset = open_dataset(DatasetConfig(uri=sys.argv[1]), Access((cache,), (), None, cache))
assert dataset.counts["train"] == (4, 4, 4) and dataset.n_bytes > 0, dataset
print(*sorted({"torch", "PIL", "numpy", "pyarrow"} & set(sys.modules)))
"""


def loaded_by_listing(uri, folder):
    command = [sys.executable, "-c", LISTING, uri, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("kind", list(WRITERS))
def test_listing_a_dataset_loads_neither_torch_nor_pillow_nor_numpy(kind, tmp_path):
    assert loaded_by_listing(WRITERS[kind](tmp_path), tmp_path) == []


def test_listing_parquet_loads_neither_torch_nor_pillow(tmp_path):
    rows = [{"image": b"x" * 9, "label": label} for label in "abc" for _ in range(5)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data.parquet")
    assert not {"torch", "PIL"} & set(loaded_by_listing((tmp_path / "data.parquet").as_uri(), tmp_path))
