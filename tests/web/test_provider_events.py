"""Events from the provider over HTTP: only what is proved is heard, and what is heard is only a hint."""

import base64
import json
import time
from typing import Any, Final

import pytest
from msgspec.structs import replace

from chalicelib.core.common.ids import digest_id
from chalicelib.core.common.instants import format_instant
from chalicelib.flows.ports.provider import Unknown
from chalicelib.web.edge import route, signatures
from chalicelib.wiring import services
from local.issuer import ISSUER
from tests.web.answer_checks import accepted, attend, check_answer, check_refusal, cny, events_of, path_of
from tests.world import Json, Reply, World

PATH: Final = "/v1/provider-events/sandbox"
NEW: Final = "whsec_" + base64.b64encode(b"n" * 32).decode()
OTHER: Final = "whsec_" + base64.b64encode(b"o" * 32).decode()
NOBODY: Final = "0" * 26


def secret() -> str:
    return services().settings.webhook_secrets[0]


def event(subject: str, happened_at: int | None = None, **more: Any) -> bytes:
    """The body of an event; ``happened_at`` by the sandbox's clock, now unless told."""
    at = services().clock() if happened_at is None else happened_at
    return json.dumps({"type": "x.updated", "timestamp": format_instant(at), "data": {"id": subject}, **more}).encode()


def signed(body: bytes, event_id: str = "evt-1", age: int = 0, with_secret: str | None = None) -> Json:
    at = int(time.time()) - age
    proof = signatures.sign(event_id, at, body, with_secret or secret())
    return {"webhook_id": event_id, "webhook_timestamp": str(at), "webhook_signature": proof}


def send(world: World, body: bytes, path: str = PATH, **headers: Any) -> Reply:
    return world.anyone().call("POST", path, body, **{"idempotency_key": "", **headers})


def told(world: World, subject: str, event_id: str = "evt-1") -> Reply:
    body = event(subject)
    return send(world, body, **signed(body, event_id))


def quietly_paid(world: World, deposit: Json) -> None:
    """The provider took the money and told nobody."""
    world.arm("payment", "lost_event")
    world.pay(deposit)


BODY: Final = event("pay_x", 0)
BAD: Final = [
    # what                          changed headers                                              problem
    ("no headers",                  {"webhook_id": "", "webhook_timestamp": "", "webhook_signature": ""}, "invalid-signature"),
    ("no id",                       {"webhook_id": ""},                                          "invalid-signature"),
    ("another id",                  {"webhook_id": "evt-2"},                                     "invalid-signature"),
    ("no signature",                {"webhook_signature": ""},                                   "invalid-signature"),
    ("no comma",                    {"webhook_signature": "v1"},                                 "invalid-signature"),
    ("no base64",                   {"webhook_signature": "v1,***"},                             "invalid-signature"),
    ("not ASCII",                   {"webhook_signature": "v1,\xe9"},                            "invalid-signature"),
    ("a fraction of a time",        {"webhook_timestamp": "1.5"},                                "invalid-signature"),
    ("nan",                         {"webhook_timestamp": "nan"},                                "invalid-signature"),
    ("a negative time",             {"webhook_timestamp": "-1"},                                 "invalid-signature"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "changes", "problem"), BAD, ids=[row[0] for row in BAD])
def test_what_is_not_proved_is_not_heard(world: World, what: str, changes: dict[str, str], problem: str) -> None:
    del what
    check_refusal(send(world, BODY, **{**signed(BODY), **changes}), 401, problem)


def test_a_signature_of_another_instant_is_not_believed(world: World) -> None:
    headers = signed(BODY)
    later = str(int(headers["webhook_timestamp"]) + 7)
    check_refusal(send(world, BODY, **{**headers, "webhook_timestamp": later}), 401, "invalid-signature")


def test_another_body_is_not_what_was_signed(world: World) -> None:
    loose = json.dumps(json.loads(BODY), indent=1).encode()
    for body in (loose, BODY + b" ", b"\xff" + BODY, b""):
        check_refusal(send(world, body, **signed(BODY)), 401, "invalid-signature")


@pytest.mark.parametrize(("age", "status"), [(290, 204), (320, 401), (-290, 204), (-320, 401)])
def test_an_old_proof_is_stale(world: World, age: int, status: int) -> None:
    body = event("nothing")
    reply = send(world, body, **signed(body, age=age))
    assert (reply.status, reply.problem) == (status, "stale-webhook" if status == 401 else "")


def with_secrets(monkeypatch: pytest.MonkeyPatch, *secrets: str) -> None:
    found = services()
    changed = replace(found, settings=replace(found.settings, webhook_secrets=secrets))
    monkeypatch.setattr(route, "services", lambda: changed)


def test_during_a_rotation_both_secrets_count_and_afterwards_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    body, old = event("nothing"), secret()
    with_secrets(monkeypatch, NEW, old)
    for one in (NEW, old):
        assert send(world, body, **signed(body, with_secret=one)).status == 204
    check_refusal(send(world, body, **signed(body, with_secret=OTHER)), 401, "invalid-signature")
    with_secrets(monkeypatch, NEW)
    check_refusal(send(world, body, **signed(body, with_secret=old)), 401, "invalid-signature")


def test_one_good_signature_of_several_is_enough(world: World) -> None:
    body = event("nothing")
    headers = signed(body)
    both = f"v1,AAAA v2,x {headers['webhook_signature']}"
    assert send(world, body, **{**headers, "webhook_signature": both}).status == 204


def test_without_any_secret_nothing_is_proved(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = signed(BODY)
    with_secrets(monkeypatch)
    check_refusal(send(world, BODY, **headers), 401, "invalid-signature")


def test_another_provider_is_not_there(world: World) -> None:
    for name in ("stripe", "Sandbox", "sandbox%00"):
        check_refusal(send(world, BODY, f"/v1/provider-events/{name}", **signed(BODY)), 404, "not-found")


def test_an_event_brings_what_the_provider_says_and_again_it_brings_nothing(world: World) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    quietly_paid(world, deposit)
    for event_id in ("a", "a", "b"):
        reply = told(world, deposit["payment"]["id"], event_id)
        assert check_answer(reply).status == 204
        assert reply.raw == b""
    seen = buyer.get(path_of(deposit)).json
    assert (seen["status"], seen["version"]) == ("cooling_off", 2)
    assert events_of(buyer, deposit)[1]["actor"] == {"role": "provider", "id": None}


def test_what_an_event_claims_is_not_believed(world: World) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    claim = {"id": deposit["payment"]["id"], "status": "succeeded", "amount": cny("5000")}
    world.anyone().get(deposit["payment"]["next_action"]["url"])
    body = event(deposit["payment"]["id"], data=claim)
    assert send(world, body, **signed(body)).status == 204
    assert buyer.get(path_of(deposit)).json["version"] == 1


UNREADABLE: Final = [
    b"",
    b"x",
    b"[]",
    b"null",
    b"{}",
    b'{"data":7}',
    b'{"data":{"id":null}}',
    b'{"data":{"id":["pay_"]}}',
]


@pytest.mark.parametrize("body", [*UNREADABLE, b"\xff\xfe", b"[" * 10_000, b'{"data":{"id":' + b"9" * 5_000 + b"}}"])
def test_a_proved_event_that_nobody_can_read_is_nobodys(world: World, body: bytes) -> None:
    assert check_answer(send(world, body, **signed(body))).status == 204


STRANGERS: Final = [f"pay_{NOBODY}_1", f"ref_{NOBODY}_1"]


@pytest.mark.parametrize("subject", STRANGERS)
@pytest.mark.parametrize(("age", "status"), [(0, 503), (14 * 60, 503), (15 * 60, 204), (86_400, 204)])
def test_an_unknown_subject_may_be_ours_in_a_moment_and_after_a_while_it_is_not(
    world: World, subject: str, age: int, status: int
) -> None:
    """How old an event is, its own ``timestamp`` tells: each delivery is signed anew."""
    body = event(subject, services().clock() - age * 1_000 - (500 if status == 204 else -500))
    reply = send(world, body, **signed(body))
    assert reply.status == status, reply.raw
    if status == 503:
        check_refusal(reply, 503, "busy")
        assert reply.headers["retry-after"] == "60"


def test_a_subject_of_another_kind_is_nobodys(world: World) -> None:
    for subject in ("cus_1", "pay", "dep_" + NOBODY, ""):
        assert told(world, subject).status == 204


def test_an_event_before_our_own_write_is_heard_when_it_comes_again(world: World) -> None:
    """Ids come from caller and key, so an event may be faster than we are."""
    sub = f"early-{time.time_ns()}"
    buyer, offer = world.person("buyer", sub=sub), world.offer()
    deposit_id = digest_id("dep", digest_id("usr", ISSUER, sub), "early")
    payment_id = f"pay_{deposit_id[4:]}_1"
    check_refusal(told(world, payment_id), 503, "busy")
    deposit = accepted(buyer.post("/v1/deposits", world.order(offer), idempotency_key="early"), 201)
    assert deposit["payment"]["id"] == payment_id
    quietly_paid(world, deposit)
    assert told(world, payment_id).status == 204
    assert buyer.get(path_of(deposit)).json["status"] == "cooling_off"


def test_a_refund_is_settled_by_whoever_hears_of_it_first(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    refund = accepted(buyer.post(f"{path_of(deposit)}/cancel"))["refund"]
    check_refusal(told(world, refund["id"]), 503, "busy")  # nobody sent it yet, so the provider knows nothing of it
    world.arm("refund", "timeout_after")
    attend(deposit)
    for event_id in ("a", "a", "b"):
        assert told(world, refund["id"], event_id).status == 204
    seen = accepted(buyer.get(f"/v1/refunds/{refund['id']}"))
    assert (seen["status"], len(seen["attempts"])) == ("succeeded", 1)
    assert len(world.books(deposit)) == 1


def test_without_an_answer_of_the_provider_the_event_is_asked_for_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    quietly_paid(world, deposit)
    with monkeypatch.context() as silent:
        silent.setattr(type(services().provider), "find_payment", lambda *_given: Unknown())
        check_refusal(told(world, deposit["payment"]["id"]), 503, "busy")
    assert buyer.get(path_of(deposit)).json["version"] == 1
    assert told(world, deposit["payment"]["id"]).status == 204
    assert buyer.get(path_of(deposit)).json["status"] == "cooling_off"


def test_a_token_and_a_key_are_not_needed_and_change_nothing(world: World) -> None:
    body = event("nothing")
    buyer = world.buyer()
    assert buyer.call("POST", PATH, body, **signed(body), idempotency_key="k").status == 204
