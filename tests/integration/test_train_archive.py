"""From the archive file alone one trains the students of its report, to the bit."""

import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

import ddoq
from cli.demo import write_digits
from ddoq.codebooks import open_codebooks
from ddoq.config import DistillConfig
from ddoq.contenders import gather_contenders, stream_test
from ddoq.datasets import Dataset, open_dataset
from ddoq.distill import distill
from ddoq.events import Stage
from ddoq.generate import open_images
from ddoq.latents import open_latents
from ddoq.network_config import NetworkConfig
from ddoq.networks import load_network
from ddoq.training import Student, training_set
from tests.pictures import access_to

CPU = torch.device("cpu")
# Images are made at 16 pixels and shown to students at 8, so that they are resized as well; weights differ.
BODY = {
    "images_per_class": 4,
    "prior": {"kind": "pixels", "resolution": 16},
    "students": {"seeds": 2, "steps": 60, "width": 16, "resolution": 8, "networks": ["convnet-3", "cifar-resnet-20"]},
    "seed": 11,
}
ALONE = """
import json, sys, ddoq, torch
student = ddoq.train("archive.zip", seed=1, device=torch.device("cpu"))
print(json.dumps([parameter.tolist() for parameter in student.parameters()]))
"""


@dataclass(frozen=True)
class Run:
    """A finished distillation of real digits."""

    folder: Path
    config: DistillConfig
    dataset: Dataset
    archive: Path

    def test_batches(self) -> list[tuple[Tensor, Tensor]]:
        return list(stream_test(self.config, self.dataset, []))

    def accuracies(self, network: str) -> list[float]:
        with zipfile.ZipFile(self.archive) as file:
            report = json.loads(file.read("report.json"))
        return list(report["by_network"][network]["distilled"]["values"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("digits")
    write_digits(folder / "digits.zip")
    config = DistillConfig.model_validate({**BODY, "dataset": {"uri": (folder / "digits.zip").as_uri()}})
    (archive,) = distill(config, folder / "out", access_to(folder))
    return Run(folder, config, open_dataset(config.dataset, access_to(folder)), archive)


def accuracy(student: Student, run: Run) -> float:
    batches = run.test_batches()
    right = sum(int((student.predict(images) == labels).sum()) for images, labels in batches)
    return right / sum(len(labels) for _, labels in batches)


@pytest.mark.parametrize("network", ["convnet-3", "cifar-resnet-20"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_student_of_a_seed_is_right_as_often_as_the_report_says(run: Run, network: str, seed: int) -> None:
    student = ddoq.train(run.archive, network, seed=seed, device=CPU)
    one_digit = 1 / 360
    assert accuracy(student, run) == pytest.approx(run.accuracies(network)[seed], abs=one_digit / 100)


def test_tuned_rates_and_stored_labels_are_part_of_what_is_repeated(run: Run, tmp_path: Path) -> None:
    """In full evaluation, whose learning rate is chosen for each network, on a trained teacher's stored labels."""
    body = {**BODY, "students": {**BODY["students"], "steps": 4, "width": 8}, "evaluation": "full"}  # type: ignore[dict-item]
    teacher = {"kind": "train", "network": "convnet-3", "width": 8, "steps": 30, "labels": "stored"}
    dataset = run.config.dataset.model_dump()
    config = DistillConfig.model_validate({**body, "dataset": dataset, "teacher": teacher})
    (archive,) = distill(config, tmp_path / "out", access_to(run.folder))
    full, recipe = replace(run, config=config, archive=archive), ddoq.load_archive(archive).recipe
    rates = recipe.protocol.optimizer.learning_rates
    assert rates.keys() == {"convnet-3", "cifar-resnet-20"}
    assert set(rates.values()) != {recipe.protocol.optimizer.learning_rate}
    for network in rates:
        found = [accuracy(ddoq.train(archive, network, seed=seed, device=CPU), full) for seed in (0, 1)]
        assert found == pytest.approx(full.accuracies(network), abs=1e-5)


def test_the_archive_gives_the_training_set_of_the_evaluation_to_the_bit(run: Run) -> None:
    folders = {stage: run.folder / "out" / stage for stage in Stage}
    (books,) = open_codebooks(folders[Stage.QUANTIZE])
    images, latents = open_images(folders[Stage.GENERATE] / books.budget.name), open_latents(folders[Stage.ENCODE])
    expected = gather_contenders(run.config, run.dataset, latents, books, images)["distilled"][0]
    found = training_set(ddoq.load_archive(run.archive))
    assert torch.equal(found.images, expected.images)
    assert torch.equal(found.labels, expected.labels)
    assert torch.equal(found.weights, expected.weights)
    assert len(found.weights.unique()) > 20  # weights that rounding could have changed


def test_a_fresh_process_with_the_file_alone_trains_the_same_student(run: Run, tmp_path: Path) -> None:
    (tmp_path / "archive.zip").write_bytes(run.archive.read_bytes())
    command = [sys.executable, "-c", ALONE]
    out = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, env=dict(os.environ))
    student = ddoq.train(run.archive, seed=1, device=CPU)
    assert json.loads(out.stdout.splitlines()[-1]) == [parameter.tolist() for parameter in student.parameters()]


def ddoq_train(run: Run, folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run `ddoq train` on the archive."""
    command = [sys.executable, "-m", "cli.main", "train", str(run.archive), *options]
    paths = os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}, check=False
    )


def test_the_command_writes_the_student_of_the_report_with_what_is_needed_to_use_it(run: Run, tmp_path: Path) -> None:
    ended = ddoq_train(run, tmp_path, "--json")
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert (told["network"], told["steps"], told["file"]) == ("convnet-3", 60, "student.safetensors")
    assert told["reported"]["values"] == run.accuracies("convnet-3")
    with safe_open(tmp_path / "student.safetensors", "pt") as file:
        about, found = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    expected = ddoq.train(run.archive, device=CPU).network.state_dict()
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())
    network = NetworkConfig(**json.loads(about["network"]))
    assert load_network(tmp_path / "student.safetensors", network, 10, int(about["resolution"]))
    assert json.loads(about["class_names"]) == [str(digit) for digit in range(10)]


def test_the_command_says_that_an_archive_holds_no_test_images_and_what_the_report_says(
    run: Run, tmp_path: Path
) -> None:
    said = ddoq_train(run, tmp_path, "--network", "cifar-resnet-20", "-o", "other.safetensors").stdout.splitlines()
    mean = 100 * sum(run.accuracies("cifar-resnet-20")) / 2
    assert (said[0], said[2]) == ("cifar-resnet-20, 60 steps", "other.safetensors")
    assert f"students of this network {mean:.1f} ± " in said[1]


def test_the_command_refuses_a_network_that_there_is_not_and_leaves_no_file(run: Run, tmp_path: Path) -> None:
    ended = ddoq_train(run, tmp_path, "--network", "resnet-7")
    assert (ended.returncode, ended.stderr.splitlines()[-1].startswith("Error: config.invalid: ")) == (2, True)
    assert not list(tmp_path.iterdir())


def test_a_student_is_tested_on_the_share_that_the_job_held_out_and_does_as_the_report_says(
    run: Run, tmp_path: Path
) -> None:
    ended = ddoq_train(run, tmp_path, "--json", "--test", str(run.folder / "digits.zip"))
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)["tested"]
    assert (told["n_images"], told["n_unreadable"], told["is_whole"]) == (360, 0, False)
    assert told["accuracy"] == pytest.approx(run.accuracies("convnet-3")[0], abs=0.02)  # not exact on a GPU
    assert sorted(told["by_class"]) == [str(digit) for digit in range(10)]


def write_part(run: Run, file: Path, folder: str, names: str = "0123456789") -> Path:
    """Write eight images of each of some classes below a folder of a zip."""
    with zipfile.ZipFile(run.folder / "digits.zip") as digits, zipfile.ZipFile(file, "w") as part:
        for name in names:
            for member in [one for one in digits.namelist() if f"/{one}".split("/")[-2] == name][:8]:
                part.writestr(f"{folder}{name}/{Path(member).name}", digits.read(member))
    return file


@pytest.mark.parametrize("folder", ["", "test/"], ids=["no splits", "a test split alone"])
def test_of_a_dataset_for_testing_all_images_count(run: Run, tmp_path: Path, folder: str) -> None:
    write_part(run, tmp_path / "other.zip", folder)
    said = ddoq_train(run, tmp_path, "--test", "other.zip").stdout.splitlines()
    assert re.fullmatch(r"right on \d+\.\d % of 80 images of file:///.*/other\.zip", said[1])
    assert "students of this network " in said[2]


def test_a_test_without_a_class_of_the_archive_is_refused_before_any_training(run: Run, tmp_path: Path) -> None:
    write_part(run, tmp_path / "other.zip", "", "012345678")
    ended = ddoq_train(run, tmp_path, "--test", (tmp_path / "other.zip").as_uri())
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "dataset.unknown_class" in ended.stderr
    assert not (tmp_path / "student.safetensors").exists()


def test_a_module_of_ones_own_learns_to_read(run: Run) -> None:
    layers = (nn.Flatten(), nn.Linear(3 * 8 * 8, 64), nn.ReLU(), nn.Linear(64, 10))
    assert accuracy(ddoq.train(run.archive, nn.Sequential(*layers), device=CPU), run) > 0.6


def test_the_snippet_of_the_card_trains_the_first_student_of_the_report(run: Run, tmp_path: Path) -> None:
    with zipfile.ZipFile(run.archive) as file:
        card = file.read("README.md").decode()
    (snippet,) = (text for text in re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL) if "ddoq.train" in text)
    (tmp_path / "archive.zip").write_bytes(run.archive.read_bytes())
    code = (
        f"import os; os.chdir({str(tmp_path)!r})\n{snippet}\nimport torch; torch.save(student.state_dict(), 'student')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ), stdout=subprocess.DEVNULL)
    named = ddoq.train(run.archive)
    named.load_state_dict(torch.load(tmp_path / "student", weights_only=True))
    assert accuracy(named, run) == pytest.approx(run.accuracies("convnet-3")[0], abs=0.02)  # not exact on a GPU
