"""Plots are well-formed SVG whose lengths are the numbers."""

from xml.etree import ElementTree

import pytest

from ddoq.evaluate import score
from ddoq.plots import accuracy_bars, accuracy_by_class, distortion_bars, weight_strip
from ddoq.svg import LEFT, MOST_CLASSES, PLOT

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert('\x00\"&')</script>"
SCORES = {"distilled": score([0.5, 0.6]), "random real": score([0.25, 0.25])}


def widths(svg: str) -> list[float]:
    return [float(bar.attrib["width"]) for bar in ElementTree.fromstring(svg).iter(f"{SVG}rect")]


def texts(svg: str) -> str:
    return "|".join(ElementTree.fromstring(svg).itertext())


def plots_of(name: str) -> list[str]:
    return [
        accuracy_bars({name: score([0.5])}, 0.1),
        weight_strip({name: (0.6, 0.4)}),
        distortion_bars({name: 1.5}),
        accuracy_by_class({name: 0.5}, {name: 0.25}, name),
    ]


def test_a_bar_is_as_long_as_the_accuracy() -> None:
    assert widths(accuracy_bars(SCORES, 0.1)) == pytest.approx([0.55 * PLOT, 0.25 * PLOT])


def test_every_seed_is_a_dot() -> None:
    assert accuracy_bars(SCORES, 0.1).count('class="dot"') == 4


def test_the_chance_line_is_named() -> None:
    assert "chance 10.0%" in texts(accuracy_bars(SCORES, 0.1))


def test_a_strip_is_cut_in_proportion_to_the_masses() -> None:
    first, second = widths(weight_strip({"cat": (0.75, 0.25)}))
    assert (first + 1) / (second + 1) == pytest.approx(3)


def test_a_thousand_masses_make_a_hundred_and_one_pieces() -> None:
    assert len(widths(weight_strip({"cat": (0.001,) * 1000}))) == 101


def test_the_class_with_the_largest_distortion_has_the_full_bar() -> None:
    assert widths(distortion_bars({"cat": 2.0, "dog": 4.0})) == [PLOT / 2, PLOT]


def test_a_distortion_of_nothing_is_drawn() -> None:
    assert "cat" in texts(distortion_bars({"cat": 0.0}))


def test_classes_without_room_are_owned_up_to() -> None:
    svg = distortion_bars({str(label): 1.0 for label in range(80)})
    assert f"the first {MOST_CLASSES} of 80 classes" in texts(svg)


@pytest.mark.parametrize("kind", range(4))
def test_a_hostile_name_stays_text(kind: int) -> None:
    tags = {element.tag for element in ElementTree.fromstring(plots_of(HOSTILE)[kind]).iter()}
    assert f"{SVG}script" not in tags


@pytest.mark.parametrize("kind", range(4))
def test_a_plot_has_a_title_for_those_who_cannot_see_it(kind: int) -> None:
    assert ElementTree.fromstring(plots_of("cat")[kind])[0].tag == f"{SVG}title"


@pytest.mark.parametrize("kind", range(4))
def test_a_plot_knows_the_dark(kind: int) -> None:
    assert "prefers-color-scheme: dark" in plots_of("cat")[kind]


@pytest.mark.parametrize("kind", range(4))
def test_the_same_numbers_give_the_same_bytes(kind: int) -> None:
    assert plots_of("cat")[kind] == plots_of("cat")[kind]


def test_a_gain_is_drawn_from_the_rival_to_the_distilled_set() -> None:
    svg = accuracy_by_class({"cat": 0.75, "dog": 0.5, "eel": 1.0}, {"cat": 0.25, "dog": 0.6}, "random real")
    (gain, loss) = [at.attrib for at in ElementTree.fromstring(svg).iter(f"{SVG}line") if at.get("class") == "gain"]
    assert (float(gain["x1"]), float(gain["x2"])) == (LEFT + PLOT / 4, LEFT + PLOT * 3 / 4)
    assert float(loss["x2"]) < float(loss["x1"])
    assert "+50.0" in texts(svg)
    assert "-10.0" in texts(svg)
    assert "eel" not in texts(svg)


def test_a_difference_of_nothing_has_no_minus() -> None:
    assert "+0.0" in texts(accuracy_by_class({"cat": 0.5}, {"cat": 0.5000001}, "random real"))


def test_a_long_name_is_cut_but_told_in_full_on_pointing() -> None:
    assert f"{'x' * 60}|{'x' * 19}…" in texts(distortion_bars({"x" * 60: 1.0}))
