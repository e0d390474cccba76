"""An archive tells what computed each of its stages, whoever worked on them, and wherever their files came from."""

import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from ddoq.caches import FolderCache
from ddoq.distill import distill
from ddoq.environments import Environment, Provenance, read_provenance
from ddoq.events import Event, Stage
from ddoq.here import environment_here
from ddoq.stages import join_blocks, run_blocks, run_stage
from tests.elsewhere import go_elsewhere
from tests.pictures import access_to
from tests.stage_places import Place, work_up_to

FIT = {"kind": "fit", "resolution": 16, "steps": 2, "train_batch_size": 4}
TAUGHT = {"kind": "train", "network": "convnet-3", "width": 8, "steps": 2, "batch_size": 4}
EVERYTHING = {"images_per_class": 2, "evaluation": "full", "prior": FIT, "teacher": TAUGHT}
BARE = {"images_per_class": 2, "evaluation": "none"}


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let 36 images be several blocks."""
    monkeypatch.setattr("ddoq.prior_config.PIXELS_BATCH", 4)
    monkeypatch.setattr("ddoq.blocks.ENCODED_IMAGES", 8)


def members_of(archive: Path) -> Mapping[str, bytes]:
    with zipfile.ZipFile(archive) as file:
        return {name: file.read(name) for name in file.namelist()}


def told_by(archive: Path) -> Provenance:
    return TypeAdapter(Provenance).validate_json(members_of(archive)["provenance.json"])


def distilled(place: Place, name: str, cache: str) -> Path:
    kept = FolderCache(place.folder / cache)
    (archive,) = distill(place.config, place.folder / name, access_to(place.folder), cache=kept)
    return archive


def test_every_stage_is_told_of_with_the_versions_installed(tmp_path: Path) -> None:
    place = Place(tmp_path, EVERYTHING)
    found = told_by(distilled(place, "out", "cache"))
    assert found == {stage: (environment_here(),) for stage in Stage}
    assert list(found) == list(place.config.stages)


def test_what_comes_out_of_a_cache_is_told_of_by_who_put_it_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, first = Place(tmp_path, EVERYTHING), environment_here()
    distilled(place, "first", "cache")
    second = go_elsewhere(tmp_path, monkeypatch)
    found = told_by(distilled(place, "second", "cache"))
    kept = {Stage.ENCODE, Stage.FIT, Stage.TEACH}
    expected: dict[Stage, tuple[Environment, ...]] = {stage: (first if stage in kept else second,) for stage in Stage}
    assert found == expected | {Stage.TRAIN: (second, first)}  # the students of full data are kept, too


def test_elsewhere_the_archive_differs_in_that_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path, BARE)
    here = members_of(distilled(place, "here", "cache"))
    again = members_of(distilled(place, "again", "another cache"))
    go_elsewhere(tmp_path, monkeypatch)
    there = members_of(distilled(place, "there", "a third cache"))
    assert again == here
    assert {name for name in here if here[name] != there[name]} == {"provenance.json", "manifest.json"}


def test_blocks_of_several_environments_join_to_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, first = Place(tmp_path, BARE).open("run"), environment_here()
    work_up_to(Stage.ENCODE, run)
    parts = [tmp_path / f"part {number}" for number in range(3)]
    work = [replace(run, folders={**run.folders, Stage.ENCODE: part}) for part in parts]
    run_blocks(Stage.ENCODE, work[0], range(2))
    run_blocks(Stage.ENCODE, work[1], range(2, 4))
    second = go_elsewhere(tmp_path, monkeypatch)
    run_blocks(Stage.ENCODE, work[2], range(4, 5))
    for order in (parts, parts[::-1]):
        join_blocks(Stage.ENCODE, run, order)
        assert read_provenance(run.folders[Stage.ENCODE]) == {Stage.READ: (first,), Stage.ENCODE: (second, first)}
    run_stage(Stage.QUANTIZE, run)
    assert read_provenance(run.folders[Stage.QUANTIZE]) == {
        Stage.READ: (first,),
        Stage.ENCODE: (second, first),
        Stage.QUANTIZE: (second,),
    }


class StoppedByTestError(Exception):
    pass


def stop(event: Event) -> None:
    if event.stage is Stage.ENCODE and event.done >= 12:
        raise StoppedByTestError


def test_who_goes_on_with_a_stage_tells_of_who_began_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, first = Place(tmp_path, BARE), environment_here()
    with pytest.raises(StoppedByTestError):
        distill(place.config, tmp_path / "out", access_to(tmp_path), stop, FolderCache(tmp_path / "cache"))
    shutil.rmtree(tmp_path / "cache")
    second = go_elsewhere(tmp_path, monkeypatch)
    found = told_by(distilled(place, "out", "another cache"))
    assert found[Stage.READ] == (first,)
    assert found[Stage.ENCODE] == (second, first)
    assert all(found[stage] == (second,) for stage in (Stage.QUANTIZE, Stage.GENERATE, Stage.EVALUATE, Stage.PACKAGE))
