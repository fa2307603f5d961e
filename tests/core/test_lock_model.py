"""A model of locking that knows nothing of the code, and buyers who try everything against it.

The model keeps its own idea of every intent: when it was opened, what it showed, whether it may still be used; and of the
window and the undo. Whatever is tried, in whatever order, early, late or asked before and worked off after, a buyer's lock
needs an unexpired, reviewed, unused intent for exactly what is shown now, the right hash and words, and no open refund.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import DAY, HOUR, MINUTE, SECOND
from chalicelib.core.common.money import Money, total
from chalicelib.core.common.refusal import Reason
from chalicelib.core.deadlines import overdue
from chalicelib.core.decide import actions
from chalicelib.core.deposit.clock import status_at
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.events.ending import Cancelled
from chalicelib.core.deposit.events.lock import (
    LockBecameFinal,
    LockConfirmed,
    LockedByWindowEnd,
    LockIntentOpened,
    LockReminded,
    LockUndone,
)
from chalicelib.core.deposit.events.refund import RefundApproved
from chalicelib.core.deposit.fold import evolve, fold
from chalicelib.core.deposit.status import Status
from chalicelib.core.locking.lock import ConfirmLock, OpenIntent
from chalicelib.core.policy.terms import Terms
from chalicelib.core.refunding.destination import SendRefund
from chalicelib.core.refunding.provider_answers import RefundSeen
from chalicelib.core.selling.changes import ChangeItems
from chalicelib.core.selling.ordering import Ordered
from tests.core.stories import (
    CANCEL,
    DEPOSIT_ID,
    GRACE,
    PAID,
    UNLOCK,
    Story,
    paid,
    terms,
    wire,
)
from tests.scope import examples

# The figures of the terms, in the model's own words.
REVIEW: Final = 10 * SECOND
LIVES: Final = 15 * MINUTE
UNDO: Final = HOUR
WINDOW: Final = 168 * HOUR
MOST: Final = 20
DEPOSIT: Final = 508_800
# What is kept of 5,000 yuan, by what is ordered: all of it, or where the goods are worth less, a fifth of them.
AT_STAKE: Final = {"car": 500_000, "other": 500_000, "wheel": 80_000}
WORDS: Final = {"en": "LOCK", "id": "KUNCI", "zh": "锁单"}
AMOUNT: Final = {500_000: "5000 CNY", 80_000: "800 CNY", 0: "0 CNY"}

ITEMS: Final = [
    {"sku": sku, "name": "Car", "price": wire(price), "made_to_spec": True}
    for sku, price in (("car", "299900 CNY"), ("other", "299900 CNY"), ("wheel", "4000 CNY"))
]
UNDER: Final[dict[str, Terms]] = {
    "usual": terms(items=ITEMS),
    "never by the clock": terms(items=ITEMS, lock={"at": "never"}),
    "final at once": terms(items=ITEMS, lock={"undo": None}),
}

NO_LAG: Final = st.sampled_from([0, 0, 0, 0, 1, SECOND, 29 * SECOND])
PAUSES: Final = st.sampled_from([0, 1, SECOND, REVIEW, MINUTE, LIVES, HOUR, DAY, 3 * DAY])


@dataclass
class Shown:
    """An intent as the model sees it."""

    opened_at: int
    hash: str
    locale: str
    goods: tuple[str, int]
    window_ends: int | None
    words: str
    closed: Literal["", "used", "newer", "change"] = ""


@dataclass
class Model:
    """What a buyer is allowed to do, told in the words of the contract."""

    window_ends: int | None
    undo: int | None
    goods: tuple[str, int] = ("car", 1)
    intents: list[Shown] = field(default_factory=list)
    locked_by: Literal["", "buyer", "window_end"] = ""
    locked_at: int | None = None
    undo_until: int | None = None
    only_cancel: bool = False
    open_refunds: set[int] = field(default_factory=set)
    gave_back: bool = False
    changes: int = 0
    cancelled: bool = False

    def free(self, at: int) -> bool:
        """Neither ended nor locked, by anybody."""
        running = self.window_ends is None or at < self.window_ends
        return not self.cancelled and self.locked_at is None and running

    def may_open(self, at: int) -> bool:
        return self.free(at) and not self.only_cancel and len(self.intents) < MOST

    def may_change(self, at: int) -> bool:
        return self.free(at) and not self.only_cancel and not self.gave_back and self.changes < MOST

    def may_undo(self, at: int) -> bool:
        if self.cancelled or self.locked_at is None or self.undo_until is None:
            return False
        return self.locked_at <= at < self.undo_until

    def may_lock(self, at: int, intent: Shown | None, sent: str, typed: str) -> bool:
        """The invariant, and nothing else."""
        if intent is None or intent.closed:
            return False
        reviewed = at >= intent.opened_at + REVIEW
        unexpired = at < intent.opened_at + LIVES
        shows_this = (intent.goods, intent.window_ends) == (self.goods, self.window_ends) and sent == intent.hash
        said_so = typed.strip().upper() == intent.words.upper()
        return self.free(at) and reviewed and unexpired and shows_this and said_so and not self.open_refunds

    def costs(self, at: int) -> int:
        """What a cancel asked then leaves with the seller."""
        sku, _ = self.goods
        if self.locked_at is not None and at >= self.locked_at:
            final = self.undo_until is None or at >= self.undo_until
        else:
            final = self.locked_at is None and self.window_ends is not None and at >= self.window_ends
        return AT_STAKE[sku] if final else 0

    def cancel(self, at: int) -> None:
        """The lock that the end met stays, be it the clock's; one of after it is as if it had not been."""
        self.cancelled = True
        if self.locked_at is not None and at >= self.locked_at:
            return
        ends = self.window_ends
        over = self.locked_at is None and ends is not None and at >= ends
        self.locked_by, self.locked_at, self.undo_until = ("window_end", ends, None) if over else ("", None, None)


class AnyLock(RuleBasedStateMachine):
    """Whatever a buyer does to lock or to get out of it, at whatever pace, and whatever a job writes meanwhile.

    A command is asked at an instant a little before now at times: what others asked meanwhile is written already.
    """

    story: Story
    model: Model
    now: int

    @initialize(under=st.sampled_from(["usual", "usual", "usual", *UNDER]), start=PAUSES)
    def pay(self, under: str, start: int) -> None:
        self.story = paid(UNDER[under])
        ends = None if under == "never by the clock" else PAID + WINDOW
        self.model = Model(ends, None if under == "final at once" else UNDO)
        self.now = PAID + MINUTE + start

    # Time

    @rule(pause=PAUSES)
    def time_passes(self, pause: int) -> None:
        self.now += pause

    @rule(data=st.data(), offset=st.sampled_from([-1, 0, 1]))
    def it_gets_close_to_an_edge(self, data: st.DataObject, offset: int) -> None:
        edges = [self.model.window_ends, self.model.undo_until]
        edges += [
            end for intent in self.model.intents[-1:] for end in (intent.opened_at + REVIEW, intent.opened_at + LIVES)
        ]
        ahead = [edge + offset for edge in edges if edge is not None and edge + offset >= self.now]
        if ahead:
            self.now = data.draw(st.sampled_from(ahead))

    @rule(before=st.sampled_from([5 * SECOND, MINUTE, 30 * MINUTE]))
    def the_window_is_nearly_over(self, before: int) -> None:
        ends = self.model.window_ends
        if ends is not None and ends - before > self.now:
            self.now = ends - before

    @rule()
    def a_job_writes_what_the_clock_has_done(self) -> None:
        self.story.write(self.now, GRACE)

    # The way to a lock

    @rule(locale=st.sampled_from(sorted(WORDS)), lag=NO_LAG)
    def the_buyer_wants_to_see(self, locale: str, lag: int) -> None:
        at = self.now - lag
        allowed = self.model.may_open(at)
        assert self.takes(OpenIntent(locale), at) is allowed
        if not allowed:
            return
        event = self.story.events[-1]
        assert isinstance(event, LockIntentOpened)
        for intent in self.model.intents:
            intent.closed = intent.closed or "newer"
        words = f"{WORDS[locale]} {AMOUNT[AT_STAKE[self.model.goods[0]]]}"
        self.model.intents.append(
            Shown(at, event.disclosure_hash, locale, self.model.goods, self.model.window_ends, words)
        )

    @precondition(lambda self: self.model.intents)
    @rule(lag=NO_LAG, capitals=st.booleans())
    def the_buyer_locks_as_shown(self, lag: int, capitals: bool) -> None:
        latest = self.model.intents[-1]
        words = f" {latest.words.lower()} " if capitals else latest.words
        self.confirms(len(self.model.intents), latest.hash, words, self.now - lag)

    @precondition(lambda self: self.model.intents)
    @rule(reading=st.sampled_from([REVIEW - 1, REVIEW, MINUTE, LIVES - 1, LIVES]))
    def the_buyer_reads_and_locks(self, reading: int) -> None:
        self.now = max(self.now, self.model.intents[-1].opened_at + reading)
        latest = self.model.intents[-1]
        self.confirms(len(self.model.intents), latest.hash, latest.words, self.now)

    @precondition(lambda self: self.model.intents)
    @rule(data=st.data(), lag=NO_LAG)
    def the_buyer_locks_something_else(self, data: st.DataObject, lag: int) -> None:
        """An older intent, one that was never opened, the hash of another one, the words of another one, or none."""
        known = self.model.intents
        n = data.draw(st.integers(1, len(known) + 1))
        hashes = st.sampled_from([*(one.hash for one in known), "sha256:" + "0" * 64])
        words = st.sampled_from([*(one.words for one in known), "", "yes", "LOCK 4999 CNY"])
        self.confirms(n, data.draw(hashes), data.draw(words), self.now - lag)

    @precondition(lambda self: self.model.intents)
    @rule(intent=st.sampled_from(["lki_" + "1" * 26 + "_1", "lki_1", "", "dep_" + "0" * 26]))
    def the_buyer_names_an_intent_that_is_not_of_this_deposit(self, intent: str) -> None:
        latest = self.model.intents[-1]
        assert self.story.said(ConfirmLock(intent, latest.hash, latest.words), self.now) == "lock-intent-invalid"

    def confirms(self, n: int, sent: str, typed: str, at: int) -> None:
        intent = self.model.intents[n - 1] if n <= len(self.model.intents) else None
        allowed = self.model.may_lock(at, intent, sent, typed)
        assert self.takes(ConfirmLock(child("lki", DEPOSIT_ID, n), sent, typed), at) is allowed
        if intent is None or not allowed:
            return
        intent.closed = "used"
        self.model.locked_by, self.model.locked_at = "buyer", at
        self.model.undo_until = at + self.model.undo if self.model.undo is not None else None

    # And out of it

    @rule(lag=NO_LAG)
    def the_buyer_unlocks(self, lag: int) -> None:
        at = self.now - lag
        allowed = self.model.may_undo(at)
        assert self.takes(UNLOCK, at) is allowed
        if not allowed:
            return
        if self.model.window_ends is not None and at >= self.model.window_ends:
            self.model.only_cancel = True
            self.model.window_ends = self.model.undo_until
        self.model.locked_by, self.model.locked_at, self.model.undo_until = "", None, None

    @rule(sku=st.sampled_from(["car", "other", "car", "other", "wheel"]), units=st.integers(1, 2), lag=NO_LAG)
    def the_buyer_changes_the_order(self, sku: str, units: int, lag: int) -> None:
        at = self.now - lag
        allowed = self.model.may_change(at)
        goods = ("wheel", 1) if sku == "wheel" else (sku, units)
        assert self.takes(ChangeItems((Ordered(*goods),)), at) is allowed
        if not allowed:
            return
        self.model.goods = goods
        self.model.changes += 1
        for intent in self.model.intents:
            intent.closed = intent.closed or "change"
        if goods == ("wheel", 1):
            self.model.gave_back = True
            self.model.open_refunds.add(self.story.refund.n)

    @rule(lag=NO_LAG, sure=st.integers(1, 6))
    def the_buyer_cancels(self, lag: int, sure: int) -> None:
        if sure > 1:  # most buyers stay, else few histories go far
            return
        at = self.now - lag
        costs = self.model.costs(at)
        before = len(self.story.events)
        assert self.takes(CANCEL, at) is not self.model.cancelled
        if self.model.cancelled:
            return
        self.model.cancel(at)
        ended = self.story.events[before:]
        assert [event.forfeited.minor for event in ended if isinstance(event, Cancelled)] == [costs]
        back = sum(event.amount.minor for event in ended if isinstance(event, RefundApproved))
        gone = sum(refund.amount.minor for refund in self.story.deposit.refunds if refund.cause == "change")
        assert back == DEPOSIT - gone - costs

    # Money that comes and goes

    @rule(sure=st.integers(1, 3))
    def money_comes_twice(self, sure: int) -> None:
        if sure == 1:
            self.story.pay("100 CNY", self.now)
            self.model.open_refunds.add(self.story.refund.n)

    @precondition(lambda self: self.model.open_refunds)
    @rule(data=st.data())
    def a_refund_arrives(self, data: st.DataObject) -> None:
        n = data.draw(st.sampled_from(sorted(self.model.open_refunds)))
        amount = self.story.deposit.refunds[n - 1].amount
        self.story.ask(SendRefund(n), self.now)
        self.story.ask(RefundSeen(n, "succeeded", amount, f"re_{n}", self.now), self.now)
        self.model.open_refunds.discard(n)

    def takes(self, command: Command, at: int) -> bool:
        """Whether the rules accept it. What is refused changed nothing."""
        before = self.story.deposit
        refusal = self.story.said(command, at) in set(Reason)
        assert not refusal or self.story.deposit == before
        return not refusal

    # What holds

    @invariant()
    def the_lock_is_the_one_that_the_model_knows(self) -> None:
        lock = self.story.deposit.lock
        if lock is None:
            assert self.model.locked_at is None
            return
        known = (self.model.locked_by, self.model.locked_at, self.model.undo_until)
        assert (lock.by, lock.at, lock.undo_until) == known

    @invariant()
    def every_lock_by_the_buyer_used_an_intent_of_its_own(self) -> None:
        locks = [event for event in self.story.events if isinstance(event, LockConfirmed)]
        opened = {event.intent: event for event in self.story.events if isinstance(event, LockIntentOpened)}
        assert len({event.intent for event in locks}) == len(locks), "used twice"
        for event in locks:
            shown = opened[event.intent]
            assert shown.disclosure_hash == event.disclosure_hash
            assert shown.at + REVIEW <= event.at < shown.at + LIVES
        used = {n for n, one in enumerate(self.model.intents, start=1) if one.closed == "used"}
        assert used == {event.intent for event in locks}

    @invariant()
    def the_intents_stand_as_the_model_says(self) -> None:
        named = {"": "open", "used": "used", "newer": "superseded", "change": "changed"}
        assert [intent.state for intent in self.story.deposit.intents] == [
            named[intent.closed] for intent in self.model.intents
        ]

    @invariant()
    def the_words_and_the_hash_are_bound_to_what_was_shown(self) -> None:
        """Two intents have one hash exactly when they showed the same."""
        shown = self.story.deposit.intents
        assert [one.opened.acknowledgement for one in shown] == [intent.words for intent in self.model.intents]
        same = {(intent.hash, intent.locale, intent.goods, intent.window_ends) for intent in self.model.intents}
        assert len({intent.hash for intent in self.model.intents}) == len(same)
        assert len({(intent.locale, intent.goods, intent.window_ends) for intent in self.model.intents}) == len(same)

    @invariant()
    def the_status_is_what_model_and_clock_say(self) -> None:
        deposit = self.story.deposit
        for at in (self.now, self.now + DAY):
            late = self.model.window_ends is not None and at >= self.model.window_ends
            held = Status.LOCKED if self.model.locked_at is not None or late else Status.COOLING_OFF
            assert status_at(deposit, at) is (Status.CANCELLED if self.model.cancelled else held)

    @invariant()
    def what_is_written_agrees_with_the_clock(self) -> None:
        deposit = self.story.deposit
        for event in overdue(deposit, self.now, self.now):
            deposit = evolve(deposit, event)
        assert deposit.status is status_at(deposit, self.now) is status_at(self.story.deposit, self.now)
        assert not overdue(deposit, self.now, self.now)
        assert fold(DEPOSIT_ID, self.story.events) == self.story.deposit

    @invariant()
    def nobody_is_told_too_early_or_twice(self) -> None:
        told = [event for event in self.story.events if isinstance(event, LockReminded)]
        assert len({event.at for event in told}) == len(told)
        assert all(event.at < event.window_ends_at == PAID + WINDOW for event in told)
        confirmed = {event.undo_until for event in self.story.events if isinstance(event, LockConfirmed)}
        final = [event.at for event in self.story.events if isinstance(event, LockBecameFinal)]
        assert set(final) <= confirmed
        assert len(set(final)) == len(final)
        ends = [event.at for event in self.story.events if isinstance(event, LockedByWindowEnd)]
        assert set(ends) <= {PAID + WINDOW, self.model.window_ends}
        assert len(ends) <= 1 + sum(isinstance(event, LockUndone) for event in self.story.events)

    @invariant()
    def no_fen_is_lost(self) -> None:
        money = self.story.deposit.money
        parts = (money.held, money.refunding, money.refunded, money.forfeited, money.fees)
        assert money.captured == total(parts, "CNY")
        refunds = self.story.deposit.refunds
        twice = sum(refund.amount.minor for refund in refunds if refund.cause in {"duplicate_payment", "late_payment"})
        assert money.captured == Money(DEPOSIT + twice, "CNY")
        assert self.model.cancelled or not money.forfeited

    @invariant()
    def the_buttons_are_the_models(self) -> None:
        latest = self.model.intents[-1] if self.model.intents else None
        expected = {
            "cancel": not self.model.cancelled,
            "changes": self.model.may_change(self.now),
            "lock": latest is not None and self.model.may_lock(self.now, latest, latest.hash, latest.words),
            "lock-intents": self.model.may_open(self.now),
            "unlock": self.model.may_undo(self.now),
        }
        listed = actions(self.story.deposit, "buyer", self.now, self.story.terms)
        assert {name: name in listed for name in expected} == expected


AnyLock.TestCase.settings = settings(max_examples=examples(100), stateful_step_count=30, deadline=None)
TestAnyLock = AnyLock.TestCase
