"""The form of a new job: inputs made from the schema, texts that become a request, mistakes beside their inputs."""

from typing import Any, get_args

import pytest
from pydantic import BaseModel

from api.errors import Fault, InvalidRequestError
from api.pages.drafts import UNIONS, Draft, draft_of, new_draft, read_draft
from api.pages.forms import Form
from api.pages.hints import hint_of, marks
from api.pages.mistakes import explain
from api.pages.schema import DIAL, Input, sections
from api.problems import write_problem
from api.views import JobRequest
from ddoq.config import DistillConfig
from ddoq.dataset_config import DatasetConfig
from ddoq.prior_config import Prior
from ddoq.teacher_config import TeacherConfig
from jobs.options import JobOptions, Priority

URI = "s3://datasets/flowers.zip"
KINDS = [("prior", kind) for kind in get_args(Prior)] + [("teacher", kind) for kind in get_args(TeacherConfig)]


def flat(kinds: dict[str, str] | None = None) -> dict[str, Input]:
    return {given.name: given for section in sections(kinds or {}) for given in section.inputs}


def kind_of(model: type[BaseModel]) -> str:
    return str(model.model_fields["kind"].default)


def sent(**texts: str) -> Draft:
    """What is read of a form that a browser sends, after somebody has changed some of its texts."""
    kinds = {name: texts[name] for name in UNIONS if name in texts}
    shown = {name: given.standard for name, given in flat(kinds).items() if given.kind != "switch"}
    was = {f"was.{name}": shown.get(name, "") for name in UNIONS} | {
        f"was.{name}": kind for name, kind in kinds.items()
    }
    return read_draft(Form(tuple({**shown, **was, "dataset.uri": URI, **texts}.items())))


def refusal_of(**texts: str) -> dict[str, str]:
    """By pointer, what a form is refused for."""
    with pytest.raises(InvalidRequestError) as caught:
        sent(**texts).request()
    return {fault.pointer: fault.message for fault in caught.value.faults}


@pytest.mark.parametrize(("group", "model"), KINDS, ids=lambda given: getattr(given, "__name__", given))
def test_every_setting_of_every_kind_is_an_input(group: str, model: type[BaseModel]) -> None:
    names = {name for name in flat({f"{group}.kind": kind_of(model)}) if name.startswith(f"{group}.")}
    assert names == {f"{group}.{name}" for name in model.model_fields}


def test_every_field_of_a_request_is_an_input_or_a_group_of_them() -> None:
    assert {name.partition(".")[0] for name in flat()} == set(JobRequest.model_fields)
    of_dataset = {name.split(".")[1] for name in flat() if name.startswith("dataset.")}
    assert of_dataset == set(DatasetConfig.model_fields)


def test_an_untouched_form_asks_for_what_an_empty_request_asks_for() -> None:
    made = sent().request()
    assert made == JobRequest.model_validate({"dataset": {"uri": URI}})
    assert made.model_dump(exclude_unset=True) == {"dataset": {"uri": URI}, "prior": {"kind": "pixels"}}


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("images_per_class", " 7 ", 7),
        ("images_per_class", "1, 10,50", (1, 10, 50)),
        ("images_per_class", "1\n10", (1, 10)),
        ("images_per_class", "10,", 10),
        ("images_per_class", "rose = 5, a=b=6", {"rose": 5, "a=b": 6}),
        ("seed", "9007199254740993", 9007199254740993),
        ("dataset.test_share", "0.25", 0.25),
        ("dataset.format", "csv", "csv"),
        ("dataset.splits.test", "held", "held"),
        ("dataset.label_names", "cat\n\n a dog \n", ("cat", "a dog")),
        ("dataset.class_map", "old = new\nbad =", {"old": "new", "bad": None}),
        ("students.networks", "convnet-3", ("convnet-3",)),
        ("job.labels", "campaign = spring\nempty=", {"campaign": "spring", "empty": ""}),
        ("job.timeout_s", "3600", 3600),
        ("reducer", "medoid", "medoid"),
    ],
)
def test_a_text_becomes_the_value_that_it_says(name: str, text: str, wanted: Any) -> None:
    found: Any = sent(**{name: text}).request()
    for part in name.split("."):
        found = getattr(found, part)
    assert found == wanted


def test_numbers_of_a_list_are_read_with_commas_or_blanks() -> None:
    texts = {"teacher.kind": "pretrained", "teacher.model": "org/vit", "teacher.mean": "0.5, 0.25 1"}
    assert sent(**texts).request().teacher.mean == (0.5, 0.25, 1)  # type: ignore[union-attr]


def test_a_box_is_sent_only_when_it_is_ticked() -> None:
    texts = {"prior.kind": "fit", "prior.resolution": "32"}
    assert not sent(**texts).request().prior.compile  # type: ignore[union-attr]
    assert sent(**texts, **{"prior.compile": "yes"}).request().prior.compile  # type: ignore[union-attr]


def test_a_total_replaces_the_dial_that_nobody_touched() -> None:
    made = sent(total_images="30").request()
    assert (made.total_images, made.images_per_class) == (30, None)


def test_what_may_be_null_is_null_when_its_default_is_taken_away() -> None:
    texts = {"teacher.kind": "train", "teacher.width": ""}
    assert sent(**texts).request().teacher.width is None  # type: ignore[union-attr]
    assert sent(images_per_class="", total_images="30").request().images_per_class is None
    assert refusal_of(images_per_class="") == {
        "/images_per_class": "Value error, give either images_per_class or total_images"
    }
    assert hint_of(flat({"teacher.kind": "train"})["teacher.width"]).endswith("Empty is null.")


def test_an_emptied_field_that_cannot_be_null_is_its_default() -> None:
    assert sent(seed="", **{"students.seeds": ""}).request().config == sent().request().config


ASKED: list[dict[str, Any]] = [
    {},
    {"images_per_class": [1, 10, 50], "evaluation": "full"},
    {"images_per_class": {"a=b": 5, "rose": 6}, "seed": 2**62},
    {"total_images": 30, "method": "medoid", "canvas": "real"},
    {"teacher": {"kind": "train", "width": None}, "students": {"networks": ["convnet-3", "resnet-18"]}},
    {"teacher": {"kind": "pretrained", "model": "org/vit", "mean": [0.5, 0.25, 1e-5]}},
    {"prior": {"kind": "fit", "resolution": 32, "compile": True}, "sampler": {"strength": 0.1}},
    {
        "dataset": {
            "uri": URI,
            "class_map": {"old": "new", "bad": None},
            "label_names": ["cat", "a dog"],
            "splits": {"test": "x"},
        }
    },
]


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: "-".join(asked) or "defaults")
def test_a_form_filled_in_from_a_job_asks_for_the_same(asked: dict[str, Any]) -> None:
    config = DistillConfig.model_validate({"dataset": {"uri": URI}, **asked})
    options = JobOptions(priority=Priority.HIGH, labels={"team": "a", "empty": ""}, timeout_s=60)
    made = draft_of(config, options).request()
    assert (made.config, made.job) == (config, options)


def test_settings_of_another_kind_than_the_chosen_one_are_left_behind() -> None:
    draft = sent(**{"prior.kind": "fit", "was.prior.kind": "pixels", "prior.resolution": "16"})
    assert draft.texts["prior.resolution"] == "64"
    assert draft.request().prior.kind == "fit"


def test_what_is_wrong_is_all_said_at_once() -> None:
    wrong = refusal_of(**{"images_per_class": "many", "students.seeds": "99", "job.labels": "spring", "seed": "-1"})
    assert set(wrong) == {"/images_per_class", "/students/seeds", "/job/labels", "/seed"}
    assert "'spring' has no '='" in wrong["/job/labels"]


@pytest.mark.parametrize("text", ["nan", "inf", "1e999", "0x10", "one"])
def test_what_is_no_number_is_refused_by_the_model(text: str) -> None:
    assert set(refusal_of(**{"dataset.test_share": text})) == {"/dataset/test_share"}


def test_a_new_form_says_the_defaults() -> None:
    texts = new_draft().texts
    assert (texts[DIAL], texts["prior.kind"], texts["seed"], texts["reducer"]) == ("10", "pixels", "0", "")
    assert new_draft().touched == frozenset()
    assert sent(seed="3").touched == {"seed", "dataset.uri"}


@pytest.mark.parametrize(
    ("pointer", "name"),
    [
        ("/dataset/uri", "dataset.uri"),
        ("/images_per_class/2", "images_per_class"),
        ("/dataset/class_map/a~1b", "dataset.class_map"),
        ("/teacher", "teacher.kind"),
        ("/prior/nothing", "prior.kind"),
        ("/quantizer", None),
        ("", None),
        ("?limit", None),
    ],
)
def test_a_mistake_is_said_at_the_nearest_input(pointer: str, name: str | None) -> None:
    problem = write_problem(InvalidRequestError, "wrong", "req_1", [Fault(pointer, "wrong", "Value error, is wrong")])
    refusal = explain(problem, sections({}))
    assert [(mistake.name, mistake.message) for mistake in refusal.mistakes] == [(name, "is wrong")]
    assert dict(refusal.beside) == ({name: ("is wrong",)} if name else {})


def test_a_problem_without_faults_is_the_mistake_itself() -> None:
    refusal = explain(write_problem(InvalidRequestError, "the queue is full", "req_1", []), sections({}))
    assert [mistake.message for mistake in refusal.mistakes] == ["the queue is full"]


def test_bounds_of_the_schema_are_those_of_the_input() -> None:
    given = flat()["students.seeds"]
    assert (given.least, given.most, given.step) == ("1", "20", "1")
    assert hint_of(given).endswith("1 to 20.")
    vae = flat({"prior.kind": "vae"})
    assert vae["prior.resolution"].step == "8"
    assert (vae["prior.model"].is_required, vae["prior.model"].most_characters) == (True, 512)
    assert flat()["seed"].most == ""


def test_every_input_says_in_words_what_it_is() -> None:
    kinds = [{}, *({f"{group}.kind": kind_of(model)} for group, model in KINDS)]
    silent = {given.name for one in kinds for given in flat(one).values() if not hint_of(given)}
    assert silent == set()


def test_marks_keep_hostile_text_a_text() -> None:
    assert marks("`a<b>` & <script>") == "<code>a&lt;b&gt;</code> &amp; &lt;script&gt;"
