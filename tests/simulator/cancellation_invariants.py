"""A model of merchant cancellations, questions, bulk runs, passes and the reserve from their events.

Reasons, figures and times come from expected_reasons.py and sales.py, written by hand; callers and instants come from the
journals' envelopes.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import HOUR
from chalicelib.core.common.journal import Entry
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.ending import (
    Cancelled,
    Expired,
    PassGranted,
    PassLapsed,
    PassReminded,
    PassReturned,
    PassUsed,
    QuestionAnswered,
    QuestionAsked,
    QuestionLapsed,
)
from chalicelib.core.deposit.events.order import Created, ItemsChanged, TakenStock
from chalicelib.core.deposit.events.payment import PaymentSucceeded
from chalicelib.core.deposit.events.refund import RefundApproved
from chalicelib.core.merchant.bulk import BulkApproved, BulkAsked, BulkEvent, BulkLapsed, BulkWorked
from chalicelib.store.bulks import KINDS
from chalicelib.store.journals import Journals
from tests.simulator.deposit_invariants import SKEW, DepositRecord
from tests.simulator.expected_reasons import (
    ANSWER_WITHIN,
    APPROVE_WITHIN,
    MAX_ALONE,
    REASON_RULES,
    REMINDED,
    RESERVE_LASTS,
    VALID,
    count_evidence,
)
from tests.simulator.expressions import Item
from tests.simulator.sales import Sale

GRACE = 60_000  # what was sent in time may still be on its way so long
CAUSE = "merchant_cancel"
ON_TOP = "seller_default_compensation"
LATE = 2 * HOUR  # a job that failed comes back later and later
Place = tuple[str, int]


@dataclass
class OfferOpening:
    """When an offer opens, and until when its reserved units are for passes."""

    merchant: str
    opens_at: int
    kept_until: int


@dataclass
class OpenQuestion:
    """A question to a buyer."""

    kind: str
    due_at: int
    answered: bool = False
    lapsed: bool = False


@dataclass
class PassRecord:
    """A pass; ``used_for`` is the deposit that holds it now."""

    origin: str
    event: PassGranted
    used_for: str = ""
    lapsed: bool = False
    reminded: set[int] = field(default_factory=set)

    def next_at(self) -> int:
        """The next instant at which a deadline event is due."""
        return min(at for at in (*self.event.remind_at, self.event.valid_until) if at not in self.reminded)


@dataclass
class OwedRefunds:
    """The refund of a merchant's cancellation, and the compensation on top."""

    cause: str
    back: int
    on_top: int
    given: int = 0
    extra: int = 0
    passes: int = 0


@dataclass
class BulkRecord:
    """A bulk cancellation."""

    asked: BulkAsked
    judged: list[str] = field(default_factory=list)
    approver: str | None = None
    over: bool = False


@dataclass
class CancellationInvariants:
    """``see`` takes each event of a deposit before its commitment does; ``written`` whole calls of the store."""

    violated: Callable[[str, str], None]
    now: Callable[[], int]
    sales: dict[str, Sale]
    records: dict[str, DepositRecord]
    openings: dict[str, OfferOpening] = field(default_factory=dict)
    created: dict[str, Created] = field(default_factory=dict)
    questions: dict[Place, OpenQuestion] = field(default_factory=dict)
    passes: dict[str, PassRecord] = field(default_factory=dict)
    uses: Counter[tuple[str, str]] = field(default_factory=Counter)  # of a pass for a deposit
    unpaid_ends: set[str] = field(default_factory=set)  # deposits that ended and were never paid
    owed: dict[str, OwedRefunds] = field(default_factory=dict)
    overturned: set[str] = field(default_factory=set)  # deposits whose appeal was decided for the buyer
    tallies: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # by offer, what happened, and why
    stored_tallies: dict[tuple[str, str, str], int] = field(default_factory=dict)
    bulks: dict[str, BulkRecord] = field(default_factory=dict)
    _reader: Journals[BulkEvent] = field(default_factory=lambda: Journals(None, "", KINDS))
    _touched: set[str] = field(default_factory=set)

    # One event of a deposit.

    def begin(self, pk: str, event: Created, asked: int) -> None:
        self.created[pk] = event
        self._touched.add(pk)
        self._drawn(pk, event.stock, asked)
        opened = self.openings[event.offer]
        if event.priority is None and asked < opened.opens_at:
            self.violated("P4", f"{pk} was ordered at {asked}, the sale opens at {opened.opens_at}")
        if event.priority is not None and event.limit_units:
            self.violated("P4", f"{pk} was ordered with a pass and counts against the limit")

    def observe(self, pk: str, entry: Entry[DepositEvent]) -> None:
        event, asked = entry.event, entry.received_at
        self._touched.add(pk)
        match event:
            case ItemsChanged():
                self._drawn(pk, event.stock, asked)
            case QuestionAsked() | QuestionAnswered() | QuestionLapsed():
                self._question(pk, event, asked)
            case PassGranted() | PassUsed() | PassReturned() | PassReminded() | PassLapsed():
                self._pass(pk, event, asked)
            case Cancelled():
                self._ended(pk)
                self._cancelled(pk, event, entry)
            case Expired():
                self._ended(pk)
            case RefundApproved() if event.cause in {CAUSE, ON_TOP}:
                self._approved(pk, event)
            case PaymentSucceeded() if pk in self.unpaid_ends:
                self.violated("P6", f"{pk} is paid after its end")
            case _:
                pass

    def _drawn(self, pk: str, taken: tuple[TakenStock, ...], asked: int) -> None:
        """P4: what is kept for passes is drawn with passes alone until it is everybody's."""
        created = self.created[pk]
        kept, until = self.sales[created.offer].kept_from, self.openings[created.offer].kept_until
        for one in taken:
            if one.shard >= kept.get(one.sku, one.shard + 1) and created.priority is None and asked < until:
                self.violated("P4", f"{pk} drew {one} at {asked} without a pass, it is kept until {until}")

    def _ended(self, pk: str) -> None:
        if self.records[pk].paid_at is None:
            self.unpaid_ends.add(pk)

    # Questions.

    def _question(self, pk: str, event: QuestionAsked | QuestionAnswered | QuestionLapsed, asked: int) -> None:
        place = (pk, event.question)
        if isinstance(event, QuestionAsked):
            if place in self.questions or event.due_at != asked + ANSWER_WITHIN or self._over(pk):
                self.violated("P12", f"{pk} {event} asked at {asked}")
            self.questions[place] = OpenQuestion(event.kind, event.due_at)
            return
        one = self.questions[place]
        if isinstance(event, QuestionAnswered):
            if one.answered:
                self.violated("P12", f"{pk} {event} was answered before")
            one.answered = True
            return
        if one.answered or one.lapsed or event.at != one.due_at or self.now() < event.at - SKEW:
            self.violated("P15", f"{pk} {event}: {one}")
        one.lapsed = True

    def _over(self, pk: str) -> bool:
        return self.records[pk].ended_at is not None or self.records[pk].completed

    # Cancellations.

    def _cancelled(self, pk: str, event: Cancelled, entry: Entry[DepositEvent]) -> None:
        """P12: a published code with its evidence, nothing kept, everything owed."""
        cause = REASON_RULES.get(event.reason or "")
        if (event.cause == CAUSE) != (event.reason is not None):
            self.violated("P12", f"{pk} {event}: a reason belongs to a merchant")
        if event.cause != CAUSE:
            return
        if cause is None or event.reason not in self.sales[self.created[pk].offer].codes:
            self.violated("P12", f"{pk} {event} for a reason that was not published")
            return
        assert event.reason is not None, "it was found"
        self.tallies[self.created[pk].offer, "cancelled", event.reason] += 1
        if entry.by.role != "merchant" or event.forfeited or event.fees:
            self.violated("P12", f"{pk} {event} by {entry.by}")
        if count_evidence(event.evidence) < cause.evidence:
            self.violated("P12", f"{pk} {event} needs {cause.evidence} items")
        if cause.question and not any(self._lapsed(pk, item, cause.question, entry) for item in event.evidence):
            self.violated("P12", f"{pk} {event} without a {cause.question} question that lapsed")
        if cause.unpaid and self.records[pk].paid_at is not None:
            self.violated("P12", f"{pk} {event}, but it is paid")
        if event.counted != cause.counted:
            self.violated("P4", f"{pk} {event} and the limit")
        self._approver(pk, event, entry.by.id, needed=cause.second)
        self._owe(pk, event.reason)

    def _lapsed(self, pk: str, cited: str, kind: str, entry: Entry[DepositEvent]) -> bool:
        """Whether it is a question of this deposit that nobody had answered when its time was over."""
        return any(
            cited == child("qst", pk, n)
            and one.kind == kind
            and not one.answered
            and entry.received_at >= one.due_at + GRACE
            for (deposit, n), one in self.questions.items()
            if deposit == pk
        )

    def _approver(self, pk: str, event: Cancelled, by: str, *, needed: bool) -> None:
        """Who agreed is another person, and did so for a bulk run that names this deposit."""
        if event.approver is None:
            if needed:
                self.violated("P12", f"{pk} {event}: nobody else agreed")
            return
        runs = [one for one in self.bulks.values() if pk in one.asked.deposits and one.asked.reason == event.reason]
        agreed = any(run.approver == event.approver and run.asked.by == by for run in runs)
        if event.approver == by or not agreed:
            self.violated("P12", f"{pk} {event} by {by}: {event.approver} did not agree")

    def _owe(self, pk: str, reason: str) -> None:
        """Everything that counted and was not given back, less what was paid for goods that are with the buyer."""
        record, cause = self.records[pk], REASON_RULES[reason]
        kept = min(record.kept_value(), record.held)
        paid = record.paid_at is not None and cause.doubles
        on_top = record.sale.on_top(record.ordered, record.goods, record.left_value()) if paid else 0
        self.owed[pk] = OwedRefunds(reason, record.held - kept, on_top)

    def _approved(self, pk: str, event: RefundApproved) -> None:
        owed = self.owed.get(pk)
        if owed is None:
            self.violated("P12", f"{pk} {event} without a merchant's cancellation")
        elif event.cause == ON_TOP:
            owed.extra += event.amount.minor
            if event.capture:
                self.violated("P3", f"{pk} {event} takes the buyer's own money")
        else:
            owed.given += event.amount.minor

    # Passes.

    def _pass(
        self, pk: str, event: PassGranted | PassUsed | PassReturned | PassReminded | PassLapsed, asked: int
    ) -> None:
        name = child("pas", pk, event.priority_pass)
        if isinstance(event, PassGranted):
            self._granted(pk, name, event, asked)
            return
        one = self.passes[name]
        match event:
            case PassUsed():
                if one.used_for or one.lapsed or asked >= one.event.valid_until:
                    self.violated("pass", f"{name} {event} asked at {asked}: {one}")
                one.used_for = event.deposit
                self.uses[name, event.deposit] += 1
            case PassReturned():
                if one.used_for != event.deposit or event.deposit not in self.unpaid_ends:
                    self.violated("pass", f"{name} {event}: {one}")
                one.used_for = ""
                one.reminded |= {at for at in one.event.remind_at if at <= event.at}
            case PassReminded():
                if one.used_for or one.lapsed or event.at in one.reminded or event.at not in one.event.remind_at:
                    self.violated("P15", f"{name} {event}: {one}")
                one.reminded.add(event.at)
            case PassLapsed():
                if one.used_for or one.lapsed or self.now() < one.event.valid_until - SKEW:
                    self.violated("P15", f"{name} {event}: {one}")
                one.lapsed = True

    def _granted(self, pk: str, name: str, event: PassGranted, asked: int) -> None:
        """For the goods of that order at their price, for half a year, and only where the reason or an appeal grants one."""
        owed, record = self.owed.get(pk), self.records[pk]
        if owed is None or not self._grants(pk, owed) or name in self.passes or event.reason != owed.cause:
            self.violated("pass", f"{pk} {event}")
            return
        owed.passes += 1
        skus = {sku for sku, _ in record.lines}
        right = set(event.skus) == skus and event.price_cap.minor == max(record.sale.prices[sku] for sku in skus)
        times = {event.valid_until - before for before in REMINDED} == set(event.remind_at)
        if not right or not times or event.valid_until != asked + VALID:
            self.violated("pass", f"{pk} {event} asked at {asked}")
        self.passes[name] = PassRecord(pk, event)

    def _grants(self, pk: str, owed: OwedRefunds) -> bool:
        """One pass, by the reason itself or by an appeal against it; none beside one that went back."""
        went_back = self.created[pk].priority is not None and pk in self.unpaid_ends
        return REASON_RULES[owed.cause].grants or (pk in self.overturned and not went_back)

    def appealed(self, pk: str) -> None:
        """For the first time."""
        self.tallies[self.created[pk].offer, "appealed", self.owed[pk].cause] += 1

    def was_overturned(self, pk: str) -> None:
        if pk not in self.overturned:
            self.overturned.add(pk)
            self.tallies[self.created[pk].offer, "overturned", self.owed[pk].cause] += 1

    # Whole calls of the store.

    def check_write(self, changes: list[tuple[str, Item | None, Item]]) -> None:
        """After the deposits of a call were seen, whatever stood first in it."""
        for pk, before, after in changes:
            if pk.startswith("tally#"):
                self._told(pk, after)
            elif pk.startswith("bmc_"):
                self._bulk(pk, before, after)
            elif pk.startswith("dep_"):
                self._waiting(pk, after)
        if {one: units for one, units in self.tallies.items() if units} != self.stored_tallies:
            self.violated("tally", f"told are {self.stored_tallies}, in the journals {self.tallies}")
        touched, self._touched = self._touched, set()
        for pk in sorted(touched):
            self._paid_back(pk)
            self._bought(pk)

    def _told(self, pk: str, after: Item) -> None:
        for name, value in after.items():
            what, mark, reason = name.partition("#")
            if mark:
                self.stored_tallies[pk.partition("#")[2], what, reason] = int(value["N"])

    def _paid_back(self, pk: str) -> None:
        owed = self.owed.get(pk)
        if owed is None:
            return
        if (owed.given, owed.extra) != (owed.back, owed.on_top):
            self.violated("P12", f"{pk} gives back {owed.given} and {owed.extra} on top: {owed}")
        if owed.passes != self._grants(pk, owed):
            self.violated("pass", f"{pk} has {owed.passes} passes for {owed.cause}")

    def _bought(self, pk: str) -> None:
        """A deposit that names a pass: one unit, of its buyer, at its merchant, not dearer, and used in its journal."""
        held = self.created[pk].priority
        if held is None:
            return
        one = self.passes.get(held.id)
        if one is None or self.uses[held.id, pk] != 1:
            self.violated("pass", f"{pk} names {held.id}, used {self.uses[held.id, pk]} times")
            return
        created, origin, record = self.created[pk], self.created[one.origin], self.records[pk]
        if (created.buyer, created.merchant) != (origin.buyer, origin.merchant):
            self.violated("pass", f"{pk} was bought with a pass of {origin.buyer} at {origin.merchant}")
        [(sku, value), *more] = record.lines
        within = sku in one.event.skus and value <= one.event.price_cap.minor
        if more or record.quantities != [1] or not within:
            self.violated("pass", f"{pk} orders {record.quantities} of {record.lines} with {one.event}")
        if (one.used_for == pk) == self._goes_back(pk):
            self.violated("pass", f"{pk} ended as {record.ended_by or 'living'}, {held.id} is used for {one.used_for}")

    def _goes_back(self, pk: str) -> bool:
        """Whether the pass it was ordered with is the buyer's again: it ended unpaid, and no other one came of it."""
        owed = self.owed.get(pk)
        return pk in self.unpaid_ends and not (owed is not None and owed.passes)

    def _waiting(self, pk: str, after: Item) -> None:
        """P7: whatever the clock will say of questions and passes has somebody who comes for it.

        What is past already is in somebody's hands, or waits until that one is missed.
        """
        ahead = list(self._ahead(pk))
        due = int(after["due"]["N"]) if "due" in after else None
        if ahead and (due is None or due > min(ahead) + LATE > self.now() + LATE):
            self.violated("P7", f"{pk} waits for {min(ahead)}, somebody comes at {due}")

    def _ahead(self, pk: str) -> Iterator[int]:
        for (deposit, _), question in self.questions.items():
            if deposit == pk and not question.answered and not question.lapsed and not self._over(pk):
                yield question.due_at
        for one in self.passes.values():
            if one.origin == pk and not one.used_for and not one.lapsed:
                yield one.next_at()

    # Bulk cancellations.

    def _bulk(self, pk: str, before: Item | None, after: Item) -> None:
        old = before["journal"]["L"] if before is not None else []
        new = after["journal"]["L"]
        if new[: len(old)] != old:
            self.violated("history", f"{pk} was rewritten")
        for entry in self._reader.read({**after, "journal": {"L": new[len(old) :]}}).journal:
            self._ran(pk, entry)
        if not self.bulks[pk].over and "due" not in after:
            self.violated("P7", f"{pk} waits and nobody will come")

    def _ran(self, pk: str, entry: Entry[BulkEvent]) -> None:
        event, asked = entry.event, entry.received_at
        if isinstance(event, BulkAsked):
            self._many(pk, event, entry)
            return
        one = self.bulks[pk]
        until = one.asked.approve_until
        if one.over:
            self.violated("P12", f"{pk} {event} after its end")
        match event:
            case BulkApproved():
                if until is None or asked >= until or entry.by.id in {one.asked.by, ""} or event.by != entry.by.id:
                    self.violated("P12", f"{pk} {event} of {one.asked} by {entry.by}")
                if entry.by.merchant != one.asked.merchant:
                    self.violated("P9", f"{pk} {event} by {entry.by}")
                one.approver = event.by
            case BulkWorked():
                if until is not None and one.approver is None:
                    self.violated("P12", f"{pk} {event}: nobody else agreed")
                self._judged(pk, one, event)
            case BulkLapsed():
                if one.approver is not None or event.at != until or self.now() < event.at - SKEW:
                    self.violated("P15", f"{pk} {event} of {one.asked}")
                one.over = True

    def _many(self, pk: str, event: BulkAsked, entry: Entry[BulkEvent]) -> None:
        """Few may go alone, and none for a reason that needs two."""
        cause = REASON_RULES.get(event.reason)
        if cause is None or event.reason not in self.sales[event.offer].codes:
            self.violated("P12", f"{pk} {event} for a reason that was not published")
            return
        alone = len(event.deposits) <= MAX_ALONE and not cause.second
        if event.approve_until != (None if alone else entry.received_at + APPROVE_WITHIN):
            self.violated("P12", f"{pk} {event} alone: {alone}")
        mine = self.openings[event.offer].merchant == entry.by.merchant == event.merchant
        if not mine or event.by != entry.by.id or count_evidence(event.evidence) < cause.evidence:
            self.violated("P12", f"{pk} {event} by {entry.by}")
        self.bulks[pk] = BulkRecord(event)

    def _judged(self, pk: str, one: BulkRecord, event: BulkWorked) -> None:
        for result in event.results:
            one.judged.append(result.deposit)
            owed = self.owed.get(result.deposit)
            created = self.created.get(result.deposit)
            mine = created is not None and created.offer == one.asked.offer
            if result.outcome == "cancelled" and not (owed is not None and owed.cause == one.asked.reason and mine):
                self.violated("P12", f"{pk} says that it cancelled {result.deposit}")
        if one.judged != list(one.asked.deposits[: len(one.judged)]):
            self.violated("P12", f"{pk} judged {one.judged} of {one.asked.deposits}")
        one.over = len(one.judged) == len(one.asked.deposits)

    def check_finished(self) -> None:
        for pk, one in self.bulks.items():
            if not one.over:
                self.violated("P7", f"{pk} never came to an end")
        for name, granted in self.passes.items():
            if not granted.used_for and not granted.lapsed and granted.next_at() < self.now() - LATE:
                self.violated("P7", f"nobody was told of {name} at {granted.next_at()}")
        for (pk, n), question in self.questions.items():
            if not question.answered and not question.lapsed and not self._over(pk) and self.now() > question.due_at:
                self.violated("P7", f"{pk} never told that question {n} lapsed")


def opened(offer: dict[str, Any], opens_at: int, now: int) -> OfferOpening:
    """``opens_at`` 0: at once, and the reserve lasts from when it was published."""
    begins = opens_at or now
    return OfferOpening(offer["merchant"], begins if opens_at else 0, begins + RESERVE_LASTS)
