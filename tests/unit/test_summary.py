"""The report's figures and remarks say what was done, and to how many."""

from dataclasses import replace
from pathlib import Path

import pytest

from ddoq.errors import BadImagesError
from ddoq.evaluate import score
from ddoq.image_rules import BadImage
from ddoq.summary import summarize
from ddoq.types import Report, Scores, Tuning
from tests.finished import SCORES, SIDE, Finished, finish


@pytest.fixture(scope="module")
def ragged(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(tmp_path_factory.mktemp("ragged"))[0]


def report_of(one: Finished, **changes: object) -> Report:
    config = type(one.config).model_validate({**one.config.model_dump(), **changes})
    return summarize(config, one.dataset, one.latents, one.books, SCORES, [])


def remarks_of(one: Finished, **changes: object) -> str:
    return " ".join(report_of(one, **changes).remarks)


def test_images_are_counted_as_the_budget_shares_them_out(ragged: Finished) -> None:
    figures = report_of(ragged).figures
    assert figures["distilled_images"] == 10
    assert (figures["images_per_class.least"], figures["images_per_class.most"]) == (2, 5)
    assert figures["train_images_per_distilled_image"] == 3.6


def test_each_class_has_a_mass_an_image(ragged: Finished) -> None:
    weights = report_of(ragged).weights
    assert {name: len(masses) for name, masses in weights.items()} == {"cat": 2, "dog": 5, "eel": 3}
    assert all(sum(masses) == pytest.approx(1) for masses in weights.values())


def test_every_side_on_the_way_is_a_figure(ragged: Finished) -> None:
    figures = report_of(ragged, output={"resolution": 64}).figures
    sides = {name: side for name, side in figures.items() if name.startswith("resolution.")}
    assert sides == {
        "resolution.encoder": SIDE,
        "resolution.decoder": SIDE,
        "resolution.archive": 64,
        "resolution.students": 32,
    }


def test_a_decoder_that_was_not_used_has_no_figure(ragged: Finished) -> None:
    assert "resolution.decoder" not in report_of(ragged, method="medoid").figures


def test_images_that_were_resized_after_the_decoder_are_remarked_on(ragged: Finished) -> None:
    assert "resized from 8 to 64 pixels by Lanczos" in remarks_of(ragged, output={"resolution": 64})
    assert "resized from" not in remarks_of(ragged)


def test_real_images_are_not_said_to_come_from_a_decoder(ragged: Finished) -> None:
    remarks = remarks_of(ragged, method="medoid", output={"resolution": 64})
    assert "resized from" not in remarks
    assert "the dataset's own, of 64 pixels" in remarks


@pytest.mark.parametrize(("aspect", "words"), [("crop", "the middle square,"), ("pad", "the whole on grey bars,")])
def test_the_remark_on_resized_images_says_what_became_of_their_edges(
    ragged: Finished, aspect: str, words: str
) -> None:
    dataset = {**ragged.config.dataset.model_dump(), "aspect": aspect}
    assert f"36 of 36 training images (16 x 16 pixels) were brought to 8 x 8: {words}" in remarks_of(
        ragged, dataset=dataset
    )


def test_too_many_bad_test_images_are_refused_by_name(ragged: Finished) -> None:
    bad = [BadImage("eel/001.png", "cut off")]
    with pytest.raises(BadImagesError, match=r"1 of 12 test images do not decode; the first is 'eel/001\.png'"):
        summarize(ragged.config, ragged.dataset, ragged.latents, ragged.books, SCORES, bad)


def test_bad_images_of_both_splits_are_counted_and_named(ragged: Finished) -> None:
    manifest = replace(ragged.latents.manifest, n_bad=1, bad=(BadImage("cat/002.png", "empty"),))
    latents = replace(ragged.latents, manifest=manifest)
    config = ragged.config.model_copy(
        update={"dataset": ragged.config.dataset.model_copy(update={"max_bad_share": 0.5})}
    )
    bad = [BadImage("eel/001.png", "cut off")]
    report = summarize(config, ragged.dataset, latents, ragged.books, SCORES, bad)
    assert "2 images do not decode and were skipped: cat/002.png (empty), eel/001.png (cut off)." in report.remarks
    assert report.figures["test_images"] == 11


def test_want_of_memory_is_remarked_on(ragged: Finished) -> None:
    books, latents = ragged.books, ragged.latents
    cat, *others = books.manifest.classes
    large = replace(cat, remark="too large for memory: centroids learnt in a single pass")
    short = replace(
        ragged,
        books=replace(books, manifest=replace(books.manifest, classes=(large, *others))),
        latents=replace(latents, manifest=replace(latents.manifest, smaller_batch=4)),
    )
    assert "encoded 4 at a time, fewer than were asked for." in remarks_of(short)
    assert "Class 'cat' is too large for memory: centroids learnt in a single pass." in remarks_of(short)
    assert "emory" not in remarks_of(ragged)


def test_accuracies_of_classes_have_their_names_but_for_those_that_were_not_tested(ragged: Finished) -> None:
    assert report_of(ragged).by_class == {
        "distilled": {"cat": 0.9, "eel": 1.0},
        "random real": {"cat": 0.8, "eel": 0.8},
    }


def test_what_was_held_out_as_validation_is_remarked_on(tmp_path: Path) -> None:
    one = finish(tmp_path, evaluation="full")[0]
    assert "8% of each class's training images were held out as validation before anything else." in remarks_of(one)
    assert report_of(one).figures["train_images"] == 33


def test_without_validation_nothing_is_said_of_it(ragged: Finished) -> None:
    assert "validation" not in remarks_of(ragged)


def test_where_nothing_was_evaluated_there_are_figures_but_none_of_a_test(ragged: Finished) -> None:
    report = summarize(ragged.config, ragged.dataset, ragged.latents, ragged.books, Scores({}, {}), [])
    assert (report.accuracy, report.by_network, report.by_class, report.calibration) == ({}, {}, {}, {})
    assert report.figures["distilled_images"] == 10
    assert "test_images" not in report.figures


def test_what_evaluation_found_goes_into_the_report(ragged: Finished) -> None:
    tuning = Tuning("one", (1.0,), 5, {"convnet-3": {"distilled": 0.1}}, {"convnet-3": {"distilled": (0.5,)}})
    figures = {"validation_images": 5}
    found = replace(SCORES, calibration={"distilled": 0.2}, tuning=tuning, figures=figures, remarks=("Look.",), n_bad=2)
    report = summarize(ragged.config, ragged.dataset, ragged.latents, ragged.books, found, [])
    assert (report.calibration, report.tuning) == ({"distilled": 0.2}, tuning)
    assert (report.figures["validation_images"], report.figures["unreadable_images"]) == (5, 2)
    assert report.remarks[-1] == "Look."


def test_the_first_network_decides_and_several_are_told_apart(ragged: Finished) -> None:
    assert report_of(ragged).by_network == {}
    both = replace(SCORES, by_network={**SCORES.by_network, "resnet-18": {"distilled": score([0.1, 0.2])}})
    report = summarize(ragged.config, ragged.dataset, ragged.latents, ragged.books, both, [])
    assert report.accuracy == SCORES.accuracy
    assert list(report.by_network) == ["convnet-3", "resnet-18"]


def test_a_report_cites_what_was_measured_and_nothing_else(ragged: Finished) -> None:
    measured = {citation.used_for for citation in ragged.contents().report.citations}
    assert {"w2", "coverage"} <= measured
    assert not {"w2", "coverage"} & {citation.used_for for citation in report_of(ragged).citations}
