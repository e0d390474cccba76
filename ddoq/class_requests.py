"""What the quantizers are asked for, and what they all refuse."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from ddoq.errors import EmptyClassError, NotFiniteError

ClassRequest = tuple[Tensor, Sequence[int], Generator]  # rows of a class, numbers of codewords, draws


def require_rows(n: int, ks: Sequence[int]) -> None:
    """Raise EmptyClassError when there are fewer rows than codewords."""
    if n < max(ks):
        raise EmptyClassError(f"{n} images, fewer than the {max(ks)} codewords asked for")


def require_finite(values: Tensor) -> None:
    """Raise NotFiniteError when a value is NaN or infinity."""
    if not bool(torch.isfinite(values).all()):
        raise NotFiniteError("a latent holds NaN or infinity; use another prior")
