"""`ddoq distill`: the algorithm alone, reading whatever this user may read."""

from pathlib import Path
from typing import TYPE_CHECKING

import boto3

from ddoq.config import DistillConfig
from ddoq.distill import EvaluateManifest, distill
from ddoq.events import OnEvent, Stage
from ddoq.manifests import read_manifest
from ddoq.report import accuracy_table
from ddoq.sources import Access

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def distill_here(config: DistillConfig, folder: Path, on_event: OnEvent) -> tuple[Path, str]:
    """Distil into `folder`; answer the archive and the accuracy table.

    Raises:
        DdoqError: whatever the algorithm refuses.
    """
    anything = Access(file_roots=(Path("/"),), s3_buckets=("*",), s3=_s3, cache=folder / "sources")
    archive = distill(config, folder, anything, on_event)
    return archive, accuracy_table(read_manifest(folder / Stage.EVALUATE, EvaluateManifest).report)


def _s3() -> "S3Client":
    return boto3.client("s3")
