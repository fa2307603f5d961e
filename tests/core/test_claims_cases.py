"""Claims as published and as a lawyer would ask: stories with their ends, and every step of the one table."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from chalicelib.core.claims.answering import AcceptOffer, AddEvidence, Escalate, Respond, RuleClaim, WithdrawClaim
from chalicelib.core.common.instants import HOUR, MINUTE, SECOND
from chalicelib.core.common.money import Money, total
from chalicelib.core.common.refusal import Refused
from chalicelib.core.deposit.claim import TRANSITIONS
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.deposit import Deposit, split_paid
from chalicelib.core.deposit.events.claim import ClaimStep
from chalicelib.core.merchant.cancellation import MerchantCancel
from tests.core.stories import (
    CANCEL,
    DIFFERS,
    FIVE,
    PAID,
    UNLOCK,
    Story,
    bought,
    claimed,
    locked,
    money,
    offer,
    paid,
    partly,
    settled,
    shop,
    traded,
    trading,
)
from tests.core.test_chargeback import shown

TABLE: Final = tomllib.loads(Path(__file__).parents[1].joinpath("cases", "claims.toml").read_text("utf-8"))
CASES: Final = TABLE["case"]
SHARES: Final = TABLE["shares"]

# What the buyer had ordered and paid for.
ORDERS: Final[dict[str, Callable[[], Story]]] = {
    "five lines": lambda: bought(FIVE),
    "three of 10,000": lambda: bought(shop(10_000, shipping=9_000), 3),
    "promised in 30 days": lambda: bought(shop(75_000, 25_000, shipping=5_000, delivery={"within": "P30D"})),
    "a car, locked by hand": lambda: locked(at=PAID + 2 * MINUTE),
    "a car, its window over": lambda: paid().write(PAID + 168 * HOUR),
    "a car, paid in full": lambda: settled(at=PAID + 192 * HOUR),
    "a phone, the old one differs": lambda: differs(traded(trading())),
    "undone after a lock by paying": lambda: bought(shop(75_000, 25_000, lock={"undo": "PT1H"})),
}


def differs(story: Story) -> Story:
    story.ask(DIFFERS, PAID)
    return story


def instant(text: str) -> int:
    """Hours, minutes and seconds since the payment."""
    hours, minutes, seconds = text.split(":")
    return PAID + int(hours) * HOUR + int(minutes) * MINUTE + round(float(seconds) * SECOND)


def since(at: int) -> str:
    seconds, ms = divmod(at - PAID, SECOND)
    parts = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{parts}.{ms:03}" if ms else parts


def units(words: str) -> tuple[tuple[int, int], ...]:
    """``1 2x3``: one of line 1, three of line 2."""
    named = (word.partition("x") for word in words.split())
    return tuple((int(line), int(quantity or 1)) for line, _, quantity in named)


def command(story: Story, who: str, words: str) -> Command:
    n = len(story.deposit.claims)
    first, _, rest = words.partition(" ")
    match who, first:
        case "ships", _:
            return story.ship() if words == "all" else story.ship(*units(words))
        case "claims", "short_shipment":
            return claimed("short_shipment", *units(rest))
        case "claims", kind:
            return claimed(kind, amount=rest or None)  # type: ignore[arg-type] # a wrong name is refused by the case
        case "merchant", "cancel":
            return MerchantCancel(rest, ("record:1", "record:2"))
        case "merchant", "offer":
            return offer(rest, n)
        case "platform", "partly":
            return partly(rest, n)
        case "bank", _:
            return story.disputed(first, rest or None)
        case _, "photo":
            return AddEvidence(n, who, ("photo:2",))
        case _:
            return answers(n)[f"{who} {words}"]


def answers(n: int) -> dict[str, Command]:
    return {
        "buyer accept": AcceptOffer(n),
        "buyer escalate": Escalate(n),
        "buyer withdraw": WithdrawClaim(n),
        "buyer cancel": CANCEL,
        "buyer unlock": UNLOCK,
        "merchant accept": Respond(n, "accept"),
        "merchant reject": Respond(n, "reject", statement="sha256:no"),
        "platform uphold": RuleClaim(n, "uphold", "sha256:why"),
        "platform dismiss": RuleClaim(n, "dismiss", "sha256:why"),
    }


def told(refusal: Refused) -> str:
    facts = (f"{name}={since(fact) if type(fact) is int and fact >= PAID else fact}" for name, fact in _sorted(refusal))
    faults = (f"{fault.pointer} {fault.why}" for fault in refusal.faults)
    return " ".join([refusal.reason.value, *facts, *faults])


def _sorted(refusal: Refused) -> list[tuple[str, object]]:
    return sorted(refusal.facts.items())


def happens(story: Story, step: dict[str, Any]) -> str:
    """The events that follow, or the reason of a refusal with its facts."""
    at = instant(step["at"])
    ((who, words),) = ((name, words) for name, words in step.items() if name not in {"at", "then"})
    if who == "writes":
        before = len(story.events)
        story.write(at)
        return " ".join(event.TYPE for event in story.events[before:])
    try:
        return " ".join(event.TYPE for event in story.ask(command(story, who, words), at))
    except Refused as refusal:
        return told(refusal)


def play(case: dict[str, Any]) -> tuple[Story, list[str]]:
    story = ORDERS[case.get("order", "five lines")]()
    return story, [happens(story, step) for step in case["steps"]]


def ends(deposit: Deposit, at: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "claims": [
            f"{claim.owed} {claim.status_at(at)}" + (f" {claim.paid}" if claim.paid is not None else "")
            for claim in deposit.claims
        ],
        "refunds": [f"{refund.amount} {refund.cause}" for refund in deposit.refunds],
        "deposit": deposit.status.value,
        "money": shown(deposit),
    }
    if deposit.passes:
        found["passes"] = len(deposit.passes)
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_claim_ends_as_told(case: dict[str, Any]) -> None:
    story, said = play(case)
    assert said == [step["then"] for step in case["steps"]]
    end = ends(story.deposit, instant(case["steps"][-1]["at"]))
    assert end == {name: case[name] for name in case if name not in {"name", "order", "steps", "from"}}


def test_names_of_cases_are_unique() -> None:
    names = [case["name"] for case in [*CASES, *SHARES]]
    assert len(names) == len(set(names))


def test_every_order_is_met() -> None:
    assert {case.get("order", "five lines") for case in CASES} == set(ORDERS)


def test_every_step_of_the_table_is_reached_by_a_case_and_no_other() -> None:
    reached = set()
    for case in CASES:
        before: Deposit | None = None
        story, _ = play(case)
        begun = Story(story.terms, ORDERS[case.get("order", "five lines")]().deposit)
        for event in story.events[begun.deposit.version :]:
            before = begun.deposit
            begun.tell(event)
            if isinstance(event, ClaimStep):
                reached.add((before.claims[event.claim - 1].status, type(event)))
    assert reached == set(TRANSITIONS)


# --- What was paid for each line ---


def rupiah(*amounts: int) -> list[Money]:
    return [money(f"{amount} IDR") for amount in amounts]


@pytest.mark.parametrize("row", SHARES, ids=lambda row: row["name"])
def test_a_discount_is_borne_by_value_and_loses_nothing(row: dict[str, Any]) -> None:
    values = rupiah(*row["lines"])
    whole = total(values, "IDR")
    paid_for = split_paid(whole - money(f"{row['unpaid']} IDR"), values)
    assert [value - share for value, share in zip(values, paid_for, strict=True)] == rupiah(*row["borne"])
    missing = total((paid_for[line - 1] for line in row["missing"]), "IDR")
    assert missing == money(f"{row['owed']} IDR")
