"""A model of claims from their events: who may open one, what is owed, when a deadline decides, and what is paid.

Times are constants here; values of goods come from the plan's sales, callers and instants from the journals' envelopes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec.structs import replace

from chalicelib.core.common.instants import DAY, HOUR
from chalicelib.core.common.journal import Entry
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.claim import (
    ClaimAccepted,
    ClaimAnsweredLate,
    ClaimDismissed,
    ClaimEscalated,
    ClaimEvidenceAdded,
    ClaimGranted,
    ClaimOffered,
    ClaimOpened,
    ClaimPartlyUpheld,
    ClaimRejected,
    ClaimReminded,
    ClaimReversed,
    ClaimUpheld,
    ClaimWithdrawn,
)
from chalicelib.core.deposit.events.ending import Cancelled
from chalicelib.core.deposit.events.refund import RefundApproved
from chalicelib.core.deposit.fold import evolve
from tests.simulator.cancellation_invariants import GRACE, LATE, CancellationInvariants
from tests.simulator.deposit_invariants import SKEW, DepositRecord, Payer, units_of
from tests.simulator.expected_reasons import REASON_RULES
from tests.simulator.expressions import Item
from tests.simulator.refund_invariants import RefundInvariants

ANSWER_WITHIN: Final = 72 * HOUR  # the merchant
DECIDE_WITHIN: Final = 72 * HOUR  # the platform
STANDS: Final = 48 * HOUR  # an offer
MISTAKEN: Final = 7 * DAY  # after a lock
OPEN_FOR: Final = 180 * DAY  # after the last shipment or the end
NOTICES: Final = (24 * HOUR, 2 * HOUR)
MAX_OFFERS, MOST_CLAIMS, MOST_EVIDENCE, MOST_LATE = 2, 10, 20, 5
AWAITING, OFFERED, REVIEW, GRANTED = "awaiting_merchant", "offered", "in_review", "granted_by_deadline"
OPEN: Final = frozenset({AWAITING, OFFERED, REVIEW})
GOODS, APPEAL, MISTAKE = "short_shipment", "merchant_cancellation", "mistaken_lock"
RULED_ONCE: Final = frozenset({GOODS, MISTAKE, "trade_in"})
FREE_OF_MONEY: Final = frozenset({APPEAL, "privacy"})
DECIDED: Final = frozenset({"accepted", "upheld", "partly", "dismissed", GRANTED})
# What somebody did: whose word it must be, where the claim may stand by the clock, and where it stands afterwards.
STEPS: Final[Mapping[type[DepositEvent], tuple[frozenset[str], frozenset[str], str]]] = {
    ClaimOffered: (frozenset({"merchant"}), frozenset({AWAITING, OFFERED}), OFFERED),
    ClaimRejected: (frozenset({"merchant"}), frozenset({AWAITING}), REVIEW),
    ClaimWithdrawn: (frozenset({"buyer"}), OPEN, "withdrawn"),
    ClaimEvidenceAdded: (frozenset({"buyer", "merchant"}), OPEN, ""),
    ClaimUpheld: (frozenset({"platform"}), frozenset({REVIEW}), "upheld"),
    ClaimPartlyUpheld: (frozenset({"platform"}), frozenset({REVIEW}), "partly"),
    ClaimDismissed: (frozenset({"platform"}), frozenset({REVIEW}), "dismissed"),
    ClaimAnsweredLate: (frozenset({"merchant", "platform"}), frozenset({GRANTED}), ""),
}


@dataclass
class ClaimRecord:
    """A claim by its events; ``status_at`` also by the clock."""

    opened: ClaimOpened
    status: str
    due_at: int
    since: int  # when it began to wait for that
    offers: list[int] = field(default_factory=list)
    evidence: int = 0
    late: int = 0
    steps: int = 0
    noticed: set[int] = field(default_factory=set)

    @property
    def n(self) -> int:
        return self.opened.claim

    @property
    def open(self) -> bool:
        return self.status in OPEN

    @property
    def owed(self) -> int:
        return self.opened.owed.minor

    @property
    def reserve(self) -> int:
        """The money reserved while it is open."""
        return max(self.owed, *self.offers, 0)

    def status_at(self, at: int) -> str:
        if self.status not in OPEN or at < self.due_at:
            return self.status
        if self.status == OFFERED and at < self.due_at + DECIDE_WITHIN:
            return REVIEW
        return GRANTED

    def notices(self) -> Iterator[int]:
        yield from (at for before in NOTICES if (at := self.due_at - before) > self.since and at not in self.noticed)

    def wait_for(self, status: str, at: int, within: int) -> None:
        self.status, self.since, self.due_at, self.noticed = status, at, at + within, set()


@dataclass
class ClaimPayout:
    """The refunds that a decision announces, until its write is complete."""

    amount: int
    refunds: tuple[int, ...]
    approved: dict[int, int] = field(default_factory=dict)


@dataclass
class ClaimInvariants:
    """``see`` takes each event with the deposit before it, before anybody else does; ``written`` whole calls of the store."""

    violated: Callable[[str, str], None]
    now: Callable[[], int]
    states: dict[str, Deposit]
    records: dict[str, DepositRecord]
    cancellations: CancellationInvariants
    refunds: RefundInvariants
    cases: dict[str, list[ClaimRecord]] = field(default_factory=dict)
    kept_amounts: dict[str, tuple[int, int]] = field(default_factory=dict)  # forfeited and fees, at the end
    payouts: dict[tuple[str, int], ClaimPayout] = field(default_factory=dict)

    def cases_of(self, pk: str) -> list[ClaimRecord]:
        return self.cases.get(pk, [])

    def claimed(self, pk: str) -> int:
        """The money reserved by a deposit's open claims."""
        return sum(case.reserve for case in self.cases_of(pk) if case.open)

    def is_due(self, pk: str) -> bool:
        """Whether a deadline has decided a claim and its event is not written yet."""
        return any(case.open and self.now() >= case.due_at for case in self.cases_of(pk))

    # One event of a deposit.

    def observe(self, pk: str, before: Deposit, entry: Entry[DepositEvent]) -> None:
        event = entry.event
        match event:
            case ClaimOpened():
                self._opened(pk, before, event, entry)
            case ClaimReversed():
                self._reversed(pk, event)
            case ClaimReminded():
                self._reminded(pk, event)
            case ClaimEscalated() | ClaimGranted() | ClaimAccepted():
                self._moved(pk, before, event, entry)
            case Cancelled():
                self.kept_amounts[pk] = event.forfeited.minor, event.fees.minor if event.fees is not None else 0
            case RefundApproved():
                self._refunded(pk, before, event)
            case _ if type(event) in STEPS:
                self._stepped(pk, before, event, entry)
            case _:
                pass

    def _opened(self, pk: str, before: Deposit, event: ClaimOpened, entry: Entry[DepositEvent]) -> None:
        mine = self.cases.setdefault(pk, [])
        asked = entry.received_at
        amount = event.amount.minor if event.amount is not None else None
        wrong = self.find_fault(before, event.kind, units_of(event.lines), amount, asked)
        if wrong:
            self.violated("P13", f"{pk} {event} asked at {asked}: {wrong}")
        if entry.by.role != "buyer" or entry.by.id != before.created.buyer or event.claim != len(mine) + 1:
            self.violated("P9", f"{pk} {event} by {entry.by}")
        owed = self.owed(before, event.kind, units_of(event.lines), amount)
        if event.owed.minor != owed:
            self.violated("P3", f"{pk} {event}: owed is {owed}")
        status = REVIEW if event.kind == "privacy" else AWAITING
        within = DECIDE_WITHIN if status == REVIEW else ANSWER_WITHIN
        case = ClaimRecord(event, status, asked + within, asked, evidence=len(event.evidence))
        if event.due_at != case.due_at:
            self.violated("P13", f"{pk} {event} asked at {asked} is due at {case.due_at}")
        mine.append(case)
        if event.kind == APPEAL and sum(one.opened.kind == APPEAL for one in mine) == 1:
            self.cancellations.appealed(pk)

    def _case(self, pk: str, event: Any) -> ClaimRecord:
        case: ClaimRecord = self.cases[pk][event.claim - 1]
        case.steps += not isinstance(event, ClaimReminded)
        return case

    def _stepped(self, pk: str, before: Deposit, event: Any, entry: Entry[DepositEvent]) -> None:
        """By the right side, and where the clock says the claim stands at the instant of asking."""
        case, asked = self._case(pk, event), entry.received_at
        roles, statuses, after = STEPS[type(event)]
        if entry.by.role not in roles:
            self.violated("P9", f"{pk} {event} by {entry.by}")
        if case.status_at(asked) not in statuses:
            self.violated("P13", f"{pk} {event} asked at {asked}, when it was {case.status_at(asked)}: {case}")
        match event:
            case ClaimOffered():
                self._offered(pk, before, case, event, asked)
            case ClaimRejected():
                case.wait_for(REVIEW, asked, DECIDE_WITHIN)
            case ClaimEvidenceAdded():
                case.evidence += len(event.evidence)
                if case.evidence > MOST_EVIDENCE:
                    self.violated("P13", f"{pk} {event}: {case.evidence} items")
            case ClaimAnsweredLate():
                self._late(pk, before, case, event)
            case _:
                case.status = after
        if isinstance(event, ClaimUpheld | ClaimPartlyUpheld):
            self._decided(pk, before, case, event)
        if case.open and getattr(event, "due_at", case.due_at) != case.due_at:
            self.violated("P13", f"{pk} {event} asked at {asked} is due at {case.due_at}")

    def _offered(self, pk: str, before: Deposit, case: ClaimRecord, event: ClaimOffered, asked: int) -> None:
        """P13: at least what is owed, each more than the one before, twice at most, and out of money that is there."""
        amount = event.amount.minor
        least = max(case.owed, max(case.offers, default=0) + 1)
        most = self.max_payable(before, case)
        if not least <= amount <= most or len(case.offers) >= MAX_OFFERS:
            self.violated("P13", f"{pk} {event} between {least} and {most} after {case.offers}")
        case.offers.append(amount)
        case.wait_for(OFFERED, asked, STANDS)

    def _late(self, pk: str, before: Deposit, case: ClaimRecord, event: ClaimAnsweredLate) -> None:
        """It stands in the history, and nothing else is changed by it."""
        case.late += 1
        after = evolve(before, event)
        same = replace(after, version=before.version, updated_at=before.updated_at, claims=before.claims)
        then, now = before.claims[case.n - 1], after.claims[case.n - 1]
        if same != before or replace(now, late_answers=then.late_answers) != then or case.late > MOST_LATE:
            self.violated("P13", f"{pk} {event} changed {case}")

    def _reminded(self, pk: str, event: ClaimReminded) -> None:
        case = self._case(pk, event)
        if event.at not in set(case.notices()) or self.now() < event.at - SKEW or not case.open:
            self.violated("P15", f"{pk} {event} of {case}")
        case.noticed.add(event.at)

    def _moved(
        self,
        pk: str,
        before: Deposit,
        event: ClaimEscalated | ClaimGranted | ClaimAccepted,
        entry: Entry[DepositEvent],
    ) -> None:
        """By somebody's word in time, or by silence at its very end and not written before the grace is over."""
        case, asked = self._case(pk, event), entry.received_at
        silent = isinstance(event, ClaimGranted) or event.by == "silence"
        if isinstance(event, ClaimGranted) or event.by == "silence":
            self._silent(pk, case, event)
        else:
            statuses = {OFFERED} if entry.by.role == "buyer" else {AWAITING}  # no offer is taken back
            if case.status_at(asked) not in statuses or entry.by.role != event.by:
                self.violated("P13", f"{pk} {event} asked at {asked} by {entry.by}: {case}")
        if isinstance(event, ClaimEscalated):
            case.wait_for(REVIEW, event.at if silent else asked, DECIDE_WITHIN)
            if event.due_at != case.due_at:
                self.violated("P13", f"{pk} {event} is due at {case.due_at}")
            return
        case.status = GRANTED if silent else "accepted"
        self._decided(pk, before, case, event)

    def _silent(self, pk: str, case: ClaimRecord, event: Any) -> None:
        """P13: the buyer's silence accepts nothing, that of the others grants."""
        waits = {OFFERED} if isinstance(event, ClaimEscalated) else {AWAITING, REVIEW}
        named = {AWAITING: "merchant", REVIEW: "platform"}.get(case.status)
        if case.status not in waits or event.at != case.due_at or getattr(event, "silent", named) != named:
            self.violated("P13", f"{pk} {event} by silence: {case}")
        if self.now() < event.at + GRACE - SKEW:
            self.violated("P15", f"{pk} {event} is written {self.now() - event.at} ms after its instant")

    # What is owed, worked out again.

    def owed(self, state: Deposit, kind: str, lines: Mapping[int, int], amount: int | None) -> int:
        record, left = self.records[state.id], self.left(state)
        forfeited, fees = self.kept_amounts.get(state.id, (0, 0))
        if kind == GOODS:
            return min(self._undelivered(record, lines), left)
        if kind == MISTAKE:
            return min(forfeited, left) if record.ended_at is not None else max(left - record.kept_value(), 0)
        return min(fees if kind == "trade_in" else amount or 0, left)

    def left(self, state: Deposit) -> int:
        """All that counts, and neither was decided to go back nor taken by a bank out of what was kept."""
        excess = self.refunds.excess
        return sum(
            max(_left_of(state, capture) - excess[capture.capture], 0) for capture in state.captures if capture.counts
        )

    def _undelivered(self, record: DepositRecord, lines: Mapping[int, int]) -> int:
        """All that was paid while a balance is open, as nothing has left then; else the units at their price."""
        value = sum(record.sale.prices[record.lines[line - 1][0]] * units for line, units in lines.items())
        if not any(lines.values()):
            return 0
        if record.owed and record.ended_at is None:
            return record.counted
        return value - record.sale.credit + (record.sale.shipping if self._nothing_came(record, lines) else 0)

    def _nothing_came(self, record: DepositRecord, lines: Mapping[int, int]) -> bool:
        every = range(1, len(record.lines) + 1)
        return not record.shipped.total() and all(record.claimable(line) == lines.get(line, 0) for line in every)

    def max_payable(self, state: Deposit, case: ClaimRecord) -> int:
        """What can be offered. Who takes a lock back pays for the goods that they have."""
        there = self.unreserved(state) + case.reserve
        ends = case.opened.kind == MISTAKE and self.records[state.id].ended_at is None
        return min(there, self.owed(state, MISTAKE, {}, None)) if ends else there

    def unreserved(self, state: Deposit) -> int:
        """What neither a bank nor a claim is about."""
        disputed = [
            capture for capture in state.captures if capture.counts and capture.capture in self.refunds.disputed
        ]
        return self.left(state) - sum(_left_of(state, one) for one in disputed) - self.claimed(state.id)

    # What may be claimed.

    def find_fault(
        self, state: Deposit, kind: str, lines: Mapping[int, int], amount: int | None, asked: int
    ) -> str | None:
        """Why a buyer may not open this claim; None when it must be taken."""
        record, mine = self.records[state.id], self.cases_of(state.id)
        lock = record.lock_of(asked)
        if not (lock is not None or record.ended_at is not None or record.completed) or record.ended_by == "expired":
            return "neither committed nor over"
        over = record.ended_at is not None or record.completed
        if over and asked >= max(record.shipped_at, record.ended_at or 0) + OPEN_FOR:
            return "too late"
        if len(mine) >= MOST_CLAIMS:
            return "too many"
        same = [one for one in mine if one.open and one.opened.kind == kind]
        if any(_same(lines, one) for one in same):
            return "twice"
        ruled = [one for one in mine if one.status in {"dismissed", "partly"} and one.opened.kind == kind]
        if kind in RULED_ONCE and any(_same(lines, one) for one in ruled):
            return "ruled on before"
        wrong = {GOODS: self._wrong_goods, MISTAKE: self._wrong_lock, APPEAL: self._wrong_appeal}
        if kind in wrong and (why := wrong[kind](state, lines, asked)):
            return why
        if kind == "trade_in" and (not record.sale.credit or record.ended_at is None):
            return "no trade-in that is over"
        if kind in FREE_OF_MONEY:
            return None
        wanted = max(self.owed(state, kind, lines, amount), amount or 0)
        return None if 0 < wanted <= self.unreserved(state) else f"{wanted} of {self.unreserved(state)}"

    def _wrong_goods(self, state: Deposit, lines: Mapping[int, int], asked: int) -> str | None:
        record = self.records[state.id]
        if any(units > record.claimable(line) for line, units in lines.items()):
            return "more than there is"
        over = record.ended_at is not None or record.completed
        lock, promised = record.lock_of(asked), record.sale.promised
        to_come = not over and any(
            record.quantities[line - 1] > record.shipped[line] + record.dropped[line] for line in lines
        )
        if to_come and promised is not None and lock is not None and asked < lock.at + promised:
            return "still to come"
        if record.owed and not over and (promised is None or not self._nothing_came(record, lines)):
            return "not paid, and promised for no time, or a part of it"
        return None

    def _wrong_lock(self, state: Deposit, _lines: Mapping[int, int], asked: int) -> str | None:
        lock = self.records[state.id].lock_of(asked)
        if lock is None or lock.by == "window_end":
            return "nobody locked"
        return None if asked < lock.at + MISTAKEN else "too late after the lock"

    def _wrong_appeal(self, state: Deposit, _lines: Mapping[int, int], _asked: int) -> str | None:
        owed = self.cancellations.owed.get(state.id)
        if owed is None or REASON_RULES[owed.cause].final:
            return "nothing to appeal against"
        former = {one.status for one in self.cases_of(state.id) if one.opened.kind == APPEAL}
        return "decided before" if former & DECIDED else None

    # What a decision pays.

    def _decided(self, pk: str, before: Deposit, case: ClaimRecord, event: Payer) -> None:
        """What is owed, offered or ruled, once; less only where that money went back another way meanwhile."""
        record, opened = self.records[pk], case.opened
        claimable = {line: min(units, record.claimable(line)) for line, units in record.claimed[case.n].items()}
        amount = opened.amount.minor if opened.amount is not None else None
        still = self.owed(before, opened.kind, {line: units for line, units in claimable.items() if units}, amount)
        meant = case.owed
        if isinstance(event, ClaimAccepted) and event.by == "buyer":
            meant = case.offers[-1]
        if isinstance(event, ClaimPartlyUpheld):
            meant = event.amount.minor
            if not event.amount.minor < case.owed:
                self.violated("P13", f"{pk} {event} is no part of {case.owed}")
        if meant >= case.owed:
            meant = max(meant, still)  # a balance came meanwhile
        due = min(meant, still if still < case.owed else self.left(before))
        if event.amount.minor != due:
            self.violated("P3", f"{pk} {event} pays not {due} of {meant}, {still} is owed still: {case}")
        self.payouts[pk, case.n] = ClaimPayout(due, event.refunds)
        if opened.kind == APPEAL:
            self.cancellations.was_overturned(pk)

    def _refunded(self, pk: str, before: Deposit, event: RefundApproved) -> None:
        if event.cause == "goodwill" and self.left(before) - event.amount.minor < self.claimed(pk):
            self.violated("P3", f"{pk} {event} gives away what claims of {self.claimed(pk)} are about")
        if event.cause != "claim":
            return
        found = [one for (deposit, _), one in self.payouts.items() if deposit == pk and event.refund in one.refunds]
        if len(found) != 1:
            self.violated("P3", f"{pk} {event} pays {len(found)} claims")
        for one in found:
            one.approved[event.refund] = event.amount.minor

    def _reversed(self, pk: str, event: ClaimReversed) -> None:
        forfeited, fees = self.kept_amounts.get(pk, (0, 0))
        paying = self.payouts.get((pk, event.claim))
        self.kept_amounts[pk] = forfeited - event.forfeited.minor, fees - event.fees.minor
        more = paying is None or event.forfeited.minor + event.fees.minor > paying.amount
        if more or min(self.kept_amounts[pk]) < 0:
            self.violated("P1", f"{pk} {event} of {forfeited} and {fees} for {paying}")

    # Whole calls of the store.

    def check_write(self, changes: Sequence[tuple[str, Item | None, Item]]) -> None:
        for (pk, n), one in self.payouts.items():
            if {*one.approved} != {*one.refunds} or sum(one.approved.values()) != one.amount:
                self.violated("P3", f"{pk} claim {n} is paid by {one.approved}, not by {one}")
        self.payouts.clear()
        for pk, _, after in changes:
            if pk.startswith("dep_"):
                self._listed(pk, after)

    def _listed(self, pk: str, after: Item) -> None:
        """P7: an open claim stands in the index under when silence decides, and somebody comes for it."""
        waiting = [one for one in self.cases_of(pk) if one.open]
        listed = int(after["claim_due"]["N"]) if "claim_due" in after else None
        if listed != min((one.due_at for one in waiting), default=None) or ("claims" in after) != bool(waiting):
            self.violated("P7", f"{pk} is listed under {listed}: {waiting}")
        due = int(after["due"]["N"]) if "due" in after else None
        ahead = min((at for one in waiting for at in (one.due_at + GRACE, *one.notices())), default=None)
        if ahead is not None and (due is None or due > ahead + LATE > self.now() + LATE):
            self.violated("P7", f"{pk} waits for {ahead}, somebody comes at {due}")

    def check_finished(self) -> None:
        for pk, cases in self.cases.items():
            for case in cases:
                if case.open and self.now() > case.due_at + GRACE + LATE:
                    self.violated("P7", f"{pk} claim {case.n} was never decided: {case}")
        for pk, state in self.states.items():
            kept = (state.money.forfeited.minor, state.money.fees.minor)
            if kept != self.kept_amounts.get(pk, (0, 0)):
                self.violated("P1", f"{pk} keeps {kept}, not {self.kept_amounts.get(pk)}")


def _same(lines: Mapping[int, int], one: ClaimRecord) -> bool:
    """About the same lines; a kind that names none is about the same thing each time."""
    return not lines or bool({*lines} & {*units_of(one.opened.lines)})


def _left_of(state: Deposit, captured: Any) -> int:
    against = (refund.amount.minor for refund in state.refunds if refund.capture == captured.capture)
    return int(captured.amount.minor - sum(against))
