"""Double entry: the postings of one event sum to zero, per currency. Which event posts what is declared in its row."""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import astuple

from chalicelib.core.common.money import Money, total


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


RefundAmounts = Mapping[int, Money]  # of each refund of captured money, by its number


def move(source: Account, target: Account, amount: Money | None) -> Iterator[Posting]:
    """Both sides of an entry; none for no money."""
    if amount:
        yield Posting(source, -amount)
        yield Posting(target, amount)


def no_postings(_event: object, _refunds: RefundAmounts) -> Iterator[Posting]:
    """The event moves no money."""
    return iter(())


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

    def after(self, postings: Iterable[Posting]) -> "Balances":
        """The balances with postings in the deposit's own currency.

        Money in another currency is not the deposit's: it came by mistake and stands in its own refund.
        """
        sums = dict(zip(self.__struct_fields__, astuple(self), strict=True))
        for account, amount in postings:
            if amount.currency != self.captured.currency or account is Account.MERCHANT:
                continue
            sums[account] += -amount if account is Account.CAPTURED else amount
        return Balances(**sums)
