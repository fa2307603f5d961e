"""A flash sale as it should have gone: cancelled for a reason that anybody can read, all money back, and first in line next time."""

from typing import Any, Final

import pytest

from chalicelib.core.common.instants import DAY, HOUR, MINUTE, format_instant
from tests.web.answer_checks import (
    ACCOUNT,
    accepted,
    attend,
    check_refusal,
    cny,
    events_of,
    identity_holds,
    instant,
    now_of,
    path_of,
    refund_at,
    refunds_of,
    same,
)
from tests.world import Client, Json, Reply, World, rupiah

STOCK: Final = ["stock:ledger-2021-01-26"]
NOTE: Final = "The supplier's second batch was lost at sea, and there is no third."


def phone(stock: int = 10, price: str = "1999000", reserved: int = 2, **changes: Any) -> Json:
    item = {"sku": "poco-m3", "name": "Poco M3", "category": "phone", "price": rupiah(price), "stock": stock}
    return {
        "title": "Poco M3",
        "market": "ID",
        "currency": "IDR",
        "preset": "flash_sale",
        "items": [item],
        "shipping": rupiah("18000"),
        "priority": {"reserved": {"poco-m3": reserved}},
        **changes,
    }


def sale(world: World, **changes: Any) -> Json:
    return accepted(world.merchant().post("/v1/offers", phone(**changes)), 201)


def call_off(
    merchant: Client,
    deposit: Json,
    reason: str = "OUT_OF_STOCK",
    evidence: list[str] | None = None,
    note: str | None = None,
    **headers: Any,
) -> Reply:
    body = {"reason": reason, "evidence": STOCK if evidence is None else evidence, "note": note}
    return merchant.post(f"{path_of(deposit)}/merchant-cancel", body, **headers)


def cancelled(world: World, deposit: Json, reason: str = "OUT_OF_STOCK", evidence: list[str] | None = None) -> Json:
    return accepted(call_off(world.merchant(), deposit, reason, evidence))


def many(merchant: Client, deposits: list[Json], reason: str = "OUT_OF_STOCK", **more: Any) -> Reply:
    """A bulk cancellation of some deposits of one offer."""
    headers = {name: more.pop(name) for name in ("idempotency_key", "accept_language") if name in more}
    body = {"deposits": [deposit["id"] for deposit in deposits], "reason": reason, "evidence": STOCK, **more}
    return merchant.post(f"/v1/offers/{deposits[0]['offer']}/merchant-cancellations", body, **headers)


def at_bulk(bulk: Json) -> str:
    return f"/v1/offers/{bulk['offer']}/merchant-cancellations/{bulk['id']}"


def status_of(buyer: Client, deposit: Json) -> str:
    return str(accepted(buyer.get(path_of(deposit)))["status"])


def available(world: World, offer: Json) -> int:
    """What everybody sees that they could order."""
    return int(accepted(world.anyone().get(f"/v1/offers/{offer['id']}"))["items"][0]["available"])


def granted(world: World, buyer: Client) -> Json:
    """A pass, for an order that was taken away."""
    cancelled(world, world.paid(buyer, sale(world)))
    return passes(buyer)[0]


def passes(buyer: Client) -> list[Json]:
    found: list[Json] = accepted(buyer.get("/v1/priority-passes"))["data"]
    return found


def test_from_a_cancelled_order_to_the_first_place_in_the_next_sale(own: World) -> None:
    buyer = own.buyer()
    deposit = own.paid(buyer, sale(own))
    assert deposit["status"] == "locked"
    ended = cancelled(own, deposit)
    assert ended["status"] == "cancelled"
    seen = accepted(buyer.get(f"/v1/deposits/{deposit['id']}"))
    assert seen["refund"]["amount"] == rupiah("2017000")  # shipping too
    assert seen["cancellation"]["reason"] == "OUT_OF_STOCK"
    assert seen["cancellation"]["evidence"] == STOCK
    attend(deposit)
    assert [row["amount"] for row in own.books(deposit)] == [rupiah("2017000")]
    [held] = passes(buyer)
    assert (held["status"], held["skus"], held["price_cap"]) == ("granted", ["poco-m3"], rupiah("1999000"))
    assert seen["cancellation"]["priority_pass"] == held["id"]

    opens = instant(now_of(own.anyone())) + 3 * DAY
    second = sale(own, stock=2, reserved=2, opens_at=format_instant(opens))
    check_refusal(buyer.post("/v1/deposits", own.order(second)), 409, "offer-not-open")
    first_in_line = own.ordered(buyer, second, priority_pass=held["id"])
    assert first_in_line["priority_pass"] == held["id"]
    own.pay(first_in_line)
    assert accepted(buyer.get(f"/v1/deposits/{first_in_line['id']}"))["status"] == "locked"
    [used] = passes(buyer)
    assert (used["status"], used["used_for"]) == ("used", first_in_line["id"])

    own.set_clock(format_instant(opens))
    check_refusal(own.buyer().post("/v1/deposits", own.order(second)), 409, "sold-out")  # the rest is kept for passes
    own.set_clock(format_instant(opens + 24 * HOUR))
    own.ordered(own.buyer(), second)
    counts = accepted(own.anyone().get(f"/v1/offers/{deposit['offer']}/cancellations"))
    assert [(row["reason"], row["cancelled"]) for row in counts["data"]] == [("OUT_OF_STOCK", 1)]


def test_a_sellers_default_pays_earnest_money_once_more_to_an_account(own: World) -> None:
    buyer = own.buyer()
    deposit = own.paid(buyer)
    ended = cancelled(own, deposit)
    assert ended["money"]["compensation"] == cny("5000")
    refunds = accepted(buyer.get(f"/v1/refunds?deposit={deposit['id']}"))["data"]
    extra = next(refund for refund in refunds if refund["cause"] == "seller_default_compensation")
    assert (extra["status"], extra["destination"]) == ("requires_action", {"kind": "payout"})


# Questions: silence shows something once it has lasted long enough.


def ask(world: World, deposit: Json, kind: str = "address", **headers: Any) -> Reply:
    text = {"kind": kind, "text": "Which entrance is yours?"}
    return world.merchant().post(f"{path_of(deposit)}/questions", text, **headers)


def unusable(question: Json) -> list[str]:
    """The evidence for an address that cannot be used."""
    return ["carrier:no-such-street", question["id"]]


LAPSES: Final = [
    # asked    what the courier's question shows
    (-1,       422),
    (0,        200),
]  # fmt: skip


@pytest.mark.parametrize(("early", "status"), LAPSES)
def test_an_address_is_unusable_once_the_question_lapsed(own: World, early: int, status: int) -> None:
    buyer, merchant = own.buyer(), own.merchant()
    deposit = own.paid(buyer, sale(own))
    question = accepted(ask(own, deposit), 201)
    due_at = instant(question["due_at"])
    assert due_at - instant(question["created_at"]) == 48 * HOUR
    own.set_clock(format_instant(due_at - MINUTE))
    at, evidence = f"/v1/questions/{question['id']}", unusable(question)
    assert accepted(buyer.get(at, asked=due_at + early))["status"] == ("open" if early else "lapsed")
    reply = call_off(merchant, deposit, "ADDRESS_INVALID", evidence, asked=due_at + early)
    assert reply.status == status
    assert status_of(buyer, deposit) == ("locked" if early else "cancelled")
    if early:
        check_refusal(reply, 422, "evidence-required", "/evidence")


def test_a_late_answer_is_an_answer(own: World) -> None:
    """What was not decided on the silence by then cannot be decided on it any more; there is no second answer."""
    buyer = own.buyer()
    deposit = own.paid(buyer, sale(own))
    question = accepted(ask(own, deposit), 201)
    own.advance("PT49H")
    own.run("close_windows")
    assert [event["type"] for event in events_of(buyer, deposit)][-2:] == ["question.asked", "question.lapsed"]
    at = f"/v1/questions/{question['id']}"
    told = accepted(buyer.post(f"{at}/answer", {"text": "The blue door."}))
    assert (told["status"], told["answer"]) == ("answered", "The blue door.")
    check_refusal(
        call_off(own.merchant(), deposit, "ADDRESS_INVALID", unusable(question)), 422, "evidence-required", "/evidence"
    )
    check_refusal(buyer.post(f"{at}/answer", {"text": "The red one."}), 409, "wrong-state")
    assert status_of(buyer, deposit) == "locked"


def test_of_one_order_only_its_own_silence_counts(own: World) -> None:
    buyer, offer = own.buyer(), sale(own, limits={"per_buyer": None})
    asked, other = own.paid(buyer, offer), own.paid(buyer, offer)
    question = accepted(ask(own, asked), 201)
    own.advance("PT49H")
    check_refusal(
        call_off(own.merchant(), other, "ADDRESS_INVALID", unusable(question)), 422, "evidence-required", "/evidence"
    )
    calls = ["call:1", "mail:2", question["id"]]
    check_refusal(call_off(own.merchant(), asked, "BUYER_UNREACHABLE", calls), 422, "evidence-required", "/evidence")
    cancelled(own, asked, "ADDRESS_INVALID", unusable(question))
    assert passes(buyer) == []  # nobody's fault at the merchant


# A second person.


def test_another_reason_of_the_merchant_needs_a_colleague(own: World) -> None:
    buyer, asker, colleague = own.buyer(), own.merchant(), own.merchant()
    deposit = own.paid(buyer, sale(own, cancellation_reasons=["MERCHANT_OTHER"]))
    check_refusal(call_off(asker, deposit, "MERCHANT_OTHER", note=NOTE), 403, "approval-required")
    check_refusal(many(asker, [deposit], "MERCHANT_OTHER", note=NOTE[:39]), 422, "evidence-required", "/note")
    begun = accepted(many(asker, [deposit], "MERCHANT_OTHER", note=NOTE), 202)
    assert (begun["status"], begun["approved_by"]) == ("awaiting_approval", None)
    own.run("close_windows")
    assert status_of(buyer, deposit) == "locked"
    check_refusal(asker.post(f"{at_bulk(begun)}/approve"), 403, "approval-required")
    running = accepted(colleague.post(f"{at_bulk(begun)}/approve"))
    assert (running["status"], running["counts"]["pending"]) == ("running", 1)
    assert running["approved_by"] not in {None, running["asked_by"]}
    own.run("close_windows")
    done = accepted(asker.get(at_bulk(begun)))
    assert (done["status"], done["counts"]) == ("done", {"total": 1, "cancelled": 1, "skipped": 0, "pending": 0})
    assert done["results"] == [{"deposit": deposit["id"], "outcome": "cancelled", "reason": None}]
    seen = accepted(buyer.get(path_of(deposit)))
    assert (seen["status"], seen["refund"]["amount"]) == ("cancelled", rupiah("2017000"))
    assert [priority_pass["id"] for priority_pass in passes(buyer)] == [seen["cancellation"]["priority_pass"]]
    check_refusal(colleague.post(f"{at_bulk(begun)}/approve"), 409, "wrong-state")


ALONE: Final = [
    # deposits  begins               how it is worked off without a colleague
    (1,         "running",           "done"),
    (2,         "awaiting_approval", "awaiting_approval"),
]  # fmt: skip


@pytest.mark.parametrize(("count", "begins", "ends"), ALONE)
def test_one_deposit_of_a_small_sale_needs_nobody_else(own: World, count: int, begins: str, ends: str) -> None:
    buyer, merchant, offer = own.buyer(), own.merchant(), sale(own, limits={"per_buyer": None})
    deposits = [own.paid(buyer, offer) for _ in range(count)]
    begun = accepted(many(merchant, deposits), 202)
    assert (begun["status"], begun["approve_until"] is None) == (begins, count == 1)
    own.run("close_windows")
    done = accepted(merchant.get(at_bulk(begun)))
    assert (done["status"], done["counts"]["cancelled"]) == (ends, 1 if count == 1 else 0)
    assert status_of(buyer, deposits[0]) == ("cancelled" if count == 1 else "locked")


def test_each_of_many_is_judged_by_itself(own: World) -> None:
    """One that has ended is skipped and named; what one of them meets stops none of the others."""
    buyer, offer = own.buyer(), sale(own, limits={"per_buyer": None})
    free, ended, waiting = own.paid(buyer, offer), own.paid(buyer, offer), own.ordered(buyer, offer)
    cancelled(own, ended)
    begun = accepted(many(own.merchant(), [ended, free, waiting]), 202)
    accepted(own.merchant().post(f"{at_bulk(begun)}/approve"))
    own.run("close_windows")
    done = accepted(own.merchant().get(at_bulk(begun)))
    assert [(row["outcome"], row["reason"]) for row in done["results"]] == [
        ("skipped", "already-cancelled"),
        ("cancelled", None),
        ("cancelled", None),
    ]
    assert {status_of(buyer, one) for one in (free, ended, waiting)} == {"cancelled"}
    own.run("close_windows")
    assert accepted(own.merchant().get(at_bulk(begun))) == done
    assert len(refunds_of(buyer, free)) == 1


def test_what_nobody_agrees_to_ends_by_itself(own: World) -> None:
    buyer, merchant, offer = own.buyer(), own.merchant(), sale(own, limits={"per_buyer": None})
    deposits = [own.paid(buyer, offer) for _ in range(2)]
    begun = accepted(many(merchant, deposits), 202)
    until = instant(begun["approve_until"])
    assert until - instant(begun["created_at"]) == 72 * HOUR
    own.set_clock(format_instant(until - MINUTE))
    at = at_bulk(begun)
    assert accepted(merchant.get(at, asked=until - 1))["status"] == "awaiting_approval"
    before = merchant.get(at, asked=until)
    lapsed = accepted(before)
    assert (lapsed["status"], lapsed["updated_at"]) == ("done", begun["approve_until"])
    assert [(row["outcome"], row["reason"]) for row in lapsed["results"]] == [("skipped", "approval-required")] * 2
    check_refusal(own.merchant().post(f"{at}/approve", asked=until), 409, "wrong-state")
    own.set_clock(format_instant(until))
    own.run("close_windows")
    after = merchant.get(at)
    assert (after.raw, after.headers["etag"]) == (before.raw, before.headers["etag"])
    assert {status_of(buyer, deposit) for deposit in deposits} == {"locked"}


def test_a_colleague_may_agree_up_to_the_last_millisecond(own: World) -> None:
    buyer, merchant, offer = own.buyer(), own.merchant(), sale(own, limits={"per_buyer": None})
    begun = accepted(many(merchant, [own.paid(buyer, offer) for _ in range(2)]), 202)
    until = instant(begun["approve_until"])
    own.set_clock(format_instant(until - MINUTE))
    running = accepted(own.merchant().post(f"{at_bulk(begun)}/approve", asked=until - 1))
    assert running["status"] == "running"
    own.set_clock(format_instant(until))
    own.run("close_windows")
    assert accepted(merchant.get(at_bulk(begun)))["counts"]["cancelled"] == 2


# Passes.


def types_of(buyer: Client, deposit: Json, prefix: str = "priority_pass.") -> list[str]:
    names = [str(event["type"]) for event in events_of(buyer, deposit)]
    return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]


def test_a_pass_comes_back_when_its_order_was_never_paid(own: World) -> None:
    buyer = own.buyer()
    held = granted(own, buyer)
    unpaid = own.ordered(buyer, sale(own), priority_pass=held["id"])
    check_refusal(buyer.post("/v1/deposits", own.order(sale(own), priority_pass=held["id"])), 409, "pass-not-valid")
    own.advance("PT17M")
    assert status_of(buyer, unpaid) == "expired"
    own.run("close_windows")
    assert passes(buyer) == [held]
    assert types_of(buyer, {"id": held["origin"]}) == ["granted", "used", "returned"]
    own.pay(unpaid)  # too late: it goes back, and the pass stays
    again = own.ordered(buyer, sale(own), priority_pass=held["id"])
    assert [(priority_pass["status"], priority_pass["used_for"]) for priority_pass in passes(buyer)] == [
        ("used", again["id"])
    ]


BACK: Final = [
    # the shop's reason, or the buyer's own word   paid    then
    (None,                                         False,  ["granted"]),
    ("FORCE_MAJEURE",                              False,  ["granted"]),
    ("OUT_OF_STOCK",                               False,  ["granted", "used"]),
    (None,                                         True,   ["used"]),
    ("FORCE_MAJEURE",                              True,   ["used"]),
    ("OUT_OF_STOCK",                               True,   ["granted", "used"]),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "paid", "then"), BACK)
def test_one_order_has_one_second_chance(own: World, reason: str | None, paid: bool, then: list[str]) -> None:
    """A pass goes back when its order ends unpaid and no new pass came of it: never two for one, never none."""
    buyer = own.buyer()
    held = granted(own, buyer)
    deposit = own.ordered(buyer, sale(own), priority_pass=held["id"])
    if paid:
        own.pay(deposit)
    if reason is None:
        accepted(buyer.post(f"{path_of(deposit)}/cancel"))
    else:
        cancelled(own, deposit, reason)
    assert sorted(priority_pass["status"] for priority_pass in passes(buyer)) == then


def test_a_pass_lapses_by_the_clock_after_two_notices(own: World) -> None:
    buyer = own.buyer()
    held = granted(own, buyer)
    origin, until = {"id": held["origin"]}, instant(held["valid_until"])
    assert until - instant(held["created_at"]) == 180 * DAY
    told = {
        30: ["granted", "reminder"],
        7: ["granted", "reminder", "reminder"],
        0: ["granted", "reminder", "reminder", "lapsed"],
    }
    for days, types in told.items():
        own.set_clock(format_instant(until - days * DAY - MINUTE))
        assert types_of(buyer, origin) == types[:-1]
        assert [priority_pass["status"] for priority_pass in passes(buyer)] == ["granted"]
        own.set_clock(format_instant(until - days * DAY))
        before = buyer.get(f"{path_of(origin)}/events?limit=100").json["data"]
        own.run("close_windows")
        assert types_of(buyer, origin) == types
        after = buyer.get(f"{path_of(origin)}/events?limit=100").json["data"]
        assert [unreceived(event) for event in after] == [unreceived(event) for event in before]
    assert [priority_pass["status"] for priority_pass in passes(buyer)] == ["lapsed"]
    check_refusal(buyer.post("/v1/deposits", own.order(sale(own), priority_pass=held["id"])), 409, "pass-not-valid")


def unreceived(event: Json) -> Json:
    """Without when it was written down."""
    return {name: part for name, part in event.items() if name != "received_at"}


def test_a_pass_that_comes_back_after_its_date_lapses(own: World) -> None:
    buyer = own.buyer()
    held = granted(own, buyer)
    own.set_clock(format_instant(instant(held["valid_until"]) - MINUTE))
    own.ordered(buyer, sale(own), priority_pass=held["id"])
    own.advance("PT17M")
    own.run("close_windows")
    assert [priority_pass["status"] for priority_pass in passes(buyer)] == ["lapsed"]


def test_a_pass_buys_one_beside_the_limit(own: World) -> None:
    """Before its own order or behind it, and neither order counts for the other."""
    buyer, other = own.buyer(), own.buyer()
    first, second = granted(own, buyer), granted(own, other)
    offer = sale(own, limits={"per_buyer": 1})
    own.ordered(buyer, offer)
    check_refusal(buyer.post("/v1/deposits", own.order(offer)), 409, "limit-reached")
    own.ordered(buyer, offer, priority_pass=first["id"])
    own.ordered(other, offer, priority_pass=second["id"])
    own.ordered(other, offer)
    for one in (buyer, other):
        check_refusal(one.post("/v1/deposits", own.order(offer)), 409, "limit-reached")


# The reserve.


def test_a_pass_takes_the_reserve_first_and_then_what_is_everybodys(own: World) -> None:
    buyers = [own.buyer() for _ in range(4)]
    held = [granted(own, buyer) for buyer in buyers]
    offer = sale(own, stock=3, reserved=1)
    assert available(own, offer) == 2
    left = []
    for buyer, one in list(zip(buyers, held, strict=True))[:3]:
        own.ordered(buyer, offer, priority_pass=one["id"])
        left.append(available(own, offer))
    assert left == [2, 1, 0]
    check_refusal(buyers[3].post("/v1/deposits", own.order(offer, priority_pass=held[3]["id"])), 409, "sold-out")
    assert passes(buyers[3]) == [held[3]]  # what was refused used nothing up


STOCKS: Final = [
    # change  everybody sees  or it is refused because of
    (5,       13,             None),
    (-8,      0,              None),
    (-9,      8,              "kept for priority passes"),
    (-10,     8,              "kept for priority passes"),
    (-11,     8,              "sold"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "seen", "why"), STOCKS)
def test_a_change_of_stock_leaves_the_reserve_alone(own: World, change: int, seen: int, why: str | None) -> None:
    buyers = [own.buyer() for _ in range(2)]
    held = [granted(own, buyer) for buyer in buyers]
    offer = sale(own, stock=10, reserved=2)
    reply = own.merchant().post(f"/v1/offers/{offer['id']}/stock", {"sku": "poco-m3", "change": change})
    if why is None:
        assert accepted(reply)["items"][0]["available"] == seen
    else:
        assert check_refusal(reply, 422, "invalid-request", "/change")["errors"][0]["detail"].count(why) == 1
    for buyer, one in zip(buyers, held, strict=True):
        own.ordered(buyer, offer, priority_pass=one["id"])
    assert available(own, offer) == seen


def test_the_reserve_is_everybodys_a_day_after_the_opening(own: World) -> None:
    offer = sale(own, stock=3, reserved=2)
    opened = instant(offer["created_at"])
    path = f"/v1/offers/{offer['id']}"
    own.set_clock(format_instant(opened + 23 * HOUR))
    seen = {early: own.anyone().get(path, asked=opened + 24 * HOUR + early) for early in (-1, 0)}
    assert {early: accepted(one)["items"][0]["available"] for early, one in seen.items()} == {-1: 1, 0: 3}
    own.ordered(own.buyer(), offer)
    body = own.order(offer)
    check_refusal(own.buyer().post("/v1/deposits", body, asked=opened + 24 * HOUR - 1), 409, "sold-out")
    accepted(own.buyer().post("/v1/deposits", body, asked=opened + 24 * HOUR), 201)


# Limits, money, counts.

KEPT: Final = [
    # reason            the unit counts on
    ("LIMIT_ACCOUNT",   True),
    ("OUT_OF_STOCK",    False),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "counts"), KEPT)
@pytest.mark.parametrize("paid", [True, False])
def test_a_reason_on_the_buyers_side_goes_on_counting(own: World, reason: str, counts: bool, paid: bool) -> None:
    buyer, offer = own.buyer(), sale(own)
    deposit = own.paid(buyer, offer) if paid else own.ordered(buyer, offer)
    before = available(own, offer)
    cancelled(own, deposit, reason)
    assert available(own, offer) == before + 1  # the unit itself goes back in any case
    again = buyer.post("/v1/deposits", own.order(offer))
    if counts:
        assert check_refusal(again, 409, "limit-reached")["per_buyer"] == 1
    else:
        accepted(again, 201)


def test_compensation_is_paid_once_and_beside_the_buyers_own_money(own: World) -> None:
    """To an account that the buyer names, because it has no way to go back; the identity holds after every step."""
    buyer, platform = own.buyer(), own.person("platform")
    deposit = own.paid(buyer)

    def steps() -> Json:
        seen = accepted(buyer.get(path_of(deposit)))
        assert identity_holds(seen)
        return seen

    assert steps()["money"]["compensation"] == cny("0")
    cancelled(own, deposit)
    assert (steps()["money"]["refunding"], steps()["money"]["compensation"]) == (cny("5000"), cny("5000"))
    [extra] = [one for one in refunds_of(buyer, deposit) if one["cause"] == "seller_default_compensation"]
    assert steps()["refund"]["cause"] == "merchant_cancel"
    attend(deposit)
    assert [row["amount"] for row in own.books(deposit)] == [cny("5000")]
    assert steps()["money"]["refunded"] == cny("5000")
    assert refund_at(buyer, extra)["status"] == "requires_action"
    named = buyer.post(f"/v1/refunds/{extra['id']}/destination", ACCOUNT)
    assert accepted(named)["destination"]["kind"] == "bank_account"
    steps()
    own.advance("PT25H")
    for _ in range(2):
        attend(deposit)
        assert sorted(row["amount"]["amount"] for row in own.books(deposit)) == ["5000", "5000"]
        assert (refund_at(buyer, extra)["status"], steps()["money"]["compensation"]) == ("succeeded", cny("5000"))
    assert steps()["money"] == {
        "captured": cny("5000"),
        "held": cny("0"),
        "refunding": cny("0"),
        "refunded": cny("5000"),
        "forfeited": cny("0"),
        "fees": cny("0"),
        "compensation": cny("5000"),
    }
    proof = accepted(buyer.get(f"/v1/refunds/{extra['id']}/proof"))
    assert accepted(platform.post("/v1/refund-proofs/verify", proof)) == {"valid": True, "differences": []}


def test_compensation_is_announced_before_it_is_decided(own: World) -> None:
    """The preview names what the reason costs; without a reason as for a seller's default."""
    merchant, deposit = own.merchant(), own.paid(own.buyer())
    found = {}
    for reason in ("OUT_OF_STOCK", "FORCE_MAJEURE", None):
        more = f"&reason={reason}" if reason else ""
        shown = accepted(merchant.get(f"{path_of(deposit)}/refund-preview?cause=merchant_cancel{more}"))
        found[reason] = (shown["amount"], shown["compensation"])
    assert found == {
        "OUT_OF_STOCK": (cny("5000"), cny("5000")),
        "FORCE_MAJEURE": (cny("5000"), cny("0")),
        None: (cny("5000"), cny("5000")),
    }
    path = f"{path_of(deposit)}/refund-preview?cause=buyer_cancel&reason=OUT_OF_STOCK"
    check_refusal(merchant.get(path), 422, "invalid-request", "/reason")
    assert cancelled(own, deposit, "FORCE_MAJEURE")["money"]["compensation"] == cny("0")


def test_everybody_can_count_what_was_called_off(own: World) -> None:
    buyer, offer = own.buyer(), sale(own, limits={"per_buyer": None})
    path = f"/v1/offers/{offer['id']}/cancellations"
    assert accepted(own.anyone().get(path)) == {
        "offer": offer["id"],
        "object": "cancellation_counts",
        "cancelled": 0,
        "appealed": 0,
        "overturned": 0,
        "data": [],
    }
    for reason in ("OUT_OF_STOCK", "LIMIT_ACCOUNT", "OUT_OF_STOCK"):
        cancelled(own, own.paid(buyer, offer), reason)
    ended = own.paid(buyer, offer)
    accepted(buyer.post(f"{path_of(ended)}/cancel"))  # the buyer's own word is nobody's cancellation
    check_refusal(call_off(own.merchant(), ended), 409, "already-cancelled")
    accepted(many(own.merchant(), [own.paid(buyer, offer)], "FORCE_MAJEURE"), 202)
    own.run("close_windows")
    counts = accepted(own.anyone().get(path))
    rows = {row["reason"]: (row["cancelled"], row["appealed"], row["overturned"]) for row in counts["data"]}
    assert rows == {"LIMIT_ACCOUNT": (1, 0, 0), "OUT_OF_STOCK": (2, 0, 0), "FORCE_MAJEURE": (1, 0, 0)}
    assert (counts["cancelled"], counts["appealed"], counts["overturned"]) == (4, 0, 0)


# The same key, another version, another language.


def test_every_command_is_answered_again_whatever_happened_since(own: World) -> None:
    buyer, merchant, colleague = own.buyer(), own.merchant(), own.merchant()
    held = granted(own, buyer)
    offer = sale(own, limits={"per_buyer": None})
    first, second = own.paid(buyer, offer), own.paid(buyer, offer)
    asked: list[tuple[Client, str, Json, Reply]] = []

    def send(who: Client, path: str, body: Json, status: int) -> Json:
        reply = who.post(path, body, idempotency_key="once", accept_language="zh")
        asked.append((who, path, body, reply))
        return accepted(reply, status)

    question = send(merchant, f"{path_of(first)}/questions", {"kind": "address", "text": "Where?"}, 201)
    send(buyer, f"/v1/questions/{question['id']}/answer", {"text": "There."}, 200)
    send(
        merchant,
        f"{path_of(first)}/merchant-cancel",
        {"reason": "OUT_OF_STOCK", "evidence": STOCK, "note": "sorry"},
        200,
    )
    order = send(buyer, "/v1/deposits", own.order(offer, priority_pass=held["id"]), 201)
    named = {
        "deposits": [second["id"], order["id"]],
        "reason": "SYSTEM_ERROR",
        "evidence": ["incident:1"],
        "note": "sorry",
    }
    bulk = send(merchant, f"/v1/offers/{offer['id']}/merchant-cancellations", named, 202)
    send(colleague, f"{at_bulk(bulk)}/approve", {}, 200)
    own.run("close_windows")
    own.advance("PT73H")
    own.run("close_windows")
    done = accepted(merchant.get(at_bulk(bulk)))
    assert (done["status"], done["counts"]["cancelled"]) == ("done", 2)
    versions = [accepted(buyer.get(path_of(one)))["version"] for one in (first, second, order)]
    for who, path, body, reply in asked:
        same(reply, who.post(path, body, idempotency_key="once", accept_language="id"))
    assert [accepted(buyer.get(path_of(one)))["version"] for one in (first, second, order)] == versions
    assert accepted(merchant.get(at_bulk(bulk))) == done
    for who, path, body, _ in asked[:3]:
        other = {**body, "text": "Elsewhere."} if "text" in body else {**body, "note": None}
        check_refusal(who.post(path, other, idempotency_key="once"), 422, "idempotency-key-reused")
    check_refusal(
        merchant.post(asked[4][1], {**named, "note": None}, idempotency_key="once"), 422, "idempotency-key-reused"
    )


def test_a_cancellation_may_name_the_state_it_was_decided_on(own: World) -> None:
    buyer, merchant = own.buyer(), own.merchant()
    deposit = own.ordered(buyer, sale(own))
    seen = merchant.get(path_of(deposit)).headers["etag"]
    own.pay(deposit)
    current = merchant.get(path_of(deposit)).headers["etag"]
    told = check_refusal(call_off(merchant, deposit, if_match=seen), 412, "stale-version")
    assert told["etag"] == current
    check_refusal(call_off(merchant, deposit, evidence=[], if_match=seen), 422, "evidence-required", "/evidence")
    check_refusal(call_off(merchant, deposit, "MERCHANT_OTHER", note=NOTE, if_match=seen), 412, "stale-version")
    ended = call_off(merchant, deposit, if_match=current)
    assert accepted(ended)["status"] == "cancelled"
    check_refusal(call_off(merchant, deposit, if_match=current), 412, "stale-version")
    check_refusal(call_off(merchant, deposit, if_match=ended.headers["etag"]), 409, "already-cancelled")


def test_a_colleague_may_name_what_they_agree_to(own: World) -> None:
    buyer, merchant, colleague = own.buyer(), own.merchant(), own.merchant()
    offer = sale(own, limits={"per_buyer": None})
    begun = many(merchant, [own.ordered(buyer, offer) for _ in range(2)])
    at, seen = f"{at_bulk(accepted(begun, 202))}/approve", begun.headers["etag"]
    assert merchant.get(at.removesuffix("/approve")).headers["etag"] == seen
    assert check_refusal(colleague.post(at, if_match='"1-running"'), 412, "stale-version")["etag"] == seen
    assert accepted(colleague.post(at, if_match=seen))["status"] == "running"
    check_refusal(own.merchant().post(at, if_match=seen), 412, "stale-version")
    check_refusal(own.merchant().post(at, if_match="*"), 409, "wrong-state")


LABELS: Final = [
    ("en", "More sold than in stock", "The stock record of the item"),
    ("id", "Stok habis, terjual melebihi persediaan", "Catatan stok barang"),
    ("zh", "超卖缺货", "该商品在下单时的库存记录"),
]


def test_a_reason_can_be_read_in_three_languages(own: World) -> None:
    buyer, merchant = own.buyer(), own.merchant()
    deposit = own.paid(buyer, sale(own))
    cancelled(own, deposit)
    for locale, label, evidence in LABELS:
        listed = accepted(buyer.get("/v1/cancellation-reasons", accept_language=locale))["data"]
        assert len(listed) == 21
        [one] = [row for row in listed if row["code"] == "OUT_OF_STOCK"]
        assert (one["label"], one["remedy"], one["evidence"]) == (label, "seller_default_and_pass", 1)
        assert one["evidence_required"].startswith(evidence)
        seen = accepted(buyer.get(path_of(deposit), accept_language=locale))
        assert seen["cancellation"]["label"] == label
        counts = accepted(buyer.get(f"/v1/offers/{deposit['offer']}/cancellations", accept_language=locale))
        assert [row["label"] for row in counts["data"]] == [label]
        no = check_refusal(
            call_off(merchant, deposit, evidence=[], accept_language=locale), 422, "evidence-required", "/evidence"
        )
        assert no["detail"]
    words = {
        tuple(row["label"] for row in accepted(buyer.get("/v1/cancellation-reasons", accept_language=locale))["data"])
        for locale, _, _ in LABELS
    }
    assert len(words) == len(LABELS)
