"""What the libraries of others write is read, and what we write they read, each as itself."""

import gc
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
import webdataset
from PIL import Image
from torch import Tensor

from ddoq.archive import DistilledArchive, load_archive
from ddoq.dataset_config import DatasetConfig
from ddoq.datasets import Dataset, open_dataset
from ddoq.errors import ArchiveError
from ddoq.events import ignore
from ddoq.labels import SoftLabels
from ddoq.package import package_all
from ddoq.shards import write_shard
from tests.finished import CLASSES, COUNTS, SIDE, finish
from tests.pictures import access_to, png, write_folder

NAMES = ["wolf", "bear"]


# webdataset leaves its files to be closed by the collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    yield
    gc.collect()


def opened(folder: Path, **fields) -> Dataset:
    return open_dataset(DatasetConfig(uri=folder.as_uri(), **fields), access_to(folder.parent))


def labels_of(dataset, split="train"):
    def must_be_good(image):
        raise AssertionError(image)

    return [dataset.class_names[sample.label] for sample in dataset.samples(split, 8, must_be_good)]


def hub_rows(n, image="image", label="label"):
    features = datasets.Features({image: datasets.Image(), label: datasets.ClassLabel(names=NAMES)})
    rows = {image: [{"bytes": png(i % 2, i), "path": None} for i in range(n)], label: [i % 2 for i in range(n)]}
    return datasets.Dataset.from_dict(rows, features=features)


def load(tmp_path, *args, **options):
    return datasets.load_dataset(*args, cache_dir=str(tmp_path / "cache"), **options)


@pytest.fixture
def shards(tmp_path):
    """Shards as the library writes them: a decoded image and an integer of each sample."""
    (tmp_path / "shards").mkdir()
    pattern = str(tmp_path / "shards" / "train-%06d.tar")
    with webdataset.ShardWriter(pattern, maxcount=4, verbose=0) as writer:
        for i in range(10):
            picture = Image.open(io.BytesIO(png(i % 2, i)))
            writer.write({"__key__": f"sample{i:04d}", "png": picture, "cls": i % 2})
    return tmp_path / "shards"


@pytest.mark.parametrize(
    "name", ["data/{split}-00000-of-00001.parquet", "default/{split}/0000.parquet", "default/partial-{split}/0.parquet"]
)
def test_parquet_of_the_datasets_library_is_read_in_every_layout_of_the_hub(name, tmp_path):
    folder = tmp_path / "set"
    for split, n in (("train", 6), ("validation", 4)):
        file = folder / name.format(split=split)
        file.parent.mkdir(parents=True, exist_ok=True)
        hub_rows(n, "img", "fine_label").to_parquet(file)
    (folder / "README.md").write_text("# a card")
    dataset = opened(folder)
    assert dataset.class_names == ("wolf", "bear")
    assert labels_of(dataset) == NAMES * 3
    assert labels_of(dataset, "test") == NAMES * 2
    assert dataset.remarks == (
        "There is no test split; the split 'validation' serves as test",
        "There is no column 'image'; 'img' was taken",
        "There is no column 'label'; 'fine_label' was taken",
    )


def test_shards_of_the_webdataset_library_are_read_in_its_order(shards):
    urls = sorted(map(str, shards.iterdir()))
    theirs = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8").to_tuple("__key__", "cls"))
    ours = opened(shards, label_names=NAMES, test_share=0.5)
    assert len(urls) == 3
    held = {f"sample{i:04d}" for i in (2, 3, 6, 7)}  # each second one of a class
    assert labels_of(ours) == [NAMES[label] for key, label in theirs if key not in held]
    assert labels_of(ours, "test") == [NAMES[label] for key, label in theirs if key in held]


def test_the_datasets_library_reads_the_same_shards_as_we_do(shards, tmp_path):
    theirs = load(tmp_path, "webdataset", data_files={"train": str(shards / "*.tar")}, split="train")
    ours = opened(shards)
    assert sorted(row["cls"] for row in theirs) == sorted(map(int, labels_of(ours) + labels_of(ours, "test")))


def test_an_image_folder_with_metadata_is_read_as_the_datasets_library_reads_it(tmp_path):
    files = {f"{split}/{i}.png": png(i % 2, i) for split in ("train", "test") for i in range(6)}
    rows = "file_name,label\n" + "".join(f"{i}.png,{NAMES[i % 2]}\n" for i in range(6))
    write_folder(tmp_path / "set", files | {f"{split}/metadata.csv": rows.encode() for split in ("train", "test")})
    theirs, ours = load(tmp_path, "imagefolder", data_dir=str(tmp_path / "set")), opened(tmp_path / "set")
    for split in ("train", "test"):
        assert sorted(theirs[split]["label"]) == sorted(labels_of(ours, split))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    package_all([finish(folder / "stages")[0].contents()], folder, ignore)
    return folder / "archive.zip"


def test_the_datasets_library_loads_our_archive_as_it_is(archive, tmp_path):
    rows = load(tmp_path, "imagefolder", data_files=str(archive), split="train")
    assert [list(rows["class"]).count(name) for name in CLASSES] == list(COUNTS)
    assert {row["image"].size for row in rows} == {(SIDE, SIDE)}
    assert [CLASSES[row["label"]] for row in rows] == list(rows["class"])
    assert sum(rows["count"]) == 36


def test_our_archive_is_itself_a_dataset(archive):
    dataset = opened(archive, test_share=0.5)
    assert dataset.class_names == CLASSES
    assert dataset.counts == {"train": (1, 3, 2), "test": (1, 2, 1)}


LOGITS = torch.randn(sum(COUNTS), len(CLASSES), generator=torch.Generator().manual_seed(0)).half()


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """An archive whose images have a teacher's logits."""
    folder = tmp_path_factory.mktemp("labelled")
    contents = finish(folder / "stages")[0].contents()
    package_all([replace(contents, soft_labels=SoftLabels(LOGITS, ()))], folder, ignore)
    return folder / "archive.zip"


def samples_of(shard: Path) -> list[dict[str, Any]]:
    """Let the library decode the samples of a shard, as whoever trains on them would."""
    return list(webdataset.WebDataset(str(shard), shardshuffle=False).decode("rgb8"))


def stacked(samples: list[dict[str, Any]]) -> Tensor:
    return torch.stack([torch.from_numpy(sample["png"].copy()).permute(2, 0, 1) for sample in samples])


def is_as_archived(samples: list[dict[str, Any]], archive: DistilledArchive) -> bool:
    weights = torch.tensor([sample["json"]["weight"] for sample in samples])
    labels = torch.tensor([sample["cls"] for sample in samples])
    named = [sample["json"]["class"] for sample in samples] == [archive.class_names[label] for label in labels]
    same = zip((stacked(samples), labels, weights), (archive.images, archive.labels, archive.weights), strict=True)
    return named and all(torch.equal(theirs, ours) for theirs, ours in same)


def test_the_webdataset_library_reads_our_shard_as_it_is(archive, tmp_path):
    write_shard(archive, tmp_path / "train.tar")
    samples = samples_of(tmp_path / "train.tar")
    assert is_as_archived(samples, load_archive(archive))
    assert len({sample["__key__"] for sample in samples}) == sum(COUNTS)
    assert not any("npy" in sample for sample in samples)


def test_a_teachers_logits_are_in_the_shard_to_the_bit(labelled, tmp_path):
    write_shard(labelled, tmp_path / "train.tar")
    samples = samples_of(tmp_path / "train.tar")
    assert is_as_archived(samples, load_archive(labelled))
    assert torch.equal(torch.stack([torch.from_numpy(sample["npy"]) for sample in samples]), LOGITS)


def test_samples_of_our_shard_are_shuffled_by_the_webdataset_library(archive, tmp_path):
    write_shard(archive, tmp_path / "train.tar")
    dataset = webdataset.WebDataset(str(tmp_path / "train.tar"), shardshuffle=False).shuffle(1000, seed=1)
    loader = webdataset.WebLoader(dataset.decode("torchrgb").to_tuple("png", "cls", "json"), batch_size=None)
    seen = [(image.shape, label, about["weight"]) for image, label, about in loader]
    expected = load_archive(archive)
    labels = [label for _, label, _ in seen]
    assert labels != expected.labels.tolist()
    assert sorted(labels) == expected.labels.tolist()
    assert {shape for shape, _, _ in seen} == {(3, SIDE, SIDE)}
    assert torch.tensor([weight for *_, weight in seen]).sum() == pytest.approx(sum(COUNTS))


def test_the_datasets_library_loads_our_shard_as_it_is(archive, tmp_path):
    write_shard(archive, tmp_path / "train.tar")
    rows = load(tmp_path, "webdataset", data_files=str(tmp_path / "train.tar"), split="train")
    assert rows["cls"][:] == load_archive(archive).labels.tolist()
    assert [row["json"]["class"] for row in rows] == [CLASSES[label] for label in rows["cls"]]


def test_our_shard_is_itself_a_dataset(archive, tmp_path):
    write_shard(archive, tmp_path / "train.tar")
    dataset = opened(tmp_path / "train.tar", label_names=CLASSES, test_share=0.5)
    assert dataset.class_names == CLASSES
    assert dataset.counts == {"train": (1, 3, 2), "test": (1, 2, 1)}


def test_one_archive_makes_one_shard_to_the_byte(labelled, tmp_path):
    for name in ("first", "second"):
        write_shard(labelled, tmp_path / f"{name}.tar")
    assert (tmp_path / "first.tar").read_bytes() == (tmp_path / "second.tar").read_bytes()


def test_no_shard_is_made_of_what_is_not_an_archive(tmp_path):
    (tmp_path / "archive.zip").write_bytes(b"not a zip")
    with pytest.raises(ArchiveError):
        write_shard(tmp_path / "archive.zip", tmp_path / "train.tar")
    assert not (tmp_path / "train.tar").exists()
