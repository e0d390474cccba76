"""Into how many units a stage is cut."""

import pytest

from jobs.fanout import plan_units


@pytest.mark.parametrize(
    ("n_blocks", "n_workers", "n_units"),
    [
        (1, 1, 1),
        (1, 100, 1),
        (10, 1, 1),
        (16, 1, 1),
        (17, 1, 2),
        (1000, 1, 63),
        (1000, 0, 63),
        (1000, 2, 63),
        (1000, 100, 400),
        (100, 100, 100),
        (10, 2, 8),
        (0, 3, 1),
    ],
)
def test_a_stage_is_cut_for_the_workers_that_there_are(n_blocks: int, n_workers: int, n_units: int) -> None:
    assert plan_units(n_blocks, n_workers) == n_units
