"""Changing what is ordered inside the window: prices, stock and limits move with it, the window does not."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from chalicelib.core.common.instants import SECOND, format_instant
from tests.web.answer_checks import (
    accepted,
    amount_of,
    attend,
    check_refusal,
    cny,
    events_of,
    identity_holds,
    instant,
    path_of,
    refunds_of,
    same,
)
from tests.world import Client, Json, Reply, World

ITEMS: Final = [
    {"sku": "max", "name": "Max", "price": cny("299900"), "stock": 10},
    {"sku": "pro", "name": "Pro", "price": cny("245900"), "stock": 10},
    {"sku": "mat", "name": "Mat", "price": cny("999.50"), "stock": 10},
]


def shop(world: World, **changes: Any) -> Json:
    return world.offer(items=ITEMS, shipping=cny("88"), **changes)


def wanted(**units: int) -> Json:
    return {"items": [{"sku": sku, "quantity": quantity} for sku, quantity in units.items()]}


def change(buyer: Client, deposit: Json, body: Json, **options: Any) -> Reply:
    return buyer.post(f"{path_of(deposit)}/changes", body, **options)


def left(world: World, offer: Json) -> list[int]:
    return [item["available"] for item in world.anyone().get(f"/v1/offers/{offer['id']}").json["items"]]


PRICES: Final = [
    # wanted instead           total        balance     goes back  is left of each   paid by line
    ({"max": 1},               "299988",    "294900",   "0",       [9, 10, 10],      ["5000"]),
    ({"pro": 1},               "245988",    "240900",   "0",       [10, 9, 10],      ["5000"]),
    ({"max": 2},               "599888",    "594800",   "0",       [8, 10, 10],      ["5000"]),
    ({"max": 1, "mat": 2},     "301987",    "296899",   "0",       [9, 10, 8],       ["4966.89", "33.11"]),
    ({"mat": 5},               "5085.50",   "0",        "2.50",    [10, 10, 5],      ["4997.50"]),
    ({"mat": 1},               "1087.50",   "0",        "4000.50", [10, 10, 9],      ["999.50"]),
    ({"mat": 6},               "6085",      "997",      "0",       [10, 10, 4],      ["5000"]),
]  # fmt: skip


@pytest.mark.parametrize(("units", "total", "balance", "back", "stock", "paid"), PRICES)
def test_what_is_paid_stays_and_the_balance_follows_the_price(
    world: World, units: dict[str, int], total: str, balance: str, back: str, stock: list[int], paid: list[str]
) -> None:
    buyer, offer = world.buyer(), shop(world)
    deposit = world.paid(buyer, offer)
    done = accepted(change(buyer, deposit, wanted(**units)))
    assert (done["total"], done["balance"], done["due_now"]) == (cny(total), cny(balance), deposit["due_now"])
    assert [(line["sku"], line["quantity"]) for line in done["items"]] == list(units.items())
    assert [line["paid"] for line in done["items"]] == [cny(amount) for amount in paid]
    assert left(world, offer) == stock
    assert (done["status"], done["window"]["ends_at"]) == ("cooling_off", deposit["window"]["ends_at"])
    assert identity_holds(done)
    assert (amount_of(done, "refunding"), amount_of(done, "captured")) == (back, "5088")
    assert (done["refund"] is not None) == (back != "0")
    if done["refund"]:
        assert (done["refund"]["cause"], done["refund"]["amount"]) == ("change", cny(back))
        assert [line["code"] for line in done["refund"]["lines"]] == ["paid", "goods_kept"]


def test_what_is_too_much_goes_back_at_once_and_the_rest_with_a_cancel(world: World) -> None:
    buyer, offer = world.buyer(), shop(world)
    deposit = world.paid(buyer, offer)
    less = accepted(change(buyer, deposit, wanted(mat=1)))
    assert "changes" not in less["actions"]
    check_refusal(change(buyer, deposit, wanted(max=1)), 409, "refund-in-progress")
    attend(deposit)
    assert [row["amount"] for row in world.books(deposit)] == [cny("4000.50")]
    paid_back = accepted(buyer.get(path_of(deposit)))
    assert (amount_of(paid_back, "refunded"), amount_of(paid_back, "held")) == ("4000.50", "1087.50")
    assert paid_back["balance"] == cny("0")
    assert "changes" not in paid_back["actions"]
    cancelled = accepted(buyer.post(f"{path_of(deposit)}/cancel"))
    codes = [(line["code"], line["amount"]["amount"]) for line in cancelled["refund"]["lines"]]
    assert codes == [("paid", "5088"), ("already_refunded", "-4000.50")]
    attend(deposit)
    ended = accepted(buyer.get(path_of(deposit)))
    assert (amount_of(ended, "refunded"), amount_of(ended, "held")) == ("5088", "0")
    assert left(world, offer) == [10, 10, 10]


def test_the_shelves_see_only_the_difference(world: World) -> None:
    buyer, offer = world.buyer(), shop(world)
    deposit = world.paid(buyer, offer, quantity=4)
    assert left(world, offer) == [6, 10, 10]
    accepted(change(buyer, deposit, wanted(max=10)))
    assert left(world, offer) == [0, 10, 10]
    accepted(change(buyer, deposit, wanted(max=10)))
    accepted(change(buyer, deposit, wanted(pro=4)))
    assert left(world, offer) == [10, 6, 10]
    world.ordered(world.buyer(), offer, quantity=10)
    assert check_refusal(change(buyer, deposit, wanted(pro=4, max=1)), 409, "sold-out")["sku"] == "max"
    check_refusal(change(buyer, deposit, wanted(pro=11)), 409, "sold-out")
    assert left(world, offer) == [0, 6, 10]
    accepted(buyer.post(f"{path_of(deposit)}/cancel"))
    assert left(world, offer) == [0, 10, 10]


def test_the_limit_counts_what_is_wanted_now(world: World) -> None:
    buyer, offer = world.buyer(), shop(world, limits={"per_buyer": 3})
    first, second = world.paid(buyer, offer), world.paid(buyer, offer)
    check_refusal(change(buyer, first, wanted(pro=4)), 409, "limit-reached")
    accepted(change(buyer, first, wanted(pro=2)))
    check_refusal(change(buyer, second, wanted(max=2)), 409, "limit-reached")
    check_refusal(buyer.post("/v1/deposits", world.order(offer)), 409, "limit-reached")
    accepted(change(buyer, first, wanted(pro=1)))
    accepted(change(buyer, second, wanted(max=2)))


@pytest.mark.parametrize("after", [-1, 0], ids=["a millisecond before the end", "at the end"])
@pytest.mark.parametrize("written", [True, False], ids=["lock written first", "lock not written"])
def test_a_change_asked_in_time_counts_although_the_end_was_written(world: World, written: bool, after: int) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer, shop(world))
    ends_at = instant(deposit["window"]["ends_at"])
    world.set_clock(format_instant(ends_at + 2 * SECOND))
    if written:
        attend(deposit)
        assert events_of(buyer, deposit)[-1]["type"] == "lock.by_window_end"
    reply = change(buyer, deposit, wanted(pro=1), asked=ends_at + after)
    if after < 0:
        done = accepted(reply)
        assert (done["status"], done["total"]) == ("cooling_off", cny("245988"))
    else:
        assert check_refusal(reply, 409, "wrong-state")["state"] == "locked"
    attend(deposit)
    seen = accepted(buyer.get(path_of(deposit)))
    assert (seen["lock"]["by"], seen["lock"]["at"]) == ("window_end", deposit["window"]["ends_at"])
    assert seen["items"][0]["sku"] == ("pro" if after < 0 else "max")
    assert identity_holds(seen)


def test_a_change_is_answered_again_whatever_came_later(world: World) -> None:
    buyer, offer = world.buyer(), shop(world)
    deposit = world.paid(buyer, offer)
    first = change(buyer, deposit, wanted(pro=1), idempotency_key="c")
    accepted(first)
    same(first, change(buyer, deposit, wanted(pro=1), idempotency_key="c"))
    accepted(change(buyer, deposit, wanted(max=2)))
    same(first, change(buyer, deposit, wanted(pro=1), idempotency_key="c"))
    check_refusal(change(buyer, deposit, wanted(pro=2), idempotency_key="c"), 422, "idempotency-key-reused")
    accepted(buyer.post(f"{path_of(deposit)}/cancel"))
    same(first, change(buyer, deposit, wanted(pro=1), idempotency_key="c"))
    assert left(world, offer) == [10, 10, 10]


def test_the_history_tells_the_new_lines_and_nothing_of_the_shelves(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer, shop(world))
    accepted(change(buyer, deposit, wanted(pro=2)))
    told = events_of(buyer, deposit)[-1]
    line = {"sku": "pro", "quantity": 2, "unit_price": cny("245900"), "made_to_spec": False}
    assert (told["type"], told["data"]) == ("items.changed", {"lines": [line], "shipping": cny("88")})
    assert told["actor"] == {"role": "buyer", "id": deposit["buyer"]}


def test_twenty_changes_are_enough(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer, shop(world))
    for n in range(20):
        accepted(change(buyer, deposit, wanted(pro=1 + n % 2)))
    assert check_refusal(change(buyer, deposit, wanted(pro=1)), 429, "rate-limited")["most"] == 20
    assert "changes" not in accepted(buyer.get(path_of(deposit)))["actions"]
    accepted(buyer.post(f"{path_of(deposit)}/cancel"))


# Bad input.


@pytest.fixture(scope="module")
def free(world: World) -> tuple[Client, Json]:
    buyer = world.buyer()
    return buyer, world.paid(buyer, shop(world, window=None, lock={"at": "never"}))


BODIES: Final[list[tuple[str, Any, str]]] = [
    # what                     body                                                        pointer
    ("nothing",                {},                                                         "/items"),
    ("no lines",               {"items": []},                                              "/items"),
    ("lines null",             {"items": None},                                            "/items"),
    ("lines in an object",     {"items": {"sku": "max", "quantity": 1}},                   "/items"),
    ("11 lines",               {"items": [{"sku": "mat", "quantity": 1}] * 11},            "/items"),
    ("unknown goods",          wanted(max=1, x=1),                                         "/items/1/sku"),
    ("5 kB of SKU",            wanted(**{"x" * 5_000: 1}),                                 "/items/0/sku"),
    ("an expression as SKU",   wanted(**{":a = :a": 1}),                                   "/items/0/sku"),
    ("quantity 0",             wanted(max=0),                                              "/items/0/quantity"),
    ("quantity -1",            wanted(max=-1),                                             "/items/0/quantity"),
    ("quantity 1001",          wanted(max=1_001),                                          "/items/0/quantity"),
    ("quantity true",          wanted(max=True),                                           "/items/0/quantity"),
    ("quantity in quotes",     {"items": [{"sku": "max", "quantity": "1"}]},               "/items/0/quantity"),
    ("quantity 1.5",           {"items": [{"sku": "max", "quantity": 1.5}]},               "/items/0/quantity"),
    ("no quantity",            {"items": [{"sku": "max"}]},                                "/items/0/quantity"),
    ("a price of one's own",   {"items": [{"sku": "max", "quantity": 1, "unit_price": cny("1")}]}, "/items/0/unit_price"),
    ("an instant of one's own", {**wanted(max=1), "requested_at": "2020-01-01T00:00:00Z"}, "/requested_at"),
    ("terms of one's own",     {**wanted(max=1), "terms_hash": "sha256:0"},                "/terms_hash"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "body", "pointer"), BODIES, ids=[row[0] for row in BODIES])
def test_a_bad_change_is_told_where_and_changes_nothing(
    free: tuple[Client, Json], what: str, body: Json, pointer: str
) -> None:
    del what
    buyer, deposit = free
    check_refusal(change(buyer, deposit, body), 422, "invalid-request", pointer)
    assert buyer.get(path_of(deposit)).json["version"] == deposit["version"]


def test_the_same_goods_may_stand_on_two_lines(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer, shop(world))
    line = {"sku": "mat", "quantity": 3}
    done = accepted(change(buyer, deposit, {"items": [line, line]}))
    assert [item["line"] for item in done["items"]] == [1, 2]
    assert done["items_total"] == cny("5997")


def not_paid(world: World, buyer: Client) -> Json:
    return world.ordered(buyer, shop(world))


def locked(world: World, buyer: Client) -> Json:
    return world.paid(buyer, shop(world, preset="su7_founders_2024"))


def undone(world: World, buyer: Client) -> Json:
    deposit = locked(world, buyer)
    return accepted(buyer.post(f"{path_of(deposit)}/unlock"))


def cancelled(world: World, buyer: Client) -> Json:
    deposit = world.paid(buyer, shop(world))
    return accepted(buyer.post(f"{path_of(deposit)}/cancel"))


@pytest.mark.parametrize("state", [not_paid, locked, undone, cancelled])
def test_elsewhere_nothing_can_be_changed(world: World, state: Callable[[World, Client], Json]) -> None:
    buyer = world.buyer()
    deposit = state(world, buyer)
    check_refusal(change(buyer, deposit, wanted(pro=1)), 409, "wrong-state")
    check_refusal(change(world.buyer(), deposit, wanted(pro=1)), 404, "not-found")
    assert "changes" not in deposit["actions"]


def test_money_that_came_in_excess_is_no_refund_of_the_order(world: World) -> None:
    """What never counted goes back by itself and says nothing about the deposit: the change is still possible."""
    buyer = world.buyer()
    deposit = world.ordered(buyer, shop(world))
    world.pay(deposit, amount=cny("6000"))
    done = accepted(change(buyer, deposit, wanted(pro=1)))
    assert done["balance"] == cny("240900")
    assert [one["cause"] for one in refunds_of(buyer, deposit)] == ["overpayment"]
    assert identity_holds(done)
