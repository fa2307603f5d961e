"""Events of payments, balances and chargebacks."""

from typing import ClassVar

from msgspec import Struct

from chalicelib.core.common.money import Money
from chalicelib.core.deposit.causes import Cause


class PaymentMethodChanged(Struct, frozen=True):
    """The buyer chose another method. A new payment is opened and replaces the one before."""

    TYPE: ClassVar[str] = "payment.method_changed"
    at: int
    method: str


class PaymentPending(Struct, frozen=True):
    """The provider is processing the payment."""

    TYPE: ClassVar[str] = "payment.pending"
    at: int
    payment: int


class PaymentFailed(Struct, frozen=True):
    """The provider declined the payment. The buyer may try again until the deposit is due."""

    TYPE: ClassVar[str] = "payment.failed"
    at: int
    payment: int


class PaymentSucceeded(Struct, frozen=True):
    """The amount due was captured. ``at`` is the provider's capture instant; the window starts then.

    ``window_ends_at`` None means no window, or one without an end (``lock.at: never``); ``windowed`` tells them apart.
    ``remind_at`` are the instants, earliest first, at which the buyer is reminded that the window ends.
    """

    TYPE: ClassVar[str] = "payment.succeeded"
    at: int
    payment: int
    capture: str
    amount: Money
    windowed: bool
    window_ends_at: int | None = None
    remind_at: tuple[int, ...] = ()


class BalanceOpened(Struct, frozen=True):
    """The buyer opens a payment of the balance. It replaces an open one."""

    TYPE: ClassVar[str] = "balance.opened"
    at: int
    method: str
    amount: Money
    due_at: int


class BalancePaid(Struct, frozen=True):
    """The balance was captured. ``at`` is the provider's capture instant."""

    TYPE: ClassVar[str] = "balance.paid"
    at: int
    payment: int
    capture: str
    amount: Money


class PaymentNotCounted(Struct, frozen=True):
    """A capture that is not what was due. It is refunded without a request, with ``cause``."""

    TYPE: ClassVar[str] = "payment.not_counted"
    at: int
    payment: int
    capture: str
    amount: Money
    cause: Cause


class BalanceOverdue(Struct, frozen=True):
    """Announcement: the balance is overdue. The merchant may end the deposit from ``cure_until`` on."""

    TYPE: ClassVar[str] = "balance.overdue"
    at: int
    cure_until: int


class ChargebackOpened(Struct, frozen=True):
    """The buyer's bank disputes a capture. Held money of that capture is not refunded until the bank decides."""

    TYPE: ClassVar[str] = "chargeback.opened"
    at: int
    dispute: int
    ref: str
    payment: int
    capture: str
    amount: Money


class ChargebackWon(Struct, frozen=True):
    """The bank decided for the merchant. No money moves."""

    TYPE: ClassVar[str] = "chargeback.won"
    at: int
    dispute: int


class ChargebackLost(Struct, frozen=True):
    """The bank paid the buyer. ``excess``: the part that was already refunded or rightly kept; None when there is none."""

    TYPE: ClassVar[str] = "chargeback.lost"
    at: int
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
