"""Lists over HTTP: newest first, page by page, nothing lost, nothing twice, and a cursor that holds for nothing else."""

from typing import Final

import pytest

from chalicelib.wiring import services
from tests.web.answer_checks import accepted, attend, check_refusal, cny, events_of, pages, path_of
from tests.world import Client, Json, World

FOR_LONG: Final = {"due_within": "P365D"}


def ids(rows: list[Json]) -> list[str]:
    return [row["id"] for row in rows]


def cursor_of(client: Client, path: str) -> str:
    found = accepted(client.get(path))["next_cursor"]
    assert isinstance(found, str)
    return found


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 6, 100])
def test_every_page_size_gives_the_same_list(world: World, limit: int) -> None:
    buyer, offer = world.buyer(), world.offer()
    made = [world.ordered(buyer, offer)["id"] for _ in range(5)]
    assert ids(pages(buyer, "/v1/deposits", limit)) == made[::-1]


@pytest.mark.parametrize("limit", [7, 30])
def test_what_was_made_in_the_same_millisecond_is_neither_lost_nor_repeated(world: World, limit: int) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    offer = world.offer(merchant, payment=FOR_LONG)
    at = services().clock() + 1_000
    made = [accepted(buyer.post("/v1/deposits", world.order(offer), asked=at), 201)["id"] for _ in range(35)]
    assert sorted(ids(pages(buyer, "/v1/deposits", limit))) == sorted(made)
    assert sorted(ids(pages(merchant, f"/v1/deposits?offer={offer['id']}", limit))) == sorted(made)


def test_what_is_made_meanwhile_does_not_disturb_the_pages(world: World) -> None:
    buyer, offer = world.buyer(), world.offer()
    made = [world.ordered(buyer, offer)["id"] for _ in range(4)]
    first = accepted(buyer.get("/v1/deposits?limit=2"))
    world.ordered(buyer, offer)
    second = accepted(buyer.get(f"/v1/deposits?limit=2&cursor={first['next_cursor']}"))
    assert ids(first["data"]) + ids(second["data"]) == made[::-1]
    assert second["next_cursor"] is None


def test_a_filter_may_leave_a_page_empty_and_goes_on(world: World) -> None:
    buyer, offer = world.buyer(), world.offer()
    first, second, third = (world.ordered(buyer, offer) for _ in range(3))
    accepted(buyer.post(f"{path_of(first)}/cancel"))
    assert ids(pages(buyer, "/v1/deposits?status=cancelled", 1)) == [first["id"]]
    assert ids(pages(buyer, "/v1/deposits?status=awaiting_payment", 1)) == [third["id"], second["id"]]
    page = accepted(buyer.get("/v1/deposits?status=cancelled&limit=1"))
    assert page["data"] == []
    assert page["next_cursor"] is not None


def test_a_status_in_a_list_follows_the_clock(world: World) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    world.advance("PT15M")
    assert ids(pages(buyer, "/v1/deposits?status=expired", 10)) == [deposit["id"]]
    assert pages(buyer, "/v1/deposits?status=awaiting_payment", 10) == []
    attend(deposit)
    assert ids(pages(buyer, "/v1/deposits?status=expired", 10)) == [deposit["id"]]


def test_staff_list_the_deposits_of_an_offer_over_all_its_partitions(world: World) -> None:
    merchant, platform = world.merchant(), world.person("platform")
    offer = world.offer(merchant, expected_peak_per_second=2_000)  # eight partitions
    made = [world.ordered(world.buyer(), offer)["id"] for _ in range(9)]
    world.ordered(world.buyer(), world.offer(merchant))
    for staff in (merchant, platform):
        assert ids(pages(staff, f"/v1/deposits?offer={offer['id']}", 4)) == made[::-1]


def test_a_buyer_narrows_the_list_to_one_offer(world: World) -> None:
    buyer, one, two = world.buyer(), world.offer(), world.offer()
    wanted = world.ordered(buyer, one)["id"]
    world.ordered(buyer, two)
    world.ordered(world.buyer(), one)
    assert ids(pages(buyer, f"/v1/deposits?offer={one['id']}", 1)) == [wanted]


def test_a_cursor_holds_for_its_caller_its_list_and_its_filter(world: World) -> None:
    buyer, other, offer = world.buyer(), world.buyer(), world.offer()
    deposits = [world.ordered(buyer, offer) for _ in range(2)]
    world.ordered(other, offer)
    mine = cursor_of(buyer, "/v1/deposits?limit=1")
    events = cursor_of(buyer, f"{path_of(world.paid(buyer, offer))}/events?limit=1")
    offers = cursor_of(buyer, "/v1/offers?limit=1")
    flipped = mine[:-2] + ("A" if mine[-2] != "A" else "B") + mine[-1]
    accepted(buyer.get(f"/v1/deposits?limit=100&cursor={mine}"))
    for client, path in (
        (other, f"/v1/deposits?cursor={mine}"),
        (buyer, f"/v1/deposits?status=cancelled&cursor={mine}"),
        (buyer, f"/v1/deposits?offer={offer['id']}&cursor={mine}"),
        (buyer, f"/v1/deposits?cursor={events}"),
        (buyer, f"/v1/deposits?cursor={offers}"),
        (buyer, f"/v1/deposits?cursor={flipped}"),
        (buyer, f"/v1/deposits?cursor={mine}A"),
        (buyer, f"/v1/deposits?cursor={mine[:-1]}"),
        (buyer, f"{path_of(deposits[0])}/events?cursor={events}"),
        (buyer, f"{path_of(deposits[0])}/events?cursor={mine}"),
        (buyer, f"/v1/offers?cursor={mine}"),
        (buyer, f"/v1/refunds?deposit={deposits[0]['id']}&cursor={mine}"),
    ):
        check_refusal(client.get(path), 400, "invalid-cursor")


def test_events_come_oldest_first_a_hundred_at_a_time(world: World) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    for n in range(5):
        method = {"payment_method": ("alipay", "card")[n % 2]}
        accepted(buyer.post(f"{path_of(deposit)}/payment-method", method))
    whole = events_of(buyer, deposit)
    assert [event["version"] for event in whole] == [1, 2, 3, 4, 5, 6]
    for limit in (1, 4, 6):
        assert pages(buyer, f"{path_of(deposit)}/events", limit) == whole


def test_refunds_of_a_deposit_come_newest_first(world: World) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    for amount in ("1", "2", "5001"):
        world.pay(deposit, amount=cny(amount))
    path = f"/v1/refunds?deposit={deposit['id']}"
    whole = pages(buyer, path, 100)
    assert [row["amount"] for row in whole] == [cny("1"), cny("2"), cny("1")]
    assert [row["id"][-2:] for row in whole] == ["_3", "_2", "_1"]
    for limit in (1, 2, 3):
        assert pages(buyer, path, limit) == whole


def test_what_is_owed_comes_page_by_page_and_no_page_is_longer_than_asked_for(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant("mer_paged")
    offer = world.offer(merchant)
    deposits = [world.ordered(buyer, offer) for _ in range(3)]
    for deposit in deposits:
        for amount in ("1", "2"):
            world.pay(deposit, amount=cny(amount))
    expected = {f"ref_{deposit['id'][4:]}_{n}" for deposit in deposits for n in (1, 2)}
    for limit in (1, 3, 100):
        found = ids(pages(merchant, "/v1/refunds?status=open", limit))
        assert set(found) == expected
        assert len(found) == len(expected)


def test_offers_are_listed_newest_first(world: World) -> None:
    merchant = world.merchant()
    made = [world.offer(merchant)["id"] for _ in range(3)]
    assert ids(accepted(world.anyone().get("/v1/offers?limit=3"))["data"]) == made[::-1]
    first = accepted(world.anyone().get("/v1/offers?limit=2"))
    second = accepted(world.anyone().get(f"/v1/offers?limit=1&cursor={first['next_cursor']}"))
    assert ids(first["data"] + second["data"]) == made[::-1]
