"""What plots are drawn with: lines of SVG text, the same for the same numbers, readable on light and dark ground."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, ROW, TOP = 640, 26, 26
LEFT, PLOT = 150, 340  # names end and bars begin here; what a full bar measures
VALUE = LEFT + PLOT + 14
NAME_LENGTH = 20
MOST_CLASSES = 50

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


def figure(title: str, height: float, body: Sequence[str], style: str = "") -> str:
    """Close a drawing of the usual width; `title` is for those who cannot see it."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" viewBox="0 0 {WIDTH} {height:.0f}">'
    return "\n".join((head, f"<title>{safe(title)}</title>", f"<style>{STYLE}{style}</style>", *body, "</svg>\n"))


def bottom_of(rows: Mapping[str, object]) -> int:
    """Height of a drawing of a row a class."""
    return TOP + ROW * min(len(rows), MOST_CLASSES) + 6


def of_all(rows: Mapping[str, object]) -> str:
    """Own up to the classes for which there is no room."""
    return f" (the first {MOST_CLASSES} of {len(rows)} classes)" if len(rows) > MOST_CLASSES else ""


def row_name(y: float, name: str) -> str:
    """The name of the row that begins at `y`, told in full on pointing at it."""
    return f'<text class="name" x="{LEFT - 10}" y="{y + 17}"><title>{safe(name)}</title>{safe(shorten(name))}</text>'


def shorten(name: str, length: int = NAME_LENGTH) -> str:
    """Cut a name that is too long."""
    return name if len(name) <= length else f"{name[: length - 1]}…"


def text(style: str, x: float, y: float, words: str) -> str:
    """Words at a place, on the line `y`."""
    return f'<text class="{style}" x="{x:.1f}" y="{y}">{safe(words)}</text>'


def line(style: str, x: float, top: float, bottom: float) -> str:
    """An upright line."""
    return f'<line class="{style}" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'


def bar(style: str, x: float, y: float, width: float) -> str:
    """A bar of a row, never so short that it cannot be seen."""
    return f'<rect class="{style}" x="{x:.1f}" y="{y}" width="{max(width, 0.5):.1f}" height="{ROW - 8}"/>'


def safe(words: str) -> str:
    """Escape what has a meaning in XML, and replace what XML cannot hold at all."""
    return escape("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in words))
