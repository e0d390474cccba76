"""A stage's time and memory are its own, and lie beside its files."""

import time
from pathlib import Path

import pytest
import torch

from ddoq import usage
from ddoq.usage import Usage, measure_usage, read_usage

MIB = 2**20


def measured(folder: Path, n_bytes: int = 0) -> Usage:
    """What it takes to fill so many bytes."""
    with measure_usage(folder):
        torch.ones(n_bytes, dtype=torch.uint8)
    found = read_usage(folder)
    assert found is not None
    return found


def test_seconds_are_those_of_the_work(tmp_path: Path) -> None:
    with measure_usage(tmp_path):
        time.sleep(0.2)
    found = read_usage(tmp_path)
    assert found is not None
    assert found.seconds >= 0.2


def test_the_peak_has_what_was_held_at_once(tmp_path: Path) -> None:
    small, large = measured(tmp_path), measured(tmp_path, 400 * MIB)
    assert large.peak_bytes - small.peak_bytes > 350 * MIB


def test_a_stage_is_not_told_of_the_peak_of_the_one_before(tmp_path: Path) -> None:
    large = measured(tmp_path, 400 * MIB)
    if large.peak_of == "process":
        pytest.skip("this system keeps an earlier peak")
    assert measured(tmp_path).peak_bytes < large.peak_bytes - 350 * MIB


def test_where_the_peak_cannot_be_forgotten_that_of_the_process_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "FORGET_PEAK", "nonsense")  # the kernel refuses it
    found = measured(tmp_path)
    assert found.peak_of == "process"
    assert found.peak_bytes > 50 * MIB  # torch alone


def test_work_that_fails_leaves_no_figures(tmp_path: Path) -> None:
    with pytest.raises(InterruptedError), measure_usage(tmp_path):
        raise InterruptedError
    assert read_usage(tmp_path) is None


def test_memory_of_an_accelerator_is_told_where_there_is_one(tmp_path: Path) -> None:
    assert (measured(tmp_path).accelerator_bytes is None) == (not torch.cuda.is_available())
