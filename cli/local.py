"""`ddoq distill` and `ddoq fit`: the algorithm alone, reading whatever this user may read."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import boto3

from ddoq.caches import FolderCache
from ddoq.config import DistillConfig
from ddoq.distill import distill, fit_prior
from ddoq.events import OnEvent, Stage
from ddoq.manifests import read_manifest
from ddoq.report import accuracy_table
from ddoq.sources import Access
from ddoq.stages import EvaluateManifest

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def distill_here(config: DistillConfig, folder: Path, on_event: OnEvent) -> list[tuple[str, Path, Path]]:
    """Distil into `folder`; answer for each budget the accuracy table, the archive and the report.

    Raises:
        DdoqError: whatever the algorithm refuses.
    """
    archives = distill(config, folder, _anything(folder), on_event, _cache())
    reports = read_manifest(folder / Stage.EVALUATE, EvaluateManifest).reports.values()
    return [
        (accuracy_table(report), archive, archive.with_name(archive.name.replace("archive.zip", "report.html")))
        for report, archive in zip(reports, archives, strict=True)
    ]


def fit_here(config: DistillConfig, folder: Path, on_event: OnEvent) -> Path:
    """Fit the config's prior in `folder`; answer the diffusers folder.

    Raises:
        DdoqError: whatever the algorithm refuses.
    """
    return fit_prior(config, folder, _anything(folder), on_event, _cache())


def _anything(folder: Path) -> Access:
    return Access(file_roots=(Path("/"),), s3_buckets=("*",), s3=_s3, cache=folder / "sources")


def _cache() -> FolderCache:
    return FolderCache(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ddoq")


def _s3() -> "S3Client":
    return boto3.client("s3")
