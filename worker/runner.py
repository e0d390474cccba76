"""Claim units and run them until there are none. Runs in the child of a worker, where torch is loaded."""

import logging
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event as Flag
from pathlib import Path

from sqlalchemy import create_engine

from ddoq.errors import DdoqError
from ddoq.events import OnEvent, Stage
from ddoq.manifests import read_manifest
from ddoq.package import PackageManifest
from ddoq.run import EvaluateManifest, Run
from ddoq.sources import Access
from ddoq.stages import needs, run_stage
from ddoq.types import Report
from ddoq.usage import read_usage
from jobs.admission import admit
from jobs.artifacts import ObjectStore, make_s3_client
from jobs.caches import ObjectCache
from jobs.errors import LeaseLostError, ServiceError
from jobs.leases import Leases
from jobs.records import Artifact, Claim, Failure
from jobs.settings import Settings
from worker.lease import CancelOrdered, DrainOrdered, Lease

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bench:
    """What one worker works with. `settings.scratch` is its own: no two workers may share one."""

    settings: Settings
    leases: Leases
    objects: ObjectStore
    draining: Flag


@contextmanager
def open_bench(settings: Settings, draining: Flag) -> Iterator[Bench]:
    """Connect to the database and the object store; leave an empty scratch folder behind."""
    engine = create_engine(settings.database_url, pool_pre_ping=True)
    objects = ObjectStore(make_s3_client(settings), settings.s3_bucket)
    yield Bench(settings, Leases(engine, settings.lease_seconds, settings.max_attempts), objects, draining)
    engine.dispose()
    shutil.rmtree(settings.scratch, ignore_errors=True)


def run_units(bench: Bench) -> None:
    """Run units until none is ready or this worker is shutting down."""
    worker = f"{socket.gethostname()}-{os.getpid()}"
    while not bench.draining.is_set():
        claim = bench.leases.claim(worker)
        if claim is None:
            return
        run_unit(bench, claim)


def run_unit(bench: Bench, claim: Claim) -> None:
    """Run one unit to one of its ends. The only place where an unforeseen exception is caught."""
    log.info("unit %s: %s of %s, attempt %s", claim.unit_id, claim.stage, claim.job_id, claim.attempt)
    try:
        with Lease(bench.leases, claim, bench.settings, bench.draining) as lease:
            _forget_other_jobs(bench.settings.scratch, claim.job_id)
            artifacts, figures, peak_bytes = _run_and_upload(bench, claim, lease.on_event)
        bench.leases.finish(claim, artifacts, figures, peak_bytes)
    except LeaseLostError:
        log.warning("unit %s is somebody else's by now; its result is dropped", claim.unit_id)
    except Exception as error:  # noqa: BLE001  the edge: whatever it is, the job must learn of it
        _end_badly(bench.leases, claim, error)


def _end_badly(leases: Leases, claim: Claim, error: Exception) -> None:
    """Say why a unit did not finish."""
    try:
        match error:
            case CancelOrdered():
                leases.stop_cancelled(claim)
            case DrainOrdered():
                leases.give_back(claim)
            case DdoqError() if not isinstance(error, ServiceError):
                leases.fail(claim, Failure(error.code, str(error), retryable=False, stage=claim.stage))
            case _:
                log.error("unit %s broke", claim.unit_id, exc_info=error)
                leases.crash(claim, f"{type(error).__name__}: {error}")
    except LeaseLostError:
        log.warning("unit %s was lost before it ended: %s", claim.unit_id, error)


def _run_and_upload(
    bench: Bench, claim: Claim, on_event: OnEvent
) -> tuple[Sequence[Artifact], Mapping[str, float], int | None]:
    """Run the claim's stage between its inputs and its output; answer artifacts, figures and the peak of memory."""
    scratch = bench.settings.scratch
    folders = {claim.stage: scratch / claim.prefix}
    for stage in needs(claim.stage, claim.config):
        (prefix,) = claim.inputs[stage]
        folders[stage] = scratch / prefix
        bench.objects.download_folder(prefix, folders[stage])
    admit(claim.config, bench.settings)
    cache = ObjectCache(bench.objects, claim.owner, bench.settings.cache_bytes)
    run_stage(claim.stage, Run(claim.config, folders, _access(bench.settings, claim.job_id), cache, on_event))
    bench.objects.upload_folder(folders[claim.stage], claim.prefix)
    folder = folders[claim.stage]
    usage = read_usage(folder)
    return _artifacts(claim, folder), _figures(claim, folder), usage.peak_bytes if usage else None


def _access(settings: Settings, job_id: str) -> Access:
    return Access(
        file_roots=settings.file_roots,
        s3_buckets=settings.dataset_buckets,
        s3=lambda: make_s3_client(settings),
        cache=settings.scratch / "jobs" / job_id / "sources",
    )


def _artifacts(claim: Claim, folder: Path) -> Sequence[Artifact]:
    if claim.stage is not Stage.PACKAGE:
        return ()
    files = read_manifest(folder, PackageManifest).files
    return [
        Artifact(file.name, f"{claim.prefix}/{file.name}", file.size_bytes, file.sha256, file.media_type)
        for file in files
    ]


def _figures(claim: Claim, folder: Path) -> Mapping[str, float]:
    if claim.stage is not Stage.EVALUATE:
        return {}
    reports = read_manifest(folder, EvaluateManifest).reports
    if len(reports) == 1:
        return figures(*reports.values())
    return {f"{budget}.{name}": value for budget, report in reports.items() for name, value in figures(report).items()}


def figures(report: Report) -> Mapping[str, float]:
    """Flatten the report's numbers to names that a query can use, such as `accuracy.distilled.mean`.

    That, and the calibration error, is of the first network; where there are several,
    `accuracy_by_network.resnet-18.distilled.mean` is of one.
    """
    flat = dict(report.figures)
    named = {"accuracy": report.accuracy}
    named |= {f"accuracy_by_network.{network}": accuracy for network, accuracy in report.by_network.items()}
    for name, accuracy in named.items():
        for contender, score in accuracy.items():
            flat[f"{name}.{contender}.mean"] = score.mean
            flat[f"{name}.{contender}.deviation"] = score.deviation
    return flat | {f"calibration.{contender}": error for contender, error in report.calibration.items()}


def _forget_other_jobs(scratch: Path, job_id: str) -> None:
    """Keep the files of one job only: the next unit is most often of the same."""
    (scratch / "jobs" / job_id).mkdir(parents=True, exist_ok=True)
    for folder in (scratch / "jobs").iterdir():
        if folder.name != job_id:
            shutil.rmtree(folder)
