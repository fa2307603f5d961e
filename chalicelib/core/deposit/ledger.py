"""Double entry for every event that moves money: the postings of one event sum to zero, per currency."""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from chalicelib.core.common.money import Money, total
from chalicelib.core.deposit.events.all import DepositEvent
from chalicelib.core.deposit.events.claim import ClaimReversed
from chalicelib.core.deposit.events.ending import Cancelled
from chalicelib.core.deposit.events.payment import BalancePaid, PaymentNotCounted, PaymentSucceeded
from chalicelib.core.deposit.events.refund import RefundApproved, RefundCovered, RefundReturned, RefundSucceeded
from chalicelib.core.deposit.refund import COMPENSATION


class Account(StrEnum):
    """Where a deposit's money is. ``captured`` is the provider's side: what it took, as a negative balance.

    ``merchant`` is what the merchant owes on top of it, as a negative balance against ``compensation``.
    """

    CAPTURED = "captured"
    HELD = "held"
    REFUNDING = "refunding"
    REFUNDED = "refunded"
    FORFEITED = "forfeited"
    FEES = "fees"
    COMPENSATION = "compensation"
    MERCHANT = "merchant"


class Posting(NamedTuple):
    """One side of an entry."""

    account: Account
    amount: Money


def postings(event: DepositEvent, refunds: dict[int, Money]) -> Iterator[Posting]:
    """The entry an event makes. ``refunds`` gives the amount of each refund of captured money approved before it."""
    match event:
        case PaymentSucceeded() | BalancePaid() | PaymentNotCounted():
            yield from _moved(Account.CAPTURED, Account.HELD, event.amount)
        case RefundApproved() if event.cause == COMPENSATION:
            yield from _moved(Account.MERCHANT, Account.COMPENSATION, event.amount)
        case RefundApproved():
            yield from _moved(Account.HELD, Account.REFUNDING, event.amount)
        case RefundSucceeded() | RefundCovered():
            yield from _moved(Account.REFUNDING, Account.REFUNDED, refunds.get(event.refund))
        case RefundReturned():
            yield from _moved(Account.REFUNDED, Account.REFUNDING, refunds.get(event.refund))
        case ClaimReversed():
            yield from _moved(Account.FORFEITED, Account.HELD, event.forfeited)
            yield from _moved(Account.FEES, Account.HELD, event.fees)
        case Cancelled():
            yield from _moved(Account.HELD, Account.FORFEITED, event.forfeited)
            if event.fees is not None:
                yield from _moved(Account.HELD, Account.FEES, event.fees)
        case _:
            return


def _moved(source: Account, target: Account, amount: Money | None) -> Iterator[Posting]:
    if amount:
        yield Posting(source, -amount)
        yield Posting(target, amount)


class Balances(Struct, frozen=True):
    """A deposit's money: captured == held + refunding + refunded + forfeited + fees, and nothing below zero.

    ``compensation`` was decided for the buyer on top.
    """

    captured: Money
    held: Money
    refunding: Money
    refunded: Money
    forfeited: Money
    fees: Money
    compensation: Money

    def __post_init__(self) -> None:
        parts = (self.held, self.refunding, self.refunded, self.forfeited, self.fees)
        assert self.captured == total(parts, self.captured.currency), self
        assert min(part.minor for part in (*parts, self.compensation)) >= 0, self

    @classmethod
    def none(cls, currency: str) -> "Balances":
        zero = Money.zero(currency)
        return cls(zero, zero, zero, zero, zero, zero, zero)

    def after(self, event: DepositEvent, refunds: dict[int, Money]) -> "Balances":
        """The balances with the event's postings in the deposit's own currency.

        Money in another currency is not the deposit's: it came by mistake and stands in its own refund.
        """
        moved = tuple(postings(event, refunds))
        if not moved:
            return self
        sums = {account: getattr(self, account.value) for account in Account if account is not Account.MERCHANT}
        for account, amount in moved:
            if amount.currency != self.captured.currency or account is Account.MERCHANT:
                continue
            signed = -amount if account is Account.CAPTURED else amount
            sums[account] = sums[account] + signed
        return Balances(*sums.values())
