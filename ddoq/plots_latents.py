"""Latents and codewords on a map, and how the distortion fell: SVG text in the manner of `ddoq.plots`."""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from statistics import fmean

from ddoq.svg import LEFT, PLOT, TOP, VALUE, WIDTH, figure, line, safe, shorten, text
from ddoq.types import LatentMap, MappedClass, Place

# Each stands out by 3.7 to 1 and more from a white page and from a dark one.
COLOURS = (
    *("#2f7fc8", "#d0660a", "#2f9148", "#d63c4a", "#8f62c9"),
    *("#97683f", "#cf4fa3", "#76808c", "#84860f", "#10919e"),
)
MARGIN, MAP_HEIGHT = 20, 420  # pixels
LARGEST = 16  # radius of a codeword that is a whole class; areas are in proportion to masses
LEGEND_COLUMNS, LEGEND_ROW, LEGEND_NAME = 5, 20, 14
MAP = "\n.plot .real { fill-opacity: 0.35; } .plot .codeword { fill-opacity: 0.8; stroke: var(--on); }\n"
CURVE_HEIGHT = 200
CURVE = """
.plot .mean { fill: none; stroke: var(--bar); stroke-width: 2; }
.plot .one { fill: none; stroke: var(--faint); stroke-opacity: 0.35; }
"""


def map_of_latents(latents: LatentMap) -> str:
    """Draw real latents as faint dots and codewords as circles, an area in proportion to their mass, a colour a class.

    Both axes have one scale. There are at most ten classes.
    """
    scale, left, top, height = _frame(latents.classes.values())

    def put(place: Place) -> str:
        return f'cx="{MARGIN + (place[0] - left) * scale:.1f}" cy="{TOP + MARGIN + (top - place[1]) * scale:.1f}"'

    body = [text("faint", MARGIN, TOP - 10, _axes_in_words(latents.shares))]
    for colour, one in zip(COLOURS, latents.classes.values(), strict=False):
        body += [f'<circle class="real" {put(place)} r="1.8" fill="{colour}"/>' for place in one.latents]
    for colour, (name, one) in zip(COLOURS, latents.classes.items(), strict=False):
        body += [
            f'<circle class="codeword" {put(place)} r="{max(LARGEST * mass**0.5, 1.5):.1f}" fill="{colour}">'
            f"<title>{safe(name)} {number}: {mass:.1%}</title></circle>"
            for number, (place, mass) in enumerate(zip(one.codewords, one.weights, strict=True))
        ]
    bottom = TOP + 2 * MARGIN + height + 10
    body += _legend(tuple(latents.classes), bottom)
    n_rows = ceil(len(latents.classes) / LEGEND_COLUMNS)
    return figure("Latents and codewords on two principal axes", bottom + LEGEND_ROW * n_rows, body, MAP)


def distortion_by_pass(history: Mapping[str, Sequence[float]], n_classes: int) -> str:
    """Draw how the distortion fell from pass to pass: a faint line a class, and their mean.

    Args:
        history: By class the mean squared distance before the first pass and after each; each at least one number > 0.
            A class that has settled stays where it is.
        n_classes: Those of the dataset, of which some may have no history.
    """
    curves = [[value / values[0] for value in values] for values in history.values()]
    n_passes = max(map(len, curves)) - 1
    curves = [[*curve, *curve[-1:] * (n_passes + 1 - len(curve))] for curve in curves]
    mean = [fmean(values) for values in zip(*curves, strict=True)]
    lowest, highest = min(map(min, curves)), max(map(max, curves))
    span, bottom = highest - lowest or 1.0, TOP + CURVE_HEIGHT

    def path(style: str, curve: Sequence[float]) -> str:
        places = (
            f"{LEFT + PLOT * at / max(n_passes, 1):.1f},{bottom - CURVE_HEIGHT * (value - lowest) / span:.1f}"
            for at, value in enumerate(curve)
        )
        return f'<polyline class="{style}" points="{" ".join(places)}"/>'

    step = max(1, ceil(n_passes / 10))
    ticks = range(0, n_passes + 1, step)
    body = [line("grid", LEFT + PLOT * tick / max(n_passes, 1), TOP - 4, bottom) for tick in ticks]
    body += [text("faint middle", LEFT + PLOT * tick / max(n_passes, 1), bottom + 16, f"{tick}") for tick in ticks]
    body += [text("faint name", LEFT - 10, y + 4, f"{share:.1%}") for share, y in ((highest, TOP), (lowest, bottom))]
    some = f" (mean of {len(history)} of {n_classes} classes)" if len(history) < n_classes else ""
    body.append(text("faint", LEFT, TOP - 10, f"distortion by pass, of that before the first{some}"))
    body += [path("one", curve) for curve in curves] if len(curves) > 1 else []
    end = bottom - CURVE_HEIGHT * (mean[-1] - lowest) / span
    body += [path("mean", mean), text("value", VALUE, end + 4, f"{mean[-1]:.1%}")]
    return figure(f"Distortion by pass: {mean[-1]:.1%} of that before the first", bottom + 24, body, CURVE)


def _frame(classes: Iterable[MappedClass]) -> tuple[float, float, float, float]:
    """Scale in pixels, the left and the top end of the map, and its height in pixels."""
    places = [place for one in classes for place in (*one.latents, *one.codewords)]
    left, right = min(x for x, _ in places), max(x for x, _ in places)
    low, top = min(y for _, y in places), max(y for _, y in places)
    width = WIDTH - 2 * MARGIN
    scale = min(width / (right - left or 1.0), MAP_HEIGHT / (top - low or 1.0))
    return scale, left - (width / scale - (right - left)) / 2, top, (top - low) * scale


def _axes_in_words(shares: tuple[float, float]) -> str:
    first, second = shares
    return f"axes of {first:.1%} and {second:.1%} of the variance; dots: real images; circles: codewords by their share"


def _legend(names: Sequence[str], y: float) -> list[str]:
    """A dot and a name a class, some in a row."""
    entries: list[str] = []
    for index, (colour, name) in enumerate(zip(COLOURS, names, strict=False)):
        x = MARGIN + (WIDTH - 2 * MARGIN) / LEGEND_COLUMNS * (index % LEGEND_COLUMNS)
        middle = y + LEGEND_ROW * (index // LEGEND_COLUMNS)
        entries.append(f'<circle cx="{x + 5:.1f}" cy="{middle:.1f}" r="5" fill="{colour}"/>')
        entries.append(text("legend", x + 16, round(middle + 4, 1), shorten(name, LEGEND_NAME)))
    return entries
