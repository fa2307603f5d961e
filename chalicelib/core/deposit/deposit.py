"""A deposit: the fold of its journal. The status is a function of facts and clock."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from chalicelib.core.common.money import Money, total
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.claim import Claim, ClaimStatus
from chalicelib.core.deposit.dispute import Dispute
from chalicelib.core.deposit.events.ending import Cancelled
from chalicelib.core.deposit.events.goods import Units
from chalicelib.core.deposit.events.order import Created, Line, TakenStock
from chalicelib.core.deposit.events.payment import PaymentSucceeded
from chalicelib.core.deposit.goods import Progress
from chalicelib.core.deposit.ledger import Balances
from chalicelib.core.deposit.lock import Intent, Lock, Window
from chalicelib.core.deposit.payment import Capture, Payment
from chalicelib.core.deposit.priority_pass import Pass
from chalicelib.core.deposit.question import Question
from chalicelib.core.deposit.refund import Refund
from chalicelib.core.deposit.status import Status
from chalicelib.core.deposit.trade_in import TradeIn
from chalicelib.core.deposit.withdrawal import Withdrawal


class Deposit(Struct, frozen=True):
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
    captures: tuple[Capture, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    paid: PaymentSucceeded | None = None
    balance_due_at: int | None = None
    cure_until: int | None = None
    overdue_announced: bool = False
    withdrawals: tuple[Withdrawal, ...] = ()
    withdrawal_ends: tuple[tuple[int, int], ...] = ()  # instants of arrival, each with the end that it may begin
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
    def counted_captures(self) -> tuple[Capture, ...]:
        """The captures that pay for it."""
        return tuple(one for one in self.captures if one.counts)

    @property
    def refundable(self) -> Money:
        """What can still be given back: what is held and in no dispute, neither a bank's nor a claim's.

        Claims are paid out of what was kept at the end as well, so they reserve only what is beyond that.
        """
        disputed = (self.compute_unrefunded(one) for one in self.counted_captures if self.is_disputed(one.capture))
        zero = Money.zero(self.currency)
        claimed = max(self.claimed_amount - self.money.forfeited - self.money.fees, zero)
        return max(self.money.held - total(disputed, self.currency) - claimed, zero)

    @property
    def claimed_amount(self) -> Money:
        """The money in question in open claims."""
        return total((one.amount_in_question for one in self.claims if one.open), self.currency)

    @property
    def open_claims(self) -> tuple[Claim, ...]:
        return tuple(one for one in self.claims if one.open)

    @property
    def total(self) -> Money:
        return self.items_total - self.credit + self.shipping

    @property
    def amount_paid(self) -> Money:
        """What counts as paid on the order: without what came in excess, less what changes gave back."""
        came = total((self.payments[one.payment - 1].amount for one in self.counted_captures), self.currency)
        return came - total((refund.amount for refund in self.refunds if refund.cause == Cause.CHANGE), self.currency)

    @property
    def balance(self) -> Money:
        """What is still to be paid once the deposit is: never below zero, a change gives the rest back."""
        return self.total - (self.amount_paid if self.paid is not None else self.created.due_now)

    @property
    def payment(self) -> Payment:
        return self.payments[-1]

    @property
    def refund(self) -> Refund | None:
        """The latest of the buyer's own money."""
        own = [refund for refund in self.refunds if refund.cause != Cause.COMPENSATION]
        return own[-1] if own else None

    @property
    def open_refunds(self) -> tuple[Refund, ...]:
        return tuple(refund for refund in self.refunds if refund.open)

    @property
    def arrived_at(self) -> int | None:
        """When the last unit of the last line arrived."""
        rows = zip(self.lines, self.progress, strict=True)
        lines = [one.arrived_at(line.quantity) for line, one in rows if one.count_claimable(line.quantity)]
        arrived = [at for at in lines if at is not None]
        return max(arrived) if arrived and len(arrived) == len(lines) else None

    @property
    def withdrawal_ends_at(self) -> int | None:
        """The end of the statutory period as it was written when the last goods arrived; None in older journals."""
        return next((end for arrival, end in self.withdrawal_ends if arrival == self.arrived_at), None)

    @property
    def fulfilment_begun(self) -> bool:
        """Whether somebody relied on a final lock: what was asked before it can no longer change what is ordered."""
        touched = any(line.ready_at is not None or line.shipped for line in self.progress)
        return touched or self.payment.kind == "balance"

    def find_capture(self, capture: str) -> Capture:
        """The capture of that reference."""
        return next(one for one in self.captures if one.capture == capture)

    def compute_unrefunded(self, captured: Capture) -> Money:
        """What of a capture has not been decided to go back, in whatever state those refunds are."""
        against = (refund.amount for refund in self.refunds if refund.capture == captured.capture)
        return captured.amount - total(against, captured.amount.currency)

    def is_disputed(self, capture: str) -> bool:
        """Whether the buyer's bank has not decided yet about that capture."""
        return any(one.capture == capture and one.status == "open" for one in self.disputes)

    def refund_amounts(self) -> dict[int, Money]:
        return {refund.n: refund.amount for refund in self.refunds if refund.cause != Cause.COMPENSATION}

    def split_paid_by_line(self) -> tuple[Money, ...]:
        """The goods money captured, without shipping, over the lines: see ``paid_shares``.

        The credit of a trade-in is taken from its own line, the only one of its deposit.
        """
        goods = self.amount_paid - self.shipping if self.paid else Money.zero(self.currency)
        first, *others = (line.value for line in self.lines)
        return paid_shares(goods, [first - self.credit, *others])

    def sum_rulings_by_line(self) -> tuple[Money, ...]:
        """What rulings in part gave for units that have left, by line.

        Of a claim's units those that have not left are counted first, as when a claim is paid in full. An end pays them
        back whole, and the shipping: what a ruling gave for these is an advance on that.
        """
        sums = [Money.zero(self.currency)] * len(self.lines)
        for claim in self.claims:
            for units, part in _ruled_parts(claim, self.lines):
                to_ship = self.progress[units.line - 1].count_to_ship(self.lines[units.line - 1].quantity)
                not_left = min(units.quantity, to_ship)
                sums[units.line - 1] += part - part.share_floor(not_left, units.quantity)
        return tuple(sums)


def _ruled_parts(claim: Claim, lines: Sequence[Line]) -> Iterator[tuple[Units, Money]]:
    """What a ruling in part gave for the units of each claimed line: split by price, without the part for the shipping.

    What was owed beyond the price of the units is the shipping.
    """
    if claim.status is ClaimStatus.PARTLY and claim.paid is not None:
        prices = [lines[units.line - 1].unit_price.minor * units.quantity for units in claim.opened.lines]
        shipping = max(claim.owed.minor - sum(prices), 0)
        *parts, _ = claim.paid.split([*prices, shipping])
        yield from zip(claim.opened.lines, parts, strict=True)


def paid_shares(paid: Money, values: Sequence[Money]) -> tuple[Money, ...]:
    """What was paid for each line: its value less its share of what was not, a discount or a balance to come.

    That part is cut by value with the largest remainder, ties to the lowest line (domain facts, section 5.1).
    """
    unpaid = total(values, paid.currency) - paid
    shares = unpaid.split([value.minor for value in values])
    return tuple(value - share for value, share in zip(values, shares, strict=True))
