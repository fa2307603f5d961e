"""A model of each deposit from its events: locks, goods, balance and announcements.

Independent of the code under test: windows and stakes come from the plan's sales, the start of a window from the
provider's books, instants of requests and typed words from the requests.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from chalicelib.core.common.ids import child
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.claim import (
    ClaimAccepted,
    ClaimEvent,
    ClaimGranted,
    ClaimOpened,
    ClaimPartlyUpheld,
    ClaimReversed,
    ClaimUpheld,
)
from chalicelib.core.deposit.events.ending import (
    Cancelled,
    Completed,
    Expired,
    PassGranted,
    PassLapsed,
    PassReminded,
    PassReturned,
    PassUsed,
    QuestionAnswered,
)
from chalicelib.core.deposit.events.goods import (
    GoodsDelivered,
    GoodsReady,
    GoodsReceived,
    GoodsShipped,
    TradeInCancelled,
    TradeInInspected,
    Units,
)
from chalicelib.core.deposit.events.lock import (
    LockBecameFinal,
    LockConfirmed,
    LockedByPayment,
    LockedByWindowEnd,
    LockIntentOpened,
    LockReminded,
    LockUndone,
)
from chalicelib.core.deposit.events.order import Created, ItemsChanged
from chalicelib.core.deposit.events.payment import (
    BalanceOpened,
    BalanceOverdue,
    BalancePaid,
    ChargebackLost,
    ChargebackOpened,
    ChargebackWon,
    PaymentFailed,
    PaymentNotCounted,
    PaymentPending,
    PaymentSucceeded,
)
from chalicelib.core.deposit.events.refund import (
    RefundApproved,
    RefundCovered,
    RefundDeclined,
    RefundDestinationNamed,
    RefundPending,
    RefundRerouted,
    RefundRetried,
    RefundReturned,
    RefundReviewNeeded,
    RefundSent,
    RefundSettled,
    RefundSucceeded,
    RefundUnknown,
)
from tests.simulator.expected_reasons import REASON_RULES
from tests.simulator.sales import INTENT_TTL, REVIEW, Sale

SKEW: Final = 5_000
BY_THE_BUYER: Final = frozenset({"buyer_cancel", "trade_in_mismatch"})
# What goes back without changing what is owed: out of goodwill, for a claim, or because a bank took it.
GIVEN: Final = frozenset({"goodwill", "chargeback", "claim"})
Payer = ClaimAccepted | ClaimUpheld | ClaimPartlyUpheld | ClaimGranted
# All that may still happen to a deposit that has ended: money moves, a late answer comes, people dispute what was kept, and
# a pass that came of it lives.
AFTER_THE_END: Final = (
    *(PaymentPending, PaymentFailed, PaymentNotCounted, RefundApproved, RefundSent, RefundUnknown, RefundPending),
    *(RefundSucceeded, RefundSettled, RefundDeclined, RefundReturned, RefundReviewNeeded, RefundCovered),
    *(RefundDestinationNamed, RefundRerouted, RefundRetried, ChargebackOpened, ChargebackWon, ChargebackLost),
    *(QuestionAnswered, PassGranted, PassUsed, PassReturned, PassReminded, PassLapsed),
    *ClaimEvent.__args__,
)
Violated = Callable[[str, str], None]
SentBodies = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Locked:
    """By whom, since when, and until when it can be taken back."""

    by: str
    at: int
    undo_until: int | None


@dataclass
class DepositRecord:
    """One deposit. ``see`` takes its events in order, with the instant at which each was asked for."""

    id: str
    sale: Sale
    created_at: int
    quantities: list[int]
    lines: list[tuple[str, int]]  # SKU and value of each line
    ordered: int  # what was to be taken at once, without shipping
    violated: Violated
    now: Callable[[], int]
    captured_at: Callable[[str], int]
    bodies_at: Callable[[str, int], SentBodies]
    paid_at: int | None = None
    paid_known_at: int = 0  # when that was written down here
    counted: int = 0
    given: int = 0  # of it, without being asked for
    given_after: int = 0  # the same of what was kept, when it had ended
    window_ends_at: int | None = None
    cancel_only: bool = False
    locked: Locked | None = None
    undone_at: int = 0
    intent: LockIntentOpened | None = None
    intent_closed: str = "never opened"
    open_refunds: set[int] = field(default_factory=set)
    ready: dict[int, int] = field(default_factory=dict)
    due_at: int | None = None
    cure_until: int | None = None
    shipped: Counter[int] = field(default_factory=Counter)
    shipped_at: int = 0
    delivered: Counter[int] = field(default_factory=Counter)
    received: Counter[int] = field(default_factory=Counter)
    dropped: Counter[int] = field(default_factory=Counter)  # paid back, and never shipped
    refuted: Counter[int] = field(default_factory=Counter)  # shipped by the merchant's word, and paid back
    claimed: dict[int, Counter[int]] = field(default_factory=dict)  # units still in question, of each claim
    opened_claims: dict[int, ClaimOpened] = field(default_factory=dict)
    appeals: set[int] = field(default_factory=set)
    # What rulings in part gave of a line, and for how many of its units.
    ruled: dict[int, tuple[Money, int]] = field(default_factory=dict)
    with_the_end: tuple[int, ...] = ()  # refunds of a claim that ended it
    announced: set[tuple[str, int]] = field(default_factory=set)
    completed: bool = False
    inspected: str = ""
    ended_at: int | None = None
    ended_by: str = ""
    with_pass: bool = False
    counts_on: bool = False  # against the buyer's limit, although it has ended

    @classmethod
    def begin(cls, deposit_id: str, event: Created, sale: Sale, **ways: Any) -> "DepositRecord":
        ordered = min((sale.deposit or 0) * sum(line.quantity for line in event.lines), _value(event.lines, sale))
        lines = _lines(event.lines, sale)
        return cls(deposit_id, sale, event.at, *lines, ordered, **ways, with_pass=event.priority is not None)

    # What follows from what was seen.

    @property
    def goods(self) -> int:
        return sum(value for _, value in self.lines)

    @property
    def owed(self) -> int:
        """What is still to be paid for everything."""
        return self.goods - self.sale.credit + self.sale.shipping - self.counted

    @property
    def held(self) -> int:
        """What is there as long as the deposit lives."""
        return self.counted - self.given

    @property
    def final_at(self) -> int | None:
        """From when on the buyer is bound for good."""
        if self.locked is not None:
            return self.locked.at if self.locked.undo_until is None else self.locked.undo_until
        return self.window_ends_at

    def final(self, at: int) -> bool:
        return self.paid_at is not None and self.final_at is not None and at >= self.final_at

    def shipped_of(self) -> Counter[str]:
        """Units that are with the buyer, by SKU."""
        found: Counter[str] = Counter()
        for line, units in self.shipped.items():
            found[self.lines[line - 1][0]] += units
        return found

    def units_of(self) -> Counter[str]:
        """Units ordered, by SKU."""
        found: Counter[str] = Counter()
        for (sku, _), quantity in zip(self.lines, self.quantities, strict=True):
            found[sku] += quantity
        return found

    def shipped_value(self) -> int:
        return self.value_of(self.shipped)

    def value_of(self, units: Counter[int]) -> int:
        return sum(self.sale.prices[self.lines[line - 1][0]] * count for line, count in units.items())

    def kept_value(self) -> int:
        """Of what is with the buyer and was not paid back, whole or in part; an old device paid a part of its line."""
        kept = 0
        for line, (value, whole) in enumerate(self.paid_lines(), start=1):
            kept += max(value * (self.shipped[line] - self.refuted[line]) // whole - self._ruled_on_sent(line), 0)
        return kept

    def _ruled_on_sent(self, line: int) -> int:
        """What a ruling gave for units that have left: it is about those that have not left first."""
        if line not in self.ruled:
            return 0
        part, units = self.ruled[line]
        return part.minor - part.share_floor(min(units, self.to_ship(line)), units).minor

    def paid_lines(self) -> Iterator[tuple[int, int]]:
        """What each line costs in money, and how many units that is."""
        for line, ((_, value), whole) in enumerate(zip(self.lines, self.quantities, strict=True), start=1):
            yield value - (self.sale.credit if line == 1 else 0), whole

    def left_value(self) -> int:
        """Of what is still to be shipped."""
        return self.goods - self.value_of(self.shipped) - self.value_of(self.dropped)

    def claimable(self, line: int) -> int:
        """Units whose money has not gone back by a claim, or with the end."""
        whole = self.quantities[line - 1] - self.dropped[line] if self.ended_at is None else self.shipped[line]
        return whole - self.refuted[line]

    def to_ship(self, line: int) -> int:
        return self.quantities[line - 1] - self.shipped[line] - self.dropped[line]

    def _with_the_goods(self) -> None:
        """Of claims only units that left are still in question: the money of the others went back with the end."""
        for claimed in self.claimed.values():
            claimed.subtract({line: self.to_ship(line) for line in claimed})
        self.claimed = {n: +claimed for n, claimed in self.claimed.items()}

    def lock_of(self, at: int) -> Locked | None:
        """The lock that stands, or stood when it ended."""
        if self.locked is not None:
            return self.locked if at >= self.locked.at else None
        until = at if self.ended_at is None else self.ended_at
        ends_at = self.window_ends_at if self.paid_at is not None else None
        return Locked("window_end", ends_at, None) if ends_at is not None and ends_at <= until else None

    # One event.

    def observe(self, event: DepositEvent, asked: int) -> None:
        if self.ended_at is not None and not isinstance(event, AFTER_THE_END):
            self._broken("P5", f"{event} after the end")
        match event:
            case PaymentSucceeded() | BalancePaid() | RefundApproved():
                self._money(event)
            case RefundSucceeded() | RefundSettled() | RefundCovered():
                self.open_refunds.discard(event.refund)
            case RefundReturned():
                self.open_refunds.add(event.refund)
            case LockReminded() | LockedByWindowEnd() | LockBecameFinal() | BalanceOverdue():
                self._announced(event)
            case LockIntentOpened() | LockConfirmed() | LockedByPayment() | LockUndone() | ItemsChanged():
                self._decided(event, asked)
            case GoodsReady() | BalanceOpened() | GoodsShipped() | GoodsDelivered() | GoodsReceived() | Completed():
                self._fulfilled(event, asked)
            case TradeInInspected() | TradeInCancelled():
                self._traded_in(event, asked)
            case Cancelled():
                self._cancelled(event, asked)
            case Expired():
                self.ended_at, self.ended_by = event.at, "expired"
            case _:
                self._disputed(event)

    def _disputed(self, event: DepositEvent) -> None:
        match event:
            case ClaimOpened():
                self.claimed[event.claim] = Counter(units_of(event.lines))
                self.opened_claims[event.claim] = event
                self.appeals |= {event.claim} if event.kind == "merchant_cancellation" else set()
            case ClaimAccepted() | ClaimUpheld() | ClaimPartlyUpheld() | ClaimGranted():
                self._paid_back(event)
            case ClaimReversed():
                self.given_after -= event.forfeited.minor + event.fees.minor
            case _:
                pass

    def _paid_back(self, event: Payer) -> None:
        """First what has not left; an appeal gives the buyer's limit back. A part settles no unit: it may still come."""
        if isinstance(event, ClaimPartlyUpheld):
            self._ruled(event)
            return
        if event.claim in self.appeals:
            self.counts_on = False
        for line, units in self.claimed[event.claim].items():
            back = min(units, self.claimable(line))
            never_left = min(back, self.to_ship(line)) if self.ended_at is None else 0
            self.dropped[line] += never_left
            self.refuted[line] += back - never_left
        if self.ended_at is None:
            self.with_the_end = event.refunds

    def _ruled(self, event: ClaimPartlyUpheld) -> None:
        """By the price of the units, and of the shipping where that was owed too."""
        opened = self.opened_claims[event.claim]
        named = units_of(opened.lines)
        values = {line: self.value_of(Counter({line: units})) for line, units in named.items()}
        beyond = max(opened.owed.minor - sum(values.values()), 0)
        parts = event.amount.split([*values.values(), beyond])
        self.ruled |= {line: (part, named[line]) for line, part in zip(named, parts, strict=False)}

    def _money(self, event: PaymentSucceeded | BalancePaid | RefundApproved) -> None:
        if isinstance(event, RefundApproved):
            self.open_refunds.add(event.refund)
            if event.cause in {"overpayment", "change"}:
                self.counted -= event.amount.minor
            if event.cause == "claim" == self.ended_by and event.refund in self.with_the_end:
                return
            if event.cause in GIVEN and self.ended_at is None:
                self.given += event.amount.minor
            if event.cause in GIVEN and self.ended_at is not None:
                self.given_after += event.amount.minor
            return
        self.counted += event.amount.minor
        if isinstance(event, BalancePaid):
            return
        self.paid_at, self.paid_known_at = max(self.captured_at(event.capture), self.created_at), self.now()
        if self.sale.window is not None:
            self.window_ends_at = self.paid_at + self.sale.window
        if event.at != self.paid_at or event.window_ends_at != self.window_ends_at:
            self._broken("P6", f"{event} for a capture at {self.paid_at}")

    def _announced(self, event: LockReminded | LockedByWindowEnd | LockBecameFinal | BalanceOverdue) -> None:
        """Once, at its own instant, and never before it."""
        name = (event.TYPE, event.at)
        if name in self.announced:
            self._broken("P15", f"{event} is told twice")
        if self.now() < event.at - SKEW:
            self._broken("P15", f"{event} is told {event.at - self.now()} ms early")
        self.announced.add(name)
        right = {
            LockReminded: self._may_remind(event.at),
            LockedByWindowEnd: self.locked is None and event.at == self.window_ends_at,
            LockBecameFinal: self.locked is not None and event.at == self.locked.undo_until,
            BalanceOverdue: event.at == self.due_at and self.owed > 0,
        }
        if not right[type(event)]:
            self._broken("P15", f"{event} at the wrong time")

    def _may_remind(self, at: int) -> bool:
        return self.locked is None and at >= self.undone_at and at in self.reminders()

    def reminders(self) -> set[int]:
        """When a buyer hears that the window ends."""
        if self.paid_at is None or self.window_ends_at is None or self.cancel_only:
            return set()
        found = {self.window_ends_at - distance for distance in self.sale.reminders}
        return {at for at in found if self.paid_at < at < self.window_ends_at}

    # Locking.

    def _decided(
        self, event: LockIntentOpened | LockConfirmed | LockedByPayment | LockUndone | ItemsChanged, asked: int
    ) -> None:
        match event:
            case LockIntentOpened():
                self._free(event, asked)
                self._shown(event, asked)
                self.intent, self.intent_closed = event, ""
            case LockConfirmed():
                self._free(event, asked)
                self._confirmed(event, asked)
                self.intent_closed = "used"
                self.locked = Locked("buyer", asked, self._undo(asked))
            case LockedByPayment():
                if self.sale.window is not None or event.at != self.paid_at:
                    self._broken("P5", f"{event} although a window was open")
                self.locked = Locked("payment", event.at, self._undo(event.at))
            case LockUndone():
                self._undone(event, asked)
            case ItemsChanged():
                self._free(event, asked)
                self.quantities, self.lines = _lines(event.lines, self.sale)
                if not self.intent_closed:
                    self.intent_closed = "changed"

    def _free(self, event: DepositEvent, asked: int) -> None:
        """A choice needs an open window, no lock, and no undo that left nothing but a cancel."""
        inside = self.paid_at is not None and (self.window_ends_at is None or asked < self.window_ends_at)
        if not inside or self.sale.window is None or self.locked is not None or self.cancel_only:
            self._broken("P5", f"{event} asked at {asked} when the buyer was not free")

    def _shown(self, event: LockIntentOpened, asked: int) -> None:
        stake = self._stake()
        times = (event.confirmable_at, event.expires_at, event.window_ends_at)
        if times != (asked + REVIEW, asked + INTENT_TTL, self.window_ends_at):
            self._broken("P5", f"{event} asked at {asked}")
        if event.amount_at_stake.minor != stake:
            self._broken("P5", f"{event} shows {event.amount_at_stake}, at stake is {stake}")

    def _stake(self) -> int:
        """What a buyer who leaves after the lock loses, as long as nothing was shipped: never more than is there."""
        return min(self.sale.at_stake(self.ordered, self.goods), max(self.held - self.sale.shipping, 0))

    def _confirmed(self, event: LockConfirmed, asked: int) -> None:
        """P5: by the latest intent, read, unexpired, unused, unchanged, with its own words and hash, and no refund open."""
        shown = self.intent
        if shown is None or event.intent != shown.intent or self.intent_closed:
            self._broken("P5", f"{event} by an intent that is {self.intent_closed or 'not the latest'}")
            return
        if not shown.confirmable_at <= asked < shown.expires_at:
            self._broken("P5", f"{event} asked at {asked}, {shown.confirmable_at} to {shown.expires_at}")
        if self.open_refunds:
            self._broken("P5", f"{event} while refunds {self.open_refunds} are open")
        if event.undo_until != self._undo(asked):
            self._broken("P5", f"{event} asked at {asked} with another undo")
        meant = {
            "intent": child("lki", self.id, shown.intent),
            "disclosure_hash": shown.disclosure_hash,
            "acknowledgement": shown.acknowledgement,
        }
        if event.disclosure_hash != shown.disclosure_hash or meant not in self.bodies_at(self.id, asked):
            self._broken("P5", f"{event}, which nobody said at {asked}")

    def _undo(self, at: int) -> int | None:
        return at + self.sale.undo if self.sale.undo is not None else None

    def _undone(self, event: LockUndone, asked: int) -> None:
        until = self.locked.undo_until if self.locked is not None else None
        if until is None or asked >= until:
            self._broken("P5", f"{event} asked at {asked}, undo was open until {until}")
            return
        runs = self.window_ends_at is not None and asked < self.window_ends_at
        if event.window_ends_at != (None if runs else until):
            self._broken("P5", f"{event}, undo was open until {until}")
        if not runs:
            self.window_ends_at, self.cancel_only = until, True
        self.locked, self.undone_at = None, asked

    # Goods and balance.

    def _fulfilled(
        self,
        event: GoodsReady | BalanceOpened | GoodsShipped | GoodsDelivered | GoodsReceived | Completed,
        asked: int,
    ) -> None:
        if not self.final(asked):
            self._broken("P5", f"{event} asked at {asked}, final at {self.final_at}")
        match event:
            case GoodsReady():
                self._made_ready(event, asked)
            case BalanceOpened():
                if event.amount.minor != self.owed:
                    self._broken("P1", f"{event}, owed is {self.owed}")
            case GoodsShipped():
                if self.owed:
                    self._broken("P1", f"{event} while {self.owed} is owed")
                self._moved(event, self.shipped, Counter(dict(enumerate(self.quantities, start=1))) - self.dropped)
                self.shipped_at = asked
            case GoodsDelivered():
                self._moved(event, self.delivered, self.shipped)
            case GoodsReceived():
                self._moved(event, self.received, self.shipped)
            case Completed():
                if self.left_value() or self.owed:
                    self._broken("P1", f"{event} with {self.shipped} shipped and {self.owed} owed")
                self.completed = True

    def _made_ready(self, event: GoodsReady, asked: int) -> None:
        for line in event.lines:
            if line in self.ready:
                self._broken("P5", f"{event}: line {line} was ready")
            self.ready[line] = max(asked, event.inspect_at)
        if len(self.ready) == len(self.lines) and self.owed:
            self.due_at = max(self.ready.values()) + self.sale.balance_due
            self.cure_until = self.due_at + self.sale.cure
        if (event.balance_due_at, event.cure_until) != (self.due_at, self.cure_until):
            self._broken("P5", f"{event}, due at {self.due_at}, cured until {self.cure_until}")

    def _moved(
        self, event: GoodsShipped | GoodsDelivered | GoodsReceived, units: Counter[int], most: Counter[int]
    ) -> None:
        for line in event.lines:
            units[line.line] += line.quantity
            if line.quantity <= 0 or units[line.line] > most[line.line]:
                self._broken("P4", f"{event}: {units[line.line]} of {most[line.line]} in line {line.line}")

    # The old device.

    def _traded_in(self, event: TradeInInspected | TradeInCancelled, asked: int) -> None:
        """One word of the inspector, while the deposit lives and nothing is on its way back."""
        if not self.sale.credit or self.paid_at is None or asked < self.paid_at or self.completed:
            self._broken("P1", f"{event} of no trade-in that is paid")
        if isinstance(event, TradeInInspected) and self.open_refunds:
            self._broken("P3", f"{event} while refunds {self.open_refunds} are open")
        if isinstance(event, TradeInInspected) and self.inspected:
            self._broken("P1", f"{event} after {self.inspected}")
        if isinstance(event, TradeInInspected):
            self.inspected = event.outcome

    def _fee(self, event: Cancelled) -> None:
        """Shipping kept and the published fee, once, never more than what was paid for goods; no fee without a mismatch."""
        due = 0
        if event.cause == "trade_in_mismatch":
            due = min(self.sale.fee, max(self.held - self.sale.shipping, 0))
            if self.inspected != "mismatched":
                self._broken("P1", f"{event} without an inspector's word")
        if self.sale.credit and self.counted and event.cause in BY_THE_BUYER:
            due += min(self.sale.shipping, self.held)
        taken = event.fees.minor if event.fees is not None else 0
        if taken != due:
            self._broken("P1", f"{event} takes fees of {taken}, published are {due}")

    # The end.

    def _cancelled(self, event: Cancelled, asked: int) -> None:
        self._with_the_goods()
        self._fee(event)
        kept = event.forfeited.minor
        bound = self.final(asked)
        if event.cause == "withdrawal" and not self.sale.withdrawal:
            self._broken("P6", f"{event} of goods made to order")
        if event.cause == "buyer_default" and not (self.cure_until is not None and asked >= self.cure_until):
            self._broken("P6", f"{event} asked at {asked}, could be cured until {self.cure_until}")
        if event.cause == "buyer_default" and not (bound and self.owed):
            self._broken("P6", f"{event} with {self.owed} owed")
        if (event.cause == "withdrawal" or not (bound or event.cause == "claim")) and kept:
            self._broken("P6", f"{event} asked at {asked}, free until {self.final_at}")
        stake = self._stake()
        if event.cause in {"buyer_cancel", "buyer_default"} and bound:
            self._kept(event, kept, stake)
        if event.cause == "merchant_cancel":
            self.counts_on = REASON_RULES[event.reason or ""].counted
        self.ended_at, self.ended_by = asked, event.cause

    def _kept(self, event: Cancelled, kept: int, stake: int) -> None:
        """All of the stake when nothing was shipped or paid back, less than that when something was."""
        if kept > stake or (not self.shipped and not self.dropped.total() and kept != stake):
            self._broken("P6", f"{event} keeps {kept}, at stake was {stake}")

    def missing_announcements(self, now: int) -> Iterator[str]:
        """Announcements that should have been written by now."""
        until = now if self.ended_at is None else self.ended_at
        if self.paid_at is None:
            return
        if self.locked is None and not self.undone_at:
            due = {(LockReminded.TYPE, at) for at in self.reminders() if at <= until}
            yield from (f"{name} of {at}" for name, at in sorted(due - self.announced))
        wanted: list[tuple[str, int | None]] = [(BalanceOverdue.TYPE, self.due_at if self.owed else None)]
        if self.locked is not None:
            wanted.append((LockBecameFinal.TYPE, self.locked.undo_until))
        else:
            wanted.append((LockedByWindowEnd.TYPE, self.window_ends_at))
        yield from (
            f"{name} of {at}"
            for name, at in wanted
            if at is not None and at <= until and (name, at) not in self.announced
        )

    def _broken(self, promise: str, what: str) -> None:
        self.violated(promise, f"{self.id} {what}")


def _lines(lines: Any, sale: Sale) -> tuple[list[int], list[tuple[str, int]]]:
    return (
        [line.quantity for line in lines],
        [(line.sku, sale.prices[line.sku] * line.quantity) for line in lines],
    )


def _value(lines: Any, sale: Sale) -> int:
    return sum(sale.prices[line.sku] * line.quantity for line in lines)


def units_of(lines: Iterable[Units]) -> dict[int, int]:
    return {line.line: line.quantity for line in lines}
