"""One payment of a deposit: its life, and what the provider was seen to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

from chalicelib.core.events import (
    BalancePaid,
    PaymentEvent,
    PaymentFailed,
    PaymentMethodChanged,
    PaymentNotCounted,
    PaymentPending,
    PaymentSucceeded,
)
from chalicelib.core.instants import DAY, HOUR, MINUTE
from chalicelib.core.money import Money


class PaymentStatus(StrEnum):
    """Where a payment stands."""

    REQUIRES_ACTION = "requires_action"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REPLACED = "replaced"


_S = PaymentStatus

# Money that does not count leaves a payment as it stands: it goes back by a refund of its own.
TRANSITIONS: Final[Mapping[tuple[PaymentStatus, type[PaymentEvent]], PaymentStatus]] = MappingProxyType(
    {
        (_S.REQUIRES_ACTION, PaymentPending): _S.PENDING,
        (_S.REQUIRES_ACTION, PaymentSucceeded): _S.SUCCEEDED,
        (_S.REQUIRES_ACTION, BalancePaid): _S.SUCCEEDED,
        (_S.REQUIRES_ACTION, PaymentFailed): _S.FAILED,
        (_S.REQUIRES_ACTION, PaymentMethodChanged): _S.REPLACED,
        (_S.REQUIRES_ACTION, PaymentNotCounted): _S.REQUIRES_ACTION,
        (_S.PENDING, PaymentSucceeded): _S.SUCCEEDED,
        (_S.PENDING, BalancePaid): _S.SUCCEEDED,
        (_S.PENDING, PaymentFailed): _S.FAILED,
        (_S.PENDING, PaymentMethodChanged): _S.REPLACED,
        (_S.PENDING, PaymentNotCounted): _S.PENDING,
        (_S.FAILED, PaymentPending): _S.PENDING,
        (_S.FAILED, PaymentSucceeded): _S.SUCCEEDED,
        (_S.FAILED, BalancePaid): _S.SUCCEEDED,
        (_S.FAILED, PaymentMethodChanged): _S.REPLACED,
        (_S.FAILED, PaymentNotCounted): _S.FAILED,
        (_S.SUCCEEDED, PaymentNotCounted): _S.SUCCEEDED,
        (_S.REPLACED, PaymentNotCounted): _S.REPLACED,
    }
)


MOST_PAYMENTS: Final = 20  # payments that one deposit may open: a journal stays small
MAY_ARRIVE: Final = frozenset({_S.REQUIRES_ACTION, _S.PENDING, _S.FAILED})
# How long after a balance payment was opened we look for it ourselves: an event of the provider may be lost. Then daily.
LOOKS: Final = (5 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR, DAY)


@dataclass(frozen=True, slots=True)
class Payment:
    """The ``n``-th payment of a deposit. ``captures`` are the provider's references already written down."""

    n: int
    method: str
    amount: Money
    due_at: int
    kind: Literal["deposit", "balance"] = "deposit"
    status: PaymentStatus = PaymentStatus.REQUIRES_ACTION
    captures: tuple[str, ...] = ()
    opened_at: int = 0


def look_at(payment: Payment) -> int:
    """When a payment that may still arrive is looked for first."""
    return payment.opened_at + LOOKS[0]


def next_look(payment: Payment, now: int) -> int:
    """After a look that learned nothing: the next distance of ``LOOKS``, then a day later."""
    ahead = [payment.opened_at + distance for distance in LOOKS if payment.opened_at + distance > now]
    return min(ahead, default=now + DAY)


@dataclass(frozen=True, slots=True)
class PaymentSeen:
    """What the provider says of one payment now: every capture it took, and every chargeback against them."""

    payment: int
    status: Literal["open", "pending", "failed", "succeeded"]
    captures: tuple["CaptureSeen", ...] = ()
    disputes: tuple["DisputeSeen", ...] = ()


@dataclass(frozen=True, slots=True)
class CaptureSeen:
    """Money the provider took. ``at`` is its own instant."""

    ref: str
    amount: Money
    at: int


@dataclass(frozen=True, slots=True)
class DisputeSeen:
    """A chargeback against a capture. ``won`` and ``lost`` are the merchant's."""

    ref: str
    capture: str
    amount: Money
    status: Literal["open", "won", "lost"]
