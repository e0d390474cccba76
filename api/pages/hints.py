"""What is said below an input: its description, and in which form and bounds it is given. Pure."""

import re

from markupsafe import Markup, escape

from api.pages.schema import Input

_FORMS = {
    ("lines", "text"): "One a line.",
    ("lines", "number"): "Numbers, with commas between.",
    ("pairs", "text"): "`name = value`, one a line.",
    ("pairs", "number"): "`name = number`, one a line.",
    ("pairs", "text or null"): "`name = value`, one a line; nothing behind the `=` is null.",
    ("counts", "text"): "`10`, `1, 10, 50` or `rose = 5, tulip = 8`; 1 to 1000 each. Empty beside `total_images`.",
}


def hint_of(given: Input) -> Markup:
    """Say what an input is for; empty where there is nothing to say."""
    form = _FORMS.get((given.kind, given.item), "")
    empty = "Empty is null." if given.may_be_emptied and given.kind != "counts" else ""
    return marks(" ".join(part for part in (given.hint, form, _bounds(given), empty) if part))


def marks(text: str) -> Markup:
    """Show as code what stands between backticks."""
    parts = re.split(r"`([^`]+)`", text)  # what stood between them has the odd places
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if place % 2 else escape(part) for place, part in enumerate(parts))


def _bounds(given: Input) -> str:
    if given.least and given.most:
        return f"{_grouped(given.least)} to {_grouped(given.most)}."
    return f"At least {_grouped(given.least)}." if given.least else ""


def _grouped(number: str) -> str:
    return f"{int(number):,}" if number.isdecimal() else number
