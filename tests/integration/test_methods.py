"""Methods, priors and budgets through the whole algorithm, on small real files."""

import csv
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ddoq.archive import load_archive
from ddoq.caches import FolderCache
from ddoq.config import DistillConfig
from ddoq.distill import distill, fit_prior
from ddoq.errors import ConfigError, EmptyClassError, UnknownClassError
from ddoq.events import Event, Stage, ignore
from ddoq.manifests import is_complete
from ddoq.networks import make_network
from ddoq.pictures import decode
from ddoq.protocols import SMALL_HARD
from ddoq.run import Run
from ddoq.stages import needs, run_stage
from ddoq.teachers import load_teacher
from tests.pictures import access_to, members, png, write_zip
from tests.tiny_models import save_vit

NAMES = ("cat", "dog", "eel")


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return write_zip(tmp_path / "data.zip", members())


def config(uri: str, **changes: object) -> DistillConfig:
    students = {"seeds": 1, "steps": 2, "width": 8, "batch_size": 8}
    body = {"dataset": {"uri": uri}, "images_per_class": 3, "prior": {"kind": "pixels", "resolution": 16}}
    return DistillConfig.model_validate({**body, "students": students, **changes})


def run(finished: DistillConfig, folder: Path, name: str = "out") -> tuple[Path, ...]:
    return distill(finished, folder / name, access_to(folder))


def metadata(archive: Path) -> list[dict[str, str]]:
    with zipfile.ZipFile(archive) as file:
        return list(csv.DictReader(io.StringIO(file.read("train/metadata.csv").decode())))


def counts(archive: Path) -> list[int]:
    return torch.bincount(load_archive(archive).labels).tolist()


def real_pictures() -> set[bytes]:
    """Pixels of every training image."""
    return {decode(png(label, index), 16)[0].tobytes() for label in range(3) for index in range(12)}


@pytest.mark.parametrize("method", ["random", "medoid", "herding", "k-centre"])
def test_a_selector_gives_images_of_the_dataset_each_once(uri: str, tmp_path: Path, method: str) -> None:
    (archive,) = run(config(uri, method=method), tmp_path)
    found = [image.permute(1, 2, 0).contiguous().numpy().tobytes() for image in load_archive(archive).images]
    assert len(set(found)) == 9
    assert set(found) <= real_pictures()
    assert found == [decode((members()[f"train/{row['nearest']}"]), 16)[0].tobytes() for row in metadata(archive)]


def test_d4m_is_a_row_with_uniform_weights_and_codewords_of_its_own(uri: str, tmp_path: Path) -> None:
    (d4m,) = run(config(uri, method="d4m"), tmp_path, "d4m")
    (ddoq,) = run(config(uri), tmp_path, "ddoq")
    assert load_archive(d4m).weights.tolist() == [1.0] * 9
    assert not torch.equal(load_archive(d4m).images, load_archive(ddoq).images)


def test_a_part_of_a_method_can_be_chosen_instead(uri: str, tmp_path: Path) -> None:
    (archive,) = run(config(uri, method="medoid", weights="share"), tmp_path)
    rows = [row for row in metadata(archive) if row["label"] == "0"]
    weights, shares = ([float(row[column]) for row in rows] for column in ("weight", "count"))
    assert weights == pytest.approx([3 * share / 12 for share in shares], rel=1e-4)


def test_a_sweep_makes_an_archive_a_number_of_one_encoding(uri: str, tmp_path: Path) -> None:
    events: list[Event] = []
    archives = distill(config(uri, images_per_class=[4, 2]), tmp_path / "out", access_to(tmp_path), events.append)
    assert [archive.name for archive in archives] == ["ipc-4-archive.zip", "ipc-2-archive.zip"]
    assert [counts(archive) for archive in archives] == [[4] * 3, [2] * 3]
    assert [event.done for event in events if event.stage is Stage.ENCODE] == [36]
    generated = [(event.done, event.total) for event in events if event.stage is Stage.GENERATE]
    assert generated[-1] == (18, 18)


def test_each_class_can_have_a_number_of_its_own(uri: str, tmp_path: Path) -> None:
    (archive,) = run(config(uri, images_per_class={"eel": 1, "cat": 5, "dog": 2}), tmp_path)
    assert counts(archive) == [5, 2, 1]
    weights = load_archive(archive).weights
    for label in range(3):
        assert float(weights[load_archive(archive).labels == label].mean()) == pytest.approx(1, rel=1e-4)


def test_a_number_for_a_class_that_there_is_not_is_refused_before_anything_is_encoded(uri: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownClassError, match="cow"):
        run(config(uri, images_per_class={"cat": 1, "dog": 1, "eel": 1, "cow": 1}), tmp_path)
    assert not (tmp_path / "out" / "encode").exists()


def test_a_number_larger_than_its_class_is_refused_with_both(uri: str, tmp_path: Path) -> None:
    with pytest.raises(EmptyClassError, match="'dog' has 12 training images"):
        run(config(uri, images_per_class={"cat": 1, "dog": 13, "eel": 1}), tmp_path)


def test_a_total_is_shared_out_to_the_last_image(uri: str, tmp_path: Path) -> None:
    (archive,) = run(config(uri, total_images=10, images_per_class=None), tmp_path)
    assert sum(counts(archive)) == 10
    assert min(counts(archive)) >= 1


FIT = {"kind": "fit", "resolution": 16, "size": "small", "steps": 3, "train_batch_size": 8}
FEW = {"steps": 4}


def test_a_prior_fitted_once_serves_the_next_job_on_that_data(uri: str, tmp_path: Path) -> None:
    cache, seen = FolderCache(tmp_path / "cache"), []
    first = distill(config(uri, prior=FIT, sampler=FEW), tmp_path / "one", access_to(tmp_path), cache=cache)
    again = config(uri, prior=FIT, sampler=FEW, images_per_class=2)
    distill(again, tmp_path / "two", access_to(tmp_path), seen.append, cache=cache)
    assert counts(first[0]) == [3] * 3
    assert not [event for event in seen if event.stage is Stage.FIT and "loss" in event.values]
    assert weights_of(tmp_path / "one") == weights_of(tmp_path / "two")


def test_the_fitted_prior_makes_images_that_plain_decoding_does_not(uri: str, tmp_path: Path) -> None:
    cache = FolderCache(tmp_path / "cache")
    images = [
        load_archive(distill(body, tmp_path / name, access_to(tmp_path), cache=cache)[0]).images
        for name, body in {
            "plain": config(uri),
            "half": config(uri, prior=FIT, sampler={"strength": 0.5, "steps": 4}),
            "whole": config(uri, prior=FIT, sampler={"strength": 1, "steps": 4}),
        }.items()
    ]
    assert not torch.equal(images[0], images[1])
    assert not torch.equal(images[1], images[2])


def test_a_prior_can_be_fitted_alone_and_the_same_folder_goes_on(uri: str, tmp_path: Path) -> None:
    body, seen = config(uri, prior=FIT, sampler=FEW), []
    prior = fit_prior(body, tmp_path / "out", access_to(tmp_path))
    assert json.loads((prior / "model_index.json").read_text())["id2label"] == {"0": "cat", "1": "dog", "2": "eel"}
    distill(body, tmp_path / "out", access_to(tmp_path), seen.append)
    assert Stage.FIT not in {event.stage for event in seen}


def test_a_prior_that_needs_no_fitting_is_not_fitted(uri: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'pixels' is not fitted"):
        fit_prior(config(uri), tmp_path / "out", access_to(tmp_path))


def weights_of(folder: Path) -> bytes:
    return next((folder / "fit" / "prior" / "transformer").glob("*.safetensors")).read_bytes()


def test_several_networks_by_a_protocol_of_the_field_give_a_table(uri: str, tmp_path: Path) -> None:
    students = {
        "protocol": "minimax-hard",
        "networks": ["convnet-3", "resnetap-10"],
        "seeds": 1,
        "steps": 2,
        "width": 8,
    }
    (archive,) = run(config(uri, students=students), tmp_path)
    with zipfile.ZipFile(archive) as file:
        report, card = json.loads(file.read("report.json")), file.read("README.md").decode()
    assert list(report["by_network"]) == ["convnet-3", "resnetap-10"]
    assert report["by_network"]["convnet-3"] == report["accuracy"]
    assert "convnet-3 %  resnetap-10 %" in card
    recipe = load_archive(archive).recipe
    assert (recipe.protocol.name, recipe.steps, recipe.batch_size) == ("minimax-hard", 2, 64)
    assert "CutMix" in recipe.augmentation


def test_epochs_give_each_budget_of_a_sweep_its_own_steps(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(SMALL_HARD, epochs=((1, 2),), batch_sizes=((1, 4),))
    monkeypatch.setattr("ddoq.evaluation_config.PROTOCOLS", {"small-hard": short})
    sweep = config(uri, images_per_class=[1, 3], students={"protocol": "small-hard", "seeds": 1, "width": 8})
    events: list[Event] = []
    archives = distill(sweep, tmp_path / "out", access_to(tmp_path), events.append)
    assert [load_archive(archive).recipe.steps for archive in archives] == [2, 6]
    done = [(event.done, event.total) for event in events if event.stage is Stage.TRAIN]
    assert done == sorted(done)
    assert done[-1] == (4 * 8, 4 * 8)  # four contenders


def save_teacher(file: Path) -> dict[str, object]:
    """Write a teacher that was never taught; answer its config."""
    network = make_network("convnet-3", 3, 16, torch.Generator().manual_seed(0))
    save_file(network.state_dict(), file)
    numbers = {"mean": [0.5, 0.5, 0.5], "deviation": [0.25, 0.25, 0.25], "resolution": 16, "temperature": 4}
    return {"kind": "checkpoint", "network": "convnet-3", "checkpoint": str(file), **numbers}


def test_a_teacher_labels_the_distilled_images_and_the_random_ones(uri: str, tmp_path: Path) -> None:
    taught = config(uri, images_per_class=[1, 2], teacher=save_teacher(tmp_path / "teacher.safetensors"))
    events: list[Event] = []
    archives = distill(taught, tmp_path / "out", access_to(tmp_path), events.append)
    labelled = [(event.done, event.total) for event in events if event.stage is Stage.LABEL]
    assert labelled == [(3, 18), (6, 18), (12, 18), (18, 18)]  # three and six images, distilled and random
    for archive, n in zip(archives, (3, 6), strict=True):
        loaded = load_archive(archive)
        assert loaded.soft_labels is not None
        expected = load_teacher(taught, NAMES, None).label(loaded.images)
        torch.testing.assert_close(loaded.soft_labels, expected, rtol=1e-2, atol=1e-3)
        assert "soft labels" in loaded.recipe.loss
        with zipfile.ZipFile(archive) as file:
            report, card = json.loads(file.read("report.json")), file.read("README.md").decode()
        assert report["figures"]["bytes.soft_labels"] == 2 * n * 3
        assert {"distilled", "random real", "random, same labels"} < set(report["accuracy"])
        assert "`soft_labels.safetensors`" in card
        assert "at temperature 4" in card


TRAINED = {"kind": "train", "network": "convnet-3", "width": 8, "norm": "batch", "steps": 12, "batch_size": 12}


def test_a_teacher_that_is_trained_labels_as_one_from_a_file_does(uri: str, tmp_path: Path) -> None:
    taught, events = config(uri, images_per_class=2, teacher=TRAINED), list[Event]()
    (archive,) = distill(taught, tmp_path / "out", access_to(tmp_path), events.append)
    told = [event for event in events if event.stage is Stage.TEACH]
    assert (told[-1].done, told[-1].total) == (12, 12)
    assert "loss" in told[-1].values
    loaded = load_archive(archive)
    expected = load_teacher(taught, NAMES, tmp_path / "out" / "teach").label(loaded.images)
    assert loaded.soft_labels is not None
    torch.testing.assert_close(loaded.soft_labels, expected, rtol=1e-2, atol=1e-3)
    with zipfile.ZipFile(archive) as file:
        report, card = json.loads(file.read("report.json")), file.read("README.md").decode()
    assert {"distilled", "random real", "random, same labels"} < set(report["accuracy"])
    assert "logits of a convnet-3 trained on this dataset" in card


def test_a_teacher_is_trained_once_for_all_distillations_of_a_dataset(uri: str, tmp_path: Path) -> None:
    cache, events = FolderCache(tmp_path / "cache"), list[Event]()
    (first,) = distill(config(uri, teacher=TRAINED), tmp_path / "one", access_to(tmp_path), cache=cache)
    other = config(uri, teacher=TRAINED, method="random", images_per_class=2)
    distill(other, tmp_path / "two", access_to(tmp_path), events.append, cache)
    assert not [event for event in events if event.stage is Stage.TEACH and "loss" in event.values]
    one, two = (tmp_path / name / "teach" / "teacher" / "model.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    (alone,) = distill(config(uri, teacher=TRAINED), tmp_path / "three", access_to(tmp_path))
    assert alone.read_bytes() == first.read_bytes()


def test_what_was_taken_for_granted_of_a_pretrained_teacher_is_told_in_the_report(uri: str, tmp_path: Path) -> None:
    save_vit(tmp_path / "vit", ("LABEL_0", "LABEL_1", "LABEL_2"))
    (archive,) = run(config(uri, teacher={"kind": "pretrained", "model": str(tmp_path / "vit")}), tmp_path)
    with zipfile.ZipFile(archive) as file:
        remarks = json.loads(file.read("report.json"))["remarks"]
    assert [remark for remark in remarks if "calls its classes otherwise" in remark]


def test_without_a_teacher_there_are_no_soft_labels(uri: str, tmp_path: Path) -> None:
    (archive,) = run(config(uri), tmp_path)
    assert load_archive(archive).soft_labels is None
    assert not (tmp_path / "out" / "label").exists()
    with zipfile.ZipFile(archive) as file:
        assert "soft" not in file.read("README.md").decode()


def test_a_teacher_of_another_dataset_is_refused_before_any_image_is_encoded(uri: str, tmp_path: Path) -> None:
    save_file(make_network("convnet-3", 5, 16, torch.Generator()).state_dict(), tmp_path / "five.safetensors")
    teacher = {**save_teacher(tmp_path / "three.safetensors"), "checkpoint": str(tmp_path / "five.safetensors")}
    with pytest.raises(ConfigError, match="number of classes"):
        run(config(uri, teacher=teacher), tmp_path)
    assert not (tmp_path / "out" / "encode").exists()


def test_a_stage_reads_no_other_stages_than_those_it_names(uri: str, tmp_path: Path) -> None:
    taught = config(uri, teacher=TRAINED)
    run(taught, tmp_path)
    for stage in taught.stages:
        folders = {needed: tmp_path / "out" / needed for needed in needs(stage, taught)}
        alone = Run(
            taught,
            {**folders, stage: tmp_path / "again" / stage},
            access_to(tmp_path),
            FolderCache(tmp_path / "cache"),
            ignore,
        )
        run_stage(stage, alone)
        assert is_complete(tmp_path / "again" / stage)
