"""Names for new rows: sortable by age, safe in URLs, hard to guess."""

import secrets
import time
from datetime import datetime

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's, without i l o u
PAIRS = tuple(first + second for first in ALPHABET for second in ALPHABET)


def uuid7() -> int:
    """Draw a UUIDv7 as a number of 128 bits: milliseconds, a fraction of 1/4096 millisecond, 62 random bits.

    Source: RFC 9562, 5.7, with method 3 of 6.2 for the order within a millisecond.
    """
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = rest * 4096 // 1_000_000
    return (milliseconds << 80) | (0x7 << 76) | (fraction << 64) | (0b10 << 62) | secrets.randbits(62)


def base32(number: int) -> str:
    """Write a number of 128 bits as 26 characters that sort as the number does."""
    return "".join([PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])


def new_job_id() -> str:
    return f"job_{base32(uuid7())}"


def first_job_id(since: datetime) -> str:
    """Name the least id that a job which was sent at that moment, or later, can have."""
    return f"job_{base32(int(since.timestamp() * 1000) << 80)}"


def new_key_id() -> str:
    return f"key_{base32(uuid7())}"


def new_upload_id() -> str:
    return f"upload_{base32(uuid7())}"


def new_endpoint_id() -> str:
    return f"whe_{base32(uuid7())}"
