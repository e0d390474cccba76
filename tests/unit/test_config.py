"""What a config may say, what follows from it, and what is refused, by name."""

from dataclasses import replace
from typing import get_args

import pytest
from pydantic import BaseModel, ValidationError

from ddoq.config import DistillConfig
from ddoq.events import Stage
from ddoq.methods import ROWS, Method, Parts, ReducerName
from ddoq.network_config import NetworkConfig
from ddoq.prior_config import DENOISING, Prior, Sampler
from ddoq.protocols import PROTOCOLS
from ddoq.teacher_config import TeacherConfig

DATASET = {"uri": "file:///data/flowers.zip"}
VAE = {"kind": "vae", "model": "hub/vae"}
DIFFUSION = {"kind": "stable-diffusion", "model": "hub/sd"}
DIT = {"kind": "dit", "model": "hub/dit"}
FIT = {"kind": "fit"}
TEACHER = {
    "kind": "checkpoint",
    "network": "resnet-18",
    "checkpoint": "/models/resnet.safetensors",
    "mean": [0.5, 0.4, 0.3],
    "deviation": [0.2, 0.2, 0.1],
    "resolution": 32,
}
PRIORS = {"pixels": {"kind": "pixels"}, "vae": VAE, "stable-diffusion": DIFFUSION, "dit": DIT, "fit": FIT}


def config(**settings: object) -> DistillConfig:
    return DistillConfig.model_validate({"dataset": DATASET, **settings})


def assert_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(**settings)


@pytest.mark.parametrize("method", get_args(Method))
def test_every_method_is_a_row_of_parts(method):
    assert config(method=method).parts == ROWS[method]


def test_a_part_that_is_named_replaces_that_of_the_row():
    assert config(method="d4m", weights="share").parts == Parts("clvq", "prior", "share")
    assert config(method="herding", canvas="prior").parts == Parts("herding", "prior", "uniform")
    assert config(reducer="medoid", canvas="real").parts == Parts("medoid", "real", "sqrt")


@pytest.mark.parametrize("reducer", get_args(ReducerName))
def test_every_reducer_can_be_shown_by_the_prior(reducer):
    assert config(reducer=reducer).parts.canvas == "prior"


@pytest.mark.parametrize("reducer", ["centroid", "clvq"])
def test_real_images_cannot_be_shown_for_points_that_are_none(reducer):
    message = f"canvas 'real' .* reducer '{reducer}' does not give; use herding, k-centre, medoid, random"
    assert_refused({"reducer": reducer, "canvas": "real"}, message)


@pytest.mark.parametrize("reducer", ["clvq", "random", "herding", "k-centre"])
def test_settings_of_the_quantizer_are_refused_where_it_is_not_used(reducer):
    asked = {"reducer": reducer, "quantizer": {"effort": "best"}}
    assert_refused(asked, f"reducer '{reducer}' takes no settings of quantizer")


@pytest.mark.parametrize("reducer", ["centroid", "medoid"])
def test_settings_of_the_quantizer_are_taken_where_it_is_used(reducer):
    assert config(reducer=reducer, quantizer={"effort": "best"}).quantizer.effort == "best"


@pytest.mark.parametrize(
    ("unused", "message"),
    [({"prior": FIT}, "prior 'fit'"), ({"prior": DIFFUSION, "sampler": {"guidance": 2}}, "sampler")],
)
def test_real_images_make_no_use_of_a_diffusion_model(unused, message):
    assert_refused({"method": "herding", **unused}, f"canvas 'real' .* makes no use of {message}")


@pytest.mark.parametrize("prior", ["pixels", "vae"])
@pytest.mark.parametrize("sampler", [{"strength": 0.1}, {"steps": 20}, {"guidance": 2}, {"scheduler": "ddpm"}])
def test_a_sampler_is_refused_without_a_diffusion_model(prior, sampler):
    message = f"prior '{prior}' has no diffusion model to denoise by; use stable-diffusion, dit, fit"
    assert_refused({"prior": PRIORS[prior], "sampler": sampler}, message)


def test_strength_zero_may_be_said_where_nothing_is_denoised_anyway():
    assert config(sampler={"strength": 0}).resolved_sampler.strength == 0


def test_a_fitted_prior_that_would_not_be_used_is_refused():
    assert_refused({"prior": FIT, "sampler": {"strength": 0}}, r"sampler.strength 0 the fitted prior would not be used")


@pytest.mark.parametrize("prior", PRIORS)
def test_what_the_sampler_leaves_open_is_the_priors(prior):
    expected = DENOISING.get(prior, (0.0, 1.0))
    assert config(prior=PRIORS[prior]).resolved_sampler == Sampler("ddim", 50, *expected)


def test_what_the_sampler_says_is_taken():
    said = {"scheduler": "dpm-solver++", "steps": 20, "strength": 0.25, "guidance": 3}
    assert config(prior=DIT, sampler=said).resolved_sampler == Sampler("dpm-solver++", 20, 0.25, 3.0)


@pytest.mark.parametrize("prior", PRIORS)
def test_only_a_prior_that_is_trained_has_a_stage_for_it(prior):
    stages = config(prior=PRIORS[prior]).stages
    assert (Stage.FIT in stages) == (prior == "fit")
    assert stages == tuple(stage for stage in Stage if stage in stages)


@pytest.mark.parametrize(
    ("given", "expected"),
    [(7, 7), ([10, 1], (10, 1)), ([5], (5,)), ({"daisy": 3, "rose": 1}, {"daisy": 3, "rose": 1})],
)
def test_images_per_class_takes_three_forms(given, expected):
    assert config(images_per_class=given).images_per_class == expected


@pytest.mark.parametrize(
    ("given", "place"),
    [
        (0, r"images_per_class\.number"),
        (1001, r"images_per_class\.number"),
        ("many", r"images_per_class\.number"),
        ([], r"images_per_class\.sweep"),
        (list(range(1, 12)), r"images_per_class\.sweep"),
        ([3, 0], r"images_per_class\.sweep\.1"),
        ({"daisy": 3}, r"images_per_class\.by class"),
        ({"daisy": 3, "rose": 0}, r"images_per_class\.by class\.rose"),
    ],
)
def test_a_number_out_of_bounds_is_refused_in_its_own_form(given, place):
    with pytest.raises(ValidationError, match=place) as refused:
        config(images_per_class=given)
    assert refused.value.error_count() == 1


def test_a_number_named_twice_is_refused():
    assert_refused({"images_per_class": [10, 50, 10]}, "images_per_class names a number twice")


def test_a_total_takes_the_place_of_the_default_number():
    assert (config(total_images=50).images_per_class, config().images_per_class) == (None, 10)


@pytest.mark.parametrize("asked", [{"images_per_class": 5, "total_images": 50}, {"images_per_class": None}])
def test_images_are_counted_in_one_way(asked):
    assert_refused(asked, "give either images_per_class or total_images")


def test_by_default_students_are_trained_exactly_by_quick():
    assert config().students.resolved_protocol == PROTOCOLS["quick"]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_what_the_students_leave_open_is_the_protocols(name):
    resolved = config(students={"protocol": name}, teacher={**TEACHER, "labels": "live"}).students.resolved_protocol
    assert replace(resolved, networks=()) == replace(PROTOCOLS[name], networks=())


def test_what_the_students_say_is_taken():
    said = {"protocol": "small-hard", "networks": ["resnet-18"], "steps": 7, "batch_size": 5, "width": 16}
    resolved = config(students=said).students.resolved_protocol
    assert resolved.networks == (NetworkConfig("resnet-18", width=16),)
    assert (resolved.n_steps(1000, 10), resolved.batch_size(1000, 10)) == (7, 5)


def test_a_network_has_the_norm_that_the_protocol_gives_it():
    said = {"protocol": "minimax-hard", "networks": ["resnet-18", "resnet-50"]}
    norms = [network.norm for network in config(students=said).students.resolved_protocol.networks]
    assert norms == ["instance", None]


@pytest.mark.parametrize("name", ["d4m-fkd", "rded", "rd3"])
def test_a_protocol_of_soft_labels_is_refused_by_name_without_a_teacher(name):
    kind = PROTOCOLS[name].labels
    message = f"students.protocol '{name}' teaches by {kind} labels of a teacher; set teacher, or use quick, "
    assert_refused({"students": {"protocol": name}}, message)


@pytest.mark.parametrize(
    ("name", "asked", "settled"),
    [
        ("quick", None, "fixed"),
        ("quick", "stored", "stored"),
        ("minimax-hard", "live", "live"),
        ("d4m-fkd", None, "stored"),
        ("d4m-fkd", "live", "live"),
        ("rded", None, "live"),
        ("rd3", "stored", "stored"),
    ],
)
def test_labels_are_what_the_teacher_is_asked_for_else_the_protocols_else_fixed(name, asked, settled):
    taught = config(students={"protocol": name}, teacher={**TEACHER, "labels": asked})
    protocol = taught.resolved_protocol
    assert (protocol.labels, protocol.loss, protocol.temperature) == (settled, "kl", 20)
    assert (Stage.LABEL in taught.stages) == (settled != "live")


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ([], "at least 1 item"),
        (["convnet-7"], r"students\.networks names 'convnet-7'; known are convnet-3, "),
        (["convnet-3", "convnet-3"], r"students\.networks names a network twice"),
    ],
)
def test_networks_are_known_and_distinct(networks, message):
    assert_refused({"students": {"networks": networks}}, message)


def test_a_network_that_needs_larger_images_is_refused_with_both_sides():
    asked = {"students": {"networks": ["convnet-3", "resnet-18"], "resolution": 8}}
    message = r"'resnet-18', which needs images of at least 16 pixels, but students see 8: the smaller of"
    assert_refused(asked, message)
    small = {"students": {"networks": ["convnet-6"], "resolution": 64}, "output": {"resolution": 32}}
    assert_refused(small, r"at least 64 pixels, but students see 32")


@pytest.mark.parametrize(("evaluation", "share", "n_draws"), [("none", 0, 0), ("quick", 0, 3), ("full", 0.1, 4)])
def test_the_dial_says_what_is_held_out_and_how_often_students_are_trained(evaluation, share, n_draws):
    dialled = config(evaluation=evaluation)
    assert (dialled.validation_share, dialled.n_draws) == (share, n_draws)


def test_evaluation_is_quick_where_nobody_says():
    assert config().evaluation == "quick"
    assert_refused({"evaluation": "thorough"}, "Input should be 'none', 'quick' or 'full'")


@pytest.mark.parametrize(
    ("settings", "networks"),
    [
        ({}, ("convnet-3",)),
        ({"evaluation": "none"}, ("convnet-3",)),
        ({"evaluation": "full"}, ("convnet-3", "cifar-resnet-20", "resnet-18")),
        ({"evaluation": "full", "students": {"resolution": 8}}, ("convnet-3", "cifar-resnet-20")),
        ({"evaluation": "full", "students": {"protocol": "small-hard"}}, ("convnet-3", "cifar-resnet-20", "resnet-18")),
        ({"evaluation": "full", "students": {"protocol": "minimax-hard"}}, ("resnetap-10", "resnet-18")),
        ({"evaluation": "full", "students": {"networks": ["convnet-4"]}}, ("convnet-4",)),
    ],
)
def test_full_evaluation_crosses_architectures_unless_they_are_named(settings, networks):
    resolved = config(**settings)
    assert resolved.student_networks == networks
    assert tuple(network.name for network in resolved.resolved_protocol.networks) == networks


def test_full_evaluation_takes_the_protocols_own_form_of_a_network():
    resolved = config(evaluation="full", students={"protocol": "minimax-hard"}).resolved_protocol
    assert [network.norm for network in resolved.networks] == [None, "instance"]


def test_where_no_network_of_the_protocol_fits_the_first_is_refused_by_name():
    small = {"protocol": "minimax-hard", "resolution": 8}
    assert_refused({"evaluation": "full", "students": small}, "'resnetap-10', which needs images of at least 16 pixels")


def test_students_see_no_more_than_there_is():
    small = config(output={"resolution": 16}, students={"resolution": 64})
    large = config(output={"resolution": 128}, students={"resolution": 64})
    assert (small.student_resolution, large.student_resolution) == (16, 64)


def test_only_a_distillation_with_a_teacher_labels_images():
    assert Stage.LABEL not in config().stages
    stages = config(teacher=TEACHER).stages
    assert stages[stages.index(Stage.GENERATE) + 1] is Stage.LABEL


def test_only_a_teacher_of_its_kind_is_taught_and_before_it_labels():
    stages = config(teacher={"kind": "train"}).stages
    after = stages.index(Stage.GENERATE) + 1
    assert stages[after : after + 2] == (Stage.TEACH, Stage.LABEL)
    assert Stage.TEACH not in config(teacher={"kind": "pretrained", "model": "/models/vit"}).stages


def test_a_teacher_replaces_the_labels_of_the_protocol_and_nothing_else():
    soft = config(teacher={**TEACHER, "temperature": 4}).resolved_protocol
    assert (soft.labels, soft.loss, soft.temperature, soft.teacher) == ("fixed", "kl", 4, NetworkConfig("resnet-18"))
    back = replace(soft, labels="hard", loss="cross-entropy", temperature=None, teacher=None)
    assert back == config().resolved_protocol == PROTOCOLS["quick"]


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ({"network": "resnet-19"}, r"teacher.network 'resnet-19' is unknown; known are convnet-3, "),
        ({"resolution": 8}, r"teacher.resolution 8 is too small: resnet-18 needs 16 pixels"),
        ({"checkpoint": "resnet.safetensors"}, r"should match pattern"),
        ({"deviation": [0.2, 0.2, 2]}, r"less than or equal to 1"),
    ],
)
def test_a_checkpoint_that_cannot_be_used_is_refused(teacher, message):
    assert_refused({"teacher": {**TEACHER, **teacher}}, message)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ({"network": "resnet-19"}, r"teacher.network 'resnet-19' is unknown; known are convnet-3, "),
        ({"epochs": 3, "steps": 10}, r"teacher.epochs and teacher.steps both say how long it is trained; give one"),
        ({"checkpoint": "/models/x.safetensors"}, r"Extra inputs are not permitted"),
    ],
)
def test_a_teacher_that_cannot_be_trained_is_refused(teacher, message):
    assert_refused({"teacher": {"kind": "train", **teacher}}, message)


def test_a_teacher_to_be_trained_has_to_see_enough():
    asked = {"teacher": {"kind": "train"}, "students": {"resolution": 8}}
    assert_refused(
        asked, r"teacher.network names 'resnet-18', which needs images of at least 16 pixels, but students see 8"
    )


@pytest.mark.parametrize("teacher", [TEACHER, {"kind": "pretrained", "model": "/models/vit"}, {"kind": "train"}])
def test_without_a_temperature_it_is_twenty(teacher):
    assert config(teacher=teacher).resolved_protocol.temperature == 20


def test_fixed_soft_labels_are_refused_where_images_are_mixed():
    asked = {"teacher": TEACHER, "students": {"protocol": "minimax-hard"}}
    message = "'minimax-hard' mixes images, of which fixed soft labels say nothing; set teacher.labels to 'live' or 's"
    assert_refused(asked, message)
    assert_refused({"teacher": {**TEACHER, "labels": "fixed"}, "students": {"protocol": "rded"}}, "'rded' mixes images")


def test_a_teacher_that_nobody_would_ask_is_not_trained():
    in_vain = {"teacher": {"kind": "train", "labels": "live"}, "evaluation": "none"}
    assert_refused(in_vain, "it would be trained in vain; set teacher.labels to 'stored', or evaluation to 'quick'")
    assert Stage.TEACH in config(**{**in_vain, "teacher": {"kind": "train", "labels": "stored"}}).stages
    assert Stage.TEACH in config(**{**in_vain, "evaluation": "quick"}).stages
    assert config(**{**in_vain, "teacher": {**TEACHER, "labels": "live"}}).evaluation == "none"


def test_a_class_named_twice_is_refused():
    named = {**DATASET, "class_names": ["daisy", "rose", "daisy"]}
    assert_refused({"dataset": named}, "class_names names a class twice")


def test_many_pixels_without_an_autoencoder_are_refused():
    assert_refused({"prior": {"kind": "fit", "resolution": 128}}, r"128 pixels without prior\.model")


@pytest.mark.parametrize("place", [{}, {"prior": {"kind": "pixels", "extra": 1}}, {"sampler": {"extra": 1}}])
def test_an_unknown_field_is_refused(place):
    assert_refused(place or {"extra": 1}, "Extra inputs are not permitted")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"images_per_class": [1, 10]},
        {"images_per_class": {"daisy": 3, "rose": 1}},
        {"total_images": 50},
        {"method": "k-centre", "weights": "sqrt", "prior": DIT},
        {"prior": FIT, "sampler": {"strength": 0.5}},
        {"prior": {**DIFFUSION, "class_prompts": {"daisy": "a daisy"}}, "output": {"resolution": 64}},
        {"students": {"protocol": "minimax-hard", "networks": ["convnet-3", "resnetap-10"], "steps": 5}},
        {"teacher": TEACHER, "students": {"protocol": "small-hard"}},
        {"teacher": {"kind": "pretrained", "model": "org/vit", "revision": "abc", "mean": [0.5, 0.5, 0.5]}},
        {"teacher": {"kind": "train", "network": "convnet-3", "width": None, "norm": "batch", "steps": 5}},
    ],
)
def test_a_config_survives_json(settings):
    whole = config(**settings)
    assert DistillConfig.model_validate_json(whole.model_dump_json()) == whole


def test_every_field_says_what_it_is_for():
    groups: list[type[BaseModel]] = [DistillConfig, *get_args(Prior), *get_args(TeacherConfig)]
    for group in groups:
        for name, field in group.model_fields.items():
            inner = field.annotation
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                groups.append(inner)
            elif name not in {"kind", "prior"}:
                assert field.description, f"{group.__name__}.{name}"
