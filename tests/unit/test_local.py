"""What `ddoq distill` says at its end."""

from pathlib import Path

from pydantic import TypeAdapter

from cli.local import usage_here
from ddoq.config import DatasetConfig, DistillConfig
from ddoq.events import Stage
from ddoq.usage import NAME, Usage

CONFIG = DistillConfig(dataset=DatasetConfig(uri="file:///data/pets.zip"))


def write(folder: Path, stage: Stage, usage: Usage) -> None:
    (folder / stage).mkdir()
    (folder / stage / NAME).write_bytes(TypeAdapter(Usage).dump_json(usage))


def test_each_stage_is_told_with_its_time_and_memory_and_the_totals_tell_distilling_from_evaluating(
    tmp_path: Path,
) -> None:
    write(tmp_path, Stage.ENCODE, Usage(12.34, 540 * 2**20, "stage", None))
    write(tmp_path, Stage.TRAIN, Usage(96.0, 2**30, "process", 3 * 2**29))
    write(tmp_path, Stage.EVALUATE, Usage(4.0, 2**29, "stage", 2**28))
    write(tmp_path, Stage.PACKAGE, Usage(0.5, 2**20, "stage", None))
    assert list(usage_here(CONFIG, tmp_path)) == [
        "encode 12.3 s, 540 MiB",
        "train 96.0 s, 1 GiB (of the whole process), 1.5 GiB on the accelerator",
        "evaluate 4.0 s, 512 MiB, 256 MiB on the accelerator",
        "package 0.5 s, 1 MiB",
        "distil 12.8 s, evaluate 100.0 s",
    ]


def test_folders_of_an_earlier_version_tell_nothing(tmp_path: Path) -> None:
    assert list(usage_here(CONFIG, tmp_path)) == ["distil 0.0 s, evaluate 0.0 s"]
