"""The end of a deposit: its event, and the approval of a refund against each capture. Jobs send the refunds later."""

from collections.abc import Iterator
from typing import Final

from chalicelib.core.common import instants
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.causes import Cause, LineCode
from chalicelib.core.deposit.clock import status_at
from chalicelib.core.deposit.command_row import Action, Command, CommandRow, Commands, needed
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.ending import Cancelled
from chalicelib.core.deposit.events.refund import RefundApproved, RefundDeclined, RefundLine, RefundSettled
from chalicelib.core.deposit.refund import NO_CAPTURE
from chalicelib.core.ending import entitlement
from chalicelib.core.ending.entitlement import Entitlement, Leg
from chalicelib.core.policy import payment_routes
from chalicelib.core.policy.terms import Terms


class Cancel(Command, frozen=True):
    """The buyer ends the deposit."""


def refuse_cancel(deposit: Deposit, at: int, _terms: Terms) -> None:
    """ALREADY_CANCELLED or WRONG_STATE where the deposit has ended."""
    entitlement.refuse_ended(status_at(deposit, at))


def cancel_deposit(deposit: Deposit, _command: Cancel, at: int, terms: Terms) -> Iterator[DepositEvent]:
    return end_by_terms(deposit, Cause.BUYER_CANCEL, at, terms)


def end_by_terms(
    deposit: Deposit, cause: Cause, at: int, terms: Terms, *, compensated: bool = True
) -> Iterator[DepositEvent]:
    """The end for ``cause`` with what the terms entitle the buyer to. ``compensated`` as for ``compute_entitlement``."""
    owed = entitlement.compute_entitlement(deposit, terms, cause, at, compensated=compensated)
    yield from end_deposit(deposit, cause, owed, at, terms.refund.deadline)


def end_deposit(deposit: Deposit, cause: Cause, owed: Entitlement, at: int, deadline: str) -> Iterator[DepositEvent]:
    """``Cancelled``, a refund for each leg, and the compensation that the merchant owes on top.

    A leg of 0 is written when a deduction took all of it, so that its rule is recorded, or when no other leg exists. Legs
    of 0 come first: an answer shows the last refund of the buyer's own money.
    """
    yield Cancelled(at, cause, owed.rule, owed.forfeited, owed.fees or None)
    written = [leg for leg in owed.legs if leg.amount or any(line.rule for line in leg.lines)] or owed.legs[:1]
    legs = sorted(written, key=lambda leg: (bool(leg.amount), -leg.payment))
    for n, leg in enumerate(legs, start=len(deposit.refunds) + 1):
        yield from approve_refund(deposit, n, cause, leg, at, deadline, review=owed.review)
    if owed.compensation:
        yield from _approve_compensation(deposit, len(deposit.refunds) + len(legs) + 1, owed.compensation, at, deadline)


def _approve_compensation(deposit: Deposit, n: int, amount: Money, at: int, deadline: str) -> Iterator[DepositEvent]:
    """A refund without a capture: it has no source to return to, so the buyer is asked for an account at once."""
    lines = (RefundLine(LineCode.COMPENSATION, amount, "terms/seller_default"),)
    promised_by = at + instants.duration_ms(deadline)
    yield RefundApproved(
        at, n, Cause.COMPENSATION, amount, lines, promised_by, deposit.counted_captures[0].payment, NO_CAPTURE
    )
    yield RefundDeclined(at, n, payment_routes.NO_SOURCE)


def approve_refund(
    deposit: Deposit,
    n: int,
    cause: Cause,
    leg: Leg,
    at: int,
    deadline: str,
    *,
    review: str | None = None,
    note: str | None = None,
) -> Iterator[DepositEvent]:
    """The approval of refund ``n``, to be paid within ``deadline`` (ISO 8601 duration).

    An amount of 0 is settled at once. Where the payment route cannot refund, the refund is declined at once, so the buyer is
    asked for an account.
    """
    captured = deposit.find_capture(leg.capture)
    route = payment_routes.find_route(deposit.payments[leg.payment - 1].method, at)
    promised_by = payment_routes.compute_promise(route, captured.at, at, deadline)
    yield RefundApproved(at, n, cause, leg.amount, leg.lines, promised_by, leg.payment, leg.capture, review, note)
    if not leg.amount:
        yield RefundSettled(at, n)
        return
    closed = payment_routes.find_source_obstacle(route, leg.amount, captured.amount, captured.at, at)
    if closed is not None:
        yield RefundDeclined(at, n, closed)


COMMANDS: Final[Commands] = (CommandRow(Cancel, cancel_deposit, Action("buyer", "cancel", refuse_cancel), needed),)
