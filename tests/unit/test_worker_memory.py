"""Whether it is memory that ran out."""

import numpy as np
import pytest
import torch

from worker.memory import is_out_of_memory

TOO_MUCH = 2**60  # bytes: no machine has so many


def error_of(call):
    with pytest.raises(Exception) as caught:  # noqa: PT011  which it is, is what is asked
        call()
    return caught.value


@pytest.mark.parametrize(
    "call",
    [lambda: bytearray(TOO_MUCH), lambda: torch.empty(TOO_MUCH), lambda: np.empty(TOO_MUCH, dtype=np.uint8)],
    ids=["python", "torch", "numpy"],
)
def test_a_real_want_of_memory_is_told(call):
    assert is_out_of_memory(error_of(call))


def test_an_accelerator_without_memory_is_told():
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))


def test_other_errors_are_crashes():
    assert not is_out_of_memory(error_of(lambda: torch.zeros(2) @ torch.zeros(3)))
    assert not is_out_of_memory(OSError("no space left on device"))
