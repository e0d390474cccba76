"""What is measured without training says what it was measured on."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from jaxtyping import Float, UInt8
from torch import Generator, Tensor

from ddoq.config import DistillConfig
from ddoq.coverage import balls_around
from ddoq.datasets import open_dataset
from ddoq.encode import encode
from ddoq.events import ignore
from ddoq.measures import measure
from ddoq.prior import LatentPrior
from ddoq.prior.pixels import Pixels
from tests.finished import COUNTS, SIDE, Finished, finish
from tests.pictures import access_to, members, write_zip


@pytest.fixture(scope="module")
def ragged(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(tmp_path_factory.mktemp("ragged"))[0]


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Real images, shown as they are."""
    return finish(tmp_path_factory.mktemp("chosen"), method="medoid")[0]


def refuse() -> LatentPrior:
    raise AssertionError("no model is needed")


def test_coverage_is_that_of_the_images_encoded_again(ragged: Finished) -> None:
    """They are painted grey, far from their codewords, so that codewords would be found out."""
    found = measure(ragged.measured()).figures
    expected = [
        balls_around(ragged.latents.of_class(label), 5).cover(
            Pixels(SIDE).encode(ragged.images.of_class(label, SIDE)).half().float()
        )
        for label in range(3)
    ]
    assert found["coverage.distilled"] == pytest.approx(sum(cover.coverage for cover in expected) / 3)
    assert found["density.distilled"] == pytest.approx(sum(cover.density for cover in expected) / 3)
    assert found["coverage.random"] > found["coverage.distilled"]


def test_the_yardstick_has_as_many_real_images_of_each_class(tmp_path: Path) -> None:
    figures = measure(finish(tmp_path, images_per_class=12)[0].measured()).figures
    assert (figures["coverage.random"], figures["density.random"]) == (1.0, 1.0)  # all there are


def test_of_real_images_the_rows_are_measured_and_no_model_is_loaded(chosen: Finished) -> None:
    figures = measure(replace(chosen.measured(), open_encoder=refuse)).figures
    rows = [chosen.latents.of_class(label) for label in range(3)]
    expected = [balls_around(z, 5).cover(z[chosen.books.of_class(label).medoids]) for label, z in enumerate(rows)]
    assert figures["coverage.distilled"] == pytest.approx(sum(cover.coverage for cover in expected) / 3)


def test_the_encoder_sees_no_more_images_at_once_than_it_has_room_for(ragged: Finished) -> None:
    class Narrow(Pixels):
        def encode(self, images: UInt8[Tensor, "b 3 h h"], rngs: list[Generator] | None = None) -> Float[Tensor, "b d"]:
            if len(images) > 2:
                raise torch.OutOfMemoryError
            return super().encode(images, rngs)

    narrow = replace(ragged.measured(), open_encoder=lambda: Narrow(SIDE))
    assert measure(narrow) == measure(ragged.measured())


def test_figures_say_on_how_much_they_were_measured(ragged: Finished) -> None:
    figures = measure(ragged.measured()).figures
    assert figures["coverage.neighbours"] == 5
    assert figures["coverage.classes"] == figures["w2.classes"] == 3
    assert figures["coverage.rows_of_a_class_at_most"] == figures["w2.rows_of_a_class_at_most"] == 1000


def test_the_same_distillation_gives_the_same_measures(ragged: Finished) -> None:
    assert measure(ragged.measured()) == measure(ragged.measured())


def test_bytes_are_those_of_the_files_and_of_a_weight_each(ragged: Finished) -> None:
    manifest = replace(ragged.latents.manifest, n_bytes=1_000_000)
    one = replace(ragged.measured(), latents=replace(ragged.latents, manifest=manifest))
    figures = measure(one).figures
    files = [ragged.images.file(label, number) for label, n in enumerate(COUNTS) for number in range(n)]
    n_png = sum(len(file.read_bytes()) for file in files)
    assert figures["bytes.distilled_images"] == n_png
    assert figures["bytes.weights"] == 4 * 10
    assert figures["bytes.distilled"] == n_png + 40
    assert figures["compression.bytes"] == pytest.approx(1_000_000 / (n_png + 40))
    assert "bytes.soft_labels" not in figures


def test_soft_labels_count_as_bytes_of_the_set(ragged: Finished) -> None:
    teacher = {
        "kind": "checkpoint",
        "network": "convnet-3",
        "checkpoint": "/t.safetensors",
        "mean": [0.5] * 3,
        "deviation": [0.25] * 3,
        "resolution": 8,
    }
    config = type(ragged.config).model_validate({**ragged.config.model_dump(), "teacher": teacher})
    figures = measure(replace(ragged.measured(), config=config, soft_label_bytes=60)).figures
    assert figures["bytes.soft_labels"] == 60
    assert figures["bytes.distilled"] == figures["bytes.distilled_images"] + 40 + 60


def test_where_sizes_of_training_images_are_not_known_no_ratio_is_told(ragged: Finished) -> None:
    assert "compression.bytes" not in measure(ragged.measured()).figures


def test_training_images_weigh_what_their_files_do(ragged: Finished, tmp_path: Path) -> None:
    files = members(n_train=4)
    uri = write_zip(tmp_path / "data.zip", files | {"train/cat/bad.png": b"no image"})
    config = DistillConfig.model_validate({**ragged.config.model_dump(), "dataset": {"uri": uri, "max_bad_share": 0.5}})
    dataset = open_dataset(config.dataset, access_to(tmp_path))
    latents = encode(dataset, Pixels(SIDE), config, tmp_path / "latents", ignore)
    assert latents.manifest.n_bytes == sum(len(data) for name, data in files.items() if name.startswith("train/"))


def test_history_is_of_the_classes_that_have_one(ragged: Finished) -> None:
    cat, *others = ragged.books.manifest.classes
    told = replace(
        ragged.books.manifest, classes=(replace(cat, history=(3.0, 2.0)), *(replace(o, history=()) for o in others))
    )
    one = replace(ragged.measured(), books=replace(ragged.books, manifest=told))
    assert measure(one).history == {"cat": (3.0, 2.0)}
    assert one.books.of_class(0).history == (3.0, 2.0)
