"""Chargebacks against a deposit's captures, and how events change them."""

from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.common.money import Money
from chalicelib.core.deposit.events.payment import (
    ChargebackEvent,
    ChargebackOpened,
    ChargebackWon,
)
from chalicelib.core.deposit.rows import with_row

if TYPE_CHECKING:
    from chalicelib.core.deposit.deposit import Deposit


class Dispute(Struct, frozen=True):
    """A chargeback: the buyer's bank disputes what was captured. ``won`` and ``lost`` are the merchant's."""

    n: int
    ref: str
    payment: int
    capture: str
    amount: Money
    opened_at: int
    status: Literal["open", "won", "lost"] = "open"


def evolve_dispute(deposit: "Deposit", event: ChargebackEvent) -> "Deposit":
    if isinstance(event, ChargebackOpened):
        opened = Dispute(event.dispute, event.ref, event.payment, event.capture, event.amount, event.at)
        return replace(deposit, disputes=(*deposit.disputes, opened))
    ended = replace(deposit.disputes[event.dispute - 1], status="won" if isinstance(event, ChargebackWon) else "lost")
    return replace(deposit, disputes=with_row(deposit.disputes, ended))
