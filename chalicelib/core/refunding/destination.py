"""Refunds whose payment route is closed: only the buyer can name an account for them.

Nothing is sent on a new route while the former attempt may still execute.
"""

import unicodedata
from typing import Final

from msgspec import Struct

from chalicelib.core.common import instants
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.command_row import Command, CommandRow, Commands, needed
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.refund import (
    RefundDeclined,
    RefundDestinationNamed,
    RefundRerouted,
    RefundRetried,
    RefundReviewNeeded,
    RefundSent,
)
from chalicelib.core.deposit.refund import NO_CAPTURE, Refund, RefundStatus
from chalicelib.core.policy import payment_routes
from chalicelib.core.policy.terms import Terms

MAX_DESTINATIONS: Final = 10  # accounts named for one refund
PLAIN_LETTERS: Final = str.maketrans("đłøı", "dloi")  # letters that banks write without their stroke or dot
Sending = RefundSent | RefundDeclined | RefundReviewNeeded


class Payee(Struct, frozen=True):
    """A bank account. Personal data: never in an event."""

    holder: str
    bank: str
    account: str


class NameDestination(Command, frozen=True):
    """The buyer names an account, given here as its keyed digest."""

    refund: int
    digest: str


class Reroute(Command, frozen=True):
    """The platform takes a refund off its route. ``absent``: the provider does not know it and no longer holds its key."""

    refund: int
    absent: bool = False
    note: str | None = None


class Retry(Command, frozen=True):
    """The platform sends a refund again under a new key; ``absent`` as for ``Reroute``."""

    refund: int
    absent: bool = False


class SendRefund(Command, frozen=True):
    """A job is about to make the first call to the provider on this route."""

    refund: int


def is_same_holder(name: str, other: str) -> bool:
    """Whether two spellings name the same holder.

    Case, width, accents, punctuation, order of names and blanks are ignored.
    """
    words, other_words = _fold_name(name), _fold_name(other)
    return sorted(words) == sorted(other_words) or "".join(words) == "".join(other_words)


def refuse_destination(refund: Refund) -> None:
    """Raises Refused unless an account is asked for, or the named one may still be changed; RATE_LIMITED after ten."""
    asked = refund.status in {RefundStatus.REQUIRES_ACTION, RefundStatus.RETURNED}
    changed = refund.status is RefundStatus.APPROVED and refund.destination is not None
    payout_closed = (
        refund.status is RefundStatus.MANUAL_REVIEW
        and refund.cannot_execute_any_more
        and refund.destination_kind == "payout"
    )
    if not (asked or changed or payout_closed):
        raise Refused(Reason.WRONG_STATE, state=refund.status.value)
    if (refund.destination or 0) >= MAX_DESTINATIONS:
        raise Refused(Reason.RATE_LIMITED, most=MAX_DESTINATIONS)


def name_destination(deposit: Deposit, command: NameDestination, at: int, terms: Terms) -> RefundDestinationNamed:
    """The account for a refund: the first one is paid at once, another one after a cool-down."""
    refund = _find_refund(deposit, command.refund)
    refuse_destination(refund)
    usable = _compute_usable_from(refund, command.digest, at)
    promised = _compute_promised_by(usable, terms)
    named = refund.route_no + 1
    return RefundDestinationNamed(at, refund.n, named, command.digest, usable, promised)


def reroute_refund(deposit: Deposit, command: Reroute, at: int, terms: Terms) -> RefundRerouted:
    refund = _find_refund(deposit, command.refund)
    _refuse_if_may_execute(refund, absent=command.absent)
    return RefundRerouted(at, refund.n, _compute_promised_by(at, terms), command.note)


def retry_refund(deposit: Deposit, command: Retry, at: int, terms: Terms) -> RefundRetried:
    refund = _find_refund(deposit, command.refund)
    nowhere = refund.capture == NO_CAPTURE and refund.destination is None
    if refund.status is not RefundStatus.MANUAL_REVIEW or refund.rerouted or nowhere:
        raise Refused(Reason.WRONG_STATE, state=refund.status.value)
    _refuse_if_may_execute(refund, absent=command.absent)
    return build_retry(refund, at, terms)


def build_retry(refund: Refund, at: int, terms: Terms) -> RefundRetried:
    """The retry with a new promised date: the former one may have passed while nothing could be sent."""
    return RefundRetried(at, refund.n, _compute_promised_by(at, terms))


def send_refund(deposit: Deposit, command: SendRefund, at: int, _terms: Terms) -> tuple[Sending, ...]:
    return find_send_steps(deposit, command.refund, at)


def find_send_steps(deposit: Deposit, n: int, at: int) -> tuple[Sending, ...]:
    """``RefundSent``; nothing while the refund must wait; a decline or a review where its route is closed."""
    refund = deposit.refunds[n - 1]
    if refund.status is not RefundStatus.APPROVED or deposit.is_disputed(refund.capture):
        return ()
    if refund.destination is not None:
        range_error = payment_routes.find_payout(at).out_of_range(refund.amount)
        if range_error is not None:
            return (RefundReviewNeeded(at, n, range_error),)
        return (RefundSent(at, n),) if at >= refund.payable_from else ()
    captured, route = deposit.find_capture(refund.capture), payment_routes.find_route(refund.method, at)
    closed = payment_routes.find_source_obstacle(route, refund.amount, captured.amount, captured.at, at)
    if closed is not None:
        return (RefundDeclined(at, n, closed),)
    return (RefundSent(at, n),) if payment_routes.find_next_open_instant(route, at) == at else ()


def _refuse_if_may_execute(refund: Refund, *, absent: bool) -> None:
    """WRONG_STATE while the provider may have executed the refund, or may still do so."""
    unsent = refund.status in {RefundStatus.APPROVED, RefundStatus.REQUIRES_ACTION, RefundStatus.RETURNED}
    not_executed = refund.status is RefundStatus.MANUAL_REVIEW and (refund.cannot_execute_any_more or absent)
    if not (unsent or not_executed):
        raise Refused(Reason.WRONG_STATE, state=refund.status.value)


def _compute_usable_from(refund: Refund, digest: str, at: int) -> int:
    """The first account: at once. Another one: after the cool-down. The same one again: not earlier than before."""
    if refund.digest == digest:
        return max(at, refund.payable_from)
    return payment_routes.compute_payable_from(at, changed=bool(refund.digest))


def _compute_promised_by(at: int, terms: Terms) -> int:
    return at + instants.duration_ms(terms.refund.deadline)


def _find_refund(deposit: Deposit, n: int) -> Refund:
    if n > len(deposit.refunds):
        raise Refused(Reason.NOT_FOUND)
    return deposit.refunds[n - 1]


def _fold_name(name_: str) -> list[str]:
    """The words of a name: letters and digits only, lower case, without accents."""
    plain = unicodedata.normalize("NFKD", name_).casefold().translate(PLAIN_LETTERS)
    words = "".join(char if char.isalnum() else " " for char in plain if not unicodedata.combining(char))
    return words.split()


COMMANDS: Final[Commands] = (
    CommandRow(NameDestination, name_destination, None, needed),
    CommandRow(Reroute, reroute_refund, None, needed),
    CommandRow(Retry, retry_refund, None, needed),
    CommandRow(SendRefund, send_refund, None, needed),
)
