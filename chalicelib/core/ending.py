"""Ending a deposit: the event, and a refund against each capture. A decision only; jobs move the money."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from chalicelib import policies
from chalicelib.core import entitlement, instants
from chalicelib.core.deposit import Deposit
from chalicelib.core.entitlement import Entitlement, Leg
from chalicelib.core.events import Cancelled, DepositEvent, RefundApproved, RefundDeclined, RefundSettled
from chalicelib.core.terms import Terms

ROUTE_CLOSED: Final = "route_cannot_refund"


@dataclass(frozen=True, slots=True)
class Cancel:
    """The buyer ends the deposit."""


def cancel(deposit: Deposit, at: int, terms: Terms) -> Iterator[DepositEvent]:
    yield from end(deposit, "buyer_cancel", entitlement.of(deposit, terms, "buyer_cancel", at), at, terms)


def end(deposit: Deposit, cause: str, owed: Entitlement, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """The end, and what goes back against each capture; the last refund is the one that is shown.

    A leg of 0 is written where a deduction took it all, with its rule, before those that move money; so is the only one.
    """
    yield Cancelled(at, cause, owed.rule, owed.forfeited, owed.fees or None)
    told = [leg for leg in owed.legs if leg.amount or any(line.rule for line in leg.lines)] or owed.legs[:1]
    legs = sorted(told, key=lambda leg: (bool(leg.amount), -leg.payment))
    for n, leg in enumerate(legs, start=len(deposit.refunds) + 1):
        yield from refund(deposit, n, cause, leg, at, terms, owed.review)


def refund(
    deposit: Deposit, n: int, cause: str, leg: Leg, at: int, terms: Terms, review: str | None = None
) -> Iterator[DepositEvent]:
    """A refund decision. Nothing to pay is settled at once; a route that cannot refund asks the buyer at once."""
    promised_by = at + instants.duration_ms(terms.refund.deadline)
    yield RefundApproved(at, n, cause, leg.amount, leg.lines, promised_by, leg.payment, leg.capture, review)
    if not leg.amount:
        yield RefundSettled(at, n)
    elif not policies.read("routes.toml")[deposit.payments[leg.payment - 1].method]["to_source"]:
        yield RefundDeclined(at, n, ROUTE_CLOSED)
