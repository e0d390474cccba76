import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from api.bodies import parse
from api.errors import InvalidRequestError, NotJsonError
from ddoq.config import DistillConfig

GOOD = {"dataset": {"uri": "s3://bucket/flowers.zip"}}


def pointers(body: Any) -> list[str]:
    with pytest.raises(InvalidRequestError) as refused:
        parse(DistillConfig, json.dumps(body).encode())
    return [fault.pointer for fault in refused.value.faults]


def test_a_body_becomes_a_config_with_its_defaults() -> None:
    assert parse(DistillConfig, json.dumps(GOOD).encode()) == DistillConfig.model_validate(GOOD)


@pytest.mark.parametrize(
    "change",
    [{"seed": 3.0}, {"images_per_class": [2, 3.0]}, {"images_per_class": {"cat": 2, "dog": 3.0}}],
    ids=["alone", "in a list", "in an object"],
)
def test_a_whole_number_may_be_written_with_a_point(change: dict[str, Any]) -> None:
    assert parse(DistillConfig, json.dumps(GOOD | change).encode()) == DistillConfig.model_validate(GOOD | change)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"images_per_class": 0}, ["/images_per_class"]),
        ({"images_per_class": 1_000_000}, ["/images_per_class"]),
        ({"images_per_class": "ten"}, ["/images_per_class"]),
        ({"images_per_class": None}, ["/images_per_class"]),
        ({"images_per_class": "10"}, ["/images_per_class"]),
        ({"seed": "1"}, ["/seed"]),
        ({"seed": True}, ["/seed"]),
        ({"images_per_class": {}}, ["/images_per_class"]),
        ({"images_per_class": {"cat": 0, "dog": 1}}, ["/images_per_class/cat"]),
        ({"images_per_class": [5, 0]}, ["/images_per_class/1"]),
        ({"images_per_class": 5, "total_images": 50}, ["/images_per_class"]),
        ({"total_images": 0}, ["/total_images"]),
        ({"ipc": 10}, ["/ipc"]),
        ({"a/b~c": 1}, ["/a~1b~0c"]),
        ({"dataset": {}}, ["/dataset/uri"]),
        ({"dataset": {"uri": "s3://b/k", "class_names": ["a", "", "b"]}}, ["/dataset/class_names/1"]),
        ({"prior": {"kind": "vae"}}, ["/prior/model"]),
        ({"prior": {"kind": "vae", "model": "m", "resolution": 12}}, ["/prior/resolution"]),
        ({"prior": {"kind": "pixels", "model": "m"}}, ["/prior/model"]),
        ({"prior": {"kind": "gan"}}, ["/prior"]),
        ({"prior": {}}, ["/prior"]),
        ({"seed": -1, "weights": "heavy"}, ["/weights", "/seed"]),
        ({"dataset": {"uri": "s3://b/k", "class_names": ["a", "a"]}}, [""]),
    ],
)
def test_each_fault_is_named_by_its_place_in_the_body(change: dict[str, Any], expected: list[str]) -> None:
    assert pointers({**GOOD, **change}) == expected


@pytest.mark.parametrize("body", [[], "text", 1, None])
def test_a_body_that_is_no_object_is_refused_as_a_whole(body: Any) -> None:
    assert pointers(body) == [""]


def test_a_text_with_a_nul_character_is_refused_wherever_it_is() -> None:
    body = {"dataset": {"uri": "s3://b/k\0", "class_names": ["a", "b\0"]}, "x\0": 1}
    assert pointers(body) == ["/dataset/uri", "/dataset/class_names/1", ""]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"nothing", b'{"a": NaN}', b"\xff\xfe", b'{"a": "\\ud800"}', b"[" * 100_000],
    ids=["empty", "open", "word", "nan", "not utf-8", "surrogate", "deep"],
)
def test_what_is_no_json_is_refused_as_such(body: bytes) -> None:
    with pytest.raises(NotJsonError):
        parse(DistillConfig, body)


@given(st.binary(max_size=200))
def test_no_bytes_whatever_break_the_reader(body: bytes) -> None:
    with pytest.raises((NotJsonError, InvalidRequestError)):
        parse(DistillConfig, body)


class Side(BaseModel):
    sides: tuple[int, int]


def test_a_list_that_is_too_short_is_named_by_its_missing_place() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        parse(Side, b'{"sides": [1]}')
    assert [fault.pointer for fault in refused.value.faults] == ["/sides/1"]
