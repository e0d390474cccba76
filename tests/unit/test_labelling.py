"""The label stage: what it writes, what that takes, and how it tells of it."""

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Generator

from ddoq.config import DistillConfig
from ddoq.errors import LabelsTooLargeError
from ddoq.label_sizes import label_bytes, require_room
from ddoq.labelling import store_labels
from ddoq.plans import TrainingPlan
from ddoq.protocols import D4M_FKD, MINIMAX_HARD, QUICK, RDED, SMALL_HARD, AugmentConfig, Protocol
from ddoq.stored_labels import FOLDER, ArchivedLabels, FolderLabels
from tests.teaching import UntaughtTeacher

SIDE = 16


def plan_of(protocol: Protocol, n_images: int = 10, **changes: object) -> TrainingPlan:
    short = {"epochs": ((1, 3),), "batch_sizes": ((1, 4),), "doubles_from": None, "labels": "stored", **changes}
    varied = replace(protocol, **short)  # type: ignore[arg-type]
    return TrainingPlan(varied, n_images, 3, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2), 7, torch.device("cpu"))


def images(n: int = 10) -> torch.Tensor:
    return torch.randint(256, (n, 3, SIDE, SIDE), generator=Generator().manual_seed(1), dtype=torch.uint8)


def store(plan: TrainingPlan, folder: Path) -> list[int]:
    told: list[int] = []
    store_labels(images(plan.n_images), UntaughtTeacher(), plan, folder, told.append)
    return told


@pytest.mark.parametrize(
    ("protocol", "changes"),
    [
        (QUICK, {"steps": 7}),
        (QUICK, {"steps": 5, "batch_sizes": ((1, 32),)}),
        (QUICK, {"steps": 2, "augment": AugmentConfig()}),
        (SMALL_HARD, {}),
        (MINIMAX_HARD, {}),
        (D4M_FKD, {"batch_sizes": ((1, 1024),)}),
        (RDED, {}),
    ],
)
def test_the_size_is_known_to_the_byte_before(protocol: Protocol, changes: dict[str, object], tmp_path: Path) -> None:
    plan = plan_of(protocol, **changes)
    store(plan, tmp_path / "stored")
    tensors = [tensor for file in (tmp_path / "stored").iterdir() for tensor in load_file(file).values()]
    assert sum(tensor.nbytes for tensor in tensors) == label_bytes(plan.protocol, 10, 3)


def test_fixed_labels_take_two_bytes_a_logit_and_live_ones_none() -> None:
    assert label_bytes(replace(QUICK, labels="fixed"), 10, 3) == 60
    assert label_bytes(replace(RDED, labels="live"), 10, 3) == 0
    assert label_bytes(QUICK, 10, 3) == 0


def test_the_size_in_the_documentation_is_right() -> None:
    page = (Path(__file__).parents[2] / "docs" / "labels.md").read_text("utf-8")
    for kind in ("fixed", "stored", "live"):
        size = label_bytes(replace(D4M_FKD, labels=kind), 10_000, 1000)
        assert f"| `{kind}` | {size:,} |" in page


def test_where_epochs_count_a_file_has_every_image_once(tmp_path: Path) -> None:
    store(plan_of(D4M_FKD), tmp_path / "stored")
    labels = FolderLabels(tmp_path / "stored")
    assert len(labels) == 3
    for number in range(3):
        epoch = labels.epoch(number)
        assert sorted(epoch.rows.tolist()) == list(range(10))
        assert epoch.sizes.tolist() == [4, 4, 2]
    assert not torch.equal(labels.epoch(0).rows, labels.epoch(1).rows)


def test_where_steps_count_there_are_as_many_epochs_as_they_need(tmp_path: Path) -> None:
    store(plan_of(QUICK, steps=7), tmp_path / "stored")
    labels = FolderLabels(tmp_path / "stored")
    assert [labels.epoch(number).sizes.tolist() for number in range(len(labels))] == [[4] * 3, [4] * 3, [4]]


def test_what_is_written_does_not_depend_on_the_number_of_cores(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    for n_cores in (1, 2):
        torch.set_num_threads(n_cores)
        store(plan_of(RDED), tmp_path / str(n_cores))
    torch.set_num_threads(before)
    one, other = ({file.name: file.read_bytes() for file in (tmp_path / n).iterdir()} for n in ("1", "2"))
    assert len(one) == 3
    assert one == other


def test_labels_in_an_archive_are_those_in_the_folder(tmp_path: Path) -> None:
    store(plan_of(RDED), tmp_path / "stored")
    folder = FolderLabels(tmp_path / "stored")
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        for number in range(3):
            archive.write(folder.file(number), f"{FOLDER}/{folder.file(number).name}")
    packed = ArchivedLabels(tmp_path / "archive.zip", 3)
    for (draw, logits), (its_draw, its_logits) in zip(folder.steps(8, SIDE), packed.steps(8, SIDE), strict=True):
        assert torch.equal(draw.rows, its_draw.rows)
        assert torch.equal(logits, its_logits)
    assert torch.equal(packed.epoch(2).logits, folder.epoch(2).logits)


def test_every_batch_is_told_of(tmp_path: Path) -> None:
    assert store(plan_of(D4M_FKD), tmp_path / "stored") == [4, 4, 2] * 3


def test_a_listener_that_raises_ends_the_work_within_an_epoch(tmp_path: Path) -> None:
    teacher = UntaughtTeacher()

    def stop(_n: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        store_labels(images(), teacher, plan_of(D4M_FKD, epochs=((1, 500),)), tmp_path / "stored", stop)
    assert teacher.n_seen <= 10


def test_too_large_labels_are_refused_with_both_sizes_and_what_to_change() -> None:
    config = DistillConfig.model_validate(
        {
            "dataset": {"uri": "file:///data"},
            "students": {"protocol": "d4m-fkd"},
            "teacher": {
                "kind": "checkpoint",
                "network": "resnet-18",
                "checkpoint": "/t.safetensors",
                "mean": [0.5] * 3,
                "deviation": [0.2] * 3,
                "resolution": 224,
            },
        }
    )
    require_room(config, {"ipc-1": 1000}, 1000)
    message = (
        r"stored soft labels of ipc-10 take 6,048,036,600 bytes \(10,000 images, 1,000 classes, 3,000,000 views\), "
        r"more than teacher\.max_label_bytes, 1,073,741,824; raise it to that, set teacher\.labels to 'live'"
    )
    with pytest.raises(LabelsTooLargeError, match=message):
        require_room(config, {"ipc-1": 1000, "ipc-10": 10_000}, 1000)
    assert config.teacher is not None
    live = config.model_copy(update={"teacher": config.teacher.model_copy(update={"labels": "live"})})
    require_room(live, {"ipc-10": 10_000}, 1000)
