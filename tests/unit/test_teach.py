"""A teacher trained on a dataset's own images: short, but with real images and networks."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import ddoq.teach
from ddoq.caches import FolderCache
from ddoq.config import DistillConfig
from ddoq.datasets import Dataset, open_dataset
from ddoq.encode import encode
from ddoq.errors import ConfigError, TeacherError
from ddoq.events import Event, OnEvent, Stage, ignore
from ddoq.latents import Latents
from ddoq.manifests import read_manifest
from ddoq.prior import load_encoder
from ddoq.protocols import Protocol
from ddoq.teach import (
    TAUGHT,
    TaughtManifest,
    TeachPlace,
    count_steps,
    protocol_of,
    teach,
    teach_key,
)
from ddoq.teacher_config import TrainedTeacher
from ddoq.teachers import load_teacher
from tests.pictures import access_to, members, write_zip

N_STEPS = 25
TEACHER = {"kind": "train", "network": "convnet-3", "width": 8, "norm": "batch", "steps": N_STEPS, "batch_size": 12}


@dataclass(frozen=True)
class Encoded:
    """A dataset behind its encode stage."""

    config: DistillConfig
    dataset: Dataset
    latents: Latents

    def teach(self, at: TeachPlace, on_event: OnEvent = ignore, **teacher: object) -> Path:
        settings = TrainedTeacher.model_validate({**TEACHER, **teacher})
        return teach(self.dataset, self.latents, self.config.model_copy(update={"teacher": settings}), at, on_event)

    def pictures(self) -> tuple[Tensor, Tensor]:
        samples = list(self.dataset.samples("train", 16, lambda _: None))
        return torch.stack([sample.image for sample in samples]), torch.tensor([sample.label for sample in samples])


class StopError(Exception):
    """What a cancelled job raises from the listener."""


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    folder = tmp_path_factory.mktemp("data")
    files = {**members(), "train/dog/damaged.png": b"no picture"}
    dataset = {"uri": write_zip(folder / "set.zip", files), "max_bad_share": 0.1}
    prior = {"kind": "pixels", "resolution": 16}
    config = DistillConfig.model_validate({"dataset": dataset, "prior": prior, "teacher": TEACHER})
    opened = open_dataset(config.dataset, access_to(folder))
    return Encoded(config, opened, encode(opened, load_encoder(config), config, folder / "encode", ignore))


@pytest.fixture
def at(tmp_path: Path) -> TeachPlace:
    return TeachPlace(tmp_path / "teach" / TAUGHT, FolderCache(tmp_path / "cache"), "key")


@pytest.fixture(scope="module")
def undisturbed(encoded: Encoded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    return encoded.teach(TeachPlace(folder / TAUGHT, FolderCache(folder / "cache"), "key"))


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_teacher_knows_the_images_that_it_learned_from(encoded: Encoded, undisturbed: Path) -> None:
    images, labels = encoded.pictures()
    teacher = load_teacher(encoded.config, encoded.dataset.class_names, undisturbed.parent)
    n_right = int((teacher.label(images).argmax(1) == labels).sum())
    assert n_right > 30
    assert read_manifest(undisturbed, TaughtManifest).accuracy == n_right / 36
    assert teacher.resolution == 16
    assert teacher.remarks == ()


def test_its_file_is_a_checkpoint_that_answers_the_same(encoded: Encoded, undisturbed: Path) -> None:
    taught = read_manifest(undisturbed, TaughtManifest)
    numbers = {"mean": taught.mean, "deviation": taught.deviation, "resolution": 16}
    network = {name: TEACHER[name] for name in ("network", "width", "norm")}
    teacher = {"kind": "checkpoint", "checkpoint": str(undisturbed), **network, **numbers}
    config = DistillConfig.model_validate(encoded.config.model_dump() | {"teacher": teacher})
    names, images = encoded.dataset.class_names, encoded.pictures()[0]
    expected = load_teacher(encoded.config, names, undisturbed.parent).label(images)
    assert torch.equal(load_teacher(config, names, None).label(images), expected)


def test_mean_and_deviation_are_those_of_the_images(encoded: Encoded, undisturbed: Path) -> None:
    channels = encoded.pictures()[0].double().div(255).transpose(0, 1).flatten(1)
    taught = read_manifest(undisturbed, TaughtManifest)
    torch.testing.assert_close(torch.tensor(taught.mean).double(), channels.mean(1))
    torch.testing.assert_close(torch.tensor(taught.deviation).double(), channels.std(1, correction=0))
    assert taught.n_images == 36  # not the one that does not decode


def test_every_step_is_told(encoded: Encoded, at: TeachPlace) -> None:
    told: list[Event] = []
    encoded.teach(at, told.append)
    steps = [event for event in told if "loss" in event.values]
    assert {(event.stage, event.total) for event in told} == {(Stage.TEACH, N_STEPS)}
    assert [event.done for event in steps[:N_STEPS]] == list(range(1, N_STEPS + 1))
    assert [event.done for event in told] == sorted(event.done for event in told)


def test_the_same_settings_train_the_same_teacher_byte_for_byte(
    encoded: Encoded, undisturbed: Path, at: TeachPlace
) -> None:
    assert content(encoded.teach(at)) == content(undisturbed)


@pytest.mark.parametrize("step", [0, 3, N_STEPS])
def test_a_stopped_training_starts_again_and_ends_with_the_same_bytes(
    encoded: Encoded, undisturbed: Path, at: TeachPlace, step: int
) -> None:
    def stop(event: Event) -> None:
        if event.done == step:
            raise StopError

    with pytest.raises(StopError):
        encoded.teach(at, stop)
    assert at.cache.names("key") == []
    assert content(encoded.teach(at)) == content(undisturbed)


def test_a_teacher_that_was_trained_before_is_not_trained_again(
    encoded: Encoded, undisturbed: Path, at: TeachPlace, tmp_path: Path
) -> None:
    encoded.teach(at)
    told: list[Event] = []
    again = encoded.teach(replace(at, folder=tmp_path / "again"), told.append)
    assert [(event.done, event.total, event.values) for event in told] == [(N_STEPS, N_STEPS, {})]
    assert content(again) == content(undisturbed)


def test_what_memory_does_not_hold_is_left_out_at_random_and_that_is_told(
    encoded: Encoded, at: TeachPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ddoq.teach, "MAX_BYTES", 20 * 3 * 16 * 16)
    taught = read_manifest(encoded.teach(at), TaughtManifest)
    assert taught.n_images == 20
    assert taught.remarks[0].startswith("The teacher was trained on 20 of the 36 training images, drawn at random")


def test_a_training_that_diverges_is_refused(encoded: Encoded, at: TeachPlace) -> None:
    with pytest.raises(TeacherError, match=r"not finite at step \d+; lower teacher\.learning_rate"):
        encoded.teach(at, network="resnet-18", norm="none", learning_rate=10, steps=50)


def test_a_training_that_diverges_at_its_last_steps_is_refused_and_not_kept(encoded: Encoded, at: TeachPlace) -> None:
    with pytest.raises(TeacherError, match="not finite at step 3;"):
        encoded.teach(at, network="resnet-18", norm="none", learning_rate=10, steps=3)
    assert at.cache.names("key") == []


@pytest.mark.parametrize("teacher", [None, {"kind": "pretrained", "model": "/models/vit"}])
def test_only_the_teacher_of_its_kind_is_trained(
    encoded: Encoded, at: TeachPlace, teacher: dict[str, object] | None
) -> None:
    other = encoded.config.model_dump() | {"teacher": teacher}
    with pytest.raises(ConfigError, match=r"teacher\.kind"):
        teach(encoded.dataset, encoded.latents, DistillConfig.model_validate(other), at, ignore)


@pytest.mark.parametrize(
    ("settings", "n_images", "n_steps"),
    [
        ({}, 500, 1000),  # 30 epochs would be 118
        ({}, 50_000, 11_719),
        ({"epochs": 1}, 500, 4),
        ({"batch_size": 100, "epochs": 3}, 500, 15),
        ({"steps": 7}, 50_000, 7),
    ],
)
def test_a_teacher_learns_as_long_as_it_takes_or_as_was_asked_for(
    settings: dict[str, int], n_images: int, n_steps: int
) -> None:
    assert count_steps(TrainedTeacher(**settings), n_images) == n_steps


def test_settings_become_a_protocol_of_hard_labels() -> None:
    settings = TrainedTeacher(network="convnet-3", norm="batch", learning_rate=0.1, flip=0.0, batch_size=50)
    protocol: Protocol = protocol_of(settings, 10)
    assert protocol.networks == (settings.resolved_network,)
    assert (protocol.labels, protocol.n_steps(1000, 10), protocol.batch_size(1000, 10)) == ("hard", 10, 50)
    assert protocol.optimizer.rate("convnet-3", 0) == 0.1
    assert protocol.augment.flip == 0


def key(fingerprint: str = "f", class_names: tuple[str, ...] = ("a", "b"), **changes: object) -> str:
    fields = {"dataset": {"uri": "file:///a"}, "teacher": TEACHER, "students": {"resolution": 32}}
    return teach_key(DistillConfig.model_validate(fields | changes), fingerprint, class_names)


@pytest.mark.parametrize(
    "changes",
    [
        {"fingerprint": "other"},
        {"class_names": ("b", "a")},
        {"seed": 1},
        {"dataset": {"uri": "file:///a", "aspect": "pad"}},
        {"dataset": {"uri": "file:///a", "test_share": 0.1}},
        {"students": {"resolution": 16}},
        {"output": {"resolution": 16}},  # students see no more
        {"evaluation": "full"},  # validation images are held out
        *(
            {"teacher": {**TEACHER, **setting}}
            for setting in (
                {"network": "resnet-18"},
                {"width": 16},
                {"norm": None},
                {"steps": 3},
                {"steps": None, "epochs": 3},
                {"batch_size": 10},
                {"learning_rate": 0.1},
                {"flip": 0.0},
            )
        ),
    ],
    ids=str,
)
def test_the_key_changes_with_what_the_teacher_depends_on(changes: dict[str, object]) -> None:
    assert key(**changes) != key()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"images_per_class": 3},
        {"evaluation": "none"},
        {"method": "d4m"},
        {"prior": {"kind": "vae", "model": "m"}},
        {"students": {"resolution": 32, "seeds": 1}},
        {"dataset": {"uri": "s3://elsewhere/a"}},
        {"dataset": {"uri": "file:///a", "max_bad_share": 0.5}},
        {"teacher": {**TEACHER, "temperature": 4, "labels": "fixed", "max_label_bytes": 10}},
    ],
    ids=str,
)
def test_the_key_does_not_change_with_anything_else(changes: dict[str, object]) -> None:
    assert key(**changes) == key()  # type: ignore[arg-type]


def test_a_teacher_trained_on_another_kind_of_device_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    here = key()
    monkeypatch.setattr(ddoq.teach, "choose_device", lambda: torch.device("meta"))
    assert key() != here
