"""Offers over HTTP: published whole, checked without trace, opened and closed by the clock, stocked and sold."""

from typing import Any, Final

import pytest

from chalicelib.core.common.instants import DAY, HOUR, format_instant
from chalicelib.wiring import services
from tests.web.answer_checks import accepted, check_refusal, cny, instant
from tests.world import Json, World

ITEM: Final = {"sku": "a", "name": "A", "price": cny("100000"), "stock": 10}


def draft(**changes: Any) -> Json:
    return {"title": "A", "market": "CN", "preset": "su7_2024", "items": [ITEM], **changes}


def test_the_answer_is_the_whole_resolved_offer(world: World) -> None:
    merchant = world.merchant("mer_whole")
    made = merchant.post("/v1/offers", draft())
    offer = accepted(made, 201)
    assert (offer["object"], offer["merchant"], offer["version"], offer["status"]) == ("offer", "mer_whole", 1, "open")
    assert offer["terms_hash"].startswith("sha256:")
    assert offer["constrained_by"] == []
    assert offer["payment"]["deposit"] == cny("5000")
    assert offer["window"] == {"kind": "elapsed", "length": "PT168H"}
    assert offer["shipping"] == cny("0")
    assert offer["transfer"] == "none"
    assert offer["items"][0]["available"] == offer["items"][0]["stock"] == 10
    assert offer["created_at"] == offer["updated_at"]
    shown = world.anyone().get(made.headers["location"])
    assert shown.json == offer
    assert shown.headers["etag"] == made.headers["etag"] == '"1-open"'


def test_the_same_terms_have_the_same_hash_and_stock_is_no_term(world: World) -> None:
    hashes = {world.offer(items=[{**ITEM, "stock": stock}])["terms_hash"] for stock in (1, 10, None)}
    assert len(hashes) == 1
    assert world.offer(items=[{**ITEM, "price": cny("100001")}])["terms_hash"] not in hashes


def test_an_offer_opens_and_closes_by_the_clock(world: World) -> None:
    merchant, anyone = world.merchant(), world.anyone()
    opens_at = services().clock() + HOUR
    closes_at = opens_at + DAY
    offer = world.offer(merchant, opens_at=format_instant(opens_at), closes_at=format_instant(closes_at))
    path = f"/v1/offers/{offer['id']}"
    assert offer["status"] == "scheduled"
    for at, status in (
        (opens_at - 1, "scheduled"),
        (opens_at, "open"),
        (closes_at - 1, "open"),
        (closes_at, "closed"),
    ):
        shown = anyone.get(path, asked=at)
        assert (shown.json["status"], shown.headers["etag"]) == (status, f'"1-{status}"')
        order = world.buyer().post("/v1/deposits", world.order(offer), asked=at)
        assert (order.status, order.problem) == ((201, "") if status == "open" else (409, "offer-not-open"))
    check_refusal(merchant.post(f"{path}/close", {}, asked=closes_at), 409, "wrong-state")
    accepted(merchant.post(f"{path}/close", {}, asked=opens_at - 1))


def test_a_closed_offer_sells_no_more_and_its_deposits_live_on(world: World) -> None:
    merchant, buyer = world.merchant(), world.buyer()
    offer = world.offer(merchant)
    deposit = world.ordered(buyer, offer)
    path = f"/v1/offers/{offer['id']}"
    assert accepted(merchant.post(f"{path}/close"))["status"] == "closed"
    check_refusal(merchant.post(f"{path}/close"), 409, "wrong-state")
    check_refusal(merchant.post(f"{path}/stock", {"sku": "su7-max", "change": 1}), 409, "wrong-state")
    world.pay(deposit)
    assert buyer.get(f"/v1/deposits/{deposit['id']}").json["status"] == "cooling_off"


STOCK: Final = [
    # sold  change  what is left, or the fault's pointer
    (0,     5,      15),
    (0,     -10,    0),
    (0,     -11,    "/change"),
    (3,     -7,     0),
    (3,     -8,     "/change"),
    (3,     0,      7),
    (10,    1,      1),
]  # fmt: skip


@pytest.mark.parametrize(("sold", "change", "left"), STOCK)
def test_stock_changes_but_never_below_what_is_sold(world: World, sold: int, change: int, left: int | str) -> None:
    merchant = world.merchant()
    offer = world.offer(merchant, items=[ITEM])
    if sold:
        world.ordered(world.buyer(), offer, sold)
    path = f"/v1/offers/{offer['id']}"
    reply = merchant.post(f"{path}/stock", {"sku": "a", "change": change})
    if isinstance(left, str):
        check_refusal(reply, 422, "invalid-request", left)
        assert world.anyone().get(path).json["items"][0]["available"] == 10 - sold
    else:
        shown = accepted(reply)["items"][0]
        assert (shown["stock"], shown["available"]) == (10 + change, left)


def test_stock_of_goods_that_are_not_counted_cannot_change(world: World) -> None:
    merchant = world.merchant()
    offer = world.offer(merchant, items=[{**ITEM, "stock": None}])
    path = f"/v1/offers/{offer['id']}/stock"
    for sku in ("a", "b"):
        check_refusal(merchant.post(path, {"sku": sku, "change": 1}), 422, "invalid-request", "/sku")
    assert offer["items"][0]["available"] is None
    world.ordered(world.buyer(), offer, 1_000)


@pytest.mark.parametrize("change", ["1", 1.5, True, None, 10**30])
def test_a_change_is_a_whole_number(world: World, change: object) -> None:
    merchant = world.merchant()
    path = f"/v1/offers/{world.offer(merchant)['id']}/stock"
    check_refusal(merchant.post(path, {"sku": "su7-max", "change": change}), 422, "invalid-request", "/change")


FAULTY: Final = [
    # what is wrong                          pointer               problem
    ({"market": "US"},                       "/market",            "invalid-request"),
    ({"preset": "su8"},                      "/preset",            "invalid-request"),
    ({"title": ""},                          "/title",             "invalid-request"),
    ({"items": []},                          "/items",             "invalid-request"),
    ({"items": [ITEM, ITEM]},                "/items/1/sku",       "invalid-request"),
    ({"items": [{**ITEM, "stock": 0}]},      "/items/0/stock",     "invalid-request"),
    ({"items": [{**ITEM, "available": 1}]},  "/items/0/available", "invalid-request"),
    ({"items": [{**ITEM, "category": "A"}]}, "/items/0/category",  "invalid-request"),
    ({"shipping": {"amount": "1", "currency": "EUR"}}, "/shipping", "currency-mismatch"),
    ({"payment": {"deposit": None}},         "/payment/deposit",   "invalid-request"),
    ({"payment": {"deposit": cny("0")}},     "/payment/deposit",   "invalid-request"),
    ({"payment": {"methods": []}},           "/payment/methods",   "invalid-request"),
    ({"payment": {"methods": ["card", "card"]}}, "/payment/methods", "invalid-request"),
    ({"payment": {"methods": ["cheque"]}},   "/payment/methods/0", "invalid-request"),
    ({"payment": {"take": "full"}},          "/payment/nature",    "invalid-request"),
    ({"window": None},                       "/window",            "invalid-request"),
    ({"window": {"length": "7 days"}},       "/window/length",     "invalid-request"),
    ({"limits": {"per_buyer": 0}},           "/limits/per_buyer",  "invalid-request"),
    ({"transfer": "resale"},                 "/transfer",          "invalid-request"),
    ({"cancellation_reasons": ["BECAUSE"]},  "/cancellation_reasons/0", "invalid-request"),
    ({"opens_at": "2030-01-02T00:00:00Z", "closes_at": "2030-01-01T00:00:00Z"}, "/closes_at", "invalid-request"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "pointer", "problem"), FAULTY, ids=[row[1] for row in FAULTY])
def test_a_faulty_offer_is_refused_with_the_pointers_that_check_gives(
    world: World, changes: Json, pointer: str, problem: str
) -> None:
    merchant = world.merchant()
    told = check_refusal(merchant.post("/v1/offers", draft(**changes)), 422, problem, pointer)
    found = accepted(merchant.post("/v1/offers/check", draft(**changes), idempotency_key=""))
    assert not found["ok"]
    assert {one["severity"] for one in found["findings"]} == {"error"}
    assert [one["pointer"] for one in found["findings"]] == [event["pointer"] for event in told["errors"]]


def test_a_warning_stops_nothing(world: World) -> None:
    merchant = world.merchant()
    body = draft(items=[{**ITEM, "price": cny("10000")}], payment={"methods": ["qris"]})
    found = accepted(merchant.post("/v1/offers/check", body))
    assert found["ok"]
    findings = {(one["severity"], one["pointer"]) for one in found["findings"]}
    assert findings == {("warning", "/payment/deposit"), ("warning", "/payment/methods/0")}
    assert all(one["message"] for one in found["findings"])
    accepted(merchant.post("/v1/offers", body), 201)


def test_a_check_publishes_nothing(world: World) -> None:
    merchant = world.merchant()
    before = accepted(world.anyone().get("/v1/offers?limit=1"))["data"]
    assert accepted(merchant.post("/v1/offers/check", draft())) == {"ok": True, "findings": []}
    assert accepted(world.anyone().get("/v1/offers?limit=1"))["data"] == before


MARKETS: Final = [
    # market currency made to spec  buyer's cancel  what was changed
    ("CN",  "CNY",   False,        "forfeit",      []),
    ("ID",  "IDR",   True,         "refund",       ["after_lock.buyer_cancel"]),
    ("EU",  "EUR",   False,        "refund",       ["after_lock.buyer_cancel"]),
    ("EU",  "EUR",   True,         "forfeit",      []),
]  # fmt: skip


@pytest.mark.parametrize(("market", "currency", "custom", "cancel", "changed"), MARKETS)
def test_a_market_makes_an_offer_kinder_and_says_where(
    world: World, market: str, currency: str, custom: bool, cancel: str, changed: list[str]
) -> None:
    price = {"amount": "100000", "currency": currency}
    offer = world.offer(
        market=market,
        currency=currency,
        preset="recommended",
        items=[{**ITEM, "price": price, "made_to_spec": custom}],
        payment={"deposit": {"amount": "5000", "currency": currency}},
    )
    assert offer["after_lock"]["buyer_cancel"] == cancel
    assert [one["field"] for one in offer["constrained_by"]] == changed
    assert all(one["rule"] and one["source"] for one in offer["constrained_by"])


@pytest.mark.parametrize(
    "payment", [{"nature": "advance"}, {"nature": "reservation"}, {"take": "full", "nature": "advance"}]
)
def test_only_earnest_money_can_be_forfeited(world: World, payment: Json) -> None:
    offer = world.offer(payment=payment)
    assert offer["after_lock"]["buyer_cancel"] == "refund"
    assert [(one["field"], one["rule"]) for one in offer["constrained_by"]] == [("after_lock.buyer_cancel", "nature")]


def test_another_currency_leaves_the_presets_amounts_out(world: World) -> None:
    merchant = world.merchant()
    euro = {"currency": "EUR", "market": "EU", "items": [{**ITEM, "price": {"amount": "1", "currency": "EUR"}}]}
    check_refusal(merchant.post("/v1/offers", draft(**euro)), 422, "invalid-request", "/payment/deposit")
    deposit = {"amount": "0.50", "currency": "EUR"}
    offer = accepted(merchant.post("/v1/offers", draft(**euro, payment={"deposit": deposit})), 201)
    assert offer["payment"]["deposit"] == deposit
    assert offer["shipping"] == {"amount": "0", "currency": "EUR"}


def test_a_deposit_keeps_the_terms_it_was_sold_under(world: World) -> None:
    buyer, offer = world.buyer(), world.offer()
    deposit = world.paid(buyer, offer)
    assert deposit["terms_hash"] == offer["terms_hash"]
    other = world.offer(title="SU7 again")
    check_refusal(buyer.post("/v1/deposits", world.order(offer, terms_hash=other["terms_hash"])), 409, "terms-changed")
    assert instant(deposit["window"]["ends_at"]) - instant(deposit["window"]["starts_at"]) == 168 * HOUR
