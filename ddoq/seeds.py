"""Independent random streams from one seed, so that no stage or class depends on what ran beside it."""

import hashlib

from torch import Generator


def stream(seed: int, *purpose: str | int) -> Generator:
    """Make the CPU generator that belongs to `seed` and a purpose, such as `("quantize", label)`."""
    digest = hashlib.sha256(repr((seed, purpose)).encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
