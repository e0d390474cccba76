"""How a distilled set was made is said in words, whatever was chosen."""

from typing import get_args

import pytest

from ddoq.budgets import Budget
from ddoq.config import DistillConfig
from ddoq.methods import ROWS, Canvas, Method, ReducerName, Weighting
from ddoq.provenance import POINTS, SOURCES, SQUARES, WEIGHTS, how_made

TEN = Budget("ipc-10", (10, 10))
VAE = {"kind": "vae", "model": "some/vae", "revision": "abc"}
DIT = {"kind": "dit", "model": "some/dit", "revision": "abc"}


def made(budget: Budget = TEN, **changes: object) -> dict[str, str]:
    config = DistillConfig.model_validate({"dataset": {"uri": "file:///data/pets.zip"}, **changes})
    return dict(how_made(config, budget, {"classes": 2, "resolution.encoder": 512, "resolution.archive": 224}))


def test_every_choice_has_words() -> None:
    assert POINTS.keys() == set(get_args(ReducerName))
    assert WEIGHTS.keys() == set(get_args(Weighting))
    assert SOURCES.keys() == set(get_args(Method)) == ROWS.keys()
    fields = DistillConfig.model_fields["dataset"].annotation.model_fields
    assert SQUARES.keys() == set(get_args(fields["aspect"].annotation))


@pytest.mark.parametrize("method", get_args(Method))
def test_a_method_is_told_with_the_parts_it_stands_for(method: Method) -> None:
    told, row = made(method=method), ROWS[method]
    assert told["method"] == f"{method} ({SOURCES[method]})"
    assert told["points"].startswith(f"{row.reducer}: ")
    assert told["images"].startswith(f"{row.canvas}: ")
    assert told["weights"].startswith(f"{row.weights}: ")


def test_a_method_that_was_changed_is_not_told_as_itself() -> None:
    told = made(reducer="medoid", weights="share")
    assert told["method"].endswith("; but reducer medoid instead of centroid, weights share instead of sqrt")


@pytest.mark.parametrize(
    ("prior", "words"),
    [
        ({"kind": "pixels"}, "pixels: no model, an image is its own latent"),
        (VAE, "vae: some/vae at abc, posterior mean"),
        ({**DIT, "latents": "sample"}, "dit: some/dit at abc, posterior sample"),
        ({"kind": "fit"}, "fit: a diffusion transformer trained on this dataset's pixels"),
        (
            {**VAE, "kind": "fit"},
            "fit: a diffusion transformer trained on this dataset's latents of some/vae at abc, posterior mean",
        ),
    ],
)
def test_the_prior_is_told_with_its_model(prior: dict[str, str], words: str) -> None:
    assert made(prior=prior)["prior"] == words


def test_the_sampler_is_told_with_its_defaults() -> None:
    assert made(prior=DIT)["sampler"] == "ddim, the last 70% of 50 steps (strength 0.7), guidance 4"


@pytest.mark.parametrize(
    ("changes", "canvas"),
    [
        ({"prior": VAE}, "prior"),
        ({"prior": DIT, "sampler": {"strength": 0}}, "prior"),
        ({"prior": DIT, "method": "medoid"}, "real"),  # the model only encodes
    ],
)
def test_where_nothing_is_denoised_no_sampler_is_told(changes: dict[str, object], canvas: Canvas) -> None:
    told = made(**changes)
    assert "sampler" not in told
    assert "noised" not in told["images"]
    assert told["images"].startswith(canvas)


def test_only_figures_of_sides_are_told_as_sides() -> None:
    assert made()["sides in pixels"] == "encoder 512, archive 224"


@pytest.mark.parametrize(
    ("budget", "changes", "words"),
    [
        (TEN, {}, "10"),
        (TEN, {"images_per_class": [10]}, "10"),
        (TEN, {"images_per_class": [1, 10, 50]}, "10; budget ipc-10, one of 3 of this distillation"),
        (Budget("by-class", (3, 12)), {"images_per_class": {"cat": 3, "dog": 12}}, "3 to 12"),
        (
            Budget("total-1500", (300, 1200)),
            {"total_images": 1500},
            "300 to 1,200; 1,500 in all, more for the classes that gain most by them",
        ),
    ],
)
def test_a_budget_is_told_among_the_others(budget: Budget, changes: dict[str, object], words: str) -> None:
    assert made(budget, **changes)["images per class"] == words


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        (
            {
                "kind": "checkpoint",
                "network": "convnet-3",
                "checkpoint": "/t.safetensors",
                "mean": [0.5] * 3,
                "deviation": [0.2] * 3,
                "resolution": 48,
            },
            "logits of a convnet-3, /t.safetensors, shown each image once at 48 pixels; temperature 20",
        ),
        (
            {"kind": "pretrained", "model": "org/vit", "revision": "abc", "temperature": 4},
            "logits of org/vit at abc, a pretrained image classifier, shown each image once at the model's own "
            "resolution; temperature 4",
        ),
        (
            {"kind": "pretrained", "model": "/models/vit", "resolution": 224},
            "logits of /models/vit, a pretrained image classifier, shown each image once at 224 pixels; temperature 20",
        ),
        (
            {"kind": "train"},
            "logits of a resnet-18 trained on this dataset, shown each image once at 32 pixels; temperature 20",
        ),
    ],
)
def test_the_teacher_is_told_with_where_it_comes_from(teacher: dict[str, object], words: str) -> None:
    assert made(teacher=teacher)["soft labels"] == words


def test_without_a_teacher_no_soft_labels_are_told() -> None:
    assert "soft labels" not in made()
