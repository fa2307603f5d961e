"""Chargebacks against a deposit's captures, and how events change them."""

from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.common.money import Money
from chalicelib.core.deposit.event_row import ANY_STATUS, EventRow, Rows
from chalicelib.core.deposit.events.payment import (
    ChargebackLost,
    ChargebackOpened,
    ChargebackWon,
)
from chalicelib.core.deposit.ledger import no_postings
from chalicelib.core.deposit.rows import with_row

if TYPE_CHECKING:
    from chalicelib.core.deposit.deposit import Deposit


class Dispute(Struct, frozen=True):
    """A chargeback: the buyer's bank disputes a capture. ``won`` and ``lost`` are from the merchant's side.

    ``ref`` is the provider's reference of the chargeback, ``capture`` that of the disputed capture.
    """

    n: int
    ref: str
    payment: int
    capture: str
    amount: Money
    opened_at: int
    status: Literal["open", "won", "lost"] = "open"


def open_dispute(deposit: "Deposit", event: ChargebackOpened) -> "Deposit":
    opened = Dispute(event.dispute, event.ref, event.payment, event.capture, event.amount, event.at)
    return replace(deposit, disputes=(*deposit.disputes, opened))


def win_dispute(deposit: "Deposit", event: ChargebackWon) -> "Deposit":
    return _close_dispute(deposit, event.dispute, "won")


def lose_dispute(deposit: "Deposit", event: ChargebackLost) -> "Deposit":
    return _close_dispute(deposit, event.dispute, "lost")


def _close_dispute(deposit: "Deposit", n: int, status: Literal["won", "lost"]) -> "Deposit":
    return replace(deposit, disputes=with_row(deposit.disputes, replace(deposit.disputes[n - 1], status=status)))


EVENTS: Final[Rows] = (
    EventRow(ChargebackOpened, ANY_STATUS, open_dispute, no_postings),
    EventRow(ChargebackWon, ANY_STATUS, win_dispute, no_postings),
    EventRow(ChargebackLost, ANY_STATUS, lose_dispute, no_postings),
)
