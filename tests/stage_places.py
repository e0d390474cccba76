"""Places in which stages are run side by side, whole or in parts, and what their folders hold."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ddoq.blocks import block_range, plan_blocks
from ddoq.caches import FolderCache
from ddoq.config import DistillConfig
from ddoq.events import OnEvent, Stage, ignore
from ddoq.networks import make_network
from ddoq.run import Run, found
from ddoq.stages import join_blocks, run_blocks, run_stage
from tests.pictures import access_to, members, write_tar
from tests.tiny_models import save_kl

STUDENTS = {"seeds": 2, "steps": 2, "width": 8, "batch_size": 4}


@dataclass(frozen=True)
class Place:
    """Where distillations of one dataset lie side by side."""

    folder: Path
    changes: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=members)

    @property
    def config(self) -> DistillConfig:
        file = self.folder / "data.tar.gz"
        uri = file.as_uri() if file.exists() else write_tar(file, dict(self.files), "w:gz")
        body = {"images_per_class": [3, 4], "prior": {"kind": "pixels", "resolution": 16}, "students": STUDENTS}
        dataset = {"uri": uri, "max_bad_share": 0.5}
        return DistillConfig.model_validate({**body, **self.changes, "dataset": dataset})

    def open(self, name: str, on_event: OnEvent = ignore, cache: str | None = None) -> Run:
        folders = {stage: self.folder / name / stage for stage in Stage}
        kept = FolderCache(self.folder / (cache or f"{name} cache"))
        return Run(self.config, folders, access_to(self.folder), kept, on_event)


def work_up_to(last: Stage, run: Run) -> None:
    """Run the stages before `last`, each whole."""
    for stage in run.config.stages:
        if stage is last:
            return
        run_stage(stage, run)


def n_blocks_of(stage: Stage, run: Run) -> int:
    return plan_blocks(run.config, found(run))[stage]


def work_by_parts(stage: Stage, run: Run, n_parts: int) -> None:
    """Let several work on a stage, each in a folder of its own, and join what they made."""
    n_blocks, folder = n_blocks_of(stage, run), run.folders[stage]
    parts = [folder.with_name(f"{folder.name} {index}") for index in range(n_parts)]
    for index, part in enumerate(parts):
        own = replace(run, folders={**run.folders, stage: part})
        run_blocks(stage, own, block_range(index, n_parts, n_blocks))
    join_blocks(stage, run, parts)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "usage.json"
    }


def teacher(folder: Path, **changes: object) -> dict[str, object]:
    network = make_network("convnet-3", 3, 16, torch.Generator().manual_seed(0))
    save_file(network.state_dict(), folder / "teacher.safetensors")
    given = {"checkpoint": str(folder / "teacher.safetensors"), "mean": [0.5] * 3, "deviation": [0.25] * 3}
    return {"kind": "checkpoint", "network": "convnet-3", "resolution": 16, **given, **changes}


def sampled(folder: Path) -> dict[str, object]:
    save_kl(folder / "vae")
    model = {"kind": "vae", "model": str(folder / "vae"), "resolution": 16, "latents": "sample", "batch_size": 4}
    return {"prior": model}


KINDS: Mapping[str, Callable[[Path], dict[str, object]]] = {
    "sweep": lambda _: {},
    "real images": lambda _: {"method": "medoid"},
    "shares": lambda _: {"images_per_class": None, "total_images": 11},
    "sampled latents": sampled,
    "fixed labels": lambda folder: {"teacher": teacher(folder)},
    "stored labels": lambda folder: {"teacher": teacher(folder, labels="stored"), "images_per_class": 2},
}
