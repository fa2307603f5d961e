"""Many deposits of an offer cancelled at once by the merchant: one reason, one evidence, and a second person where they are many.

How many one person may cancel alone stands in policies/reasons, by date. Every deposit is judged by itself.
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
    """What became of one deposit; ``reason`` is the problem's name where it was skipped."""

    deposit: str
    outcome: str
    reason: str | None = None


class BulkAsked(Struct, frozen=True):
    """Somebody of the merchant asked for it. ``approve_until`` where a second person must agree first."""

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
    """Another person of the merchant agreed."""

    TYPE: ClassVar[str] = "bulk_cancellation.approved"
    at: Instant
    by: str


class BulkWorked(Struct, frozen=True):
    """Some more deposits were judged."""

    TYPE: ClassVar[str] = "bulk_cancellation.worked"
    at: Instant
    results: tuple[Result, ...]


class BulkLapsed(Struct, frozen=True):
    """Nobody agreed in time: nothing was cancelled. The clock alone decides it."""

    TYPE: ClassVar[str] = "bulk_cancellation.lapsed"
    at: Instant


BulkEvent = BulkAsked | BulkApproved | BulkWorked | BulkLapsed


class BulkStatus(StrEnum):
    """Where it stands."""

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
    """The fold of its journal."""

    id: str
    asked: BulkAsked
    status: BulkStatus
    version: int
    updated_at: Instant
    approver: str | None = None
    results: tuple[Result, ...] = ()

    @property
    def left(self) -> tuple[str, ...]:
        """Which deposits are still to be judged, in the order in which they were named."""
        return self.asked.deposits[len(self.results) :]

    @property
    def due(self) -> int | None:
        """When somebody must look at it again."""
        if self.status is BulkStatus.AWAITING_APPROVAL:
            return self.asked.approve_until
        return self.updated_at if self.status is BulkStatus.RUNNING else None

    @property
    def command(self) -> MerchantCancel:
        """What is asked of each deposit."""
        asked = self.asked
        return MerchantCancel(asked.reason, asked.evidence, asked.note, asked.note_length, self.approver)

    def told(self, outcome: str) -> int:
        """How many deposits had this outcome so far."""
        return sum(one.outcome == outcome for one in self.results)


def fold(bulk_id: str, events: Iterable[BulkEvent]) -> Bulk:
    """What its journal tells. ValueError when it does not begin with ``BulkAsked``."""
    bulk: Bulk | None = None
    for event in events:
        if bulk is not None:
            bulk = evolve(bulk, event)
        elif isinstance(event, BulkAsked):
            begins = BulkStatus.RUNNING if event.approve_until is None else BulkStatus.AWAITING_APPROVAL
            bulk = Bulk(bulk_id, event, begins, 1, event.at)
        else:
            raise ValueError("a journal begins with its creation")
    if bulk is None:
        raise ValueError("an empty journal is no bulk cancellation")
    return bulk


def evolve(bulk: Bulk, event: BulkEvent) -> Bulk:
    """After the event; KeyError when the table has no such step."""
    statuses = TRANSITIONS[bulk.status, type(event)]
    after = replace(bulk, status=statuses[0], version=bulk.version + 1, updated_at=event.at)
    match event:
        case BulkApproved():
            return replace(after, approver=event.by)
        case BulkWorked():
            worked = replace(after, results=(*bulk.results, *event.results))
            return worked if worked.left else replace(worked, status=BulkStatus.DONE)
        case BulkLapsed():
            given_up = (Result(one, SKIPPED, Reason.APPROVAL_REQUIRED.value) for one in bulk.left)
            return replace(after, results=(*bulk.results, *given_up))
        case BulkAsked():
            raise KeyError(event)


def catch_up(bulk: Bulk, at: int) -> Bulk:
    """As a reader sees it, whether a job wrote its lapse down or not."""
    event = find_lapse(bulk, at)
    return evolve(bulk, event) if event is not None else bulk


def find_lapse(bulk: Bulk, at: int) -> BulkLapsed | None:
    """Its end, when nobody agreed by then."""
    until = bulk.asked.approve_until
    waits = bulk.status is BulkStatus.AWAITING_APPROVAL and until is not None and at >= until
    return BulkLapsed(until) if waits and until is not None else None


def refuse_bulk_fields(deposits: Sequence[str], command: MerchantCancel, terms: Terms, at: int) -> None:
    """What is wrong with it whatever the deposits are."""
    if len(deposits) > cancellation_reasons.find_catalogue(at).bulk.most_deposits:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/deposits", "too_many")])
    first = {one: n for n, one in reversed(list(enumerate(deposits)))}
    faults = [FieldError(f"/deposits/{n}", "duplicate") for n, one in enumerate(deposits) if first[one] != n]
    if faults:
        raise Refused(Reason.INVALID_REQUEST, faults)
    cancellation.refuse_evidence(command, at)
    if command.reason not in terms.cancellation_reasons or command.reason not in cancellation_reasons.find_reasons(at):
        raise Refused(Reason.REASON_NOT_PUBLISHED, code=command.reason)


def compute_min_live_deposits(deposits: int, at: int) -> int | None:
    """How many deposits of an offer must be live for so many to need no second person; None when none would do."""
    rule = cancellation_reasons.find_catalogue(at).bulk
    if deposits > rule.most_alone:
        return None
    return 0 if deposits <= rule.always_alone else -(-deposits * PERCENT // rule.most_alone_percent)


def compute_approve_until(at: int) -> int:
    return at + instants.duration_ms(cancellation_reasons.find_catalogue(at).bulk.approve_within)


def approve_bulk(bulk: Bulk, by: str, at: int) -> BulkApproved:
    """Another person, while it waits."""
    if by == bulk.asked.by:
        raise Refused(Reason.APPROVAL_REQUIRED, code=bulk.asked.reason)
    if bulk.status is not BulkStatus.AWAITING_APPROVAL:
        raise Refused(Reason.WRONG_STATE, state=bulk.status.value)
    return BulkApproved(at, by)
