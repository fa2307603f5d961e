"""Ids: the same for everybody who computes them, and told apart from everything that is none."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.common import ids

DEPOSIT = ids.digest_id("dep", "usr_1", "key-1")


def test_an_id_is_the_first_130_bits_of_the_length_prefixed_parts() -> None:
    digest = hashlib.sha256(b"\0\0\0\x05usr_1\0\0\0\x05key-1").digest()
    value = 0
    for letter in DEPOSIT.removeprefix("dep_"):
        value = value * 32 + ids.ALPHABET.index(letter)
    assert value == int.from_bytes(digest, "big") >> 126


@pytest.mark.parametrize("parts", [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ()])
def test_parts_joined_otherwise_give_another_id(parts: tuple[str, ...]) -> None:
    others = {("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ()} - {parts}
    assert ids.digest_id("dep", *parts) not in {ids.digest_id("dep", *other) for other in others}


@given(st.lists(st.text(st.characters(codec="utf-8"))))
def test_every_digest_id_is_well_formed(parts: list[str]) -> None:
    assert ids.is_well_formed("dep", ids.digest_id("dep", *parts))


MALFORMED = [
    "",
    "dep_",
    "dep",
    DEPOSIT[:-1],
    DEPOSIT + "0",
    DEPOSIT + "\n",
    DEPOSIT.upper(),
    DEPOSIT.replace("dep_", "off_"),
    DEPOSIT.replace("dep_", "dep"),
    "dep_" + "l" * 26,
    "dep_" + "u" * 26,
    "dep_" + "٣" * 26,
    "dep_" + "\0" * 26,
    "dep_" + "0" * 5000,
    DEPOSIT + "_1",
]


@pytest.mark.parametrize("text", MALFORMED)
def test_what_is_no_id_is_not_well_formed(text: str) -> None:
    assert not ids.is_well_formed("dep", text)


@given(st.text())
def test_no_text_breaks_the_readers(text: str) -> None:
    assert not ids.is_well_formed("dep", text)
    assert ids.parse_child("ref", text) is None


@given(st.integers(min_value=1, max_value=999_999))
def test_a_childs_id_leads_back_to_its_parent(ordinal: int) -> None:
    refund = ids.child("ref", DEPOSIT, ordinal)
    assert refund == f"ref_{DEPOSIT[4:]}_{ordinal}"
    assert ids.parse_child("ref", refund) == (DEPOSIT[4:], ordinal)
    assert ids.parse_child("pay", refund) is None


@pytest.mark.parametrize("ordinal", ["", "0", "01", "-1", "+1", "1.0", "1_0", "٣", "1 ", "1\n", "1" * 7, "1" * 5000])
def test_an_ordinal_has_one_form(ordinal: str) -> None:
    assert ids.parse_child("ref", f"ref_{DEPOSIT[4:]}_{ordinal}") is None


@pytest.mark.parametrize(("parent", "ordinal"), [(DEPOSIT, 0), (DEPOSIT, 1_000_000), ("dep_short", 1)])
def test_a_child_of_nothing_is_our_own_mistake(parent: str, ordinal: int) -> None:
    with pytest.raises(AssertionError):
        ids.child("ref", parent, ordinal)
