"""Numbers -> SVG text: pure, the same bytes for the same numbers, readable on light and dark ground."""

from collections.abc import Mapping, Sequence
from itertools import accumulate, islice

from ddoq.svg import LEFT, MOST_CLASSES, PLOT, ROW, TOP, VALUE, bar, bottom_of, figure, line, of_all, row_name, text
from ddoq.types import Score

MOST_SEGMENTS = 100
GAINS = """
.plot .gain { stroke: var(--bar); stroke-width: 2; } .plot .full { fill: var(--bar); }
.plot .ring { fill: var(--on); stroke: var(--faint); stroke-width: 1.5; }
"""


def accuracy_bars(scores: Mapping[str, Score], chance: float) -> str:
    """Draw a bar a contender, the first one strong: mean, whiskers of one deviation, a dot a seed.

    Args:
        scores: Accuracies from 0 to 1 by contender.
        chance: Accuracy of guessing, drawn as a line.
    """
    bottom = TOP + ROW * len(scores)
    body = [line("grid", LEFT + PLOT * tick / 5, TOP - 4, bottom) for tick in range(6)]
    body += [text("faint middle", LEFT + PLOT * tick / 5, bottom + 16, f"{20 * tick} %") for tick in range(6)]
    for row, (name, score) in enumerate(scores.items()):
        body += _accuracy_row(TOP + ROW * row, name, score, "bar rival" if row else "bar")
    body.append(line("chance", LEFT + PLOT * chance, TOP - 4, bottom))
    body.append(text("faint middle", LEFT + PLOT * chance, TOP - 10, f"chance {chance:.1%}"))
    described = ", ".join(f"{name} {score.mean:.1%}" for name, score in scores.items())
    return figure(f"Test accuracy: {described}", bottom + 24, body)


def weight_strip(weights: Mapping[str, Sequence[float]]) -> str:
    """Draw a strip a class, cut in proportion to its Voronoi masses (sum 1), heaviest first."""
    body = [text("faint", LEFT, TOP - 10, f"share of the class that each image stands for{of_all(weights)}")]
    body.append(text("faint", VALUE, TOP - 10, "heaviest"))
    for row, (name, masses) in enumerate(islice(weights.items(), MOST_CLASSES)):
        y = TOP + ROW * row
        body += [row_name(y, name), *_segments(y, masses), text("value", VALUE, y + 17, f"{max(masses):.1%}")]
    return figure("Share of each class that each distilled image stands for", bottom_of(weights), body)


def distortion_bars(distortion: Mapping[str, float]) -> str:
    """Draw a bar a class: mean squared distance of a latent to its nearest centroid, longest bar = largest."""
    largest = max(distortion.values()) or 1.0
    body = [text("faint", LEFT, TOP - 10, f"mean squared distance to the nearest centroid{of_all(distortion)}")]
    for row, (name, value) in enumerate(islice(distortion.items(), MOST_CLASSES)):
        y = TOP + ROW * row
        length = PLOT * value / largest
        body += [row_name(y, name), bar("bar", LEFT, y + 4, length), text("value", VALUE, y + 17, f"{value:.4g}")]
    return figure("Quantization error of each class", bottom_of(distortion), body)


def accuracy_by_class(distilled: Mapping[str, float], rival: Mapping[str, float], rival_name: str) -> str:
    """Draw a line a class from the rival's accuracy (a ring) to that of the distilled set (a dot), and the gain.

    Args:
        distilled: Accuracies from 0 to 1 by class, drawn in this order.
        rival: The same of another contender; classes that it lacks are left out.
        rival_name: What it is called.
    """
    pairs = {name: (rival[name], share) for name, share in distilled.items() if name in rival}
    bottom = bottom_of(pairs)
    body = [line("grid", LEFT + PLOT * tick / 5, TOP - 4, bottom - 6) for tick in range(6)]
    body += [text("faint middle", LEFT + PLOT * tick / 5, bottom + 10, f"{20 * tick} %") for tick in range(6)]
    body.append(text("faint", LEFT, TOP - 10, f"dot: distilled, ring: {rival_name}{of_all(pairs)}"))
    body.append(text("faint", VALUE, TOP - 10, "gain in points"))
    for row, (name, (before, after)) in enumerate(islice(pairs.items(), MOST_CLASSES)):
        body += _gain_row(TOP + ROW * row, name, before, after)
    return figure(f"Test accuracy by class, distilled against {rival_name}", bottom + 18, body, GAINS)


def _accuracy_row(y: float, name: str, score: Score, style: str) -> list[str]:
    low, high = max(score.mean - score.deviation, 0.0), min(score.mean + score.deviation, 1.0)
    middle = y + ROW / 2
    ends = [line("whisker", LEFT + PLOT * end, middle - 5, middle + 5) for end in (low, high)]
    left, right = LEFT + PLOT * low, LEFT + PLOT * high
    span = f'<line class="whisker" x1="{left:.1f}" x2="{right:.1f}" y1="{middle}" y2="{middle}"/>'
    dots = [f'<circle class="dot" cx="{LEFT + PLOT * value:.1f}" cy="{middle}" r="2"/>' for value in score.values]
    value = f"{100 * score.mean:.1f} ± {100 * score.deviation:.1f} %" if len(score.values) > 1 else f"{score.mean:.1%}"
    mean = bar(style, LEFT, y + 4, PLOT * score.mean)
    return [row_name(y, name), mean, span, *ends, *dots, text("value", VALUE, y + 17, value)]


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


def _gain_row(y: float, name: str, before: float, after: float) -> list[str]:
    middle, left, right = y + ROW / 2, LEFT + PLOT * before, LEFT + PLOT * after
    return [
        row_name(y, name),
        f'<line class="gain" x1="{left:.1f}" x2="{right:.1f}" y1="{middle}" y2="{middle}"/>',
        f'<circle class="ring" cx="{left:.1f}" cy="{middle}" r="4"/>',
        f'<circle class="full" cx="{right:.1f}" cy="{middle}" r="4.5"/>',
        text("value", VALUE, y + 17, f"{round(100 * (after - before), 1) + 0.0:+.1f}"),
    ]
