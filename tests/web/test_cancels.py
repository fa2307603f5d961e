"""Ending a deposit over HTTP: to the millisecond, by market and terms, and as the preview and the curve said."""

from typing import Any, Final

import pytest

from chalicelib.core.common.instants import DAY, HOUR, format_instant
from tests.web.answer_checks import (
    accepted,
    attend,
    check_answer,
    check_refusal,
    cny,
    events_of,
    identity_holds,
    instant,
    path_of,
)
from tests.world import Client, Json, Reply, World

SECONDS: Final = 1_000


def item(amount: str, currency: str = "CNY", **changes: Any) -> Json:
    return {"sku": "a", "name": "A", "price": {"amount": amount, "currency": currency}, "stock": 50, **changes}


def shop(world: World, market: str, price: str, *, made_to_spec: bool = False) -> Json:
    """Deposit 5,000 and shipping 88 in the market's currency; the buyer's cancel after the lock would forfeit."""
    currency = {"CN": "CNY", "ID": "IDR", "EU": "EUR"}[market]
    return world.offer(
        market=market,
        currency=currency,
        preset="recommended",
        items=[item(price, currency, made_to_spec=made_to_spec)],
        payment={"deposit": {"amount": "5000", "currency": currency}},
        shipping={"amount": "88", "currency": currency},
        delivery={"within": None},
    )


def cancel(buyer: Client, deposit: Json, **options: Any) -> Json:
    return accepted(buyer.post(f"{path_of(deposit)}/cancel", {}, **options))


def amounts(deposit: Json) -> tuple[str, str]:
    """What comes back and what is kept."""
    return deposit["refund"]["amount"]["amount"], deposit["money"]["forfeited"]["amount"]


CASES: Final = [
    # the case                     market price     made to spec  after the window's end  comes back, is kept
    ("CN in the window",           "CN",  "299900", True,         -1,                     ("5088", "0")),
    ("CN at the end",              "CN",  "299900", True,         0,                      ("88",   "5000")),
    ("CN later",                   "CN",  "299900", True,         30 * DAY,               ("88",   "5000")),
    ("CN up to the cap",           "CN",  "25000",  False,        0,                      ("88",   "5000")),
    ("CN above the cap",           "CN",  "24999.99", False,      0,                      ("88.01", "4999.99")),
    ("CN far above the cap",       "CN",  "5000",   False,        0,                      ("4088", "1000")),
    ("ID in the window",           "ID",  "299900", True,         -1,                     ("5088", "0")),
    ("ID after the lock",          "ID",  "299900", True,         0,                      ("5088", "0")),
    ("EU in the window",           "EU",  "299900", True,         -1,                     ("5088", "0")),
    ("EU made to specification",   "EU",  "299900", True,         0,                      ("88",   "5000")),
    ("EU off the shelf",           "EU",  "299900", False,        0,                      ("5088", "0")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "market", "price", "custom", "after", "expected"), CASES, ids=[row[0] for row in CASES]
)
def test_what_comes_back_and_what_is_kept(
    world: World, case: str, market: str, price: str, custom: bool, after: int, expected: tuple[str, str]
) -> None:
    """The preview says so before, the cancel does so, and every fen is somewhere."""
    del case
    buyer = world.buyer()
    deposit = world.paid(buyer, shop(world, market, price, made_to_spec=custom))
    at = instant(deposit["window"]["ends_at"]) + after
    path = f"{path_of(deposit)}/refund-preview?cause=buyer_cancel&at={format_instant(at)}"
    preview = accepted(buyer.get(path))
    cancelled = cancel(buyer, deposit, asked=at)
    assert amounts(cancelled) == expected
    assert cancelled["status"] == "cancelled"
    assert cancelled["actions"] == ["claims"]
    assert identity_holds(cancelled)
    assert (preview["at"], preview["cause"]) == (format_instant(at), "buyer_cancel")
    assert preview["amount"] == cancelled["refund"]["amount"]
    assert preview["lines"] == cancelled["refund"]["lines"]
    assert preview["forfeited"] == cancelled["money"]["forfeited"]
    decided = next(event for event in events_of(buyer, deposit) if event["type"] == "deposit.cancelled")
    assert decided["at"] == format_instant(at)
    assert decided["data"]["rule"] == preview["rule"]["id"]
    assert [line for line in preview["lines"] if line["code"] == "forfeited" and not line.get("rule")] == []
    assert cancelled["refund"]["promised_by"] == format_instant(at + 7 * DAY)


@pytest.mark.parametrize("after", [-1, 0], ids=["a millisecond before the end", "at the end"])
@pytest.mark.parametrize("written", [True, False], ids=["lock written first", "lock not written"])
def test_the_instant_of_asking_decides_not_who_writes_first(world: World, written: bool, after: int) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    ends_at = instant(deposit["window"]["ends_at"])
    world.set_clock(format_instant(ends_at + 2 * SECONDS))
    if written:
        attend(deposit)
        assert events_of(buyer, deposit)[-1]["type"] == "lock.by_window_end"
    cancelled = cancel(buyer, deposit, asked=ends_at + after)
    assert amounts(cancelled) == (("5000", "0") if after < 0 else ("0", "5000"))
    assert identity_holds(cancelled)
    attend(deposit)
    assert buyer.get(path_of(deposit)).json["status"] == "cancelled"
    attend(deposit)
    assert [row["amount"] for row in world.books(deposit)] == ([cny("5000")] if after < 0 else [])


def test_before_payment_there_is_nothing_to_return_and_the_unit_goes_back(world: World) -> None:
    buyer, offer = world.buyer(), world.offer(limits={"per_buyer": 1})
    deposit = world.ordered(buyer, offer)
    path = f"/v1/offers/{offer['id']}"
    assert buyer.get(path).json["items"][0]["available"] == 99
    cancelled = cancel(buyer, deposit)
    assert (cancelled["status"], cancelled["refund"], cancelled["version"]) == ("cancelled", None, 2)
    assert buyer.get(path).json["items"][0]["available"] == 100
    world.ordered(buyer, offer)


def test_a_unit_goes_back_once(world: World) -> None:
    buyer, offer = world.buyer(), world.offer()
    deposit = world.paid(buyer, offer, quantity=3)
    path = f"/v1/offers/{offer['id']}"
    assert buyer.get(path).json["items"][0]["available"] == 97
    cancel(buyer, deposit)
    check_refusal(buyer.post(f"{path_of(deposit)}/cancel"), 409, "already-cancelled")
    assert buyer.get(path).json["items"][0]["available"] == 100


def test_an_expired_unit_goes_back_when_that_is_written(world: World) -> None:
    buyer, offer = world.buyer(), world.offer()
    deposit = world.ordered(buyer, offer)
    check_refusal(
        buyer.post(f"{path_of(deposit)}/cancel", asked=instant(deposit["payment"]["due_at"])), 409, "wrong-state"
    )
    world.advance("PT15M")
    assert buyer.get(path_of(deposit)).json["status"] == "expired"
    attend(deposit)
    assert buyer.get(f"/v1/offers/{offer['id']}").json["items"][0]["available"] == 100
    assert check_refusal(buyer.post(f"{path_of(deposit)}/cancel"), 409, "wrong-state")["state"] == "expired"


def test_a_cancel_of_nothing_left_is_settled_at_once(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    cancelled = cancel(buyer, deposit, asked=instant(deposit["window"]["ends_at"]))
    refund = cancelled["refund"]
    assert (refund["amount"], refund["status"], refund["waiting_on"]) == (cny("0"), "settled", "nobody")
    assert [line["amount"]["amount"] for line in refund["lines"]] == ["5000", "-5000"]
    assert refund["lines"][1]["rule"]["id"] == "CN-2026/earnest_cap"


def founders(world: World, buyer: Client) -> tuple[Json, int]:
    """A deposit that its payment locked, and until when that can be undone."""
    deposit = world.paid(buyer, world.offer(preset="su7_founders_2024"))
    return deposit, instant(deposit["lock"]["undo_until"])


def test_the_founders_edition_locks_at_payment_and_can_be_undone_for_an_hour(world: World) -> None:
    buyer = world.buyer()
    deposit, until = founders(world, buyer)
    assert deposit["due_now"] == cny("20000")
    assert (deposit["status"], deposit["window"], deposit["lock"]["by"]) == ("locked", None, "payment")
    assert until - instant(deposit["lock"]["at"]) == HOUR
    assert (deposit["lock"]["final"], deposit["actions"]) == (False, ["cancel", "claims", "unlock", "withdrawals"])
    late = accepted(buyer.get(path_of(deposit), asked=until))
    assert (late["lock"]["final"], late["actions"]) == (True, ["balance-payments", "cancel", "claims", "withdrawals"])


@pytest.mark.parametrize(("after", "expected"), [(-1, ("20000", "0")), (0, ("0", "20000"))])
def test_a_cancel_of_the_founders_edition_is_free_until_the_undo_ends(
    world: World, after: int, expected: tuple[str, str]
) -> None:
    buyer = world.buyer()
    deposit, until = founders(world, buyer)
    assert amounts(cancel(buyer, deposit, asked=until + after)) == expected


def test_after_an_undo_only_a_full_cancel_is_left_until_the_former_end(world: World) -> None:
    buyer = world.buyer()
    deposit, until = founders(world, buyer)
    undone = accepted(buyer.post(f"{path_of(deposit)}/unlock", {}, asked=until - 1))
    assert (undone["status"], undone["lock"]) == ("cooling_off", None)
    assert undone["actions"] == ["cancel", "withdrawals"]
    assert undone["window"]["ends_at"] == format_instant(until)
    again = buyer.post(f"{path_of(deposit)}/unlock", {}, asked=until - 1)
    assert check_refusal(again, 409, "wrong-state")["state"] == "cooling_off"
    locked = accepted(buyer.get(path_of(deposit), asked=until))
    assert (locked["status"], locked["lock"]["by"], locked["lock"]["final"]) == ("locked", "window_end", True)
    assert locked["actions"] == ["balance-payments", "cancel", "claims", "withdrawals"]
    check_refusal(buyer.post(f"{path_of(deposit)}/unlock", {}, asked=until), 409, "undo-closed")
    assert amounts(cancel(buyer, deposit, asked=until)) == ("0", "20000")


def test_after_an_undo_a_cancel_in_time_gives_everything_back(world: World) -> None:
    buyer = world.buyer()
    deposit, until = founders(world, buyer)
    accepted(buyer.post(f"{path_of(deposit)}/unlock", {}, asked=until - 2))
    assert amounts(cancel(buyer, deposit, asked=until - 1)) == ("20000", "0")


def test_an_undo_that_comes_too_late_says_until_when_it_was_possible(world: World) -> None:
    buyer = world.buyer()
    deposit, until = founders(world, buyer)
    late = check_refusal(buyer.post(f"{path_of(deposit)}/unlock", {}, asked=until), 409, "undo-closed")
    assert late["undo_until"] == format_instant(until)
    shelf = world.paid(buyer)
    locked = instant(shelf["window"]["ends_at"])
    check_refusal(buyer.post(f"{path_of(shelf)}/unlock", {}, asked=locked - 1), 409, "wrong-state")
    check_refusal(buyer.post(f"{path_of(shelf)}/unlock", {}, asked=locked), 409, "undo-closed")


STATES: Final = ["awaiting_payment", "cooling_off", "locked", "locked for an hour", "undone", "cancelled", "expired"]
COMMANDS: Final[dict[str, Json]] = {
    "balance-payments": {"payment_method": "alipay"},
    "cancel": {},
    "changes": {"items": [{"sku": "su7-max", "quantity": 2}]},
    "claims": {"kind": "privacy", "statement": "Who has my address?"},
    "lock-intents": {},
    "payment-method": {"payment_method": "alipay"},
    "receipt": {},
    "unlock": {},
    "withdrawals": {"name": "Ana", "reach": "ana@example.com"},
}


def press(buyer: Client, deposit: Json, command: str, at: int) -> Reply:
    """The buyer's command with a body that fits; a claim names its deposit there."""
    body = COMMANDS[command]
    if command == "claims":
        return buyer.post("/v1/claims", {"deposit": deposit["id"], **body}, asked=at)
    return buyer.post(f"{path_of(deposit)}/{command}", body, asked=at)


def in_state(world: World, buyer: Client, state: str) -> tuple[Json, int]:
    """A deposit in the state, and an instant at which it is."""
    if state in {"awaiting_payment", "expired"}:
        deposit = world.ordered(buyer)
        due = instant(deposit["payment"]["due_at"])
        return deposit, due - 1 if state == "awaiting_payment" else due
    if state in {"locked for an hour", "undone"}:
        deposit, until = founders(world, buyer)
        if state == "undone":
            accepted(buyer.post(f"{path_of(deposit)}/unlock", {}, asked=until - 2))
        return deposit, until - 1
    deposit = world.paid(buyer)
    ends_at = instant(deposit["window"]["ends_at"])
    if state == "cancelled":
        cancel(buyer, deposit)
    return deposit, ends_at if state == "locked" else ends_at - 1


@pytest.mark.parametrize("state", STATES)
def test_actions_are_honest(world: World, state: str) -> None:
    """What is in it is accepted at that very instant, what is not in it is refused for the state."""
    buyer = world.buyer()
    deposit, at = in_state(world, buyer, state)
    seen = accepted(buyer.get(path_of(deposit), asked=at))
    assert seen["status"] == {"locked for an hour": "locked", "undone": "cooling_off"}.get(state, state)
    for command in set(COMMANDS) - set(seen["actions"]):
        reply = press(buyer, deposit, command, at)
        assert reply.status == 409, (command, reply.raw)
    assert buyer.get(path_of(deposit), asked=at).json["version"] == seen["version"]
    for command in seen["actions"]:
        another, then = in_state(world, buyer, state)
        reply = press(buyer, another, command, then)
        assert check_answer(reply).status in {200, 201}, (command, reply.raw)


def test_staff_have_no_actions_of_the_buyers(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    deposit = world.ordered(buyer, world.offer(merchant))
    assert accepted(merchant.get(path_of(deposit)))["actions"] == ["merchant-cancel", "questions"]
    assert accepted(world.person("platform").get(path_of(deposit)))["actions"] == []


STAFF: Final[dict[str, Json]] = {
    "merchant-cancel": {"reason": "FORCE_MAJEURE", "evidence": ["flood:1"]},
    "questions": {"kind": "contact", "text": "Are you at home on Friday?"},
}


@pytest.mark.parametrize("state", STATES)
def test_a_merchants_actions_are_honest(world: World, state: str) -> None:
    """Until the deposit has ended the merchant may ask, and call it off; afterwards neither."""
    ended = state in {"cancelled", "expired"}
    for command, body in STAFF.items():
        deposit, at = in_state(world, world.buyer(), state)
        merchant = world.merchant()
        seen = accepted(merchant.get(path_of(deposit), asked=at))
        assert set(STAFF) & set(seen["actions"]) == (set() if ended else set(STAFF))
        reply = merchant.post(f"{path_of(deposit)}/{command}", body, asked=at)
        assert check_answer(reply).status == (409 if ended else 200 if command == "merchant-cancel" else 201), reply.raw


def test_the_curve_says_free_until_and_then(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer, world.offer(shipping=cny("88")))
    ends_at = deposit["window"]["ends_at"]
    points = accepted(buyer.get(f"{path_of(deposit)}/refund-curve"))["points"]
    assert [(point["to"], point["amount"]) for point in points] == [(ends_at, cny("5088")), (None, cny("88"))]
    assert points[1]["from"] == ends_at
    late = accepted(buyer.get(f"{path_of(deposit)}/refund-curve", asked=instant(ends_at)))["points"]
    assert [(point["from"], point["to"], point["amount"]) for point in late] == [(ends_at, None, cny("88"))]
    for point in points:
        path = f"{path_of(deposit)}/refund-preview?cause=buyer_cancel&at={point['from']}"
        assert accepted(buyer.get(path, asked=instant(points[0]["from"])))["lines"] == point["lines"]


def test_the_founders_curve_has_its_edge_where_the_undo_ends(world: World) -> None:
    buyer = world.buyer()
    deposit, until = founders(world, buyer)
    points = accepted(buyer.get(f"{path_of(deposit)}/refund-curve"))["points"]
    expected = [(format_instant(until), cny("20000")), (None, cny("0"))]
    assert [(point["to"], point["amount"]) for point in points] == expected


AT: Final = "refund-preview?cause=buyer_cancel&at="


def test_a_preview_looks_from_now_to_two_years_ahead(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    now = instant(deposit["window"]["ends_at"]) - HOUR
    farthest = 2 * 365 * DAY
    for at, fits in ((now, True), (now - 1, False), (now + farthest, True), (now + farthest + 1, False)):
        reply = buyer.get(f"{path_of(deposit)}/{AT}{format_instant(at)}", asked=now)
        assert reply.status == (200 if fits else 422), (at - now, reply.raw)
    check_refusal(buyer.get(f"{path_of(deposit)}/{AT}tomorrow"), 422, "invalid-request", "/at")
    check_refusal(buyer.get(f"{path_of(deposit)}/refund-preview"), 422, "invalid-request", "/cause")
    check_refusal(buyer.get(f"{path_of(deposit)}/refund-preview?cause=chargeback"), 422, "invalid-request", "/cause")


def test_what_a_merchants_cancel_and_a_withdrawal_would_give(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer, shop(world, "CN", "299900", made_to_spec=True))
    at = instant(deposit["window"]["ends_at"])
    path = f"{path_of(deposit)}/refund-preview?cause="
    default = accepted(buyer.get(f"{path}merchant_cancel", asked=at))
    assert (default["amount"], default["forfeited"], default["compensation"]) == (cny("5088"), cny("0"), cny("5000"))
    check_refusal(buyer.get(f"{path}withdrawal", asked=at), 409, "withdrawal-not-available")
    cancel(buyer, deposit)
    for cause in ("buyer_cancel", "merchant_cancel", "withdrawal"):
        check_refusal(buyer.get(f"{path}{cause}"), 409, "already-cancelled")
    check_refusal(buyer.get(f"{path_of(deposit)}/refund-curve"), 409, "already-cancelled")


def test_looking_ahead_writes_nothing(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    at = instant(deposit["window"]["ends_at"]) + DAY
    for path in ("", "/refund-curve", "/refund-preview?cause=buyer_cancel", "/events"):
        accepted(buyer.get(f"{path_of(deposit)}{path}", asked=at))
    assert buyer.get(path_of(deposit)).json["version"] == deposit["version"]
    assert amounts(cancel(buyer, deposit)) == ("5000", "0")


def test_the_history_is_the_same_before_and_after_somebody_writes_it_down(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    ends_at = instant(deposit["window"]["ends_at"])
    world.set_clock(format_instant(ends_at + SECONDS))
    before, events = buyer.get(path_of(deposit)), events_of(buyer, deposit)
    attend(deposit)
    after = buyer.get(path_of(deposit))
    assert events_of(buyer, deposit) == events
    assert after.headers["etag"] == before.headers["etag"] == '"6-locked"'
    unticked = [{**reply.json, "window": reply.json["window"]["ends_at"]} for reply in (before, after)]
    assert unticked[0] == unticked[1]
    assert [event["version"] for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event["id"] for event in events] == [f"evt_{deposit['id'][4:]}_{n}" for n in range(1, 7)]
    announced = [(event["type"], instant(event["at"]) - ends_at) for event in events[2:]]
    assert announced == [
        ("lock.reminder", -72 * HOUR),
        ("lock.reminder", -24 * HOUR),
        ("lock.reminder", -2 * HOUR),
        ("lock.by_window_end", 0),
    ]
    assert [event["actor"] for event in events[2:]] == [{"role": "service", "id": None}] * 4


def test_an_expiry_is_the_same_before_and_after_somebody_writes_it_down(world: World) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    world.advance("PT15M")
    before, events = buyer.get(path_of(deposit)), events_of(buyer, deposit)
    attend(deposit)
    after = buyer.get(path_of(deposit))
    assert (after.raw, events_of(buyer, deposit)) == (before.raw, events)
    assert (events[-1]["type"], events[-1]["at"]) == ("deposit.expired", deposit["payment"]["due_at"])


def test_every_event_says_who_and_when_and_names_nobody(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    deposit = world.paid(buyer, world.offer(merchant))
    cancel(buyer, deposit)
    events = events_of(buyer, deposit)
    assert events == events_of(merchant, deposit)
    assert [event["version"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["actor"] == {"role": "buyer", "id": deposit["buyer"]}
    assert events[1]["actor"] == {"role": "provider", "id": None}
    assert all(event["received_at"] >= event["at"] for event in events)
