"""Stages cut into blocks: whoever works on which, in however many attempts, the files are the same, byte for byte."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ddoq.blocks import block_folder, left_to_do
from ddoq.caches import FolderCache
from ddoq.datasets import Dataset
from ddoq.distill import distill
from ddoq.errors import BadImagesError, DatasetChangedError
from ddoq.events import Event, OnEvent, Stage
from ddoq.latents import open_latents
from ddoq.prior.pixels import Pixels
from ddoq.stages import BLOCKED, join_blocks, run_blocks, run_stage
from tests.pictures import access_to, members, png, write_zip
from tests.stage_places import KINDS, Place, contents, n_blocks_of, teacher, work_by_parts, work_up_to


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let 36 images of three classes be several blocks of every stage."""
    monkeypatch.setattr("ddoq.prior_config.PIXELS_BATCH", 4)
    monkeypatch.setattr("ddoq.blocks.ENCODED_IMAGES", 8)
    monkeypatch.setattr("ddoq.blocks.QUANTIZED_IMAGES", 12)
    monkeypatch.setattr("ddoq.blocks.DECODED_IMAGES", 4)


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_any_number_join_to_the_files_of_one_process(kind: str, tmp_path: Path) -> None:
    place = Place(tmp_path, KINDS[kind](tmp_path), members() | {"train/dog/bad.png": b"no image"})
    alone, seen = place.open("alone"), 0
    for stage in alone.config.stages:
        if stage is Stage.EVALUATE:
            break
        run_stage(stage, alone)
        if stage not in BLOCKED:
            continue
        n_blocks, expected = n_blocks_of(stage, alone), contents(alone.folders[stage])
        for n_parts in sorted({1, 2, 3, n_blocks} & set(range(1, n_blocks + 1))):
            name = f"{n_parts} parts"
            spread = place.open(name)
            shared = {**alone.folders, stage: spread.folders[stage]}
            work_by_parts(stage, replace(spread, folders=shared), n_parts)
            assert contents(shared[stage]) == expected, (stage, n_parts)
            seen += n_parts > 1
    assert seen > 3


class InterruptedByTestError(Exception):
    pass


def interrupting(stage: Stage, n_events: int) -> OnEvent:
    """Raise at an event of a stage."""
    left = [n_events]

    def on_event(event: Event) -> None:
        left[0] -= event.stage is stage
        if not left[0]:
            raise InterruptedByTestError

    return on_event


CASES = [
    (Stage.ENCODE, {}, 5),
    (Stage.QUANTIZE, {}, 2),
    (Stage.GENERATE, {}, 4),
    (Stage.GENERATE, {"method": "medoid"}, 15),
]


@pytest.mark.parametrize(("stage", "changes", "n_events"), CASES, ids=str)
def test_what_is_complete_is_not_done_again_after_an_interruption(
    stage: Stage, changes: dict[str, object], n_events: int, tmp_path: Path
) -> None:
    place = Place(tmp_path, changes)
    undisturbed = place.open("undisturbed")
    work_up_to(stage, undisturbed)
    run_stage(stage, undisturbed)
    shutil.copytree(tmp_path / "undisturbed", tmp_path / "other", ignore=lambda _, names: {stage} & set(names))
    with pytest.raises(InterruptedByTestError):
        run_stage(stage, place.open("other", interrupting(stage, n_events)))
    events, folder = list[Event](), tmp_path / "other" / stage
    run = place.open("other", events.append, cache="empty cache")
    blocks = range(n_blocks_of(stage, run))
    left = left_to_do(folder, blocks)
    assert 0 < len(left) < len(blocks)
    before = {block: modified(block_folder(folder, block)) for block in blocks if block not in left}
    run_blocks(stage, run, blocks)
    assert {block: modified(block_folder(folder, block)) for block in before} == before
    assert events[-1].done == events[-1].total
    assert events[0].done > 0
    run_stage(stage, run)
    assert contents(folder) == contents(undisturbed.folders[stage])


@pytest.mark.parametrize(
    ("stage", "changes", "n_events", "left"),
    [
        (Stage.ENCODE, {}, 2, [1, 2, 3, 4]),
        (Stage.QUANTIZE, {}, 1, [1, 2]),
        (Stage.GENERATE, {}, 1, [1, 2, 3, 4, 5]),
        (Stage.LABEL, {"images_per_class": 2}, 1, [1, 2]),
    ],
    ids=str,
)
def test_who_stops_the_work_at_the_last_piece_of_a_block_finds_it_complete(
    stage: Stage, changes: dict[str, object], n_events: int, left: list[int], tmp_path: Path
) -> None:
    run = Place(tmp_path, {"teacher": teacher(tmp_path), **changes}).open("run")
    work_up_to(stage, run)
    blocks = range(n_blocks_of(stage, run))
    with pytest.raises(InterruptedByTestError):
        run_blocks(stage, replace(run, on_event=interrupting(stage, n_events)), blocks)
    assert left_to_do(run.folders[stage], blocks) == left


def modified(folder: Path) -> dict[str, int]:
    return {str(file): file.stat().st_mtime_ns for file in folder.rglob("*")}


def test_a_distillation_resumes_within_a_stage(tmp_path: Path) -> None:
    config = Place(tmp_path, {"evaluation": "none"}).config
    undisturbed = distill(config, tmp_path / "undisturbed", access_to(tmp_path))
    no_cache = FolderCache(tmp_path / "cache", max_bytes=0)
    with pytest.raises(InterruptedByTestError):
        distill(config, tmp_path / "out", access_to(tmp_path), interrupting(Stage.ENCODE, 7), no_cache)
    shutil.rmtree(tmp_path / "cache")
    events = list[Event]()
    archives = distill(config, tmp_path / "out", access_to(tmp_path), events.append, no_cache)
    assert [file.read_bytes() for file in archives] == [file.read_bytes() for file in undisturbed]
    encoded = [event.done for event in events if event.stage is Stage.ENCODE]
    assert encoded == [8, 16, 24, 28, 32, 36]  # three blocks of eight were there


def count_encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the sizes of the batches of training images that are encoded."""
    encode, sizes = Pixels.encode, list[int]()

    def noted(self: Pixels, images: torch.Tensor, rngs: Any = None) -> torch.Tensor:
        sizes.append(len(images))
        return encode(self, images, rngs)

    monkeypatch.setattr(Pixels, "encode", noted)
    return sizes


def test_blocks_that_follow_each_other_are_read_in_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, passes, stream = Place(tmp_path, {}).open("run"), list[range | None](), Dataset.stream

    def noted(self: Dataset, *arguments: Any, **named: Any) -> Iterator[Any]:
        passes.append(named["places"])
        return stream(self, *arguments, **named)

    monkeypatch.setattr(Dataset, "stream", noted)
    work_up_to(Stage.ENCODE, run)
    run_blocks(Stage.ENCODE, run, range(2, 3))
    run_blocks(Stage.ENCODE, run, range(5))
    assert passes == [range(16, 24), range(16), range(24, 36)]


def test_blocks_that_another_encoded_are_found_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path, {})
    first = place.open("first", cache="kept")
    work_up_to(Stage.ENCODE, first)
    run_blocks(Stage.ENCODE, first, range(3))
    second, encoded = place.open("second", cache="kept"), count_encoded(monkeypatch)
    work_up_to(Stage.ENCODE, second)
    run_stage(Stage.ENCODE, second)
    assert sum(encoded) == 36 - 24
    (tmp_path / "data.tar.gz").unlink()
    third = replace(first, folders={**first.folders, Stage.ENCODE: tmp_path / "third"})
    run_stage(Stage.ENCODE, third)
    assert contents(tmp_path / "third") == contents(second.folders[Stage.ENCODE])


def test_events_count_the_pieces_of_the_blocks_asked_for(tmp_path: Path) -> None:
    place, events = Place(tmp_path, {}), list[Event]()
    run = place.open("run", events.append)
    for stage, blocks, n_pieces in (
        (Stage.ENCODE, range(1, 3), 16),
        (Stage.QUANTIZE, range(2, 3), 1),
        (Stage.GENERATE, range(1, 4), 9),  # of 4, 4 and 1, then 4, 4 and 4
    ):
        work_up_to(stage, run)
        events.clear()
        run_blocks(stage, run, blocks)
        assert {event.total for event in events} == {n_pieces}
        assert events[-1].done == n_pieces
        assert [event.done for event in events] == sorted(event.done for event in events)


def test_a_block_of_nothing_but_bad_images_joins_the_others(tmp_path: Path) -> None:
    bad = {f"train/cat/{n:03d}.png": b"no image" for n in range(8)}
    run = Place(tmp_path, {}, members() | bad | {"train/eel/011.png": png(2, 99, (40, 20))}).open("run")
    work_up_to(Stage.QUANTIZE, run)
    latents = open_latents(run.folders[Stage.ENCODE])
    assert latents.manifest.counts == (4, 12, 12)
    assert [sum(shard.counts) for shard in latents.manifest.shards] == [0, 8, 8, 8, 4]
    assert [image.key for image in latents.manifest.bad] == [f"cat/{n:03d}.png" for n in range(8)]
    assert (latents.manifest.n_resized, latents.manifest.sizes) == (1, ((16, 16), (40, 20)))
    assert len(latents.of_class(0)) == len(latents.keys(0)) == 4


def test_too_many_bad_images_show_at_the_latest_when_the_blocks_are_joined(tmp_path: Path) -> None:
    bad = {f"train/{name}/{n:03d}.png": b"no image" for name in ("cat", "dog", "eel") for n in range(7)}
    run = Place(tmp_path, {}, members() | bad).open("run")
    work_up_to(Stage.ENCODE, run)
    with pytest.raises(BadImagesError, match=r"21 of 36 images do not decode, .* one is 'cat/000\.png'"):
        work_by_parts(Stage.ENCODE, run, 5)
    with pytest.raises(BadImagesError, match=r"21 of 36"):
        run_blocks(Stage.ENCODE, replace(run, cache=FolderCache(tmp_path / "empty cache")), range(5))
    assert left_to_do(run.folders[Stage.ENCODE], range(5)) == [4]  # it is certain before the last block


def test_a_missing_block_is_refused(tmp_path: Path) -> None:
    run = Place(tmp_path, {}).open("run")
    work_up_to(Stage.ENCODE, run)
    run_blocks(Stage.ENCODE, run, range(1, 5))
    with pytest.raises(FileNotFoundError, match="1 of 5 blocks"):
        join_blocks(Stage.ENCODE, run, [run.folders[Stage.ENCODE]])


def test_a_dataset_that_changed_before_it_is_shown_is_noticed(tmp_path: Path) -> None:
    run = Place(tmp_path, {"method": "medoid"}).open("run")
    work_up_to(Stage.GENERATE, run)
    write_zip(tmp_path / "data.tar.gz", members(n_train=13))
    with pytest.raises(DatasetChangedError):
        run_blocks(Stage.GENERATE, run, range(1))


def test_after_want_of_memory_batches_are_of_half_the_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path, {})
    whole, halved = place.open("whole", cache="kept"), replace(place.open("halved", cache="kept"), halvings=1)
    work_up_to(Stage.ENCODE, halved)
    sizes = count_encoded(monkeypatch)
    for stage in (Stage.ENCODE, Stage.QUANTIZE, Stage.GENERATE):
        run_stage(stage, halved)
    assert max(sizes) == 2
    assert open_latents(halved.folders[Stage.ENCODE]).manifest.smaller_batch == 2
    assert not whole.cache.names("")  # what was made in want of memory is not kept
    work_up_to(Stage.TEACH, whole)
    for stage in (Stage.QUANTIZE, Stage.GENERATE):
        assert contents(halved.folders[stage]).keys() == contents(whole.folders[stage]).keys()
    assert replace(halved, halvings=9).halved(32) == 1
