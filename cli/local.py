"""`ddoq distill` and `ddoq fit`: the algorithm alone, reading whatever this user may read."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3

from ddoq.caches import FolderCache
from ddoq.config import DistillConfig
from ddoq.distill import distill, fit_prior
from ddoq.events import OnEvent, Stage
from ddoq.manifests import read_manifest
from ddoq.measure_words import in_bytes
from ddoq.report import in_plain_text
from ddoq.run import EvaluateManifest
from ddoq.source_uris import Reach
from ddoq.sources import Access
from ddoq.usage import Usage, read_usage

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

EVALUATING = (Stage.TRAIN, Stage.EVALUATE)
ITS_REPORT = ("archive.zip", "report.html")


@dataclass(frozen=True)
class Distilled:
    """What came of one budget: what it is worth in words, the archive and the report."""

    budget: str
    verdict: str
    archive: Path
    report: Path


def distill_here(config: DistillConfig, folder: Path, on_event: OnEvent) -> list[Distilled]:
    """Distil into `folder`; answer what came of each budget.

    Raises:
        DdoqError: whatever the algorithm refuses.
    """
    archives = distill(config, folder, read_anything(folder), on_event, _cache())
    reports = read_manifest(folder / Stage.EVALUATE, EvaluateManifest).reports
    return [
        Distilled(budget, in_plain_text(report), archive, archive.with_name(archive.name.replace(*ITS_REPORT)))
        for (budget, report), archive in zip(reports.items(), archives, strict=True)
    ]


def fit_here(config: DistillConfig, folder: Path, on_event: OnEvent) -> Path:
    """Fit the config's prior in `folder`; answer the diffusers folder.

    Raises:
        DdoqError: whatever the algorithm refuses.
    """
    return fit_prior(config, folder, read_anything(folder), on_event, _cache())


def usage_here(config: DistillConfig, folder: Path) -> Iterator[str]:
    """Say what each stage in `folder` took, and what evaluating (training students included) and all else did."""
    found = {stage: usage for stage in config.stages if (usage := read_usage(folder / stage))}
    for stage, usage in found.items():
        yield f"{stage} {usage.seconds:.1f} s, {_memory(usage)}"
    evaluate = sum(usage.seconds for stage, usage in found.items() if stage in EVALUATING)
    distil = sum(usage.seconds for usage in found.values()) - evaluate
    yield f"distil {distil:.1f} s, evaluate {evaluate:.1f} s"


def _memory(usage: Usage) -> str:
    of_process = " (of the whole process)" if usage.peak_of == "process" else ""
    bytes_there = usage.accelerator_bytes
    there = f", {in_bytes(bytes_there)} on the accelerator" if bytes_there is not None else ""
    return f"{in_bytes(usage.peak_bytes)}{of_process}{there}"


def read_anything(folder: Path) -> Access:
    """Allow all that this user may read; what has to be copied for that goes into `folder`."""
    public = Reach(hosts=("*",), hub_datasets=("*",))
    return Access(file_roots=(Path("/"),), s3_buckets=("*",), s3=_s3, cache=folder / "sources", reach=public)


def _cache() -> FolderCache:
    return FolderCache(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ddoq")


def _s3() -> "S3Client":
    return boto3.client("s3")
