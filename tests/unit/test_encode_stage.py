"""Latents that another distillation has made."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from ddoq.caches import FolderCache
from ddoq.config import DistillConfig
from ddoq.encode_stage import encode_key
from ddoq.errors import BadImagesError
from ddoq.events import Event, Stage
from ddoq.prior.pixels import Pixels
from ddoq.run import Run
from ddoq.stages import run_stage
from tests.pictures import access_to, members, write_zip
from tests.tiny_models import save_kl, save_stable_diffusion

PIXELS = {"kind": "pixels", "resolution": 16}
SAVED = ("shard-00000.keys.json", "shard-00000.safetensors", "manifest.json", "provenance.json")


@dataclass(frozen=True)
class Place:
    """Distillations side by side in `folder`, which share a cache."""

    folder: Path
    files: dict[str, bytes] = field(default_factory=members)

    def encode(self, name: str, **changes: Any) -> tuple[dict[str, bytes], list[Event]]:
        """Read and encode as the distillation `name`; answer the files and the events of encoding."""
        uri = write_zip(self.folder / "data.zip", self.files)
        dataset = {"uri": uri, **changes.pop("dataset", {})}
        config = DistillConfig.model_validate({"dataset": dataset, "prior": PIXELS, **changes})
        folders = {stage: self.folder / name / stage for stage in (Stage.READ, Stage.ENCODE)}
        events: list[Event] = []
        run = Run(config, folders, access_to(self.folder), FolderCache(self.folder / "kept"), events.append)
        for stage in folders:
            run_stage(stage, run)
        files = {file.name: file.read_bytes() for file in folders[Stage.ENCODE].iterdir() if file.name != "usage.json"}
        return files, [event for event in events if event.stage is Stage.ENCODE]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_another_budget_and_method_find_the_latents_made(place):
    first, undisturbed = place.encode("first", images_per_class=3)
    second, events = place.encode("second", images_per_class=2, method="medoid", seed=1)
    assert sorted(first) == sorted(SAVED)
    assert second == first
    assert [(event.done, event.total) for event in events] == [(36, 36)]
    assert events[-1] == undisturbed[-1]


def test_what_is_found_needs_no_dataset(place):
    first, _ = place.encode("first")
    run = Run(
        DistillConfig.model_validate({"dataset": {"uri": "file:///gone"}, "prior": PIXELS}),
        {Stage.READ: place.folder / "first" / "read", Stage.ENCODE: place.folder / "second"},
        access_to(place.folder),
        FolderCache(place.folder / "kept"),
        lambda _event: None,
    )
    run_stage(Stage.ENCODE, run)
    second = {file.name: file.read_bytes() for file in (place.folder / "second").glob("[!u]*")}
    assert second == first


def test_bad_images_are_told_of_latents_found_too(tmp_path):
    place = Place(tmp_path, members() | {"train/cat/bad.png": b"no image"})
    first, undisturbed = place.encode("first", dataset={"max_bad_share": 0.1})
    second, events = place.encode("second", dataset={"max_bad_share": 0.1}, images_per_class=2)
    assert b'"n_bad": 1' in first["manifest.json"]
    assert second == first
    assert events == undisturbed[-1:]
    with pytest.raises(BadImagesError):
        place.encode("third", dataset={"max_bad_share": 0.01})


def test_other_images_are_encoded(place):
    place.encode("first")
    _, events = Place(place.folder, members(n_train=10)).encode("second")
    assert [event.total for event in events] == [30] * len(events)


def test_latents_made_in_want_of_memory_are_not_kept(place, monkeypatch):
    encode = Pixels.encode

    def encode_few(pixels, images, rngs=None):
        if len(images) > 4:
            raise torch.OutOfMemoryError(f"{len(images)} images do not fit")
        return encode(pixels, images, rngs)

    with monkeypatch.context() as small_memory:
        small_memory.setattr(Pixels, "encode", encode_few)
        place.encode("first")
    assert not list(place.folder.glob("kept/*/00000"))
    place.encode("second")
    assert len(list(place.folder.glob("kept/*/00000"))) == 1


VAE = {"kind": "vae", "model": "m", "revision": "r"}


def key(fingerprint: str = "f", class_names: tuple[str, ...] = ("a", "b"), **changes: object) -> str:
    fields = {"dataset": {"uri": "file:///a"}, "prior": VAE}
    return encode_key(DistillConfig.model_validate(fields | changes), fingerprint, class_names)


@pytest.mark.parametrize(
    "changes",
    [
        {"fingerprint": "other"},
        {"class_names": ("b", "a")},
        {"evaluation": "full"},  # holds images out of training
        {"dataset": {"uri": "file:///a", "aspect": "pad"}},
        {"dataset": {"uri": "file:///a", "test_share": 0.1}},
        {"dataset": {"uri": "file:///a", "image_column": "other"}},
        {"prior": PIXELS},
        *(
            {"prior": VAE | setting}
            for setting in (
                {"kind": "dit"},
                {"model": "other"},
                {"revision": "other"},
                {"resolution": 128},
                {"latents": "sample"},
                {"batch_size": 8},
            )
        ),
    ],
    ids=str,
)
def test_the_key_changes_with_what_latents_depend_on(changes):
    assert key(**changes) != key()


@pytest.mark.parametrize(
    "changes",
    [
        {"images_per_class": 3},
        {"images_per_class": None, "total_images": 9},
        {"method": "d4m"},
        {"seed": 1},
        {"students": {"seeds": 1}},
        {"output": {"resolution": 32}},
        {"dataset": {"uri": "s3://elsewhere/a"}},
        {"dataset": {"uri": "file:///a", "max_bad_share": 0.5}},
        {"dataset": {"uri": "file:///a", "class_names": ("a", "b")}},  # those of the key are what was resolved
    ],
    ids=str,
)
def test_the_key_does_not_change_with_anything_else(changes):
    assert key(**changes) == key()


def test_samples_of_the_posterior_depend_on_the_seed():
    sampled = VAE | {"latents": "sample"}
    assert key(prior=sampled) != key(prior=sampled, seed=1)


def test_the_diffusion_model_is_no_part_of_the_key(tmp_path):
    asked = {"kind": "stable-diffusion", "model": str(save_stable_diffusion(tmp_path / "sd"))}
    before = key(prior=asked)
    (tmp_path / "sd" / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"other")
    assert key(prior=asked | {"prompt": "a photo of a {class}"}) == before
    (tmp_path / "sd" / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"other")
    assert key(prior=asked) != before


def test_a_local_autoencoder_is_known_by_its_content_and_not_by_its_place(tmp_path):
    for name, scale in (("one", 0.5), ("same", 0.5), ("other", 0.6)):
        save_kl(tmp_path / name, scaling_factor=scale)
    one, same, other = (key(prior={"kind": "vae", "model": str(tmp_path / name)}) for name in ("one", "same", "other"))
    assert one == same != other
