"""Statutory withdrawals of a deposit, and how events change them."""

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.deposit.events.ending import (
    WithdrawalConfirmed,
    WithdrawalStated,
)
from chalicelib.core.deposit.rows import with_row

if TYPE_CHECKING:
    from chalicelib.core.deposit.deposit import Deposit


class Withdrawal(Struct, frozen=True):
    """A statutory withdrawal in its two steps. ``digest`` is over the latest receipt."""

    n: int
    stated_at: int
    digest: str
    confirmed_at: int | None = None


def evolve_withdrawal(deposit: "Deposit", event: WithdrawalStated | WithdrawalConfirmed) -> "Deposit":
    if isinstance(event, WithdrawalStated):
        stated = Withdrawal(event.withdrawal, event.at, event.digest)
        return replace(deposit, withdrawals=(*deposit.withdrawals, stated))
    confirmed = replace(deposit.withdrawals[event.withdrawal - 1], confirmed_at=event.at, digest=event.digest)
    return replace(deposit, withdrawals=with_row(deposit.withdrawals, confirmed))
