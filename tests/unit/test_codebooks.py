"""Latents on disk become codebooks on disk, for every budget."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ddoq.budgets import Budget, equal_shares
from ddoq.codebooks import Codebooks, open_codebooks
from ddoq.config import DistillConfig, QuantizerConfig
from ddoq.errors import ConfigError, EmptyClassError, UnknownClassError
from ddoq.events import Event, Stage, ignore
from ddoq.latents import Latents, LatentsManifest, write_shard
from ddoq.manifests import is_complete
from ddoq.methods import ReducerName
from ddoq.quantize import quantize_classes
from ddoq.quantize_stage import quantize_all
from ddoq.seeds import stream

EVERY = sorted(get_args(ReducerName))
LARGE = "ddoq.reduction.STREAM_BYTES"
SHARD_ROWS = 50


@pytest.fixture
def _threads_restored() -> Iterator[None]:
    """Let a test set the number of threads."""
    n_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(n_threads)


def blobs(n: int, d: int = 6, spread: float = 4.0, seed: int = 0) -> Tensor:
    """A mixture whose numbers half precision can hold."""
    rng = stream(seed, "blobs")
    centres = torch.randn(7, d, generator=rng) * spread
    z = centres[torch.randint(7, (n,), generator=rng).square() % 7] + torch.randn(n, d, generator=rng)
    return z.half().float()


CLASSES = [blobs(60, seed=1), blobs(33, seed=2), blobs(90, seed=3)]


def store(classes: list[Tensor], folder: Path) -> Latents:
    """Write latents as the encode stage does, the classes taking turns."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs = [(row, label) for row in range(max(map(len, classes))) for label, z in enumerate(classes) if row < len(z)]
    shards = []
    for start in range(0, len(pairs), SHARD_ROWS):
        rows = pairs[start : start + SHARD_ROWS]
        z = torch.stack([classes[label][row] for row, label in rows])
        keys, labels = [f"{label}/{row}" for row, label in rows], [label for _, label in rows]
        shards.append(write_shard(folder / f"{start}.safetensors", z, keys, labels, len(classes)))
    counts, nothing = tuple(map(len, classes)), (0.0, 0.0, 0.0)
    sizes = ((1, 1), (1, 1))
    return Latents(
        folder, LatentsManifest(classes[0].shape[1], counts, tuple(shards), nothing, nothing, sizes, 0, 0, ())
    )


def config(**changes: object) -> DistillConfig:
    return DistillConfig.model_validate({"dataset": {"uri": "file:///data/flowers.zip"}, **changes})


def reduce(classes: list[Tensor], folder: Path, **changes: object) -> tuple[Codebooks, ...]:
    latents = store(classes, folder / "latents")
    canvas = {} if "reducer" not in changes else {"canvas": "prior"}
    return quantize_all(latents, names(classes), config(**canvas, **changes), folder / "books", ignore)


def names(classes: list[Tensor]) -> tuple[str, ...]:
    return tuple(f"class {label}" for label in range(len(classes)))


def cost(books: Codebooks, classes: list[Tensor]) -> float:
    """Sum of the squared distances of all images, measured anew."""
    return sum(
        float(torch.cdist(z.double(), books.of_class(label).centroids.double()).square().min(dim=1).values.sum())
        for label, z in enumerate(classes)
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_what_was_written_is_read_back(tmp_path):
    written = reduce(CLASSES, tmp_path, images_per_class=[4, 2])
    assert open_codebooks(tmp_path / "books") == written


def test_a_number_gives_the_codebooks_of_the_quantizer(tmp_path):
    (books,) = reduce(CLASSES, tmp_path, images_per_class=5)
    requests = [(z, (5,), stream(0, "quantize", label)) for label, z in enumerate(CLASSES)]
    for label, (expected,) in enumerate(quantize_classes(requests, QuantizerConfig())):
        found = books.of_class(label)
        assert found.distortion == expected.distortion == books.manifest.classes[label].distortion
        assert sorted(found.medoids.tolist()) == sorted(expected.medoids.tolist())


@pytest.mark.parametrize("reducer", EVERY)
def test_codewords_of_every_class_are_numbered_by_falling_count(tmp_path, reducer):
    (books,) = reduce(CLASSES, tmp_path, reducer=reducer, images_per_class=7)
    for label, z in enumerate(CLASSES):
        book = books.of_class(label)
        assert book.counts.tolist() == sorted(book.counts.tolist(), reverse=True)
        assert torch.equal(book.counts, book.cells.bincount(minlength=7))
        assert torch.equal(book.cells, torch.cdist(z.double(), book.centroids.double()).argmin(dim=1))


@pytest.mark.parametrize("reducer", EVERY)
def test_medoids_are_named_by_the_keys_of_their_images(tmp_path, reducer):
    (books,) = reduce(CLASSES, tmp_path, reducer=reducer, images_per_class=7)
    for label, entry in enumerate(books.manifest.classes):
        assert entry.medoids == tuple(f"{label}/{row}" for row in books.of_class(label).medoids.tolist())
        assert (entry.n_codewords, entry.remark) == (7, "")


@pytest.mark.parametrize("reducer", EVERY)
def test_numbers_by_class_give_each_class_its_own(tmp_path, reducer):
    asked = {"class 0": 3, "class 1": 9, "class 2": 1}
    (books,) = reduce(CLASSES, tmp_path, reducer=reducer, images_per_class=asked)
    assert books.budget == Budget("by-class", (3, 9, 1))
    assert [len(books.of_class(label).centroids) for label in range(3)] == [3, 9, 1]
    assert [entry.n_codewords for entry in books.manifest.classes] == [3, 9, 1]


@pytest.mark.parametrize("reducer", EVERY)
def test_a_list_gives_codebooks_as_good_as_each_number_alone(tmp_path, reducer):
    together = reduce(CLASSES, tmp_path, reducer=reducer, images_per_class=[9, 3])
    assert [books.budget.name for books in together] == ["ipc-9", "ipc-3"]
    for k, books in zip([9, 3], together, strict=True):
        (alone,) = reduce(CLASSES, tmp_path / str(k), reducer=reducer, images_per_class=k)
        for one, other in zip(books.manifest.classes, alone.manifest.classes, strict=True):
            assert one.distortion <= 1.002 * other.distortion


@pytest.mark.usefixtures("_threads_restored")
@pytest.mark.parametrize("reducer", EVERY)
@pytest.mark.parametrize("asked", [{"images_per_class": 4}, {"images_per_class": [4, 9]}, {"total_images": 20}])
def test_a_seed_fixes_every_byte_whatever_the_number_of_threads(tmp_path, reducer, asked):
    for n_threads in (1, 3):
        torch.set_num_threads(n_threads)
        reduce(CLASSES, tmp_path / str(n_threads), reducer=reducer, **asked)
    assert contents(tmp_path / "1" / "books") == contents(tmp_path / "3" / "books")


def test_events_count_the_classes(tmp_path):
    seen: list[Event] = []
    quantize_all(
        store(CLASSES, tmp_path), names(CLASSES), config(images_per_class=[2, 3]), tmp_path / "books", seen.append
    )
    assert [(event.stage, event.done, event.total) for event in seen] == [(Stage.QUANTIZE, k, 3) for k in (1, 2, 3)]
    assert all(event.values["distortion"] > 0 for event in seen)


def test_events_of_shared_images_count_the_measurement_too(tmp_path):
    seen: list[Event] = []
    quantize_all(store(CLASSES, tmp_path), names(CLASSES), config(total_images=9), tmp_path / "books", seen.append)
    assert [(event.done, event.total) for event in seen] == [(done, 6) for done in range(1, 7)]


@pytest.mark.parametrize("asked", [{"images_per_class": 34}, {"images_per_class": [2, 34]}])
@pytest.mark.parametrize("reducer", EVERY)
def test_a_class_of_too_few_images_is_refused_by_its_name(tmp_path, reducer, asked):
    with pytest.raises(
        EmptyClassError, match=r"class 'class 1' has 33 images, fewer than the 34 codewords asked for; l"
    ):
        reduce(CLASSES, tmp_path, reducer=reducer, **asked)
    assert not is_complete(tmp_path / "books")


def test_a_class_of_too_few_distinct_images_is_refused_by_its_name(tmp_path):
    with pytest.raises(EmptyClassError, match=r"class 'class 1' has 2 distinct images, fewer than the 5"):
        reduce([CLASSES[0], blobs(2).repeat(9, 1)], tmp_path, images_per_class=5)


@pytest.mark.parametrize("asked", [{"images_per_class": 1}, {"total_images": 5}])
def test_a_class_of_which_no_image_was_readable_is_refused_by_its_name(tmp_path, asked):
    with pytest.raises(EmptyClassError, match=r"class 'class 1' has 0 images"):
        reduce([CLASSES[0], blobs(0), CLASSES[2]], tmp_path, **asked)


def test_numbers_by_class_must_name_the_classes_there_are(tmp_path):
    with pytest.raises(UnknownClassError, match=r"names 'class 7'"):
        reduce(CLASSES[:2], tmp_path, images_per_class={"class 0": 1, "class 1": 1, "class 7": 1})


@pytest.mark.parametrize("reducer", EVERY)
@pytest.mark.parametrize("asked", [{"images_per_class": 4}, {"total_images": 30}])
def test_a_class_too_large_for_memory_is_reduced_all_the_same_and_remarked_on(tmp_path, reducer, asked, monkeypatch):
    monkeypatch.setattr(LARGE, 4 * 6 * 50)
    (books,) = reduce(CLASSES, tmp_path, reducer=reducer, **asked)
    for label, z in enumerate(CLASSES):
        book, entry = books.of_class(label), books.manifest.classes[label]
        assert torch.equal(book.cells, torch.cdist(z.double(), book.centroids.double()).argmin(dim=1))
        assert bool(entry.remark) == (len(z) > 50 and reducer not in {"random", "clvq"})


def test_a_choice_among_some_images_says_how_many(tmp_path, monkeypatch):
    monkeypatch.setattr(LARGE, 4 * 6 * 50)
    (books,) = reduce(CLASSES, tmp_path, reducer="herding", images_per_class=4)
    assert books.manifest.classes[2].remark == "too large for memory: chosen among 50 of 90 images, drawn at random"


@pytest.mark.parametrize("reducer", EVERY)
def test_shared_images_sum_to_the_total(tmp_path, reducer):
    (books,) = reduce(CLASSES, tmp_path, reducer=reducer, total_images=31)
    assert books.budget.name == "total-31"
    assert sum(books.budget.counts) == 31
    assert [len(books.of_class(label).centroids) for label in range(3)] == list(books.budget.counts)
    assert [folder.name for folder in (tmp_path / "books").iterdir() if folder.is_dir()] == ["total-31"]


def test_as_many_shared_images_as_there_are_leave_no_distortion(tmp_path):
    (books,) = reduce(CLASSES, tmp_path, total_images=183)
    assert books.budget.counts == (60, 33, 90)
    assert cost(books, CLASSES) == pytest.approx(0, abs=1e-6)


def test_a_class_gets_no_more_shared_images_than_it_has_different_ones(tmp_path):
    (books,) = reduce([blobs(3, seed=5).repeat(30, 1), CLASSES[0]], tmp_path, total_images=20)
    assert books.budget.counts == (3, 17)


@pytest.mark.parametrize(("total", "message"), [(2, "fewer than the 3 classes"), (184, "more than the 183 distinct")])
def test_a_total_that_cannot_be_shared_out_is_refused(tmp_path, total, message):
    with pytest.raises(ConfigError, match=rf"total_images = {total} is {message}"):
        reduce(CLASSES, tmp_path, total_images=total)


CLASS = st.tuples(st.integers(1, 60), st.floats(0.1, 10), st.integers(0, 99))  # images, spread, seed


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(CLASS, min_size=2, max_size=5), share=st.floats(0, 1), reducer=st.sampled_from(EVERY))
def test_shared_images_never_cost_more_than_equal_shares(tmp_path_factory, drawn, share, reducer):
    folder = tmp_path_factory.mktemp("drawn")
    classes = [blobs(n, 3, spread, seed) * (1 + spread) for n, spread, seed in drawn]
    n_images = [len(z.unique(dim=0)) for z in classes]
    total = len(classes) + round(share * (sum(n_images) - len(classes)))
    (shared,) = reduce(classes, folder, reducer=reducer, total_images=total)
    equal = dict(zip(names(classes), equal_shares(n_images, total), strict=True))
    (rival,) = reduce(classes, folder / "equal", reducer=reducer, images_per_class=equal)
    assert cost(shared, classes) <= cost(rival, classes) * (1 + 1e-6) + 1e-6


@pytest.mark.parametrize("reducer", EVERY)
def test_shared_images_cost_clearly_less_where_classes_are_clearly_unequal(tmp_path, reducer):
    classes = [torch.randn(200, 3, generator=stream(label)) * 10**label for label in range(3)]
    (shared,) = reduce(classes, tmp_path, reducer=reducer, total_images=60)
    (equal,) = reduce(classes, tmp_path / "equal", reducer=reducer, images_per_class=20)
    assert cost(shared, classes) < 0.8 * cost(equal, classes)
    assert list(shared.budget.counts) == sorted(shared.budget.counts)
