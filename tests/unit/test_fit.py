"""A prior trained on a dataset's own latents: short, but with real images, autoencoders and diffusers folders."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderTiny, DDIMScheduler, DiTTransformer2DModel
from safetensors.torch import load_file, save_file

import ddoq.fit
from ddoq.caches import FolderCache
from ddoq.config import DatasetConfig, DistillConfig, PixelsPrior
from ddoq.datasets import Dataset, open_dataset
from ddoq.encode import encode
from ddoq.environments import environments_of
from ddoq.errors import ConfigError, NotFiniteError
from ddoq.events import Event, OnEvent, Stage, ignore
from ddoq.fit import FitPlace, fit, fit_key
from ddoq.here import environment_here
from ddoq.latents import Latents, open_latents
from ddoq.prior import LatentPrior, load_denoiser, load_encoder
from ddoq.prior_config import FitPrior
from ddoq.seeds import stream
from tests.elsewhere import go_elsewhere
from tests.pictures import access_to, members, write_zip

N_STEPS = 5


@dataclass(frozen=True)
class Encoded:
    """A dataset behind its encode stage."""

    config: DistillConfig
    dataset: Dataset
    prior: LatentPrior
    latents: Latents

    def fit(self, at: FitPlace, on_event: OnEvent = ignore) -> Path:
        return fit(self.latents, self.prior, self.config, self.dataset.class_names, at, on_event)


class StopError(Exception):
    """What a cancelled job raises from the listener."""


def stop_at(step: int) -> OnEvent:
    def listen(event: Event) -> None:
        if event.done == step:
            raise StopError

    return listen


def encoded(folder: Path, prior: FitPrior) -> Encoded:
    uri = write_zip(folder / "set.zip", members())
    config = DistillConfig(dataset=DatasetConfig(uri=uri), prior=prior)
    dataset, space = open_dataset(config.dataset, access_to(folder)), load_encoder(config)
    return Encoded(config, dataset, space, encode(dataset, space, config, folder / "encode", ignore))


@pytest.fixture(scope="module")
def pixels(tmp_path_factory) -> Encoded:
    prior = FitPrior(resolution=16, steps=N_STEPS, train_batch_size=4)
    return encoded(tmp_path_factory.mktemp("pixels"), prior)


@pytest.fixture(scope="module")
def with_vae(tmp_path_factory) -> Encoded:
    folder = tmp_path_factory.mktemp("vae")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        blocks = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
        layers = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
        AutoencoderTiny(**blocks, **layers, latent_channels=4).save_pretrained(folder / "tiny")
    prior = FitPrior(model=str(folder / "tiny"), resolution=16, steps=N_STEPS, train_batch_size=4)
    return encoded(folder, prior)


@pytest.fixture
def at(tmp_path: Path) -> FitPlace:
    return FitPlace(tmp_path / "prior", FolderCache(tmp_path / "cache"), "key")


@pytest.fixture
def at_every_step(at: FitPlace, monkeypatch) -> FitPlace:
    """Keep a checkpoint of every step, however long that takes."""
    monkeypatch.setattr(ddoq.fit, "SAVING_SHARE", inf)
    return replace(at, checkpoint_seconds=0)


@pytest.fixture(scope="module")
def undisturbed(pixels: Encoded, tmp_path_factory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return pixels.fit(FitPlace(folder / "prior", FolderCache(folder / "cache"), "key"))


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_folder_is_one_that_diffusers_loads(with_vae, at):
    folder = with_vae.fit(at)
    transformer = DiTTransformer2DModel.from_pretrained(folder / "transformer", low_cpu_mem_usage=False)
    assert transformer.config.in_channels == 4
    assert transformer.config.num_embeds_ada_norm == 3
    assert DDIMScheduler.from_pretrained(folder / "scheduler").config.prediction_type == "v_prediction"
    assert AutoencoderTiny.from_pretrained(folder / "vae", low_cpu_mem_usage=False).config.latent_channels == 4
    index = DiTTransformer2DModel.load_config(folder / "model_index.json")
    assert index["id2label"] == {"0": "cat", "1": "dog", "2": "eel"}


def test_nothing_in_the_folder_is_a_pickle(with_vae, at):
    names = [file.suffix for file in with_vae.fit(at).rglob("*") if file.is_file()]
    assert set(names) == {".json", ".safetensors"}


@pytest.mark.parametrize("space", ["pixels", "with_vae"])
def test_the_fitted_prior_denoises(space, at, request):
    made: Encoded = request.getfixturevalue(space)
    prior = load_denoiser(made.config, made.dataset.class_names, made.fit(at))
    z, rngs = made.latents.of_class(1)[:2], [stream(0, row) for row in range(2)]
    denoised = prior.denoise(z, torch.tensor([1, 1]), made.config.resolved_sampler, rngs)
    assert denoised.shape == z.shape
    assert not torch.equal(denoised, z)
    assert prior.decode(denoised).shape == (2, 3, 16, 16)


def test_pixels_need_no_autoencoder(undisturbed):
    assert sorted(entry.name for entry in undisturbed.iterdir()) == [
        "environment.json",
        "model_index.json",
        "scheduler",
        "transformer",
    ]


def test_every_step_is_told(pixels, at):
    told: list[Event] = []
    pixels.fit(at, told.append)
    assert [(event.stage, event.done, event.total) for event in told] == [
        (Stage.FIT, step, N_STEPS) for step in range(1, N_STEPS + 1)
    ]
    assert all(event.values["loss"] > 0 for event in told)


def test_the_same_settings_train_the_same_prior_byte_for_byte(pixels, undisturbed, at):
    assert content(pixels.fit(at)) == content(undisturbed)


@pytest.mark.parametrize("step", [1, 3, N_STEPS])
def test_a_stopped_training_is_resumed_to_the_very_bytes_of_an_undisturbed_one(
    pixels, undisturbed, at_every_step, step
):
    at = at_every_step
    with pytest.raises(StopError):
        pixels.fit(at, stop_at(step))
    told: list[Event] = []
    assert content(pixels.fit(at, told.append)) == content(undisturbed)
    assert told[0].done == step  # the step that was stopped had no checkpoint yet


def test_a_training_that_is_resumed_elsewhere_tells_of_both_places(pixels, at_every_step, tmp_path, monkeypatch):
    first = environment_here()
    with pytest.raises(StopError):
        pixels.fit(at_every_step, stop_at(3))
    second = go_elsewhere(tmp_path, monkeypatch)
    with pytest.raises(StopError):
        pixels.fit(at_every_step, stop_at(4))  # a checkpoint of the second place tells of the first one, too
    shutil.rmtree(at_every_step.folder)
    assert environments_of(pixels.fit(at_every_step)) == (second, first)


def test_a_training_stopped_before_its_first_checkpoint_starts_again(pixels, undisturbed, at):
    with pytest.raises(StopError):
        pixels.fit(at, stop_at(3))
    assert at.cache.names("key") == []
    assert content(pixels.fit(at)) == content(undisturbed)


def test_only_the_latest_checkpoint_is_kept_and_none_of_a_finished_training(pixels, at_every_step):
    at = at_every_step
    with pytest.raises(StopError):
        pixels.fit(at, stop_at(4))
    assert at.cache.names("key") == ["key/checkpoint-0000003"]
    pixels.fit(at)
    assert at.cache.names("key") == ["key/prior"]


def test_a_prior_that_was_fitted_before_is_not_trained_again(pixels, undisturbed, at, tmp_path):
    pixels.fit(at)
    told: list[Event] = []
    again = pixels.fit(replace(at, folder=tmp_path / "again"), told.append)
    assert [(event.done, event.total) for event in told] == [(N_STEPS, N_STEPS)]
    assert content(again) == content(undisturbed)


def test_latents_that_are_not_finite_end_the_training(pixels, at, tmp_path):
    folder = tmp_path / "encode"
    encode(pixels.dataset, pixels.prior, pixels.config, folder, ignore)
    latents = open_latents(folder)
    for shard in latents.manifest.shards:
        tensors = {name: tensor.clone() for name, tensor in load_file(folder / shard.file).items()}
        tensors["latents"][:] = torch.inf
        save_file(tensors, folder / shard.file)
    with pytest.raises(NotFiniteError, match="at step 1 "):
        replace(pixels, latents=latents).fit(at)


def test_only_the_prior_of_its_kind_is_trained(pixels, at):
    other = pixels.config.model_copy(update={"prior": PixelsPrior()})
    with pytest.raises(ConfigError, match="'pixels'"):
        replace(pixels, config=other).fit(at)


def key(fingerprint: str = "f", class_names: tuple[str, ...] = ("a", "b"), **changes: object) -> str:
    fields = {"dataset": {"uri": "file:///a"}, "prior": {"kind": "fit", "model": "m", "revision": "r"}}
    return fit_key(DistillConfig.model_validate(fields | changes), fingerprint, class_names)


@pytest.mark.parametrize(
    "changes",
    [
        {"fingerprint": "other"},
        {"class_names": ("b", "a")},
        {"seed": 1},
        {"evaluation": "full"},  # holds images out of training
        {"dataset": {"uri": "file:///a", "aspect": "pad"}},
        {"dataset": {"uri": "file:///a", "test_share": 0.1}},
        {"prior": {"kind": "fit", "model": "other", "revision": "r"}},
        {"prior": {"kind": "fit", "model": "m", "revision": "other"}},
        *(
            {"prior": {"kind": "fit", "model": "m", "revision": "r", **setting}}
            for setting in (
                {"resolution": 128},
                {"latents": "sample"},
                {"size": "medium"},
                {"steps": 10},
                {"train_batch_size": 10},
            )
        ),
    ],
    ids=str,
)
def test_the_key_changes_with_what_the_prior_depends_on(changes):
    assert key(**changes) != key()


@pytest.mark.parametrize(
    "changes",
    [
        {"images_per_class": 3},
        {"method": "d4m"},
        {"sampler": {"strength": 0.9}},
        {"students": {"seeds": 1}},
        {"output": {"resolution": 32}},
        {"dataset": {"uri": "s3://elsewhere/a"}},
        {"dataset": {"uri": "file:///a", "max_bad_share": 0.5}},
        {"dataset": {"uri": "file:///a", "class_names": ("a", "b")}},
        {"prior": {"kind": "fit", "model": "m", "revision": "r", "batch_size": 1, "compile": True}},
    ],
    ids=str,
)
def test_the_key_does_not_change_with_anything_else(changes):
    assert key(**changes) == key()


def test_a_local_autoencoder_is_known_by_its_content_and_not_by_its_place(tmp_path):
    for name, weights in (("one", b"a"), ("same", b"a"), ("other", b"b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_bytes(weights)
    one, same, other = (key(prior={"kind": "fit", "model": str(tmp_path / name)}) for name in ("one", "same", "other"))
    assert one == same != other


def test_a_prior_fitted_on_another_kind_of_device_is_another(monkeypatch):
    here = key()
    monkeypatch.setattr(ddoq.fit, "choose_device", lambda: torch.device("meta"))
    assert key() != here
