"""Distortion against time as SVG, a panel a workload, every point labelled; readable on light and dark ground."""

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10

from ddoq.svg import STYLE, WIDTH

Point = tuple[float, float]  # seconds and distortion, or x and y
Box = tuple[float, float, float, float]  # left, top, right, bottom

LEFT, RIGHT = 64, 150  # room for the scale, and for the labels of the last points
TOP, HEIGHT, PANEL = 34, 190, 270  # of a plot: where it begins, its height, and with title and scale
ACROSS = WIDTH - LEFT - RIGHT
LINE, LETTER = 15, 7.2  # height of a label, and width of one of its letters


def time_plot(panels: Mapping[str, Mapping[str, Point]]) -> str:
    """Draw a panel a workload: seconds to the right (logarithmic), distortion upwards, ours in full colour.

    Args:
        panels: By workload and method, median seconds (> 0) and distortion.
    """
    body = [part for row, (title, points) in enumerate(panels.items()) for part in _panel(row * PANEL, title, points)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" viewBox="0 0 {WIDTH} {PANEL * len(panels)}">'
    )
    title = "<title>Distortion against seconds, lower and further left is better</title>"
    return "\n".join((head, title, f"<style>{STYLE}</style>", *body, "</svg>\n"))


def _panel(top: float, title: str, points: Mapping[str, Point]) -> list[str]:
    seconds, distortions = zip(*points.values(), strict=True)
    times, levels = _decades(seconds), _levels(distortions)
    bottom = top + TOP + HEIGHT

    def across(second: float) -> float:
        return LEFT + ACROSS * log10(second / times[0]) / log10(times[-1] / times[0])

    def up(level: float) -> float:
        return bottom - HEIGHT * (level - levels[0]) / (levels[-1] - levels[0])

    body = [_text("", LEFT, top + 16, title), _text("faint", LEFT, top + TOP - 4, "distortion")]
    for time in times:
        body.append(_line("grid", (across(time), top + TOP), (across(time), bottom)))
        body.append(_text("faint middle", across(time), bottom + 15, f"{time:g} s"))
    for level in levels:
        body.append(_line("grid", (LEFT, up(level)), (LEFT + ACROSS, up(level))))
        body.append(_text("faint name", LEFT - 8, up(level) + 4, f"{level:.5g}"))
    spots = {name: (across(second), up(level)) for name, (second, level) in points.items()}
    return body + _marks(spots, (top + TOP, bottom))


def _marks(spots: Mapping[str, Point], between: tuple[float, float]) -> list[str]:
    """A dot for each method and its label beside it; a label without room there moves up or down, on a thread."""
    body = []
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in spots.values()]
    for name, (x, y) in spots.items():
        style = "bar" if name.startswith("ours") else "bar rival"
        body.append(f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>')
        anchor, at, level, box = _place(name, (x, y), taken, between)
        taken.append(box)
        body.append(_text(anchor, at, level + 4, name))
        if level != y:
            body.append(_line("chance", (x, y), (at, level)))
    return body


def _place(name: str, spot: Point, taken: Sequence[Box], between: tuple[float, float]) -> tuple[str, float, float, Box]:
    """The nearest free place for a label: its anchor, where it begins or ends, its middle, and what it covers."""
    x, y = spot
    width = LETTER * len(name)
    places = [(anchor, y + step * LINE) for step in (0, -1, 1, -2, 2, -3, 3, -4, 4) for anchor in ("", "name")]
    for anchor, level in places:
        left = x - 10 - width if anchor else x + 10
        box = (left, level - LINE / 2, left + width, level + LINE / 2)
        inside = between[0] <= box[1] and box[3] <= between[1] and left >= LEFT and box[2] <= WIDTH
        if inside and not any(_touch(box, other) for other in taken):
            break
    return anchor, x - 10 if anchor else x + 10, level, box


def _touch(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _decades(seconds: Sequence[float]) -> list[float]:
    """The powers of ten around all times, with 2 and 5 between them."""
    low, high = floor(log10(min(seconds))), ceil(log10(max(seconds)))
    steps = [factor * 10.0**power for power in range(low, high + 1) for factor in (1, 2, 5)]
    first = max(step for step in steps if step <= min(seconds))
    last = min(step for step in steps if step > max(seconds))
    return [step for step in steps if first <= step <= last]


def _levels(values: Sequence[float]) -> list[float]:
    """Round numbers around all values, three to nine of them, with some room at both ends."""
    low, high = min(values), max(values)
    span = 1.2 * (high - low) or 0.01 * high or 1.0
    step = next(
        factor * 10.0**power
        for power in range(floor(log10(span)) - 1, 400)
        for factor in (1, 2, 5)
        if factor * 10.0**power >= span / 6
    )
    first, last = floor((low - 0.08 * span) / step), ceil((high + 0.08 * span) / step)
    return [step * number for number in range(first, last + 1)]


def _text(style: str, x: float, y: float, text: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _line(style: str, start: Point, end: Point) -> str:
    (x1, y1), (x2, y2) = start, end
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
