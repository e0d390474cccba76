"""Sentences on measures say what was measured, and nothing where nothing was."""

import pytest

from ddoq.measure_words import in_bytes, words_on_bytes, words_on_coverage

FIGURES = {
    "classes": 30,
    "coverage.distilled": 0.253,
    "coverage.random": 0.2,
    "density.distilled": 1.4,
    "density.random": 0.98,
    "coverage.neighbours": 5,
    "coverage.classes": 20,
    "coverage.rows_of_a_class_at_most": 1000,
    "bytes.distilled_images": 2048,
    "bytes.weights": 40,
    "bytes.distilled": 2088,
    "bytes.train": 1_000_000,
    "compression.bytes": 478.9,
}


def test_coverage_is_told_with_its_yardstick_and_its_subset() -> None:
    told = str(words_on_coverage(FIGURES))
    assert "25.3% of the real images have a distilled one nearer than their 5th nearest neighbour" in told
    assert "drawn at random, 20.0% have one" in told
    assert "Density is 1.40, against 0.98" in told
    assert "Mean over 20 of 30 classes, 1,000 real images of each at most." in told


def test_only_images_that_were_made_are_said_to_be_encoded_again() -> None:
    assert "encoded again" in str(words_on_coverage(FIGURES | {"resolution.decoder": 32}))
    assert "encoded again" not in str(words_on_coverage(FIGURES))


def test_bytes_are_told_part_by_part() -> None:
    told = str(words_on_bytes(FIGURES))
    assert "478.9 times smaller" in told
    assert "2.04 KiB (2 KiB of PNG, 40 bytes of weights) against 977 KiB" in told
    assert "60 bytes of soft labels" in str(words_on_bytes(FIGURES | {"bytes.soft_labels": 60}))


def test_a_set_that_takes_more_bytes_is_not_called_smaller() -> None:
    assert "the set is 4.0 times larger than" in str(words_on_bytes(FIGURES | {"compression.bytes": 0.25}))


def test_what_was_not_measured_is_not_told() -> None:
    assert words_on_coverage({"classes": 3}) is None
    assert words_on_bytes({"bytes.distilled": 3}) is None


@pytest.mark.parametrize(
    ("n", "words"),
    [(0, "0 bytes"), (1023, "1,023 bytes"), (1024, "1 KiB"), (3 * 2**19, "1.5 MiB"), (540 * 2**20, "540 MiB"),
     (5000 * 2**30, "5,000 GiB")],
)  # fmt: skip
def test_bytes_have_the_unit_that_suits_them(n: int, words: str) -> None:
    assert in_bytes(n) == words
