"""What can be seen of a job's images before it ends."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter
from sqlalchemy import Engine

from ddoq.config import DistillConfig
from ddoq.events import Stage
from ddoq.image_index import GeneratedBlock
from ddoq.manifests import write_manifest
from ddoq.read_manifest import ReadManifest
from jobs.artifacts import ObjectStore
from jobs.errors import ObjectNotFoundError
from jobs.kept_json import KeptJson
from jobs.leases import Leases
from jobs.previews import Previews
from jobs.records import Claim, Job
from jobs.store import Store
from tests.job_steps import take

NAMES = ("ape", "bee", "cat")
DENOISED = {"kind": "dit", "model": "m", "revision": "r", "batch_size": 64}  # blocks of 64 images


@pytest.fixture
def previews(engine: Engine, objects: ObjectStore) -> Previews:
    return Previews(engine, objects, KeptJson(objects))


def submit(store: Store, **asked: object) -> Job:
    body = {"dataset": {"uri": "file:///data"}, "prior": DENOISED, **asked}
    return store.submit("ada", DistillConfig.model_validate(body))


def put(objects: ObjectStore, prefix: str, manifest: object, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    write_manifest(folder, manifest)
    objects.put_file(folder / "manifest.json", f"{prefix}/manifest.json", "application/json")


def put_block(objects: ObjectStore, claim: Claim, number: int, block: GeneratedBlock, folder: Path) -> None:
    """Let the worker have completed a block, whose images say which they are."""
    prefix = f"{claim.prefix}/blocks/{number:05d}"
    for label, shares in block.shares.items():
        for codeword in shares:
            (folder / "image").write_text(f"{label} {codeword}")
            objects.put_file(folder / "image", f"{prefix}/{label:05d}/{codeword:04d}.png", "image/png")
    put(objects, prefix, block, folder)


def begin_generating(leases: Leases, objects: ObjectStore, folder: Path, n_blocks: int) -> Claim:
    """Let the job of ada's be read, and the rest be finished up to its first unit of generate."""
    claim = take(leases)
    put(objects, claim.prefix, ReadManifest(NAMES, (100,) * 3, (1,) * 3, None, False, (), "f"), folder)
    leases.finish(claim, blocks={Stage.GENERATE: n_blocks})
    while (claim := take(leases)).stage is not Stage.GENERATE:
        leases.finish(claim)
    return claim


def test_before_the_dataset_is_read_nothing_is_known(store: Store, previews: Previews) -> None:
    job = submit(store, images_per_class=2)
    assert previews.look(job).class_names == ()
    assert previews.look(job).shares("ipc-2", {0}) == {}


def test_images_are_seen_block_by_block(
    store: Store, leases: Leases, objects: ObjectStore, previews: Previews, tmp_path: Path
) -> None:
    job = submit(store, images_per_class=40)  # 120 images: the second class lies in both blocks
    claim = begin_generating(leases, objects, tmp_path, 2)
    assert (previews.look(job).class_names, previews.look(job).shares("ipc-40", {0, 1, 2})) == (NAMES, {})
    put_block(objects, claim, 1, GeneratedBlock("ipc-40", {1: 1, 2: 1}, {1: {24: 0.1}, 2: {0: 0.9}}), tmp_path)
    assert previews.look(job).shares("ipc-40", {0}) == {}
    assert previews.look(job).shares("ipc-40", {1}) == {1: {24: 0.1}, 2: {0: 0.9}}
    assert previews.look(job).image("ipc-40", 1, 24) == b"1 24"
    put_block(objects, claim, 0, GeneratedBlock("ipc-40", {1: 1}, {1: {0: 0.3}}), tmp_path)
    assert previews.look(job).shares("ipc-40", {1})[1] == {0: 0.3, 24: 0.1}


def test_an_image_that_is_not_made_is_not_found(
    store: Store, leases: Leases, objects: ObjectStore, previews: Previews, tmp_path: Path
) -> None:
    job = submit(store, images_per_class=2)
    claim = begin_generating(leases, objects, tmp_path, 1)
    put_block(objects, claim, 0, GeneratedBlock("ipc-2", {0: 1}, {0: {0: 1.0}}), tmp_path)
    for budget, label, codeword in (("ipc-2", 0, 1), ("ipc-2", 7, 0), ("ipc-3", 0, 0)):
        with pytest.raises(ObjectNotFoundError):
            previews.look(job).image(budget, label, codeword)


def test_what_an_earlier_attempt_completed_is_still_seen(
    store: Store, leases: Leases, objects: ObjectStore, previews: Previews, tmp_path: Path
) -> None:
    job = submit(store, images_per_class=2)
    claim = begin_generating(leases, objects, tmp_path, 1)
    put_block(objects, claim, 0, GeneratedBlock("ipc-2", {0: 1}, {0: {0: 1.0}}), tmp_path)
    leases.give_back(claim)
    assert previews.look(job).image("ipc-2", 0, 0) == b"0 0"
    assert take(leases).attempt == 2
    assert previews.look(job).image("ipc-2", 0, 0) == b"0 0"


def test_a_job_that_has_just_been_cleaned_up_shows_nothing(
    store: Store, leases: Leases, objects: ObjectStore, previews: Previews, tmp_path: Path
) -> None:
    job = submit(store, images_per_class=2)
    begin_generating(leases, objects, tmp_path, 1)
    objects.delete_prefix(f"jobs/{job.id}")
    preview = previews.look(job)
    assert (preview.class_names, preview.shares("ipc-2", {0})) == ((), {})


def test_images_shared_out_by_need_are_seen_wherever_they_lie(
    store: Store, leases: Leases, objects: ObjectStore, previews: Previews, tmp_path: Path
) -> None:
    job = submit(store, total_images=100)
    claim = begin_generating(leases, objects, tmp_path, 2)
    put_block(objects, claim, 1, GeneratedBlock("total-100", {0: 1}, {0: {70: 0.01}}), tmp_path)
    assert previews.look(job).shares("total-100", {0}) == {0: {70: 0.01}}


def test_what_was_read_is_kept_up_to_a_size(objects: ObjectStore, tmp_path: Path) -> None:
    kept, numbers = KeptJson(objects, most_bytes=8), TypeAdapter(list[int])
    for key, text in (("a", "[1, 2]"), ("b", "[3, 4]")):
        (tmp_path / key).write_text(text)
        objects.put_file(tmp_path / key, key, "application/json")
    assert kept.read("a", numbers) is kept.read("a", numbers)
    first = kept.read("a", numbers)
    assert kept.read("b", numbers) == [3, 4]
    assert kept.read("a", numbers) == first
    assert kept.read("a", numbers) is not first
