"""One unit of work: bring its inputs, run its stage, store its output."""

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ddoq.blocks import block_range, plan_blocks
from ddoq.events import Event, OnEvent, Stage
from ddoq.manifests import is_complete, read_manifest
from ddoq.package import PackageManifest
from ddoq.run import EvaluateManifest, Run, found
from ddoq.sources import Access, StoredObject
from ddoq.stages import BLOCKED, join_blocks, needs, run_blocks, run_stage
from ddoq.types import Report
from ddoq.usage import read_usage
from jobs.admission import admit, reach_of
from jobs.artifacts import ObjectStore, make_s3_client
from jobs.caches import open_cache
from jobs.errors import DiskFullError
from jobs.leases import Leases
from jobs.queue import Queue
from jobs.records import Artifact, Claim
from jobs.settings import Settings
from jobs.uploads import Uploads
from worker.counts import Counts
from worker.draining import Flag
from worker.parts import Shipment, restore
from worker.scratch import Scratch

NO_ROOM = os.strerror(errno.ENOSPC)  # what libraries that have errors of their own quote


@dataclass(frozen=True)
class Bench:
    """What one worker works with. `settings.scratch` is its own: no two workers may share one."""

    settings: Settings
    leases: Leases
    objects: ObjectStore
    uploads: Uploads
    queue: Queue
    scratch: Scratch
    draining: Flag
    counts: Counts


@dataclass(frozen=True)
class Result:
    """What a unit hands in beside its files; `blocks` are those of all stages, told by the first."""

    artifacts: Sequence[Artifact] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    peak_bytes: int | None = None
    blocks: Mapping[Stage, int] | None = None


def work(bench: Bench, claim: Claim, on_event: OnEvent) -> Result:
    """Run a claim's stage between its inputs and its output in the object store.

    Raises:
        DiskFullError: the scratch folder has no room.
    """
    with _naming_full_disk(bench.settings.scratch):
        admit(claim.config, bench.settings)
        bench.scratch.turn_to(claim.job_id)
        run = _open_run(bench, claim, on_event)
        folder = run.folders[claim.stage]
        if claim.stage in BLOCKED:
            _run_blocks(bench, claim, run)
        else:
            run_stage(claim.stage, run)
            bench.objects.upload_folder(folder, claim.prefix)
        usage = read_usage(folder)
        blocks = plan_blocks(claim.config, found(run)) if claim.stage is Stage.READ else None
        return Result(_artifacts(claim, folder), _figures(claim, folder), usage.peak_bytes if usage else None, blocks)


def _open_run(bench: Bench, claim: Claim, on_event: OnEvent) -> Run:
    """Bring what the stage reads, each stage of several parts put together."""
    scratch, settings = bench.scratch, bench.settings
    run = Run(
        config=claim.config,
        folders={claim.stage: scratch.folder(claim.prefix)},
        access=Access(
            file_roots=settings.file_roots,
            s3_buckets=settings.dataset_buckets,
            s3=lambda: make_s3_client(settings),
            cache=scratch.sources(claim.job_id),
            reach=reach_of(settings),
            own_bucket=settings.s3_bucket,
            uploads=partial(_find_upload, bench, claim.owner),
        ),
        cache=open_cache(bench.objects, settings, claim.owner),
        on_event=on_event,
        halvings=int(claim.is_small),
    )
    for stage in needs(claim.stage, claim.config):
        prefixes = claim.inputs[stage]
        parts = scratch.bring(prefixes)
        if stage in BLOCKED:
            run = _with(run, stage, scratch.joined(claim.job_id, stage, prefixes))
            if not is_complete(run.folders[stage]):
                join_blocks(stage, run, parts)
        else:
            run = _with(run, stage, *parts)
    return run


def _find_upload(bench: Bench, owner: str, upload_id: str) -> StoredObject | None:
    key, settings = bench.uploads.locate(owner, upload_id), bench.settings
    return StoredObject(lambda: make_s3_client(settings), settings.s3_bucket, key) if key else None


def _run_blocks(bench: Bench, claim: Claim, run: Run) -> None:
    """Run the blocks of a unit that no earlier attempt has completed, while those that are complete are uploaded."""
    folder = run.folders[claim.stage]
    restore(bench.objects, claim, folder)
    with Shipment(bench.objects, folder, claim.prefix) as shipment:
        shipping = replace(run, on_event=partial(_ship_and_tell, shipment, run.on_event))
        n_blocks = plan_blocks(claim.config, found(run))[claim.stage]
        run_blocks(claim.stage, shipping, block_range(claim.index, claim.of, n_blocks))
        shipment.close()


def _ship_and_tell(shipment: Shipment, on_event: OnEvent, event: Event) -> None:
    on_event(event)  # who has lost the lease, as after a long sleep, hears of it here and ships nothing
    shipment.look()


def _with(run: Run, stage: Stage, folder: Path) -> Run:
    return replace(run, folders={**run.folders, stage: folder})


@contextmanager
def _naming_full_disk(scratch: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if getattr(error, "errno", None) not in (errno.ENOSPC, errno.EDQUOT) and NO_ROOM not in str(error):
            raise
        raise DiskFullError(f"there is no room left below {scratch} on a worker: {error}") from error


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
