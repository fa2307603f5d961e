"""Refunds over HTTP: what is told of one, from its decision to the settlement line, and what is still owed to whom."""

from typing import Final

import pytest

from chalicelib.core.common.instants import DAY
from tests.web.answer_checks import accepted, attend, check_refusal, cny, identity_holds, instant, pages, path_of
from tests.world import Client, Json, World


def owed(world: World, buyer: Client, merchant: Client | None = None) -> Json:
    """A deposit that was paid and cancelled in time; the refund is decided and not yet sent."""
    deposit = world.paid(buyer, world.offer(merchant, shipping=cny("88")))
    return accepted(buyer.post(f"{path_of(deposit)}/cancel"))


def refund_of(client: Client, deposit: Json) -> Json:
    return accepted(client.get(f"/v1/refunds/{deposit['refund']['id']}"))


def test_a_refund_is_told_whole(world: World) -> None:
    buyer = world.buyer()
    deposit = owed(world, buyer)
    refund = refund_of(buyer, deposit)
    assert refund == deposit["refund"]
    assert refund["id"] == f"ref_{deposit['id'][4:]}_1"
    assert (refund["object"], refund["deposit"], refund["cause"]) == ("refund", deposit["id"], "buyer_cancel")
    assert (refund["status"], refund["waiting_on"]) == ("approved", "provider")
    assert refund["lines"] == [{"code": "paid", "amount": cny("5088"), "text": "What you paid"}]
    assert (refund["attempts"], refund["review"]) == ([], None)
    assert refund["destination"] == {"kind": "original_method"}
    assert instant(refund["promised_by"]) - instant(refund["created_at"]) == 7 * DAY


def test_it_is_sent_once_and_settled_by_a_line_a_day_later(world: World) -> None:
    buyer = world.buyer()
    deposit = owed(world, buyer)
    attend(deposit)
    attend(deposit)
    sent = refund_of(buyer, deposit)
    assert (sent["status"], sent["waiting_on"]) == ("succeeded", "bank")
    assert [(one["n"], one["status"]) for one in sent["attempts"]] == [(1, "succeeded")]
    world.advance("PT25H")
    attend(deposit)
    settled = refund_of(buyer, deposit)
    assert (settled["status"], settled["waiting_on"]) == ("settled", "nobody")
    assert len(world.books(deposit)) == 1
    assert identity_holds(buyer.get(path_of(deposit)).json)


FAULTS: Final = [
    # fault             at once                                later                      executed
    ("timeout_before",  ("unknown", "provider"),  "PT2M",  ("succeeded", "bank"),      1),
    ("timeout_after",   ("succeeded", "bank"),    "PT2M",  ("succeeded", "bank"),      1),
    ("error_500",       ("unknown", "provider"),  "PT2M",  ("succeeded", "bank"),      1),
    ("pending",         ("pending", "bank"),      "PT6M",  ("succeeded", "bank"),      1),
    ("succeeds_later",  ("unknown", "provider"),  "PT2M",  ("succeeded", "bank"),      1),
    ("declined",        ("requires_action", "buyer"), "PT2M", ("requires_action", "buyer"), 0),
    ("returned_later",  ("succeeded", "bank"),    "PT25H", ("returned", "buyer"),      1),
    ("duplicate_event", ("succeeded", "bank"),    "PT2M",  ("succeeded", "bank"),      1),
    ("lost_event",      ("succeeded", "bank"),    "PT2M",  ("succeeded", "bank"),      1),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "first", "wait", "then", "executed"), FAULTS, ids=[row[0] for row in FAULTS])
def test_what_a_provider_does_is_told_as_far_as_it_is_known(
    world: World, fault: str, first: tuple[str, str], wait: str, then: tuple[str, str], executed: int
) -> None:
    """A fault in the answer is no failure: nothing is sent twice, and the state says who is waited for."""
    buyer = world.buyer()
    deposit = owed(world, buyer)
    world.arm("refund", fault)
    attend(deposit)
    world.advance("PT0S")  # delivers what the provider has to tell
    seen = refund_of(buyer, deposit)
    assert (seen["status"], seen["waiting_on"]) == first
    world.advance(wait)
    attend(deposit)
    world.advance("PT0S")
    seen = refund_of(buyer, deposit)
    assert (seen["status"], seen["waiting_on"]) == then
    assert len([row for row in world.books(deposit) if row["status"] != "declined"]) == executed
    assert identity_holds(buyer.get(path_of(deposit)).json)


def test_a_method_that_cannot_refund_asks_the_buyer_at_once(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer, world.offer(payment={"methods": ["virtual_account"]}))
    cancelled = accepted(buyer.post(f"{path_of(deposit)}/cancel"))
    assert (cancelled["refund"]["status"], cancelled["refund"]["waiting_on"]) == ("requires_action", "buyer")
    attend(deposit)
    assert world.books(deposit) == []


@pytest.mark.parametrize("who", ["merchant", "platform"])
def test_what_waits_stays_in_the_list_of_what_is_owed_until_it_is_done(world: World, who: str) -> None:
    """Also past its promised date, when nobody but a person can go on with it."""
    buyer, merchant = world.buyer(), world.merchant(f"mer_owed{who}")
    staff = merchant if who == "merchant" else world.person("platform")
    deposit = owed(world, buyer, merchant)

    def listed() -> list[str]:
        return [row["status"] for row in pages(staff, "/v1/refunds?status=open", 50) if row["deposit"] == deposit["id"]]

    assert listed() == ["approved"]
    world.arm("refund", "declined")
    attend(deposit)
    assert listed() == ["requires_action"]
    world.advance("P8D")
    assert listed() == ["manual_review"]
    attend(deposit)
    assert refund_of(buyer, deposit)["waiting_on"] == "platform"
    assert listed() == ["manual_review"]


def test_what_has_arrived_is_owed_no_more(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant("mer_done")
    deposit = owed(world, buyer, merchant)
    attend(deposit)
    assert pages(merchant, "/v1/refunds?status=open", 50) == []


def test_a_list_names_either_a_deposit_or_a_status(world: World) -> None:
    merchant = world.merchant("mer_lists")
    deposit = owed(world, world.buyer(), merchant)
    check_refusal(merchant.get("/v1/refunds"), 422, "invalid-request", "/deposit")
    check_refusal(merchant.get(f"/v1/refunds?status=open&deposit={deposit['id']}"), 422, "invalid-request", "/deposit")
    check_refusal(merchant.get("/v1/refunds?status=settled"), 422, "invalid-request", "/status")
    check_refusal(merchant.get("/v1/refunds?deposit=dep_x"), 404, "not-found")
