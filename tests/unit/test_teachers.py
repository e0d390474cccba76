"""Teachers of every kind: what they are shown, in which order they answer, and which are refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Generator, Tensor, nn
from torch.nn.functional import interpolate, kl_div
from transformers import ResNetConfig, ResNetForImageClassification

from ddoq.augment import Normalise
from ddoq.config import DistillConfig
from ddoq.errors import ConfigError, TeacherError, TeacherNotFoundError
from ddoq.networks import NetworkConfig, make_network
from ddoq.teachers import Teacher, load_teacher
from tests.tiny_models import PREPROCESSOR, save_hub_cache, save_stable_diffusion, save_vit

NAMES = ("cat", "dog", "eel")
NETWORK = NetworkConfig("resnet-18", width=8)
MEAN, DEVIATION = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OFFLINE = """
import socket, sys

def refuse(*arguments, **options):
    raise AssertionError("the network was asked")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse

import torch
from tests.unit.test_teachers import images, pretrained

torch.save(pretrained("somebody/vit", revision=sys.argv[1]).label(images(3)), sys.argv[2])
"""


def images(n: int, side: int = 16) -> Tensor:
    return torch.randint(256, (n, 3, side, side), generator=Generator().manual_seed(1), dtype=torch.uint8)


def shown(pictures: Tensor) -> Tensor:
    return Normalise(MEAN, DEVIATION)(pictures / 255, Generator())


def load(names: tuple[str, ...] = NAMES, **teacher: object) -> Teacher:
    body = {"dataset": {"uri": "file:///nowhere"}, "teacher": teacher}
    return load_teacher(DistillConfig.model_validate(body), names, None)


def save_network(file: Path, factor: float = 1.0) -> nn.Module:
    """Write an untrained network whose logits are `factor` times as large."""
    network = make_network(NETWORK, 3, 16, Generator().manual_seed(0)).eval()
    with torch.no_grad():
        network.get_submodule("fc").weight.mul_(factor)  # type: ignore[operator, union-attr]
    save_file(network.state_dict(), file)
    return network


def checkpoint(file: Path, names: tuple[str, ...] = NAMES) -> Teacher:
    numbers = {"mean": MEAN, "deviation": DEVIATION, "resolution": 16}
    return load(names, kind="checkpoint", network="resnet-18", width=8, checkpoint=str(file), **numbers)


def pretrained(model: Path | str, names: tuple[str, ...] = NAMES, **settings: object) -> Teacher:
    return load(names, kind="pretrained", model=str(model), **settings)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "t.safetensors"


def test_a_label_is_what_the_network_says_of_the_normalised_image(file: Path) -> None:
    network = save_network(file)
    with torch.inference_mode():
        expected = network(shown(images(5))).half()
    torch.testing.assert_close(checkpoint(file).label(images(5)).cpu(), expected)


def test_a_label_does_not_depend_on_the_other_images(file: Path) -> None:
    save_network(file)
    teacher = checkpoint(file)
    torch.testing.assert_close(teacher.label(images(70))[66:], teacher.label(images(70)[66:]), rtol=1e-2, atol=1e-3)


def test_logits_beyond_half_precision_are_refused(file: Path) -> None:
    save_network(file, factor=1e7)
    with pytest.raises(TeacherError, match="not finite in half precision"):
        checkpoint(file).label(images(2))


def test_a_checkpoint_of_another_number_of_classes_is_refused(file: Path) -> None:
    save_network(file)
    with pytest.raises(ConfigError, match="number of classes"):
        checkpoint(file, (*NAMES, "fox"))


def test_a_checkpoint_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read weights"):
        checkpoint(tmp_path / "none.safetensors")


def test_without_a_teacher_there_is_none_to_load() -> None:
    with pytest.raises(ConfigError, match="set teacher"):
        load_teacher(DistillConfig.model_validate({"dataset": {"uri": "file:///nowhere"}}), NAMES, None)


def test_a_look_at_an_image_is_its_label(file: Path) -> None:
    save_network(file)
    teacher = checkpoint(file)
    looked = teacher.look(images(5).to(teacher.device) / 255)
    assert looked.device.type == teacher.device.type
    torch.testing.assert_close(looked.half().cpu(), teacher.label(images(5)))


def test_images_of_another_side_are_resized_to_that_of_the_teacher(file: Path) -> None:
    save_network(file)
    teacher, large = checkpoint(file), images(4, side=40) / 255
    small = interpolate(large, (16, 16), mode="bilinear", antialias=True)
    torch.testing.assert_close(teacher.look(large.to(teacher.device)), teacher.look(small.to(teacher.device)))


def test_a_student_can_learn_from_a_look_and_the_teacher_does_not(file: Path) -> None:
    save_network(file)
    teacher = checkpoint(file)
    said = teacher.look(images(3).to(teacher.device) / 255)
    student = torch.zeros(3, 3, device=teacher.device, requires_grad=True)
    kl_div(student.log_softmax(1), said.log_softmax(1), reduction="sum", log_target=True).backward()
    assert not said.requires_grad
    assert student.grad is not None
    assert student.grad.any()


def test_a_pretrained_model_answers_as_transformers_does(tmp_path: Path) -> None:
    model, teacher = save_vit(tmp_path, NAMES), pretrained(tmp_path)
    with torch.inference_mode():
        expected = model(pixel_values=shown(images(5))).logits.half()
    assert teacher.resolution == 16
    assert teacher.remarks == ()
    torch.testing.assert_close(teacher.label(images(5)), expected, rtol=1e-2, atol=1e-3)


def test_a_resnet_of_transformers_labels_too(tmp_path: Path) -> None:
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    model = ResNetForImageClassification(ResNetConfig(**sizes, num_labels=3)).eval()
    model.save_pretrained(tmp_path)
    with torch.inference_mode():
        expected = model(pixel_values=shown(images(5))).logits.half()
    teacher = pretrained(tmp_path, mean=MEAN, deviation=DEVIATION, resolution=16)
    torch.testing.assert_close(teacher.label(images(5)), expected, rtol=1e-2, atol=1e-3)


def test_logits_are_put_in_the_order_of_the_classes(tmp_path: Path) -> None:
    model = save_vit(tmp_path, ("Eel", "CAT", "dog"))
    with torch.inference_mode():
        eel, cat, dog = model(pixel_values=shown(images(5))).logits.half().unbind(1)
    expected = torch.stack([cat, dog, eel], 1)
    torch.testing.assert_close(pretrained(tmp_path).label(images(5)), expected, rtol=1e-2, atol=1e-3)


def test_logits_of_classes_with_other_names_are_taken_as_they_stand_and_that_is_told(tmp_path: Path) -> None:
    model, teacher = save_vit(tmp_path, ("LABEL_0", "LABEL_1", "LABEL_2")), pretrained(tmp_path)
    with torch.inference_mode():
        expected = model(pixel_values=shown(images(5))).logits.half()
    torch.testing.assert_close(teacher.label(images(5)), expected, rtol=1e-2, atol=1e-3)
    (remark,) = teacher.remarks
    assert "'LABEL_0' first" in remark


def test_a_class_that_the_model_knows_in_another_place_is_not_taken_for_another(tmp_path: Path) -> None:
    save_vit(tmp_path, ("wolf", "cat", "eel"))
    with pytest.raises(ConfigError, match="knows the class 'cat', but in another place"):
        pretrained(tmp_path)


def test_a_model_that_counts_its_classes_from_one_is_not_taken_for_another(tmp_path: Path) -> None:
    save_vit(tmp_path, NAMES)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "id2label": {"1": "cat", "2": "dog", "3": "eel"}}))
    with pytest.raises(ConfigError, match="knows the class 'cat', but in another place"):
        pretrained(tmp_path)


def test_a_pretrained_model_of_other_classes_is_refused_with_both_numbers(tmp_path: Path) -> None:
    save_vit(tmp_path, NAMES)
    with pytest.raises(ConfigError, match="tells 3 classes apart, but the dataset has 2"):
        pretrained(tmp_path, ("cat", "dog"))


def test_what_the_config_says_comes_before_what_the_folder_says(tmp_path: Path) -> None:
    save_vit(tmp_path, NAMES)
    said = pretrained(tmp_path)
    plain = pretrained(tmp_path, mean=(0, 0, 0), deviation=(1, 1, 1))
    picture = images(3).to(said.device) / 255
    torch.testing.assert_close(plain.look(shown(images(3)).to(said.device)), said.look(picture))
    assert not torch.equal(plain.look(picture), said.look(picture))


@pytest.mark.parametrize(
    "preprocessor",
    [
        {"size": 16},
        {"size": {"shortest_edge": 16}},
        {"size": {"shortest_edge": 20}, "crop_size": {"height": 16, "width": 16}, "do_center_crop": True},
        {"size": {"height": 16, "width": 16}, "crop_size": {"height": 12, "width": 12}, "do_center_crop": False},
    ],
    ids=str,
)
def test_the_side_is_read_however_the_folder_says_it(tmp_path: Path, preprocessor: dict[str, object]) -> None:
    save_vit(tmp_path, NAMES, preprocessor={**PREPROCESSOR, **preprocessor})
    assert pretrained(tmp_path).resolution == 16


def test_a_model_whose_images_are_not_normalised_is_shown_them_as_they_are(tmp_path: Path) -> None:
    model = save_vit(tmp_path, NAMES, preprocessor={"do_normalize": False, "size": 16})
    with torch.inference_mode():
        expected = model(pixel_values=images(2) / 255).logits.half()
    torch.testing.assert_close(pretrained(tmp_path).label(images(2)), expected, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
    ("preprocessor", "message"),
    [
        ({"size": {"height": 16, "width": 12}}, r"set teacher\.resolution"),
        ({"size": None}, r"set teacher\.resolution"),
        ({"image_mean": [0.5]}, r"no image_mean of three channels .* set teacher\.mean"),
        ({"rescale_factor": 1 / 127.5}, r"set teacher\.mean"),
    ],
    ids=str,
)
def test_a_folder_that_does_not_say_what_its_model_is_shown_is_refused(
    tmp_path: Path, preprocessor: dict[str, object], message: str
) -> None:
    save_vit(tmp_path, NAMES, preprocessor={**PREPROCESSOR, **preprocessor})
    with pytest.raises(ConfigError, match=message):
        pretrained(tmp_path)


def test_numbers_that_nobody_says_are_asked_for(tmp_path: Path) -> None:
    save_vit(tmp_path, NAMES)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(TeacherNotFoundError, match=r"preprocessor_config\.json .*set teacher\.mean"):
        pretrained(tmp_path, resolution=16)
    assert pretrained(tmp_path, mean=MEAN, deviation=DEVIATION, resolution=16).resolution == 16


def test_a_side_that_the_model_cannot_take_is_refused(tmp_path: Path) -> None:
    save_vit(tmp_path, NAMES)
    with pytest.raises(ConfigError, match="cannot take images of 24 pixels"):
        pretrained(tmp_path, resolution=24)


def test_a_model_that_does_not_classify_images_is_refused(tmp_path: Path) -> None:
    folder = save_stable_diffusion(tmp_path) / "text_encoder"
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    with pytest.raises(TeacherNotFoundError, match=r"'clip_text_model' .* does not classify images"):
        pretrained(folder)


def test_weights_that_are_missing_are_refused_and_not_drawn_at_random(tmp_path: Path) -> None:
    save_vit(tmp_path, NAMES)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
    with pytest.raises(TeacherNotFoundError, match="lacks 16 of its weights"):
        pretrained(tmp_path)


def test_a_pickle_is_never_read(tmp_path: Path) -> None:
    model = save_vit(tmp_path, NAMES)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(TeacherNotFoundError, match="a pickle"):
        pretrained(tmp_path)


def test_weights_that_are_cut_short_are_refused(tmp_path: Path) -> None:
    save_vit(tmp_path, NAMES)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(TeacherNotFoundError, match="cannot load"):
        pretrained(tmp_path)


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path) -> None:
    save_vit(tmp_path, NAMES)
    config = tmp_path / "config.json"
    classes = {"AutoConfig": "own.Config", "AutoModelForImageClassification": "own.Model"}
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_type": "own", "auto_map": classes}))
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(TeacherNotFoundError, match="custom code"):
        pretrained(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_hub_id_without_a_revision_is_refused() -> None:
    with pytest.raises(TeacherNotFoundError, match=r"no folder 'somebody/vit'; .* set teacher\.revision"):
        pretrained("somebody/vit")


@pytest.mark.parametrize("revision", [COMMIT, "f" * 40])
def test_a_hub_id_is_loaded_at_its_revision_alone_and_without_any_network(revision: str, tmp_path: Path) -> None:
    save_vit(tmp_path / "folder", NAMES)
    save_hub_cache(tmp_path / "folder", tmp_path / "cache", "somebody/vit", COMMIT)
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", OFFLINE, revision, str(tmp_path / "out")]
    ran = subprocess.run(command, env={**os.environ, **offline}, capture_output=True, text=True, check=False)
    if revision == COMMIT:
        assert ran.returncode == 0, ran.stderr
        torch.testing.assert_close(torch.load(tmp_path / "out"), pretrained(tmp_path / "folder").label(images(3)))
    else:
        assert "TeacherNotFoundError: cannot load preprocessor_config.json from 'somebody/vit'" in ran.stderr
