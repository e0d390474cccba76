"""The whole algorithm, without any service, on small real files."""

import csv
import hashlib
import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load

from ddoq.archive import WeightedImages, load_archive
from ddoq.caches import FolderCache
from ddoq.config import DistillConfig
from ddoq.distill import distill
from ddoq.errors import ArchiveError, ConfigError, DatasetChangedError, EmptyClassError
from ddoq.events import Event, OnEvent, Stage, ignore
from ddoq.sources import Access
from tests.pictures import access_to, members, png, write_folder, write_tar, write_zip

QUICK = {"seeds": 2, "steps": 3, "width": 8, "batch_size": 8}


def config(uri: str, **changes: object) -> DistillConfig:
    body = {
        "dataset": {"uri": uri},
        "images_per_class": 3,
        "prior": {"kind": "pixels", "resolution": 16},
        "students": QUICK,
        **changes,
    }
    return DistillConfig.model_validate(body)


def archive_of(finished: DistillConfig, folder: Path, access: Access, on_event: OnEvent = ignore) -> Path:
    """Distil by one budget."""
    (archive,) = distill(finished, folder, access, on_event)
    return archive


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One finished distillation: its folder, its config and its archive."""
    folder = tmp_path_factory.mktemp("run")
    finished = config(write_zip(folder / "data.zip", members()))
    return folder, finished, archive_of(finished, folder / "out", access_to(folder))


def test_the_archive_has_an_image_for_each_codeword_of_each_class(run):
    archive = load_archive(run[2])
    assert archive.images.shape == (9, 3, 16, 16)
    assert archive.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert archive.class_names == ("cat", "dog", "eel")


def test_distilled_images_look_like_their_class(run):
    archive = load_archive(run[2])
    means = archive.images.float().mean(dim=(2, 3))
    assert means[archive.labels == 0].argmax(dim=1).tolist() == [1] * 3  # green
    assert means[archive.labels == 1].argmax(dim=1).tolist() == [0] * 3  # red
    assert means[archive.labels == 2].argmax(dim=1).tolist() == [2] * 3  # blue


def test_weights_have_mean_one_in_each_class_and_follow_the_counts(run):
    rows = metadata(run[2])
    for label in range(3):
        counts = torch.tensor([float(row["count"]) for row in rows if row["label"] == str(label)])
        weights = torch.tensor([float(row["weight"]) for row in rows if row["label"] == str(label)])
        torch.testing.assert_close(weights, counts.sqrt() / counts.sqrt().mean(), rtol=1e-4, atol=1e-5)
        assert int(counts.sum()) == 12


def test_the_torch_dataset_yields_image_label_and_weight(run):
    images = WeightedImages(load_archive(run[2]))
    image, label, weight = images[4]
    assert image.shape == (3, 16, 16)
    assert 0 <= float(image.min()) < float(image.max()) <= 1
    assert (label, len(images)) == (1, 9)
    assert weight > 0


def test_the_codebook_in_the_archive_is_that_of_the_images(run):
    with zipfile.ZipFile(run[2]) as archive:
        book = load(archive.read("codebook.safetensors"))
    pixels = ((book["centroids"].unflatten(1, (3, 16, 16)) + 1) * 127.5).round().to(torch.uint8)
    assert torch.equal(pixels, load_archive(run[2]).images)
    torch.testing.assert_close(book["weights"].view(3, 3).sum(dim=1), torch.ones(3))


def test_the_same_config_and_seed_give_the_same_bytes(run, tmp_path):
    folder, finished, archive = run
    assert sha256(archive_of(finished, tmp_path, access_to(folder))) == sha256(archive)


def test_another_seed_gives_another_archive(run, tmp_path):
    folder, finished, archive = run
    other = finished.model_copy(update={"seed": 1})
    assert sha256(archive_of(other, tmp_path, access_to(folder))) != sha256(archive)


def test_folder_zip_and_tar_of_the_same_images_give_the_same_images(run, tmp_path):
    uris = [
        write_folder(tmp_path / "folder", members()),
        write_tar(tmp_path / "data.tar", members()),
        write_tar(tmp_path / "data.tar.gz", members(), "w:gz"),
    ]
    images = load_archive(run[2]).images
    for number, uri in enumerate(uris):
        archive = archive_of(config(uri), tmp_path / f"out{number}", access_to(tmp_path))
        assert torch.equal(load_archive(archive).images, images), uri


def test_a_second_run_resumes_behind_the_finished_stages(tmp_path):
    finished = config(write_zip(tmp_path / "data.zip", members()))
    archive_of(finished, tmp_path / "out", access_to(tmp_path))
    for stage in (Stage.EVALUATE, Stage.PACKAGE):
        (tmp_path / "out" / stage / "manifest.json").unlink()
    seen: list[Event] = []
    archive_of(finished, tmp_path / "out", access_to(tmp_path), seen.append)
    assert {event.stage for event in seen} == {Stage.EVALUATE, Stage.PACKAGE}


def test_an_interrupted_stage_starts_again_and_the_bytes_are_the_same(run, tmp_path):
    folder, finished, archive = run

    def interrupt(event: Event) -> None:
        if event.stage is Stage.GENERATE and event.done >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        archive_of(finished, tmp_path, access_to(folder), interrupt)
    assert not (tmp_path / "generate" / "manifest.json").exists()
    assert sha256(archive_of(finished, tmp_path, access_to(folder))) == sha256(archive)


def test_a_folder_of_another_config_is_refused(run):
    folder, finished, _ = run
    with pytest.raises(ConfigError, match="another config"):
        archive_of(finished.model_copy(update={"seed": 9}), folder / "out", access_to(folder))


def test_a_dataset_that_changes_between_two_stages_is_refused(tmp_path):
    finished = config(write_zip(tmp_path / "data.zip", members()))
    archive_of(finished, tmp_path / "out", access_to(tmp_path))
    (tmp_path / "out" / "evaluate" / "manifest.json").unlink()
    write_zip(tmp_path / "data.zip", members(n_train=13))
    with pytest.raises(DatasetChangedError, match=r"data\.zip"):
        archive_of(finished, tmp_path / "out", access_to(tmp_path))


def test_too_few_images_are_refused_by_the_name_of_their_class(tmp_path):
    files = members() | {f"train/dog/{n:03d}.png": png(1, 0) for n in range(12)}  # twelve times the same dog
    with pytest.raises(EmptyClassError, match=r"'dog' has 1 distinct images"):
        archive_of(config(write_zip(tmp_path / "data.zip", files)), tmp_path / "out", access_to(tmp_path))


def test_the_report_says_what_was_resized_and_what_was_skipped(tmp_path):
    files = members(size=(24, 16)) | {"train/cat/broken.png": b"not a picture"}
    body = config(write_zip(tmp_path / "data.zip", files)).model_dump()
    body["dataset"]["max_bad_share"] = 0.1
    archive = archive_of(DistillConfig.model_validate(body), tmp_path / "out", access_to(tmp_path))
    with zipfile.ZipFile(archive) as file:
        remarks = json.loads(file.read("report.json"))["remarks"]
    assert any("36 of 36 training images (24 x 16 pixels)" in remark and "16 x 16:" in remark for remark in remarks)
    assert any("cat/broken.png" in remark for remark in remarks)


def test_without_a_test_split_images_are_held_out_and_the_report_says_so(tmp_path):
    archive = archive_of(
        config(write_zip(tmp_path / "data.zip", members(n_test=0))), tmp_path / "out", access_to(tmp_path)
    )
    with zipfile.ZipFile(archive) as file:
        report = json.loads(file.read("report.json"))
    assert report["figures"]["test_images"] > 0
    assert any("held out" in remark for remark in report["remarks"])


def test_the_report_measures_what_the_weights_gain(run):
    with zipfile.ZipFile(run[2]) as archive:
        figures = json.loads(archive.read("report.json"))["figures"]
    assert figures["w2.weighted"] == pytest.approx(figures["distortion"], rel=1e-5)  # all rows of all classes were used
    assert figures["w2.weighted"] <= figures["w2.uniform"]
    assert figures["w2.classes"] == 3


def test_every_contender_is_in_the_report(run):
    with zipfile.ZipFile(run[2]) as archive:
        accuracy = json.loads(archive.read("report.json"))["accuracy"]
    assert set(accuracy) == {"distilled", "uniform weights", "medoids", "random real"}
    assert all(len(score["values"]) == 2 for score in accuracy.values())


@pytest.mark.parametrize(("evaluation", "steps"), [("quick", 60), ("full", 30)])
def test_nothing_is_learnt_or_chosen_from_the_labels_of_the_test(evaluation, steps, tmp_path):
    """With the test images dealt out over the classes, the same set is made, and is worth no more than a guess."""
    honest = members(n_test=6)
    names = ("cat", "dog", "eel")
    dealt = {
        f"test/{names[(label + index) % 3]}/{label}-{index}.png": honest[f"test/{name}/{index + 12:03d}.png"]
        for label, name in enumerate(names)
        for index in range(6)
    }
    shuffled = {name: data for name, data in honest.items() if name.startswith("train/")} | dealt
    archives = []
    for place, files in (("honest", honest), ("shuffled", shuffled)):
        (tmp_path / place).mkdir()
        students = {**QUICK, "steps": steps, "networks": ["convnet-3"]}
        uri = write_zip(tmp_path / place / "data.zip", files)
        taught = config(uri, students=students, evaluation=evaluation)
        archives.append(archive_of(taught, tmp_path / place / "out", access_to(tmp_path / place)))
    first, second = map(made_of, archives)
    assert first == second
    honest_mean, shuffled_mean = map(mean_accuracies, archives)
    assert min(honest_mean.values()) > 0.9
    assert all(abs(mean - 1 / 3) < 0.1 for mean in shuffled_mean.values())
    chosen = [(tmp_path / place / "out" / "quantize" / "manifest.json").read_text() for place in ("honest", "shuffled")]
    assert chosen[0] == chosen[1]
    tunings = [report_of(archive)["tuning"] for archive in archives]
    assert tunings[0] == tunings[1]
    assert (tunings[0] is None) == (evaluation == "quick")


FULL = {"evaluation": "full", "students": {**QUICK, "networks": ["convnet-3", "cifar-resnet-20"]}}


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """One distillation evaluated in full: its folder, its cache and its archive."""
    folder = tmp_path_factory.mktemp("full")
    cache = FolderCache(folder / "cache")
    compared = config(write_zip(folder / "data.zip", members()), **FULL)
    (archive,) = distill(compared, folder / "out", access_to(folder), cache=cache)
    return folder, cache, archive


def report_of(archive: Path) -> dict[str, Any]:
    with zipfile.ZipFile(archive) as file:
        return json.loads(file.read("report.json"))


def test_full_evaluation_compares_with_every_rival_on_every_network(full):
    report = report_of(full[2])
    rivals = {"uniform weights", "share weights", "medoids", "random real", "full data"}
    assert set(report["accuracy"]) == set(report["calibration"]) == {"distilled"} | rivals
    assert {row["rival"] for row in report["comparisons"]} == rivals
    for network in ("convnet-3", "cifar-resnet-20"):
        assert all(len(score["values"]) == 2 for score in report["by_network"][network].values())
        rates = report["tuning"]["rates"][network]
        assert set(rates) == {"distilled"} | rivals
        assert {f"{rate / 0.002:.3f}" for rate in rates.values()} <= {"0.333", "1.000", "3.000"}


def test_full_evaluation_holds_validation_images_out_and_says_so(full):
    folder, _, archive = full
    report = report_of(archive)
    found = json.loads((folder / "out" / "read" / "manifest.json").read_text())
    assert (found["n_train"], found["n_validation"], found["n_test"]) == ([11] * 3, [1] * 3, [4] * 3)
    assert (report["figures"]["train_images"], report["figures"]["validation_images"]) == (33, 3)
    assert any("held out as validation" in remark for remark in report["remarks"])
    nearest = {row["nearest"] for row in metadata(archive)}
    assert not nearest & {f"{name}/009.png" for name in ("cat", "dog", "eel")}
    assert report["tuning"]["n_images"] == 3


def test_the_recipe_in_the_archive_has_the_rates_that_were_chosen_for_the_distilled_set(full):
    rates = {network: each["distilled"] for network, each in report_of(full[2])["tuning"]["rates"].items()}
    with zipfile.ZipFile(full[2]) as archive:
        card = archive.read("README.md").decode()
    assert all(f"{rate:g}" in card for rate in rates.values())


def test_a_second_distillation_of_the_same_data_does_not_train_on_full_data_again(full, tmp_path):
    folder, cache, archive = full
    other = config((folder / "data.zip").as_uri(), **FULL, images_per_class=2)
    events: list[Event] = []
    (second,) = distill(other, tmp_path / "out", access_to(folder), events.append, cache)
    steps = [event.done for event in events if event.stage is Stage.TRAIN]
    n_rivals, n_full = 5 * (3 + 2) * 2 * 3, (3 + 2) * 2 * 3  # students and steps: of the rivals, of full data
    assert not [done for done in steps if n_rivals < done < n_rivals + n_full]
    assert steps[-1] == n_rivals + n_full
    assert report_of(second)["accuracy"]["full data"] == report_of(archive)["accuracy"]["full data"]
    assert len(list(cache.root.glob("*/full-data"))) == 1


def test_a_second_distillation_of_the_same_data_encodes_nothing_and_makes_the_archive_it_would_have_made_alone(
    run, tmp_path
):
    folder, finished, archive = run
    events: list[Event] = []
    other = config(finished.dataset.uri, images_per_class=2, evaluation="none")
    distill(other, tmp_path / "first", access_to(folder), cache=FolderCache(tmp_path / "cache"))
    (second,) = distill(
        finished, tmp_path / "second", access_to(folder), events.append, FolderCache(tmp_path / "cache")
    )
    assert [(event.done, event.total) for event in events if event.stage is Stage.ENCODE] == [(36, 36)]
    assert sha256(second) == sha256(archive)


def test_without_evaluation_there_is_an_archive_and_no_accuracy(run, tmp_path):
    folder, finished, archive = run
    events: list[Event] = []
    bare = archive_of(config(finished.dataset.uri, evaluation="none"), tmp_path, access_to(folder), events.append)
    report = report_of(bare)
    assert (report["accuracy"], report["comparisons"], report["tuning"]) == ({}, [], None)
    assert report["verdict"].startswith("Nothing was compared")
    assert report["figures"]["distortion"] > 0
    assert torch.equal(load_archive(bare).images, load_archive(archive).images)
    assert [(event.done, event.total) for event in events if event.stage is Stage.EVALUATE] == [(1, 1)]
    assert Stage.TRAIN not in {event.stage for event in events}
    assert not (tmp_path / "package" / "accuracy.svg").exists()


def made_of(archive: Path) -> dict[str, bytes]:
    """What is in an archive but for what was found by the test, and where the dataset was."""
    with zipfile.ZipFile(archive) as file:
        found = {"README.md", "accuracy.svg", "config.json", "manifest.json", "report.html", "report.json"}
        return {name: file.read(name) for name in set(file.namelist()) - found - {"accuracy-by-class.svg"}}


def mean_accuracies(archive: Path) -> dict[str, float]:
    with zipfile.ZipFile(archive) as file:
        accuracy = json.loads(file.read("report.json"))["accuracy"]
    return {name: score["mean"] for name, score in accuracy.items()}


def test_members_are_stored_sorted_and_without_times(run):
    with zipfile.ZipFile(run[2]) as archive:
        infos = archive.infolist()
    assert {info.compress_type for info in infos} == {zipfile.ZIP_STORED}
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    assert infos[-1].filename == "manifest.json"
    assert [info.filename for info in infos[:-1]] == sorted(info.filename for info in infos[:-1])


def test_a_changed_member_is_noticed(run, tmp_path):
    with zipfile.ZipFile(run[2]) as source, zipfile.ZipFile(tmp_path / "changed.zip", "w") as target:
        for info in source.infolist():
            data = source.read(info)
            target.writestr(info, data.replace(b"cat", b"cow") if info.filename == "train/metadata.csv" else data)
    with pytest.raises(ArchiveError, match=r"train/metadata\.csv"):
        load_archive(tmp_path / "changed.zip")


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "no.zip").write_bytes(b"no zip")
    with pytest.raises(ArchiveError, match="not a distilled archive"):
        load_archive(tmp_path / "no.zip")


def test_the_snippets_of_the_card_run(run, tmp_path):
    (tmp_path / "archive.zip").write_bytes(run[2].read_bytes())
    with zipfile.ZipFile(run[2]) as archive:
        card = archive.read("README.md").decode()
    snippets = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    assert len(snippets) == 3
    for snippet in snippets:
        subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, check=True, env=offline(tmp_path))


def test_image_folder_readers_find_images_labels_and_weights(run, tmp_path):
    code = """
import json, sys
from datasets import load_dataset
rows = load_dataset("imagefolder", data_dir="distilled", split="train")
print(json.dumps([[row["label"], row["weight"], row["class"], row["image"].size] for row in rows]))
"""
    with zipfile.ZipFile(run[2]) as archive:
        archive.extractall(tmp_path / "distilled")
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, env=offline(tmp_path))
    rows = json.loads(out.stdout.splitlines()[-1])
    expected = [[int(row["label"]), float(row["weight"]), row["class"], [16, 16]] for row in metadata(run[2])]
    assert sorted(rows) == sorted(expected)


def metadata(archive: Path) -> list[dict[str, str]]:
    with zipfile.ZipFile(archive) as file:
        return list(csv.DictReader(io.StringIO(file.read("train/metadata.csv").decode())))


def offline(folder: Path) -> dict[str, str]:
    import os

    return dict(os.environ) | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf")}


def test_a_class_too_large_to_be_held_is_quantized_as_a_stream(run, tmp_path, monkeypatch):
    monkeypatch.setattr("ddoq.reduction.STREAM_BYTES", 0)
    folder, finished, _ = run
    rows = metadata(archive_of(finished, tmp_path, access_to(folder)))
    assert [sum(int(row["count"]) for row in rows if row["class"] == name) for name in ("cat", "dog", "eel")] == [
        12
    ] * 3
