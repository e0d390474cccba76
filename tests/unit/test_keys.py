"""The form of an API key."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.keys import BASE62, base62, is_well_formed, new_secret


def test_a_new_secret_is_well_formed() -> None:
    assert is_well_formed(new_secret())


def test_no_two_secrets_are_alike() -> None:
    assert len({new_secret() for _ in range(1000)}) == 1000


def test_a_secret_is_a_word_that_can_be_searched_for() -> None:
    assert re.fullmatch(r"ddoq_[0-9A-Za-z]{33}", new_secret())


@given(st.integers(5, 37), st.sampled_from(BASE62))
def test_a_mistyped_character_is_noticed_without_the_database(position: int, character: str) -> None:
    good = next(secret for secret in iter(new_secret, "") if secret[position] != character)
    assert not is_well_formed(good[:position] + character + good[position + 1 :])


@pytest.mark.parametrize("wrong", ["", "ddoq_", "sk-123", "ddoq_" + "0" * 32, "ddoq_" + "\u0660" * 33])
def test_what_is_no_key_is_not_well_formed(wrong: str) -> None:
    assert not is_well_formed(wrong)


def test_a_line_break_behind_a_secret_is_noticed() -> None:
    assert not is_well_formed(new_secret() + "\n")


@given(st.integers(0, 2**160 - 1))
def test_base62_keeps_every_bit(number: int) -> None:
    value = 0
    for digit in base62(number, 27):
        value = value * 62 + BASE62.index(digit)
    assert value == number
