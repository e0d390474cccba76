"""Blocks of a unit, to the object store and back."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from ddoq.events import Stage
from jobs.artifacts import ObjectStore, make_s3_client
from jobs.errors import LeaseLostError, StorageUnavailableError
from jobs.leases import Leases
from jobs.records import Claim
from jobs.settings import Settings
from jobs.store import Store
from tests.job_steps import reach
from worker.lease import DrainOrdered
from worker.parts import Shipment, restore


@pytest.fixture
def claim(store: Store, leases: Leases) -> Claim:
    return reach(store, leases, Stage.ENCODE)


def make(folder: Path, block: int, *, is_complete: bool = True) -> None:
    """Let a stage have worked on a block."""
    own = folder / "blocks" / f"{block:05d}"
    own.mkdir(parents=True)
    (own / "shard").write_text(f"block {block}")
    if is_complete:
        (own / "manifest.json").write_text("{}")


def names(objects: ObjectStore, prefix: str) -> list[str]:
    return [key.removeprefix(f"{prefix}/") for key in objects.list_keys(prefix)]


def test_a_drained_unit_leaves_its_complete_blocks_to_the_next_attempt(
    objects: ObjectStore, claim: Claim, tmp_path: Path
) -> None:
    with suppress(DrainOrdered), Shipment(objects, tmp_path / "one", claim.prefix):
        make(tmp_path / "one", 3)
        make(tmp_path / "one", 4, is_complete=False)
        raise DrainOrdered
    assert names(objects, claim.prefix) == ["blocks/00003/manifest.json", "blocks/00003/shard"]
    second = replace(claim, attempt=2, prefix=f"{claim.prefix[:-1]}2")
    restore(objects, second, tmp_path / "two")
    assert (tmp_path / "two/blocks/00003/shard").read_text() == "block 3"
    assert not (tmp_path / "two/blocks/00004").exists()


def test_blocks_of_all_earlier_attempts_are_found(objects: ObjectStore, claim: Claim, tmp_path: Path) -> None:
    for attempt, block in ((1, 0), (2, 1), (11, 2)):
        prefix = f"{claim.prefix[:-1]}{attempt}"
        make(tmp_path / str(attempt), block)
        with Shipment(objects, tmp_path / str(attempt), prefix) as shipment:
            shipment.look()
    restore(objects, replace(claim, attempt=12), tmp_path / "next")
    assert sorted(path.name for path in (tmp_path / "next/blocks").iterdir()) == ["00000", "00001", "00002"]


def test_a_unit_of_blocks_is_fetched_like_any_other(objects: ObjectStore, claim: Claim, tmp_path: Path) -> None:
    make(tmp_path / "unit", 0)
    (tmp_path / "unit/usage.json").write_text('{"seconds": 1}')
    with Shipment(objects, tmp_path / "unit", claim.prefix) as shipment:
        make(tmp_path / "unit", 1)
        shipment.close()
    objects.download_folder(claim.prefix, tmp_path / "copy")
    assert (tmp_path / "copy/blocks/00001/shard").read_text() == "block 1"
    assert (tmp_path / "copy/usage.json").read_text() == '{"seconds": 1}'


def test_who_lost_the_lease_uploads_no_more(objects: ObjectStore, claim: Claim, tmp_path: Path) -> None:
    with suppress(LeaseLostError), Shipment(objects, tmp_path / "unit", claim.prefix):
        make(tmp_path / "unit", 0)
        raise LeaseLostError("somebody else has it")
    assert names(objects, claim.prefix) == []


def test_blocks_that_lie_here_are_not_fetched(objects: ObjectStore, claim: Claim, tmp_path: Path) -> None:
    make(tmp_path / "encode/0/1", 5)
    make(tmp_path / "encode/0/1", 6, is_complete=False)
    second = replace(claim, attempt=2, prefix=f"{claim.prefix[:-1]}2")
    restore(objects, second, tmp_path / "encode/0/2")
    assert (tmp_path / "encode/0/2/blocks/00005/shard").read_text() == "block 5"
    assert not (tmp_path / "encode/0/2/blocks/00006").exists()


class FailingOnce(ObjectStore):
    """An object store that is away at the first upload."""

    n_uploads = 0

    def upload_folder(self, folder: Path, prefix: str) -> None:
        self.n_uploads += 1
        if self.n_uploads == 1:
            raise StorageUnavailableError("away")
        super().upload_folder(folder, prefix)


def test_a_block_that_could_not_be_sent_is_sent_again_at_the_end(
    settings: Settings, claim: Claim, tmp_path: Path
) -> None:
    client = make_s3_client(settings)
    objects = FailingOnce(client, settings.s3_bucket)
    make(tmp_path / "unit", 0)
    with Shipment(objects, tmp_path / "unit", claim.prefix) as shipment:
        shipment.look()
        shipment.close()
    assert names(objects, claim.prefix) == ["blocks/00000/manifest.json", "blocks/00000/shard", "manifest.json"]
    client.close()
