"""Webhook signatures, against the standard's own library, which is no judge of malformed headers."""

import base64
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.web.edge.signatures import sign, verify
from tests.scope import examples

NOW = 1_800_000_000
BODY = b'{"type":"refund.updated"}'
SECRET = "whsec_" + base64.b64encode(b"s" * 24).decode()
OLD_SECRET = "whsec_" + base64.b64encode(b"o" * 32).decode()
IDS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=1, max_size=64)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=200)


def headers(webhook_id: str = "evt_1", timestamp: str = str(NOW), signature: str | None = None) -> dict[str, str]:
    right = sign("evt_1", NOW, BODY, SECRET)
    return {"Webhook-Id": webhook_id, "webhook-timestamp": timestamp, "WEBHOOK-SIGNATURE": signature or right}


def reason(given_headers: dict[str, str], body: bytes = BODY, secrets: tuple[str, ...] = (SECRET,)) -> Reason:
    with pytest.raises(Refused) as refused:
        verify(given_headers, body, secrets, NOW)
    return refused.value.reason


@settings(max_examples=examples(1000), deadline=None)
@given(IDS, TEXTS, st.binary(min_size=24, max_size=64), st.booleans())
def test_the_standards_own_library_agrees(webhook_id: str, body: str, key: bytes, altered: bool) -> None:
    now = int(time.time())
    secret = "whsec_" + base64.b64encode(key).decode()
    oracle = Webhook(secret)
    ours = sign(webhook_id, now, body.encode(), secret)
    assert ours == oracle.sign(webhook_id, datetime.fromtimestamp(now, UTC), body)

    sent = {"webhook-id": webhook_id, "webhook-timestamp": str(now), "webhook-signature": ours}
    if altered:
        with pytest.raises(WebhookVerificationError):
            oracle.verify(body + " ", sent, json_parse=False)
        with pytest.raises(Refused):
            verify(sent, body.encode() + b" ", [secret], now)
    else:
        oracle.verify(body, sent, json_parse=False)
        assert verify(sent, body.encode(), [secret], now) == webhook_id


def test_a_right_signature_among_others_is_enough() -> None:
    right = sign("evt_1", NOW, BODY, SECRET)
    others = "v1a,AAAA v1 , v1,AAAA v2,@@@"
    assert verify(headers(signature=f"{others} {right}"), BODY, [SECRET], NOW) == "evt_1"


def test_an_old_secret_counts_during_the_rotation_and_not_after_it() -> None:
    old = headers(signature=sign("evt_1", NOW, BODY, OLD_SECRET))
    assert verify(old, BODY, [SECRET, OLD_SECRET], NOW) == "evt_1"
    assert reason(old) == Reason.INVALID_SIGNATURE
    assert reason(old, secrets=()) == Reason.INVALID_SIGNATURE


@pytest.mark.parametrize("age", [-300, 0, 300])
def test_within_five_minutes_a_webhook_is_fresh(age: int) -> None:
    assert verify(headers(), BODY, [SECRET], NOW + age) == "evt_1"


@pytest.mark.parametrize("age", [-301, 301])
def test_beyond_five_minutes_it_is_stale(age: int) -> None:
    timestamp = NOW + age
    sent = headers(timestamp=str(timestamp), signature=sign("evt_1", timestamp, BODY, SECRET))
    assert reason(sent) == Reason.STALE_WEBHOOK


TIMESTAMPS = [
    "",
    "nan",
    "inf",
    "1e9",
    f"{NOW}.0",
    f"+{NOW}",
    f"-{NOW}",
    f" {NOW}",
    f"0{NOW}",
    "٣",
    "1" * 13,
    "1" * 5000,
]


@pytest.mark.parametrize("timestamp", TIMESTAMPS)
def test_a_timestamp_is_digits_and_nothing_else(timestamp: str) -> None:
    assert reason(headers(timestamp=timestamp)) == Reason.INVALID_SIGNATURE


SIGNATURES = [
    "v1",
    "v1,",
    ",",
    " ",
    "v1,a,b",
    "v1,@@@",
    "v1,AAA",
    "v1,é",
    "v1,\ud800",
    "v2," + "A" * 44,
    "\0",
    "x" * 9999,
]


@pytest.mark.parametrize("signature", SIGNATURES)
def test_a_malformed_signature_is_just_a_wrong_one(signature: str) -> None:
    assert reason(headers(signature=signature)) == Reason.INVALID_SIGNATURE


@pytest.mark.parametrize("webhook_id", ["", "evt_2", "evt.1", "evt 1", "evt_1\n", "é", "\ud800", "x" * 256])
def test_another_or_malformed_id_is_refused(webhook_id: str) -> None:
    assert reason(headers(webhook_id=webhook_id)) == Reason.INVALID_SIGNATURE


def test_a_full_stop_in_an_id_could_shift_what_was_signed() -> None:
    signature = sign("evt.1", NOW, BODY, SECRET)
    assert sign("evt", 1, f"{NOW}.".encode() + BODY, SECRET) == signature
    assert reason(headers(webhook_id="evt.1", signature=signature)) == Reason.INVALID_SIGNATURE


@pytest.mark.parametrize("missing", ["Webhook-Id", "webhook-timestamp", "WEBHOOK-SIGNATURE"])
def test_each_header_is_needed(missing: str) -> None:
    assert reason({k: v for k, v in headers().items() if k != missing}) == Reason.INVALID_SIGNATURE


@pytest.mark.parametrize("body", [b"", b'{"type": "refund.updated"}', b"\xff\xfe", BODY + b"\n"])
def test_another_body_is_refused(body: bytes) -> None:
    assert reason(headers(), body) == Reason.INVALID_SIGNATURE


JUNK = st.text(st.characters(), max_size=60) | st.from_regex(r"v1,[A-Za-z0-9+/=, ]*")


@given(JUNK, st.sampled_from([str(NOW), str(NOW + 5)]) | JUNK, JUNK, st.binary(max_size=50))
def test_no_headers_break_the_verifier(webhook_id: str, timestamp: str, signature: str, body: bytes) -> None:
    sent = {"webhook-id": webhook_id, "webhook-timestamp": timestamp, "webhook-signature": signature}
    assert reason(sent, body) == Reason.INVALID_SIGNATURE


def test_a_secret_may_come_without_prefix_or_padding() -> None:
    right = sign("evt_1", NOW, BODY, OLD_SECRET)
    assert sign("evt_1", NOW, BODY, OLD_SECRET.removeprefix("whsec_")) == right
    assert sign("evt_1", NOW, BODY, OLD_SECRET.rstrip("=")) == right


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_AAAA", "whsec_" + "é" * 32, "whsec_" + "!" * 32])
def test_a_secret_that_is_none_is_our_own_mistake(secret: str) -> None:
    with pytest.raises(ValueError, match=r"24 bytes|base64|ASCII"):
        sign("evt_1", NOW, BODY, secret)
