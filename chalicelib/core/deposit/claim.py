"""Claims of a deposit: the record, its transition table, and how events change it.

When the merchant or the platform does not answer in time, the claim is granted; it is never decided against the buyer.
Claims stand in the journal of their deposit. Their events hold every duration, so a journal is folded without its terms.
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
from chalicelib.core.policy.claim_rules import ClaimRules, find_claim_rules

if TYPE_CHECKING:
    from chalicelib.core.deposit.deposit import Deposit


class ClaimStatus(StrEnum):
    """The status of a claim."""

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
# A late answer is recorded in each status that a missed deadline may have led to.
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
    """A buyer's claim on a deposit. ``n`` numbers the claims of a deposit from 1.

    ``due_at``: deadline of the present status, None once decided. ``remind_at``: reminders not written yet. ``lines``: the
    claimed units, without those whose money went back when the deposit ended. ``paid``: the amount decided, None before
    that and where nothing is paid. ``refunds``: the numbers of the refunds that pay it.
    """

    n: int
    opened: ClaimOpened
    status: ClaimStatus
    changed_at: int
    due_at: int | None
    remind_at: tuple[int, ...]
    lines: tuple[Units, ...] = ()
    offers: tuple[ClaimOffered, ...] = ()
    evidence_count: int = 0
    late_answers: int = 0
    paid: Money | None = None
    refunds: tuple[int, ...] = ()

    @property
    def rules(self) -> ClaimRules:
        """The claim rules in force when the claim was opened."""
        return find_claim_rules(self.opened.at)

    @property
    def owed(self) -> Money:
        """The amount owed by the rules, as computed when the claim was opened."""
        return self.opened.owed

    @property
    def latest_offer(self) -> Money | None:
        """The amount of the merchant's latest offer; None without an offer."""
        return self.offers[-1].amount if self.offers else None

    @property
    def open(self) -> bool:
        """Whether the journal holds no decision yet. ``status_at`` also counts missed deadlines."""
        return self.status in OPEN

    @property
    def amount_in_question(self) -> Money:
        """The amount that other refunds must leave while the claim is open: what is owed, or a higher offer."""
        return max(self.owed, self.latest_offer) if self.latest_offer is not None else self.owed

    @property
    def review_due_at(self) -> int | None:
        """The platform's deadline. While an offer stands, it counts from the end of the offer."""
        if self.due_at is None or self.status is not _S.OFFERED:
            return self.due_at
        return self.due_at + instants.duration_ms(self.opened.decide_within)

    def status_at(self, at: int) -> ClaimStatus:
        """The status at an instant, missed deadlines included, whether their events are written or not."""
        if self.due_at is None or self.review_due_at is None or at < self.due_at:
            return self.status
        if at < self.review_due_at:
            return _S.IN_REVIEW
        return _S.GRANTED_BY_DEADLINE

    def find_due_at(self, at: int) -> int | None:
        """The deadline in force at an instant; None once the claim is decided."""
        if self.status_at(at) not in OPEN:
            return None
        return self.due_at if self.due_at is None or at < self.due_at else self.review_due_at


def begin_claim(event: ClaimOpened) -> Claim:
    """A new claim. A privacy claim goes to the platform at once; the others wait for the merchant."""
    status = _S.IN_REVIEW if event.kind == "privacy" else _S.AWAITING_MERCHANT
    opened = Claim(event.claim, event, status, event.at, event.due_at, event.remind_at, event.lines)
    return replace(opened, evidence_count=len(event.evidence))


def evolve_claim(claim: Claim, event: ClaimStep) -> Claim:
    """The claim after the event; KeyError when the table has no such step."""
    after = replace(claim, status=TRANSITIONS[claim.status, type(event)])
    match event:
        case ClaimReminded():
            return replace(after, remind_at=tuple(at for at in claim.remind_at if at > event.at))
        case ClaimAnsweredLate():
            return replace(after, late_answers=claim.late_answers + 1)
        case ClaimEvidenceAdded():
            return replace(after, changed_at=event.at, evidence_count=claim.evidence_count + len(event.evidence))
        case ClaimOffered():
            offered = replace(after, changed_at=event.at, due_at=event.due_at, remind_at=event.remind_at)
            return replace(offered, offers=(*claim.offers, event))
        case ClaimRejected() | ClaimEscalated():
            return replace(after, changed_at=event.at, due_at=event.due_at, remind_at=event.remind_at)
        case ClaimAccepted() | ClaimUpheld() | ClaimPartlyUpheld() | ClaimGranted():
            return replace(_close(after, event.at), paid=event.amount, refunds=event.refunds)
        case ClaimDismissed() | ClaimWithdrawn():
            return _close(after, event.at)


def _close(claim: Claim, at: int) -> Claim:
    return replace(claim, changed_at=at, due_at=None, remind_at=())


def open_claim(deposit: "Deposit", event: ClaimOpened) -> "Deposit":
    return replace(deposit, claims=(*deposit.claims, begin_claim(event)))


def step_claim(deposit: "Deposit", event: ClaimStep) -> "Deposit":
    stepped = evolve_claim(deposit.claims[event.claim - 1], event)
    return replace(deposit, claims=with_row(deposit.claims, stepped))


def settle_claim(deposit: "Deposit", event: ClaimAccepted | ClaimUpheld | ClaimGranted) -> "Deposit":
    """The claim is paid in full, so its unshipped units will not be shipped.

    A partial ruling takes ``step_claim`` instead: its goods may still be shipped.
    """
    deposit = step_claim(deposit, event)
    claim = deposit.claims[event.claim - 1]
    if claim.opened.kind == "merchant_cancellation":
        return replace(deposit, limit_units=0)  # the cancellation was wrong, so the buyer's limit is free again
    progress = list(deposit.progress)
    for units in claim.lines:
        quantity, before = deposit.lines[units.line - 1].quantity, progress[units.line - 1]
        progress[units.line - 1] = before.pay_back(min(units.quantity, before.count_claimable(quantity)), quantity)
    return replace(deposit, progress=tuple(progress))


def post_reversal(event: ClaimReversed, _refunds: RefundAmounts) -> Iterator[Posting]:
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
    EventRow(ClaimReversed, ANY_STATUS, unchanged, post_reversal),
)
