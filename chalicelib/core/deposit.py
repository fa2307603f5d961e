"""A deposit: the fold of its journal and its one transition table. The status is a function of facts and clock."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal, TypeVar

from chalicelib.core import claim as claims_
from chalicelib.core import payment as payments_
from chalicelib.core import priority
from chalicelib.core import question as questions_
from chalicelib.core import refund as refunds_
from chalicelib.core.claim import Claim, ClaimStatus
from chalicelib.core.events import (
    BalanceOpened,
    BalanceOverdue,
    BalancePaid,
    Cancelled,
    ChargebackEvent,
    ChargebackLost,
    ChargebackOpened,
    ChargebackWon,
    ClaimEvent,
    ClaimOpened,
    ClaimPartlyUpheld,
    ClaimReversed,
    Completed,
    Created,
    DepositEvent,
    Expired,
    GoodsDelivered,
    GoodsEvent,
    GoodsReady,
    GoodsReceived,
    GoodsShipped,
    ItemsChanged,
    Line,
    LockBecameFinal,
    LockConfirmed,
    LockedByPayment,
    LockedByWindowEnd,
    LockIntentOpened,
    LockReminded,
    LockUndone,
    PassGranted,
    PassLapsed,
    PassReminded,
    PassReturned,
    PassStep,
    PassUsed,
    PaymentEvent,
    PaymentFailed,
    PaymentMethodChanged,
    PaymentNotCounted,
    PaymentPending,
    PaymentSucceeded,
    QuestionAnswered,
    QuestionAsked,
    QuestionEvent,
    QuestionLapsed,
    RefundApproved,
    RefundStep,
    TakenStock,
    TradeInCancelled,
    TradeInInspected,
    Units,
    WithdrawalConfirmed,
    WithdrawalStated,
)
from chalicelib.core.ledger import Balances
from chalicelib.core.money import Money, total
from chalicelib.core.payment import Payment
from chalicelib.core.priority import Pass
from chalicelib.core.question import Question
from chalicelib.core.refund import Refund


class Status(StrEnum):
    """Where a deposit stands."""

    AWAITING_PAYMENT = "awaiting_payment"
    COOLING_OFF = "cooling_off"
    LOCKED = "locked"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


_S = Status
_Row = TypeVar("_Row", bound="Payment | Refund | Intent | Withdrawal | Dispute | Question | Pass | Claim")

# Which event may happen in which status, and to what it leads. Events of payments and refunds that are not here are
# free: they never change the status.
TRANSITIONS: Final[Mapping[tuple[Status, type[DepositEvent]], Status]] = MappingProxyType(
    {
        (_S.AWAITING_PAYMENT, PaymentSucceeded): _S.COOLING_OFF,
        (_S.AWAITING_PAYMENT, PaymentMethodChanged): _S.AWAITING_PAYMENT,
        (_S.AWAITING_PAYMENT, WithdrawalStated): _S.AWAITING_PAYMENT,
        (_S.AWAITING_PAYMENT, WithdrawalConfirmed): _S.AWAITING_PAYMENT,
        (_S.AWAITING_PAYMENT, Cancelled): _S.CANCELLED,
        (_S.AWAITING_PAYMENT, Expired): _S.EXPIRED,
        (_S.COOLING_OFF, ItemsChanged): _S.COOLING_OFF,
        (_S.COOLING_OFF, LockReminded): _S.COOLING_OFF,
        (_S.COOLING_OFF, LockIntentOpened): _S.COOLING_OFF,
        (_S.COOLING_OFF, LockConfirmed): _S.LOCKED,
        (_S.COOLING_OFF, LockedByPayment): _S.LOCKED,
        (_S.COOLING_OFF, LockedByWindowEnd): _S.LOCKED,
        (_S.COOLING_OFF, TradeInInspected): _S.COOLING_OFF,
        (_S.COOLING_OFF, TradeInCancelled): _S.COOLING_OFF,
        (_S.COOLING_OFF, WithdrawalStated): _S.COOLING_OFF,
        (_S.COOLING_OFF, WithdrawalConfirmed): _S.COOLING_OFF,
        (_S.COOLING_OFF, Cancelled): _S.CANCELLED,
        (_S.LOCKED, LockUndone): _S.COOLING_OFF,
        (_S.LOCKED, LockBecameFinal): _S.LOCKED,
        (_S.LOCKED, GoodsReady): _S.LOCKED,
        (_S.LOCKED, BalanceOpened): _S.LOCKED,
        (_S.LOCKED, BalancePaid): _S.LOCKED,
        (_S.LOCKED, BalanceOverdue): _S.LOCKED,
        (_S.LOCKED, GoodsShipped): _S.LOCKED,
        (_S.LOCKED, GoodsDelivered): _S.LOCKED,
        (_S.LOCKED, GoodsReceived): _S.LOCKED,
        (_S.LOCKED, Completed): _S.COMPLETED,
        (_S.LOCKED, TradeInInspected): _S.LOCKED,
        (_S.LOCKED, TradeInCancelled): _S.LOCKED,
        (_S.LOCKED, WithdrawalStated): _S.LOCKED,
        (_S.LOCKED, WithdrawalConfirmed): _S.LOCKED,
        (_S.LOCKED, Cancelled): _S.CANCELLED,
        (_S.COMPLETED, GoodsDelivered): _S.COMPLETED,
        (_S.COMPLETED, GoodsReceived): _S.COMPLETED,
        (_S.COMPLETED, WithdrawalStated): _S.COMPLETED,
        (_S.COMPLETED, WithdrawalConfirmed): _S.COMPLETED,
        (_S.COMPLETED, Cancelled): _S.CANCELLED,
    }
)
FREE: Final = (
    PaymentPending,
    PaymentFailed,
    PaymentNotCounted,
    RefundApproved,
    *RefundStep.__args__,
    *ChargebackEvent.__args__,
    *QuestionEvent.__args__,
    PassGranted,
    *PassStep.__args__,
    *ClaimEvent.__args__,
)
FINAL: Final = frozenset({_S.COMPLETED, _S.CANCELLED, _S.EXPIRED})


@dataclass(frozen=True, slots=True)
class Window:
    """The cooling-off time, half-open. ``ends_at`` None: until the buyer locks. ``cancel_only``: given by an undo.

    ``remind_at`` are the reminders that are still to be written.
    """

    starts_at: int
    ends_at: int | None
    cancel_only: bool = False
    remind_at: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Lock:
    """The commitment: by whom, since when, and until when the buyer may take it back."""

    by: Literal["buyer", "window_end", "payment"]
    at: int
    undo_until: int | None = None
    final_told: bool = False

    def final(self, at: int) -> bool:
        return self.undo_until is None or at >= self.undo_until


@dataclass(frozen=True, slots=True)
class Intent:
    """A buyer's wish to lock, bound to what was shown. ``state`` says why it can no longer be confirmed."""

    n: int
    shown: LockIntentOpened
    state: Literal["open", "used", "superseded", "changed"] = "open"


@dataclass(frozen=True, slots=True)
class Progress:
    """What became of one line: units shipped, and how many arrived by the merchant's and by the buyer's word, and when.

    ``ready_at`` is when it can be inspected, never before the merchant said so. ``dropped`` units will not be shipped: a claim
    paid them back, or the deposit ended first. ``refuted`` ones are recorded as shipped, and a claim paid them back.
    """

    ready_at: int | None = None
    shipped: int = 0
    first_shipped_at: int | None = None
    last_shipped_at: int | None = None
    dropped: int = 0
    refuted: int = 0
    delivered: int = 0
    delivered_at: int | None = None
    received: int = 0
    received_at: int | None = None

    def to_ship(self, quantity: int) -> int:
        """The units that are still to leave."""
        return quantity - self.shipped - self.dropped

    def claimable(self, quantity: int) -> int:
        """The units whose money has not gone back by a claim or with the end."""
        return quantity - self.dropped - self.refuted

    @property
    def kept(self) -> int:
        """The units that are with the buyer and paid for."""
        return self.shipped - self.refuted

    def paid_back(self, units: int, quantity: int) -> "Progress":
        """After a claim paid units back: first those that have not left."""
        dropped = min(units, self.to_ship(quantity))
        return replace(self, dropped=self.dropped + dropped, refuted=self.refuted + units - dropped)

    def arrived_at(self, quantity: int) -> int | None:
        """When the last unit arrived: the later of the two words, None while units are on their way.

        What a claim paid back is not waited for.
        """
        words = ((self.delivered, self.delivered_at), (self.received, self.received_at))
        return max((at for units, at in words if units >= self.claimable(quantity) and at is not None), default=None)


@dataclass(frozen=True, slots=True)
class Captured:
    """Money that the provider took: what goes back to the buyer's source goes back against it.

    ``at`` is the provider's instant. ``counts`` is False for what came by mistake and goes back by itself.
    """

    payment: int
    capture: str
    amount: Money
    at: int
    counts: bool


@dataclass(frozen=True, slots=True)
class Dispute:
    """A chargeback: the buyer's bank disputes what was captured. ``won`` and ``lost`` are the merchant's."""

    n: int
    ref: str
    payment: int
    capture: str
    amount: Money
    opened_at: int
    status: Literal["open", "won", "lost"] = "open"


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A statutory withdrawal in its two steps. ``digest`` is over the latest receipt."""

    n: int
    stated_at: int
    digest: str
    confirmed_at: int | None = None


@dataclass(frozen=True, slots=True)
class TradeIn:
    """What became of the old device."""

    status: Literal["awaiting_handover", "matched", "mismatched", "cancelled"] = "awaiting_handover"
    inspection: TradeInInspected | None = None


@dataclass(frozen=True, slots=True)
class Deposit:
    """The buyer's money on an offer. Built only by ``evolve``."""

    id: str
    created: Created
    status: Status
    version: int
    created_at: int
    updated_at: int
    lines: tuple[Line, ...]
    shipping: Money
    progress: tuple[Progress, ...]
    payments: tuple[Payment, ...]
    money: Balances
    stock: tuple[TakenStock, ...]
    limit_units: int
    sold: tuple[TakenStock, ...] = ()
    window: Window | None = None
    lock: Lock | None = None
    intents: tuple[Intent, ...] = ()
    changes: int = 0
    refunds: tuple[Refund, ...] = ()
    captures: tuple[Captured, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    paid: PaymentSucceeded | None = None
    balance_due_at: int | None = None
    cure_until: int | None = None
    overdue_told: bool = False
    withdrawals: tuple[Withdrawal, ...] = ()
    trade_in: TradeIn | None = None
    cancelled: Cancelled | None = None
    questions: tuple[Question, ...] = ()
    passes: tuple[Pass, ...] = ()
    claims: tuple[Claim, ...] = ()

    @property
    def currency(self) -> str:
        return self.created.due_now.currency

    @property
    def items_total(self) -> Money:
        return total((line.value for line in self.lines), self.currency)

    @property
    def credit(self) -> Money:
        """What the old device pays of the new one."""
        traded = self.created.trade_in
        return traded.credit if traded is not None else Money.zero(self.currency)

    @property
    def counted(self) -> tuple[Captured, ...]:
        """The captures that pay for it."""
        return tuple(one for one in self.captures if one.counts)

    @property
    def refundable(self) -> Money:
        """What can still be given back: what is held and in no dispute, neither a bank's nor a claim's.

        Claims are paid out of what was kept at the end as well, so they reserve only what is beyond that.
        """
        disputed = (self.left_of(one) for one in self.counted if self.disputed(one.capture))
        zero = Money.zero(self.currency)
        claimed = max(self.claimed - self.money.forfeited - self.money.fees, zero)
        return max(self.money.held - total(disputed, self.currency) - claimed, zero)

    @property
    def claimed(self) -> Money:
        """The money in question in open claims."""
        return total((one.in_question for one in self.claims if one.open), self.currency)

    @property
    def open_claims(self) -> tuple[Claim, ...]:
        return tuple(one for one in self.claims if one.open)

    @property
    def total(self) -> Money:
        return self.items_total - self.credit + self.shipping

    @property
    def paid_in(self) -> Money:
        """What counts as paid on the order: without what came in excess, less what changes gave back."""
        came = total((self.payments[one.payment - 1].amount for one in self.counted), self.currency)
        return came - total((refund.amount for refund in self.refunds if refund.cause == "change"), self.currency)

    @property
    def balance(self) -> Money:
        """What is still to be paid once the deposit is: never below zero, a change gives the rest back."""
        return self.total - (self.paid_in if self.paid is not None else self.created.due_now)

    @property
    def payment(self) -> Payment:
        return self.payments[-1]

    @property
    def refund(self) -> Refund | None:
        """The latest of the buyer's own money."""
        own = [refund for refund in self.refunds if refund.cause != refunds_.COMPENSATION]
        return own[-1] if own else None

    @property
    def open_refunds(self) -> tuple[Refund, ...]:
        return tuple(refund for refund in self.refunds if refund.open)

    @property
    def arrived_at(self) -> int | None:
        """When the last unit of the last line arrived."""
        rows = zip(self.lines, self.progress, strict=True)
        lines = [one.arrived_at(line.quantity) for line, one in rows if one.claimable(line.quantity)]
        arrived = [at for at in lines if at is not None]
        return max(arrived) if arrived and len(arrived) == len(lines) else None

    @property
    def begun(self) -> bool:
        """Whether somebody relied on a final lock: what was asked before it can no longer change what is ordered."""
        touched = any(line.ready_at is not None or line.shipped for line in self.progress)
        return touched or self.payment.kind == "balance"

    def captured(self, capture: str) -> Captured:
        """The capture of that reference."""
        return next(one for one in self.captures if one.capture == capture)

    def left_of(self, captured: Captured) -> Money:
        """What of a capture has not been decided to go back, in whatever state those refunds are."""
        against = (refund.amount for refund in self.refunds if refund.capture == captured.capture)
        return captured.amount - total(against, captured.amount.currency)

    def disputed(self, capture: str) -> bool:
        """Whether the buyer's bank has not decided yet about that capture."""
        return any(one.capture == capture and one.status == "open" for one in self.disputes)

    def refund_amounts(self) -> dict[int, Money]:
        return {refund.n: refund.amount for refund in self.refunds if refund.cause != refunds_.COMPENSATION}

    def paid_by_line(self) -> tuple[Money, ...]:
        """The goods money captured, without shipping, over the lines: see ``paid_shares``.

        The credit of a trade-in is taken from its own line, the only one of its deposit.
        """
        goods = self.paid_in - self.shipping if self.paid else Money.zero(self.currency)
        first, *others = (line.value for line in self.lines)
        return paid_shares(goods, [first - self.credit, *others])

    def ruled_by_line(self) -> tuple[Money, ...]:
        """What rulings gave of lines in part, by what was paid for them."""
        sums, paid = [Money.zero(self.currency)] * len(self.lines), self.paid_by_line()
        for one in self.claims:
            named = [units.line - 1 for units in one.opened.lines]
            if one.status is ClaimStatus.PARTLY and one.paid is not None and named:
                for line, part in zip(named, one.paid.split([paid[line].minor for line in named]), strict=True):
                    sums[line] += part
        return tuple(sums)


def paid_shares(paid: Money, values: Sequence[Money]) -> tuple[Money, ...]:
    """What was paid for each line: its value less its share of what was not, a discount or a balance to come.

    That part is cut by value with the largest remainder, ties to the lowest line (domain facts, section 5.1).
    """
    unpaid = total(values, paid.currency) - paid
    shares = unpaid.split([value.minor for value in values])
    return tuple(value - share for value, share in zip(values, shares, strict=True))


def begin(deposit_id: str, event: Created) -> Deposit:
    """The first event makes the deposit."""
    first = Payment(n=1, method=event.method, amount=event.due_now, due_at=event.due_at, opened_at=event.at)
    return Deposit(
        id=deposit_id,
        created=event,
        status=Status.AWAITING_PAYMENT,
        version=1,
        created_at=event.at,
        updated_at=event.at,
        lines=event.lines,
        shipping=event.shipping,
        progress=(Progress(),) * len(event.lines),
        payments=(first,),
        money=Balances.none(event.due_now.currency),
        stock=event.stock,
        limit_units=event.limit_units,
        trade_in=TradeIn() if event.trade_in is not None else None,
    )


def evolve(  # noqa: PLR0912 - a table of events
    deposit: Deposit, event: DepositEvent
) -> Deposit:
    """The deposit after the event; KeyError when no table has such a step, and then nothing changed."""
    after = replace(
        deposit,
        status=deposit.status if isinstance(event, FREE) else _status_after(deposit, event),
        version=deposit.version + 1,
        updated_at=max(deposit.updated_at, event.at),
        money=deposit.money.after(event, deposit.refund_amounts()),
    )
    if isinstance(event, ClaimEvent):
        return _evolve_claim(after, event)
    match event:
        case (
            PaymentMethodChanged()
            | PaymentPending()
            | PaymentFailed()
            | PaymentSucceeded()
            | BalanceOpened()
            | BalancePaid()
            | PaymentNotCounted()
        ):
            return _evolve_payment(after, event)
        case (
            LockReminded()
            | LockIntentOpened()
            | LockConfirmed()
            | LockedByPayment()
            | LockedByWindowEnd()
            | LockBecameFinal()
            | LockUndone()
        ):
            return _evolve_lock(after, event)
        case ItemsChanged():
            return _evolve_items(after, event)
        case GoodsReady() | GoodsShipped() | GoodsDelivered() | GoodsReceived():
            return _evolve_goods(after, event)
        case BalanceOverdue():
            return replace(after, overdue_told=True)
        case TradeInInspected() | TradeInCancelled():
            return _evolve_trade_in(after, event)
        case WithdrawalStated() | WithdrawalConfirmed():
            return _evolve_withdrawal(after, event)
        case RefundApproved():
            method = deposit.payments[event.payment - 1].method
            return replace(after, refunds=(*deposit.refunds, refunds_.approve(event, method)))
        case ChargebackOpened() | ChargebackWon() | ChargebackLost():
            return _evolve_dispute(after, event)
        case Completed() | Cancelled() | Expired():
            return _evolve_end(after, event)
        case QuestionAsked() | QuestionAnswered() | QuestionLapsed():
            return _evolve_question(after, event)
        case PassGranted():
            return replace(after, passes=(*deposit.passes, priority.begin(event)))
        case PassUsed() | PassReturned() | PassReminded() | PassLapsed():
            moved_on = priority.step(deposit.passes[event.priority_pass - 1], event)
            return replace(after, passes=_with(deposit.passes, moved_on))
        case Created():
            raise KeyError(event)
        case _:
            moved = refunds_.step(deposit.refunds[event.refund - 1], event)
            return replace(after, refunds=_with(deposit.refunds, moved))


def _status_after(deposit: Deposit, event: DepositEvent) -> Status:
    """What the table says; where it says "no change", what was written stays written, an announcement too."""
    standing = _standing(deposit, event)
    status = TRANSITIONS[standing, type(event)]
    return deposit.status if status is standing else status


def _standing(deposit: Deposit, event: DepositEvent) -> Status:
    """The status an event meets: what was written, and for a window that ran out the clock at the event's instant.

    So what was asked inside the window meets it open, although its end was written down before the request got here.
    """
    if deposit.status in FINAL or deposit.paid is None:
        return deposit.status
    if deposit.lock is not None:
        return Status.LOCKED
    ends_at = deposit.window.ends_at if deposit.window is not None else None
    ended = ends_at is not None and event.at >= ends_at and not isinstance(event, LockedByWindowEnd)
    return Status.LOCKED if ended else Status.COOLING_OFF


def fold(deposit_id: str, events: Iterable[DepositEvent]) -> Deposit:
    """The deposit that a journal tells. ValueError when it does not begin with ``Created``."""
    deposit: Deposit | None = None
    for event in events:
        if deposit is not None:
            deposit = evolve(deposit, event)
        elif isinstance(event, Created):
            deposit = begin(deposit_id, event)
        else:
            raise ValueError("a journal begins with its creation")
    if deposit is None:
        raise ValueError("an empty journal is no deposit")
    return deposit


def status_at(deposit: Deposit, at: int) -> Status:
    """The status at an instant, from facts and clock; the same before and after a job wrote it down."""
    if deposit.status in FINAL:
        return deposit.status
    if deposit.paid is None:
        return Status.EXPIRED if at >= deposit.created.due_at else Status.AWAITING_PAYMENT
    return Status.LOCKED if lock_at(deposit, at) is not None else Status.COOLING_OFF


def lock_at(deposit: Deposit, at: int) -> Lock | None:
    """The lock at an instant: the buyer's or the payment's, else the one the window's end makes by itself.

    What was asked before a lock but worked off after it still meets no lock.
    """
    if deposit.status in {Status.CANCELLED, Status.EXPIRED}:
        return deposit.lock
    if deposit.lock is not None:
        return deposit.lock if at >= deposit.lock.at else None
    ends_at = deposit.window.ends_at if deposit.window is not None else None
    return Lock("window_end", ends_at) if ends_at is not None and at >= ends_at else None


def _evolve_payment(deposit: Deposit, event: PaymentEvent) -> Deposit:
    if isinstance(event, PaymentMethodChanged):
        opened = Payment(
            deposit.payment.n + 1, event.method, deposit.created.due_now, deposit.created.due_at, opened_at=event.at
        )
        return _opened(deposit, opened)
    if isinstance(event, BalanceOpened):
        n = deposit.payment.n + 1
        return _opened(deposit, Payment(n, event.method, event.amount, event.due_at, "balance", opened_at=event.at))
    one = deposit.payments[event.payment - 1]
    seen = replace(one, status=payments_.TRANSITIONS[one.status, type(event)])
    if isinstance(event, PaymentSucceeded | BalancePaid | PaymentNotCounted):
        seen = replace(seen, captures=(*one.captures, event.capture))
        counts = not isinstance(event, PaymentNotCounted)
        taken = Captured(event.payment, event.capture, event.amount, event.at, counts)
        deposit = replace(deposit, captures=(*deposit.captures, taken))
    deposit = replace(deposit, payments=_with(deposit.payments, seen))
    if isinstance(event, PaymentSucceeded):
        window = Window(event.at, event.window_ends_at, remind_at=event.remind_at) if event.windowed else None
        return replace(deposit, paid=event, window=window)
    return deposit


def _opened(deposit: Deposit, payment: Payment) -> Deposit:
    """A new payment; the one before it, if it was still open, is replaced."""
    former = deposit.payment
    status = payments_.TRANSITIONS.get((former.status, PaymentMethodChanged), former.status)
    return replace(deposit, payments=(*deposit.payments[:-1], replace(former, status=status), payment))


LockEvent = (
    LockReminded | LockIntentOpened | LockConfirmed | LockedByPayment | LockedByWindowEnd | LockBecameFinal | LockUndone
)


def _evolve_lock(deposit: Deposit, event: LockEvent) -> Deposit:
    match event:
        case LockReminded():
            return replace(deposit, window=_reminded(deposit.window, event.at))
        case LockIntentOpened():
            former = _closed(deposit.intents, "superseded")
            return replace(deposit, intents=(*former, Intent(event.intent, event)))
        case LockConfirmed():
            used = replace(deposit.intents[event.intent - 1], state="used")
            return replace(
                deposit, intents=_with(deposit.intents, used), lock=Lock("buyer", event.at, event.undo_until)
            )
        case LockedByPayment():
            return replace(deposit, lock=Lock("payment", event.at, event.undo_until))
        case LockBecameFinal():
            assert deposit.lock is not None, "only a lock becomes final"
            return replace(deposit, lock=replace(deposit.lock, final_told=True))
        case LockUndone():
            return replace(deposit, lock=None, window=_window_after_undo(deposit, event))
        case LockedByWindowEnd():
            return deposit


def _closed(intents: tuple[Intent, ...], why: Literal["superseded", "changed"]) -> tuple[Intent, ...]:
    return tuple(replace(one, state=why) if one.state == "open" else one for one in intents)


def _reminded(window: Window | None, at: int) -> Window | None:
    """What was to be told by then is told."""
    if window is None:
        return None
    return replace(window, remind_at=tuple(instant for instant in window.remind_at if instant > at))


def _window_after_undo(deposit: Deposit, event: LockUndone) -> Window | None:
    if event.window_ends_at is None:
        return _reminded(deposit.window, event.at)
    starts_at = deposit.window.starts_at if deposit.window is not None else deposit.created_at
    return Window(starts_at, event.window_ends_at, cancel_only=True)


def _evolve_items(deposit: Deposit, event: ItemsChanged) -> Deposit:
    return replace(
        deposit,
        lines=event.lines,
        shipping=event.shipping,
        progress=(Progress(),) * len(event.lines),
        stock=event.stock,
        limit_units=event.limit_units,
        intents=_closed(deposit.intents, "changed"),
        changes=deposit.changes + 1,
    )


def _evolve_goods(deposit: Deposit, event: GoodsEvent) -> Deposit:
    progress = list(deposit.progress)
    if isinstance(event, GoodsReady):
        for line in event.lines:
            progress[line - 1] = replace(progress[line - 1], ready_at=max(event.at, event.inspect_at))
        return replace(
            deposit,
            progress=tuple(progress),
            balance_due_at=event.balance_due_at,
            cure_until=event.cure_until,
        )
    for units in event.lines:
        progress[units.line - 1] = _moved(progress[units.line - 1], units.quantity, event)
    return replace(deposit, progress=tuple(progress))


def _moved(line: Progress, units: int, event: GoodsShipped | GoodsDelivered | GoodsReceived) -> Progress:
    match event:
        case GoodsShipped():
            first = line.first_shipped_at if line.first_shipped_at is not None else event.at
            return replace(line, shipped=line.shipped + units, first_shipped_at=first, last_shipped_at=event.at)
        case GoodsDelivered():
            latest = max(event.delivered_at, line.delivered_at or event.delivered_at)
            return replace(line, delivered=line.delivered + units, delivered_at=latest)
        case GoodsReceived():
            return replace(line, received=line.received + units, received_at=event.at)


def _evolve_trade_in(deposit: Deposit, event: TradeInInspected | TradeInCancelled) -> Deposit:
    if isinstance(event, TradeInCancelled):
        inspection = deposit.trade_in.inspection if deposit.trade_in is not None else None
        return replace(deposit, trade_in=TradeIn("cancelled", inspection))
    status: Literal["matched", "mismatched"] = "matched" if event.outcome == "matched" else "mismatched"
    return replace(deposit, trade_in=TradeIn(status, event))


def _evolve_dispute(deposit: Deposit, event: ChargebackEvent) -> Deposit:
    if isinstance(event, ChargebackOpened):
        opened = Dispute(event.dispute, event.ref, event.payment, event.capture, event.amount, event.at)
        return replace(deposit, disputes=(*deposit.disputes, opened))
    ended = replace(deposit.disputes[event.dispute - 1], status="won" if isinstance(event, ChargebackWon) else "lost")
    return replace(deposit, disputes=_with(deposit.disputes, ended))


def _evolve_withdrawal(deposit: Deposit, event: WithdrawalStated | WithdrawalConfirmed) -> Deposit:
    if isinstance(event, WithdrawalStated):
        stated = Withdrawal(event.withdrawal, event.at, event.digest)
        return replace(deposit, withdrawals=(*deposit.withdrawals, stated))
    confirmed = replace(deposit.withdrawals[event.withdrawal - 1], confirmed_at=event.at, digest=event.digest)
    return replace(deposit, withdrawals=_with(deposit.withdrawals, confirmed))


def _evolve_end(deposit: Deposit, event: Completed | Cancelled | Expired) -> Deposit:
    """Nothing is live any more: units with the buyer are sold, the others go back, and so do the limit's.

    The lock that the end met stays; the clock makes no other one afterwards.
    """
    lock = lock_at(replace(deposit, status=Status.LOCKED), event.at)
    sold = deposit.sold + _shipped_stock(deposit)
    counted = isinstance(event, Completed) or (isinstance(event, Cancelled) and event.counted)
    limit_units = deposit.limit_units if counted else 0
    cancelled = event if isinstance(event, Cancelled) else None
    trade_in = deposit.trade_in
    if trade_in is not None and trade_in.status != "mismatched" and not isinstance(event, Completed):
        trade_in = replace(trade_in, status="cancelled")
    rows = zip(deposit.lines, deposit.progress, strict=True)
    progress = tuple(replace(one, dropped=line.quantity - one.shipped) for line, one in rows)
    return replace(
        deposit,
        stock=(),
        sold=sold,
        limit_units=limit_units,
        lock=lock,
        trade_in=trade_in,
        cancelled=cancelled,
        progress=progress,
        claims=tuple(_after_end(deposit, one) for one in deposit.claims),
    )


def _after_end(deposit: Deposit, one: Claim) -> Claim:
    """Of an open claim's units those that had not left are over with the end, as a claim's payment takes them first."""
    if not one.open:
        return one
    rows = ((units, deposit.progress[units.line - 1], deposit.lines[units.line - 1].quantity) for units in one.lines)
    left = (Units(units.line, units.quantity - progress.to_ship(whole)) for units, progress, whole in rows)
    return replace(one, lines=tuple(units for units in left if units.quantity > 0))


def _evolve_claim(deposit: Deposit, event: ClaimEvent) -> Deposit:
    if isinstance(event, ClaimReversed):
        return deposit
    if isinstance(event, ClaimOpened):
        return replace(deposit, claims=(*deposit.claims, claims_.begin(event)))
    one = claims_.step(deposit.claims[event.claim - 1], event)
    deposit = replace(deposit, claims=_with(deposit.claims, one))
    if not isinstance(event, claims_.Payer) or isinstance(event, ClaimPartlyUpheld):
        return deposit  # a part settles no unit: the goods may still be sent
    if one.opened.kind == "merchant_cancellation":
        return replace(deposit, limit_units=0)  # the buyer was not at fault after all
    progress = list(deposit.progress)
    for units in one.lines:
        whole, before = deposit.lines[units.line - 1].quantity, progress[units.line - 1]
        progress[units.line - 1] = before.paid_back(min(units.quantity, before.claimable(whole)), whole)
    return replace(deposit, progress=tuple(progress))


def _evolve_question(deposit: Deposit, event: QuestionEvent) -> Deposit:
    if isinstance(event, QuestionAsked):
        return replace(deposit, questions=(*deposit.questions, Question(event.question, event)))
    changed = questions_.step(deposit.questions[event.question - 1], event)
    return replace(deposit, questions=_with(deposit.questions, changed))


def _shipped_stock(deposit: Deposit) -> tuple[TakenStock, ...]:
    """The units of an ended deposit that are with the buyer: they are sold, the others go back."""
    shipped: Counter[str] = Counter()
    for line, progress in zip(deposit.lines, deposit.progress, strict=True):
        shipped[line.sku] += progress.shipped
    gone: list[TakenStock] = []
    for taken in deposit.stock:
        units = min(shipped[taken.sku], taken.units)
        shipped[taken.sku] -= units
        if units:
            gone.append(replace(taken, units=units))
    return tuple(gone)


def _with(rows: tuple[_Row, ...], row: _Row) -> tuple[_Row, ...]:
    return (*rows[: row.n - 1], row, *rows[row.n :])
