"""Rules that change while deposits live: what was decided under the old ones is shown, paid and proved as it was."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from chalicelib.core.common.instants import DAY, HOUR, format_instant
from tests.publishing import Publisher, publishing, replaced
from tests.web.answer_checks import (
    ACCOUNT,
    accepted,
    attend,
    check_refusal,
    cny,
    identity_holds,
    instant,
    now_of,
    path_of,
    refund_at,
    refunds_of,
    same,
)
from tests.web.test_flash_sale import call_off, cancelled, many
from tests.world import Client, Json, World, rupiah

LABELS: Final = (
    ("en", "More sold than in stock"),
    ("id", "Stok habis, terjual melebihi persediaan"),
    ("zh", "超卖缺货"),
)
BOTH: Final[Json] = {"payment": {"methods": ["card", "alipay"]}}


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    with publishing(tmp_path) as found:
        yield found


def tomorrow(world: World) -> str:
    return format_instant(instant(now_of(world.anyone())) + DAY)


def change(publisher: Publisher, begins: str, old: str, before: str, after: str) -> None:
    """From an instant on one thing of a rule is another, in a file of its own."""
    text = replaced(publisher.text(old), "from", begins)
    assert text.count(before) == 1
    publisher.add(f"{old.partition('/')[0]}/later.toml", text.replace(before, after))


def end_reason(publisher: Publisher, begins: str, code: str = "OUT_OF_STOCK") -> None:
    change(publisher, begins, "reasons/2026.toml", f'code = "{code}"', f'code = "{code}"\nuntil = {begins}')


def end_route(publisher: Publisher, begins: str, method: str = "card") -> None:
    change(publisher, begins, "routes/2026-11-22.toml", f"[route.{method}]", f"[route.{method}]\nuntil = {begins}")


def proved(world: World, client: Client, deposit: Json) -> None:
    for one in refunds_of(client, deposit):
        proof = accepted(client.get(f"/v1/refunds/{one['id']}/proof"))
        verified = accepted(world.person("platform").post("/v1/refund-proofs/verify", proof))
        assert verified == {"valid": True, "differences": []}


def test_a_claim_that_was_settled_is_proved_after_a_figure_changed(own: World, publisher: Publisher) -> None:
    one = own.short()
    owed = one.seen()["owed"]
    accepted(one.respond("offer", owed))
    accepted(one.buyer_says("accept-offer"))
    begins = tomorrow(own)
    change(publisher, begins, "claims/2026.toml", 'offer_stands = "PT48H"', 'offer_stands = "P3D"')
    proved(own, one.buyer, one.deposit)
    own.set_clock(begins)
    proved(own, one.buyer, one.deposit)
    attend(one.deposit)
    assert [row["amount"] for row in own.books(one.deposit)] == [owed]
    later = own.short()
    at = instant(now_of(own.anyone()))
    offered = accepted(later.respond("offer", later.seen()["owed"]))
    assert 3 * DAY <= instant(offered["due_at"]) - at < 3 * DAY + HOUR


def test_compensation_that_was_approved_is_sent_after_the_remedy_changed(own: World, publisher: Publisher) -> None:
    buyer = own.buyer()
    deposit, other = own.paid(buyer), own.paid(buyer)
    cancelled(own, deposit)
    [extra] = [one for one in refunds_of(buyer, deposit) if one["cause"] == "seller_default_compensation"]
    begins = tomorrow(own)
    text = publisher.text("reasons/2026.toml")
    place = text.index('code = "OUT_OF_STOCK"')
    entry = text[place : text.index("buyer_side", place)]
    changed = entry.replace('remedy = "seller_default_and_pass"', 'remedy = "none"')
    assert changed != entry
    change(publisher, begins, "reasons/2026.toml", entry, changed)
    own.set_clock(begins)
    accepted(buyer.post(f"/v1/refunds/{extra['id']}/destination", ACCOUNT))
    own.advance("PT25H")
    attend(deposit)
    sent = refund_at(buyer, extra)
    assert (sent["status"], sent["amount"]) == ("succeeded", cny("5000"))
    assert sorted(row["amount"]["amount"] for row in own.books(deposit)) == ["5000", "5000"]
    assert identity_holds(accepted(buyer.get(path_of(deposit))))
    proved(own, buyer, deposit)
    assert cancelled(own, other)["money"]["compensation"] == cny("0")


def test_a_reason_that_ended_is_shown_with_its_label_and_cited_no_more(own: World, publisher: Publisher) -> None:
    buyer, merchant = own.buyer(), own.merchant()
    offer = own.offer()
    deposit, other = own.paid(buyer, offer), own.paid(buyer, offer)
    body = {"reason": "OUT_OF_STOCK", "evidence": ["stock:1"]}
    first = merchant.post(f"{path_of(deposit)}/merchant-cancel", body, idempotency_key="once")
    begins = tomorrow(own)
    end_reason(publisher, begins)
    own.set_clock(begins)
    for locale, label in LABELS:
        seen = accepted(buyer.get(path_of(deposit), accept_language=locale))["cancellation"]
        assert (seen["reason"], seen["label"], seen["appealable"]) == ("OUT_OF_STOCK", label, True)
        [count] = accepted(own.anyone().get(f"/v1/offers/{offer['id']}/cancellations", accept_language=locale))["data"]
        assert (count["reason"], count["label"], count["cancelled"]) == ("OUT_OF_STOCK", label, 1)
    same(first, merchant.post(f"{path_of(deposit)}/merchant-cancel", body, idempotency_key="once"))
    proved(own, buyer, deposit)
    own.disputed(buyer, merchant, deposit, "merchant_cancellation")

    check_refusal(call_off(merchant, other), 409, "reason-not-published")
    check_refusal(many(merchant, [other]), 409, "reason-not-published")
    listed = accepted(own.anyone().get("/v1/cancellation-reasons"))["data"]
    assert len(listed) == 20
    assert "OUT_OF_STOCK" not in {row["code"] for row in listed}
    preview = f"{path_of(other)}/refund-preview?cause=merchant_cancel&reason=OUT_OF_STOCK"
    check_refusal(merchant.get(preview), 422, "invalid-request", "/reason")
    assert accepted(call_off(merchant, other, "FORCE_MAJEURE"))["status"] == "cancelled"


def test_a_bulk_cancellation_is_answered_again_after_its_reason_ended(own: World, publisher: Publisher) -> None:
    buyer, merchant = own.buyer(), own.merchant()
    offer = own.offer()
    deposits = [own.paid(buyer, offer) for _ in range(2)]
    first = many(merchant, deposits, idempotency_key="once")
    begins = tomorrow(own)
    end_reason(publisher, begins)
    own.set_clock(begins)
    same(first, many(merchant, deposits, idempotency_key="once"))
    check_refusal(many(merchant, deposits[:1], idempotency_key="once"), 409, "reason-not-published")


def test_a_method_that_ended_gives_money_back_and_takes_none(own: World, publisher: Publisher) -> None:
    buyer, merchant = own.buyer(), own.merchant()
    offer = own.offer(**BOTH)
    deposit, unpaid = own.paid(buyer, offer), own.ordered(own.buyer(), offer, payment_method="alipay")
    assert (deposit["payment"]["method"], deposit["refund_path"]["kind"]) == ("card", "original_method")
    begins = tomorrow(own)
    end_route(publisher, begins)
    own.set_clock(begins)
    seen = accepted(buyer.get(path_of(deposit)))
    assert seen["refund_path"] == deposit["refund_path"]
    cancelled_ = accepted(buyer.post(f"{path_of(deposit)}/cancel", {}))
    assert cancelled_["refund"]["destination"] == {"kind": "original_method"}
    attend(deposit)
    assert [row["amount"] for row in own.books(deposit)] == [cny("5000")]
    done = accepted(buyer.get(path_of(deposit)))
    assert done["refund"]["status"] == "succeeded"
    assert identity_holds(done)
    proved(own, buyer, deposit)
    accepted(buyer.get("/v1/deposits"))

    check_refusal(
        own.buyer().post("/v1/deposits", own.order(offer)), 422, "payment-method-not-offered", "/payment_method"
    )
    assert own.ordered(own.buyer(), offer, payment_method="alipay")
    item = {"sku": "a", "name": "A", "price": {"amount": "299900", "currency": "CNY"}}
    sent = {"title": "SU7", "market": "CN", "preset": "su7_2024", "items": [item], **BOTH}
    check_refusal(merchant.post("/v1/offers", sent), 422, "invalid-request", "/payment/methods/0")
    assert own.offer()["payment"]["methods"] == ["alipay", "wechat_pay"], "a preset offers it no more"
    assert unpaid["payment"]["method"] == "alipay"


def test_an_order_is_answered_again_after_its_method_ended(own: World, publisher: Publisher) -> None:
    buyer, offer = own.buyer(), own.offer(**BOTH)
    first = buyer.post("/v1/deposits", own.order(offer), idempotency_key="once")
    accepted(first, 201)
    begins = tomorrow(own)
    end_route(publisher, begins)
    own.set_clock(begins)
    same(first, buyer.post("/v1/deposits", own.order(offer), idempotency_key="once"))
    more = own.order(offer, quantity=2)
    check_refusal(
        buyer.post("/v1/deposits", more, idempotency_key="once"), 422, "payment-method-not-offered", "/payment_method"
    )
    change = own.order(offer, payment_method="alipay")
    check_refusal(buyer.post("/v1/deposits", change, idempotency_key="once"), 422, "idempotency-key-reused")


def test_nobody_pays_by_a_method_that_ended_meanwhile(own: World, publisher: Publisher) -> None:
    buyer = own.buyer()
    offer = own.offer(payment={"methods": ["card", "alipay"], "due_within": "P3D"})
    deposit = own.ordered(buyer, offer, payment_method="alipay")
    begins = tomorrow(own)
    end_route(publisher, begins)
    own.set_clock(begins)
    path = f"{path_of(deposit)}/payment-method"
    check_refusal(buyer.post(path, {"payment_method": "card"}), 422, "payment-method-not-offered", "/payment_method")


def test_an_offer_is_sold_under_the_law_and_fees_of_its_day(own: World, publisher: Publisher) -> None:
    merchant, begins = own.merchant(), tomorrow(own)
    law = replaced(replaced(publisher.text("markets/ID-2026.toml"), "id", '"ID-2027"'), "from", begins)
    publisher.add("markets/ID-2027.toml", law.replace('longest = "P7D"', 'longest = "P5D"'))
    fees = replaced(publisher.text("fees/id-tukar-tambah-2025-01-01.toml"), "version", '"2027-01-01"')
    publisher.add("fees/id-tukar-tambah-2027-01-01.toml", replaced(fees, "from", begins).replace("35_000", "36_000"))
    for locale in ("en", "id", "zh"):
        for file, old, new in (
            ("markets", "ID-2026/", "ID-2027/"),
            ("fees", "id-tukar-tambah@2025-01-01", "id-tukar-tambah@2027-01-01"),
        ):
            text = publisher.text(f"texts/{locale}/{file}.toml")
            more = "\n".join(line.replace(old, new) for line in text.splitlines())
            rows = [line for line in more.splitlines() if file == "fees" or new in line]
            publisher.add(f"texts/{locale}/{file}.toml", "\n".join([text, *rows]))

    def told() -> tuple[str, str, str, str, str]:
        offer = own.trading(merchant)
        market = accepted(own.anyone().get("/v1/markets/ID"))
        [schedule] = accepted(own.anyone().get("/v1/trade-in/schedules"))["data"]
        fee = accepted(own.anyone().get("/v1/trade-in/fees?schedule=id-tukar-tambah&category=phone&price=60000"))
        assert fee["rule"]["version"] == schedule["version"] == offer["trade_in"]["version"]
        return (
            offer["market_policy"],
            offer["refund"]["deadline"],
            market["id"],
            schedule["version"],
            fee["fee"]["amount"],
        )

    before = own.trading(merchant)
    deposit = own.traded(own.buyer(), before)
    assert told() == ("ID-2026", "P7D", "ID-2026", "2025-01-01", "35000")
    own.set_clock(begins)
    assert told() == ("ID-2027", "P5D", "ID-2027", "2027-01-01", "36000")
    assert deposit["money"]["captured"] == rupiah("2218000")
    seen = accepted(merchant.get(path_of(deposit)))
    assert seen["trade_in"]["fee_if_mismatched"] == rupiah("40000")


def test_an_offer_is_answered_again_after_the_rules_it_was_published_under_ended(
    own: World, publisher: Publisher
) -> None:
    merchant = own.merchant()
    item = {"sku": "a", "name": "A", "price": {"amount": "299900", "currency": "CNY"}}
    sent = {"title": "SU7", "market": "CN", "preset": "su7_2024", "items": [item], **BOTH}
    first = merchant.post("/v1/offers", sent, idempotency_key="once")
    accepted(first, 201)
    begins = tomorrow(own)
    end_route(publisher, begins)
    own.set_clock(begins)
    same(first, merchant.post("/v1/offers", sent, idempotency_key="once"))
    check_refusal(merchant.post("/v1/offers", sent), 422, "invalid-request", "/payment/methods/0")
    other = {**sent, "title": "SU7 Max"}
    check_refusal(
        merchant.post("/v1/offers", other, idempotency_key="once"), 422, "invalid-request", "/payment/methods/0"
    )
