"""A flash sale as it should have gone: cancelled for a reason that anybody can read, all money back, and first in line next time."""

from typing import Any, Final

from chalicelib.core.instants import DAY, HOUR, format_instant
from tests.web.sound import accepted, attend, cny, instant, now_of, refused
from tests.world import Client, Json, World, rupiah

STOCK: Final = ["stock:ledger-2021-01-26"]


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


def cancelled(world: World, deposit: Json, reason: str = "OUT_OF_STOCK", evidence: list[str] | None = None) -> Json:
    path = f"/v1/deposits/{deposit['id']}/merchant-cancel"
    return accepted(world.merchant().post(path, {"reason": reason, "evidence": STOCK if evidence is None else evidence}))


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
    refused(buyer.post("/v1/deposits", own.order(second)), 409, "offer-not-open")
    first_in_line = own.ordered(buyer, second, priority_pass=held["id"])
    assert first_in_line["priority_pass"] == held["id"]
    own.pay(first_in_line)
    assert accepted(buyer.get(f"/v1/deposits/{first_in_line['id']}"))["status"] == "locked"
    [used] = passes(buyer)
    assert (used["status"], used["used_for"]) == ("used", first_in_line["id"])

    own.set_clock(format_instant(opens))
    refused(own.buyer().post("/v1/deposits", own.order(second)), 409, "sold-out")  # the rest is kept for passes
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
    extra = next(one for one in refunds if one["cause"] == "seller_default_compensation")
    assert (extra["status"], extra["destination"]) == ("requires_action", {"kind": "payout"})
