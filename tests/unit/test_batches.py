"""Batches that shrink, with a prior whose memory is short."""

from dataclasses import dataclass, field

import pytest
import torch

from ddoq.batches import in_batches, in_groups
from ddoq.errors import OutOfMemoryError


@dataclass
class Short:
    """Doubles numbers, at most `room` at a time; `asked` are the batches it was called with."""

    room: int
    asked: list[int] = field(default_factory=list)

    def __call__(self, batch):
        self.asked.append(len(batch))
        if len(batch) > self.room:
            raise torch.OutOfMemoryError(f"{len(batch)} items do not fit")
        return [2 * item for item in batch]


def run(n, size, room):
    call, sizes = Short(room), []
    results = [result for _, batch in in_batches(range(n), size, call, sizes.append) for result in batch]
    return results, call.asked, sizes


def test_with_memory_enough_batches_are_of_the_size_asked_for():
    assert run(10, 4, 4) == ([2 * item for item in range(10)], [4, 4, 2], [])


def test_a_batch_that_does_not_fit_is_done_by_halves_and_so_is_the_rest():
    results, asked, sizes = run(12, 8, 3)
    assert results == [2 * item for item in range(12)]
    assert asked == [8, 4, 2, 2, 2, 2, 2, 2]
    assert sizes == [4, 2]


def test_each_batch_comes_with_its_result():
    assert [(list(batch), result) for batch, result in in_batches("abc", 2, "".join, print)] == [
        (["a", "b"], "ab"),
        (["c"], "c"),
    ]


def test_a_short_last_batch_that_does_not_fit_is_halved_too():
    assert run(3, 8, 1) == ([0, 2, 4], [3, 1, 1, 1], [1])


def test_what_does_not_fit_alone_is_refused_with_what_to_lower():
    with pytest.raises(OutOfMemoryError, match=r"one image; lower prior\.resolution"):
        run(4, 4, 0)


def test_no_more_is_read_than_the_batch_at_hand():
    read = []
    batches = in_batches((read.append(item) or item for item in range(100)), 4, Short(4), print)
    next(batches)
    assert read == [0, 1, 2, 3]


def test_other_errors_are_not_taken_for_want_of_memory():
    def fail(_batch):
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        list(in_batches([1], 1, fail, print))


def test_groups_are_as_large_as_may_be_and_keep_the_order() -> None:
    assert list(in_groups([3, 1, 2, 9, 1, 1, 1], int, 4)) == [[3, 1], [2], [9], [1, 1, 1]]
    assert list(in_groups([], int, 4)) == []
