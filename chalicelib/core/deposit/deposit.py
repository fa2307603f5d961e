"""The record of a deposit, folded from its journal. ``clock`` gives its status at an instant."""

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
    """A buyer's order with its deposit payment. Built only by ``fold``. Amounts are in the currency of the order.

    ``progress`` has one row for each of ``lines``. ``stock``: units taken from shards and not sold; ``sold``: those that stay
    with the buyer after the end. ``limit_units``: units that count against the buyer's limit. ``changes``: how often the
    items were changed. ``captures`` also holds payments that do not count. ``paid``: the payment of the deposit, None
    until it arrives. ``balance_due_at`` and ``cure_until``: deadlines of the balance, None until all goods are ready.
    """

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
    withdrawal_ends: tuple[tuple[int, int], ...] = ()  # (arrival, end of the withdrawal period)
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
        """The trade-in value, taken off the total; zero without a trade-in."""
        trade_in = self.created.trade_in
        return trade_in.credit if trade_in is not None else Money.zero(self.currency)

    @property
    def counted_captures(self) -> tuple[Capture, ...]:
        """The captures that count as payment of the order."""
        return tuple(capture for capture in self.captures if capture.counts)

    @property
    def refundable(self) -> Money:
        """The amount that may still be refunded: what is held, less disputed captures and amounts in open claims.

        Claims are also paid from forfeited money and fees, so they reserve only what exceeds those.
        """
        disputed = (self.compute_unrefunded(row) for row in self.counted_captures if self.is_disputed(row.capture))
        zero = Money.zero(self.currency)
        claimed = max(self.claimed_amount - self.money.forfeited - self.money.fees, zero)
        return max(self.money.held - total(disputed, self.currency) - claimed, zero)

    @property
    def claimed_amount(self) -> Money:
        """The amounts in question in open claims, summed."""
        return total((claim.amount_in_question for claim in self.claims if claim.open), self.currency)

    @property
    def open_claims(self) -> tuple[Claim, ...]:
        return tuple(claim for claim in self.claims if claim.open)

    @property
    def total(self) -> Money:
        return self.items_total - self.credit + self.shipping

    @property
    def amount_paid(self) -> Money:
        """What is paid on the order: payments that count, less what changes of items gave back."""
        captured = total(
            (self.payments[capture.payment - 1].amount for capture in self.counted_captures), self.currency
        )
        return captured - total(
            (refund.amount for refund in self.refunds if refund.cause == Cause.CHANGE), self.currency
        )

    @property
    def balance(self) -> Money:
        """What remains to be paid after the deposit. Never negative: a change of items refunds the excess."""
        return self.total - (self.amount_paid if self.paid is not None else self.created.due_now)

    @property
    def payment(self) -> Payment:
        return self.payments[-1]

    @property
    def refund(self) -> Refund | None:
        """The latest refund of the buyer's own money; None without one. Compensations do not count."""
        own = [refund for refund in self.refunds if refund.cause != Cause.COMPENSATION]
        return own[-1] if own else None

    @property
    def open_refunds(self) -> tuple[Refund, ...]:
        return tuple(refund for refund in self.refunds if refund.open)

    @property
    def arrived_at(self) -> int | None:
        """When the last unit of the order arrived; None while any is on its way."""
        rows = zip(self.lines, self.progress, strict=True)
        arrivals = [row.arrived_at(line.quantity) for line, row in rows if row.count_claimable(line.quantity)]
        arrived = [at for at in arrivals if at is not None]
        return max(arrived) if arrived and len(arrived) == len(arrivals) else None

    @property
    def withdrawal_ends_at(self) -> int | None:
        """The end of the statutory withdrawal period, as recorded when the last goods arrived; None in older journals."""
        return next((end for arrival, end in self.withdrawal_ends if arrival == self.arrived_at), None)

    @property
    def fulfilment_begun(self) -> bool:
        """Whether goods are ready or shipped, or a balance payment is open: then earlier requests cannot change the items."""
        touched = any(line.ready_at is not None or line.shipped for line in self.progress)
        return touched or self.payment.kind == "balance"

    def find_capture(self, ref: str) -> Capture:
        """The capture with that provider reference; StopIteration when there is none."""
        return next(capture for capture in self.captures if capture.capture == ref)

    def compute_unrefunded(self, capture: Capture) -> Money:
        """The amount of a capture without any approved refund, whatever the status of those refunds."""
        against = (refund.amount for refund in self.refunds if refund.capture == capture.capture)
        return capture.amount - total(against, capture.amount.currency)

    def is_disputed(self, ref: str) -> bool:
        """Whether the capture has an open chargeback."""
        return any(dispute.capture == ref and dispute.status == "open" for dispute in self.disputes)

    def refund_amounts(self) -> dict[int, Money]:
        return {refund.n: refund.amount for refund in self.refunds if refund.cause != Cause.COMPENSATION}

    def split_paid_by_line(self) -> tuple[Money, ...]:
        """The amount paid for the goods of each line, without shipping: see ``split_paid``.

        An order with a trade-in has one line, and its credit is taken off that line.
        """
        goods = self.amount_paid - self.shipping if self.paid else Money.zero(self.currency)
        first, *others = (line.value for line in self.lines)
        return split_paid(goods, [first - self.credit, *others])

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


def split_paid(paid: Money, values: Sequence[Money]) -> tuple[Money, ...]:
    """The amount paid for each line: its value less its share of the unpaid amount.

    The unpaid amount is split by value with the largest remainder, ties to the lowest line (domain facts, section 5.1).
    """
    unpaid = total(values, paid.currency) - paid
    shares = unpaid.split([value.minor for value in values])
    return tuple(value - share for value, share in zip(values, shares, strict=True))
