"""An account instead of the way back: who may name it, when it is paid, and that nobody ever reads it again."""

import logging
from typing import Any, Final

import pytest

from chalicelib.core.common.instants import DAY, HOUR, format_instant
from chalicelib.core.common.money import Money
from chalicelib.gateways.sandbox.provider import Sandbox
from chalicelib.wiring import services
from local.wiring import books_table, sandbox_of
from tests.web.answer_checks import (
    ACCOUNT,
    accepted,
    attend,
    check_refusal,
    events_of,
    identity_holds,
    instant,
    now_of,
    path_of,
    refund_at,
    refunds_of,
)
from tests.world import Client, Json, Reply, World, rupiah

FOREVER: Final = {"kind": "elapsed", "length": "P365D"}


def asking(world: World, buyer: Client, merchant: Client | None = None, **changes: Any) -> tuple[Json, Json]:
    """A cancelled deposit and its refund, which asks for an account: bank transfers have no way back."""
    terms = {"payment": {"methods": ["virtual_account"]}, "window": FOREVER, **changes}
    deposit = world.paid(buyer, world.offer(merchant, **terms))
    return deposit, accepted(buyer.post(f"{path_of(deposit)}/cancel"))["refund"]


def name(buyer: Client, refund: Json, /, **changes: Any) -> Reply:
    headers = {member: changes.pop(member) for member in ("idempotency_key", "if_match") if member in changes}
    asked = changes.pop("asked", None)
    path = f"/v1/refunds/{refund['id']}/destination"
    return buyer.post(path, {**ACCOUNT, **changes}, asked=asked, **headers)


def provider() -> Sandbox:
    return sandbox_of(services())


def test_the_first_account_is_paid_at_once(world: World) -> None:
    buyer = world.buyer()
    deposit, refund = asking(world, buyer)
    now = instant(now_of(buyer)) + HOUR
    named = accepted(name(buyer, refund, asked=now))
    assert (named["status"], named["waiting_on"]) == ("approved", "provider")
    assert named["destination"] == {"kind": "bank_account", "payable_from": format_instant(now)}
    assert instant(named["promised_by"]) - now == 7 * DAY
    world.advance("PT1H")
    attend(deposit)
    assert refund_at(buyer, refund)["status"] == "succeeded"
    (row,) = world.books(deposit)
    assert (row["kind"], row["refund"], row["status"]) == ("payout", refund["id"], "succeeded")
    assert identity_holds(accepted(buyer.get(path_of(deposit))))
    check_refusal(name(buyer, refund, account="5550001"), 409, "wrong-state")


def test_another_account_waits_a_day_and_the_same_again_does_not(world: World) -> None:
    """Whoever took over a login is not paid at once."""
    buyer = world.buyer()
    deposit, refund = asking(world, buyer)
    accepted(name(buyer, refund))
    again = accepted(name(buyer, refund))
    assert instant(again["destination"]["payable_from"]) <= instant(again["updated_at"])
    now = instant(now_of(buyer)) + HOUR
    other = accepted(name(buyer, refund, account="5550001", asked=now))
    assert other["destination"] == {"kind": "bank_account", "payable_from": format_instant(now + DAY)}
    assert instant(other["promised_by"]) == now + 8 * DAY
    world.set_clock(format_instant(now + DAY - 60_000))
    attend(deposit)
    assert (refund_at(buyer, refund)["status"], world.books(deposit)) == ("approved", [])
    world.set_clock(format_instant(now + DAY))
    attend(deposit)
    assert refund_at(buyer, refund)["status"] == "succeeded"
    assert len(world.books(deposit)) == 1


def test_ten_accounts_are_enough(world: World) -> None:
    buyer = world.buyer()
    _, refund = asking(world, buyer)
    for n in range(10):
        accepted(name(buyer, refund, account=f"555{n:04d}"))
    assert check_refusal(name(buyer, refund, account="5559999"), 429, "rate-limited")["most"] == 10


NAMES: Final = ["ANA WIJAYA", "Wijaya, Ana", "an\u00e1  wijaya", "\uff21na Wijaya", "Ana-Wijaya"]


@pytest.mark.parametrize("holder", NAMES)
def test_a_bank_that_tells_names_lets_through_other_spellings_of_the_holder(world: World, holder: str) -> None:
    buyer = world.buyer()
    _, refund = asking(world, buyer)
    provider().register_holder("BCA", "777001", "Ana Wijaya")
    assert accepted(name(buyer, refund, holder=holder, account="777001"))["status"] == "approved"


@pytest.mark.parametrize(
    ("account", "holder", "pointer"),
    [("777001", "Ana", "/holder"), ("777001", "Budi Wijaya", "/holder"), ("12404", "Ana", "/account"), ("12409", "Ana", "/holder")],
)  # fmt: skip
def test_an_account_that_is_not_the_holders_is_refused_and_may_be_mended(
    world: World, account: str, holder: str, pointer: str
) -> None:
    buyer = world.buyer()
    deposit, refund = asking(world, buyer)
    provider().register_holder("BCA", "777001", "Ana Wijaya")
    reply = name(buyer, refund, account=account, holder=holder)
    check_refusal(reply, 422, "invalid-request", pointer)
    assert account.encode() not in reply.raw
    assert b"Wijaya" not in reply.raw
    assert refund_at(buyer, refund)["status"] == "requires_action"
    accepted(name(buyer, refund, account="777001"))
    attend(deposit)
    assert len(world.books(deposit)) == 1


def test_a_payout_that_is_declined_or_comes_back_asks_again_under_another_key(own: World) -> None:
    buyer = own.buyer()
    deposit, refund = asking(own, buyer)
    for fault in ("declined", "returned_later"):
        accepted(name(buyer, refund))
        own.arm("refund", fault)
        attend(deposit)
        own.advance("PT25H")
        attend(deposit)
        assert refund_at(buyer, refund)["status"] == ("requires_action" if fault == "declined" else "returned")
    accepted(name(buyer, refund))
    attend(deposit)
    done = refund_at(buyer, refund)
    assert done["status"] == "succeeded"
    assert [tried["status"] for tried in done["attempts"]] == ["declined", "returned", "succeeded"]
    assert [row["status"] for row in own.books(deposit)] == ["declined", "returned", "succeeded"]
    assert len({row["id"] for row in own.books(deposit)}) == 3
    assert {row["refund"] for row in own.books(deposit)} == {refund["id"]}


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after", "succeeds_later", "pending"])
def test_a_payout_whose_answer_was_lost_is_paid_once(own: World, fault: str) -> None:
    buyer = own.buyer()
    deposit, refund = asking(own, buyer)
    accepted(name(buyer, refund))
    own.arm("refund", fault)
    for wait in ("PT0S", "PT2M", "PT6M"):
        own.advance(wait)
        attend(deposit)
        check_refusal(name(buyer, refund, account="5550001"), 409, "wrong-state")
    own.advance("PT0S")
    assert refund_at(buyer, refund)["status"] == "succeeded"
    assert [row["status"] for row in own.books(deposit)] == ["succeeded"]


LIMITS: Final = [("9999", "below_route_min"), ("10000", None), ("25000000", None), ("25000001", "above_route_max")]


@pytest.mark.parametrize(("amount", "review"), LIMITS)
def test_what_a_transfer_cannot_carry_is_for_a_person(world: World, amount: str, review: str | None) -> None:
    buyer = world.buyer()
    item = {"sku": "a", "name": "A", "category": "phone", "price": rupiah(amount)}
    terms: Json = {"market": "ID", "currency": "IDR", "preset": "recommended", "items": [item], "title": "A"}
    full: Json = {"take": "full", "nature": "advance", "methods": ["virtual_account"]}
    deposit, refund = asking(world, buyer, **terms, payment=full)
    accepted(name(buyer, refund))
    attend(deposit)
    found = refund_at(buyer, refund)
    assert (found["status"], found["review"]) == (("manual_review", review) if review else ("succeeded", None))
    assert found["waiting_on"] == ("platform" if review else "bank")
    assert len(world.books(deposit)) == (0 if review else 1)


# --- Nobody reads it again ---

HOLDER, NUMBER, BANK, NOTE = "Kanarienvogel Zwitscher", "99887766554433", "Kanaribank", "the note of the canary"
CANARIES: Final = (HOLDER, "Kanarienvogel", "Zwitscher", NUMBER, BANK, NOTE)


def test_an_account_stands_in_no_answer_event_report_log_or_row(own: World, caplog: pytest.LogCaptureFixture) -> None:
    """Nor do notes. Also where it is refused, paid, declined, returned, or asked for again."""
    caplog.set_level(logging.DEBUG)
    buyer, merchant, platform = own.buyer(), own.merchant(), own.person("platform")
    began = now_of(buyer)
    deposit, refund = asking(own, buyer, merchant)
    written = {"holder": HOLDER, "account": NUMBER, "bank": BANK}
    replies = [
        name(buyer, refund, **{**written, "consent": False}),
        name(buyer, refund, **{**written, "account": f"{NUMBER}409"}),
        name(buyer, refund, **{**written, "account": f"{NUMBER}404"}),
        name(buyer, refund, **written, extra=NOTE),
        name(buyer, refund, **written, idempotency_key="canary"),
        name(buyer, refund, **written, idempotency_key="canary"),
        name(buyer, refund, **{**written, "bank": "BCA"}, idempotency_key="canary"),
    ]
    assert [reply.status for reply in replies] == [422, 422, 422, 422, 200, 200, 422]
    own.arm("refund", "declined")
    attend(deposit)
    moved = platform.post(f"/v1/refunds/{refund['id']}/reroute", {"kind": "payout", "note": NOTE})
    replies += [moved, name(buyer, refund, **written)]
    own.arm("refund", "returned_later")
    own.advance("PT25H")
    attend(deposit)
    replies.append(name(buyer, refund, **written))
    assert [reply.status for reply in replies[-3:]] == [200, 200, 409]
    own.advance("PT25H")
    replies.append(name(buyer, refund, **written))
    attend(deposit)
    assert refund_at(buyer, refund)["status"] == "succeeded"
    other = own.paid(buyer, own.offer(merchant))
    replies.append(
        merchant.post(
            "/v1/refunds",
            {
                "deposit": other["id"],
                "amount": other["refundable"],
                "expected_refundable": other["refundable"],
                "note": NOTE,
            },
        )
    )
    provider().book_by_hand(Money.parse("5", "CNY"), "stray")
    own.advance("P2D")
    run = own.reconciled(began, now_of(buyer))
    at_run = f"/v1/reconciliation-runs/{run['id']}"
    for who in (buyer, merchant, platform):
        for path in (path_of(deposit), f"{path_of(deposit)}/events", f"/v1/refunds?deposit={deposit['id']}"):
            replies.append(who.get(path))
        replies += [who.get(f"/v1/refunds/{refund['id']}{part}") for part in ("", "/proof")]
    for part in ("", "/breaks", "/report.csv", "/report.html"):
        replies.append(platform.get(f"{at_run}{part}"))
    anyone = own.anyone()
    span = f"from={began}&to={now_of(buyer)}"
    replies += [
        anyone.get(f"/sandbox/provider/refunds?deposit={deposit['id']}"),
        anyone.get(f"/sandbox/provider/settlement?{span}"),
        anyone.get(f"/sandbox/provider/settlement.csv?{span}"),
    ]
    assert len(events_of(buyer, deposit)) > 10
    assert len(refunds_of(buyer, other)) == 1
    told = [reply.raw.decode() for reply in replies]
    told += [record.getMessage() + str(record.__dict__) for record in caplog.records]
    told += [str(rows) for rows in tables()]
    for canary in CANARIES:
        assert not [text[:300] for text in told if canary in text], canary


def tables() -> list[Any]:
    """Everything that is stored."""
    client, found = services().deposits._client, services().settings
    pages = [
        page
        for table in (found.table, books_table(found.table))
        for page in client.get_paginator("scan").paginate(TableName=table)
    ]
    assert sum(len(page["Items"]) for page in pages) > 20
    return [page["Items"] for page in pages]
