"""What the provider says of one payment."""

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from chalicelib.core.common.money import Money
from chalicelib.core.deposit.command_row import Command

if TYPE_CHECKING:
    pass


class PaymentSeen(Command, frozen=True):
    """What the provider says of one payment now: every capture it took, and every chargeback against them."""

    payment: int
    status: Literal["open", "pending", "failed", "succeeded"]
    captures: tuple["CaptureSeen", ...] = ()
    disputes: tuple["DisputeSeen", ...] = ()


class CaptureSeen(Struct, frozen=True):
    """Money the provider took. ``at`` is its own instant."""

    ref: str
    amount: Money
    at: int


class DisputeSeen(Struct, frozen=True):
    """A chargeback against a capture. ``won`` and ``lost`` are the merchant's."""

    ref: str
    capture: str
    amount: Money
    status: Literal["open", "won", "lost"]
