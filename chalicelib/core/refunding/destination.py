"""Where a refund goes when its way back is closed: to an account that the buyer names, and that nobody else can.

Nothing is sent on a new way while the former one may still be executed.
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

MAX_NAMED: Final = 10
PLAIN: Final = str.maketrans("đłøı", "dloi")  # letters that banks write without their stroke or dot
Sending = RefundSent | RefundDeclined | RefundReviewNeeded


class Payee(Struct, frozen=True):
    """An account. Personal data: never in an event."""

    holder: str
    bank: str
    account: str


class NameDestination(Command, frozen=True):
    """The buyer's account, known here by its keyed digest only."""

    refund: int
    digest: str


class Reroute(Command, frozen=True):
    """The platform takes a refund off its way. ``absent``: the provider was asked, knows nothing and forgot the key."""

    refund: int
    absent: bool = False
    note: str | None = None


class Retry(Command, frozen=True):
    """The platform sends it again, under a new key; ``absent`` as above."""

    refund: int
    absent: bool = False


class SendRefund(Command, frozen=True):
    """A job is about to ask the provider for the first time on this way."""

    refund: int


def same_name(one: str, other: str) -> bool:
    """Whether two spellings name the same holder.

    Capitals, width, accents, points, the order of names and blanks between them do not matter.
    """
    mine, theirs = _folded(one), _folded(other)
    return sorted(mine) == sorted(theirs) or "".join(mine) == "".join(theirs)


def refuse_name(refund: Refund) -> None:
    """An account can be named where one is asked for, and changed until money is on its way there."""
    asked = refund.status in {RefundStatus.REQUIRES_ACTION, RefundStatus.RETURNED}
    changed = refund.status is RefundStatus.APPROVED and refund.destination is not None
    late = refund.status is RefundStatus.MANUAL_REVIEW and refund.closed and refund.goes_to == "payout"
    if not (asked or changed or late):
        raise Refused(Reason.WRONG_STATE, state=refund.status.value)
    if (refund.destination or 0) >= MAX_NAMED:
        raise Refused(Reason.RATE_LIMITED, most=MAX_NAMED)


def name(deposit: Deposit, command: NameDestination, at: int, terms: Terms) -> RefundDestinationNamed:
    """The first account is paid at once, another one after a cool-down."""
    refund = _numbered(deposit, command.refund)
    refuse_name(refund)
    usable = _usable_from(refund, command.digest, at)
    promised = _anew(usable, terms)
    named = refund.way + 1
    return RefundDestinationNamed(at, refund.n, named, command.digest, usable, promised)


def reroute(deposit: Deposit, command: Reroute, at: int, terms: Terms) -> RefundRerouted:
    refund = _numbered(deposit, command.refund)
    _refuse_on_its_way(refund, absent=command.absent)
    return RefundRerouted(at, refund.n, _anew(at, terms), command.note)


def retry(deposit: Deposit, command: Retry, at: int, terms: Terms) -> RefundRetried:
    refund = _numbered(deposit, command.refund)
    nowhere = refund.capture == NO_CAPTURE and refund.destination is None
    if refund.status is not RefundStatus.MANUAL_REVIEW or refund.rerouted or nowhere:
        raise Refused(Reason.WRONG_STATE, state=refund.status.value)
    _refuse_on_its_way(refund, absent=command.absent)
    return retried(refund, at, terms)


def retried(refund: Refund, at: int, terms: Terms) -> RefundRetried:
    """Sent anew; a promise that passed while nothing could be sent is made again."""
    return RefundRetried(at, refund.n, _anew(at, terms))


def send(deposit: Deposit, n: int, at: int) -> tuple[Sending, ...]:
    """``sent``, or why not: nothing while it has to wait, another state when this way is closed."""
    refund = deposit.refunds[n - 1]
    if refund.status is not RefundStatus.APPROVED or deposit.disputed(refund.capture):
        return ()
    if refund.destination is not None:
        unfit = payment_routes.payout(at).out_of_range(refund.amount)
        if unfit is not None:
            return (RefundReviewNeeded(at, n, unfit),)
        return (RefundSent(at, n),) if at >= refund.payable_from else ()
    captured, route = deposit.captured(refund.capture), payment_routes.route(refund.method, at)
    closed = payment_routes.closed(route, refund.amount, captured.amount, captured.at, at)
    if closed is not None:
        return (RefundDeclined(at, n, closed),)
    return (RefundSent(at, n),) if payment_routes.opens_at(route, at) == at else ()


def _refuse_on_its_way(refund: Refund, *, absent: bool) -> None:
    """Only what surely was not executed, and will not be, may take another way."""
    free = refund.status in {RefundStatus.APPROVED, RefundStatus.REQUIRES_ACTION, RefundStatus.RETURNED}
    looked_for = refund.status is RefundStatus.MANUAL_REVIEW and (refund.closed or absent)
    if not (free or looked_for):
        raise Refused(Reason.WRONG_STATE, state=refund.status.value)


def _usable_from(refund: Refund, digest: str, at: int) -> int:
    """The first account at once, another one after the cool-down, the same one again not earlier than before."""
    if refund.digest == digest:
        return max(at, refund.payable_from)
    return payment_routes.usable_from(at, changed=bool(refund.digest))


def _anew(at: int, terms: Terms) -> int:
    return at + instants.duration_ms(terms.refund.deadline)


def _numbered(deposit: Deposit, n: int) -> Refund:
    if n > len(deposit.refunds):
        raise Refused(Reason.NOT_FOUND)
    return deposit.refunds[n - 1]


def _folded(name_: str) -> list[str]:
    """Letters and digits only, without accents, word by word."""
    plain = unicodedata.normalize("NFKD", name_).casefold().translate(PLAIN)
    kept = "".join(one if one.isalnum() else " " for one in plain if not unicodedata.combining(one))
    return kept.split()


COMMANDS: Final[Commands] = (
    CommandRow(NameDestination, name, None, needed),
    CommandRow(Reroute, reroute, None, needed),
    CommandRow(Retry, retry, None, needed),
    CommandRow(SendRefund, lambda deposit, command, at, _terms: send(deposit, command.refund, at), None, needed),
)
