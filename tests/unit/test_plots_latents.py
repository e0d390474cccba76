"""The map puts latents where they are, and the curve falls as the distortion did."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from ddoq.plots_latents import COLOURS, LARGEST, distortion_by_pass, map_of_latents
from ddoq.svg import LEFT, PLOT
from ddoq.types import LatentMap, MappedClass

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert('\x00\"&')</script>"


def mapped(name: str = "cat") -> LatentMap:
    cat = MappedClass(((0.0, 0.0), (10.0, 5.0)), ((0.0, 5.0), (10.0, 0.0)), (0.75, 0.25))
    return LatentMap((0.5, 0.25), {name: cat, "dog": MappedClass(((5.0, 2.5),), ((5.0, 2.5),), (1.0,))})


HISTORY = {"cat": (4.0, 3.0, 2.0), "dog": (10.0, 10.0)}


def circles(svg: str, style: str) -> list[tuple[float, float, float]]:
    found = [at.attrib for at in ElementTree.fromstring(svg).iter(f"{SVG}circle") if at.get("class") == style]
    return [(float(at["cx"]), float(at["cy"]), float(at["r"])) for at in found]


def curve(svg: str) -> list[tuple[float, float]]:
    (mean,) = (at for at in ElementTree.fromstring(svg).iter(f"{SVG}polyline") if at.get("class") == "mean")
    return [(float(x), float(y)) for x, y in (place.split(",") for place in mean.attrib["points"].split())]


def test_places_keep_their_order_and_both_axes_one_scale() -> None:
    (left, low, _), (right, high, _), _ = circles(map_of_latents(mapped()), "real")
    assert right > left
    assert high < low  # upwards
    assert (low - high) / (right - left) == pytest.approx(0.5)


def test_an_area_is_in_proportion_to_the_mass() -> None:
    heavy, light, whole = (radius for _, _, radius in circles(map_of_latents(mapped()), "codeword"))
    assert heavy**2 / light**2 == pytest.approx(3, rel=0.05)
    assert whole == LARGEST


def test_each_class_has_one_colour_and_a_place_in_the_legend() -> None:
    svg = map_of_latents(mapped())
    assert svg.count(COLOURS[0]) == 5  # two latents, two codewords, the legend
    assert svg.count(COLOURS[1]) == 3
    assert svg.index(">cat</text>") < svg.index(">dog</text>")


def test_the_map_says_how_much_of_the_variance_it_shows() -> None:
    assert "50.0% and 25.0% of the variance" in map_of_latents(mapped())


def test_latents_that_are_all_alike_are_drawn() -> None:
    one = MappedClass(((1.0, 1.0),) * 3, ((1.0, 1.0),), (1.0,))
    assert len(circles(map_of_latents(LatentMap((0.0, 0.0), {"cat": one})), "real")) == 3


def test_the_curve_is_the_mean_of_classes_each_measured_by_its_start() -> None:
    places = curve(distortion_by_pass(HISTORY, 2))  # 1, 0.875, 0.75
    assert [x for x, _ in places] == pytest.approx([LEFT, LEFT + PLOT / 2, LEFT + PLOT])
    falls = [after - before for (_, before), (_, after) in pairwise(places)]
    assert falls[0] == pytest.approx(falls[1], abs=0.2)
    assert "75.0%" in distortion_by_pass(HISTORY, 2)


def test_a_distortion_that_never_fell_is_a_level_line() -> None:
    assert len({y for _, y in curve(distortion_by_pass({"dog": (10.0, 10.0)}, 1))}) == 1


def test_classes_without_a_history_are_owned_up_to() -> None:
    assert "mean of 2 of 7 classes" in distortion_by_pass(HISTORY, 7)
    assert " of 2 classes" not in distortion_by_pass(HISTORY, 2)


@pytest.mark.parametrize("name", [HOSTILE, "x" * 300])
def test_foreign_names_stay_text(name: str) -> None:
    svg = map_of_latents(mapped(name))
    assert f"{SVG}script" not in {element.tag for element in ElementTree.fromstring(svg).iter()}
    assert max(map(len, re.findall(r'class="legend"[^>]*>([^<]*)<', svg))) < 80


def test_the_same_numbers_give_the_same_bytes_for_light_and_dark() -> None:
    for plot in (map_of_latents(mapped()), distortion_by_pass(HISTORY, 2)):
        assert "prefers-color-scheme: dark" in plot
    assert map_of_latents(mapped()) == map_of_latents(mapped())


def luminance(colour: str) -> float:
    levels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [level / 12.92 if level <= 0.03928 else ((level + 0.055) / 1.055) ** 2.4 for level in levels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", COLOURS)
def test_every_colour_stands_out_from_white_and_from_the_dark_page(colour: str) -> None:
    of_page = {"white": 1.0, "dark": luminance("#14181d")}
    for page in of_page.values():
        darker, lighter = sorted((luminance(colour), page))
        assert (lighter + 0.05) / (darker + 0.05) > 3
