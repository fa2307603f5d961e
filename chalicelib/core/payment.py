"""One payment of a deposit: its life, and what the provider was seen to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

from chalicelib.core.events import (
    PaymentEvent,
    PaymentFailed,
    PaymentMethodChanged,
    PaymentNotCounted,
    PaymentPending,
    PaymentSucceeded,
)
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
        (_S.REQUIRES_ACTION, PaymentFailed): _S.FAILED,
        (_S.REQUIRES_ACTION, PaymentMethodChanged): _S.REPLACED,
        (_S.REQUIRES_ACTION, PaymentNotCounted): _S.REQUIRES_ACTION,
        (_S.PENDING, PaymentSucceeded): _S.SUCCEEDED,
        (_S.PENDING, PaymentFailed): _S.FAILED,
        (_S.PENDING, PaymentMethodChanged): _S.REPLACED,
        (_S.PENDING, PaymentNotCounted): _S.PENDING,
        (_S.FAILED, PaymentPending): _S.PENDING,
        (_S.FAILED, PaymentSucceeded): _S.SUCCEEDED,
        (_S.FAILED, PaymentMethodChanged): _S.REPLACED,
        (_S.FAILED, PaymentNotCounted): _S.FAILED,
        (_S.SUCCEEDED, PaymentNotCounted): _S.SUCCEEDED,
        (_S.REPLACED, PaymentNotCounted): _S.REPLACED,
    }
)


@dataclass(frozen=True, slots=True)
class Payment:
    """The ``n``-th payment of a deposit. ``captures`` are the provider's references already written down."""

    n: int
    method: str
    amount: Money
    due_at: int
    status: PaymentStatus = PaymentStatus.REQUIRES_ACTION
    captures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PaymentSeen:
    """What the provider says of one payment now. ``captures`` lists every capture: reference, amount, instant."""

    payment: int
    status: Literal["open", "pending", "failed", "succeeded"]
    captures: tuple["CaptureSeen", ...] = ()


@dataclass(frozen=True, slots=True)
class CaptureSeen:
    """Money the provider took. ``at`` is its own instant."""

    ref: str
    amount: Money
    at: int
