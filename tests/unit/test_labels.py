"""Fixed soft labels: the teacher's logits of each image, once."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Generator, Tensor, nn

from ddoq.augment import Normalise
from ddoq.errors import ConfigError, TeacherError
from ddoq.labels import SoftLabels, Teacher, open_labels, write_labels
from ddoq.networks import NetworkConfig, make_network
from ddoq.teacher_config import CheckpointTeacher

NETWORK = NetworkConfig("resnet-18", width=8)
MEAN, DEVIATION = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)


def images(n: int) -> Tensor:
    return torch.randint(256, (n, 3, 16, 16), generator=Generator().manual_seed(1), dtype=torch.uint8)


def save_network(file: Path, factor: float = 1.0) -> nn.Module:
    """Write an untrained network whose logits are `factor` times as large."""
    network = make_network(NETWORK, 3, 16, Generator().manual_seed(0)).eval()
    with torch.no_grad():
        network.get_submodule("fc").weight.mul_(factor)  # type: ignore[operator, union-attr]
    save_file(network.state_dict(), file)
    return network


def teacher_of(file: Path, n_classes: int = 3) -> Teacher:
    config = CheckpointTeacher(
        network="resnet-18", width=8, checkpoint=str(file), mean=MEAN, deviation=DEVIATION, resolution=16
    )
    return Teacher(config, n_classes)


def test_a_label_is_what_the_network_says_of_the_normalised_image(tmp_path: Path) -> None:
    network = save_network(tmp_path / "t.safetensors")
    seen = Normalise(MEAN, DEVIATION)(images(5) / 255, Generator())
    with torch.inference_mode():
        expected = network(seen).half()
    torch.testing.assert_close(teacher_of(tmp_path / "t.safetensors").label(images(5)), expected)


def test_a_label_does_not_depend_on_the_other_images(tmp_path: Path) -> None:
    save_network(tmp_path / "t.safetensors")
    teacher = teacher_of(tmp_path / "t.safetensors")
    torch.testing.assert_close(teacher.label(images(70))[66:], teacher.label(images(70)[66:]), rtol=1e-2, atol=1e-3)


def test_logits_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    save_network(tmp_path / "t.safetensors", factor=1e7)
    with pytest.raises(TeacherError, match="not finite in half precision"):
        teacher_of(tmp_path / "t.safetensors").label(images(2))


def test_a_teacher_of_another_number_of_classes_is_refused(tmp_path: Path) -> None:
    save_network(tmp_path / "t.safetensors")
    with pytest.raises(ConfigError, match="number of classes"):
        teacher_of(tmp_path / "t.safetensors", n_classes=4)


def test_a_teacher_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read weights"):
        teacher_of(tmp_path / "none.safetensors")


def test_labels_survive_the_disk(tmp_path: Path) -> None:
    logits = torch.randn(3, 4, 5, generator=Generator().manual_seed(0)).half()
    write_labels(tmp_path / "ipc-4", SoftLabels(logits[0], (logits[1], logits[2])))
    found = open_labels(tmp_path / "ipc-4")
    assert torch.equal(found.distilled, logits[0])
    assert [torch.equal(mine, its) for mine, its in zip(found.random, logits[1:], strict=True)] == [True, True]
