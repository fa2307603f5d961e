"""What the provider says of one payment."""

from typing import Literal

from msgspec import Struct

from chalicelib.core.common.money import Money
from chalicelib.core.deposit.command_row import Command


class CaptureSeen(Struct, frozen=True):
    """Money that the provider took. ``at`` is the provider's capture instant."""

    ref: str
    amount: Money
    at: int


class DisputeSeen(Struct, frozen=True):
    """A chargeback against a capture. ``won`` and ``lost`` are from the merchant's side."""

    ref: str
    capture: str
    amount: Money
    status: Literal["open", "won", "lost"]


class PaymentSeen(Command, frozen=True):
    """The present state of one payment at the provider, with all its captures and the chargebacks against them."""

    payment: int
    status: Literal["open", "pending", "failed", "succeeded"]
    captures: tuple[CaptureSeen, ...] = ()
    disputes: tuple[DisputeSeen, ...] = ()
