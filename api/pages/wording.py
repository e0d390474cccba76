"""Numbers, moments and sentences as people read them. Pure."""

from datetime import datetime


def when(moment: datetime) -> str:
    """Write a moment to the minute."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def moment(moment: datetime) -> str:
    """Write a moment for the attribute `datetime`."""
    return moment.isoformat(timespec="seconds")


def span(seconds: float) -> str:
    """Write a time in its two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if whole or not seconds else "less than 1 s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def about(seconds: float) -> str:
    """Write a time that is estimated."""
    return f"about {span(seconds)}" if seconds >= 1 else "less than 1 s"


def sentence(text: str) -> str:
    """Write what the API says as a sentence; a name such as `images_per_class` in front of it stays as it is."""
    first = text.partition(" ")[0].rstrip(",;:")
    begun = capital(text) if first.isalpha() else text
    return begun if begun.endswith((".", "!", "?", "…")) else f"{begun}."


def capital(text: str) -> str:
    """Write the first letter large, and leave the others alone."""
    return text[:1].upper() + text[1:]
