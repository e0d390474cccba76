"""The group `dataset` of a config."""

import pytest
from pydantic import ValidationError

from ddoq.config import DistillConfig
from ddoq.content_keys import content_key

OLD_FIELDS = {"uri", "image_column", "label_column", "class_names", "test_share", "aspect", "max_bad_share"}
OLD = DistillConfig.model_validate({"dataset": {"uri": "file:///a"}})


def test_a_config_without_the_newer_fields_is_written_as_it_was_before_them():
    assert set(OLD.model_dump()["dataset"]) == OLD_FIELDS


def test_the_content_key_of_an_old_config_is_what_it_was():
    key = "8c3991009fb182a05091dfa68ecbf569ab2910ebe3b1bb4f59ee951d353175e6"
    assert content_key(OLD, "f" * 64, ("a", "b")) == key


@pytest.mark.parametrize(
    "fields",
    [
        {"format": "csv"},
        {"splits": {"test": "valid"}},
        {"label_names": ["a", "b"]},
        {"class_map": {"a": "b", "c": None}},
    ],
)
def test_each_newer_field_is_kept_and_makes_another_content(fields):
    config = DistillConfig.model_validate({"dataset": {"uri": "file:///a", **fields}})
    assert DistillConfig.model_validate_json(config.model_dump_json()) == config
    assert content_key(config, "f" * 64, ("a", "b")) != content_key(OLD, "f" * 64, ("a", "b"))


@pytest.mark.parametrize(
    "fields",
    [
        {"format": "zip"},
        {"splits": {"train": "a", "test": "a"}},
        {"splits": {"dev": "a"}},
        {"label_names": ["a", "a"]},
        {"label_names": ["a"]},
        {"class_map": {}},
        {"class_map": {"a": ""}},
        {"class_map": {"a": "b" * 257}},
    ],
)
def test_what_makes_no_sense_is_refused(fields):
    with pytest.raises(ValidationError):
        DistillConfig.model_validate({"dataset": {"uri": "file:///a", **fields}})
