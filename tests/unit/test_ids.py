"""Ids: sortable, well formed, never twice."""

import re
import time

from hypothesis import given
from hypothesis import strategies as st

from jobs.ids import ALPHABET, base32, new_job_id, new_key_id, uuid7


def test_a_job_id_is_a_word_of_thirty_characters() -> None:
    assert re.fullmatch(rf"job_[{ALPHABET}]{{26}}", new_job_id())


def test_a_key_id_says_so() -> None:
    assert new_key_id().startswith("key_")


def test_later_ids_sort_later() -> None:
    ids = []
    for _ in range(50):
        ids.append(new_job_id())
        time.sleep(0.0001)
    assert ids == sorted(ids)


def test_no_two_ids_are_alike() -> None:
    assert len({new_job_id() for _ in range(10_000)}) == 10_000


def test_a_uuid_names_its_version_and_variant() -> None:
    drawn = uuid7()
    assert (drawn >> 76 & 0xF, drawn >> 62 & 0b11) == (7, 0b10)


def test_a_uuid_begins_with_the_milliseconds_of_its_birth() -> None:
    before, drawn, after = time.time_ns() // 1_000_000, uuid7() >> 80, time.time_ns() // 1_000_000
    assert before <= drawn <= after


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**128 - 1))
def test_base32_sorts_as_its_numbers(one: int, other: int) -> None:
    assert (base32(one) < base32(other)) == (one < other)
