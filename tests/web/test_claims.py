"""Claims over HTTP: what is owed is computed, no offer below it, and each kind of claim comes to its own end."""

from typing import Any, Final

import pytest

from chalicelib.core.common.instants import DAY, HOUR, format_instant
from tests.web.answer_checks import (
    ACCOUNT,
    accepted,
    amount_of,
    attend,
    check_refusal,
    cny,
    events_of,
    identity_holds,
    instant,
    pages,
    path_of,
    refund_at,
    refunds_of,
    same,
)
from tests.world import Client, Dispute, Json, Reply, World, rupiah

OWED: Final = rupiah("490000")  # three of line 4 and one of line 5
MISSING: Final = [{"line": 4, "quantity": 3}, {"line": 5, "quantity": 1}]
CLOSED: Final = ("accepted", "upheld", "partly", "dismissed", "withdrawn")


def deposit_of(one: Dispute) -> Json:
    """As it stands, with every rupiah somewhere."""
    found = accepted(one.buyer.get(path_of(one.deposit)))
    assert identity_holds(found)
    return found


def ruled(world: World, one: Dispute, decision: str, amount: Json | None = None, **more: Any) -> Reply:
    """By the platform, which says why."""
    body = {"decision": decision, "reason": "Nothing shows that it left.", "amount": amount}
    return one.say(world.person("platform"), "ruling", body, **more)


def locked(world: World, buyer: Client, merchant: Client, **changes: Any) -> Json:
    """Earnest money of 5,000, locked for good by paying it."""
    return world.final(buyer, merchant, payment={"deposit": cny("5000"), "nature": "earnest"}, **changes)


def test_three_of_five_lines_came_and_the_money_of_the_others_goes_back(world: World) -> None:
    one = world.short()
    claim = one.claim
    assert (claim["status"], claim["lines"], claim["owed"], claim["amount"]) == (
        *("awaiting_merchant", MISSING, OWED, None),
    )
    assert instant(claim["due_at"]) == instant(claim["created_at"]) + 72 * HOUR
    assert (claim["contested"], claim["offered"], claim["paid"], claim["refunds"]) == (False, None, None, [])
    for low in ("50000", "489999"):
        told = check_refusal(one.respond("offer", rupiah(low)), 409, "below-owed")
        assert told["owed"] == OWED
    offered = accepted(one.respond("offer", OWED, "All of it, and we are sorry."))
    assert (offered["status"], offered["offered"]) == ("offered", OWED)
    assert instant(offered["due_at"]) == instant(offered["updated_at"]) + 48 * HOUR
    again = check_refusal(one.respond("offer", OWED), 409, "below-owed")
    assert (again["owed"], again["offered"]) == (OWED, OWED)
    assert accepted(one.respond("offer", rupiah("490001")))["offered"] == rupiah("490001")
    assert check_refusal(one.respond("offer", rupiah("500000")), 409, "wrong-state")["most"] == 2

    done = accepted(one.buyer_says("accept-offer"))
    assert (done["status"], done["paid"], done["due_at"]) == ("accepted", rupiah("490001"), None)
    assert [(step["what"], step["by"], step["statement"]) for step in done["history"]] == [
        ("opened", "buyer", claim["statement"]),
        ("offered", "merchant", "All of it, and we are sorry."),
        ("offered", "merchant", None),
        ("accepted", "buyer", None),
    ]
    after = deposit_of(one)
    assert (after["status"], amount_of(after, "refunding")) == ("completed", "490001")
    refund = refund_at(one.buyer, {"id": done["refund"]})
    assert (refund["cause"], refund["amount"]) == ("claim", rupiah("490001"))
    assert [(line["code"], line["evidence"]) for line in refund["lines"]] == [("owed", [claim["id"]])]
    assert instant(refund["promised_by"]) == instant(done["updated_at"]) + 7 * DAY
    attend(one.deposit)
    assert [row["amount"] for row in world.books(one.deposit)] == [rupiah("490001")]
    assert one.seen() == done


def test_a_merchant_who_agrees_pays_what_is_owed_and_what_was_paid_back_is_not_shipped_any_more(world: World) -> None:
    one = world.short()
    done = accepted(one.respond("accept"))
    assert (done["status"], done["paid"]) == ("accepted", OWED)
    rest = {"lines": [{"line": 4, "quantity": 1}]}
    check_refusal(one.merchant.post(f"{path_of(one.deposit)}/shipments", rest), 409, "wrong-state")
    body = {"deposit": one.deposit["id"], "kind": "short_shipment", "statement": "Again."}
    told = check_refusal(one.buyer.post("/v1/claims", {**body, "lines": MISSING}), 409, "wrong-state")
    assert (told["line"], told["left"]) == (4, 0)


def test_units_are_paid_back_one_by_one_and_the_last_one_brings_the_shipping(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    item = {"sku": "a", "name": "A", "category": "phone", "price": rupiah("33333")}
    terms: Json = {"title": "A", "market": "ID", "currency": "IDR", "preset": "flash_sale", "items": [item]}
    shipping = {"shipping": rupiah("18000"), "limits": {"per_buyer": None}}
    deposit = world.ordered(buyer, world.offer(merchant, **terms, **shipping), 3)
    world.pay(deposit)
    unit = [{"line": 1, "quantity": 1}]
    for paid, status in (("33333", "locked"), ("33333", "locked"), ("51333", "cancelled")):
        one = world.disputed(buyer, merchant, deposit, "short_shipment", lines=unit)
        assert accepted(one.respond("accept"))["paid"] == rupiah(paid)
        assert deposit_of(one)["status"] == status


def test_when_nothing_came_the_claim_ends_the_deposit_and_shipping_goes_back_too(world: World) -> None:
    one = world.short(sent=0)
    assert one.claim["owed"] == rupiah("878000")
    done = accepted(one.respond("accept"))
    after = deposit_of(one)
    assert (after["status"], after["refund"]["cause"], amount_of(after, "refunding")) == (
        "cancelled",
        "claim",
        "878000",
    )
    assert done["refunds"] == [after["refund"]["id"]]
    ended = next(event for event in events_of(one.buyer, one.deposit) if event["type"] == "deposit.cancelled")
    assert ended["data"]["cause"] == "claim"


def test_a_line_that_was_recorded_as_shipped_can_be_claimed_and_stays_contested(world: World) -> None:
    one = world.short()
    again = world.disputed(one.buyer, one.merchant, one.deposit, "short_shipment", lines=[{"line": 1, "quantity": 1}])
    assert (again.claim["contested"], again.claim["owed"]) == (True, rupiah("100000"))
    accepted(again.respond("accept"))
    after = deposit_of(one)
    assert (after["status"], after["items"][0]["shipped"]) == ("locked", 1)
    assert again.seen()["contested"]
    accepted(one.respond("accept"))
    assert deposit_of(one)["status"] == "completed"


def test_before_the_promised_time_only_what_is_said_to_be_shipped_can_be_claimed(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    deposit = world.five_lines(buyer, merchant, delivery={"within": "P10D"})
    from_then = instant(deposit["lock"]["at"]) + 10 * DAY
    body = {"deposit": deposit["id"], "kind": "short_shipment", "statement": "It is late.", "lines": MISSING}
    told = check_refusal(buyer.post("/v1/claims", body, asked=from_then - 1), 409, "wrong-state")
    assert told["claimable_at"] == format_instant(from_then)
    world.disputed(buyer, merchant, deposit, "short_shipment", lines=[{"line": 1, "quantity": 1}])
    accepted(buyer.post("/v1/claims", body, asked=from_then), 201)


# The platform.

RULINGS: Final = [
    # decision    amount     status       paid
    ("uphold",    None,      "upheld",    "490000"),
    ("partly",    "1",       "partly",    "1"),
    ("partly",    "489999",  "partly",    "489999"),
    ("dismiss",   None,      "dismissed", None),
]  # fmt: skip


@pytest.mark.parametrize(("decision", "amount", "status", "paid"), RULINGS)
def test_a_rejection_goes_to_the_platform_which_decides(
    world: World, decision: str, amount: str | None, status: str, paid: str | None
) -> None:
    one = world.short()
    check_refusal(ruled(world, one, "uphold"), 409, "wrong-state")
    rejected = accepted(one.respond("reject", statement="The courier has a signature."))
    assert rejected["status"] == "in_review"
    assert instant(rejected["due_at"]) == instant(rejected["updated_at"]) + 72 * HOUR
    check_refusal(one.respond("accept"), 409, "wrong-state")
    done = accepted(ruled(world, one, decision, rupiah(amount) if amount else None))
    assert (done["status"], done["paid"]) == (status, rupiah(paid) if paid else None)
    assert (done["history"][-1]["by"], done["history"][-1]["statement"]) == ("platform", "Nothing shows that it left.")
    assert amount_of(deposit_of(one), "refunding") == (paid or "0")
    assert deposit_of(one)["status"] == ("completed" if status == "upheld" else "locked")
    late = one.merchant.post(f"{path_of(one.deposit)}/shipments", {"lines": MISSING})
    assert late.status == (409 if status == "upheld" else 200)  # a part settles no unit


def test_a_part_is_less_than_the_whole(world: World) -> None:
    one = world.short()
    accepted(one.respond("reject"))
    check_refusal(ruled(world, one, "partly", OWED), 422, "invalid-request", "/amount")
    check_refusal(ruled(world, one, "partly"), 422, "invalid-request", "/amount")
    check_refusal(ruled(world, one, "uphold", OWED), 422, "invalid-request", "/amount")


def test_a_buyer_may_ask_the_platform_instead_of_taking_an_offer(world: World) -> None:
    one = world.short()
    check_refusal(one.buyer_says("escalate"), 409, "wrong-state")
    accepted(one.respond("offer", rupiah("600000")))
    asked = accepted(one.buyer_says("escalate"))
    assert (asked["status"], asked["offered"], asked["history"][-1]["by"]) == (
        *("in_review", rupiah("600000"), "buyer"),
    )
    check_refusal(one.buyer_says("accept-offer"), 409, "wrong-state")
    check_refusal(one.respond("offer", rupiah("600001")), 409, "wrong-state")
    assert accepted(ruled(world, one, "uphold"))["paid"] == OWED  # what is owed, not what was offered


# Ends and evidence.


def offered(one: Dispute) -> None:
    accepted(one.respond("offer", OWED))


def rejected(one: Dispute) -> None:
    accepted(one.respond("reject"))


@pytest.mark.parametrize("step", [None, offered, rejected], ids=["waiting", "offered", "in review"])
def test_a_claim_can_be_taken_back_from_wherever_it_stands_and_opened_again(world: World, step: Any) -> None:
    one = world.short()
    if step is not None:
        step(one)
    gone = accepted(one.buyer_says("withdraw"))
    assert (gone["status"], gone["due_at"], gone["paid"]) == ("withdrawn", None, None)
    for reply in (
        one.respond("accept"),
        *(one.buyer_says(what) for what in ("accept-offer", "escalate", "withdraw")),
        one.say(one.buyer, "evidence", {"evidence": ["photo:1"]}),
        ruled(world, one, "uphold"),
    ):
        assert check_refusal(reply, 409, "claim-closed")["state"] == "withdrawn"
    assert one.seen() == gone
    again = world.disputed(one.buyer, one.merchant, one.deposit, "short_shipment", lines=MISSING)
    assert again.claim["id"].endswith("_2")


def test_both_sides_hand_in_evidence_while_it_is_open_and_each_item_counts_once(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    deposit = world.five_lines(buyer, merchant)
    one = world.disputed(buyer, merchant, deposit, "short_shipment", lines=MISSING, evidence=["photo:1", "photo:1"])
    said: list[tuple[Client, Json]] = [
        (buyer, {"evidence": ["photo:2"], "statement": "The box was this small."}),
        (merchant, {"evidence": ["scan:1", "photo:2"]}),
    ]
    for who, body in said:
        accepted(one.say(who, "evidence", body))
    seen = one.seen()
    assert seen["evidence"] == ["photo:1", "photo:2", "scan:1"]
    assert [(step["by"], step["evidence"], step["statement"]) for step in seen["history"][1:]] == [
        ("buyer", ["photo:2"], "The box was this small."),
        ("merchant", ["scan:1", "photo:2"], None),
    ]
    many = {"evidence": [f"photo:{n}" for n in range(16)]}
    accepted(one.say(buyer, "evidence", many))  # 1 + 1 + 2 + 16
    assert check_refusal(one.say(merchant, "evidence", {"evidence": ["scan:2"]}), 429, "rate-limited")["most"] == 20
    accepted(one.respond("accept"))
    check_refusal(one.say(buyer, "evidence", {"evidence": ["photo:99"]}), 409, "claim-closed")


def test_ten_claims_of_a_deposit_are_enough(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    deposit = locked(world, buyer, merchant)
    for _ in range(10):
        accepted(world.disputed(buyer, merchant, deposit, "privacy").buyer_says("withdraw"))
    body = {"deposit": deposit["id"], "kind": "privacy", "statement": "Once more."}
    assert check_refusal(buyer.post("/v1/claims", body), 429, "rate-limited")["most"] == 10
    assert "claims" not in accepted(buyer.get(path_of(deposit)))["actions"]


OPEN_FOR: Final = [
    # after the cancellation   status
    (180 * DAY - 1,            201),
    (180 * DAY,                409),
]  # fmt: skip


@pytest.mark.parametrize(("after", "status"), OPEN_FOR)
def test_a_claim_can_be_opened_for_180_days(world: World, after: int, status: int) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    deposit = locked(world, buyer, merchant)
    ended = instant(accepted(buyer.post(f"{path_of(deposit)}/cancel"))["updated_at"])
    body = {"deposit": deposit["id"], "kind": "privacy", "statement": "Who has my address?"}
    reply = buyer.post("/v1/claims", body, asked=ended + after)
    assert reply.status == status
    if status == 409:
        assert check_refusal(reply, 409, "claim-closed")["until"] == format_instant(ended + 180 * DAY)


# Kinds.


def test_a_lock_by_mistake_gives_everything_back(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    one = world.disputed(buyer, merchant, locked(world, buyer, merchant), "mistaken_lock")
    assert one.claim["owed"] == cny("5000")
    accepted(one.respond("accept"))
    after = deposit_of(one)
    assert (after["status"], amount_of(after, "refunding"), amount_of(after, "forfeited")) == ("cancelled", "5000", "0")


def test_what_a_lock_by_mistake_cost_comes_back_after_the_end(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    deposit = locked(world, buyer, merchant)
    accepted(buyer.post(f"{path_of(deposit)}/cancel"))
    one = world.disputed(buyer, merchant, deposit, "mistaken_lock")
    assert (one.claim["owed"], amount_of(deposit_of(one), "forfeited")) == (cny("5000"), "5000")
    done = accepted(one.respond("accept"))
    assert "reversed" not in [step["what"] for step in done["history"]]
    after = deposit_of(one)
    assert (amount_of(after, "forfeited"), amount_of(after, "refunding")) == ("0", "5000")
    attend(deposit)
    assert [row["amount"] for row in world.books(deposit) if row["amount"] != cny("0")] == [cny("5000")]


MISTAKES: Final = [
    # after the lock   problem
    (7 * DAY - 1,      None),
    (7 * DAY,          "claim-closed"),
]  # fmt: skip


@pytest.mark.parametrize(("after", "problem"), MISTAKES)
def test_a_lock_can_be_called_a_mistake_for_a_week(world: World, after: int, problem: str | None) -> None:
    buyer = world.buyer()
    deposit = locked(world, buyer, world.merchant())
    at = instant(deposit["lock"]["at"]) + after
    body = {"deposit": deposit["id"], "kind": "mistaken_lock", "statement": "My child did it."}
    reply = buyer.post("/v1/claims", body, asked=at)
    if problem is None:
        accepted(reply, 201)
    else:
        check_refusal(reply, 409, problem)


def test_nobody_mistakes_the_end_of_a_window(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    at = instant(deposit["window"]["ends_at"])
    body = {"deposit": deposit["id"], "kind": "mistaken_lock", "statement": "I was asleep."}
    for asked in (at - 1, at):
        check_refusal(buyer.post("/v1/claims", body, asked=asked), 409, "wrong-state")


def test_the_fee_of_a_trade_in_comes_back_with_shipping(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    deposit = world.traded(buyer, world.trading(merchant))
    body = {"deposit": deposit["id"], "kind": "trade_in", "statement": "It was not scratched."}
    check_refusal(buyer.post("/v1/claims", body), 409, "wrong-state")
    found = {"outcome": "mismatched", "grounds": ["PH_CONDITION_MISMATCH"], "evidence": ["photo:1"]}
    accepted(world.inspector().post(f"/v1/trade-ins/{deposit['trade_in']['id']}/inspection", found))
    one = world.disputed(buyer, merchant, deposit, "trade_in")
    assert one.claim["owed"] == rupiah("58000")  # the fee of 40,000 and shipping
    accepted(one.respond("reject"))
    accepted(ruled(world, one, "uphold"))
    after = deposit_of(one)
    assert (amount_of(after, "fees"), amount_of(after, "refunding")) == ("0", "2218000")


AMOUNTS: Final = [
    # what is asked   problem
    ("5000",          None),
    ("5000.01",       "refund-exceeds-refundable"),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "problem"), AMOUNTS)
def test_a_claim_of_an_amount_is_for_no_more_than_is_there(world: World, asked: str, problem: str | None) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    deposit = locked(world, buyer, merchant)
    body = {"deposit": deposit["id"], "kind": "refund_amount", "statement": "Too little.", "amount": cny(asked)}
    reply = buyer.post("/v1/claims", body)
    if problem is not None:
        assert check_refusal(reply, 409, problem)["refundable"] == cny("5000")
        return
    one = Dispute(buyer, merchant, deposit, accepted(reply, 201))
    assert (one.claim["owed"], one.claim["amount"]) == (cny("5000"), cny("5000"))
    grant = {"deposit": deposit["id"], "amount": cny("1"), "expected_refundable": deposit_of(one)["refundable"]}
    check_refusal(merchant.post("/v1/refunds", grant), 409, "funds-in-dispute")
    accepted(one.respond("accept"))
    after = deposit_of(one)
    assert (after["status"], amount_of(after, "refunding")) == ("locked", "5000")


def test_a_privacy_claim_goes_to_the_platform_at_once(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    one = world.disputed(buyer, merchant, locked(world, buyer, merchant), "privacy")
    assert (one.claim["status"], one.claim["owed"]) == ("in_review", cny("0"))
    assert instant(one.claim["due_at"]) == instant(one.claim["created_at"]) + 72 * HOUR
    check_refusal(one.respond("accept"), 409, "wrong-state")
    done = accepted(ruled(world, one, "uphold"))
    assert (done["status"], done["paid"], done["refund"]) == ("upheld", cny("0"), None)
    assert (deposit_of(one)["status"], refunds_of(buyer, one.deposit)) == ("locked", [])


# The same money, twice.


def test_money_is_claimed_once_at_a_time(world: World) -> None:
    one = world.short()
    claims: Json = {"deposit": one.deposit["id"], "statement": "Again."}
    part = {"kind": "short_shipment", "lines": [{"line": 5, "quantity": 1}]}
    assert (
        check_refusal(one.buyer.post("/v1/claims", {**claims, **part}), 409, "funds-in-dispute")["claim"]
        == one.claim["id"]
    )
    rest = {"kind": "other", "amount": rupiah("388001")}  # 878,000 less what the first claim is about, and 1
    check_refusal(one.buyer.post("/v1/claims", {**claims, **rest}), 409, "funds-in-dispute")
    rest = {"kind": "other", "amount": rupiah("388000")}
    accepted(one.buyer.post("/v1/claims", {**claims, **rest}), 201)


def test_what_went_back_another_way_is_not_paid_twice(world: World) -> None:
    one = world.short()
    cancelled = accepted(one.buyer.post(f"{path_of(one.deposit)}/cancel"))
    before = amount_of(cancelled, "refunding")
    done = accepted(one.respond("accept"))
    assert (done["status"], done["paid"], done["refunds"]) == ("accepted", rupiah("0"), [])
    assert amount_of(deposit_of(one), "refunding") == before


def test_while_a_bank_disputes_the_money_nothing_of_it_can_be_claimed(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    deposit = locked(world, buyer, merchant)
    world.pay(deposit, "chargeback_opened")
    body = {"deposit": deposit["id"], "kind": "other", "statement": "Mine.", "amount": cny("1")}
    assert check_refusal(buyer.post("/v1/claims", body), 409, "funds-in-dispute")["refundable"] == cny("0")
    world.pay(deposit, "chargeback_won")
    accepted(buyer.post("/v1/claims", body), 201)


def test_a_claim_is_decided_while_a_bank_disputes_its_money_and_paid_when_the_bank_has_decided(world: World) -> None:
    one = world.short()
    world.pay(one.deposit, "chargeback_opened")
    done = accepted(one.respond("accept"))
    assert done["paid"] == OWED
    attend(one.deposit)
    assert world.books(one.deposit) == []
    world.pay(one.deposit, "chargeback_won")
    attend(one.deposit)
    assert [row["amount"] for row in world.books(one.deposit)] == [OWED]


# Lists.


def test_the_undecided_are_listed_by_the_time_that_silence_decides(own: World) -> None:
    buyer, merchant, rival = own.buyer(), own.merchant(), own.merchant("mer_rival")
    shops = [(merchant, locked(own, buyer, merchant)) for _ in range(3)] + [(rival, locked(own, buyer, rival))]
    claims = [own.disputed(buyer, who, deposit, "other", amount=cny("1")) for who, deposit in shops]
    accepted(claims[0].respond("offer", cny("2")))  # waits for 48 hours instead of 72, so it comes first
    accepted(claims[1].respond("accept"))
    privacy = own.disputed(buyer, merchant, claims[0].deposit, "privacy")
    own.advance("PT1H")
    ids = [claims[0].claim["id"], privacy.claim["id"], claims[2].claim["id"]]
    path = "/v1/claims?status=open"
    for limit in (1, 2, 100):
        rows: list[Json] = []
        cursor = ""
        while True:
            page = accepted(merchant.get(f"{path}&limit={limit}{cursor}"))
            rows += page["data"]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert [row["id"] for row in rows] == ids
    assert [row["id"] for row in pages(rival, path, 100)] == [claims[3].claim["id"]]
    everywhere = [row["id"] for row in pages(own.person("platform"), path, 100)]
    assert sorted(everywhere) == sorted([*ids, claims[3].claim["id"]])
    assert [row["id"] for row in pages(buyer, f"/v1/claims?deposit={claims[0].deposit['id']}", 100)] == [
        privacy.claim["id"],
        claims[0].claim["id"],
    ]


def test_what_silence_has_decided_is_no_longer_undecided(own: World) -> None:
    buyer, merchant = own.buyer(), own.merchant()
    one = own.disputed(buyer, merchant, locked(own, buyer, merchant), "other", amount=cny("1"))
    due_at = instant(one.claim["due_at"])
    own.set_clock(format_instant(due_at - HOUR))
    path = "/v1/claims?status=open"
    for early, count in ((-1, 1), (0, 0)):
        assert len(accepted(merchant.get(path, asked=due_at + early))["data"]) == count
    own.set_clock(format_instant(due_at))
    own.run("close_windows")
    assert accepted(merchant.get(path))["data"] == []


# The same key, another version.


def test_every_command_is_answered_again_whatever_happened_since(world: World) -> None:
    buyer, merchant, platform = world.buyer(), world.merchant(), world.person("platform")
    deposit = world.five_lines(buyer, merchant)
    asked: list[tuple[Client, str, Json, Reply]] = []

    def send(who: Client, path: str, body: Json, status: int = 200) -> Json:
        reply = who.post(path, body, idempotency_key="once", accept_language="zh")
        asked.append((who, path, body, reply))
        return accepted(reply, status)

    about = {"deposit": deposit["id"], "kind": "short_shipment", "statement": "Two lines.", "lines": MISSING}
    claim = send(buyer, "/v1/claims", about, 201)
    assert asked[0][3].headers["location"] == f"/v1/claims/{claim['id']}"
    at = f"/v1/claims/{claim['id']}"
    send(buyer, f"{at}/evidence", {"evidence": ["photo:1"], "statement": "Look."})
    send(merchant, f"{at}/evidence", {"evidence": ["scan:1"]})
    send(merchant, f"{at}/responses", {"decision": "offer", "amount": OWED, "statement": "All."})
    send(buyer, f"{at}/escalate", {})
    send(platform, f"{at}/ruling", {"decision": "partly", "amount": rupiah("5"), "reason": "A little."})
    attend(deposit)
    world.advance("PT80H")
    attend(deposit)
    before = accepted(buyer.get(path_of(deposit)))["version"]
    for who, path, body, reply in asked:
        same(reply, who.post(path, body, idempotency_key="once", accept_language="id"))
        if body:
            other = {**body, "statement": "Another."} if "reason" not in body else {**body, "reason": "Another."}
            check_refusal(who.post(path, other, idempotency_key="once"), 422, "idempotency-key-reused")
    assert accepted(buyer.get(path_of(deposit)))["version"] == before


def test_the_key_of_a_claim_belongs_to_one_deposit_and_another_key_is_another_claim(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    first, second = locked(world, buyer, merchant), locked(world, buyer, merchant)
    body = {"deposit": first["id"], "kind": "other", "statement": "Mine.", "amount": cny("1")}
    made = buyer.post("/v1/claims", body, idempotency_key="c")
    accepted(made, 201)
    elsewhere = buyer.post("/v1/claims", {**body, "deposit": second["id"]}, idempotency_key="c")
    check_refusal(elsewhere, 422, "idempotency-key-reused")
    assert accepted(buyer.get(f"/v1/claims?deposit={second['id']}"))["data"] == []
    same(made, buyer.post("/v1/claims", body, idempotency_key="c"))
    check_refusal(buyer.post("/v1/claims", body, idempotency_key="d"), 409, "funds-in-dispute")
    accepted(buyer.post("/v1/claims", {**body, "deposit": second["id"]}, idempotency_key="d"), 201)


def test_a_claim_that_was_refused_may_come_true_with_the_same_key(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    deposit = locked(world, buyer, merchant)
    body = {"deposit": deposit["id"], "kind": "other", "statement": "Mine.", "amount": cny("5001")}
    check_refusal(buyer.post("/v1/claims", body, idempotency_key="c"), 409, "refund-exceeds-refundable")
    accepted(buyer.post("/v1/claims", {**body, "amount": cny("5000")}, idempotency_key="c"), 201)


def test_an_answer_may_name_the_state_of_the_deposit_that_it_was_decided_on(world: World) -> None:
    one = world.short()
    seen = one.merchant.get(path_of(one.deposit)).headers["etag"]
    accepted(one.say(one.buyer, "evidence", {"evidence": ["photo:1"]}))
    current = one.merchant.get(path_of(one.deposit)).headers["etag"]
    assert check_refusal(one.respond("accept", if_match=seen), 412, "stale-version")["etag"] == current
    check_refusal(one.respond("offer", rupiah("1"), if_match=seen), 412, "stale-version")
    check_refusal(one.respond("offer", if_match=seen), 422, "invalid-request", "/amount")
    check_refusal(one.respond("offer", rupiah("1"), if_match=current), 409, "below-owed")
    accepted(one.respond("accept", if_match=current))
    check_refusal(one.respond("accept", if_match=current), 412, "stale-version")
    check_refusal(one.respond("accept", if_match="*"), 409, "claim-closed")


def test_what_is_written_stays_between_the_two_and_the_platform(world: World) -> None:
    """Words are told with the claim; the deposit's history shows that something was said, and not what."""
    one = world.short()
    accepted(one.respond("reject", statement="Secret of the shop."))
    for who in (one.buyer, one.merchant, world.person("platform")):
        assert "Secret of the shop." in who.get(one.path).raw.decode()
        told = who.get(f"{path_of(one.deposit)}/events?limit=100").raw.decode()
        assert "claim.rejected" in told
        assert "Secret" not in told
        assert "not what I paid for" not in told


def test_the_refund_says_what_it_is_for_in_every_language(world: World) -> None:
    one = world.short()
    done = accepted(one.respond("accept"))
    rules = []
    for locale in ("en", "id", "zh"):
        [line] = accepted(one.buyer.get(f"/v1/refunds/{done['refund']}", accept_language=locale))["lines"]
        assert (line["code"], line["rule"]["id"]) == ("owed", "claims/short_shipment")
        rules += [line["text"], line["rule"]["text"]]
    assert len(set(rules)) == 6


def test_an_account_is_asked_for_where_there_is_no_way_back(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    deposit = world.final(buyer, merchant, payment={"methods": ["virtual_account"], "deposit": cny("5000")})
    done = accepted(world.disputed(buyer, merchant, deposit, "other", amount=cny("5")).respond("accept"))
    refund = refund_at(buyer, {"id": done["refund"]})
    assert (refund["status"], refund["cause"]) == ("requires_action", "claim")
    accepted(buyer.post(f"/v1/refunds/{refund['id']}/destination", ACCOUNT))
    assert [one["id"] for one in refunds_of(buyer, deposit)] == [refund["id"]]
