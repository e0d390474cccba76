"""Cards of datasets, good ones and what strangers may write."""

import pytest

from ddoq.hub_cards import label_names


def card(*features: str) -> str:
    return "---\ndataset_info:\n  features:\n" + "\n".join(features) + "\n---\n# Title\n"


LABEL = """
  - name: label
    dtype:
      class_label:
        names:
          '1': dog
          '0': cat"""


def test_names_come_in_the_order_of_their_numbers() -> None:
    assert label_names(card("  - name: image\n    dtype: image", LABEL)) == {"label": ("cat", "dog")}


def test_names_stay_text_whatever_they_look_like() -> None:
    text = card("  - name: y\n    dtype: {class_label: {names: {0: no, 1: 2024-13-45, 2: 0x1F, 3: ~}}}")
    assert label_names(text) == {"y": ("no", "2024-13-45", "0x1F", "~")}


def test_configurations_that_agree_give_their_names_and_others_none() -> None:
    one = "- {config_name: a, features: [{name: y, dtype: {class_label: {names: {0: b, 1: c}}}}]}"
    two = one.replace("config_name: a", "config_name: z")
    text = "---\ndataset_info:\n{}\n{}\n---\n"
    assert label_names(text.format(one, two)) == {"y": ("b", "c")}
    assert label_names(text.format(one, two.replace("0: b", "0: x"))) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# no front matter",
        "---\n---\n",
        "---\nlicense: mit\n---\n",
        "---\ndataset_info: 3\n---\n",
        "---\ndataset_info: [",
        "---\ndataset_info: [\n---\n",
        "---\n- a list\n---\n",
        "---\n" + "[" * 5000 + "\n---\n",
        "---\n" + "{a: " * 900 + "\n---\n",
        "---\nx: !!python/object/apply:os.system ['true']\n---\n",
        "---\na: &a [x, x]\nb: &b [*a, *a]\ndataset_info: {features: []}\n---\n",
        "---\n\x00\n---\n",
        card("  - name: y\n    dtype: {class_label: {names: {0: a, 2: b}}}"),
        card("  - name: y\n    dtype: {class_label: {names: {x: a}}}"),
        card("  - name: y\n    dtype: {class_label: {names: {}}}"),
        "---\nx: " + "a" * 2**21 + "\n---\n",
    ],
)
def test_a_card_that_names_no_labels_or_cannot_be_read_gives_none(text: str) -> None:
    assert label_names(text) == {}
