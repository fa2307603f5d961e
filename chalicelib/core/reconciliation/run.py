"""Reconciliation runs and their breaks: events, records, and the rules to start a run and to resolve a break."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.common.instants import DAY, Instant
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.reconciliation.tally import Tally

MAX_SPAN_MS: Final = 366 * DAY
MAX_AGE_MS: Final = 2 * MAX_SPAN_MS  # of the begin of a span, as every movement since then is read
# The daily run covers a week, longer than any route takes to report an execution, so that no movement is missed.
DAILY_SPAN_MS: Final = 7 * DAY
# A run not finished after this time has failed. The next daily run covers the same days.
RUN_TIMEOUT_MS: Final = DAY


class RunStatus(StrEnum):
    """The status of a run."""

    RUNNING = "running"
    BALANCED = "balanced"
    BREAKS_OPEN = "breaks_open"
    FAILED = "failed"


class RunStarted(Struct, frozen=True):
    """A run over the half-open span [``start``, ``end``). ``at`` decides what is in transit or overdue."""

    TYPE: ClassVar[str] = "run.started"
    at: Instant
    start: Instant
    end: Instant


class Total(Struct, frozen=True):
    """Control totals of one currency: captures and returns less refunds and payouts."""

    ours: Money
    provider: Money

    @property
    def difference(self) -> Money:
        return self.ours - self.provider


class RunFinished(Struct, frozen=True):
    """The result of a run. ``digest`` is over every verdict, so two runs over the same lines have the same digest.

    ``unreadable``: how many of ``breaks`` are deposits that could not be read or compared. The other counts are of lines.
    """

    TYPE: ClassVar[str] = "run.finished"
    at: Instant
    ours: int
    provider: int
    matched: int
    repaired: int
    in_transit: int
    breaks: int
    balanced: bool
    digest: str
    totals: tuple[Total, ...] = ()
    unreadable: int = 0


class RunFailed(Struct, frozen=True):
    """The report could not be read completely. ``why``: ``report_unavailable`` (for a day) or ``report_unreadable``."""

    TYPE: ClassVar[str] = "run.failed"
    at: Instant
    why: str


RunEvent = RunStarted | RunFinished | RunFailed

_S = RunStatus
TRANSITIONS: Final[Mapping[tuple[RunStatus, type[RunEvent]], frozenset[RunStatus]]] = MappingProxyType(
    {
        (_S.RUNNING, RunFinished): frozenset({_S.BALANCED, _S.BREAKS_OPEN}),
        (_S.RUNNING, RunFailed): frozenset({_S.FAILED}),
    }
)


class Run(Struct, frozen=True):
    """A reconciliation run. ``finished`` and ``failure`` are None while it runs. Built only by ``fold_run``."""

    id: str
    started: RunStarted
    updated_at: Instant
    status: RunStatus = RunStatus.RUNNING
    version: int = 1
    finished: RunFinished | None = None
    failure: str | None = None


def fold_run(run_id: str, events: Iterable[RunEvent]) -> Run:
    """The run of a journal. ValueError when it is empty or does not begin with ``RunStarted``."""
    run: Run | None = None
    for event in events:
        if run is not None:
            run = evolve_run(run, event)
        elif isinstance(event, RunStarted):
            run = Run(run_id, event, event.at)
        else:
            raise ValueError("a run begins with its start")
    if run is None:
        raise ValueError("an empty journal is no run")
    return run


def evolve_run(run: Run, event: RunEvent) -> Run:
    """The run after the event; KeyError when the table has no such step."""
    statuses = TRANSITIONS[run.status, type(event)]
    status = RunStatus.FAILED
    if isinstance(event, RunFinished):
        status = RunStatus.BALANCED if event.balanced else RunStatus.BREAKS_OPEN
    assert status in statuses, event
    after = replace(run, status=status, version=run.version + 1, updated_at=event.at)
    if isinstance(event, RunFinished):
        return replace(after, finished=event)
    return replace(after, failure=event.why if isinstance(event, RunFailed) else None)


def start_run(at: int, begin: int, end: int) -> RunStarted:
    """Start a run. Refused INVALID_REQUEST for spans that are empty, too long, too old, or not over yet."""
    if end <= begin:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/to", "not_later")])
    if end > at:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/to", "after_now")])
    if end - begin > MAX_SPAN_MS or at - begin > MAX_AGE_MS:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/from", "too_far")])
    return RunStarted(at, begin, end)


def finish_run(at: int, tally: Tally) -> RunFinished:
    """The result of a run from its tally."""
    totals = tuple(
        Total(Money(ours, currency), Money(theirs, currency))
        for currency, (ours, theirs) in sorted(tally.totals.items())
    )
    return RunFinished(
        at=at,
        ours=tally.ours,
        provider=tally.provider,
        matched=tally.matched,
        repaired=tally.repaired,
        in_transit=tally.in_transit,
        breaks=tally.breaks,
        balanced=tally.balanced,
        digest=f"sha256:{tally.digest}",
        totals=totals,
        unreadable=tally.unreadable,
    )


Action = Literal["accept_provider", "retry", "write_off"]


class BreakFound(Struct, frozen=True):
    """The ``n``-th break of a run. ``ours`` and ``provider`` are the amounts of each side, None where it has no line.

    ``deposit``, ``payment``, ``refund`` and ``provider_ref`` are None where the line names none.
    """

    TYPE: ClassVar[str] = "break.found"
    at: Instant
    run: str
    kind: str
    n: int
    deposit: str | None = None
    payment: str | None = None
    refund: str | None = None
    provider_ref: str | None = None
    ours: Money | None = None
    provider: Money | None = None


class BreakResolved(Struct, frozen=True):
    """A person resolved the break. ``note`` is the digest of a text that is stored encrypted elsewhere."""

    TYPE: ClassVar[str] = "break.resolved"
    at: Instant
    action: str
    note: str | None = None


BreakEvent = BreakFound | BreakResolved


class Break(Struct, frozen=True):
    """A break. ``resolved`` is None while it is open."""

    id: str
    found: BreakFound
    version: int = 1
    resolved: BreakResolved | None = None


def fold_break(break_id: str, events: Iterable[BreakEvent]) -> Break:
    """The break of a journal. ValueError unless it is ``BreakFound``, then at most one ``BreakResolved``."""
    row: Break | None = None
    for event in events:
        if row is None and isinstance(event, BreakFound):
            row = Break(break_id, event)
        elif row is not None and row.resolved is None and isinstance(event, BreakResolved):
            row = replace(row, version=row.version + 1, resolved=event)
        else:
            raise ValueError("a break is found, then resolved once")
    if row is None:
        raise ValueError("an empty journal is no break")
    return row


def resolve_break(row: Break, action: Action, note: str | None, at: int) -> BreakResolved:
    """Resolve a break. Refused WRONG_STATE when it is resolved, INVALID_REQUEST for ``retry`` without a refund."""
    if row.resolved is not None:
        raise Refused(Reason.WRONG_STATE, state="resolved")
    if action == "retry" and row.found.refund is None:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/action", "nothing_to_retry")])
    return BreakResolved(at, action, note)
