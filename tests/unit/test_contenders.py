"""Rivals get as many images of each class as the distilled set, however many that are."""

import io
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from ddoq.contenders import draw_random, gather_contenders, read_choice, stream_test
from ddoq.datasets import open_dataset
from ddoq.labels import SoftLabels
from ddoq.types import TrainingSet
from tests.finished import CLASSES, COUNTS, SIDE, Finished, colour, config_of, finish
from tests.pictures import access_to, members, write_folder

LABELS = [0] * 2 + [1] * 5 + [2] * 3


@pytest.fixture(scope="module")
def ragged(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(tmp_path_factory.mktemp("ragged"))[0]


def contenders_of(one: Finished) -> dict[str, tuple[TrainingSet, ...]]:
    return gather_contenders(one.config, one.dataset, one.latents, one.books, one.images)


def of_class(data: TrainingSet, label: int) -> Tensor:
    return data.images[data.labels == label]


def test_every_contender_has_as_many_images_of_each_class_as_the_budget_says(ragged: Finished) -> None:
    contenders = contenders_of(ragged)
    assert set(contenders) == {"distilled", "uniform weights", "medoids", "random real"}
    for name, sets in contenders.items():
        assert [data.labels.tolist() for data in sets] == [LABELS] * 2, name
        assert [tuple(data.images.shape) for data in sets] == [(10, 3, SIDE, SIDE)] * 2, name


def test_distilled_images_keep_their_labels_and_order(ragged: Finished) -> None:
    data = contenders_of(ragged)["distilled"][0]
    painted = [colour(label, codeword) for label, n in enumerate(COUNTS) for codeword in range(n)]
    assert data.images[:, 0, 0, 0].tolist() == painted


def test_weights_have_mean_one_in_each_class_and_follow_its_own_counts(ragged: Finished) -> None:
    data = contenders_of(ragged)["distilled"][0]
    for label in range(3):
        roots = ragged.books.of_class(label).counts.sqrt()
        torch.testing.assert_close(data.weights[data.labels == label], roots / roots.mean())


def test_real_images_are_of_the_class_they_are_labelled_with(ragged: Finished) -> None:
    contenders = contenders_of(ragged)
    for name in ("medoids", "random real"):
        for label, brightest in ((0, 1), (1, 0), (2, 2)):  # green cats, red dogs, blue eels
            means = of_class(contenders[name][0], label).float().mean(dim=(2, 3))
            assert means.argmax(dim=1).tolist() == [brightest] * COUNTS[label], name


def test_random_images_are_drawn_without_repeats_and_anew_for_each_seed(ragged: Finished) -> None:
    first, second = contenders_of(ragged)["random real"]
    assert len(first.images.unique(dim=0)) == len(LABELS)
    assert not torch.equal(first.images, second.images)
    assert torch.equal(contenders_of(ragged)["random real"][0].images, first.images)


def test_a_larger_budget_adds_to_the_random_images_of_a_smaller_one(tmp_path: Path) -> None:
    small, large = (contenders_of(one)["random real"][0] for one in finish(tmp_path, images_per_class=[2, 4]))
    for label in range(len(CLASSES)):
        assert torch.equal(of_class(large, label)[:2], of_class(small, label))


def test_equal_weights_have_no_rival_of_equal_weights(tmp_path: Path) -> None:
    contenders = contenders_of(finish(tmp_path, weights="uniform")[0])
    assert set(contenders) == {"distilled", "medoids", "random real"}
    assert contenders["distilled"][0].weights.tolist() == [1.0] * 10


def test_real_images_have_no_rival_of_real_images_chosen_the_same_way(tmp_path: Path) -> None:
    contenders = contenders_of(finish(tmp_path, method="medoid")[0])
    assert set(contenders) == {"distilled", "random real"}


def test_with_soft_labels_random_images_compete_with_and_without(ragged: Finished) -> None:
    logits = torch.arange(3.0)[:, None, None].expand(3, 10, 3).half()  # distilled, and random of two seeds
    labels = SoftLabels(logits[0], (logits[1], logits[2]))
    one = ragged
    contenders = gather_contenders(one.config, one.dataset, one.latents, one.books, one.images, labels)
    soft = {name: [data.soft_labels for data in sets] for name, sets in contenders.items()}
    assert [float(found.mean()) for found in soft["distilled"] if found is not None] == [0, 0]
    assert [float(found.mean()) for found in soft["uniform weights"] if found is not None] == [0, 0]
    assert [float(found.mean()) for found in soft["random, same labels"] if found is not None] == [1, 2]
    assert soft["medoids"] == soft["random real"] == [None, None]
    for labelled, plain in zip(contenders["random, same labels"], contenders["random real"], strict=True):
        assert torch.equal(labelled.images, plain.images)


def test_students_are_tested_on_the_middle_of_a_larger_image_where_the_protocol_says_so(tmp_path: Path) -> None:
    grey = Image.new("RGB", (64, 64), (90, 90, 90))
    grey.paste((100, 100, 100), (4, 4, 60, 60))  # a frame of 4 pixels, or of 2 when the whole has 32
    file = io.BytesIO()
    grey.save(file, "PNG")
    framed = {name: file.getvalue() for name in members(CLASSES, n_train=1, n_test=1)}
    uri = write_folder(tmp_path / "data", framed)
    teacher = {"network": "convnet-3", "checkpoint": "/t", "mean": [0.5] * 3, "deviation": [0.5] * 3}
    for protocol, seen in (("rded", [100] * 28), ("quick", [90] * 2 + [100] * 24 + [90] * 2)):
        config = config_of(
            uri,
            images_per_class=1,
            prior={"kind": "pixels", "resolution": 28},
            students={"protocol": protocol},
            teacher={"kind": "checkpoint", "resolution": 28, **teacher},
        )
        ((images, _labels),) = stream_test(config, open_dataset(config.dataset, access_to(tmp_path)), [])
        assert images.shape == (3, 3, 28, 28)
        assert (images[0, 0, 14].int() - torch.tensor(seen)).abs().max() <= 3


def test_full_evaluation_weighs_the_distilled_images_in_every_other_way(tmp_path: Path) -> None:
    for own, others in (("sqrt", {"uniform", "share"}), ("uniform", {"share", "sqrt"})):
        one = finish(tmp_path / own, evaluation="full", weights=own)[0]
        contenders = contenders_of(one)
        weighted = {f"{other} weights" for other in others}
        assert set(contenders) == {"distilled", "medoids", "random real"} | weighted
        counts = torch.cat([one.books.of_class(label).counts for label in range(3)])
        shares = [part / part.mean() for part in counts.float().split(list(COUNTS))]
        torch.testing.assert_close(contenders["share weights"][0].weights, torch.cat(shares))
        assert torch.equal(contenders["share weights"][0].images, contenders["distilled"][0].images)


def test_weights_that_come_to_the_same_do_not_compete_twice(tmp_path: Path) -> None:
    for evaluation in ("quick", "full"):
        one = finish(tmp_path / evaluation, evaluation=evaluation, images_per_class=1)[0]
        assert set(contenders_of(one)) == {"distilled", "medoids", "random real"}


def test_full_evaluation_has_a_set_more_to_tune_on_which_is_drawn_anew(tmp_path: Path) -> None:
    one = finish(tmp_path, evaluation="full")[0]
    contenders = contenders_of(one)
    assert {len(sets) for sets in contenders.values()} == {one.config.students.seeds + 1}
    first, second, extra = contenders["random real"]
    assert not torch.equal(extra.images, first.images)
    assert not torch.equal(extra.images, second.images)


def test_all_ways_to_weigh_have_the_soft_labels(tmp_path: Path) -> None:
    one = finish(tmp_path, evaluation="full")[0]
    logits = torch.zeros(10, 3).half()
    labels = SoftLabels(logits, (logits,) * 3)
    contenders = gather_contenders(one.config, one.dataset, one.latents, one.books, one.images, labels)
    soft = {name for name, sets in contenders.items() if all(data.soft_labels is not None for data in sets)}
    assert soft == {"distilled", "uniform weights", "share weights", "random, same labels"}


def test_the_images_that_are_labelled_are_those_that_compete(ragged: Finished) -> None:
    one = ragged
    for seed, data in enumerate(contenders_of(one)["random real"]):
        choice = draw_random(one.config, one.latents, one.books.budget.counts, seed)
        assert torch.equal(read_choice(one.dataset, choice, SIDE), data.images)
