"""Bodies: JSON that two readers could read differently is refused; nothing that is sent breaks the parser."""

import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.web.edge import bodies

STRICT_INT = TypeAdapter(int)


def reason(raw: bytes) -> Reason | None:
    """Why the bytes are refused, or None."""
    try:
        bodies.parse(raw)
    except Refused as refused:
        return refused.reason
    return None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), JSON), st.booleans())
def test_what_is_written_is_read(body: dict[str, object], ascii_only: bool) -> None:
    assert bodies.parse(json.dumps(body, ensure_ascii=ascii_only).encode()) == body


def test_no_body_is_an_empty_object() -> None:
    assert bodies.parse(b"") == {}


MALFORMED = {
    "not JSON": b"amount=5000",
    "blank": b" ",
    "truncated": b'{"a":1',
    "trailing": b'{"a":1}x',
    "two values": b"{}{}",
    "trailing comma": b'{"a":1,}',
    "single quotes": b"{'a':1}",
    "comment": b"{/**/}",
    "byte order mark": b"\xef\xbb\xbf{}",
    "utf-16": '{"a":1}'.encode("utf-16"),
    "utf-16 without mark": '{"a":1}'.encode("utf-16-le"),
    "utf-32": "{}".encode("utf-32"),
    "latin-1": '{"a":"é"}'.encode("latin-1"),
    "overlong": b'{"a":"\xc0\xaf"}',
    "encoded surrogate": b'{"a":"\xed\xa0\x80"}',
    "name twice": b'{"amount":1,"amount":2}',
    "name twice, escaped": b'{"amount":1,"\\u0061mount":1}',
    "name twice, deep": b'{"a":[{"b":{"c":1,"c":1}}]}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":Infinity}',
    "-Infinity": b'{"a":[-Infinity]}',
    "lone surrogate": b'{"a":"\\ud800"}',
    "lone surrogate as name": b'{"\\uDFFF":1}',
    "surrogates swapped": b'{"a":[["\\udc00\\ud800"]]}',
    "array": b"[]",
    "text": b'"a"',
    "number": b"1",
    "null": b"null",
    "control character": b'{"a":"\n"}',
    "5,000 digits": b'{"a":' + b"9" * 5000 + b"}",
    "leading zero": b'{"a":01}',
    "plus": b'{"a":+1}',
    "full-width digit": '{"a":\uff11}'.encode(),
    "no-break space": '{\u00a0"a":1}'.encode(),
    "33 deep": b'{"a":' * 33 + b"1" + b"}" * 33,
    "10,000 deep, closed": b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "10,000 deep, open": b"[" * 10_000,
    "10,000 deep, objects": b'{"a":' * 10_000,
    "deep behind a string": b'{"a\\"[":' + b"[" * 10_000,
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed(raw: bytes) -> None:
    assert reason(raw) == Reason.MALFORMED_BODY


def test_32_levels_are_allowed() -> None:
    assert bodies.parse(b'{"a":' * 32 + b"1" + b"}" * 32)


def test_brackets_in_strings_are_not_levels() -> None:
    assert bodies.parse(json.dumps({"a": '"[{' * 100, "b": "\\", "c": '\\"[' * 100}).encode())


def test_a_whole_surrogate_pair_is_text() -> None:
    assert bodies.parse(b'{"a":"\\ud83d\\ude00"}') == {"a": "😀"}


WHOLE = {
    "1.0": 1,
    "-3.00": -3,
    "1e3": 1000,
    "1.5e1": 15,
    "10e-1": 1,
    "0.0": 0,
    "-0.0": 0,
    "9007199254740991.0": 2**53 - 1,
}


@pytest.mark.parametrize(("text", "number"), WHOLE.items())
def test_a_whole_number_is_an_int_however_it_is_written(text: str, number: int) -> None:
    read = bodies.parse(f'{{"a":{text}}}'.encode())["a"]
    assert type(read) is int
    assert read == number


NOT_WHOLE = [
    "1.5",
    "1e400",
    "-1e400",
    "1e999999999999999999999",
    "1e-400",
    "1e-999999999999999999999",
    "9007199254740992.0",
    "1.00000000000000000000001",
    "0.1",
    "1." + "0" * 5000 + "1",
]


@pytest.mark.parametrize("text", NOT_WHOLE)
def test_any_other_number_reaches_the_fields_and_is_refused_there(text: str) -> None:
    read = bodies.parse(f'{{"a":{text}}}'.encode())["a"]
    with pytest.raises(ValidationError):
        STRICT_INT.validate_python(read, strict=True)


@given(st.binary() | st.text(st.characters()).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"\\" * 100)
def test_no_bytes_break_the_parser(raw: bytes) -> None:
    assert reason(raw) in (None, Reason.MALFORMED_BODY)


TOKENS = st.sampled_from(
    ["{", "}", "[", "]", ":", ",", '"', "\\", '"a"', "\\u", "d800", "1", ".", "e", "9", "-", "NaN"]
)


@given(st.lists(TOKENS, max_size=60).map("".join))
def test_no_json_like_text_breaks_the_parser(text: str) -> None:
    assert reason(b'{"a":' + text.encode() + b"}") in (None, Reason.MALFORMED_BODY)


EVIL = [b'\\"', b'"', b'"\\', b"[", b"\\", b'"a":', b"1", b"1e", b'{"a":1},']


@pytest.mark.parametrize("piece", EVIL)
def test_the_worst_64_kb_take_no_longer_than_others(piece: bytes) -> None:
    started = time.process_time()
    for opening in (b'{"a":"', b'{"a":', b'{"a":['):
        assert reason(opening + piece * (bodies.MAX_BODY_BYTES // len(piece))) == Reason.MALFORMED_BODY
    assert time.process_time() - started < 1


def test_64_kb_are_the_limit() -> None:
    bodies.check_size(b"x" * 65_536)
    with pytest.raises(Refused) as refused:
        bodies.check_size(b"x" * 65_537)
    assert refused.value.reason == Reason.BODY_TOO_LARGE


ACCEPTED = [
    ("application/json", None),
    ("Application/JSON", ""),
    ("application/json; charset=utf-8", None),
    ('application/json;charset="UTF-8"', "identity"),
    (" application/json ", " Identity "),
]
REFUSED = [
    (None, None),
    ("", None),
    ("text/plain", None),
    ("application/x-www-form-urlencoded", None),
    ("application/problem+json", None),
    ("application/jsonp", None),
    ("application/json, text/plain", None),
    ("application/json; charset=utf-16", None),
    ("application/json; charset=latin-1; charset=utf-8", None),
    ("application/json;", None),
    ("application/json", "gzip"),
    ("application/json", "identity, gzip"),
    ("application/json", "br"),
]


@pytest.mark.parametrize(("media_type", "encoding"), ACCEPTED)
def test_json_in_utf_8_is_read(media_type: str, encoding: str | None) -> None:
    bodies.check_media_type(media_type, encoding, has_body=True)


@pytest.mark.parametrize(("media_type", "encoding"), REFUSED)
def test_other_bodies_are_refused_and_without_a_body_anything_goes(
    media_type: str | None, encoding: str | None
) -> None:
    bodies.check_media_type(media_type, encoding, has_body=False)
    with pytest.raises(Refused) as refused:
        bodies.check_media_type(media_type, encoding, has_body=True)
    assert refused.value.reason == Reason.UNSUPPORTED_MEDIA_TYPE


@pytest.mark.parametrize("key", ["k", "!", "~", "x" * 255, "8e03978e-40d5-43e8-bc93-6894a57f9324", "a,b"])
def test_a_key_of_visible_ascii(key: str) -> None:
    assert bodies.idempotency_key({"x": "y", "IDEMPOTENCY-key": key}) == key


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "a\n", "a\r\nb", "\0", "\x7f", "é", "🔑", "\ud800"])
def test_any_other_key_is_invalid(key: str) -> None:
    with pytest.raises(Refused) as refused:
        bodies.idempotency_key({"idempotency-key": key})
    assert refused.value.reason == Reason.IDEMPOTENCY_KEY_INVALID


def test_a_missing_key_is_missing() -> None:
    with pytest.raises(Refused) as refused:
        bodies.idempotency_key({"idempotency-keys": "k"})
    assert refused.value.reason == Reason.IDEMPOTENCY_KEY_MISSING
