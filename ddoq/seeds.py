"""Independent random streams from one seed, so that no stage or class depends on what ran beside it."""

import hashlib

import torch
from jaxtyping import Int
from torch import Generator, Tensor


def stream(seed: int, *purpose: str | int) -> Generator:
    """Make the CPU generator that belongs to `seed` and a purpose, such as `("quantize", label)`."""
    digest = hashlib.sha256(repr((seed, purpose)).encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def draw_numbers(n: int, n_drawn: int, rng: Generator) -> Int[Tensor, " m"]:
    """Draw `n_drawn` of the numbers below `n` without replacement, rising; all of them if there are no more."""
    return torch.arange(n) if n <= n_drawn else torch.randperm(n, generator=rng)[:n_drawn].sort().values
