"""The curve, the preview and the decision say the same at every instant, for every preset and wherever a buyer stands."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any, Final

import pytest

from chalicelib import policies
from chalicelib.core.common.instants import DAY, HOUR, MINUTE
from chalicelib.core.decide import decide
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.events.ending import Cancelled
from chalicelib.core.deposit.events.refund import RefundApproved, RefundLine
from chalicelib.core.ending import entitlement
from chalicelib.core.ending.entitlement import Step, curve
from chalicelib.core.policy.terms import Terms
from tests.core.stories import (
    CANCEL,
    END,
    INTENT,
    LATER,
    LOCKED,
    PAID,
    UNDO,
    UNLOCK,
    Story,
    completed,
    draft,
    final,
    locked,
    ordered,
    paid,
    plain,
    settled,
    wire,
)
from tests.scope import examples

INSTANTS: Final = examples(1_000)
HORIZON: Final = 30 * DAY


def preset(name: str, currency: str, price: str, **changes: Any) -> Terms:
    car = {"sku": "car", "name": "Car", "price": wire(price), "made_to_spec": True}
    return draft(plain(name, currency, items=[car], **{"shipping": wire(f"88 {currency}"), **changes}))


# The deposit of the recommended one is above the cap of a fifth: what exceeds it comes back.
PRESETS: Final[dict[str, Terms]] = {
    "recommended": preset("recommended", "CNY", "1000.07 CNY", payment={"deposit": wire("300 CNY")}),
    "su7_2024": preset("su7_2024", "CNY", "215900 CNY"),
    "su7_founders_2024": preset("su7_founders_2024", "CNY", "215900 CNY"),
    "flash_sale": preset("flash_sale", "IDR", "2160000 IDR", market="ID"),
    "trade_in_id": preset("trade_in_id", "IDR", "2160000 IDR", market="ID"),
}
EARLY: Final = ("recommended", "su7_2024")
UNDONE_LATE: Final = END + 10 * MINUTE


def undone(under: Terms) -> Story:
    story = locked(under)
    story.ask(UNLOCK, LOCKED + MINUTE)
    return story


def undone_late(under: Terms) -> Story:
    """Locked shortly before the window ended, and taken back when it was over."""
    story = locked(under, at=END - MINUTE)
    story.ask(UNLOCK, UNDONE_LATE)
    return story


def locked_again(under: Terms) -> Story:
    story = undone(under)
    story.ask(INTENT, PAID + DAY)
    story.ask(story.confirm(), PAID + DAY + MINUTE)
    return story


def founders_undone(under: Terms) -> Story:
    story = paid(under)
    story.ask(UNLOCK, PAID + MINUTE)
    return story


def with_money_too_many(under: Terms) -> Story:
    """A capture that goes back by itself stands in the lines, and in nothing else."""
    story = paid(under)
    story.pay("5 CNY", PAID)
    return story


Where = tuple[str, Callable[[Terms], Story], int]
BY_THE_WINDOW: Final[list[Where]] = [
    # where the buyer stands              deposit              the curve from
    ("cooling off",                       paid,                PAID),
    ("cooling off, paid too much",        with_money_too_many, PAID),
    ("locked, the undo is open",          locked,              LOCKED),
    ("locked before the window ends",     lambda under: locked(under, at=END - MINUTE), END - MINUTE),
    ("locked, final",                     locked,              LOCKED + HOUR),
    ("locked by the clock",               final,               LATER),
    ("unlocked, the same window runs",    undone,              LOCKED + MINUTE),
    ("unlocked, only to cancel",          undone_late,         UNDONE_LATE),
    ("locked for the second time",        locked_again,        PAID + DAY + MINUTE),
    ("fully paid",                        settled,             LATER),
]  # fmt: skip
BY_PAYMENT: Final[list[Where]] = [
    ("locked at payment",                 paid,                PAID),
    ("locked, final",                     final,               LATER),
    ("fully paid",                        settled,             LATER),
]  # fmt: skip
WITH_UNDO: Final[list[Where]] = [
    ("locked, the undo is open",          paid,                UNDO - 1),
    ("unlocked, only to cancel",          founders_undone,     PAID + MINUTE),
]  # fmt: skip


def cases() -> list[tuple[str, Where]]:
    found: list[tuple[str, Where]] = []
    for name, under in PRESETS.items():
        places = BY_THE_WINDOW if name in EARLY else BY_PAYMENT
        found += [(name, where) for where in places]
        if name not in EARLY and under.lock.undo is not None:
            found += [(name, where) for where in WITH_UNDO]
    return found


CASES: Final = cases()


def covering(steps: tuple[Step, ...], at: int) -> Step:
    (step,) = (one for one in steps if one.start <= at and (one.to is None or at < one.to))
    return step


def drawn(steps: tuple[Step, ...], start: int, seed: str) -> list[int]:
    """As many instants as the issue asks for, the same in every run: anywhere, and close to where something changes."""
    dice = Random(seed)  # noqa: S311 - the same instants in every run
    edges = [step.start for step in steps]
    close = [max(start, dice.choice(edges) + dice.randint(-MINUTE, MINUTE)) for _ in range(INSTANTS // 2)]
    anywhere = [dice.randint(start, start + HORIZON) for _ in range(INSTANTS - len(close))]
    sharp = [max(start, edge + offset) for edge in edges for offset in (-1, 0, 1)]
    return [*close, *anywhere, *sharp]


def summed(refunds: list[RefundApproved]) -> Counter[str]:
    """The refunds' lines together, by code, in minor units."""
    sums: Counter[str] = Counter()
    for line in (line for refund in refunds for line in refund.lines):
        sums[line.code] += line.amount.minor
    return sums


def of_lines(lines: tuple[RefundLine, ...]) -> Counter[str]:
    return Counter({line.code: line.amount.minor for line in lines})


@pytest.mark.parametrize(("name", "where"), CASES, ids=[f"{name}, {where[0]}" for name, where in CASES])
def test_the_curve_equals_the_decision_at_a_thousand_instants(name: str, where: Where) -> None:
    title, made, start = where
    story = made(PRESETS[name])
    steps = curve(story.deposit, story.terms, start)
    for at in drawn(steps, start, f"{name}, {title}"):
        owed = covering(steps, at).owed
        assert owed == entitlement.compute_entitlement(story.deposit, story.terms, Cause.BUYER_CANCEL, at)
        cancelled, *others = decide(story.deposit, CANCEL, at, story.terms)
        refunds = [event for event in others if isinstance(event, RefundApproved)]
        assert isinstance(cancelled, Cancelled)
        assert (cancelled.forfeited, cancelled.rule) == (owed.forfeited, owed.rule)
        assert sum(refund.amount.minor for refund in refunds) == owed.amount.minor
        assert summed(refunds) == of_lines(owed.lines)


@pytest.mark.parametrize(("name", "where"), CASES, ids=[f"{name}, {where[0]}" for name, where in CASES])
def test_the_points_are_half_open_without_a_gap_and_the_last_one_has_no_end(name: str, where: Where) -> None:
    _, made, start = where
    story = made(PRESETS[name])
    steps = curve(story.deposit, story.terms, start)
    assert steps[0].start == start
    assert steps[-1].to is None
    for one, other in pairwise(steps):
        assert one.to == other.start
        assert one.start < other.start
        assert one.owed != other.owed, "a point where nothing changes tells nothing"


@pytest.mark.parametrize(("name", "where"), CASES, ids=[f"{name}, {where[0]}" for name, where in CASES])
def test_what_does_not_come_back_is_kept_by_a_rule_and_later_is_never_kinder(name: str, where: Where) -> None:
    _, made, start = where
    story = made(PRESETS[name])
    steps = curve(story.deposit, story.terms, start)
    for step in steps:
        kept = sum(-line.amount.minor for line in step.owed.lines if line.code == "forfeited")
        assert kept == step.owed.forfeited.minor
        assert step.owed.amount + step.owed.forfeited == story.deposit.money.held
    for one, other in pairwise(steps):
        assert other.owed.amount <= one.owed.amount


AMOUNTS: Final = [
    # preset               where the buyer stands            free until          then
    ("recommended",        "cooling off",                    END,                "388 CNY",    "187.99 CNY"),
    ("su7_2024",           "cooling off",                    END,                "5088 CNY",   "88 CNY"),
    ("su7_2024",           "locked, the undo is open",       LOCKED + HOUR,      "5088 CNY",   "88 CNY"),
    ("su7_2024",           "unlocked, the same window runs", END,                "5088 CNY",   "88 CNY"),
    ("su7_2024",           "unlocked, only to cancel",       END - MINUTE + HOUR, "5088 CNY",  "88 CNY"),
    ("su7_founders_2024",  "locked at payment",              UNDO,               "20088 CNY",  "88 CNY"),
    ("su7_founders_2024",  "unlocked, only to cancel",       UNDO,               "20088 CNY",  "88 CNY"),
    ("su7_2024",           "fully paid",                     None,               "210988 CNY", "210988 CNY"),
    ("flash_sale",         "locked at payment",              None,               "2160088 IDR", "2160088 IDR"),
    ("trade_in_id",        "locked at payment",              None,               "2160088 IDR", "2160088 IDR"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "title", "until", "before", "after"), AMOUNTS)
def test_the_amounts_are_those_that_a_buyer_would_work_out(
    name: str, title: str, until: int | None, before: str, after: str
) -> None:
    _, made, start = next(where for preset_, where in CASES if (preset_, where[0]) == (name, title))
    story = made(PRESETS[name])
    steps = curve(story.deposit, story.terms, start)
    assert str(steps[0].owed.amount) == before
    assert str(steps[-1].owed.amount) == after
    assert until is None or until == min(step.start for step in steps if step.owed.amount != steps[0].owed.amount)


def test_every_preset_has_a_curve() -> None:
    assert set(PRESETS) == set(policies.names("presets"))


def test_what_was_never_paid_has_a_flat_curve_of_nothing() -> None:
    story = ordered(PRESETS["su7_2024"])
    (step,) = curve(story.deposit, story.terms, PAID)
    assert (step.to, str(step.owed.amount)) == (None, "0 CNY")


def test_a_completed_deposit_has_no_curve_and_no_decision() -> None:
    story = completed(PRESETS["su7_2024"])
    assert story.said(CANCEL, LATER) == "wrong-state"
