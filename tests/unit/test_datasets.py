import dataclasses
import itertools
import threading
import tracemalloc
from contextlib import contextmanager

import pytest

from ddoq.config import DatasetConfig
from ddoq.datasets import Dataset, open_dataset, require_images
from ddoq.errors import DamagedArchiveError, DatasetChangedError, EmptyClassError, NoClassesError, NotAnArchiveError
from ddoq.image_rules import MAX_BYTES
from ddoq.layouts import Encoded
from ddoq.streaming import AHEAD, MAX_BATCH
from tests.pictures import access_to, members, png, write_folder, write_tar, write_zip

WRITERS = {
    "folder": lambda folder, files: write_folder(folder / "data", files),
    "zip": lambda folder, files: write_zip(folder / "data.zip", files),
    "tar": lambda folder, files: write_tar(folder / "data.tar", files),
    "tar.gz": lambda folder, files: write_tar(folder / "data.tar.gz", files, "w:gz"),
}


def opened(uri, folder, **fields):
    return open_dataset(DatasetConfig(uri=uri, **fields), access_to(folder))


def must_be_good(image):
    raise AssertionError(image)


def keys_of(dataset, split="train", keys=None):
    return [sample.key for sample in dataset.samples(split, 8, must_be_good, keys)]


def peak_of_streaming(dataset):
    tracemalloc.start()
    for _ in dataset.samples("train", 64, must_be_good):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def n_decoding():
    """Count the threads of streams; one that waits for a child process stays as long as the child does."""
    return sum(thread.name.startswith("decode_") for thread in threading.enumerate())


@dataclasses.dataclass
class EndlessReader:
    """Gives the same image for ever and counts how often it was asked."""

    n_threads: int = 2
    n_given: int = 0
    n_threads_at_close: int | None = None

    @contextmanager
    def opened(self, _split, _keys, _places):
        try:
            yield (self._encoded(i) for i in itertools.count())
        finally:
            self.n_threads_at_close = n_decoding()

    def _encoded(self, i):
        self.n_given += 1
        return Encoded(str(i), 0, lambda: png(0, 0))


def endless():
    reader = EndlessReader()
    return Dataset(("a", "b"), {"train": (1, 1), "test": (1, 1)}, False, (), "", reader), reader


@pytest.mark.parametrize("kind", list(WRITERS))
def test_every_container_gives_the_same_samples(kind, tmp_path):
    files = members(n_train=5, n_test=2)
    dataset = opened(WRITERS[kind](tmp_path, files), tmp_path)
    assert dataset.class_names == ("cat", "dog", "eel")
    assert dataset.counts == {"train": (5, 5, 5), "test": (2, 2, 2)}
    for split in ("train", "test"):
        samples = list(dataset.samples(split, 16, must_be_good))
        assert [sample.key for sample in samples] == [
            name.removeprefix(f"{split}/") for name in sorted(files) if name.startswith(split)
        ]
        assert [dataset.class_names[sample.label] for sample in samples] == [
            sample.key.split("/")[0] for sample in samples
        ]


def test_a_sample_holds_the_pixels_of_its_file(tmp_path):
    dataset = opened(write_zip(tmp_path / "data.zip", members()), tmp_path)
    sample = next(dataset.samples("train", 16, must_be_good))
    red, green, blue = sample.image.float().mean(dim=(1, 2))
    assert sample.image.shape == (3, 16, 16)
    assert green > blue > red  # the colour of the first class
    assert sample.size == (16, 16)


def test_samples_of_a_tar_gz_come_in_file_order(tmp_path):
    files = dict(reversed(members(n_train=3, n_test=1).items()))
    dataset = opened(write_tar(tmp_path / "data.tgz", files, "w:gz"), tmp_path)
    assert keys_of(dataset) == [name.removeprefix("train/") for name in files if name.startswith("train")]


@pytest.mark.parametrize("kind", list(WRITERS))
def test_some_samples_are_given_without_the_others(kind, tmp_path):
    dataset = opened(WRITERS[kind](tmp_path, members()), tmp_path)
    wanted = ["cat/003.png", "eel/001.png"]
    assert keys_of(dataset, keys=wanted) == wanted


@pytest.mark.parametrize("kind", list(WRITERS))
@pytest.mark.parametrize("places", [range(4), range(3, 11), range(11, 15), range(14, 99), range(5, 5)], ids=str)
def test_places_of_a_split_are_those_of_the_whole_in_its_order(kind, places, tmp_path):
    files = members(n_train=5, n_test=2) | {"train/cat/004.png": b"no image"}
    dataset = opened(WRITERS[kind](tmp_path, files), tmp_path)
    whole = [result.key for result in dataset.stream("train", 8)]
    assert "cat/004.png" in whole
    assert [result.key for result in dataset.stream("train", 8, places=places)] == whole[places.start : places.stop]


@pytest.mark.parametrize("top", ["", "train/"])
def test_what_is_held_out_is_in_one_split_only(top, tmp_path):
    files = {top + name: data for name, data in members(n_train=10, n_test=0).items()}
    dataset = opened(write_zip(tmp_path / "data.zip", files), tmp_path, test_share=0.25)
    train, test = keys_of(dataset), keys_of(dataset, "test")
    assert dataset.held_out
    assert test[:3] == ["cat/003.png", "cat/007.png", "dog/003.png"]
    assert sorted(train + test) == sorted(name.removeprefix(top) for name in files)


@pytest.mark.parametrize("kind", list(WRITERS))
def test_every_container_holds_the_same_images_out_as_validation(kind, tmp_path):
    uri = WRITERS[kind](tmp_path, members(n_train=20, n_test=2))
    dataset = open_dataset(DatasetConfig(uri=uri), access_to(tmp_path), 0.1)
    held = keys_of(dataset, "validation")
    assert held == [f"{name}/{n:03d}.png" for name in ("cat", "dog", "eel") for n in (9, 19)]
    assert len(keys_of(dataset)) == 54
    assert not set(held) & set(keys_of(dataset))


def test_too_few_images_beside_validation_are_refused_with_both_numbers(tmp_path):
    dataset = open_dataset(DatasetConfig(uri=write_zip(tmp_path / "data.zip", members())), access_to(tmp_path), 0.1)
    with pytest.raises(EmptyClassError, match="'cat' has 11 training images beside 1 held out for validation"):
        require_images(dataset, [12, 12, 12])


def test_labels_follow_the_class_names_asked_for(tmp_path):
    uri = write_zip(tmp_path / "data.zip", members())
    dataset = opened(uri, tmp_path, class_names=("eel", "cat"))
    labels = {sample.key.split("/")[0]: sample.label for sample in dataset.samples("test", 8, must_be_good)}
    assert labels == {"eel": 0, "cat": 1}


def test_bad_images_are_told_with_their_reason_and_passed_over(tmp_path):
    files = members(n_train=4, n_test=1) | {"train/cat/001.png": b"no image", "train/dog/000.png": b""}
    dataset = opened(write_zip(tmp_path / "data.zip", files), tmp_path)
    bad = []
    good = [sample.key for sample in dataset.samples("train", 8, bad.append)]
    assert [image.key for image in bad] == ["cat/001.png", "dog/000.png"]
    assert "not an image in a format that is read" in bad[0].reason
    assert len(good) == 10


def test_what_the_listener_to_bad_images_raises_ends_the_stream(tmp_path):
    files = members(n_train=4, n_test=1) | {"train/cat/001.png": b"no image"}
    dataset = opened(write_zip(tmp_path / "data.zip", files), tmp_path)
    with pytest.raises(AssertionError, match=r"cat/001\.png"):
        list(dataset.samples("train", 8, must_be_good))


def test_a_file_of_many_bytes_is_bad_and_never_read(tmp_path):
    files = members(n_train=2, n_test=1)
    uri = write_folder(tmp_path / "data", files)
    with (tmp_path / "data" / "train" / "cat" / "000.png").open("r+b") as file:
        file.truncate(MAX_BYTES + 1)
    bad = []
    assert len(list(opened(uri, tmp_path).samples("train", 8, bad.append))) == 5
    assert bad[0].reason == "the file is larger than the 64 MiB that are read"


def test_every_odd_image_can_be_in_a_dataset(tmp_path, shared_data):
    odd = {f"train/odd/{path.name}": path.read_bytes() for path in (shared_data / "odd-images").iterdir()}
    dataset = opened(write_zip(tmp_path / "data.zip", members() | odd), tmp_path)
    bad = []
    good = [sample.key for sample in dataset.samples("train", 8, bad.append) if sample.key.startswith("odd/")]
    assert len(good) + len(bad) == dataset.counts["train"][3] == 71
    assert dataset.left_out[0].startswith("8 files that are no images by their names")


def test_a_file_that_is_gone_ends_the_stream(tmp_path):
    dataset = opened(write_folder(tmp_path / "data", members()), tmp_path)
    (tmp_path / "data" / "train" / "dog" / "000.png").unlink()
    with pytest.raises(DatasetChangedError, match=r"dog/000\.png"):
        list(dataset.samples("train", 8, must_be_good))


@pytest.mark.parametrize("kind", list(WRITERS))
def test_the_fingerprint_stays_when_nothing_changes_and_changes_with_a_pixel(kind, tmp_path):
    files = members(n_train=2, n_test=1)
    uri = WRITERS[kind](tmp_path, files)
    before = opened(uri, tmp_path).fingerprint
    assert opened(uri, tmp_path).fingerprint == before
    WRITERS[kind](tmp_path, files | {"train/cat/000.png": png(0, 99)})
    assert opened(uri, tmp_path).fingerprint != before


def test_a_class_with_too_few_images_is_refused_with_both_numbers(tmp_path):
    dataset = opened(write_zip(tmp_path / "data.zip", members(n_train=4, n_test=1)), tmp_path)
    require_images(dataset, [4, 4, 4])
    with pytest.raises(EmptyClassError, match="class 'dog' has 4 training images; lower images_per_class to 4"):
        require_images(dataset, [4, 5, 4])


def test_a_zip_of_nothing_has_no_classes(tmp_path):
    with pytest.raises(NoClassesError):
        opened(write_zip(tmp_path / "data.zip", {}), tmp_path)


def test_an_empty_folder_has_no_classes(tmp_path):
    with pytest.raises(NoClassesError):
        opened(tmp_path.as_uri(), tmp_path)


def test_a_picture_is_no_dataset(tmp_path):
    (tmp_path / "x.png").write_bytes(png(0, 0))
    with pytest.raises(NotAnArchiveError):
        opened((tmp_path / "x.png").as_uri(), tmp_path)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_every_truncation_of_an_archive_is_refused(kind, tmp_path):
    uri = WRITERS[kind](tmp_path, members(n_train=3, n_test=1))
    path = tmp_path / f"data.{kind}"
    data = path.read_bytes().rstrip(b"\0") if kind == "tar" else path.read_bytes()
    for length in range(1, len(data), len(data) // 40):
        path.write_bytes(data[:length])
        with pytest.raises((DamagedArchiveError, NotAnArchiveError)):
            opened(uri, tmp_path)


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    base = members(n_train=2, n_test=1, size=(64, 64))
    few, many = (base | {f"train/cat/more-{i}.png": base["train/cat/000.png"] for i in range(n)} for n in (300, 1100))
    peaks = [
        peak_of_streaming(opened(write_zip(tmp_path / f"{len(files)}.zip", files), tmp_path)) for files in (few, many)
    ]
    # 64 x 64 x 3 bytes an image: all 800 would be 10 MB more
    assert peaks[1] - peaks[0] < 1_000_000


def test_decoding_runs_ahead_of_the_consumer_and_not_far():
    dataset, reader = endless()
    stream = dataset.samples("train", 8, must_be_good)
    for _ in range(10):
        next(stream)
    n_given = reader.n_given
    stream.close()
    assert 10 < n_given <= 10 + MAX_BATCH * AHEAD * reader.n_threads


def test_a_stream_that_is_left_early_stops_its_threads_before_the_container_closes():
    dataset, reader = endless()
    before = n_decoding()
    for i, _ in enumerate(dataset.samples("train", 8, must_be_good)):
        if i == 3:
            break
    assert reader.n_threads_at_close == before


def test_two_streams_can_be_read_side_by_side(tmp_path):
    dataset = opened(write_zip(tmp_path / "data.zip", members()), tmp_path)
    pairs = zip(dataset.samples("train", 8, must_be_good), dataset.samples("train", 8, must_be_good), strict=True)
    assert all(left.key == right.key for left, right in pairs)


def test_real_photographs_stream(shared_data):
    dataset = open_dataset(
        DatasetConfig(uri=(shared_data / "flowers" / "flowers-128.zip").as_uri()), access_to(shared_data)
    )
    assert dataset.counts == {"train": (345, 490, 350, 381, 435), "test": (86, 122, 87, 95, 109)}
    assert sum(1 for _ in dataset.samples("test", 32, must_be_good)) == 499
