"""Locking: the stories with their ends, the order of the refusals, and every status met by every command of a lock."""

import sys
import tomllib
from collections.abc import Callable, Iterator
from itertools import chain, combinations, product
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import DAY, HOUR, MINUTE, SECOND
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.decide import decide
from chalicelib.core.deposit.clock import lock_at, status_at
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.lock import (
    LockConfirmed,
    LockedByWindowEnd,
    LockIntentOpened,
    LockReminded,
    LockUndone,
)
from chalicelib.core.deposit.events.order import ItemsChanged
from chalicelib.core.deposit.fold import TRANSITIONS
from chalicelib.core.deposit.status import Status
from chalicelib.core.locking.lock import MAX_INTENTS, ConfirmLock, OpenIntent
from chalicelib.core.policy.terms import Terms
from chalicelib.core.refunding.destination import SendRefund
from chalicelib.core.selling.changes import ChangeItems
from chalicelib.core.selling.ordering import Ordered
from tests.core.stories import (
    CANCEL,
    DEPOSIT_ID,
    DUE,
    END,
    FLASH_SALE,
    FOUNDERS,
    INTENT,
    LATER,
    LOCKED,
    PAID,
    SU7,
    T0,
    UNDO,
    UNLOCK,
    Story,
    completed,
    final,
    locked,
    money,
    ordered,
    paid,
    refund_news,
    refused,
    terms,
    wire,
)
from tests.core.test_deposit import instant

REVIEW: Final = 10 * SECOND
INTENT_TTL: Final = 15 * MINUTE
OTHER_DEPOSIT: Final = "dep_" + "1" * 26

ITEMS: Final = [
    {"sku": "su7-max", "name": "SU7 Max", "price": wire("299900 CNY"), "made_to_spec": True},
    {"sku": "su7", "name": "SU7", "price": wire("215900 CNY"), "made_to_spec": True},
]
TWO_CARS: Final = terms(items=ITEMS)
UNDER: Final[dict[str, Terms]] = {
    "never": terms(items=ITEMS, lock={"at": "never"}),
    "no undo": terms(items=ITEMS, lock={"undo": None}),
    "not early": terms(items=ITEMS, lock={"early": False}),
    "founders": terms(items=ITEMS, preset="su7_founders_2024"),
}

# --- Stories ---

CASES = tomllib.loads(Path(__file__).parents[1].joinpath("cases", "locks.toml").read_text("utf-8"))["case"]


def asked(story: Story, step: dict[str, Any]) -> Command:
    match step["asks"]:
        case "intent":
            return OpenIntent(step.get("locale", "en"))
        case "change":
            return ChangeItems((Ordered(step["to"], 1),))
        case "lock":
            return confirmed(story, step)
        case "unlock":
            return UNLOCK
        case _:
            assert step["asks"] == "cancel"
            return CANCEL


def confirmed(story: Story, step: dict[str, Any]) -> ConfirmLock:
    """What the buyer sends: of the latest intent, unless the step says else."""
    known = story.deposit.intents
    which = known[min(step.get("intent", len(known)), len(known)) - 1]
    named = child("lki", DEPOSIT_ID, step.get("intent", which.n))
    words = step.get("words", which.opened.acknowledgement)
    return ConfirmLock(step.get("id", named), step.get("hash", which.opened.disclosure_hash), words)


def arrives(story: Story, at: int) -> str:
    story.ask(SendRefund(story.refund.n), at)
    return story.said(refund_news(story, "succeeded", at), at)


def said(story: Story, step: dict[str, Any], at: int) -> str:
    if "asks" in step:
        return story.said(asked(story, step), at)
    if "paid" in step:
        return story.pay(step["paid"], at)
    if "refund" in step:
        return arrives(story, at)
    before = len(story.events)
    return " ".join(event.TYPE for event in story.write(at).events[before:]) or "nothing"


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_story_of_a_lock_ends_as_it_is_told(case: dict[str, Any]) -> None:
    story = paid(UNDER.get(case["under"], TWO_CARS) if "under" in case else TWO_CARS)
    at = PAID
    for step in case["steps"]:
        at = instant(step["at"])
        assert said(story, step, at) == step["then"], step
    deposit = story.deposit
    assert status_at(deposit, at).value == case["status"]
    assert [intent.state for intent in deposit.intents] == case["intents"]
    assert [f"{refund.amount} {refund.cause}" for refund in deposit.refunds] == case.get("refunds", [])
    lock = lock_at(deposit, at)
    if "lock" in case:
        assert lock is not None
        assert lock.by == case["lock"]
    if "undo_until" in case:
        assert lock is not None
        assert lock.undo_until == instant(case["undo_until"])
    if "window_ends" in case:
        assert deposit.window is not None
        assert deposit.window.ends_at == (None if case["window_ends"] == "never" else instant(case["window_ends"]))


def test_every_story_names_terms_that_we_know() -> None:
    assert {case["under"] for case in CASES if "under" in case} == set(UNDER)


def test_names_of_stories_are_unique() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)


LOCK_REASONS: Final = {reason.value for reason in Reason if reason.name.startswith("LOCK_")} | {
    "terms-changed",
    "refund-in-progress",
    "undo-closed",
}


def test_every_refusal_of_a_lock_is_told_in_a_story() -> None:
    told = {
        step["then"] for case in CASES for step in case["steps"] if step.get("asks") in {"intent", "lock", "unlock"}
    }
    assert told & set(Reason) == LOCK_REASONS | {"wrong-state"}


# --- What a refusal tells ---


def shown(at: int = PAID + HOUR, under: Terms = TWO_CARS, locale: str = "en") -> Story:
    """Paid, and an intent opened."""
    story = paid(under)
    story.ask(OpenIntent(locale), at)
    return story


def test_who_comes_too_early_is_told_from_when_on() -> None:
    story = shown()
    with refused(Reason.LOCK_REVIEW_PENDING, confirmable_at=PAID + HOUR + REVIEW):
        story.ask(story.confirm(), PAID + HOUR + REVIEW - 1)


def test_who_comes_too_late_is_told_since_when() -> None:
    story = shown()
    with refused(Reason.LOCK_INTENT_EXPIRED, expires_at=PAID + HOUR + INTENT_TTL):
        story.ask(story.confirm(), PAID + HOUR + INTENT_TTL)


def test_who_types_other_words_is_told_the_right_ones() -> None:
    story = shown(locale="zh")
    with refused(Reason.LOCK_ACKNOWLEDGEMENT_MISMATCH, acknowledgement="锁单 5000 CNY"):
        story.ask(story.confirm(acknowledgement="好的"), PAID + HOUR + REVIEW)


def test_who_undoes_too_late_is_told_since_when() -> None:
    with refused(Reason.UNDO_CLOSED, undo_until=LOCKED + HOUR):
        locked().ask(UNLOCK, LOCKED + HOUR)


def test_a_lock_that_the_clock_made_cannot_be_undone() -> None:
    with refused(Reason.UNDO_CLOSED, undo_until=None):
        final().ask(UNLOCK, LATER)


NOT_WELL_FORMED: Final = [
    "",
    "lki_",
    "lki_1",
    "lki_" + "0" * 26,
    "lki_" + "0" * 26 + "_",
    "lki_" + "0" * 26 + "_0",
    "lki_" + "0" * 26 + "_01",
    "lki_" + "0" * 26 + "_-1",
    "lki_" + "0" * 26 + "_1 ",
    "lki_" + "0" * 26 + "_1_1",
    "lki_" + "0" * 26 + "_\N{ARABIC-INDIC DIGIT ONE}",
    "lki_" + "0" * 26 + "_1000000",
    "lki_" + "0" * 25 + "_1",
    "LKI_" + "0" * 26 + "_1",
    "ref_" + "0" * 26 + "_1",
    "dep_" + "0" * 26,
]


@pytest.mark.parametrize("intent", NOT_WELL_FORMED)
def test_an_id_that_is_not_well_formed_answers_like_an_unknown_one(intent: str) -> None:
    story = shown()
    with refused(Reason.LOCK_INTENT_INVALID):
        story.ask(story.confirm(intent=intent), PAID + HOUR + REVIEW)


def test_before_any_intent_there_is_none_to_confirm() -> None:
    story = paid()
    with refused(Reason.LOCK_INTENT_INVALID):
        story.ask(ConfirmLock(child("lki", DEPOSIT_ID, 1), "sha256:0", "LOCK 5000 CNY"), PAID + HOUR)


# --- At most twenty intents ---


def test_twenty_intents_are_shown_and_no_more() -> None:
    story = paid()
    for n in range(MAX_INTENTS):
        assert story.said(INTENT, PAID + n) == "lock.intent_opened"
    with refused(Reason.RATE_LIMITED, most=20):
        story.ask(INTENT, PAID + DAY)


def test_the_twentieth_intent_still_locks() -> None:
    story = paid()
    for n in range(MAX_INTENTS):
        story.ask(INTENT, PAID + n)
    story.said(INTENT, PAID + MINUTE)
    assert story.said(story.confirm(), PAID + MINUTE) == "lock.confirmed"


@pytest.mark.parametrize(
    ("under", "at", "then"),
    [
        (SU7,                END,     "wrong-state"),
        (UNDER["not early"], END,     "wrong-state"),
        (UNDER["not early"], END - 1, "lock-not-allowed"),
        (SU7,                END - 1, "rate-limited"),
    ],
)  # fmt: skip
def test_an_intent_is_refused_for_its_state_first_then_by_the_terms_then_for_their_number(
    under: Terms, at: int, then: str
) -> None:
    story = paid(SU7)
    for n in range(MAX_INTENTS):
        story.ask(INTENT, PAID + n)
    story.terms = under
    assert story.said(INTENT, at) == then


# --- The order of the refusals ---

# The contract's list (api.md, section 3). A lock that is there already, and a window that is over, are asked after the
# intent's own history, so that a second tap is told that its intent was used.
IN_ORDER: Final = {
    "another deposit's": "lock-intent-invalid",
    "used":              "lock-intent-used",
    "locked":            "wrong-state",
    "expired":           "lock-intent-expired",
    "something else":    "terms-changed",
    "refund":            "refund-in-progress",
    "early":             "lock-review-pending",
    "words":             "lock-acknowledgement-mismatch",
}  # fmt: skip
SHORTLY_BEFORE: Final = (
    END - 5 * SECOND
)  # read for ten seconds, an intent of then is confirmable when the window is over


def subsets() -> Iterator[frozenset[str]]:
    """All that can be wrong at once. Nothing is too early and too late."""
    sizes = range(1, len(IN_ORDER) + 1)
    for faults in chain.from_iterable(combinations(IN_ORDER, size) for size in sizes):
        if not {"expired", "early"} <= set(faults):
            yield frozenset(faults)


def asked_at(faults: frozenset[str], opened_at: int) -> int:
    if "expired" in faults:
        return opened_at + INTENT_TTL
    return opened_at + REVIEW - ("early" in faults)


def with_all(faults: frozenset[str]) -> tuple[Story, ConfirmLock, int]:
    """A deposit, a confirmation and the instant it was asked at, with exactly these faults."""
    opened_at = SHORTLY_BEFORE if "locked" in faults and "used" not in faults else PAID + HOUR
    story = shown(opened_at)
    if "used" in faults:
        story.ask(story.confirm(), opened_at + REVIEW)
        if "locked" not in faults:
            story.ask(UNLOCK, opened_at + REVIEW)
    if "refund" in faults:
        story.pay("100 CNY", opened_at + REVIEW)
    changes: dict[str, str] = {}
    if "another deposit's" in faults:
        changes["intent"] = child("lki", OTHER_DEPOSIT, 1)
    if "something else" in faults:
        changes["disclosure_hash"] = "sha256:" + "0" * 64
    if "words" in faults:
        changes["acknowledgement"] = "yes"
    return story, story.confirm(**changes), asked_at(faults, opened_at)


@pytest.mark.parametrize(
    "faults", list(subsets()), ids=lambda faults: ", ".join(name for name in IN_ORDER if name in faults)
)
def test_of_several_faults_the_first_in_the_order_is_told(faults: frozenset[str]) -> None:
    story, confirm, at = with_all(faults)
    before = story.deposit
    assert story.said(confirm, at) == next(reason for name, reason in IN_ORDER.items() if name in faults)
    assert story.deposit == before


def test_without_a_fault_it_locks() -> None:
    story, confirm, at = with_all(frozenset())
    assert story.said(confirm, at) == "lock.confirmed"


def test_every_neighbouring_pair_of_the_order_is_met() -> None:
    met = set(subsets())
    assert all(frozenset(pair) in met for pair in zip(IN_ORDER, list(IN_ORDER)[1:], strict=False))


def test_an_intent_that_a_change_closed_has_expired_first() -> None:
    story = shown()
    story.ask(ChangeItems((Ordered("su7", 1),)), PAID + HOUR)
    assert story.said(story.confirm(), PAID + HOUR + INTENT_TTL - 1) == "terms-changed"
    assert story.said(story.confirm(), PAID + HOUR + INTENT_TTL) == "lock-intent-expired"


def test_an_intent_that_a_newer_one_closed_is_unknown_whatever_else_is_wrong() -> None:
    story = shown()
    first = story.confirm(acknowledgement="yes", disclosure_hash="sha256:0")
    story.ask(INTENT, PAID + HOUR)
    story.pay("100 CNY", PAID + HOUR)
    for at in (PAID + HOUR, PAID + HOUR + INTENT_TTL, END):
        assert story.said(first, at) == "lock-intent-invalid"


def test_no_number_of_refusals_uses_an_intent_up() -> None:
    story = shown()
    refusals = [
        (story.confirm(intent=child("lki", OTHER_DEPOSIT, 1)), REVIEW),
        (story.confirm(disclosure_hash="sha256:0"), REVIEW),
        (story.confirm(), REVIEW - 1),
        (story.confirm(acknowledgement=""), REVIEW),
    ]
    for confirm, after in refusals * 5:
        with pytest.raises(Refused):
            story.ask(confirm, PAID + HOUR + after)
    assert story.said(story.confirm(), PAID + HOUR + REVIEW) == "lock.confirmed"


# --- What a lock writes ---


def test_the_confirmation_names_its_intent_and_what_was_shown() -> None:
    story = shown()
    assert story.ask(story.confirm(), PAID + HOUR + REVIEW) == (
        LockConfirmed(
            PAID + HOUR + REVIEW, 1, story.deposit.intents[0].opened.disclosure_hash, PAID + HOUR + REVIEW + HOUR
        ),
    )


def test_an_undo_writes_no_window_while_the_same_one_runs() -> None:
    assert locked().ask(UNLOCK, LOCKED + 1) == (LockUndone(LOCKED + 1, None),)


def test_an_undo_after_the_window_writes_until_when_a_cancel_is_free() -> None:
    story = locked(at=END - MINUTE)
    assert story.ask(UNLOCK, END) == (LockUndone(END, END - MINUTE + HOUR),)
    assert story.deposit.window is not None
    assert story.deposit.window.cancel_only


def test_a_deposit_that_was_locked_and_undone_is_reminded_once_of_everything() -> None:
    story = locked(at=END - 100 * HOUR)
    story.ask(UNLOCK, END - 99 * HOUR - 1)
    story.write(END - HOUR)
    story.write(LATER)
    told = [event.at for event in story.events if isinstance(event, LockReminded)]
    assert told == [END - 72 * HOUR, END - 24 * HOUR, END - 2 * HOUR]
    assert [event.at for event in story.events if isinstance(event, LockedByWindowEnd)] == [END]


# --- Every status, every command of a lock ---


class Situation(NamedTuple):
    """A deposit as it stands, the instant of asking, and what the four commands of a lock come to, in their order."""

    name: str
    made: Callable[[], Story]
    at: int
    said: tuple[str, str, str, str]


def nearly_over() -> Story:
    """Paid, and an intent opened that outlives the window."""
    return shown(END - MINUTE)


def cancelled_with_an_intent() -> Story:
    story = shown()
    story.ask(CANCEL, PAID + HOUR + 1)
    return story


def undone(at: int) -> Callable[[], Story]:
    """Locked half an hour before the window ends, and taken back at ``at``."""

    def made() -> Story:
        story = locked(TWO_CARS, at=END - 30 * MINUTE)
        story.ask(UNLOCK, at)
        return story

    return made


def founders_undone() -> Story:
    story = paid(FOUNDERS)
    story.ask(UNLOCK, PAID + 1)
    return story


def refund_open() -> Story:
    story = shown()
    story.pay("100 CNY", PAID + HOUR)
    return story


def refunded_by_a_change() -> Story:
    """The order became cheaper than what was paid: the rest is on its way back."""
    cheap = [*ITEMS, {"sku": "wheel", "name": "Wheel", "price": wire("4000 CNY"), "made_to_spec": True}]
    story = paid(terms(items=cheap))
    story.ask(ChangeItems((Ordered("wheel", 1),)), PAID + HOUR)
    story.ask(INTENT, PAID + HOUR)
    return story


READ: Final = PAID + HOUR + REVIEW
OPENED, LOCKS, UNDONE, CHANGED = "lock.intent_opened", "lock.confirmed", "lock.undone", "items.changed"
WRONG, CLOSED, UNKNOWN, USED = "wrong-state", "undo-closed", "lock-intent-invalid", "lock-intent-used"
BARRED, OPEN_REFUND = "lock-not-allowed", "refund-in-progress"

SITUATIONS: Final = [
    #         situation                                   deposit                   asked at            intent  lock         unlock  change
    Situation("awaiting payment",                         ordered,                  T0,                 (WRONG,  UNKNOWN,     WRONG,  WRONG)),
    Situation("awaiting payment, 1 ms before it is due",  ordered,                  DUE - 1,            (WRONG,  UNKNOWN,     WRONG,  WRONG)),
    Situation("due and not paid",                         ordered,                  DUE,                (WRONG,  UNKNOWN,     WRONG,  WRONG)),
    Situation("expired",                                  lambda: ordered().write(DUE), DUE,            (WRONG,  UNKNOWN,     WRONG,  WRONG)),
    Situation("cooling off, no intent",                   paid,                     PAID,               (OPENED, UNKNOWN,     WRONG,  CHANGED)),
    Situation("cooling off, an intent was read",          shown,                    READ,               (OPENED, LOCKS,       WRONG,  CHANGED)),
    Situation("cooling off, 1 ms before the end",         nearly_over,              END - 1,            (OPENED, LOCKS,       WRONG,  CHANGED)),
    Situation("the same, its end written down",           lambda: nearly_over().write(END), END - 1,    (OPENED, LOCKS,       WRONG,  CHANGED)),
    Situation("cooling off, a refund is open",            refund_open,              READ,               (OPENED, OPEN_REFUND, WRONG,  CHANGED)),
    Situation("cooling off, a change gave money back",    refunded_by_a_change,     READ,               (OPENED, OPEN_REFUND, WRONG,  OPEN_REFUND)),
    Situation("cooling off, never locked by the clock",   lambda: shown(under=UNDER["never"]), READ,    (OPENED, LOCKS,       WRONG,  CHANGED)),
    Situation("cooling off, buyers do not lock",          lambda: paid(UNDER["not early"]), READ,       (BARRED, UNKNOWN,     WRONG,  CHANGED)),
    Situation("cooling off again, the window runs",       undone(END - 1),          END - 1,            (OPENED, USED,        WRONG,  CHANGED)),
    Situation("cooling off again, only to cancel",        undone(END),              END,                (BARRED, USED,        WRONG,  WRONG)),
    Situation("cooling off after a lock at payment",      founders_undone,          UNDO - 1,           (BARRED, UNKNOWN,     WRONG,  WRONG)),
    Situation("locked by the buyer, undo open",           locked,                   LOCKED,             (WRONG,  USED,        UNDONE, WRONG)),
    Situation("locked by the buyer, 1 ms before final",   locked,                   LOCKED + HOUR - 1,  (WRONG,  USED,        UNDONE, WRONG)),
    Situation("locked by the buyer, final",               locked,                   LOCKED + HOUR,      (WRONG,  USED,        CLOSED, WRONG)),
    Situation("locked at payment, undo open",             lambda: paid(FOUNDERS),   PAID,               (WRONG,  UNKNOWN,     UNDONE, WRONG)),
    Situation("locked at payment, final",                 lambda: paid(FOUNDERS),   UNDO,               (WRONG,  UNKNOWN,     CLOSED, WRONG)),
    Situation("locked at payment, without an undo",       lambda: paid(FLASH_SALE), PAID,               (WRONG,  UNKNOWN,     CLOSED, WRONG)),
    Situation("locked by the clock",                      nearly_over,              END,                (WRONG,  WRONG,       CLOSED, WRONG)),
    Situation("the same, written down",                   lambda: nearly_over().write(END), END,        (WRONG,  WRONG,       CLOSED, WRONG)),
    Situation("locked for good after an undo",            undone(END),              END + 30 * MINUTE,  (WRONG,  USED,        CLOSED, WRONG)),
    Situation("completed",                                completed,                LATER,              (WRONG,  UNKNOWN,     WRONG,  WRONG)),
    Situation("cancelled, an intent was read",            cancelled_with_an_intent, READ,               (WRONG,  WRONG,       WRONG,  WRONG)),
]  # fmt: skip

EVENTS: Final[dict[str, type[DepositEvent]]] = {
    "intent": LockIntentOpened,
    "lock": LockConfirmed,
    "unlock": LockUndone,
    "change": ItemsChanged,
}


def commands(story: Story) -> dict[str, Command]:
    """The four commands of a lock, each as good as it can be."""
    unknown = ConfirmLock(child("lki", DEPOSIT_ID, 1), "sha256:0", "LOCK 5000 CNY")
    return {
        "intent": INTENT,
        "lock": story.confirm() if story.deposit.intents else unknown,
        "unlock": UNLOCK,
        "change": ChangeItems((Ordered(story.deposit.lines[0].sku, 1),)),
    }


def met(situation: Situation) -> tuple[Status, dict[str, str]]:
    """The status at the instant of asking, and what each command comes to."""
    status = status_at(situation.made().deposit, situation.at)
    return status, {name: situation.made().said(commands(situation.made())[name], situation.at) for name in EVENTS}


def row(*cells: str) -> str:
    widths = (42, 17, 20, 20, 13, 0)
    return "".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)) + "\n"


def test_every_status_meets_every_command_of_a_lock(capsys: pytest.CaptureFixture[str]) -> None:
    table = [row("situation", "status", *EVENTS)]
    wrong = []
    for situation in SITUATIONS:
        status, said_of = met(situation)
        table.append(row(situation.name, status.value, *said_of.values()))
        if tuple(said_of.values()) != situation.said:
            wrong.append(situation.name)
    with capsys.disabled():
        sys.stdout.write("\n" + "".join(table))
    assert not wrong


def test_exactly_the_pairs_that_the_table_of_transitions_knows_are_ever_accepted() -> None:
    accepted: set[tuple[Status, type[DepositEvent]]] = set()
    asked_in: set[Status] = set()
    for situation in SITUATIONS:
        status, said_of = met(situation)
        asked_in.add(status)
        accepted |= {(status, EVENTS[name]) for name, then in said_of.items() if then not in set(Reason)}
    assert asked_in == set(Status)
    assert accepted == {pair for pair in product(Status, EVENTS.values()) if pair in TRANSITIONS}
    assert accepted == {
        (Status.COOLING_OFF, LockIntentOpened),
        (Status.COOLING_OFF, LockConfirmed),
        (Status.COOLING_OFF, ItemsChanged),
        (Status.LOCKED, LockUndone),
    }


def test_what_is_accepted_leads_where_the_table_of_transitions_says() -> None:
    for situation, (name, kind) in product(SITUATIONS, EVENTS.items()):
        story = situation.made()
        if situation.said[list(EVENTS).index(name)] in set(Reason):
            continue
        status, stored = status_at(story.deposit, situation.at), story.deposit.status
        story.ask(commands(story)[name], situation.at)
        assert status_at(story.deposit, situation.at) is TRANSITIONS[status, kind], situation.name
        assert story.deposit.status in {TRANSITIONS[status, kind], stored}, situation.name


def test_what_was_asked_in_time_does_not_unwrite_the_end_of_the_window() -> None:
    """The clock has locked it by then: the end is told once, and the status that is stored stays the clock's."""
    story = nearly_over().write(END)
    story.ask(INTENT, END - 1)
    story.ask(ChangeItems((Ordered("su7", 1),)), END - 1)
    assert story.deposit.status is Status.LOCKED
    assert status_at(story.deposit, END - 1) is Status.COOLING_OFF
    assert status_at(story.deposit, END) is Status.LOCKED
    story.write(LATER)
    assert [event.at for event in story.events if isinstance(event, LockedByWindowEnd)] == [END]


def test_a_command_of_a_lock_moves_no_money() -> None:
    for situation, name in product(SITUATIONS, ("intent", "lock", "unlock")):
        story = situation.made()
        before = story.deposit.money
        story.said(commands(story)[name], situation.at)
        assert story.deposit.money == before, situation.name


def test_a_lock_and_a_cancel_of_the_same_instant_cannot_both_be_asked_of_one_state() -> None:
    """Both would be accepted of the state that both have read; the second one, judged anew, knows what the first did."""
    story = shown(under=UNDER["no undo"])
    for command in (story.confirm(), CANCEL):
        assert decide(story.deposit, command, READ, story.terms)
    first = shown(under=UNDER["no undo"])
    first.ask(CANCEL, READ)
    assert first.said(story.confirm(), READ) == "wrong-state"
    second = shown(under=UNDER["no undo"])
    second.ask(story.confirm(), READ)
    second.ask(CANCEL, READ)
    assert second.deposit.money.forfeited == money("5000 CNY")
