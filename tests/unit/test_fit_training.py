"""A diffusion transformer in training."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ddoq.config import DatasetConfig, DistillConfig, PixelsPrior
from ddoq.datasets import open_dataset
from ddoq.encode import encode
from ddoq.events import ignore
from ddoq.fit_plan import Plan
from ddoq.fit_training import MAX_SNR_WEIGHT, Rows, Training, make_scheduler, noise
from ddoq.latents import Latents, Shard
from ddoq.prior.pixels import Pixels
from ddoq.seeds import stream
from tests.pictures import access_to, members, write_zip

SHAPE = (3, 8, 8)
PLAN = Plan(patch_size=4, n_layers=1, n_heads=2, head_dim=8, learning_rate=3e-3, batch_size=16, n_steps=60, n_warmup=4)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def latents(tmp_path_factory) -> Latents:
    """Pixels of 36 images of 3 classes, in several shards."""
    folder = tmp_path_factory.mktemp("latents")
    uri = write_zip(folder / "set.zip", members())
    config = DistillConfig(dataset=DatasetConfig(uri=uri), prior=PixelsPrior(resolution=8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ddoq.prior_config.PIXELS_BATCH", 6)
        patch.setattr("ddoq.blocks.ENCODED_IMAGES", 12)
        dataset = open_dataset(config.dataset, access_to(folder))
        prior = Pixels(resolution=8, batch_size=6)
        return encode(dataset, prior, config, folder / "encode", ignore)


def training(plan: Plan = PLAN, seed: int = 0) -> Training:
    return Training(plan, SHAPE, 3, seed, CPU)


def weights(of: Training) -> list[torch.Tensor]:
    return [*of.weights.values(), *of.averages.values()]


def test_rows_are_the_latents_of_their_classes(latents):
    rows = Rows(latents)
    z, labels = rows.gather(torch.arange(len(rows)))
    assert len(latents.manifest.shards) > 1
    for label in range(3):
        assert torch.equal(z[labels == label], latents.of_class(label))


def test_rows_are_given_in_the_order_asked_for(latents):
    rows, asked = Rows(latents), torch.tensor([35, 0, 17, 17, 3])
    z, labels = rows.gather(asked)
    everything, every_label = rows.gather(torch.arange(36))
    assert torch.equal(z, everything[asked])
    assert torch.equal(labels, every_label[asked])


def test_rows_stay_on_disk_until_they_are_asked_for(latents, tmp_path: Path):
    n, dimension = 8192, 4096  # 64 MiB
    save_file(
        {"latents": torch.ones(n, dimension, dtype=torch.half), "labels": torch.zeros(n, dtype=torch.int64)},
        tmp_path / "big.safetensors",
    )
    shards = (Shard("big.safetensors", (n, 0, 0)),)
    manifest = replace(latents.manifest, dimension=dimension, counts=(n, 0, 0), shards=shards)
    before = own_memory()
    rows = Rows(Latents(tmp_path, manifest))
    for start in range(0, n, 64):
        assert rows.gather(torch.arange(start, start + 64))[0].min() == 1
    assert own_memory() - before < 2**24


def own_memory() -> int:
    """Bytes of this process that are no pages of files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def test_the_loss_falls(latents):
    one, rows = training(), Rows(latents)
    losses = [one.step(one.draw(rows)).item() for _ in range(PLAN.n_steps)]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_a_fresh_transformer_predicts_nothing(latents):
    one = training()
    batch = one.draw(Rows(latents))
    assert one.model(batch.x, timestep=batch.timesteps, class_labels=batch.labels).sample.abs().max() == 0


def test_the_start_depends_on_the_seed_alone():
    torch.manual_seed(1)
    one = weights(training())
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert all(map(torch.equal, one, weights(training())))
    assert torch.equal(before, torch.get_rng_state())
    assert not all(map(torch.equal, one, weights(training(seed=1))))


def test_a_training_put_on_disk_and_back_goes_on_as_if_nothing_had_been(latents, tmp_path: Path):
    undisturbed, rows = training(), Rows(latents)
    for _ in range(3):
        undisturbed.step(undisturbed.draw(rows))
    undisturbed.save(tmp_path)
    resumed = training()
    resumed.load(tmp_path)
    for one in (undisturbed, resumed):
        for _ in range(3):
            one.step(one.draw(rows))
    assert resumed.n_done == 6
    assert all(map(torch.equal, weights(undisturbed), weights(resumed)))


def test_the_mean_of_the_weights_begins_with_the_first_step_and_then_lags_behind(latents):
    one, rows = training(), Rows(latents)
    one.step(one.draw(rows))
    assert all(torch.equal(one.averages[name], weight) for name, weight in one.weights.items())
    for _ in range(5):
        one.step(one.draw(rows))
    assert any(not torch.equal(one.averages[name], weight) for name, weight in one.weights.items())


def test_the_finished_transformer_has_the_mean_of_the_weights(latents):
    one, rows = training(), Rows(latents)
    for _ in range(3):
        one.step(one.draw(rows))
    averages = {name: average.clone() for name, average in one.averages.items()}
    assert all(torch.equal(averages[name], weight) for name, weight in one.finish().named_parameters())


def test_some_labels_give_way_to_the_class_of_none():
    labels = torch.ones(2000, dtype=torch.int64)
    batch = noise(torch.zeros(2000, *SHAPE), labels, 3, make_scheduler(), stream(0))
    assert set(batch.labels.tolist()) == {1, 3}
    assert 0.07 < (batch.labels == 3).float().mean() < 0.13


def test_an_error_of_the_velocity_counts_as_one_of_the_clean_latent_up_to_the_largest_ratio():
    scheduler = make_scheduler()
    z = torch.randn(500, *SHAPE, generator=stream(0, "z"))
    batch = noise(z, torch.zeros(500, dtype=torch.int64), 3, scheduler, stream(0))
    kept = scheduler.alphas_cumprod[batch.timesteps].view(-1, 1, 1, 1)
    wrong = batch.velocity + 0.1
    clean = kept.sqrt() * batch.x - (1 - kept).sqrt() * wrong  # what this velocity says that the latent was
    of_velocity = batch.weights * (wrong - batch.velocity).square().mean(dim=(1, 2, 3))
    of_clean = (clean - z).square().mean(dim=(1, 2, 3))
    ratio = (kept / (1 - kept)).flatten().clamp(max=MAX_SNR_WEIGHT)
    torch.testing.assert_close(of_velocity, ratio * of_clean, rtol=1e-3, atol=1e-6)


def test_the_last_step_of_the_noise_is_noise_alone():
    assert make_scheduler().alphas_cumprod[-1] < 1e-6


def test_the_rate_of_learning_rises_then_falls_to_nothing(latents):
    one, rows, rates = training(), Rows(latents), []
    for _ in range(PLAN.n_steps):
        one.step(one.draw(rows))
        rates.append(one.optimizer.param_groups[0]["lr"])
    assert max(rates) == pytest.approx(PLAN.learning_rate)
    top = rates.index(max(rates))
    assert rates == sorted(rates[: top + 1]) + sorted(rates[top + 1 :], reverse=True)
    assert rates[-1] < 0.01 * PLAN.learning_rate
