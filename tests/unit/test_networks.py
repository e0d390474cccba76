"""Networks by name: sizes, names, initial weights, and the CIFAR checkpoints."""

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Generator, Tensor, nn
from transformers import ResNetConfig, ResNetForImageClassification, ViTConfig, ViTForImageClassification

from ddoq.errors import ConfigError
from ddoq.networks import ARCHITECTURES, NetworkConfig, load_network, make_network
from ddoq.networks.draws import DrawsFrom
from ddoq.networks.resnet import Subsample

SMALL = {name: NetworkConfig(name, width=8) for name in ARCHITECTURES}


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def noise(n: int, side: int, seed: int = 1) -> Tensor:
    return torch.randn(n, 3, side, side, generator=seeded(seed))


def n_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def are_equal(one: nn.Module, other: nn.Module) -> bool:
    mine, its = one.state_dict(), other.state_dict()
    return mine.keys() == its.keys() and all(torch.equal(mine[name], its[name]) for name in mine)


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real, tiny vision transformer, trained by nobody."""
    folder = tmp_path_factory.mktemp("vit")
    config = ViTConfig(
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=16,
        patch_size=4,
        hidden_dropout_prob=0.5,
        num_labels=3,
    )
    with DrawsFrom(seeded(5)):
        ViTForImageClassification(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "n_classes", "side", "expected"),
    [
        ("convnet-3", 10, 32, 320_010),
        ("convnet-4", 200, 64, 857_160),
        ("resnet-18", 1000, 224, 11_689_512),
        ("resnet-50", 1000, 224, 25_557_032),
        ("resnet-18", 10, 32, 11_173_962),
        ("cifar-resnet-20", 10, 32, 269_722),
        ("cifar-resnet-32", 10, 32, 464_154),
        ("cifar-resnet-56", 10, 32, 853_018),
    ],
)
def test_a_network_has_as_many_parameters_as_is_known(name: str, n_classes: int, side: int, expected: int) -> None:
    assert n_parameters(make_network(name, n_classes, side, seeded())) == expected


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_network_answers_logits_from_its_least_side_on(name: str) -> None:
    for side in (ARCHITECTURES[name].least_side, 65):
        network = make_network(SMALL[name], 5, side, seeded())
        assert network(noise(2, side)).shape == (2, 5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_network_refuses_images_below_its_least_side(name: str) -> None:
    least = ARCHITECTURES[name].least_side
    with pytest.raises(ConfigError, match=f"at least {least} pixels, not {least - 1}"):
        make_network(name, 5, least - 1, seeded())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_at_its_least_side_no_norm_flattens_the_images(name: str) -> None:
    side = ARCHITECTURES[name].least_side
    logits = make_network(NetworkConfig(name, width=8, norm="instance"), 5, side, seeded())(noise(2, side))
    assert not torch.allclose(logits[0], logits[1], rtol=1e-3)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_one_seed_gives_one_start_whatever_ran_before(name: str) -> None:
    first = make_network(SMALL[name], 5, 64, seeded(1))
    torch.rand(3)
    assert are_equal(first, make_network(SMALL[name], 5, 64, seeded(1)))
    assert not are_equal(first, make_network(SMALL[name], 5, 64, seeded(2)))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_making_a_network_leaves_the_global_generator_alone(name: str) -> None:
    before = torch.get_rng_state()
    make_network(SMALL[name], 5, 64, seeded())
    assert torch.equal(torch.get_rng_state(), before)


def test_networks_made_in_many_threads_are_those_made_in_one(vit: Path) -> None:
    names = [SMALL["convnet-3"], SMALL["resnet-18"], NetworkConfig(str(vit))] * 4
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda name: make_network(name, 5, 16, seeded(3)), names))
    assert all(are_equal(one, make_network(name, 5, 16, seeded(3))) for one, name in zip(made, names, strict=True))


def test_random_numbers_come_from_the_generator_given_only_within_the_context() -> None:
    with DrawsFrom(seeded(4)):
        inside = torch.randn(3), torch.rand(2), torch.randperm(5), nn.init.trunc_normal_(torch.empty(4))
    rng = seeded(4)
    assert torch.equal(inside[0], torch.randn(3, generator=rng))
    assert torch.equal(inside[1], torch.rand(2, generator=rng))
    assert torch.equal(inside[2], torch.randperm(5, generator=rng))
    assert torch.equal(inside[3], nn.init.trunc_normal_(torch.empty(4), generator=rng))
    before = torch.get_rng_state()
    torch.rand(1)
    assert not torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_trained_network_looks_at_each_image_by_itself(name: str) -> None:
    network = make_network(SMALL[name], 5, 64, seeded()).eval()
    images = noise(3, 64)
    torch.testing.assert_close(network(images)[:1], network(images[:1]))


@pytest.mark.parametrize("name", [name for name, row in ARCHITECTURES.items() if row.norm == "instance"])
def test_instance_norm_looks_at_each_image_by_itself_even_in_training(name: str) -> None:
    network = make_network(SMALL[name], 5, 64, seeded())
    images = noise(3, 64)
    torch.testing.assert_close(network(images)[:1], network(images[:1]))


@pytest.mark.parametrize(("norm", "kind"), [("instance", nn.GroupNorm), ("batch", nn.BatchNorm2d)])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_norm_and_width_can_be_chosen(name: str, norm: str, kind: type[nn.Module]) -> None:
    layers = list(make_network(NetworkConfig(name, 24, norm), 5, 64, seeded()).modules())  # type: ignore[arg-type]
    norms = [layer for layer in layers if isinstance(layer, nn.GroupNorm | nn.BatchNorm2d)]
    assert norms
    assert all(isinstance(layer, kind) for layer in norms)
    assert next(layer for layer in layers if isinstance(layer, nn.Conv2d)).out_channels == 24


def test_a_network_needs_a_channel() -> None:
    with pytest.raises(ConfigError, match="width 0"):
        make_network(NetworkConfig("convnet-3", 0), 5, 32, seeded())


def test_a_bottleneck_has_its_names_and_strides_where_torchvision_has_them() -> None:
    shapes = {
        name: tuple(weight.shape) for name, weight in make_network("resnet-50", 1000, 224, seeded()).named_parameters()
    }
    assert shapes["conv1.weight"] == (64, 3, 7, 7)
    assert shapes["layer1.0.downsample.0.weight"] == (256, 64, 1, 1)
    assert shapes["layer2.0.conv1.weight"] == (128, 256, 1, 1)
    assert shapes["layer4.2.conv3.weight"] == (2048, 512, 1, 1)
    assert shapes["layer4.2.bn3.bias"] == (2048,)
    assert shapes["fc.weight"] == (1000, 2048)
    assert "layer2.1.downsample.0.weight" not in shapes


@pytest.mark.parametrize(("name", "layer_type"), [("resnet-18", "basic"), ("resnet-50", "bottleneck")])
def test_a_resnet_computes_what_that_of_transformers_does(name: str, layer_type: str) -> None:
    blocks, expansion = list(ARCHITECTURES[name].blocks), 1 if layer_type == "basic" else 4
    sizes = [16 * 2**stage * expansion for stage in range(4)]
    config = ResNetConfig(embedding_size=16, hidden_sizes=sizes, depths=blocks, layer_type=layer_type, num_labels=5)
    other = ResNetForImageClassification(config).eval()
    mine = make_network(NetworkConfig(name, width=16), 5, 72, seeded()).eval()
    weights = [weight for weight in mine.state_dict().values() if weight.ndim]
    theirs = dict(other.state_dict())
    # Both list the layers of a block in their order, but transformers has the shortcut first.
    names = [name for name in theirs if theirs[name].ndim]
    names = sorted(names, key=lambda name: (_block_of(name), "shortcut" in name))
    other.load_state_dict(dict(zip(names, weights, strict=True)), strict=False)
    torch.testing.assert_close(mine(noise(2, 72)), other(noise(2, 72)).logits)


def _block_of(name: str) -> tuple[int, int, int]:
    """Stem, then blocks by stage and place, then the last layer."""
    parts = name.split(".")
    if "embedder" in parts:
        return 0, 0, 0
    if "stages" not in parts:
        return 2, 0, 0
    return 1, int(parts[parts.index("stages") + 1]), int(parts[parts.index("layers") + 1])


def test_up_to_64_pixels_the_stem_of_a_resnet_keeps_every_pixel() -> None:
    small, large = (make_network(SMALL["resnet-18"], 5, side, seeded()) for side in (64, 65))
    assert isinstance(small, nn.Sequential)
    assert isinstance(large, nn.Sequential)
    assert small[:3](noise(1, 64)).shape[-1] == 64
    assert large[:4](noise(1, 65)).shape[-1] == 17


@pytest.mark.parametrize("side", [32, 96, 160])
def test_a_pooled_resnet_has_no_strides(side: int) -> None:
    layers = make_network(SMALL["resnetap-10"], 5, side, seeded()).modules()
    assert {layer.stride for layer in layers if isinstance(layer, nn.Conv2d)} == {(1, 1)}


def test_the_shortcut_of_cifar_has_zeros_before_and_behind() -> None:
    images = noise(2, 5)
    found = Subsample((3, 7), 2)(images)
    assert torch.equal(found[:, 2:5], images[:, :, ::2, ::2])
    assert not found[:, :2].any()
    assert not found[:, 5:].any()


def test_a_folder_of_transformers_makes_a_network_of_the_size_asked_for(vit: Path) -> None:
    network = make_network(str(vit), 7, 32, seeded())
    assert network(noise(2, 32)).shape == (2, 7)
    assert network.training


def test_a_network_of_transformers_starts_from_the_generator_given(vit: Path) -> None:
    before = torch.get_rng_state()
    first, second, third = (make_network(str(vit), 7, 32, seeded(seed)) for seed in (1, 1, 2))
    assert are_equal(first, second)
    assert not are_equal(first, third)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ConfigError, match="no network 'convnet-33': use convnet-3, "):
        make_network("convnet-33", 5, 32, seeded())


def test_weights_are_loaded_into_networks_of_ours_only(vit: Path) -> None:
    with pytest.raises(ConfigError, match="no network 'vit' to load weights into: use convnet-3, "):
        load_network(vit, "vit", 3, 16)


def test_a_model_that_does_not_classify_images_is_refused() -> None:
    with pytest.raises(ConfigError, match="'bert' of 'bert' does not classify images"):
        make_network("bert", 5, 32, seeded())


def test_a_model_of_transformers_has_no_width_of_ours(vit: Path) -> None:
    with pytest.raises(ConfigError, match="neither width nor norm"):
        make_network(NetworkConfig(str(vit), width=8), 5, 32, seeded())


def test_images_that_a_model_of_transformers_cannot_take_are_refused(vit: Path) -> None:
    with pytest.raises(ConfigError, match="'vit' cannot take images of 2 pixels"):
        make_network(str(vit), 5, 2, seeded())


@pytest.mark.parametrize("name", ["convnet-3", "resnet-18", "cifar-resnet-20"])
def test_a_saved_network_answers_as_it_did(name: str, tmp_path: Path) -> None:
    network = make_network(SMALL[name], 5, 32, seeded()).eval()
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    for place in (tmp_path, tmp_path / "model.safetensors"):
        loaded = load_network(place, SMALL[name], 5, 32)
        assert torch.equal(loaded(noise(2, 32)), network(noise(2, 32)))
        assert not any(parameter.requires_grad for parameter in loaded.parameters())
        assert not loaded.training


@pytest.mark.parametrize(
    ("network", "n_classes", "message"),
    [
        ("convnet-4", 10, "lacks 'features.12.weight'"),
        ("resnet-18", 10, "lacks 'conv1.weight'"),
        ("convnet-3", 11, r"'classifier.bias' in .* is of shape \(10,\), in the network of \(11,\)"),
        (NetworkConfig("convnet-3", norm="none"), 10, "has 'features.1.bias' and 5 more"),
    ],
)
def test_weights_of_another_network_are_refused(
    network: NetworkConfig | str, n_classes: int, message: str, tmp_path: Path
) -> None:
    save_file(make_network("convnet-3", 10, 32, seeded()).state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(ConfigError, match=message):
        load_network(tmp_path / "weights.safetensors", network, n_classes, 32)


@pytest.mark.parametrize("content", [None, b"a pickle, say"])
def test_a_file_without_safe_weights_is_refused(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ConfigError, match=r"give a .safetensors file"):
        load_network(tmp_path, "convnet-3", 10, 32)


@pytest.mark.parametrize(("depth", "accuracy"), [(20, 0.9156), (32, 0.9246), (56, 0.9346)])
def test_the_cifar_checkpoints_reach_their_accuracy(depth: int, accuracy: float, shared_data: Path) -> None:
    file = shared_data / "cifar10-resnets" / f"resnet{depth}.safetensors"
    network = load_network(file, f"cifar-resnet-{depth}", 10, 32)
    images, labels = cifar_test(shared_data / "cifar10" / "cifar10-test-5k.zip", 40)
    with torch.inference_mode():
        found = (network(images).argmax(1) == labels).float().mean().item()
    assert found == pytest.approx(accuracy, abs=0.04)  # three deviations of 400 images


def cifar_test(file: Path, n_each: int) -> tuple[Tensor, Tensor]:
    """The first images of each class, as the checkpoints were trained to see them."""
    with zipfile.ZipFile(file) as archive:
        members = sorted(name for name in archive.namelist() if name.endswith(".png"))
        folders = sorted({Path(name).parent.name for name in members})
        names = [name for folder in folders for name in [m for m in members if f"/{folder}/" in m][:n_each]]
        pixels = [np.array(Image.open(io.BytesIO(archive.read(name)))) for name in names]
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2) / 255
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    labels = torch.tensor([folders.index(Path(name).parent.name) for name in names])
    return (images - mean.view(3, 1, 1)) / deviation.view(3, 1, 1), labels
