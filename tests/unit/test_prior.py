"""Priors, with tiny autoencoders that diffusers itself builds and saves."""

import zipfile

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DModel
from PIL import Image

from ddoq.config import DatasetConfig, DistillConfig, PixelsPrior, VaePrior
from ddoq.errors import PriorNotFoundError
from ddoq.prior import load_prior
from ddoq.seeds import stream


def config(prior: PixelsPrior | VaePrior) -> DistillConfig:
    return DistillConfig(dataset=DatasetConfig(uri="file:///nowhere"), prior=prior)


def pictures(n: int = 3, side: int = 32) -> torch.Tensor:
    return torch.randint(256, (n, 3, side, side), generator=stream(0, "pictures"), dtype=torch.uint8)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A TAESD-shaped autoencoder of a few thousand parameters."""
    folder = tmp_path_factory.mktemp("tiny")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        blocks = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
        layers = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
        AutoencoderTiny(**blocks, **layers, latent_channels=4).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def kl(tmp_path_factory):
    """A Stable-Diffusion-shaped autoencoder with a scale and a shift of its own."""
    folder = tmp_path_factory.mktemp("kl")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(8, 8),
            norm_num_groups=4,
            latent_channels=4,
            scaling_factor=0.5,
            shift_factor=0.25,
        )
        model.save_pretrained(folder)
    return folder


def test_pixels_survive_encoding_and_decoding_unchanged():
    prior = load_prior(config(PixelsPrior(resolution=32)))
    assert torch.equal(prior.decode(prior.encode(pictures())), pictures())


def test_pixel_latents_lie_between_minus_one_and_one():
    z = load_prior(config(PixelsPrior(resolution=32))).encode(pictures())
    assert z.shape == (3, 3 * 32 * 32)
    assert float(z.abs().max()) <= 1


def test_decoding_clips_what_no_pixel_can_show():
    prior = load_prior(config(PixelsPrior(resolution=8)))
    assert set(prior.decode(torch.tensor([[-9.0] * 96 + [9.0] * 96])).flatten().tolist()) == {0, 255}


@pytest.mark.parametrize("name", ["tiny", "kl"])
def test_an_autoencoder_is_loaded_from_its_folder_and_gives_images_back(name, request):
    model = str(request.getfixturevalue(name))
    prior = load_prior(config(VaePrior(model=model, resolution=32)))
    z = prior.encode(pictures())
    assert z.shape == (3, 4 * 16 * 16)
    assert prior.decode(z).shape == (3, 3, 32, 32)


def test_latents_are_the_posterior_mean_shifted_and_scaled_as_the_model_says(kl):
    prior = load_prior(config(VaePrior(model=str(kl), resolution=32)))
    with torch.inference_mode():
        mean = AutoencoderKL.from_pretrained(kl).encode(pictures().float() / 127.5 - 1).latent_dist.mean
    torch.testing.assert_close(prior.encode(pictures()), ((mean - 0.25) * 0.5).flatten(1), rtol=1e-4, atol=1e-5)


def test_decoding_undoes_shift_and_scale(kl):
    prior = load_prior(config(VaePrior(model=str(kl), resolution=32)))
    z = prior.encode(pictures())
    with torch.inference_mode():
        plain = AutoencoderKL.from_pretrained(kl).decode(z.unflatten(1, (4, 16, 16)) / 0.5 + 0.25).sample
    shown = ((plain + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    assert (prior.decode(z).int() - shown.int()).abs().max() <= 1


def test_an_image_encodes_the_same_alone_and_in_a_batch(tiny):
    prior = load_prior(config(VaePrior(model=str(tiny), resolution=32)))
    torch.testing.assert_close(prior.encode(pictures())[:1], prior.encode(pictures()[:1]), rtol=1e-4, atol=1e-5)


def test_a_folder_that_is_not_there_and_no_revision_is_refused_with_what_to_set():
    with pytest.raises(PriorNotFoundError, match=r"prior\.revision"):
        load_prior(config(VaePrior(model="somebody/some-vae")))


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(PriorNotFoundError, match="cannot load an autoencoder"):
        load_prior(config(VaePrior(model=str(tmp_path))))


def test_a_model_of_another_kind_is_refused_by_its_name(tmp_path):
    blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
    UNet2DModel(
        sample_size=8, block_out_channels=(8,), norm_num_groups=4, layers_per_block=1, **blocks
    ).save_pretrained(tmp_path)
    with pytest.raises(PriorNotFoundError, match="UNet2DModel"):
        load_prior(config(VaePrior(model=str(tmp_path))))


def test_pickled_weights_are_never_loaded(tmp_path, tiny):
    model = AutoencoderTiny.from_pretrained(tiny)
    model.save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(PriorNotFoundError, match="safetensors"):
        load_prior(config(VaePrior(model=str(tmp_path))))


def test_taesd_gives_small_photographs_back_as_well_as_is_known(shared_data):
    pixels = []
    with zipfile.ZipFile(shared_data / "cifar10" / "cifar10-test-5k.zip") as archive:
        for name in sorted(name for name in archive.namelist() if name.endswith(".png"))[::100]:
            with Image.open(archive.open(name)) as image:
                pixels.append(np.array(image.resize((64, 64), Image.Resampling.BICUBIC)))
    seen = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
    prior = load_prior(config(VaePrior(model=str(shared_data / "taesd"), resolution=64)))
    errors = (prior.decode(prior.encode(seen)).float() - seen.float()).square().mean(dim=(1, 2, 3))
    assert float((10 * torch.log10(255**2 / errors)).mean()) == pytest.approx(25.5, abs=1)  # dB, measured elsewhere
