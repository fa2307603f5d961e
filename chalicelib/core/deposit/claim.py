"""A claim: its transition table, and what silence makes of it. Silence never decides against the buyer.

A claim lives in the journal of its deposit. Every duration it needs stands in its events, so that a journal can be folded
without its terms.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.common import instants
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.event_row import ANY_STATUS, EventRow, Rows, unchanged
from chalicelib.core.deposit.events.claim import (
    ClaimAccepted,
    ClaimAnsweredLate,
    ClaimDismissed,
    ClaimEscalated,
    ClaimEvidenceAdded,
    ClaimGranted,
    ClaimOffered,
    ClaimOpened,
    ClaimPartlyUpheld,
    ClaimRejected,
    ClaimReminded,
    ClaimReversed,
    ClaimStep,
    ClaimUpheld,
    ClaimWithdrawn,
)
from chalicelib.core.deposit.events.goods import Units
from chalicelib.core.deposit.ledger import Account, Posting, RefundAmounts, move, no_postings
from chalicelib.core.deposit.rows import with_row
from chalicelib.core.policy.claim_rules import ClaimRules, claim_rules

if TYPE_CHECKING:
    from chalicelib.core.deposit.deposit import Deposit


class ClaimStatus(StrEnum):
    """Where a claim stands."""

    AWAITING_MERCHANT = "awaiting_merchant"
    OFFERED = "offered"
    IN_REVIEW = "in_review"
    ACCEPTED = "accepted"
    UPHELD = "upheld"
    PARTLY = "partly"
    DISMISSED = "dismissed"
    WITHDRAWN = "withdrawn"
    GRANTED_BY_DEADLINE = "granted_by_deadline"


_S = ClaimStatus
OPEN: Final = frozenset({_S.AWAITING_MERCHANT, _S.OFFERED, _S.IN_REVIEW})
# An answer that came too late is told in every status that the clock may have decided by then.
TRANSITIONS: Final[Mapping[tuple[ClaimStatus, type[ClaimStep]], ClaimStatus]] = MappingProxyType(
    {
        (_S.AWAITING_MERCHANT, ClaimReminded): _S.AWAITING_MERCHANT,
        (_S.AWAITING_MERCHANT, ClaimEvidenceAdded): _S.AWAITING_MERCHANT,
        (_S.AWAITING_MERCHANT, ClaimOffered): _S.OFFERED,
        (_S.AWAITING_MERCHANT, ClaimRejected): _S.IN_REVIEW,
        (_S.AWAITING_MERCHANT, ClaimAccepted): _S.ACCEPTED,
        (_S.AWAITING_MERCHANT, ClaimWithdrawn): _S.WITHDRAWN,
        (_S.AWAITING_MERCHANT, ClaimAnsweredLate): _S.AWAITING_MERCHANT,
        (_S.AWAITING_MERCHANT, ClaimGranted): _S.GRANTED_BY_DEADLINE,
        (_S.OFFERED, ClaimReminded): _S.OFFERED,
        (_S.OFFERED, ClaimEvidenceAdded): _S.OFFERED,
        (_S.OFFERED, ClaimOffered): _S.OFFERED,
        (_S.OFFERED, ClaimAccepted): _S.ACCEPTED,
        (_S.OFFERED, ClaimEscalated): _S.IN_REVIEW,
        (_S.OFFERED, ClaimWithdrawn): _S.WITHDRAWN,
        (_S.IN_REVIEW, ClaimReminded): _S.IN_REVIEW,
        (_S.IN_REVIEW, ClaimEvidenceAdded): _S.IN_REVIEW,
        (_S.IN_REVIEW, ClaimUpheld): _S.UPHELD,
        (_S.IN_REVIEW, ClaimPartlyUpheld): _S.PARTLY,
        (_S.IN_REVIEW, ClaimDismissed): _S.DISMISSED,
        (_S.IN_REVIEW, ClaimWithdrawn): _S.WITHDRAWN,
        (_S.IN_REVIEW, ClaimAnsweredLate): _S.IN_REVIEW,
        (_S.IN_REVIEW, ClaimGranted): _S.GRANTED_BY_DEADLINE,
        (_S.GRANTED_BY_DEADLINE, ClaimAnsweredLate): _S.GRANTED_BY_DEADLINE,
    }
)
Payer = ClaimAccepted | ClaimUpheld | ClaimPartlyUpheld | ClaimGranted


class Claim(Struct, frozen=True):
    """``due_at`` is when silence decides; ``remind_at`` are the notices still to be given. ``refunds`` pay it.

    ``lines`` is what is still in question: units whose money went back with the end of the deposit are not.
    """

    n: int
    opened: ClaimOpened
    status: ClaimStatus
    changed_at: int
    due_at: int | None
    remind_at: tuple[int, ...]
    lines: tuple[Units, ...] = ()
    offers: tuple[ClaimOffered, ...] = ()
    evidence: int = 0
    late: int = 0
    paid: Money | None = None
    refunds: tuple[int, ...] = ()

    @property
    def rules(self) -> ClaimRules:
        """The figures in force when it was opened: its sides have relied on them since."""
        return claim_rules(self.opened.at)

    @property
    def owed(self) -> Money:
        """As it was computed when the claim was opened."""
        return self.opened.owed

    @property
    def offered(self) -> Money | None:
        """The latest offer."""
        return self.offers[-1].amount if self.offers else None

    @property
    def open(self) -> bool:
        """Whether it is undecided by what is written."""
        return self.status in OPEN

    @property
    def in_question(self) -> Money:
        """The money that must not move otherwise while the claim is open."""
        return max(self.owed, self.offered) if self.offered is not None else self.owed

    @property
    def review_due_at(self) -> int | None:
        """When the platform's silence would decide after the buyer's."""
        if self.due_at is None or self.status is not _S.OFFERED:
            return self.due_at
        return self.due_at + instants.duration_ms(self.opened.decide_within)

    def status_at(self, at: int) -> ClaimStatus:
        """By the clock: the same before and after it was written down."""
        if self.due_at is None or self.review_due_at is None or at < self.due_at:
            return self.status
        if at < self.review_due_at:
            return _S.IN_REVIEW
        return _S.GRANTED_BY_DEADLINE

    def due_at_by(self, at: int) -> int | None:
        """When silence decides next, by the clock; None once it is decided."""
        if self.status_at(at) not in OPEN:
            return None
        return self.due_at if self.due_at is None or at < self.due_at else self.review_due_at


def begin(event: ClaimOpened) -> Claim:
    """A privacy claim has no merchant to wait for."""
    status = _S.IN_REVIEW if event.kind == "privacy" else _S.AWAITING_MERCHANT
    waits = Claim(event.claim, event, status, event.at, event.due_at, event.remind_at, event.lines)
    return replace(waits, evidence=len(event.evidence))


def step(one: Claim, event: ClaimStep) -> Claim:
    """The claim after the event; KeyError when the table has no such step."""
    after = replace(one, status=TRANSITIONS[one.status, type(event)])
    match event:
        case ClaimReminded():
            return replace(after, remind_at=tuple(at for at in one.remind_at if at > event.at))
        case ClaimAnsweredLate():
            return replace(after, late=one.late + 1)
        case ClaimEvidenceAdded():
            return replace(after, changed_at=event.at, evidence=one.evidence + len(event.evidence))
        case ClaimOffered():
            waits = replace(after, changed_at=event.at, due_at=event.due_at, remind_at=event.remind_at)
            return replace(waits, offers=(*one.offers, event))
        case ClaimRejected() | ClaimEscalated():
            return replace(after, changed_at=event.at, due_at=event.due_at, remind_at=event.remind_at)
        case ClaimAccepted() | ClaimUpheld() | ClaimPartlyUpheld() | ClaimGranted():
            return replace(_closed(after, event.at), paid=event.amount, refunds=event.refunds)
        case ClaimDismissed() | ClaimWithdrawn():
            return _closed(after, event.at)


def _closed(one: Claim, at: int) -> Claim:
    return replace(one, changed_at=at, due_at=None, remind_at=())


def reminders(rules: ClaimRules, at: int, due_at: int) -> tuple[int, ...]:
    """The notices before a due time, as far as they lie ahead; earliest first."""
    before = {due_at - instants.duration_ms(distance) for distance in rules.remind_before}
    return tuple(sorted(instant for instant in before if instant > at))


def deadlines(one: Claim) -> Iterator[ClaimReminded | ClaimEscalated]:
    """What the clock will say of it, but for what silence pays: that is ``remedy.granted``."""
    if one.due_at is None:
        return
    yield from (ClaimReminded(at, one.n, one.due_at) for at in one.remind_at)
    if one.status is _S.OFFERED:
        yield escalated(one, one.due_at, "silence")


def escalated(one: Claim, at: int, by: str) -> ClaimEscalated:
    """To the platform, by the buyer's word or by the buyer's silence."""
    due_at = at + instants.duration_ms(one.opened.decide_within)
    return ClaimEscalated(at, one.n, by, due_at, reminders(one.rules, at, due_at))


def open_claim(deposit: "Deposit", event: ClaimOpened) -> "Deposit":
    return replace(deposit, claims=(*deposit.claims, begin(event)))


def step_claim(deposit: "Deposit", event: ClaimStep) -> "Deposit":
    stepped = step(deposit.claims[event.claim - 1], event)
    return replace(deposit, claims=with_row(deposit.claims, stepped))


def settle_claim(deposit: "Deposit", event: ClaimAccepted | ClaimUpheld | ClaimGranted) -> "Deposit":
    """The claim is paid whole, so its units are settled: those not sent yet will not be sent.

    A ruling for a part is only ``step_claim``: the goods may still be sent.
    """
    deposit = step_claim(deposit, event)
    claim = deposit.claims[event.claim - 1]
    if claim.opened.kind == "merchant_cancellation":
        return replace(deposit, limit_units=0)  # the buyer was not at fault after all
    progress = list(deposit.progress)
    for units in claim.lines:
        quantity, before = deposit.lines[units.line - 1].quantity, progress[units.line - 1]
        progress[units.line - 1] = before.paid_back(min(units.quantity, before.claimable(quantity)), quantity)
    return replace(deposit, progress=tuple(progress))


def held_again(event: ClaimReversed, _refunds: RefundAmounts) -> Iterator[Posting]:
    yield from move(Account.FORFEITED, Account.HELD, event.forfeited)
    yield from move(Account.FEES, Account.HELD, event.fees)


EVENTS: Final[Rows] = (
    EventRow(ClaimOpened, ANY_STATUS, open_claim, no_postings),
    EventRow(ClaimEvidenceAdded, ANY_STATUS, step_claim, no_postings),
    EventRow(ClaimOffered, ANY_STATUS, step_claim, no_postings),
    EventRow(ClaimRejected, ANY_STATUS, step_claim, no_postings),
    EventRow(ClaimEscalated, ANY_STATUS, step_claim, no_postings),
    EventRow(ClaimAccepted, ANY_STATUS, settle_claim, no_postings),
    EventRow(ClaimUpheld, ANY_STATUS, settle_claim, no_postings),
    EventRow(ClaimPartlyUpheld, ANY_STATUS, step_claim, no_postings),
    EventRow(ClaimDismissed, ANY_STATUS, step_claim, no_postings),
    EventRow(ClaimWithdrawn, ANY_STATUS, step_claim, no_postings),
    EventRow(ClaimGranted, ANY_STATUS, settle_claim, no_postings),
    EventRow(ClaimAnsweredLate, ANY_STATUS, step_claim, no_postings),
    EventRow(ClaimReminded, ANY_STATUS, step_claim, no_postings),
    EventRow(ClaimReversed, ANY_STATUS, unchanged, held_again),
)
