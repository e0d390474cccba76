"""What was used is cited, and what was not used is not."""

import re
from collections.abc import Mapping

import pytest

from ddoq import bibliography
from ddoq.citations import bibtex, cite, in_words
from ddoq.config import DistillConfig
from ddoq.evaluate import score
from ddoq.types import Citation, Report

SCORED = {"distilled": score([0.9]), "random real": score([0.8])}
TEACHER = {
    "kind": "checkpoint",
    "network": "cifar-resnet-20",
    "checkpoint": "/t.safetensors",
    "mean": [0.5] * 3,
    "deviation": [0.25] * 3,
    "resolution": 32,
}
DIT = {"kind": "dit", "model": "org/dit", "revision": "abc123"}
WORKS = [work for work in vars(bibliography).values() if isinstance(work, Citation)]


def cited(
    figures: Mapping[str, float] | None = None, accuracy: Mapping[str, object] = SCORED, **changes: object
) -> dict[str, str]:
    """Keys of what is cited, with what for."""
    config = DistillConfig.model_validate({"dataset": {"uri": "file:///data/pets.zip"}, **changes})
    report = Report(accuracy=accuracy, distortion={}, weights={}, figures=figures or {}, remarks=())
    return {citation.key: citation.used_for for citation in cite(config, report)}


def test_the_default_cites_its_method_its_quantizer_and_the_students_network() -> None:
    assert cited() == {
        "tan2026ddoq": "method, weights",
        "hartigan1979kmeans": "reducer centroid",
        "arthur2007kmeanspp": "reducer centroid",
        "lattanzi2019better": "reducer centroid",
        "gidaris2018dynamic": "network convnet-3",
        "zhao2021dc": "network convnet-3",
    }


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("d4m", {"su2024d4m", "sculley2010webscale", "arthur2007kmeanspp"}),
        ("random", set()),
        ("herding", {"welling2009herding"}),
        ("k-centre", {"gonzalez1985clustering", "sener2018coreset"}),
        ("medoid", {"hartigan1979kmeans", "arthur2007kmeanspp", "lattanzi2019better"}),
    ],
)
def test_each_method_cites_its_own_and_nothing_of_the_others(method: str, expected: set[str]) -> None:
    assert set(cited(method=method, accuracy={})) == expected


def test_weights_are_cited_where_another_method_takes_them() -> None:
    assert cited(method="d4m", weights="share")["tan2026ddoq"] == "weights"


def test_without_swaps_the_local_search_is_not_cited() -> None:
    assert "lattanzi2019better" not in cited(quantizer={"effort": "fast"})


def test_a_diffusion_model_is_cited_with_its_revision_its_sampler_and_guidance() -> None:
    found = cited(prior=DIT, accuracy={})
    assert {"prior-model", "peebles2023dit", "song2021ddim", "ho2022guidance"} <= set(found)
    assert not {"ho2020ddpm", "lu2022dpmsolverpp", "rombach2022latent"} & set(found)


@pytest.mark.parametrize(
    ("scheduler", "key"), [("ddim", "song2021ddim"), ("ddpm", "ho2020ddpm"), ("dpm-solver++", "lu2022dpmsolverpp")]
)
def test_of_samplers_only_the_one_that_was_used_is_cited(scheduler: str, key: str) -> None:
    samplers = {"song2021ddim", "ho2020ddpm", "lu2022dpmsolverpp"}
    assert set(cited(prior=DIT, sampler={"scheduler": scheduler})) & samplers == {key}


def test_what_only_encodes_is_not_cited_as_a_diffusion_model() -> None:
    found = cited(prior=DIT, method="medoid")
    assert found["prior-model"] == "latents"
    assert not {"peebles2023dit", "song2021ddim", "ho2022guidance"} & set(found)
    assert "peebles2023dit" not in cited(prior=DIT, sampler={"strength": 0})


def test_guidance_of_one_is_none() -> None:
    assert "ho2022guidance" not in cited(prior=DIT, sampler={"guidance": 1})


def test_a_prior_that_was_fitted_here_cites_how_it_was_trained() -> None:
    found = cited(prior={"kind": "fit"})
    assert found["hang2023minsnr"] == "fitted prior"
    assert "prior-model" not in found


def test_pixels_are_nobodys_model() -> None:
    assert "prior-model" not in cited()


def test_protocol_network_and_augmentation_are_cited_each_once() -> None:
    found = cited(students={"protocol": "small-hard", "networks": ["convnet-3", "resnet-18"]})
    assert found["zhao2021dsa"] == "protocol small-hard, augmentation"
    assert found["he2016resnet"] == "network resnet-18"
    assert "yun2019cutmix" not in found


def test_what_a_protocol_does_to_images_is_cited() -> None:
    found = cited(students={"protocol": "minimax-hard"})
    assert found["yun2019cutmix"] == "CutMix"
    assert {"gu2024minimax", "kim2022idc", "szegedy2015going", "krizhevsky2012imagenet"} <= set(found)
    assert "zhao2021dsa" not in found


def test_where_no_student_was_trained_no_protocol_is_cited() -> None:
    found = cited(accuracy={}, students={"protocol": "minimax-hard"})
    assert not {"gu2024minimax", "kim2022idc", "yun2019cutmix", "gidaris2018dynamic"} & set(found)


def test_soft_labels_and_the_teachers_network_are_cited_where_there_is_a_teacher() -> None:
    found = cited(teacher=TEACHER)
    assert (found["hinton2015distilling"], found["he2016resnet"]) == ("soft labels", "teacher")
    assert "hinton2015distilling" not in cited()


def test_measures_are_cited_where_they_were_taken() -> None:
    found = cited({"w2.weighted": 1.0, "coverage.distilled": 0.5})
    assert (found["flamary2021pot"], found["naeem2020reliable"]) == ("w2", "coverage")
    assert not {"flamary2021pot", "naeem2020reliable"} & set(cited())


def test_a_work_reads_as_one_line() -> None:
    assert in_words(bibliography.COVERAGE) == (
        "Muhammad Ferjad Naeem, Seong Joon Oh, Youngjung Uh et al. Reliable Fidelity and Diversity Metrics for "
        "Generative Models. ICML, 2020. arXiv:2002.09797."
    )


def models(name: str, revision: str | None) -> Citation:
    config = DistillConfig.model_validate(
        {"dataset": {"uri": "s3://b/a"}, "prior": {"kind": "vae", "model": name, "revision": revision}}
    )
    report = Report(accuracy={}, distortion={}, weights={}, figures={}, remarks=())
    return next(citation for citation in cite(config, report) if citation.key == "prior-model")


def test_a_model_of_the_hub_is_cited_at_its_commit() -> None:
    model = models("org/vae", "0123abc")
    assert in_words(model) == "org/vae. revision 0123abc."
    assert model.url == "https://huggingface.co/org/vae/tree/0123abc"


def test_a_pretrained_teacher_is_cited_by_its_name_and_revision() -> None:
    teacher = {"kind": "pretrained", "model": "org/vit", "revision": "0123abc"}
    assert cited(teacher=teacher)["teacher-model"] == "teacher"


def test_calibration_is_cited_where_it_was_measured() -> None:
    config = DistillConfig.model_validate({"dataset": {"uri": "file:///data/pets.zip"}})
    for measured in ({}, {"distilled": 0.1}):
        report = Report(SCORED, {}, {}, {}, (), calibration=measured)
        assert ("guo2017calibration" in {work.key for work in cite(config, report)}) == bool(measured)


def test_a_local_model_has_no_address() -> None:
    assert models("/models/vae", None).url == ""


def test_foreign_names_cannot_break_out_of_bibtex() -> None:
    entry = bibtex([models("a}, note = {b\\%\n_", "}%{")])
    assert entry.count("{") == entry.count("}")
    assert "(b" in entry
    assert len([line for line in entry.splitlines() if line.startswith("  ")]) == 2  # title and note


def test_bibtex_has_an_entry_a_work_with_all_authors() -> None:
    entry = bibtex([bibliography.DDOQ])
    assert entry.startswith("@misc{tan2026ddoq,\n")
    assert "  author = {Hong Ye Tan and Emma Slade}," in entry
    assert "  eprint = {2501.07681}," in entry
    assert len(re.findall(r"^@misc", bibtex(WORKS), re.MULTILINE)) == len(WORKS)


def test_no_two_works_share_a_key_or_an_arxiv_number() -> None:
    numbers = [work.arxiv for work in WORKS if work.arxiv]
    assert len({work.key for work in WORKS}) == len(WORKS)
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.key)
def test_every_work_is_whole(work: Citation) -> None:
    assert all((work.title, *work.authors))
    assert all(" " in author for author in work.authors)
    assert work.year is not None
    assert 1950 < work.year < 2030
    assert re.fullmatch(r"\d{4}\.\d{4,5}", work.arxiv) or work.venue
    assert str(work.year) in work.key
