"""The same key again: the same answer, byte for byte, whatever happened since; and what makes it another request."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from chalicelib.core.common.instants import HOUR
from tests.web.answer_checks import (
    ACCOUNT,
    accepted,
    attend,
    check_refusal,
    cny,
    instant,
    path_of,
    refund_at,
    refunds_of,
    same,
)
from tests.world import Client, Json, Reply, World


def order(world: World, buyer: Client, offer: Json, key: str = "order", **headers: Any) -> Reply:
    return buyer.post("/v1/deposits", world.order(offer), idempotency_key=key, **headers)


def nothing(_world: World, _buyer: Client, _deposit: Json) -> None:
    """Nothing happens in between."""


def paid(world: World, _buyer: Client, deposit: Json) -> None:
    world.pay(deposit)


def cancelled(_world: World, buyer: Client, deposit: Json) -> None:
    accepted(buyer.post(f"{path_of(deposit)}/cancel"))


def expired(world: World, _buyer: Client, deposit: Json) -> None:
    world.advance("PT16M")
    attend(deposit)


def sale_closed(world: World, _buyer: Client, deposit: Json) -> None:
    accepted(world.merchant().post(f"/v1/offers/{deposit['offer']}/close"))


STORIES: Final[Sequence[Sequence[Callable[[World, Client, Json], None]]]] = [
    [nothing],
    [paid],
    [cancelled],
    [paid, cancelled],
    [expired],
    [sale_closed],
]


@pytest.mark.parametrize("story", STORIES, ids=["-".join(step.__name__ for step in story) for story in STORIES])
def test_an_order_is_answered_again_after_whatever_happened(
    world: World, story: Sequence[Callable[[World, Client, Json], None]]
) -> None:
    buyer, offer = world.buyer(), world.offer()
    first = order(world, buyer, offer)
    deposit = accepted(first, 201)
    assert first.headers["location"] == path_of(deposit)
    for step in story:
        step(world, buyer, deposit)
    before = buyer.get(path_of(deposit)).json["version"]
    same(first, order(world, buyer, offer))
    assert buyer.get(path_of(deposit)).json["version"] == before
    assert len(buyer.get("/v1/deposits").json["data"]) == 1


def test_the_last_unit_is_ones_own_when_asked_again(world: World) -> None:
    buyer = world.buyer()
    offer = world.offer(items=[{"sku": "a", "name": "A", "price": cny("100000"), "stock": 1}], limits={"per_buyer": 1})
    first = order(world, buyer, offer)
    accepted(first, 201)
    check_refusal(world.buyer().post("/v1/deposits", world.order(offer)), 409, "sold-out")
    same(first, order(world, buyer, offer))


def test_commands_are_answered_again_after_what_came_later(world: World) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    changed = buyer.post(f"{path_of(deposit)}/payment-method", {"payment_method": "alipay"}, idempotency_key="m")
    world.pay(accepted(changed))
    cancel = buyer.post(f"{path_of(deposit)}/cancel", {}, idempotency_key="c")
    accepted(cancel)
    attend(deposit)
    assert buyer.get(path_of(deposit)).json["refund"]["status"] == "succeeded"
    same(changed, buyer.post(f"{path_of(deposit)}/payment-method", {"payment_method": "alipay"}, idempotency_key="m"))
    same(cancel, buyer.post(f"{path_of(deposit)}/cancel", {}, idempotency_key="c"))


def test_a_cancel_in_time_is_answered_again_after_the_window(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    ends_at = instant(deposit["window"]["ends_at"])
    first = buyer.post(f"{path_of(deposit)}/cancel", {}, idempotency_key="c", asked=ends_at - 1)
    accepted(first)
    same(first, buyer.post(f"{path_of(deposit)}/cancel", {}, idempotency_key="c", asked=ends_at + HOUR))


def test_goodwill_accounts_and_other_ways_are_answered_again_whatever_happened_since(world: World) -> None:
    buyer, merchant, platform = world.buyer(), world.merchant(), world.person("platform")
    deposit = world.paid(buyer, world.offer(merchant))
    body = {"deposit": deposit["id"], "amount": cny("60"), "expected_refundable": cny("5000"), "note": "sorry"}
    granted = merchant.post("/v1/refunds", body, idempotency_key="g", accept_language="id")
    refund = accepted(granted, 201)
    assert granted.headers["location"] == f"/v1/refunds/{refund['id']}"
    at = f"/v1/refunds/{refund['id']}"
    asked: list[tuple[Client, str, Json, Reply]] = [(merchant, "/v1/refunds", body, granted)]

    def ask(who: Client, path: str, body: Json) -> None:
        reply = who.post(path, body, idempotency_key="g", accept_language="id")
        accepted(reply)
        asked.append((who, path, body, reply))

    ask(platform, f"{at}/reroute", {"kind": "payout", "note": "the card is closed"})
    ask(buyer, f"{at}/destination", ACCOUNT)
    attend(deposit)
    world.advance("PT25H")
    accepted(buyer.post(f"{path_of(deposit)}/cancel"))
    attend(deposit)
    assert refund_at(buyer, refund)["status"] in {"succeeded", "settled"}
    before = accepted(buyer.get(path_of(deposit)))["version"]
    for who, path, sent, reply in asked:
        written = {**sent, "amount": cny("60.00")} if "amount" in sent else sent
        same(reply, who.post(path, written, idempotency_key="g", accept_language="zh"))
        check_refusal(who.post(path, {**sent, **OTHERS[path[-6:]]}, idempotency_key="g"), 422, "idempotency-key-reused")
    assert accepted(buyer.get(path_of(deposit)))["version"] == before
    assert len(refunds_of(buyer, deposit)) == 2


# Another body for each of these paths.
OTHERS: Final[dict[str, Json]] = {"efunds": {"note": "sorry!"}, "eroute": {"note": None}, "nation": {"holder": "Ana"}}


def test_the_key_of_goodwill_belongs_to_one_deposit(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    offer = world.offer(merchant)
    one, other = world.paid(buyer, offer), world.paid(buyer, offer)
    body = {"deposit": one["id"], "amount": cny("1"), "expected_refundable": cny("5000")}
    first = merchant.post("/v1/refunds", body, idempotency_key="g")
    accepted(first, 201)
    check_refusal(
        merchant.post("/v1/refunds", {**body, "deposit": other["id"]}, idempotency_key="g"),
        422,
        "idempotency-key-reused",
    )
    same(first, merchant.post("/v1/refunds", body, idempotency_key="g"))
    assert refunds_of(buyer, other) == []


def test_goodwill_that_was_refused_may_come_true_with_the_same_key(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    offer = world.offer(merchant)
    one, other = world.paid(buyer, offer), world.paid(buyer, offer)
    body = {"deposit": one["id"], "amount": cny("1"), "expected_refundable": cny("4999")}
    check_refusal(merchant.post("/v1/refunds", body, idempotency_key="g"), 412, "stale-version")
    body |= {"deposit": other["id"], "expected_refundable": cny("5000")}
    accepted(merchant.post("/v1/refunds", body, idempotency_key="g"), 201)


def test_goodwill_many_times_at_once_with_one_key_is_given_once(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    deposit = world.paid(buyer, world.offer(merchant))
    body = {"deposit": deposit["id"], "amount": cny("60"), "expected_refundable": cny("5000")}
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: merchant.post("/v1/refunds", body, idempotency_key="g"), range(4)))
    assert {reply.status for reply in replies} == {201}
    assert len({reply.raw for reply in replies}) == 1
    assert len(refunds_of(buyer, deposit)) == 1


def test_goodwill_many_times_at_once_with_many_keys_is_given_once(world: World) -> None:
    """Each saw a hundred left, and sixty twice is more than that."""
    buyer, merchant = world.buyer(), world.merchant()
    deposit = world.paid(buyer, world.offer(merchant, payment={"deposit": cny("100")}))
    body = {"deposit": deposit["id"], "amount": cny("60"), "expected_refundable": cny("100")}
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: merchant.post("/v1/refunds", body), range(4)))
    assert sorted(reply.status for reply in replies) == [201, 412, 412, 412]
    assert [refund["amount"] for refund in refunds_of(buyer, deposit)] == [cny("60")]


def test_offers_are_answered_again_and_changes_of_stock_count_once(world: World) -> None:
    merchant = world.merchant()
    body = {
        "title": "A",
        "market": "CN",
        "preset": "su7_2024",
        "items": [{"sku": "a", "name": "A", "price": cny("100000"), "stock": 10}],
        "limits": {"per_buyer": None},
    }
    first = merchant.post("/v1/offers", body, idempotency_key="o")
    offer = accepted(first, 201)
    path = f"/v1/offers/{offer['id']}"
    assert first.headers["location"] == path
    stock = merchant.post(f"{path}/stock", {"sku": "a", "change": 5}, idempotency_key="s")
    assert accepted(stock)["items"][0]["available"] == 15
    world.ordered(world.buyer(), offer)
    same(stock, merchant.post(f"{path}/stock", {"sku": "a", "change": 5}, idempotency_key="s"))
    closed = merchant.post(f"{path}/close", {}, idempotency_key="c")
    accepted(closed)
    same(closed, merchant.post(f"{path}/close", {}, idempotency_key="c"))
    same(first, merchant.post("/v1/offers", body, idempotency_key="o"))
    assert merchant.get(path).json["items"][0]["available"] == 14


def test_an_answer_stays_in_the_language_of_its_first_request(world: World) -> None:
    buyer, offer = world.buyer(), world.offer()
    deposit = world.paid(buyer, offer)
    first = buyer.post(f"{path_of(deposit)}/cancel", {}, idempotency_key="c", accept_language="zh")
    assert accepted(first)["refund"]["lines"][0]["text"] == "您支付的金额"
    same(first, buyer.post(f"{path_of(deposit)}/cancel", {}, idempotency_key="c", accept_language="id"))
    told = buyer.get(path_of(deposit), accept_language="id").json
    assert told["refund"]["lines"][0]["text"] == "Yang Anda bayar"


def draft(amount: str) -> Json:
    item = {"sku": "a", "name": "A", "price": cny("299900")}
    return {"title": "A", "market": "CN", "preset": "su7_2024", "payment": {"deposit": cny(amount)}, "items": [item]}


SAME_BODIES: Final = [
    # first          again
    (draft("5000"),  draft("5000.00")),
    (draft("5000.0"), draft("5000")),
    (draft("4999.5"), draft("4999.50")),
    (draft("5000"),  dict(reversed(draft("5000").items()))),
]  # fmt: skip


@pytest.mark.parametrize(("body", "again"), SAME_BODIES)
def test_one_amount_written_twice_is_one_body(world: World, body: Json, again: Json) -> None:
    merchant = world.merchant()
    first = merchant.post("/v1/offers", body, idempotency_key="o")
    accepted(first, 201)
    same(first, merchant.post("/v1/offers", again, idempotency_key="o"))


@pytest.mark.parametrize(
    "again", [draft("5000.01"), {**draft("5000"), "opens_at": None}, draft("5000") | {"title": "B"}]
)
def test_another_body_under_the_same_key_is_refused(world: World, again: Json) -> None:
    merchant = world.merchant()
    accepted(merchant.post("/v1/offers", draft("5000"), idempotency_key="o"), 201)
    check_refusal(merchant.post("/v1/offers", again, idempotency_key="o"), 422, "idempotency-key-reused")


def test_another_order_under_the_same_key_is_refused_and_makes_nothing(world: World) -> None:
    buyer, offer = world.buyer(), world.offer()
    accepted(order(world, buyer, offer), 201)
    more = buyer.post("/v1/deposits", world.order(offer, 2), idempotency_key="order")
    check_refusal(more, 422, "idempotency-key-reused")
    check_refusal(order(world, buyer, world.offer()), 422, "idempotency-key-reused")
    assert len(buyer.get("/v1/deposits").json["data"]) == 1


def test_the_same_key_of_another_buyer_is_another_request(world: World) -> None:
    offer = world.offer()
    deposits = [accepted(order(world, world.buyer(), offer), 201) for _ in range(2)]
    assert deposits[0]["id"] != deposits[1]["id"]
    assert deposits[0]["buyer"] != deposits[1]["buyer"]


def test_the_same_key_at_another_address_is_another_request(world: World) -> None:
    buyer, offer = world.buyer(), world.offer()
    one, two = (accepted(order(world, buyer, offer, key), 201) for key in ("k", "l"))
    method = buyer.post(f"{path_of(one)}/payment-method", {"payment_method": "alipay"}, idempotency_key="k")
    assert accepted(method)["payment"]["method"] == "alipay"
    for deposit in (one, two):
        reply = buyer.post(f"{path_of(deposit)}/cancel", {}, idempotency_key="k")
        assert accepted(reply)["status"] == "cancelled"
        assert "idempotent-replayed" not in reply.headers


def test_a_refusal_is_not_kept(world: World) -> None:
    buyer, offer = world.buyer(), world.offer(limits={"per_buyer": 1})
    former = world.ordered(buyer, offer)
    check_refusal(order(world, buyer, offer), 409, "limit-reached")
    accepted(buyer.post(f"{path_of(former)}/cancel"))
    late = order(world, buyer, offer)
    accepted(late, 201)
    assert "idempotent-replayed" not in late.headers


def test_a_refused_command_may_come_true_with_the_same_key(world: World) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    path = f"{path_of(deposit)}/payment-method"
    check_refusal(buyer.post(path, {"payment_method": "gopay"}, idempotency_key="m"), 422, "payment-method-not-offered")
    assert accepted(buyer.post(path, {"payment_method": "alipay"}, idempotency_key="m"))["version"] == 2


def test_many_at_once_with_one_key_make_one_deposit(world: World) -> None:
    buyer, offer = world.buyer(), world.offer()
    now = instant(str(world.anyone().get("/sandbox/clock").json["now"]))
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda n: order(world, buyer, offer, asked=now + n), range(4)))
    assert {reply.status for reply in replies} == {201}
    assert len({reply.json["id"] for reply in replies}) == 1
    # Each was asked at an instant of its own; the answer is that of the one that was written.
    assert len({reply.raw for reply in replies}) == 1
    assert sum("idempotent-replayed" not in reply.headers for reply in replies) == 1
    assert len(buyer.get("/v1/deposits").json["data"]) == 1
