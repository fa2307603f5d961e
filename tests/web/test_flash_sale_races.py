"""Many at once, and what else may befall a cancelled order: each thing happens once, and every rupiah is somewhere."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from chalicelib.core.common.instants import DAY, format_instant
from tests.web.answer_checks import (
    ACCOUNT,
    accepted,
    attend,
    breaks_of,
    check_answer,
    check_refusal,
    cny,
    events_of,
    identity_holds,
    instant,
    now_of,
    pages,
    path_of,
    refund_at,
    refunds_of,
    same,
)
from tests.web.test_flash_sale import (
    at_bulk,
    available,
    call_off,
    cancelled,
    granted,
    many,
    passes,
    sale,
    status_of,
)
from tests.world import Client, Json, Reply, World

THREADS: Final = 4


def at_once(ask: Callable[[int], Reply]) -> list[Reply]:
    with ThreadPoolExecutor(THREADS) as pool:
        return [check_answer(reply) for reply in pool.map(ask, range(THREADS))]


def told(replies: list[Reply]) -> list[tuple[int, str]]:
    return sorted((reply.status, reply.problem) for reply in replies)


# One of many.


def test_one_pass_buys_one_unit_however_many_ask_at_once(own: World) -> None:
    buyer = own.buyer()
    held, offer = granted(own, buyer), sale(own, stock=10, reserved=4)
    body = own.order(offer, priority_pass=held["id"])
    replies = at_once(lambda _: buyer.post("/v1/deposits", body))
    assert told(replies) == [(201, "")] + [(409, "pass-not-valid")] * (THREADS - 1)
    assert available(own, offer) == 6
    [used] = passes(buyer)
    [made] = [reply.json["id"] for reply in replies if reply.status == 201]
    assert (used["status"], used["used_for"]) == ("used", made)


def test_one_pass_under_one_key_is_one_order(own: World) -> None:
    buyer = own.buyer()
    body = own.order(sale(own), priority_pass=granted(own, buyer)["id"])
    first = buyer.post("/v1/deposits", body, idempotency_key="p")
    own.pay(accepted(first, 201))
    for again in at_once(lambda _: buyer.post("/v1/deposits", body, idempotency_key="p")):
        same(first, again)


def test_one_cancellation_is_made_however_many_ask_at_once(own: World) -> None:
    deposit = own.paid(own.buyer())
    replies = at_once(lambda _: call_off(own.merchant(), deposit))
    assert told(replies) == [(200, "")] + [(409, "already-cancelled")] * (THREADS - 1)
    counts = accepted(own.anyone().get(f"/v1/offers/{deposit['offer']}/cancellations"))
    assert counts["cancelled"] == 1
    assert len(refunds_of(own.merchant(), deposit)) == 2  # what was paid, and as much again


def test_one_colleague_agrees_however_many_ask_at_once(own: World) -> None:
    offer = sale(own, limits={"per_buyer": None})
    deposits = [own.ordered(own.buyer(), offer) for _ in range(2)]
    begun = accepted(many(own.merchant(), deposits), 202)
    colleagues = [own.merchant() for _ in range(THREADS)]
    replies = at_once(lambda n: colleagues[n].post(f"{at_bulk(begun)}/approve"))
    assert told(replies) == [(200, "")] + [(409, "wrong-state")] * (THREADS - 1)


def test_two_workers_judge_each_deposit_once(own: World) -> None:
    """What both judged was judged once: no second refund, no second count, no deposit left out."""
    offer, buyer = sale(own, stock=30, limits={"per_buyer": None}), own.buyer()
    deposits = [own.ordered(buyer, offer) for _ in range(10)]
    begun = accepted(many(own.merchant(), deposits), 202)
    accepted(own.merchant().post(f"{at_bulk(begun)}/approve"))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(own.run, ["close_windows"] * 2))
    own.run("close_windows")
    done = accepted(own.merchant().get(at_bulk(begun)))
    assert (done["status"], done["counts"]["cancelled"]) == ("done", len(deposits))
    assert [row["deposit"] for row in done["results"]] == [one["id"] for one in deposits]
    assert accepted(own.anyone().get(f"/v1/offers/{offer['id']}/cancellations"))["cancelled"] == len(deposits)
    assert available(own, offer) == 28
    for deposit in deposits[:3]:
        assert [event["type"] for event in events_of(buyer, deposit)].count("deposit.cancelled") == 1


def test_a_question_is_answered_once_however_many_ask_at_once(own: World) -> None:
    buyer = own.buyer()
    deposit = own.paid(buyer, sale(own))
    body = {"kind": "contact", "text": "Are you there?"}
    question = accepted(own.merchant().post(f"{path_of(deposit)}/questions", body), 201)
    path = f"/v1/questions/{question['id']}"
    replies = at_once(lambda n: buyer.post(f"{path}/answer", {"text": f"Yes, {n}"}))
    assert told(replies) == [(200, "")] + [(409, "wrong-state")] * (THREADS - 1)
    [first] = [reply.json["answer"] for reply in replies if reply.status == 200]
    assert accepted(buyer.get(path))["answer"] == first


# Before, during and after a sale.

OPENING: Final = [
    # asked   with a pass  answer
    (-DAY,    True,        (201, "")),
    (-1,      True,        (201, "")),
    (-1,      False,       (409, "offer-not-open")),
    (0,       False,       (201, "")),
]  # fmt: skip


@pytest.mark.parametrize(("early", "with_pass", "answer"), OPENING)
def test_a_pass_opens_a_sale_and_nothing_else_does(
    own: World, early: int, with_pass: bool, answer: tuple[int, str]
) -> None:
    buyer = own.buyer()
    held = granted(own, buyer)
    opens = instant(now_of(buyer)) + 2 * DAY
    offer = sale(own, opens_at=format_instant(opens))
    own.set_clock(format_instant(opens - DAY))
    more = {"priority_pass": held["id"]} if with_pass else {}
    reply = buyer.post("/v1/deposits", own.order(offer, **more), asked=opens + early)
    assert (reply.status, reply.problem) == answer


def test_a_pass_does_not_open_what_is_closed(own: World) -> None:
    buyer = own.buyer()
    held, offer = granted(own, buyer), sale(own)
    accepted(own.merchant().post(f"/v1/offers/{offer['id']}/close"))
    check_refusal(buyer.post("/v1/deposits", own.order(offer, priority_pass=held["id"])), 409, "offer-not-open")
    assert passes(buyer) == [held]


def test_a_unit_of_the_reserve_goes_back_into_the_reserve(own: World) -> None:
    first, second = own.buyer(), own.buyer()
    one, other = granted(own, first), granted(own, second)
    offer = sale(own, stock=2, reserved=1)
    made = own.ordered(first, offer, priority_pass=one["id"])
    assert available(own, offer) == 1
    accepted(first.post(f"{path_of(made)}/cancel"))
    assert available(own, offer) == 1
    own.ordered(second, offer, priority_pass=other["id"])
    assert available(own, offer) == 1


def test_a_priority_order_stays_one_unit(own: World) -> None:
    """A change cannot make two of it, nor something dearer; and it does not eat into the limit either."""
    buyer, items = own.buyer(), [model("su7", "299900"), model("su7-max", "299901")]
    deposit = own.paid(buyer, own.offer(items=items[:1]))
    held = cancelled(own, deposit)["cancellation"]["priority_pass"]
    offer = own.offer(items=items, limits={"per_buyer": 1})
    made = own.ordered(buyer, offer, priority_pass=held)
    own.pay(made)
    path = f"{path_of(made)}/changes"
    for items in ([{"sku": "su7", "quantity": 2}], [{"sku": "su7-max", "quantity": 1}]):
        assert check_answer(buyer.post(path, {"items": items})).status == 409
    accepted(buyer.post(path, {"items": [{"sku": "su7", "quantity": 1}]}))
    own.ordered(buyer, offer)
    check_refusal(buyer.post("/v1/deposits", own.order(offer)), 409, "limit-reached")


def test_passes_are_listed_page_by_page_and_only_to_their_buyer(own: World) -> None:
    buyer, other = own.buyer(), own.buyer()
    held = [granted(own, buyer)["id"] for _ in range(3)]
    own.ordered(buyer, sale(own))  # most orders have none
    for size in (1, 2, 3, 4):
        assert [page["id"] for page in pages(buyer, "/v1/priority-passes", size)] == held[::-1]
    cursor = accepted(buyer.get("/v1/priority-passes?limit=1"))["next_cursor"]
    check_refusal(other.get(f"/v1/priority-passes?cursor={cursor}"), 400, "invalid-cursor")
    assert passes(other) == []


def model(sku: str, price: str) -> Json:
    return {"sku": sku, "name": sku, "price": cny(price), "stock": 10}


# Money that nobody expected.


def defaulted(own: World, buyer: Client) -> tuple[Json, Json]:
    """A deposit that the merchant called off, and the compensation for it."""
    deposit = own.paid(buyer)
    cancelled(own, deposit)
    [extra] = [one for one in refunds_of(buyer, deposit) if one["cause"] == "seller_default_compensation"]
    return deposit, extra


def named(buyer: Client, refund: Json) -> Reply:
    return buyer.post(f"/v1/refunds/{refund['id']}/destination", ACCOUNT)


def paid_out(own: World, buyer: Client, deposit: Json, extra: Json) -> None:
    """Both refunds are with the buyer, each once, and every fen is somewhere."""
    for wait in ("PT0S", "PT2M", "PT6M", "PT25H"):
        own.advance(wait)
        attend(deposit)
    paid = [row["amount"]["amount"] for row in own.books(deposit) if row["status"] == "succeeded"]
    assert paid == ["5000", "5000"]
    assert {one["status"] for one in refunds_of(buyer, deposit)} <= {"succeeded", "settled"}
    assert refund_at(buyer, extra)["amount"] == cny("5000")
    assert identity_holds(accepted(buyer.get(path_of(deposit))))


def test_compensation_does_not_wait_for_a_dispute_about_the_deposit(own: World) -> None:
    buyer = own.buyer()
    deposit, extra = defaulted(own, buyer)
    attend(deposit)
    dispute = {"outcome": "chargeback_opened"}
    accepted(own.anyone().post(f"/sandbox/payments/{deposit['payment']['id']}", dispute))
    accepted(named(buyer, extra))
    paid_out(own, buyer, deposit, extra)


def test_compensation_has_one_way_and_a_person_cannot_send_it_another(own: World) -> None:
    buyer = own.buyer()
    deposit, extra = defaulted(own, buyer)
    path = f"/v1/refunds/{extra['id']}/reroute"
    check_answer(own.person("platform").post(path, {"kind": "payout"}))
    check_refusal(named(own.buyer(), extra), 404, "not-found")
    accepted(named(buyer, extra))
    paid_out(own, buyer, deposit, extra)


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after"])
def test_compensation_is_never_sent_twice(own: World, fault: str) -> None:
    buyer = own.buyer()
    deposit, extra = defaulted(own, buyer)
    attend(deposit)
    accepted(named(buyer, extra))
    own.arm("refund", fault)
    paid_out(own, buyer, deposit, extra)


def test_compensation_that_is_paid_leaves_no_break(own: World) -> None:
    begins, buyer = own.advance("PT1S"), own.buyer()
    deposit, extra = defaulted(own, buyer)
    accepted(named(buyer, extra))
    paid_out(own, buyer, deposit, extra)
    own.advance("PT25H")
    run = own.reconciled(begins, own.advance("PT1S"))
    assert breaks_of(own.person("platform"), run) == []


def test_a_payment_that_comes_after_the_cancellation_goes_back(own: World) -> None:
    buyer = own.buyer()
    deposit = own.ordered(buyer)
    ended = cancelled(own, deposit)
    assert (ended["status"], ended["money"]["compensation"]) == ("cancelled", cny("0"))  # nothing was paid
    own.pay(deposit)
    [late] = refunds_of(buyer, deposit)[:1]
    assert (late["cause"], late["amount"]) == ("late_payment", cny("5000"))
    attend(deposit)
    seen = accepted(buyer.get(path_of(deposit)))
    assert (seen["money"]["refunded"], seen["money"]["compensation"]) == (cny("5000"), cny("0"))
    assert identity_holds(seen)


def test_goodwill_before_takes_nothing_from_what_comes_back(own: World) -> None:
    """What was given back already is not given twice, and compensation is measured by the deposit itself."""
    buyer, merchant = own.buyer(), own.merchant()
    deposit = own.paid(buyer)
    body = {"deposit": deposit["id"], "amount": cny("60"), "expected_refundable": cny("5000")}
    accepted(merchant.post("/v1/refunds", body), 201)
    ended = cancelled(own, deposit)
    assert (ended["refund"]["amount"], ended["money"]["compensation"]) == (cny("4940"), cny("5000"))
    attend(deposit)
    assert sum(int(row["amount"]["amount"]) for row in own.books(deposit)) == 5000
    assert identity_holds(accepted(buyer.get(path_of(deposit))))
    assert status_of(buyer, deposit) == "cancelled"


# Proofs: everybody can compute what came back, whatever led to it.


def out_of_stock(own: World, buyer: Client) -> Json:
    deposit = own.paid(buyer)
    cancelled(own, deposit)
    return deposit


def lapsed(own: World, buyer: Client) -> Json:
    deposit = own.paid(buyer)
    asked = own.merchant().post(f"{path_of(deposit)}/questions", {"kind": "address", "text": "Where?"})
    question = accepted(asked, 201)
    own.advance("PT48H")
    cancelled(own, deposit, "ADDRESS_INVALID", ["carrier:1", question["id"]])
    return deposit


def agreed(own: World, buyer: Client) -> Json:
    """With a note, by two people."""
    deposit = own.paid(buyer, own.offer(cancellation_reasons=["MERCHANT_OTHER"]))
    begun = accepted(many(own.merchant(), [deposit], "MERCHANT_OTHER", note="x" * 40), 202)
    accepted(own.merchant().post(f"{at_bulk(begun)}/approve"))
    own.run("close_windows")
    return deposit


def half_sent(own: World, buyer: Client) -> Json:
    """What is with the buyer is kept, and compensation is measured by what is not."""
    deposit = own.final(buyer, own.merchant(), 2, payment={"take": "full", "nature": "advance"})
    lines = {"lines": [{"line": 1, "quantity": 1}]}
    accepted(own.merchant().post(f"{path_of(deposit)}/shipments", lines))
    cancelled(own, deposit)
    return deposit


def handed_in(own: World, buyer: Client) -> Json:
    """An old device costs nothing when it was the merchant who ended it."""
    deposit = own.traded(buyer)
    ended = cancelled(own, deposit)
    assert (ended["trade_in"]["status"], ended["money"]["fees"]["amount"]) == ("cancelled", "0")
    return deposit


def with_a_pass(own: World, buyer: Client) -> Json:
    """An order made with a pass, and called off again."""
    deposit = own.ordered(buyer, sale(own), priority_pass=granted(own, buyer)["id"])
    own.pay(deposit)
    cancelled(own, deposit)
    return deposit


@pytest.mark.parametrize("story", [out_of_stock, lapsed, agreed, half_sent, handed_in, with_a_pass])
def test_what_was_called_off_can_be_proved(own: World, story: Callable[[World, Client], Json]) -> None:
    buyer = own.buyer()
    deposit = story(own, buyer)
    seen = accepted(buyer.get(path_of(deposit)))
    assert (seen["status"], identity_holds(seen)) == ("cancelled", True)
    assert seen["money"]["forfeited"]["amount"] == "0"
    refunds = refunds_of(buyer, deposit)
    assert refunds
    for refund in refunds:
        proof = accepted(buyer.get(f"/v1/refunds/{refund['id']}/proof"))
        assert accepted(own.anyone().post("/v1/refund-proofs/verify", proof)) == {"valid": True, "differences": []}
        other = {**proof, "cause": "buyer_cancel"}
        assert not accepted(own.anyone().post("/v1/refund-proofs/verify", other))["valid"]
