"""A goodwill refund: a merchant gives back money that no rule requires, at most what is held and not in dispute.

It does not change the deposit's status, total or balance.
"""

from collections.abc import Iterator
from typing import Final

from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.causes import Cause, LineCode
from chalicelib.core.deposit.command_row import Action, Command, CommandRow, Commands, optional
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.refund import RefundLine
from chalicelib.core.ending import end
from chalicelib.core.ending.entitlement import Leg
from chalicelib.core.policy.terms import Terms

MAX_GRANTS: Final = 20  # of one deposit


class Grant(Command, frozen=True):
    """``expected`` is the refundable amount that the merchant saw: of two requests at once the second is refused."""

    amount: Money
    expected: Money
    note: str | None = None


def refuse_grant(deposit: Deposit, _at: int, _terms: Terms) -> None:
    """Raises Refused where nothing is refundable; RATE_LIMITED after ``MAX_GRANTS`` grants."""
    if not deposit.refundable:
        reason = Reason.FUNDS_IN_DISPUTE if deposit.money.held else Reason.REFUND_EXCEEDS_REFUNDABLE
        raise Refused(reason, refundable=deposit.refundable)
    if sum(refund.cause == Cause.GOODWILL for refund in deposit.refunds) >= MAX_GRANTS:
        raise Refused(Reason.RATE_LIMITED, most=MAX_GRANTS)


def grant_goodwill(deposit: Deposit, command: Grant, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """One refund for each capture that is needed, the latest first: its refund route stays open longest."""
    for pointer, amount in (("/amount", command.amount), ("/expected_refundable", command.expected)):
        if amount.currency != deposit.currency:
            raise Refused(Reason.CURRENCY_MISMATCH, [FieldError(pointer, "currency_mismatch")])
    if command.expected != deposit.refundable:
        raise Refused(Reason.STALE_VERSION, refundable=deposit.refundable)
    refuse_grant(deposit, at, terms)
    if command.amount > deposit.refundable:
        in_dispute = command.amount <= deposit.money.held
        reason = Reason.FUNDS_IN_DISPUTE if in_dispute else Reason.REFUND_EXCEEDS_REFUNDABLE
        raise Refused(reason, refundable=deposit.refundable)
    for n, leg in enumerate(build_legs(deposit, command.amount), start=len(deposit.refunds) + 1):
        yield from end.approve_refund(deposit, n, Cause.GOODWILL, leg, at, terms.refund.deadline, note=command.note)


def build_legs(deposit: Deposit, amount: Money) -> Iterator[Leg]:
    """The amount divided by capture, the latest first, without captures in dispute."""
    for captured in reversed(deposit.counted_captures):
        part = min(amount, deposit.compute_unrefunded(captured))
        if part and not deposit.is_disputed(captured.capture):
            yield Leg(captured.payment, captured.capture, (RefundLine(LineCode.GOODWILL, part),))
            amount -= part


COMMANDS: Final[Commands] = (CommandRow(Grant, grant_goodwill, Action("merchant", "refunds", refuse_grant), optional),)
