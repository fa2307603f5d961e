"""Events of payments, balances and chargebacks."""

from typing import ClassVar

from chalicelib.core.common.instants import Instant
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.events.base import DepositEvent


class PaymentMethodChanged(DepositEvent, frozen=True):
    """The buyer chose another method. A new payment is opened and replaces the one before."""

    TYPE: ClassVar[str] = "payment.method_changed"
    method: str


class PaymentPending(DepositEvent, frozen=True):
    """The provider is processing the payment."""

    TYPE: ClassVar[str] = "payment.pending"
    payment: int


class PaymentFailed(DepositEvent, frozen=True):
    """The provider declined the payment. The buyer may try again until the deposit is due."""

    TYPE: ClassVar[str] = "payment.failed"
    payment: int


class PaymentSucceeded(DepositEvent, frozen=True):
    """The amount due was captured. ``at`` is the provider's capture instant; the window starts then.

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
    """The buyer opens a payment of the balance. It replaces an open one."""

    TYPE: ClassVar[str] = "balance.opened"
    method: str
    amount: Money
    due_at: Instant


class BalancePaid(DepositEvent, frozen=True):
    """The balance was captured. ``at`` is the provider's capture instant."""

    TYPE: ClassVar[str] = "balance.paid"
    payment: int
    capture: str
    amount: Money


class PaymentNotCounted(DepositEvent, frozen=True):
    """A capture that is not what was due. It is refunded without a request, with ``cause``."""

    TYPE: ClassVar[str] = "payment.not_counted"
    payment: int
    capture: str
    amount: Money
    cause: Cause


class BalanceOverdue(DepositEvent, frozen=True):
    """Announcement: the balance is overdue. The merchant may end the deposit from ``cure_until`` on."""

    TYPE: ClassVar[str] = "balance.overdue"
    cure_until: Instant


class ChargebackOpened(DepositEvent, frozen=True):
    """The buyer's bank disputes a capture. Held money of that capture is not refunded until the bank decides."""

    TYPE: ClassVar[str] = "chargeback.opened"
    dispute: int
    ref: str
    payment: int
    capture: str
    amount: Money


class ChargebackWon(DepositEvent, frozen=True):
    """The bank decided for the merchant. No money moves."""

    TYPE: ClassVar[str] = "chargeback.won"
    dispute: int


class ChargebackLost(DepositEvent, frozen=True):
    """The bank paid the buyer. ``excess``: the part that was already refunded or rightly kept; None when there is none."""

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
