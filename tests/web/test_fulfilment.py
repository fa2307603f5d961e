"""After the lock over HTTP: ready, balance, shipments, both words on arrival, completion, and a buyer's default."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from chalicelib.core.common.instants import DAY, HOUR, SECOND, format_instant
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

WEEK: Final = 7 * DAY
EVIDENCE: Final = ["photo:8f14e45f"]
LONG_AGO: Final = "2020-01-01T00:00:00.000Z"
ITEMS: Final = [
    {"sku": "max", "name": "Max", "price": cny("100000"), "stock": 1000},
    {"sku": "mat", "name": "Mat", "price": cny("500"), "stock": 1000},
]
ORDER: Final = [{"sku": "max", "quantity": 2}, {"sku": "mat", "quantity": 1}]
IN_FULL: Final[Json] = {"take": "full", "nature": "advance"}
PAID, BALANCE, TOTAL = "15088", "185500", "200588"


@dataclass(frozen=True)
class Life:
    """A deposit of two lines whose lock is final, and the two who deal with it: 5,000 for each of three units."""

    world: World
    buyer: Client
    merchant: Client
    deposit: Json

    def say(self, who: Client, command: str, body: Any, asked: int | None = None, **headers: str) -> Reply:
        return who.post(f"{path_of(self.deposit)}/{command}", body, asked=asked, **headers)

    def ready(self, *lines: int, inspect_at: str = LONG_AGO, **options: Any) -> Reply:
        body = {"lines": lines, "inspect_at": inspect_at, "evidence": EVIDENCE}
        return self.say(self.merchant, "ready", body, **options)

    def pay(self, method: str = "alipay", **options: Any) -> Reply:
        return self.say(self.buyer, "balance-payments", {"payment_method": method}, **options)

    def ship(self, *units: tuple[int, int], **options: Any) -> Reply:
        lines = [{"line": line, "quantity": quantity} for line, quantity in units]
        return self.say(self.merchant, "shipments", {"lines": lines}, **options)

    def deliver(self, *lines: Any, delivered_at: str, **options: Any) -> Reply:
        body = {"lines": lines, "delivered_at": delivered_at, "evidence": EVIDENCE}
        return self.say(self.merchant, "deliveries", body, **options)

    def receive(self, **options: Any) -> Reply:
        return self.say(self.buyer, "receipt", {}, **options)

    def default(self, **options: Any) -> Reply:
        return self.say(self.merchant, "buyer-default", {}, **options)

    def seen(self, asked: int | None = None) -> Json:
        """The deposit now, with every fen somewhere."""
        found = accepted(self.buyer.get(path_of(self.deposit), asked=asked))
        assert identity_holds(found)
        return found

    def may(self) -> tuple[list[str], list[str]]:
        """What the buyer and what the merchant may do now; the merchant may ask and call it off until it has ended."""
        return self.seen()["actions"], accepted(self.merchant.get(path_of(self.deposit)))["actions"]

    def do(self, role: str, command: str) -> Reply:
        """A command of either of the two, with a body that fits every stage; what arrived has just arrived."""
        body = COMMANDS[role][command]
        if command == "deliveries":
            body = {**body, "delivered_at": self.seen()["updated_at"]}
        if command == "claims":
            return self.buyer.post("/v1/claims", {**body, "deposit": self.deposit["id"]})
        if command == "refunds":
            body = {**body, "deposit": self.deposit["id"], "expected_refundable": self.seen()["refundable"]}
            return self.merchant.post("/v1/refunds", body)
        return self.say(self.buyer if role == "buyer" else self.merchant, command, body)

    def paid(self) -> Json:
        self.world.pay(accepted(self.pay()))
        return self.seen()


SHOPS: Final[dict[str, tuple[Client, Json]]] = {}


def life(world: World, **changes: Any) -> Life:
    """Under an offer of its own terms, which lives of the same terms share."""
    buyer = world.buyer()
    terms = {"preset": "su7_founders_2024", "lock": {"undo": None}, "payment": {"deposit": cny("5000")}, **changes}
    if str(terms) not in SHOPS:
        merchant = world.merchant("mer_whole")
        SHOPS[str(terms)] = merchant, world.offer(merchant, items=ITEMS, shipping=cny("88"), **terms)
    merchant, offer = SHOPS[str(terms)]
    deposit = accepted(buyer.post("/v1/deposits", world.order(offer, items=ORDER)), 201)
    world.pay(deposit)
    return Life(world, buyer, merchant, accepted(buyer.get(path_of(deposit))))


def test_the_whole_life_to_completed(world: World) -> None:
    one = life(world)
    seen = one.seen()
    assert (seen["status"], seen["lock"]["final"], seen["due_now"]) == ("locked", True, cny(PAID))
    assert (seen["total"], seen["balance"], seen["balance_due_at"]) == (cny(TOTAL), cny(BALANCE), None)
    assert one.may() == (
        ["balance-payments", "cancel", "claims", "withdrawals"],
        ["merchant-cancel", "questions", "ready", "refunds"],
    )

    half = accepted(one.ready(1))
    assert half["balance_due_at"] is None
    assert one.may() == (
        ["balance-payments", "cancel", "claims", "withdrawals"],
        ["merchant-cancel", "questions", "ready", "refunds"],
    )
    tomorrow = format_instant(instant(half["updated_at"]) + DAY)
    whole = accepted(one.ready(2, inspect_at=tomorrow))
    assert whole["balance_due_at"] == format_instant(instant(tomorrow) + WEEK)
    assert one.may() == (
        ["balance-payments", "cancel", "claims", "withdrawals"],
        ["merchant-cancel", "questions", "refunds"],
    )

    opened = accepted(one.pay())
    payment = opened["payment"]
    assert (payment["id"], payment["method"]) == (f"pay_{opened['id'][4:]}_2", "alipay")
    assert (payment["status"], payment["amount"]) == ("requires_action", cny(BALANCE))
    assert payment["next_action"] == {"type": "redirect", "url": f"/pay/{payment['id']}"}
    assert world.anyone().get(payment["next_action"]["url"]).status == 303
    assert (amount_of(one.seen(), "captured"), opened["balance"]) == (PAID, cny(BALANCE))
    world.pay(opened)
    paid = one.seen()
    assert (paid["balance"], paid["balance_due_at"], paid["payment"]["status"]) == (cny("0"), None, "succeeded")
    assert (amount_of(paid, "captured"), amount_of(paid, "held")) == (TOTAL, TOTAL)
    assert [line["paid"]["amount"] for line in paid["items"]] == ["200000", "500"]
    assert one.may() == (["cancel", "claims", "withdrawals"], ["merchant-cancel", "questions", "refunds", "shipments"])

    part = accepted(one.ship((1, 1)))
    assert (part["status"], [line["shipped"] for line in part["items"]]) == ("locked", [1, 0])
    assert one.may() == (
        ["cancel", "claims", "receipt", "withdrawals"],
        ["deliveries", "merchant-cancel", "questions", "refunds", "shipments"],
    )
    done = accepted(one.ship((1, 1), (2, 1)))
    assert (done["status"], [line["shipped"] for line in done["items"]]) == ("completed", [2, 1])
    assert one.may() == (["claims", "receipt", "withdrawals"], ["deliveries", "refunds"])

    told = accepted(one.deliver(1, {"line": 2}, delivered_at=done["updated_at"]))
    assert told["status"] == "completed"
    assert one.may() == (["claims", "receipt", "withdrawals"], ["refunds"])
    accepted(one.receive())
    assert one.may() == (["claims", "withdrawals"], ["refunds"])
    assert amount_of(one.seen(), "held") == TOTAL
    assert_history(one, tomorrow)


def assert_history(one: Life, inspect_at: str) -> None:
    """Each step in the merchant's and the buyer's eyes, with its data and nothing of the shelves."""
    events = events_of(one.buyer, one.deposit)
    assert events == events_of(one.merchant, one.deposit)
    data = {(event["type"], n): event["data"] for n, event in enumerate(events, start=1)}
    first, second = data["goods.ready", 4], data["goods.ready", 5]
    assert first == {
        "lines": [1],
        "inspect_at": LONG_AGO,
        "evidence": EVIDENCE,
        "balance_due_at": None,
        "cure_until": None,
    }
    due = instant(inspect_at) + WEEK
    assert (second["balance_due_at"], second["cure_until"]) == (format_instant(due), format_instant(due + WEEK))
    opened, came = data["balance.opened", 6], data["balance.paid", 7]
    assert (opened["method"], opened["amount"]) == ("alipay", cny(BALANCE))
    assert (came["payment"], came["amount"]) == (2, cny(BALANCE))
    assert data["goods.shipped", 8] == {"lines": [{"line": 1, "quantity": 1}]}
    rest = [{"line": 1, "quantity": 1}, {"line": 2, "quantity": 1}]
    both = [{"line": 1, "quantity": 2}, {"line": 2, "quantity": 1}]
    assert data["goods.shipped", 9] == {"lines": rest}
    assert data["deposit.completed", 10] == {}
    assert data["goods.delivered", 11]["lines"] == both
    assert data["goods.delivered", 11]["evidence"] == EVIDENCE
    assert data["goods.received", 12] == {"lines": both}
    assert not [event for event in events if {"stock", "batch", "limit_units", "token_key"} & set(event["data"])]


# What is offered is accepted, what is not offered is refused, for each of the two at each stage.

INVENTED: Final = "2000-01-01T00:00:00Z"
COMMANDS: Final[dict[str, dict[str, Json]]] = {
    "buyer": {
        "balance-payments": {"payment_method": "card"},
        "cancel": {},
        "changes": {"items": ORDER},
        "claims": {"kind": "privacy", "statement": "Who has my address?"},
        "lock-intents": {},
        "payment-method": {"payment_method": "alipay"},
        "receipt": {},
        "unlock": {},
        "withdrawals": {"name": "Ana", "reach": "ana@example.com"},
    },
    "merchant": {
        "buyer-default": {},
        "deliveries": {"lines": [1], "delivered_at": INVENTED, "evidence": EVIDENCE},
        "merchant-cancel": {"reason": "FORCE_MAJEURE", "evidence": EVIDENCE},
        "questions": {"kind": "contact", "text": "Are you at home on Friday?"},
        "ready": {"lines": [2], "inspect_at": INVENTED, "evidence": EVIDENCE},
        "refunds": {"amount": cny("0.01")},
        "shipments": {"lines": [{"line": 1, "quantity": 1}]},
    },
}
STAGES: Final[dict[str, list[Callable[[Life], object]]]] = {
    "locked": [],
    "half ready": [lambda one: one.ready(1)],
    "ready": [lambda one: one.ready(1, 2)],
    "balance opened": [lambda one: one.pay()],
    "paid": [Life.paid],
    "partly shipped": [Life.paid, lambda one: one.ship((1, 1))],
    "arrived in part": [Life.paid, lambda one: one.ship((1, 1)), Life.receive],
    "completed": [Life.paid, lambda one: one.ship((1, 2), (2, 1))],
    "received": [Life.paid, lambda one: one.ship((1, 2), (2, 1)), Life.receive],
    "cancelled": [lambda one: one.say(one.buyer, "cancel", {})],
}


def at_stage(world: World, stage: str) -> Life:
    one = life(world)
    for step in STAGES[stage]:
        step(one)
    return one


@pytest.mark.parametrize("stage", STAGES)
def test_actions_are_honest_at_every_stage(world: World, stage: str) -> None:
    """What is not offered is refused first; then all that is offered is done, the end of it all last."""
    one = at_stage(world, stage)
    version, offered = one.seen()["version"], dict(zip(COMMANDS, one.may(), strict=True))
    for role, commands in COMMANDS.items():
        for command in set(commands) - set(offered[role]):
            refused_for_its_state(one.do(role, command))
    assert one.seen()["version"] == version
    if "merchant-cancel" in offered["merchant"]:  # it ends the deposit like a cancel, so it has one of its own
        offered["merchant"].remove("merchant-cancel")
        assert accepted(at_stage(world, stage).do("merchant", "merchant-cancel"))["status"] == "cancelled"
    wanted = [(role, command) for role in COMMANDS for command in offered[role]]
    for role, command in sorted(wanted, key=lambda one: one[1] == "cancel"):
        assert command in dict(zip(COMMANDS, one.may(), strict=True))[role]
        reply = one.do(role, command)
        assert reply.status in {200, 201}, (role, command, reply.raw)


def refused_for_its_state(reply: Reply) -> None:
    assert reply.status == 409, reply.raw


# The balance.


def test_a_second_way_to_pay_replaces_the_first_and_what_it_brings_goes_back(world: World) -> None:
    one = life(world)
    former = accepted(one.pay("alipay"))
    latest = accepted(one.pay("card"))
    assert (latest["payment"]["id"], latest["payment"]["method"]) == (f"pay_{latest['id'][4:]}_3", "card")
    world.pay(former)
    seen = one.seen()
    assert (seen["balance"], amount_of(seen, "refunding")) == (cny(BALANCE), BALANCE)
    assert [refund["cause"] for refund in refunds_of(one.buyer, one.deposit)] == ["duplicate_payment"]
    world.pay(latest)
    assert (one.seen()["balance"], amount_of(one.seen(), "held")) == (cny("0"), TOTAL)


AMOUNTS: Final = [
    # the provider took      balance   held      refunding   cause
    (cny("185499.99"),       BALANCE,  PAID,     "185499.99", ["amount_mismatch"]),
    (cny("185500"),          "0",      TOTAL,    "0",         []),
    (cny("185500.01"),       "0",      TOTAL,    "0.01",      ["overpayment"]),
]  # fmt: skip


@pytest.mark.parametrize(("amount", "balance", "held", "refunding", "causes"), AMOUNTS)
def test_only_the_exact_balance_counts(
    world: World, amount: Json, balance: str, held: str, refunding: str, causes: list[str]
) -> None:
    one = life(world)
    world.pay(accepted(one.pay()), amount=amount)
    seen = one.seen()
    assert (seen["balance"], amount_of(seen, "held"), amount_of(seen, "refunding")) == (cny(balance), held, refunding)
    assert [refund["cause"] for refund in refunds_of(one.buyer, one.deposit)] == causes


def test_an_event_that_was_lost_is_looked_for(world: World) -> None:
    one = life(world)
    opened = accepted(one.pay())
    world.arm("webhook", "lost_event")
    world.pay(opened)
    assert one.seen()["balance"] == cny(BALANCE)
    world.advance("PT5M")
    attend(one.deposit)
    assert one.seen()["balance"] == cny("0")


def test_a_method_that_is_not_offered_pays_no_balance(world: World) -> None:
    one = life(world)
    check_refusal(one.pay("gopay"), 422, "payment-method-not-offered", "/payment_method")
    check_refusal(one.say(one.buyer, "balance-payments", {}), 422, "invalid-request", "/payment_method")
    assert check_refusal(one.ship((1, 1)), 409, "wrong-state")["balance"] == cny(BALANCE)


def test_a_deposit_paid_in_full_has_no_balance(world: World) -> None:
    one = life(world, payment=IN_FULL)
    assert (one.seen()["balance"], one.seen()["balance_due_at"]) == (cny("0"), None)
    assert one.may() == (
        ["cancel", "claims", "withdrawals"],
        ["merchant-cancel", "questions", "ready", "refunds", "shipments"],
    )
    assert accepted(one.ready(1, 2))["balance_due_at"] is None
    check_refusal(one.pay(), 409, "wrong-state")
    assert accepted(one.ship((1, 2), (2, 1)))["status"] == "completed"


def test_every_step_is_answered_again_whatever_came_later(world: World) -> None:
    one = life(world)
    steps: list[tuple[Reply, Callable[[], Reply]]] = []

    def step(ask: Callable[[], Reply]) -> Json:
        first = ask()
        steps.append((first, ask))
        for former, again in steps:
            if former is not first:
                same(former, again())
        return accepted(first)

    step(lambda: one.ready(1, 2, idempotency_key="r"))
    world.pay(step(lambda: one.pay(idempotency_key="b")))
    step(lambda: one.ship((1, 1), idempotency_key="s"))
    done = step(lambda: one.ship((1, 1), (2, 1), idempotency_key="t"))
    step(lambda: one.deliver(1, delivered_at=done["updated_at"], idempotency_key="d"))
    step(lambda: one.receive(idempotency_key="w"))
    version = one.seen()["version"]
    for former, again in steps:
        same(former, again())
    assert one.seen()["version"] == version


# Leaving when a part is there, and what the preview says of it.


@pytest.mark.parametrize("stage", ["locked", "paid", "partly shipped", "arrived in part"])
def test_a_cancel_gives_back_exactly_what_the_preview_said(world: World, stage: str) -> None:
    one = at_stage(world, stage)
    preview = accepted(one.buyer.get(f"{path_of(one.deposit)}/refund-preview?cause=buyer_cancel"))
    cancelled = accepted(one.say(one.buyer, "cancel", {}))
    assert identity_holds(cancelled)
    rows = refunds_of(one.buyer, one.deposit)
    assert sum_of(row["amount"] for row in rows) == sum_of([preview["amount"]])
    lines = [line for row in rows for line in row["lines"]]
    for code in {line["code"] for line in lines}:
        told = [line["amount"] for line in preview["lines"] if line["code"] == code]
        assert sum_of(line["amount"] for line in lines if line["code"] == code) == sum_of(told)
    assert preview["forfeited"] == cancelled["money"]["forfeited"]
    attend(one.deposit)
    assert sum_of(row["amount"] for row in world.books(one.deposit)) == sum_of([preview["amount"]])


def sum_of(amounts: Any) -> int:
    """In fen."""
    parts = [one["amount"].partition(".") for one in amounts]
    return sum(
        int(whole) * 100 + (-1 if whole.startswith("-") else 1) * int((rest or "0").ljust(2, "0"))
        for whole, _, rest in parts
    )


LEFT: Final = [
    # stage              comes back   forfeited   why
    ("locked",           "88",        "15000"),   # the deposit, below 20 % of 200,500
    ("paid",             "185588",    "15000"),   # the balance is never forfeited
    ("partly shipped",   "93069.30",  "7518.70"), # 100,500 of 200,500 did not come, nor that part of the deposit
]  # fmt: skip


@pytest.mark.parametrize(("stage", "back", "forfeited"), LEFT)
def test_only_the_part_of_the_deposit_that_was_not_performed_is_kept(
    world: World, stage: str, back: str, forfeited: str
) -> None:
    one = at_stage(world, stage)
    cancelled = accepted(one.say(one.buyer, "cancel", {}))
    rows = refunds_of(one.buyer, one.deposit)
    assert sum_of(row["amount"] for row in rows) == sum_of([cny(back)])
    assert amount_of(cancelled, "forfeited") == forfeited


MERCHANT: Final = [
    # market   price      nature         made to spec  comes back  on top
    ("CN",     "299900",  "earnest",     True,         "5000",     "5000"),
    ("CN",     "25000",   "earnest",     False,        "5000",     "5000"),
    ("CN",     "24999.99", "earnest",    False,        "5000",     "4999.99"),
    ("CN",     "5000",    "earnest",     False,        "5000",     "1000"),
    ("CN",     "299900",  "reservation", False,        "5000",     "0"),
    ("EU",     "299900",  "earnest",     True,         "5000",     "0"),
    ("ID",     "299900",  "earnest",     True,         "5000",     "0"),
]  # fmt: skip


@pytest.mark.parametrize(("market", "price", "nature", "custom", "back", "top"), MERCHANT)
def test_what_a_merchant_in_default_would_owe(
    world: World, market: str, price: str, nature: str, custom: bool, back: str, top: str
) -> None:
    """DP6 and DP9: in China earnest money comes back double, as far as it has an earnest effect at all."""
    currency = {"CN": "CNY", "EU": "EUR", "ID": "IDR"}[market]
    item = {"sku": "a", "name": "A", "price": {"amount": price, "currency": currency}, "made_to_spec": custom}
    deposit = {"deposit": {"amount": "5000", "currency": currency}, "nature": nature}
    terms: Json = {"market": market, "currency": currency, "preset": "recommended", "items": [item]}
    buyer = world.buyer()
    paid = world.paid(buyer, world.offer(**terms, payment=deposit, delivery={"within": None}))
    told = accepted(buyer.get(f"{path_of(paid)}/refund-preview?cause=merchant_cancel"))
    assert (told["amount"]["amount"], told["compensation"]["amount"], told["forfeited"]["amount"]) == (back, top, "0")


# The buyer's default.


def overdue(world: World) -> tuple[Life, int, int]:
    """A deposit that is ready, its due date and the end of the time to cure it."""
    one = life(world)
    due = instant(accepted(one.ready(1, 2))["balance_due_at"])
    return one, due, due + WEEK


def test_a_default_needs_notice_and_time_to_cure_it(world: World) -> None:
    one, due, cured = overdue(world)
    assert check_refusal(one.default(), 409, "wrong-state")["cure_until"] == format_instant(cured)
    world.set_clock(format_instant(due))
    attend(one.deposit)
    notice = events_of(one.buyer, one.deposit)[-1]
    assert (notice["type"], notice["at"]) == ("balance.overdue", format_instant(due))
    assert notice["data"] == {"cure_until": format_instant(cured)}
    assert one.may() == (
        ["balance-payments", "cancel", "claims", "withdrawals"],
        ["merchant-cancel", "questions", "refunds"],
    )
    check_refusal(one.default(), 409, "wrong-state")
    world.set_clock(format_instant(cured))
    attend(one.deposit)
    assert one.seen()["status"] == "locked"  # nothing is forfeited by the clock alone
    assert one.may() == (
        ["balance-payments", "cancel", "claims", "withdrawals"],
        ["buyer-default", "merchant-cancel", "questions", "refunds"],
    )
    first = one.default(idempotency_key="d")
    ended = accepted(first)
    assert (ended["status"], amount_of(ended, "forfeited")) == ("cancelled", "15000")
    assert (ended["refund"]["cause"], ended["refund"]["amount"]) == ("buyer_default", cny("88"))
    assert identity_holds(ended)
    decided = next(event for event in events_of(one.buyer, one.deposit) if event["type"] == "deposit.cancelled")
    assert (decided["data"]["cause"], decided["actor"]["role"]) == ("buyer_default", "merchant")
    check_refusal(one.default(), 409, "wrong-state")
    attend(one.deposit)
    same(first, one.default(idempotency_key="d"))
    assert [row["amount"] for row in world.books(one.deposit)] == [cny("88")]


@pytest.mark.parametrize(("after", "accepts"), [(-1, False), (0, True)])
def test_the_time_to_cure_ends_to_the_millisecond(world: World, after: int, accepts: bool) -> None:
    one, _, cured = overdue(world)
    reply = one.default(asked=cured + after)
    if accepts:
        assert accepted(reply)["status"] == "cancelled"
    else:
        check_refusal(reply, 409, "wrong-state")


def test_who_pays_before_the_default_is_declared_is_not_in_default(world: World) -> None:
    one, due, cured = overdue(world)
    opened = accepted(one.pay(asked=due + HOUR))
    world.pay(opened)
    check_refusal(one.default(asked=cured), 409, "wrong-state")
    late = one.seen(cured)
    assert (late["status"], late["balance"]) == ("locked", cny("0"))


def test_money_on_its_way_is_looked_for_before_a_default(world: World) -> None:
    one, _, cured = overdue(world)
    opened = accepted(one.pay())
    world.arm("webhook", "lost_event")
    world.pay(opened)
    assert one.seen()["balance"] == cny(BALANCE)
    check_refusal(one.default(asked=cured), 409, "wrong-state")
    assert one.seen(cured)["balance"] == cny("0")


def test_before_goods_are_ready_there_is_no_default(world: World) -> None:
    one = life(world)
    accepted(one.ready(1))
    assert check_refusal(one.default(asked=instant(one.deposit["updated_at"]) + 700 * DAY), 409, "wrong-state")


# Shipping no more than there is, and the two words on arrival.


def test_no_more_leaves_than_was_ordered(world: World) -> None:
    one = life(world)
    one.paid()
    check_refusal(one.ship((1, 3)), 422, "invalid-request", "/lines/0/quantity")
    accepted(one.ship((1, 1)))
    more = check_refusal(one.ship((2, 1), (1, 2)), 409, "wrong-state")
    assert (more["line"], more["left"]) == (1, 1)
    assert [line["shipped"] for line in one.seen()["items"]] == [1, 0]
    accepted(one.ship((1, 1)))
    assert check_refusal(one.ship((1, 1)), 409, "wrong-state")["left"] == 0
    assert accepted(one.ship((2, 1)))["status"] == "completed"
    check_refusal(one.ship((2, 1)), 409, "wrong-state")


def test_units_with_the_buyer_are_sold_and_the_others_go_back(world: World) -> None:
    one = life(world, title="Counted")
    one.paid()
    accepted(one.ship((1, 1)))
    accepted(one.say(one.buyer, "cancel", {}))
    items = world.anyone().get(f"/v1/offers/{one.deposit['offer']}").json["items"]
    assert [item["available"] for item in items] == [999, 1000]


def test_arrival_is_told_after_the_goods_left_and_not_for_tomorrow(world: World) -> None:
    one = life(world)
    one.paid()
    check_refusal(one.deliver(1, delivered_at=one.seen()["updated_at"]), 409, "wrong-state")
    check_refusal(one.receive(), 409, "wrong-state")
    left = instant(accepted(one.ship((1, 1)))["updated_at"])
    at = left + SECOND
    check_refusal(
        one.deliver(1, delivered_at=format_instant(left - 1), asked=at), 422, "invalid-request", "/delivered_at"
    )
    check_refusal(
        one.deliver(1, delivered_at=format_instant(at + 1), asked=at), 422, "invalid-request", "/delivered_at"
    )
    check_refusal(
        one.deliver({"line": 1, "quantity": 2}, delivered_at=format_instant(left), asked=at), 409, "wrong-state"
    )
    check_refusal(one.deliver(2, delivered_at=format_instant(left), asked=at), 409, "wrong-state")
    told = one.deliver({"line": 1, "quantity": 1}, delivered_at=format_instant(left), asked=at)
    assert accepted(told)["status"] == "locked"
    check_refusal(one.deliver(1, delivered_at=format_instant(at), asked=at), 409, "wrong-state")
    accepted(one.receive(asked=at))
    check_refusal(one.receive(asked=at), 409, "wrong-state")


# Bad input, on a deposit that could take every one of these commands.


@pytest.fixture(scope="module")
def scene(world: World) -> Life:
    """Paid in full, one unit on its way, one line not ready yet."""
    one = life(world, payment=IN_FULL)
    accepted(one.ready(1))
    accepted(one.ship((1, 1)))
    return one


def unit(line: Any, quantity: Any = 1, **more: Any) -> Json:
    return {"line": line, "quantity": quantity, **more}


READY: Final[Json] = {"lines": [2], "inspect_at": LONG_AGO, "evidence": EVIDENCE}
SHIP: Final[Json] = {"lines": [unit(2)]}
ARRIVED: Final[Json] = {"lines": [1], "delivered_at": LONG_AGO, "evidence": EVIDENCE}
BODIES: Final[dict[str, Json]] = {"ready": READY, "shipments": SHIP, "deliveries": ARRIVED}
BAD: Final = "invalid-request"
ROWS: Final[list[tuple[str, str, Json, str, str]]] = [
    # command       what                     changes                                    problem pointer
    ("ready",       "line 0",                {"lines": [0]},                            BAD, "/lines/0"),
    ("ready",       "line 3 of two",         {"lines": [3]},                            BAD, "/lines/0"),
    ("ready",       "line -1",               {"lines": [-1]},                           BAD, "/lines/0"),
    ("ready",       "line true",             {"lines": [True]},                         BAD, "/lines/0"),
    ("ready",       "line in quotes",        {"lines": ["2"]},                          BAD, "/lines/0"),
    ("ready",       "line 1.5",              {"lines": [1.5]},                          BAD, "/lines/0"),
    ("ready",       "line of 40 digits",     {"lines": [int("9" * 40)]},                BAD, "/lines/0"),
    ("ready",       "line twice",            {"lines": [2, 2]},                         BAD, "/lines/1"),
    ("ready",       "11 lines",              {"lines": [2] * 11},                         BAD, "/lines"),
    ("ready",       "no lines",              {"lines": []},                             BAD, "/lines"),
    ("ready",       "lines null",            {"lines": None},                           BAD, "/lines"),
    ("ready",       "units for a line",      {"lines": [unit(2)]},                      BAD, "/lines/0"),
    ("ready",       "21 pieces of evidence", {"evidence": ["photo:1"] * 21},            BAD, "/evidence"),
    ("ready",       "no evidence",           {"evidence": []},                          "evidence-required", "/evidence"),
    ("ready",       "evidence null",         {"evidence": None},                        BAD, "/evidence"),
    ("ready",       "an empty id",           {"evidence": [""]},                        BAD, "/evidence/0"),
    ("ready",       "5 kB of evidence",      {"evidence": ["x" * 5_000]},               BAD, "/evidence/0"),
    ("ready",       "evidence as a number",  {"evidence": [1]},                         BAD, "/evidence/0"),
    ("ready",       "in a hundred years",    {"inspect_at": "2126-01-01T00:00:00Z"},    BAD, "/inspect_at"),
    ("ready",       "in the year 9999",      {"inspect_at": "9999-12-31T23:59:59.999Z"}, BAD, "/inspect_at"),
    ("ready",       "no instant",            {"inspect_at": "tomorrow"},                BAD, "/inspect_at"),
    ("ready",       "an instant as number",  {"inspect_at": 1_700_000_000_000},         BAD, "/inspect_at"),
    ("ready",       "a day that is not",     {"inspect_at": "2026-02-30T00:00:00Z"},    BAD, "/inspect_at"),
    ("ready",       "a note",                {"note": "call 0812 3456 7890"},           BAD, "/note"),
    ("shipments",   "quantity 0",            {"lines": [unit(2, 0)]},                   BAD, "/lines/0/quantity"),
    ("shipments",   "quantity -1",           {"lines": [unit(2, -1)]},                  BAD, "/lines/0/quantity"),
    ("shipments",   "quantity 1001",         {"lines": [unit(2, 1_001)]},               BAD, "/lines/0/quantity"),
    ("shipments",   "quantity 2 of one",     {"lines": [unit(2, 2)]},                   BAD, "/lines/0/quantity"),
    ("shipments",   "quantity true",         {"lines": [unit(2, True)]},                BAD, "/lines/0/quantity"),
    ("shipments",   "quantity null",         {"lines": [unit(2, None)]},                BAD, "/lines/0/quantity"),
    ("shipments",   "line true",             {"lines": [unit(True)]},                   BAD, "/lines/0/line"),
    ("shipments",   "line 11",               {"lines": [unit(11)]},                     BAD, "/lines/0/line"),
    ("shipments",   "line 3 of two",         {"lines": [unit(3)]},                      BAD, "/lines/0/line"),
    ("shipments",   "line twice",            {"lines": [unit(2), unit(2)]},             BAD, "/lines/1/line"),
    ("shipments",   "11 lines",              {"lines": [unit(2)] * 11},                 BAD, "/lines"),
    ("shipments",   "a bare line",           {"lines": [2]},                            BAD, "/lines/0"),
    ("shipments",   "a carrier",             {"lines": [unit(2, carrier="x")]},         BAD, "/lines/0/carrier"),
    ("shipments",   "a note",                {"note": "fragile"},                       BAD, "/note"),
    ("deliveries",  "line true",             {"lines": [True]},                         BAD, "/lines/0"),
    ("deliveries",  "line 0",                {"lines": [0]},                            BAD, "/lines/0/line"),
    ("deliveries",  "line 3 of two",         {"lines": [3]},                            BAD, "/lines/0/line"),
    ("deliveries",  "line twice",            {"lines": [1, {"line": 1}]},               BAD, "/lines/1/line"),
    ("deliveries",  "quantity 0",            {"lines": [unit(1, 0)]},                   BAD, "/lines/0/quantity"),
    ("deliveries",  "quantity 1001",         {"lines": [unit(1, 1_001)]},               BAD, "/lines/0/quantity"),
    ("deliveries",  "quantity true",         {"lines": [unit(1, True)]},                BAD, "/lines/0/quantity"),
    ("deliveries",  "11 lines",              {"lines": [1] * 11},                       BAD, "/lines"),
    ("deliveries",  "no lines",              {"lines": []},                             BAD, "/lines"),
    ("deliveries",  "no evidence",           {"evidence": []},                          "evidence-required", "/evidence"),
    ("deliveries",  "21 pieces of evidence", {"evidence": ["photo:1"] * 21},            BAD, "/evidence"),
    ("deliveries",  "before it was shipped", {},                                        BAD, "/delivered_at"),
    ("deliveries",  "in the future",         {"delivered_at": "9999-01-01T00:00:00Z"},  BAD, "/delivered_at"),
    ("deliveries",  "no instant",            {"delivered_at": None},                    BAD, "/delivered_at"),
    ("deliveries",  "a receipt of one's own", {"received_at": LONG_AGO},                BAD, "/received_at"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "what", "changes", "problem", "pointer"), ROWS, ids=[f"{row[0]}-{row[1]}" for row in ROWS]
)
def test_a_bad_body_is_told_where_and_changes_nothing(
    scene: Life, command: str, what: str, changes: Json, problem: str, pointer: str
) -> None:
    del what
    check_refusal(scene.say(scene.merchant, command, {**BODIES[command], **changes}), 422, problem, pointer)
    assert scene.seen()["version"] == 5


@pytest.mark.parametrize("command", ["receipt", "buyer-default"])
def test_a_command_without_fields_takes_none(scene: Life, command: str) -> None:
    who = scene.buyer if command == "receipt" else scene.merchant
    check_refusal(scene.say(who, command, {"delivered_at": LONG_AGO}), 422, BAD, "/delivered_at")


@pytest.mark.parametrize("command", BODIES)
def test_evidence_and_instants_are_judged_before_the_state(world: World, command: str) -> None:
    """Faults of the fields come first, another shop's deposit before them, whatever its state."""
    one = life(world)
    check_refusal(one.say(world.merchant("mer_rival"), command, {"x": 1}), 404, "not-found")
    check_refusal(one.say(one.merchant, command, {"x": 1}), 422, BAD, "/x")


def test_an_inspection_may_be_fixed_two_years_ahead(world: World) -> None:
    one = life(world)
    at = instant(one.seen()["updated_at"]) + HOUR
    farthest = at + 2 * 365 * DAY
    check_refusal(one.ready(1, inspect_at=format_instant(farthest + 1), asked=at), 422, BAD, "/inspect_at")
    accepted(one.ready(1, 2, inspect_at=format_instant(farthest), asked=at))
    assert one.seen(at)["balance_due_at"] == format_instant(farthest + WEEK)


def test_an_inspection_in_the_past_begins_when_it_is_told(world: World) -> None:
    one = life(world)
    at = instant(one.seen()["updated_at"]) + HOUR
    told = accepted(one.ready(1, 2, inspect_at=LONG_AGO, asked=at))
    assert told["balance_due_at"] == format_instant(at + WEEK)


def test_a_line_is_ready_once(world: World) -> None:
    one = life(world)
    accepted(one.ready(1))
    assert check_refusal(one.ready(1, 2), 409, "wrong-state")["line"] == 1
    accepted(one.ready(2))
    check_refusal(one.ready(2), 409, "wrong-state")
