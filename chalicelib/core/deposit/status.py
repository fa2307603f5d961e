"""The status of a deposit and its transition table."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from chalicelib.core.deposit.events.all import DepositEvent
from chalicelib.core.deposit.events.claim import ClaimEvent
from chalicelib.core.deposit.events.ending import (
    Cancelled,
    Completed,
    Expired,
    PassGranted,
    PassStep,
    QuestionEvent,
    WithdrawalConfirmed,
    WithdrawalStated,
)
from chalicelib.core.deposit.events.goods import (
    GoodsDelivered,
    GoodsReady,
    GoodsReceived,
    GoodsShipped,
    TradeInCancelled,
    TradeInInspected,
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
from chalicelib.core.deposit.events.order import ItemsChanged
from chalicelib.core.deposit.events.payment import (
    BalanceOpened,
    BalanceOverdue,
    BalancePaid,
    ChargebackEvent,
    PaymentFailed,
    PaymentMethodChanged,
    PaymentNotCounted,
    PaymentPending,
    PaymentSucceeded,
)
from chalicelib.core.deposit.events.refund import RefundApproved, RefundStep


class Status(StrEnum):
    """Where a deposit stands."""

    AWAITING_PAYMENT = "awaiting_payment"
    COOLING_OFF = "cooling_off"
    LOCKED = "locked"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


_S = Status

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
