"""Stored and live soft labels through the whole algorithm, on small real files."""

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ddoq.archive import load_archive
from ddoq.caches import FolderCache
from ddoq.config import DistillConfig
from ddoq.distill import distill
from ddoq.errors import ArchiveError, LabelsTooLargeError
from ddoq.events import Event, Stage, ignore
from ddoq.lessons import exercises
from ddoq.manifests import is_complete
from ddoq.networks import make_network
from ddoq.plans import TrainingPlan
from ddoq.protocols import D4M_FKD
from ddoq.run import Run
from ddoq.stages import needs, run_stage
from ddoq.types import TrainingSet
from tests.pages import ROOT, read_blocks
from tests.pictures import access_to, members, write_zip

NAMES = ("cat", "dog", "eel")
SHORT = {"seeds": 2, "steps": 5, "width": 8, "batch_size": 4}


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return write_zip(tmp_path / "data.zip", members())


def config(uri: str, folder: Path, protocol: str, **changes: object) -> DistillConfig:
    """Two images a class, and a teacher that was never taught, at another side than the students'."""
    network = make_network("convnet-3", 3, 32, torch.Generator().manual_seed(0))
    save_file(network.state_dict(), folder / "teacher.safetensors")
    teacher = {
        "kind": "checkpoint",
        "network": "convnet-3",
        "checkpoint": str(folder / "teacher.safetensors"),
        "mean": [0.5, 0.5, 0.5],
        "deviation": [0.25, 0.25, 0.25],
        "resolution": 32,
        **changes,
    }
    body = {"dataset": {"uri": uri}, "images_per_class": 2, "prior": {"kind": "pixels", "resolution": 16}}
    return DistillConfig.model_validate({**body, "teacher": teacher, "students": {"protocol": protocol, **SHORT}})


def told(archive: Path, name: str) -> str:
    with zipfile.ZipFile(archive) as file:
        return file.read(name).decode()


def test_stored_labels_come_with_the_archive_and_their_size_with_the_report(uri: str, tmp_path: Path) -> None:
    asked, events = config(uri, tmp_path, "d4m-fkd"), list[Event]()
    (archive,) = distill(asked, tmp_path / "out", access_to(tmp_path), events.append)
    loaded = load_archive(archive)
    assert loaded.soft_labels is None
    assert loaded.stored_labels is not None
    epochs = [loaded.stored_labels.epoch(number) for number in range(len(loaded.stored_labels))]
    assert [epoch.sizes.tolist() for epoch in epochs] == [[4, 4], [4, 4], [4]]
    report, card = json.loads(told(archive, "report.json")), told(archive, "README.md")
    tensors = [tensor for epoch in epochs for tensor in vars(epoch).values()]
    assert report["figures"]["bytes.soft_labels"] == sum(tensor.nbytes for tensor in tensors)
    assert {"distilled", "random real", "random, same labels"} < set(report["accuracy"])
    assert "`archive.stored_labels` are all views" in card
    assert "`soft_labels/epoch-<nnnn>.safetensors`" in card
    assert "shown beforehand each view that students see at 32 pixels; temperature 20" in card
    assert "stored soft labels of each view" in loaded.recipe.loss
    labelled = [(event.done, event.total) for event in events if event.stage is Stage.LABEL]
    assert labelled == [(4 * done, 60) for done in range(1, 16)]  # five batches, of three sets


def test_students_can_be_shown_from_the_archive_what_the_reports_were(uri: str, tmp_path: Path) -> None:
    asked = config(uri, tmp_path, "rd3", labels="stored")
    (archive,) = distill(asked, tmp_path / "out", access_to(tmp_path))
    loaded = load_archive(archive)
    plan = TrainingPlan(
        asked.resolved_protocol, 6, 3, loaded.recipe.mean, loaded.recipe.deviation, 0, torch.device("cpu")
    )
    sets = (
        TrainingSet(loaded.images, loaded.labels, loaded.weights, labels)
        for labels in (loaded.stored_labels, torch.zeros(6, 3))
    )
    replayed, fixed = (list(exercises(data, plan, 0)) for data in sets)
    assert [len(exercise.images) for exercise in replayed] == [4] * 5
    for mine, its in zip(replayed, fixed, strict=True):  # stored are the views of student 0
        assert torch.equal(mine.images, its.images)


def test_stored_labels_are_read_as_the_page_says(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (archive,) = distill(config(uri, tmp_path, "d4m-fkd"), tmp_path / "out", access_to(tmp_path))
    (block,) = (block for block in read_blocks(ROOT / "docs" / "labels.md") if block.language == "python")
    monkeypatch.chdir(archive.parent)
    names: dict[str, Any] = {}
    exec(block.text, names)
    assert (names["number"], names["logits"].shape) == (2, (len(names["draw"].rows), 3))


def test_the_archive_of_stored_labels_has_the_same_bytes_each_time(uri: str, tmp_path: Path) -> None:
    asked = config(uri, tmp_path, "d4m-fkd")
    first, second = (distill(asked, tmp_path / name, access_to(tmp_path))[0] for name in ("one", "other"))
    assert first.read_bytes() == second.read_bytes()


def test_a_changed_epoch_is_noticed(uri: str, tmp_path: Path) -> None:
    (archive,) = distill(config(uri, tmp_path, "d4m-fkd"), tmp_path / "out", access_to(tmp_path))
    damaged = tmp_path / "damaged.zip"
    with zipfile.ZipFile(archive) as whole, zipfile.ZipFile(damaged, "w") as copy:
        for name in whole.namelist():
            data = whole.read(name)
            copy.writestr(name, data[:-1] + bytes([data[-1] ^ 1]) if "epoch-0001" in name else data)
    with pytest.raises(ArchiveError, match=r"'soft_labels/epoch-0001\.safetensors' does not match its checksum"):
        load_archive(damaged)


def test_epochs_give_each_budget_its_own_stored_epochs(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ddoq.evaluation_config.PROTOCOLS", {"d4m-fkd": replace(D4M_FKD, epochs=((1, 3),))})
    body = config(uri, tmp_path, "d4m-fkd").model_dump(mode="json")
    students = {"protocol": "d4m-fkd", "seeds": 1, "width": 8, "batch_size": 4}
    asked = DistillConfig.model_validate({**body, "images_per_class": [1, 3], "students": students})
    archives = distill(asked, tmp_path / "out", access_to(tmp_path))
    for archive, sizes in zip(archives, ([3], [4, 4, 1]), strict=True):
        stored = load_archive(archive).stored_labels
        assert stored is not None
        assert [stored.epoch(number).sizes.tolist() for number in range(len(stored))] == [sizes] * 3


def test_live_labels_need_no_stage_and_the_card_names_the_teacher(uri: str, tmp_path: Path) -> None:
    (archive,) = distill(config(uri, tmp_path, "rded"), tmp_path / "out", access_to(tmp_path))
    assert not (tmp_path / "out" / "label").exists()
    loaded = load_archive(archive)
    assert (loaded.soft_labels, loaded.stored_labels) == (None, None)
    report, card = json.loads(told(archive, "report.json")), told(archive, "README.md")
    assert report["figures"]["bytes.soft_labels"] == 0
    assert {"distilled", "random real", "random, same labels"} < set(report["accuracy"])
    assert "The archive holds no soft labels" in card
    assert f"you need that teacher: logits of a convnet-3, {tmp_path}/teacher.safetensors" in card
    assert "`soft_labels" not in card


def test_too_large_labels_are_refused_before_any_image_is_encoded(uri: str, tmp_path: Path) -> None:
    asked = config(uri, tmp_path, "d4m-fkd", max_label_bytes=300)
    with pytest.raises(LabelsTooLargeError, match=r"ipc-2 take 506 bytes .* teacher\.max_label_bytes, 300"):
        distill(asked, tmp_path / "out", access_to(tmp_path))
    assert not (tmp_path / "out" / "encode").exists()


def test_a_cancel_during_labelling_comes_within_an_epoch(uri: str, tmp_path: Path) -> None:
    events: list[Event] = []

    def cancel(event: Event) -> None:
        events.append(event)
        if event.stage is Stage.LABEL:
            raise InterruptedError

    asked = config(uri, tmp_path, "d4m-fkd")
    with pytest.raises(InterruptedError):
        distill(asked, tmp_path / "out", access_to(tmp_path), cancel)
    assert events[-1] == Event(Stage.LABEL, 4, 60)
    assert not is_complete(tmp_path / "out" / "label")
    assert len(distill(asked, tmp_path / "out", access_to(tmp_path))) == 1


@pytest.mark.parametrize("protocol", ["d4m-fkd", "rded"])
def test_a_stage_reads_no_other_stages_than_those_it_names(uri: str, tmp_path: Path, protocol: str) -> None:
    asked = config(uri, tmp_path, protocol)
    distill(asked, tmp_path / "out", access_to(tmp_path))
    for stage in (Stage.LABEL, Stage.TRAIN, Stage.EVALUATE, Stage.PACKAGE):
        if stage not in asked.stages:
            continue
        folders = {needed: tmp_path / "out" / needed for needed in needs(stage, asked)}
        shutil.rmtree(tmp_path / "again", ignore_errors=True)
        cache = FolderCache(tmp_path / "cache")
        run_stage(stage, Run(asked, {**folders, stage: tmp_path / "again" / stage}, access_to(tmp_path), cache, ignore))
        assert is_complete(tmp_path / "again" / stage)


@pytest.mark.parametrize("labels", ["stored", "live"])
def test_a_teacher_trained_on_the_dataset_labels_views_too(uri: str, tmp_path: Path, labels: str) -> None:
    teacher = {"kind": "train", "network": "convnet-3", "width": 8, "steps": 2, "labels": labels}
    body = config(uri, tmp_path, "rded").model_dump(mode="json")
    (archive,) = distill(
        DistillConfig.model_validate({**body, "teacher": teacher}), tmp_path / "out", access_to(tmp_path)
    )
    assert (load_archive(archive).stored_labels is not None) == (labels == "stored")
    assert "random, same labels" in json.loads(told(archive, "report.json"))["accuracy"]
