"""A reconciliation run and the breaks it found: their events, their states, and what a person decides about a break."""

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
MAX_AGE_MS: Final = 2 * MAX_SPAN_MS  # whatever moved since the span begins is read: a bound for it
# The daily run looks at a week: longer than any route takes to show what it executed, so nothing in transit is forgotten.
DAILY_SPAN_MS: Final = 7 * DAY
# A run that could not be finished for so long has failed; the next daily run looks at the same days again.
RUN_TIMEOUT_MS: Final = DAY


class RunStatus(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    BALANCED = "balanced"
    BREAKS_OPEN = "breaks_open"
    FAILED = "failed"


class RunStarted(Struct, frozen=True):
    """Somebody, or the schedule, wants a half-open span compared. What is young or overdue is judged at ``at``."""

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
    """The certificate. ``digest`` chains every verdict, so two runs over the same lines have the same one.

    ``unreadable`` says how many of the breaks are of deposits that could not be read or judged.
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
    """The report could not be read to its end: ``report_unavailable`` for a day, or ``report_unreadable``."""

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
    """Built only by ``evolve``."""

    id: str
    started: RunStarted
    updated_at: Instant
    status: RunStatus = RunStatus.RUNNING
    version: int = 1
    finished: RunFinished | None = None
    failure: str | None = None


def fold_run(run_id: str, events: Iterable[RunEvent]) -> Run:
    """The run that a journal tells. ValueError when it does not begin with ``RunStarted``."""
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
    """Refuses spans that are empty, too long, long past, or not over yet: their lines are still being made."""
    if end <= begin:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/to", "not_later")])
    if end > at:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/to", "after_now")])
    if end - begin > MAX_SPAN_MS or at - begin > MAX_AGE_MS:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/from", "too_far")])
    return RunStarted(at, begin, end)


def finish_run(at: int, tally: Tally) -> RunFinished:
    """The certificate of what was counted."""
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
    """The ``n``-th difference of its run that could not be repaired; ``ours`` and ``provider`` are what each side has."""

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
    """A person dealt with it; ``note`` is the digest of what they wrote, encrypted elsewhere."""

    TYPE: ClassVar[str] = "break.resolved"
    at: Instant
    action: str
    note: str | None = None


BreakEvent = BreakFound | BreakResolved


class Break(Struct, frozen=True):
    """A difference and what became of it."""

    id: str
    found: BreakFound
    version: int = 1
    resolved: BreakResolved | None = None


def fold_break(break_id: str, events: Iterable[BreakEvent]) -> Break:
    """The break that a journal tells. ValueError for events in another order."""
    told: Break | None = None
    for event in events:
        if told is None and isinstance(event, BreakFound):
            told = Break(break_id, event)
        elif told is not None and told.resolved is None and isinstance(event, BreakResolved):
            told = replace(told, version=told.version + 1, resolved=event)
        else:
            raise ValueError("a break is found, then resolved once")
    if told is None:
        raise ValueError("an empty journal is no break")
    return told


def resolve_break(one: Break, action: Action, note: str | None, at: int) -> BreakResolved:
    """Once; ``retry`` needs a refund that can be sent again."""
    if one.resolved is not None:
        raise Refused(Reason.WRONG_STATE, state="resolved")
    if action == "retry" and one.found.refund is None:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/action", "nothing_to_retry")])
    return BreakResolved(at, action, note)
