"""The report says what the numbers say, and no more."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from ddoq.bibliography import COVERAGE
from ddoq.budgets import Budget
from ddoq.comparison import compare
from ddoq.config import DatasetConfig, DistillConfig
from ddoq.evaluate import score
from ddoq.evaluation_config import StudentsConfig
from ddoq.measure_words import gain_of_weights
from ddoq.prior_config import DitPrior, StableDiffusionPrior
from ddoq.provenance import how_made
from ddoq.report import accuracy_table, in_plain_text, report_html, report_json, verdict
from ddoq.report_plots import ACCURACY, BY_CLASS, BY_PASS, DISTORTION, MAP, WEIGHTS, draw_plots
from ddoq.teacher_config import CheckpointTeacher
from ddoq.types import Citation, LatentMap, MappedClass, Report, Score, Tuning

CONFIG = DistillConfig(dataset=DatasetConfig(uri="file:///data/pets.zip"))
BUDGET = Budget("by-class", (3, 12))
HOSTILE = "</title><script>alert(1)</script>"
BETTER = {"distilled": score([0.90, 0.91, 0.92]), "random real": score([0.80, 0.81, 0.82])}


def report(accuracy: dict[str, Score] | None = None, name: str = "cat", remarks: tuple[str, ...] = ()) -> Report:
    return Report(
        accuracy=accuracy or BETTER,
        distortion={name: 1.5, "dog": 1 / 3},
        weights={name: (0.75, 0.25), "dog": (0.5, 0.5)},
        figures={
            "distilled_images": 15,
            "train_images": 1000,
            "test_images": 100,
            "resolution.encoder": 512,
            "resolution.archive": 224,
        },
        remarks=remarks,
    )


def html_of(one: Report, config: DistillConfig, budget: Budget, overview: bytes | None) -> str:
    return report_html(one, config, budget, overview, draw_plots(one))


class Tags(HTMLParser):
    """The tags of a page, the values of their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.values: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.values += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_in_plain_text_the_table_comes_with_its_verdict() -> None:
    words = in_plain_text(report())
    assert words.startswith(accuracy_table(report()))
    assert words.splitlines()[-1].startswith("The distilled set trains better students than as many random real images")


def test_a_gain_beyond_the_noise_is_called_better() -> None:
    assert "trains better students" in verdict(BETTER)


def test_a_loss_beyond_the_noise_is_called_worse() -> None:
    assert "trains worse students" in verdict({"distilled": BETTER["random real"], "random real": BETTER["distilled"]})


def test_a_gain_within_the_noise_is_not_distinguishable() -> None:
    noisy = {"distilled": score([0.90, 0.80, 0.85]), "random real": score([0.80, 0.85, 0.84])}
    assert "At 3 seeds the distilled set is not distinguishable" in verdict(noisy)


def test_one_seed_distinguishes_nothing() -> None:
    assert "not distinguishable" in verdict({"distilled": score([0.9]), "random real": score([0.1])})


def test_equal_scores_are_not_distinguishable() -> None:
    same = score([0.9, 0.9, 0.9])
    assert "not distinguishable" in verdict({"distilled": same, "random real": same})


def test_differences_are_taken_seed_by_seed() -> None:
    varied = {"distilled": score([0.5, 0.7, 0.9]), "random real": score([0.45, 0.64, 0.85])}
    assert not compare(varied)[0].is_noise


def test_the_margin_is_that_of_students_t() -> None:
    gains = {"distilled": score([0.1, 0.2, 0.3]), "random real": score([0.0, 0.0, 0.0])}
    assert compare(gains)[0].margin == pytest.approx(4.303 * 0.1 / 3**0.5)


def test_equal_gains_on_few_images_are_not_taken_for_certain() -> None:
    """Two seeds that gain two images of 142 each, as happens by chance."""
    scores = {"distilled": score([138 / 142, 139 / 142]), "random real": score([136 / 142, 137 / 142])}
    (lucky,) = compare(scores, 1 / 142)
    assert lucky.margin == pytest.approx(12.706 / 142 / 2**0.5)
    assert lucky.is_noise
    assert "not distinguishable" in verdict(scores, 1 / 142)
    told = replace(report(scores), figures={**report().figures, "test_images": 142})
    assert "trains better" not in Tags(html_of(told, CONFIG, BUDGET, None)).text
    document = json.loads(report_json(told, CONFIG, BUDGET))
    assert document["comparisons"][0]["margin"] == pytest.approx(lucky.margin)
    assert "not distinguishable" in document["verdict"]


def test_images_that_are_all_named_rightly_leave_the_accuracy_uncertain() -> None:
    perfect = report({"distilled": score([1.0, 1.0]), "random real": score([0.5, 0.5])})
    text = " ".join(Tags(html_of(perfect, CONFIG, BUDGET, None)).text.split())
    assert "uncertain by about 1.8 points" in text  # Wilson: z^2 / (n + z^2) / 2 of 100 images


def test_one_student_is_not_said_to_have_a_deviation() -> None:
    one = CONFIG.model_copy(update={"students": StudentsConfig(seeds=1)})
    text = " ".join(Tags(html_of(report(), one, BUDGET, None)).text.split())
    assert "One student (convnet-3) of 300 steps each" in text


def test_twenty_seeds_have_a_margin() -> None:
    twenty = {"distilled": score([0.1, 0.2] * 10), "random real": score([0.0] * 20)}
    assert compare(twenty)[0].margin is not None


def test_the_page_begins_with_the_verdict() -> None:
    page = Tags(html_of(report(), CONFIG, BUDGET, None))
    assert page.text.split("Distillation report")[-1].strip().startswith(verdict(BETTER, 1 / 100))


def test_the_page_says_not_distinguishable_beside_the_rival() -> None:
    noisy = BETTER | {"medoids": score([0.95, 0.85, 0.93])}
    assert "not distinguishable" in Tags(html_of(report(noisy), CONFIG, BUDGET, None)).text


def test_hostile_names_stay_text() -> None:
    page = Tags(html_of(report(name=HOSTILE, remarks=(HOSTILE,)), CONFIG, BUDGET, None))
    assert "script" not in page.tags
    assert HOSTILE in page.text


def test_a_hostile_config_stays_text() -> None:
    prior = StableDiffusionPrior(model=HOSTILE, revision=HOSTILE, prompt=HOSTILE, negative_prompt=HOSTILE)
    config = DistillConfig(
        dataset=DatasetConfig(uri=HOSTILE, class_names=(HOSTILE, "dog")),
        images_per_class={HOSTILE: 3, "dog": 12},
        prior=prior,
    )
    page = Tags(html_of(report(), config, BUDGET, None))
    assert "script" not in page.tags
    assert f"stable-diffusion: {HOSTILE} at {HOSTILE}" in page.text


def test_the_page_says_how_many_images_a_class_has() -> None:
    text = " ".join(Tags(html_of(report(), CONFIG, BUDGET, None)).text.split())
    assert "15 images, 3 to 12 for each of 2 classes, stand for 1,000 training images." in text


def test_the_page_tells_all_sides_and_how_the_images_were_made() -> None:
    text = Tags(html_of(report(), CONFIG, BUDGET, None)).text
    assert "encoder 512, archive 224" in text
    assert all(words in text for words in how_made(CONFIG, BUDGET, report().figures).values())


def test_the_page_fetches_nothing() -> None:
    assert all(value.startswith("data:") for value in Tags(html_of(report(), CONFIG, BUDGET, b"png")).values)


def test_the_overview_is_in_the_page() -> None:
    assert "data:image/png;base64,cG5n" in html_of(report(), CONFIG, BUDGET, b"png")


def test_what_to_cite_is_on_the_page_and_in_the_json() -> None:
    model = Citation("prior-model", "latents", HOSTILE, note=HOSTILE)
    told = replace(report(), citations=(COVERAGE, model))
    page = Tags(html_of(told, CONFIG, BUDGET, None))
    assert "arXiv:2002.09797." in page.text
    assert HOSTILE in page.text
    assert "script" not in page.tags
    assert json.loads(report_json(told, CONFIG, BUDGET))["citations"][0]["arxiv"] == "2002.09797"


def test_plots_are_there_where_there_are_numbers_for_them() -> None:
    shares = {"cat": 0.5, "dog": 0.75}
    told = replace(
        report(),
        by_class={"distilled": shares, "random real": shares},
        latent_map=LatentMap((0.5, 0.5), {"cat": MappedClass(((0.0, 0.0), (1.0, 1.0)), ((0.5, 0.5),), (1.0,))}),
        history={"cat": (2.0, 1.0, 0.5), "dog": ()},
    )
    assert set(draw_plots(told)) == {ACCURACY, WEIGHTS, DISTORTION, BY_CLASS, MAP, BY_PASS}
    assert Tags(html_of(told, CONFIG, BUDGET, None)).tags.count("svg") == 6
    bare = replace(told, by_class={}, latent_map=None, history={"cat": (2.0,), "dog": (0.0, 0.0)})
    assert set(draw_plots(bare)) == {ACCURACY, WEIGHTS, DISTORTION}


def test_a_single_pass_makes_no_curve() -> None:
    assert BY_PASS not in draw_plots(replace(report(), history={"cat": (2.0, 2.0), "dog": (2.0, 1.0)}))


def test_classes_are_compared_with_random_images_that_are_labelled_alike() -> None:
    shares = {"cat": 0.5, "dog": 0.75}
    told = {"distilled": shares, "random real": shares, "random, same labels": shares}
    assert "ring: random, same labels" in draw_plots(replace(report(), by_class=told))[BY_CLASS]


def test_remarks_are_on_the_page() -> None:
    assert "3 images do not decode" in html_of(report(remarks=("3 images do not decode.",)), CONFIG, BUDGET, None)


def test_the_page_has_every_plot() -> None:
    assert Tags(html_of(report(), CONFIG, BUDGET, None)).tags.count("svg") == 3


def w2(weighted: float, uniform: float) -> dict[str, float]:
    return {
        "classes": 30,
        "w2.weighted": weighted,
        "w2.uniform": uniform,
        "w2.classes": 20,
        "w2.rows_of_a_class_at_most": 1000,
    }


def test_the_gain_of_weights_is_on_the_page() -> None:
    base = report()
    measured = replace(base, figures={**base.figures, **w2(3.0, 4.0)})
    assert "Weighting the codewords by these shares" in Tags(html_of(measured, CONFIG, BUDGET, None)).text


def test_the_gain_of_weights_is_told_with_the_subset_it_was_measured_on() -> None:
    told = gain_of_weights(w2(3.0, 4.0))
    assert told is not None
    assert "lowers their squared 2-Wasserstein distance to the training latents by 25.0%: 3, against 4" in told
    assert "mean over 20 of 30 classes" in told
    assert "1,000 of each class, drawn at random" in told


def test_weights_that_lose_are_not_called_a_gain() -> None:
    assert "raises" in str(gain_of_weights(w2(4.0, 3.0)))


def test_where_nothing_is_far_from_its_codeword_weights_gain_nothing() -> None:
    assert "by 0.0%" in str(gain_of_weights(w2(0.0, 0.0)))


def test_a_gain_that_was_not_measured_is_not_told() -> None:
    assert gain_of_weights({"classes": 3}) is None


def test_the_json_is_the_same_for_the_same_report() -> None:
    assert report_json(report(), CONFIG, BUDGET) == report_json(report(), CONFIG, BUDGET)


def test_the_json_keeps_nine_digits() -> None:
    assert json.loads(report_json(report(), CONFIG, BUDGET))["distortion"]["dog"] == 0.333333333


def test_the_json_holds_the_config_as_run() -> None:
    assert DistillConfig.model_validate(json.loads(report_json(report(), CONFIG, BUDGET))["config"]) == CONFIG


def test_the_json_resolves_what_the_config_leaves_open() -> None:
    dit = DistillConfig(dataset=CONFIG.dataset, prior=DitPrior(model="dit", revision="1"), method="d4m")
    document = json.loads(report_json(report(), dit, BUDGET))
    assert document["made"]["parts"] == {"reducer": "clvq", "canvas": "prior", "weights": "uniform"}
    assert document["made"]["sampler"] == {"scheduler": "ddim", "steps": 50, "strength": 0.7, "guidance": 4.0}
    assert document["figures"]["resolution.encoder"] == 512


def test_the_json_has_no_sampler_where_nothing_was_denoised() -> None:
    assert json.loads(report_json(report(), CONFIG, BUDGET))["made"]["sampler"] is None


def test_the_table_lists_every_contender_with_its_deviation() -> None:
    assert accuracy_table(report()).splitlines() == [
        "contender    accuracy %  seeds",
        "distilled    91.0 ± 1.0      3",
        "random real  81.0 ± 1.0      3",
    ]


def across(name: str = "resnet-18") -> Report:
    worse = {contender: score([value - 0.4 for value in one.values]) for contender, one in BETTER.items()}
    return replace(report(), by_network={"convnet-3": BETTER, name: worse})


def test_with_several_networks_the_table_has_a_column_each() -> None:
    assert accuracy_table(across()).splitlines() == [
        "contender    convnet-3 %  resnet-18 %  seeds",
        "distilled     91.0 ± 1.0   51.0 ± 1.0      3",
        "random real   81.0 ± 1.0   41.0 ± 1.0      3",
    ]


def test_with_several_networks_the_page_compares_them() -> None:
    text = Tags(html_of(across(), CONFIG, BUDGET, None)).text
    assert "Test accuracy by network" in text
    assert all(words in text for words in ("resnet-18, %", "51.0 ± 1.0", "41.0 ± 1.0"))
    assert "Test accuracy by network" not in Tags(html_of(report(), CONFIG, BUDGET, None)).text


def test_the_json_has_the_accuracies_of_every_network() -> None:
    document = json.loads(report_json(across(), CONFIG, BUDGET))
    assert document["accuracy"] == document["by_network"]["convnet-3"]
    assert document["by_network"]["resnet-18"]["distilled"]["mean"] == pytest.approx(0.51)


def test_the_page_and_the_json_tell_the_accuracy_in_each_class() -> None:
    told = replace(report(name=HOSTILE), by_class={"distilled": {HOSTILE: 0.625}})
    page = Tags(html_of(told, CONFIG, BUDGET, None))
    assert "62.5" in page.text
    assert "script" not in page.tags
    assert json.loads(report_json(told, CONFIG, BUDGET))["by_class"] == {"distilled": {HOSTILE: 0.625}}


def test_page_and_json_say_by_which_protocol_and_for_how_long_students_were_trained() -> None:
    students = StudentsConfig(protocol="small-hard")
    config = CONFIG.model_copy(update={"students": students})
    text = " ".join(Tags(html_of(report(), config, BUDGET, None)).text.split())
    assert "over 3 students (convnet-3) of 1,000 steps each, the same start and the same recipe" in text
    assert "protocol small-hard" in text
    made = json.loads(report_json(report(), config, BUDGET))["made"]
    assert made["students"] == {"steps": 1000, "batch_size": 15}


NOT_EVALUATED = replace(report(), accuracy={}, figures={"distilled_images": 15, "train_images": 1000})
RATES = {"distilled": 0.002, "random real": 0.00066667}
TUNED = replace(
    report(),
    figures={**report().figures, "full_data.images": 900},
    calibration={"distilled": 0.125, "random real": 0.25},
    tuning=Tuning("3 rates x 1 student", (1 / 3, 1.0, 3.0), 70, {"convnet-3": RATES}, {"convnet-3": {}}),
)


def test_where_nothing_was_evaluated_the_page_says_so_and_has_everything_else() -> None:
    page = Tags(html_of(NOT_EVALUATED, CONFIG, BUDGET, None))
    assert "Nothing was compared: evaluation is none, so no student was trained." in page.text
    assert "Test accuracy" not in page.text
    assert page.tags.count("svg") == 2
    assert "What each image stands for" in page.text


def test_where_nothing_was_evaluated_the_json_and_the_table_say_so() -> None:
    document = json.loads(report_json(NOT_EVALUATED, CONFIG, BUDGET))
    assert (document["accuracy"], document["comparisons"], document["tuning"]) == ({}, [], None)
    assert document["verdict"] == accuracy_table(NOT_EVALUATED)
    assert document["verdict"].startswith("Nothing was compared")


def test_the_page_and_the_json_tell_the_calibration_error_of_each_contender() -> None:
    text = Tags(html_of(TUNED, CONFIG, BUDGET, None)).text
    assert all(words in text for words in ("calibration error %", "12.5", "25.0", "15 bins of confidence"))
    assert json.loads(report_json(TUNED, CONFIG, BUDGET))["calibration"] == {"distilled": 0.125, "random real": 0.25}
    assert "calibration" not in Tags(html_of(report(), CONFIG, BUDGET, None)).text


def test_the_page_and_the_json_tell_the_rates_that_were_chosen_and_what_that_cost() -> None:
    text = " ".join(Tags(html_of(TUNED, CONFIG, BUDGET, None)).text.split())
    assert "Tuned on 70 validation images" in text
    assert "3 rates x 1 student" in text
    assert "0.000667" in text
    assert "Students of full data see 900 images" in text
    tuning = json.loads(report_json(TUNED, CONFIG, BUDGET))["tuning"]
    assert tuning["rates"]["convnet-3"]["distilled"] == 0.002
    assert "Learning rates" not in Tags(html_of(report(), CONFIG, BUDGET, None)).text


def test_every_rival_is_said_to_be_distinguishable_or_not() -> None:
    among = BETTER | {"share weights": score([0.92, 0.90, 0.91]), "full data": score([0.97, 0.98, 0.99])}
    page = " ".join(Tags(html_of(report(among), CONFIG, BUDGET, None)).text.split())
    for rival, words in (
        ("random real", "distilled is better"),
        ("share weights", "not distinguishable"),
        ("full data", "distilled is worse"),
    ):
        assert words in page.split("Test accuracy", 1)[1].rsplit(rival, 1)[1][:60], rival


def test_soft_labels_are_compared_with_soft_labels() -> None:
    labelled = BETTER | {"random, same labels": score([0.95, 0.96, 0.97])}
    told = verdict(labelled)
    assert "trains worse students than as many random real images labelled by the same teacher" in told


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ((), "distilled and of random, same labels"),
        (("uniform weights", "share weights"), "distilled, of uniform weights, of share weights and of random, same"),
    ],
)
def test_the_page_says_who_has_the_labels_of_the_teacher(others: tuple[str, ...], words: str) -> None:
    teacher = CheckpointTeacher(
        network="resnet-18", checkpoint="/t.safetensors", mean=(0, 0, 0), deviation=(1, 1, 1), resolution=32
    )
    soft = CONFIG.model_copy(update={"teacher": teacher})
    labelled = ("distilled", *others, "medoids", "random real", "random, same labels")
    told = report(dict.fromkeys(labelled, BETTER["distilled"]))
    assert f"The teacher's labels are those of {words}" in Tags(html_of(told, soft, BUDGET, None)).text
    assert "teacher" not in Tags(html_of(report(), CONFIG, BUDGET, None)).text.split("Exactly what was run")[0]


def test_large_whole_figures_keep_all_their_digits() -> None:
    told = replace(report(), figures={**report().figures, "bytes.train": 25331718.0, "distortion": 473.456779})
    text = Tags(html_of(told, CONFIG, BUDGET, None)).text
    assert "25,331,718" in text
    assert "473.457" in text
