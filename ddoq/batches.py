"""Work by batches, smaller ones when the memory of the device is short."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import torch

from ddoq.errors import OutOfMemoryError

T = TypeVar("T")
R = TypeVar("R")


def in_groups(items: Iterable[T], size_of: Callable[[T], int], most: int) -> Iterator[list[T]]:
    """Part items in their order into groups whose sizes sum to `most` at most, or of one item."""
    group: list[T] = []
    for item in items:
        if group and sum(map(size_of, group)) + size_of(item) > most:
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def in_batches(
    items: Iterable[T], size: int, call: Callable[[Sequence[T]], R], on_smaller: Callable[[int], None]
) -> Iterator[tuple[Sequence[T], R]]:
    """Call with one batch after another; yield each with what the call returned.

    A batch that does not fit into memory is called again by halves, and all that follow are of that size.

    Args:
        items: Read no further than the batch at hand.
        size: Items a batch at first, >= 1.
        call: Maps a batch, and does the same when it is called again: it makes the generators that it draws from.
        on_smaller: Told each new size.

    Raises:
        OutOfMemoryError: not even one item fits.
    """
    remaining = iter(items)
    while waiting := list(islice(remaining, size)):
        while waiting:
            batch = waiting[:size]
            try:
                result = call(batch)
            except torch.OutOfMemoryError as error:
                if len(batch) == 1:
                    raise OutOfMemoryError(
                        "the memory of the device does not hold the work on one image; lower prior.resolution"
                    ) from error
                size = len(batch) // 2
            else:
                yield batch, result
                waiting = waiting[len(batch) :]
                continue
            _release()  # here the error is gone, and with it its frames, which hold the tensors of the failed call
            on_smaller(size)


def _release() -> None:
    """Give memory that is kept for later, in pieces of the wrong size, back to the device."""
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()
