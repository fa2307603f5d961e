"""Events of payments, balances and chargebacks."""

from typing import ClassVar

from chalicelib.core.common.instants import Instant
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.events.base import DepositEvent


class PaymentMethodChanged(DepositEvent, frozen=True):
    """The buyer chose again: a new payment is opened, the former one is replaced."""

    TYPE: ClassVar[str] = "payment.method_changed"
    method: str


class PaymentPending(DepositEvent, frozen=True):
    """The provider works on it."""

    TYPE: ClassVar[str] = "payment.pending"
    payment: int


class PaymentFailed(DepositEvent, frozen=True):
    """The provider declined. The buyer may try again until the deposit is due."""

    TYPE: ClassVar[str] = "payment.failed"
    payment: int


class PaymentSucceeded(DepositEvent, frozen=True):
    """What was due arrived. ``at`` is the provider's capture instant; the window starts there.

    ``window_ends_at`` None means no window, or one without an end (``lock.at: never``); ``windowed`` tells them apart.
    ``remind_at`` are the instants, earliest first, at which the buyer is reminded that the window ends.
    """

    TYPE: ClassVar[str] = "payment.succeeded"
    payment: int
    capture: str
    amount: Money
    windowed: bool
    window_ends_at: Instant | None = None
    remind_at: tuple[Instant, ...] = ()


class BalanceOpened(DepositEvent, frozen=True):
    """The buyer wants to pay the rest, and says how; a balance payment that was open is replaced."""

    TYPE: ClassVar[str] = "balance.opened"
    method: str
    amount: Money
    due_at: Instant


class BalancePaid(DepositEvent, frozen=True):
    """The rest arrived. ``at`` is the provider's capture instant."""

    TYPE: ClassVar[str] = "balance.paid"
    payment: int
    capture: str
    amount: Money


class PaymentNotCounted(DepositEvent, frozen=True):
    """Money arrived that is not what was due; it goes back by itself. ``cause`` is the refund's."""

    TYPE: ClassVar[str] = "payment.not_counted"
    payment: int
    capture: str
    amount: Money
    cause: Cause


class BalanceOverdue(DepositEvent, frozen=True):
    """Announcement: the balance was not paid when it was due. Until ``cure_until`` nothing else happens."""

    TYPE: ClassVar[str] = "balance.overdue"
    cure_until: Instant


class ChargebackOpened(DepositEvent, frozen=True):
    """The buyer's bank disputes a capture. What of it is held cannot move until the bank has decided."""

    TYPE: ClassVar[str] = "chargeback.opened"
    dispute: int
    ref: str
    payment: int
    capture: str
    amount: Money


class ChargebackWon(DepositEvent, frozen=True):
    """The bank decided for the merchant: nothing moved."""

    TYPE: ClassVar[str] = "chargeback.won"
    dispute: int


class ChargebackLost(DepositEvent, frozen=True):
    """The bank gave the buyer the money. ``excess`` is what the buyer had back already, or what was kept by right."""

    TYPE: ClassVar[str] = "chargeback.lost"
    dispute: int
    excess: Money | None = None


PaymentEvent = (
    PaymentMethodChanged
    | PaymentPending
    | PaymentFailed
    | PaymentSucceeded
    | BalanceOpened
    | BalancePaid
    | PaymentNotCounted
)
ChargebackEvent = ChargebackOpened | ChargebackWon | ChargebackLost
