"""Numbers -> SVG text: pure, the same bytes for the same numbers, readable on light and dark ground."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import accumulate, islice

from ddoq.types import Score

WIDTH, ROW, TOP = 640, 26, 26
LEFT, PLOT = 150, 340  # names end and bars begin here; what a full bar measures
VALUE = LEFT + PLOT + 14
NAME_LENGTH = 20
MOST_CLASSES, MOST_SEGMENTS = 50, 100

STYLE = """
.plot { --ink: #1d2530; --faint: #5d6875; --line: #d5dae1; --bar: #3a6ea5; --on: #fff; }
.plot { font: 13px system-ui, sans-serif; color-scheme: light dark; }
@media (prefers-color-scheme: dark) {
.plot { --ink: #e6e9ee; --faint: #9aa5b3; --line: #3a424d; --bar: #4f8cc9; --on: #14181d; }
}
.plot text { fill: var(--ink); } .plot .faint { fill: var(--faint); font-size: 11px; }
.plot .name { text-anchor: end; } .plot .middle { text-anchor: middle; }
.plot .bar { fill: var(--bar); } .plot .rival { fill-opacity: 0.45; }
.plot .dot { fill: var(--on); stroke: var(--ink); }
.plot line { stroke: var(--line); } .plot .whisker { stroke: var(--ink); stroke-width: 1.5; }
.plot .chance { stroke: var(--faint); stroke-dasharray: 4 3; }
"""


def accuracy_bars(scores: Mapping[str, Score], chance: float) -> str:
    """Draw a bar a contender, the first one strong: mean, whiskers of one deviation, a dot a seed.

    Args:
        scores: Accuracies from 0 to 1 by contender.
        chance: Accuracy of guessing, drawn as a line.
    """
    bottom = TOP + ROW * len(scores)
    body = [_line("grid", LEFT + PLOT * tick / 5, TOP - 4, bottom) for tick in range(6)]
    body += [_text("faint middle", LEFT + PLOT * tick / 5, bottom + 16, f"{20 * tick} %") for tick in range(6)]
    for row, (name, score) in enumerate(scores.items()):
        body += _accuracy_row(TOP + ROW * row, name, score, "bar rival" if row else "bar")
    body.append(_line("chance", LEFT + PLOT * chance, TOP - 4, bottom))
    body.append(_text("faint middle", LEFT + PLOT * chance, TOP - 10, f"chance {chance:.1%}"))
    described = ", ".join(f"{name} {score.mean:.1%}" for name, score in scores.items())
    return _figure(f"Test accuracy: {described}", bottom + 24, body)


def weight_strip(weights: Mapping[str, Sequence[float]]) -> str:
    """Draw a strip a class, cut in proportion to its Voronoi masses (sum 1), heaviest first."""
    body = [_text("faint", LEFT, TOP - 10, f"share of the class that each image stands for{_of_all(weights)}")]
    body.append(_text("faint", VALUE, TOP - 10, "heaviest"))
    for row, (name, masses) in enumerate(islice(weights.items(), MOST_CLASSES)):
        y = TOP + ROW * row
        body += [_name(y, name), *_segments(y, masses), _text("value", VALUE, y + 17, f"{max(masses):.1%}")]
    return _figure("Share of each class that each distilled image stands for", _bottom(weights), body)


def distortion_bars(distortion: Mapping[str, float]) -> str:
    """Draw a bar a class: mean squared distance of a latent to its nearest centroid, longest bar = largest."""
    largest = max(distortion.values()) or 1.0
    body = [_text("faint", LEFT, TOP - 10, f"mean squared distance to the nearest centroid{_of_all(distortion)}")]
    for row, (name, value) in enumerate(islice(distortion.items(), MOST_CLASSES)):
        y = TOP + ROW * row
        bar = _rect("bar", LEFT, y + 4, PLOT * value / largest)
        body += [_name(y, name), bar, _text("value", VALUE, y + 17, f"{value:.4g}")]
    return _figure("Quantization error of each class", _bottom(distortion), body)


def _accuracy_row(y: float, name: str, score: Score, style: str) -> list[str]:
    low, high = max(score.mean - score.deviation, 0.0), min(score.mean + score.deviation, 1.0)
    middle = y + ROW / 2
    ends = [_line("whisker", LEFT + PLOT * end, middle - 5, middle + 5) for end in (low, high)]
    left, right = LEFT + PLOT * low, LEFT + PLOT * high
    span = f'<line class="whisker" x1="{left:.1f}" x2="{right:.1f}" y1="{middle}" y2="{middle}"/>'
    dots = [f'<circle class="dot" cx="{LEFT + PLOT * value:.1f}" cy="{middle}" r="2"/>' for value in score.values]
    value = f"{100 * score.mean:.1f} ± {100 * score.deviation:.1f} %" if len(score.values) > 1 else f"{score.mean:.1%}"
    bar = _rect(style, LEFT, y + 4, PLOT * score.mean)
    return [_name(y, name), bar, span, *ends, *dots, _text("value", VALUE, y + 17, value)]


def _segments(y: float, masses: Sequence[float]) -> list[str]:
    """Cut one strip, paler from piece to piece; what lies behind the hundredth is one pale piece."""
    shown = [*masses[:MOST_SEGMENTS], sum(masses[MOST_SEGMENTS:])] if len(masses) > MOST_SEGMENTS else masses
    starts = [0.0, *accumulate(shown)]
    gap = 1 if len(shown) <= 40 else 0
    return [
        f'<rect class="bar" x="{LEFT + PLOT * start:.1f}" y="{y + 4}" width="{max(PLOT * mass - gap, 0.3):.1f}" '
        f'height="{ROW - 8}" fill-opacity="{1 - 0.7 * rank / len(shown):.2f}"><title>{mass:.1%}</title></rect>'
        for rank, (start, mass) in enumerate(zip(starts, shown, strict=False))
    ]


def _figure(title: str, height: float, body: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" viewBox="0 0 {WIDTH} {height:.0f}">'
    return "\n".join((head, f"<title>{_safe(title)}</title>", f"<style>{STYLE}</style>", *body, "</svg>\n"))


def _bottom(rows: Mapping[str, object]) -> int:
    return TOP + ROW * min(len(rows), MOST_CLASSES) + 6


def _of_all(rows: Mapping[str, object]) -> str:
    """Own up to the classes for which there is no room."""
    return f" (the first {MOST_CLASSES} of {len(rows)} classes)" if len(rows) > MOST_CLASSES else ""


def _name(y: float, name: str) -> str:
    short = name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"
    return f'<text class="name" x="{LEFT - 10}" y="{y + 17}"><title>{_safe(name)}</title>{_safe(short)}</text>'


def _text(style: str, x: float, y: float, text: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y}">{_safe(text)}</text>'


def _line(style: str, x: float, top: float, bottom: float) -> str:
    return f'<line class="{style}" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'


def _rect(style: str, x: float, y: float, width: float) -> str:
    return f'<rect class="{style}" x="{x:.1f}" y="{y}" width="{max(width, 0.5):.1f}" height="{ROW - 8}"/>'


def _safe(text: str) -> str:
    """Escape what has a meaning in XML, and replace what XML cannot hold at all."""
    return escape("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text))
