"""Cursors: what we sealed comes back, in its scope and unaltered; nothing else opens."""

import base64
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.web.edge import cursors

POSITION: dict[str, str | int] = {"at": 1_800_000_000_000, "id": "dep_0123456789abcdefghjkmnpqrs"}
POSITIONS = st.dictionaries(st.text(max_size=9), st.integers() | st.text(max_size=20), max_size=4)


def refused(scope: str, cursor: str) -> bool:
    with pytest.raises(Refused) as caught:
        cursors.unseal(scope, cursor)
    return caught.value.reason == Reason.INVALID_CURSOR


def forged(scope: str, payload: bytes) -> str:
    """The check is no secret, so anybody can put one before anything."""
    check = hashlib.sha256(len(scope.encode()).to_bytes(4, "big") + scope.encode() + payload).digest()[:8]
    return base64.urlsafe_b64encode(check + payload).decode().rstrip("=")


def test_our_forger_knows_the_form() -> None:
    assert forged("usr_a", b'{"a":1}') == cursors.seal("usr_a", {"a": 1})


@given(st.text(st.characters(codec="utf-8")), POSITIONS)
def test_a_sealed_position_comes_back(scope: str, position: dict[str, str | int]) -> None:
    cursor = cursors.seal(scope, position)
    assert cursors.unseal(scope, cursor) == position
    assert cursor.replace("-", "").replace("_", "").isalnum()


def test_another_scope_does_not_open_it() -> None:
    assert refused("usr_b deposits", cursors.seal("usr_a deposits", POSITION))


@given(st.data())
def test_an_altered_cursor_is_refused(data: st.DataObject) -> None:
    cursor = cursors.seal("usr_a", POSITION)
    place = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.characters().filter(lambda letter: letter != cursor[place]))
    assert refused("usr_a", cursor[:place] + other + cursor[place + 1 :])
    assert refused("usr_a", cursor[:place])
    assert refused("usr_a", cursor[:place] + other + cursor[place:])


@given(st.text() | st.binary().map(lambda junk: base64.urlsafe_b64encode(junk).decode()))
def test_no_junk_breaks_the_reader(junk: str) -> None:
    assert refused("usr_a", junk)


FORGED = [
    b"",
    b"[]",
    b"null",
    b'"a"',
    b'{"a":1.5}',
    b'{"a":1e400}',
    b'{"a":NaN}',
    b'{"a":true}',
    b'{"a":null}',
    b'{"a":[]}',
    b'{"a": 1}',
    b'{"b":1,"a":1}',
    b'{"a":1,"a":2}',
    b"[" * 700,
    '{"a":"é"}'.encode(),
    b'{"a":"' + "é".encode() * 340 + b'"}',
    b"\xff",
    '{"a":1}'.encode("utf-16"),
]


@pytest.mark.parametrize("payload", FORGED)
def test_a_forged_check_gives_no_other_shape(payload: bytes) -> None:
    assert refused("usr_a", forged("usr_a", payload))


@pytest.mark.parametrize("frames", [0, 300])
def test_nesting_does_not_exhaust_a_stack_that_is_already_deep(frames: int) -> None:
    def called_from(frames: int) -> bool:
        return called_from(frames - 1) if frames else refused("usr_a", forged("usr_a", b"[" * 750))

    assert called_from(frames)


@given(st.binary(max_size=80) | st.text('{}[]":,a1.e-').map(str.encode))
def test_no_forged_payload_breaks_the_reader(payload: bytes) -> None:
    try:
        position = cursors.unseal("usr_a", forged("usr_a", payload))
    except Refused:
        return
    assert json.loads(payload) == position


def test_a_cursor_has_a_longest_form() -> None:
    assert refused("usr_a", "A" * 1025)
    assert refused("usr_a", "A" * 1_000_000)
    assert refused("usr_a", forged("usr_a", b'{"a":"' + b"x" * 1000 + b'"}'))
    with pytest.raises(AssertionError):
        cursors.seal("usr_a", {"a": "x" * 1000})
