"""Double entry. The postings of an event sum to zero per currency. The event's row declares them."""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import astuple

from chalicelib.core.common.money import Money, total


class Account(StrEnum):
    """The accounts of a deposit. ``captured`` is what the provider took, as a negative balance.

    ``merchant`` is what the merchant owes beyond the payments, as a negative balance against ``compensation``.
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
    """Both postings of an entry; none for None or a zero amount."""
    if amount:
        yield Posting(source, -amount)
        yield Posting(target, amount)


def no_postings(_event: object, _refunds: RefundAmounts) -> Iterator[Posting]:
    """``postings`` of events that move no money."""
    return iter(())


class Balances(Struct, frozen=True):
    """A deposit's balances. captured == held + refunding + refunded + forfeited + fees, and none is negative.

    ``compensation`` is paid by the merchant on top. AssertionError when the sums do not agree.
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
        """The balances after postings. Postings in another currency do not count: such a payment is a mistake with a refund
        of its own.
        """
        sums = dict(zip(self.__struct_fields__, astuple(self), strict=True))
        for account, amount in postings:
            if amount.currency != self.captured.currency or account is Account.MERCHANT:
                continue
            sums[account] += -amount if account is Account.CAPTURED else amount
        return Balances(**sums)
