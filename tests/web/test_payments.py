"""Paying over HTTP: what counts, what goes back by itself, and that nothing depends on when we hear of it."""

from typing import Final

import pytest

from tests.web.answer_checks import accepted, attend, check_refusal, cny, events_of, identity_holds, instant, path_of
from tests.world import Client, Json, World

USD: Final = {"amount": "5000", "currency": "USD"}


def refunds_of(client: Client, deposit: Json) -> list[tuple[str, Json]]:
    """Cause and amount of every refund, oldest first."""
    rows = accepted(client.get(f"/v1/refunds?deposit={deposit['id']}"))["data"]
    return [(row["cause"], row["amount"]) for row in reversed(rows)]


PAID: Final = [
    # what arrives                            the deposit          captured          what goes back
    ("too little",     [cny("4999.99")],         "awaiting_payment", cny("4999.99"),   [("amount_mismatch", cny("4999.99"))]),
    ("one fen",        [cny("0.01")],            "awaiting_payment", cny("0.01"),      [("amount_mismatch", cny("0.01"))]),
    ("exactly",        [cny("5000")],            "cooling_off",      cny("5000"),      []),
    ("a fen too much", [cny("5000.01")],         "cooling_off",      cny("5000.01"),   [("overpayment", cny("0.01"))]),
    ("twice as much",  [cny("10000")],           "cooling_off",      cny("10000"),     [("overpayment", cny("5000"))]),
    ("other currency", [USD],                    "awaiting_payment", cny("0"),         [("amount_mismatch", USD)]),
    ("second try",     [cny("4000"), cny("5000")], "cooling_off",    cny("9000"),      [("amount_mismatch", cny("4000"))]),
    ("again the same", [cny("5000"), cny("5000")], "cooling_off",    cny("5000"),      []),
]  # fmt: skip


@pytest.mark.parametrize(("what", "amounts", "status", "captured", "back"), PAID, ids=[row[0] for row in PAID])
def test_what_is_not_exactly_due_goes_back_by_itself(
    world: World, what: str, amounts: list[Json], status: str, captured: Json, back: list[tuple[str, Json]]
) -> None:
    del what
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    for amount in amounts:
        world.pay(deposit, amount=amount)
    seen = accepted(buyer.get(path_of(deposit)))
    assert seen["status"] == status
    assert seen["money"]["captured"] == captured
    assert refunds_of(buyer, deposit) == back
    assert identity_holds(seen)
    attend(deposit)
    assert [(row["amount"], row["status"]) for row in world.books(deposit)] == [(one, "succeeded") for _, one in back]
    after = accepted(buyer.get(path_of(deposit)))
    assert after["status"] == status
    assert after["money"]["refunding"] == cny("0")
    assert identity_holds(after)


def test_too_little_leaves_the_way_to_pay_open(world: World) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    world.pay(deposit, amount=cny("1"))
    seen = buyer.get(path_of(deposit)).json
    assert seen["actions"] == ["cancel", "payment-method", "withdrawals"]
    assert seen["payment"]["next_action"] == {"type": "redirect", "url": f"/pay/{seen['payment']['id']}"}
    assert seen["refund"]["cause"] == "amount_mismatch"
    assert seen["refund"]["lines"][0]["text"] == "Paid in an amount or currency that was not due"


def test_the_window_starts_when_the_provider_took_the_money(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    taken = next(event for event in events_of(buyer, deposit) if event["type"] == "payment.succeeded")
    window = deposit["window"]
    assert window["starts_at"] == taken["at"] >= deposit["created_at"]
    assert instant(window["ends_at"]) - instant(window["starts_at"]) == 168 * 3_600_000
    assert deposit["payment"]["status"] == "succeeded"
    assert deposit["payment"]["next_action"] is None


def test_a_payment_that_failed_may_succeed_after_all(world: World) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    assert world.pay(deposit, "failed")["payment"]["status"] == "failed"
    failed = buyer.get(path_of(deposit)).json
    assert failed["status"] == "awaiting_payment"
    assert failed["actions"] == ["cancel", "payment-method", "withdrawals"]
    assert failed["payment"]["next_action"] is not None
    assert world.pay(deposit)["payment"]["status"] == "succeeded"
    assert buyer.get(path_of(deposit)).json["status"] == "cooling_off"


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_the_same_outcome_again_changes_nothing(world: World, outcome: str) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    world.pay(deposit, outcome)
    before = buyer.get(path_of(deposit)).json
    world.pay(deposit, outcome)
    assert buyer.get(path_of(deposit)).json["version"] == before["version"]


def test_another_method_replaces_the_payment_and_the_old_one_no_longer_counts(world: World) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    reply = buyer.post(f"{path_of(deposit)}/payment-method", {"payment_method": "alipay"})
    changed = accepted(reply)
    assert reply.headers["etag"] == '"2-awaiting_payment"'
    assert changed["payment"]["id"] == deposit["payment"]["id"][:-1] + "2"
    assert (changed["payment"]["method"], changed["payment"]["status"]) == ("alipay", "requires_action")
    assert changed["payment"]["due_at"] == deposit["payment"]["due_at"]
    assert world.pay(deposit)["payment"]["status"] == "replaced"
    assert buyer.get(path_of(deposit)).json["status"] == "awaiting_payment"
    world.pay(changed)
    assert buyer.get(path_of(deposit)).json["status"] == "cooling_off"
    assert refunds_of(buyer, deposit) == [("duplicate_payment", cny("5000"))]


def test_the_second_of_two_payments_goes_back(world: World) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    changed = accepted(buyer.post(f"{path_of(deposit)}/payment-method", {"payment_method": "alipay"}))
    world.pay(changed)
    world.pay(deposit)
    seen = buyer.get(path_of(deposit)).json
    assert seen["status"] == "cooling_off"
    assert (seen["money"]["captured"], seen["money"]["held"]) == (cny("10000"), cny("5000"))
    assert refunds_of(buyer, deposit) == [("duplicate_payment", cny("5000"))]


def test_the_method_is_one_of_the_offers_and_the_buyers_own_word(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    deposit = world.ordered(buyer, world.offer(merchant))
    path = f"{path_of(deposit)}/payment-method"
    check_refusal(buyer.post(path, {"payment_method": "gopay"}), 422, "payment-method-not-offered", "/payment_method")
    check_refusal(buyer.post(path, {"payment_method": "cash_on_delivery"}), 422, "payment-method-not-offered")
    check_refusal(merchant.post(path, {"payment_method": "alipay"}), 403, "forbidden")
    assert buyer.get(path_of(deposit)).json["version"] == 1


def test_money_for_a_cancelled_deposit_goes_back(world: World) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    accepted(buyer.post(f"{path_of(deposit)}/cancel"))
    world.pay(deposit)
    seen = buyer.get(path_of(deposit)).json
    assert seen["status"] == "cancelled"
    assert refunds_of(buyer, deposit) == [("late_payment", cny("5000"))]
    assert (seen["money"]["held"], seen["money"]["refunding"]) == (cny("0"), cny("5000"))


@pytest.mark.parametrize("written", [True, False], ids=["expiry written", "expiry not written"])
def test_money_for_an_expired_deposit_goes_back(world: World, written: bool) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    world.advance("PT15M")
    if written:
        attend(deposit)
    world.pay(deposit)
    seen = buyer.get(path_of(deposit)).json
    assert (seen["status"], seen["actions"]) == ("expired", [])
    assert refunds_of(buyer, deposit) == [("late_payment", cny("5000"))]
    assert identity_holds(seen)


def test_a_payment_in_time_counts_however_late_we_hear_of_it(world: World) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    world.arm("payment", "lost_event")
    world.pay(deposit)
    assert buyer.get(path_of(deposit)).json["status"] == "awaiting_payment"
    world.advance("PT16M")
    attend(deposit)
    seen = buyer.get(path_of(deposit)).json
    assert seen["status"] == "cooling_off"
    assert instant(seen["window"]["starts_at"]) < instant(deposit["payment"]["due_at"])
    assert seen["refund"] is None


def test_a_pending_payment_may_still_be_replaced_and_then_goes_back(world: World) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    world.arm("payment", "pending")
    assert world.pay(deposit)["payment"]["status"] == "pending"
    pending = buyer.get(path_of(deposit)).json
    assert pending["actions"] == ["cancel", "payment-method", "withdrawals"]
    accepted(buyer.post(f"{path_of(deposit)}/payment-method", {"payment_method": "alipay"}))
    world.advance("PT6M")
    assert buyer.get(path_of(deposit)).json["status"] == "awaiting_payment"
    assert refunds_of(buyer, deposit) == [("duplicate_payment", cny("5000"))]


def test_the_payment_page_leads_to_the_provider_until_it_is_paid(world: World) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    page = world.anyone().get(deposit["payment"]["next_action"]["url"])
    assert page.status == 303
    assert deposit["payment"]["id"] in page.headers["location"]
    world.pay(deposit)
    told = world.anyone().get(f"/pay/{deposit['payment']['id']}", accept_language="id")
    assert told.status == 409
    assert 'lang="id"' in told.raw.decode()


def test_paid_is_split_over_the_lines_by_value_and_shipping_is_no_goods(world: World) -> None:
    price = [("a", "100"), ("b", "200"), ("c", "0.01")]
    offer = world.offer(
        items=[{"sku": sku, "name": sku, "price": cny(amount)} for sku, amount in price],
        payment={"deposit": cny("10")},
        shipping=cny("7"),
    )
    buyer = world.buyer()
    lines = [{"sku": sku, "quantity": 1} for sku, _ in price]
    deposit = accepted(buyer.post("/v1/deposits", {**world.order(offer), "items": lines}), 201)
    assert deposit["items_total"] == cny("300.01")
    assert deposit["total"] == cny("307.01")
    assert deposit["due_now"] == cny("37")
    assert deposit["balance"] == cny("270.01")
    world.pay(deposit)
    paid = [item["paid"] for item in buyer.get(path_of(deposit)).json["items"]]
    assert paid == [cny("10"), cny("20"), cny("0")]


def test_what_is_due_now_is_never_more_than_everything(world: World) -> None:
    cheap = [{"sku": "a", "name": "A", "price": cny("4000")}]
    deposit = world.ordered(world.buyer(), world.offer(items=cheap, shipping=cny("10")))
    assert (deposit["total"], deposit["due_now"], deposit["balance"]) == (cny("4010"), cny("4010"), cny("0"))
