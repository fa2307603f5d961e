"""Ending a deposit: the event, and a refund against each capture. A decision only; jobs move the money."""

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


def cancel_deposit(deposit: Deposit, at: int, terms: Terms) -> Iterator[DepositEvent]:
    owed = entitlement.compute_entitlement(deposit, terms, Cause.BUYER_CANCEL, at)
    yield from end_deposit(deposit, Cause.BUYER_CANCEL, owed, at, terms.refund.deadline)


def end_deposit(deposit: Deposit, cause: Cause, owed: Entitlement, at: int, deadline: str) -> Iterator[DepositEvent]:
    """The end, what goes back against each capture, and what the merchant owes on top.

    A leg of 0 is written where a deduction took it all, with its rule, before those that move money; so is the only one.
    The last refund of the buyer's own money is the one that is shown.
    """
    yield Cancelled(at, cause, owed.rule, owed.forfeited, owed.fees or None)
    told = [leg for leg in owed.legs if leg.amount or any(line.rule for line in leg.lines)] or owed.legs[:1]
    legs = sorted(told, key=lambda leg: (bool(leg.amount), -leg.payment))
    for n, leg in enumerate(legs, start=len(deposit.refunds) + 1):
        yield from approve_refund(deposit, n, cause, leg, at, deadline, review=owed.review)
    if owed.compensation:
        yield from _approve_compensation(deposit, len(deposit.refunds) + len(legs) + 1, owed.compensation, at, deadline)


def _approve_compensation(deposit: Deposit, n: int, amount: Money, at: int, deadline: str) -> Iterator[DepositEvent]:
    """Not the buyer's own money, so it has no source to go back to: the buyer is asked for an account at once."""
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
    """A refund decision, to be paid within ``deadline``. Nothing to pay is settled at once; a route that cannot refund asks the buyer at once."""
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


COMMANDS: Final[Commands] = (
    CommandRow(
        Cancel,
        lambda deposit, _command, at, terms: cancel_deposit(deposit, at, terms),
        Action("buyer", "cancel", lambda deposit, at, _terms: entitlement.refuse_ended(status_at(deposit, at))),
        needed,
    ),
)
