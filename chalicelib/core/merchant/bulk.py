"""A merchant cancels many deposits of an offer at once, with one reason and one set of evidence.

Above a number of deposits a second person must approve; policies/reasons gives the number by date. Each deposit is judged by
itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar, Final

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.common import instants
from chalicelib.core.common.instants import Instant
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.merchant import cancellation
from chalicelib.core.merchant.cancellation import MerchantCancel
from chalicelib.core.policy import cancellation_reasons
from chalicelib.core.policy.terms import Terms

CANCELLED: Final = "cancelled"
SKIPPED: Final = "skipped"
PERCENT: Final = 100


class Result(Struct, frozen=True):
    """The outcome for one deposit; ``reason`` is the problem's name where it was skipped."""

    deposit: str
    outcome: str
    reason: str | None = None


class BulkAsked(Struct, frozen=True):
    """A person of the merchant asked for it. ``approve_until`` is set where a second person must approve."""

    TYPE: ClassVar[str] = "bulk_cancellation.asked"
    at: Instant
    offer: str
    merchant: str
    by: str
    deposits: tuple[str, ...]
    reason: str
    evidence: tuple[str, ...]
    note: str | None = None
    note_length: int = 0
    approve_until: Instant | None = None


class BulkApproved(Struct, frozen=True):
    """Another person of the merchant approved."""

    TYPE: ClassVar[str] = "bulk_cancellation.approved"
    at: Instant
    by: str


class BulkWorked(Struct, frozen=True):
    """Further deposits were judged."""

    TYPE: ClassVar[str] = "bulk_cancellation.worked"
    at: Instant
    results: tuple[Result, ...]


class BulkLapsed(Struct, frozen=True):
    """Nobody approved in time: nothing was cancelled. The clock alone decides it."""

    TYPE: ClassVar[str] = "bulk_cancellation.lapsed"
    at: Instant


BulkEvent = BulkAsked | BulkApproved | BulkWorked | BulkLapsed


class BulkStatus(StrEnum):
    """The status of a bulk cancellation."""

    AWAITING_APPROVAL = "awaiting_approval"
    RUNNING = "running"
    DONE = "done"


_S = BulkStatus
TRANSITIONS: Final[Mapping[tuple[BulkStatus, type[BulkEvent]], tuple[BulkStatus, ...]]] = MappingProxyType(
    {
        (_S.AWAITING_APPROVAL, BulkApproved): (_S.RUNNING,),
        (_S.AWAITING_APPROVAL, BulkLapsed): (_S.DONE,),
        (_S.RUNNING, BulkWorked): (_S.RUNNING, _S.DONE),
    }
)


class Bulk(Struct, frozen=True):
    """A bulk cancellation, as its journal folds to."""

    id: str
    asked: BulkAsked
    status: BulkStatus
    version: int
    updated_at: Instant
    approver: str | None = None
    results: tuple[Result, ...] = ()

    @property
    def left(self) -> tuple[str, ...]:
        """The deposits still to be judged, in the order in which they were named."""
        return self.asked.deposits[len(self.results) :]

    @property
    def due(self) -> int | None:
        """The instant at which a worker must process it next; None when it is done."""
        if self.status is BulkStatus.AWAITING_APPROVAL:
            return self.asked.approve_until
        return self.updated_at if self.status is BulkStatus.RUNNING else None

    @property
    def command(self) -> MerchantCancel:
        """The command that each deposit gets."""
        asked = self.asked
        return MerchantCancel(asked.reason, asked.evidence, asked.note, asked.note_length, self.approver)

    def count_outcomes(self, outcome: str) -> int:
        """How many deposits had this outcome so far."""
        return sum(result.outcome == outcome for result in self.results)


def fold(bulk_id: str, events: Iterable[BulkEvent]) -> Bulk:
    """The bulk cancellation that a journal gives. ValueError when it does not begin with ``BulkAsked``."""
    bulk: Bulk | None = None
    for event in events:
        if bulk is not None:
            bulk = evolve(bulk, event)
        elif isinstance(event, BulkAsked):
            status = BulkStatus.RUNNING if event.approve_until is None else BulkStatus.AWAITING_APPROVAL
            bulk = Bulk(bulk_id, event, status, 1, event.at)
        else:
            raise ValueError("a journal begins with its creation")
    if bulk is None:
        raise ValueError("an empty journal is no bulk cancellation")
    return bulk


def evolve(bulk: Bulk, event: BulkEvent) -> Bulk:
    """The bulk cancellation after the event; KeyError when the table has no such step."""
    statuses = TRANSITIONS[bulk.status, type(event)]
    after = replace(bulk, status=statuses[0], version=bulk.version + 1, updated_at=event.at)
    match event:
        case BulkApproved():
            return replace(after, approver=event.by)
        case BulkWorked():
            worked = replace(after, results=(*bulk.results, *event.results))
            return worked if worked.left else replace(worked, status=BulkStatus.DONE)
        case BulkLapsed():
            skipped = (Result(deposit, SKIPPED, Reason.APPROVAL_REQUIRED.value) for deposit in bulk.left)
            return replace(after, results=(*bulk.results, *skipped))
        case BulkAsked():
            raise KeyError(event)


def catch_up(bulk: Bulk, at: int) -> Bulk:
    """With its lapse at ``at``, whether a job has written it or not."""
    event = find_lapse(bulk, at)
    return evolve(bulk, event) if event is not None else bulk


def find_lapse(bulk: Bulk, at: int) -> BulkLapsed | None:
    """The lapse, where nobody has approved it by ``at``; else None."""
    until = bulk.asked.approve_until
    waits = bulk.status is BulkStatus.AWAITING_APPROVAL and until is not None and at >= until
    return BulkLapsed(until) if waits and until is not None else None


def refuse_bulk_fields(deposits: Sequence[str], command: MerchantCancel, terms: Terms, at: int) -> None:
    """Raises Refused for faults that do not depend on the deposits' states."""
    if len(deposits) > cancellation_reasons.find_catalogue(at).bulk.most_deposits:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/deposits", "too_many")])
    first = {deposit: n for n, deposit in reversed(list(enumerate(deposits)))}
    faults = [FieldError(f"/deposits/{n}", "duplicate") for n, deposit in enumerate(deposits) if first[deposit] != n]
    if faults:
        raise Refused(Reason.INVALID_REQUEST, faults)
    cancellation.refuse_evidence(command, at)
    if command.reason not in terms.cancellation_reasons or command.reason not in cancellation_reasons.find_reasons(at):
        raise Refused(Reason.REASON_NOT_PUBLISHED, code=command.reason)


def compute_min_live_deposits(deposits: int, at: int) -> int | None:
    """How many live deposits an offer must have for ``deposits`` to need no second person; None where they always need one."""
    rule = cancellation_reasons.find_catalogue(at).bulk
    if deposits > rule.most_alone:
        return None
    return 0 if deposits <= rule.always_alone else -(-deposits * PERCENT // rule.most_alone_percent)


def compute_approve_until(at: int) -> int:
    """Until when a second person may approve what was asked at ``at``."""
    return at + instants.duration_ms(cancellation_reasons.find_catalogue(at).bulk.approve_within)


def approve_bulk(bulk: Bulk, by: str, at: int) -> BulkApproved:
    """The approval. APPROVAL_REQUIRED for the person who asked, WRONG_STATE unless it awaits approval."""
    if by == bulk.asked.by:
        raise Refused(Reason.APPROVAL_REQUIRED, code=bulk.asked.reason)
    if bulk.status is not BulkStatus.AWAITING_APPROVAL:
        raise Refused(Reason.WRONG_STATE, state=bulk.status.value)
    return BulkApproved(at, by)
