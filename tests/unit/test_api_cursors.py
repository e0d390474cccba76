import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cursors import Cursors
from api.errors import CursorError

CURSORS = Cursors(b"a pepper of some length")


@given(after=st.text(st.characters(codec="ascii"), max_size=40), owner=st.text(st.characters(codec="utf-8")))
def test_a_cursor_gives_back_its_place_in_its_own_list(after: str, owner: str) -> None:
    assert CURSORS.unseal(CURSORS.seal(after, owner, "failed"), owner, "failed") == after


@pytest.mark.parametrize("listing", [("bob", "failed"), ("ann", "queued"), ("ann", "")])
def test_a_cursor_is_no_good_for_another_list(listing: tuple[str, str]) -> None:
    with pytest.raises(CursorError):
        CURSORS.unseal(CURSORS.seal("job_1", "ann", "failed"), *listing)


def test_a_cursor_of_another_installation_is_refused() -> None:
    with pytest.raises(CursorError):
        CURSORS.unseal(Cursors(b"another pepper").seal("job_1", "ann"), "ann")


@given(cursor=st.text())
def test_a_made_up_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(CursorError):
        CURSORS.unseal(cursor, "ann")


@given(place=st.integers(0, 27), bit=st.integers(0, 5))
def test_a_cursor_with_a_changed_character_is_refused(place: int, bit: int) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    cursor = CURSORS.seal("job_1", "ann")  # 21 bytes: every character carries six bits
    changed = alphabet[alphabet.index(cursor[place]) ^ (1 << bit)]
    with pytest.raises(CursorError):
        CURSORS.unseal(cursor[:place] + changed + cursor[place + 1 :], "ann")
