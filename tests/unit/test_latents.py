"""The encode stage, over a small dataset on disk."""

from dataclasses import dataclass, field

import pytest
import torch

from ddoq.config import DistillConfig
from ddoq.datasets import open_dataset
from ddoq.encode import encode
from ddoq.errors import NotFiniteError, OutOfMemoryError
from ddoq.latents import open_latents
from ddoq.prior import LatentPrior, load_encoder
from ddoq.prior.pixels import Pixels
from ddoq.seeds import stream
from ddoq.wasserstein import draw_rows
from tests.pictures import access_to, members, png, write_folder
from tests.tiny_models import save_kl

N_TRAIN, NAMES = 10, ("cat", "dog")


@dataclass(frozen=True)
class Cramped:
    """Pixels on a device whose memory holds `room` images."""

    room: int
    batch_size: int = 16
    resolution: int = 16
    batches: list[int] = field(default_factory=list)

    @property
    def latent_shape(self):
        return 3, self.resolution, self.resolution

    def encode(self, images, rngs=None):
        self.batches.append(len(images))
        if len(images) > self.room:
            raise torch.OutOfMemoryError(f"{len(images)} images do not fit")
        return Pixels(self.resolution).encode(images, rngs)

    def decode(self, z):
        return Pixels(self.resolution).decode(z)


@dataclass(frozen=True)
class Encoding:
    """A dataset to be encoded, and the events that came of it."""

    config: DistillConfig
    dataset: object
    folder: object
    events: list = field(default_factory=list)

    def run(self, prior, name="latents"):
        return encode(self.dataset, prior, self.config, self.folder / name, self.events.append)


@pytest.fixture
def encoding(tmp_path):
    return prepare(tmp_path, members(NAMES, N_TRAIN), {"kind": "pixels", "resolution": 16})


def prepare(folder, files, prior, **dataset):
    uri = write_folder(folder / "data", files)
    config = DistillConfig.model_validate({"dataset": {"uri": uri, **dataset}, "prior": prior, "seed": 3})
    return Encoding(config, open_dataset(config.dataset, access_to(folder)), folder)


def every(latents):
    return torch.cat([latents.of_class(label) for label in range(len(NAMES))])


def test_every_training_image_becomes_a_latent_of_its_class(encoding):
    latents = encoding.run(load_encoder(encoding.config))
    assert latents.manifest.counts == (N_TRAIN, N_TRAIN)
    assert [len(latents.keys(label)) for label in range(2)] == [N_TRAIN, N_TRAIN]
    assert open_latents(latents.folder) == latents


def test_want_of_memory_halves_the_batches_and_changes_no_latent(encoding):
    whole = encoding.run(Cramped(room=16), "whole")
    prior = Cramped(room=3)
    halved = encoding.run(prior, "halved")
    assert torch.equal(every(whole), every(halved))
    assert prior.batches[:4] == [16, 8, 4, 2]
    assert max(prior.batches[4:]) == 2
    assert isinstance(prior, LatentPrior)


def test_the_smaller_batch_is_told_and_kept_for_the_report(encoding):
    assert encoding.run(Cramped(room=16), "whole").manifest.smaller_batch is None
    assert encoding.run(Cramped(room=3), "halved").manifest.smaller_batch == 2
    assert [event.values["batch_size"] for event in encoding.events if event.values] == [8, 4, 2]


def test_events_count_up_to_every_image_however_small_the_batches(encoding):
    encoding.run(Cramped(room=3))
    assert [event.done for event in encoding.events] == sorted(event.done for event in encoding.events)
    assert encoding.events[-1].done == encoding.events[-1].total == 2 * N_TRAIN


def test_memory_too_short_for_one_image_is_refused(encoding):
    with pytest.raises(OutOfMemoryError):
        encoding.run(Cramped(room=0))


def test_latents_that_are_not_finite_are_refused_by_the_image(encoding):
    @dataclass(frozen=True)
    class Broken(Cramped):
        def encode(self, images, rngs=None):
            return super().encode(images, rngs) * torch.nan

    with pytest.raises(NotFiniteError, match=r"'cat/000\.png'"):
        encoding.run(Broken(room=16))


def test_a_sampled_latent_depends_on_the_seed_and_the_key_alone(tmp_path):
    save_kl(tmp_path / "vae")
    prior = {"kind": "vae", "model": str(tmp_path / "vae"), "resolution": 16, "latents": "sample", "batch_size": 7}
    encoding = prepare(tmp_path, members(NAMES, N_TRAIN), prior)
    latents = encoding.run(load_encoder(encoding.config))
    for label, key in ((0, "cat/003.png"), (1, "dog/009.png")):
        row = latents.keys(label).index(key)
        sample = next(encoding.dataset.samples("train", 16, print, {key}))
        alone = load_encoder(encoding.config).encode(sample.image[None], [stream(3, "posterior", key)])
        torch.testing.assert_close(latents.of_class(label)[row], alone[0], rtol=1e-3, atol=2e-3)  # kept in half


def test_the_mean_differs_from_a_sample(tmp_path):
    save_kl(tmp_path / "vae")
    folders = {}
    for kind in ("mean", "sample"):
        prior = {"kind": "vae", "model": str(tmp_path / "vae"), "resolution": 16, "latents": kind}
        encoding = prepare(tmp_path, members(NAMES, N_TRAIN), prior)
        folders[kind] = every(encoding.run(load_encoder(encoding.config), kind))
    assert not torch.allclose(folders["mean"], folders["sample"], atol=1e-2)


def test_mean_and_deviation_are_those_of_all_pixels(encoding):
    manifest = encoding.run(load_encoder(encoding.config)).manifest
    pixels = torch.stack([sample.image for sample in encoding.dataset.samples("train", 16, print)]).double() / 255
    assert manifest.mean == pytest.approx(pixels.mean(dim=(0, 2, 3)).tolist(), abs=1e-9)
    assert manifest.deviation == pytest.approx(pixels.std(dim=(0, 2, 3), correction=0).tolist(), abs=1e-9)


@pytest.mark.parametrize(("aspect", "grey"), [("crop", False), ("pad", True)])
def test_an_oblong_image_becomes_a_square_as_the_config_says(aspect, grey, tmp_path):
    files = {name: png(0, 0, (32, 16)) for name in members(NAMES, 2, 1)}
    encoding = prepare(tmp_path, files, {"kind": "pixels", "resolution": 16}, aspect=aspect)
    latents = encoding.run(load_encoder(encoding.config))
    top = Pixels(16).decode(latents.of_class(0))[:, :, 0]
    assert bool((top == 128).all()) is grey


def test_some_rows_of_a_class_are_those_of_the_whole_however_many_shards_it_lies_in(encoding, monkeypatch):
    monkeypatch.setattr("ddoq.prior_config.PIXELS_BATCH", 5)
    monkeypatch.setattr("ddoq.blocks.SHARD_BYTES", 1)  # a batch each
    latents = encoding.run(Cramped(3), "shards")
    assert len(latents.manifest.shards) > 3
    whole = latents.of_class(1)
    assert torch.equal(latents.rows_of_class(1, torch.tensor([7, 0, 9])), whole[[0, 7, 9]])
    for n_rows in (5, N_TRAIN):
        assert torch.equal(latents.draw_of_class(1, n_rows, stream(3)), draw_rows(whole, n_rows, stream(3)))
