"""Statutory withdrawals of a deposit, and how events change them."""

from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.deposit.event_row import EventRow, Rows, stays
from chalicelib.core.deposit.events.ending import (
    WithdrawalConfirmed,
    WithdrawalStated,
)
from chalicelib.core.deposit.ledger import no_postings
from chalicelib.core.deposit.rows import with_row
from chalicelib.core.deposit.status import Status

if TYPE_CHECKING:
    from chalicelib.core.deposit.deposit import Deposit


class Withdrawal(Struct, frozen=True):
    """A statutory withdrawal. ``confirmed_at`` is None until its second step. ``digest`` is over the latest receipt."""

    n: int
    stated_at: int
    digest: str
    confirmed_at: int | None = None


def state_withdrawal(deposit: "Deposit", event: WithdrawalStated) -> "Deposit":
    stated = Withdrawal(event.withdrawal, event.at, event.digest)
    return replace(deposit, withdrawals=(*deposit.withdrawals, stated))


def confirm_withdrawal(deposit: "Deposit", event: WithdrawalConfirmed) -> "Deposit":
    confirmed = replace(deposit.withdrawals[event.withdrawal - 1], confirmed_at=event.at, digest=event.digest)
    return replace(deposit, withdrawals=with_row(deposit.withdrawals, confirmed))


_NOT_ENDED = stays(Status.AWAITING_PAYMENT, Status.COOLING_OFF, Status.LOCKED, Status.COMPLETED)
EVENTS: Final[Rows] = (
    EventRow(WithdrawalStated, _NOT_ENDED, state_withdrawal, no_postings),
    EventRow(WithdrawalConfirmed, _NOT_ENDED, confirm_withdrawal, no_postings),
)
