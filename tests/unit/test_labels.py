"""The files of fixed soft labels."""

from pathlib import Path

import torch
from torch import Generator

from ddoq.labels import open_labels, write_labels


def test_labels_survive_the_disk(tmp_path: Path) -> None:
    logits = torch.randn(3, 4, 5, generator=Generator().manual_seed(0)).half()
    write_labels(tmp_path / "ipc-4", {"distilled": logits[0], "random.0": logits[1], "random.1": logits[2]})
    found = open_labels(tmp_path / "ipc-4")
    assert torch.equal(found.distilled, logits[0])
    assert [torch.equal(mine, its) for mine, its in zip(found.random, logits[1:], strict=True)] == [True, True]
