"""Numbers and moments as people read them. Pure."""

from datetime import datetime

_UNITS = ("bytes", "KB", "MB", "GB", "TB")


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
        return f"{whole} s" if whole or not seconds else "under 1 s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(n_bytes: float) -> str:
    """Write a number of bytes in the largest unit of which there is one, decimal."""
    unit = 0
    while n_bytes >= 999.5 and unit < len(_UNITS) - 1:
        n_bytes, unit = n_bytes / 1000, unit + 1
    return f"{n_bytes:,.0f} {_UNITS[unit]}" if n_bytes >= 100 else f"{n_bytes:.3g} {_UNITS[unit]}"
