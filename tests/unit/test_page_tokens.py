"""Tokens of sessions and of their forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import ForeignFormError, NoSessionError
from api.pages.tokens import SESSION_SECONDS, SessionTokens

TOKENS = SessionTokens(b"pepper")


def test_a_token_names_its_key_until_it_ends() -> None:
    token = TOKENS.issue("key_1", now=1000.0)
    assert TOKENS.key_id(token, now=1000.0 + SESSION_SECONDS - 1) == "key_1"
    with pytest.raises(NoSessionError):
        TOKENS.key_id(token, now=1000.0 + SESSION_SECONDS)


def test_a_token_does_not_show_what_signs_it() -> None:
    assert "pepper" not in TOKENS.issue("key_1", now=0)


@given(st.data())
def test_a_token_of_which_one_character_was_changed_is_none(data: st.DataObject) -> None:
    token = TOKENS.issue("key_1", now=0)
    place = data.draw(st.integers(0, len(token) - 2))  # the last one holds bits that are not read
    other = data.draw(st.sampled_from([c for c in "ABCxyz019-_" if c != token[place]]))
    with pytest.raises(NoSessionError):
        TOKENS.key_id(token[:place] + other + token[place + 1 :], now=0)


@pytest.mark.parametrize("token", ["", "x", "é", "====", "a" * 10_000])
def test_what_is_no_token_opens_nothing(token: str) -> None:
    with pytest.raises(NoSessionError):
        TOKENS.key_id(token, now=0)


def test_another_pepper_makes_other_tokens() -> None:
    with pytest.raises(NoSessionError):
        SessionTokens(b"other").key_id(TOKENS.issue("key_1", now=0), now=0)


def test_the_token_of_a_form_opens_no_session() -> None:
    with pytest.raises(NoSessionError):
        TOKENS.key_id(TOKENS.form_token(TOKENS.issue("key_1", now=0)), now=0)


def test_a_form_is_taken_by_its_own_session_alone() -> None:
    mine, other = TOKENS.issue("key_1", now=0), TOKENS.issue("key_2", now=0)
    TOKENS.require_form(mine, TOKENS.form_token(mine))
    for wrong in (TOKENS.form_token(other), "", mine, "é"):
        with pytest.raises(ForeignFormError):
            TOKENS.require_form(mine, wrong)
