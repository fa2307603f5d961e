"""Reconciliation over a whole history, twice: the breaks are those injected into the report, and overdue refunds.

The expectation comes from the provider's books and from the flaws that the report was given, never from the code that
compares. The second run is killed at any I/O, its answers are lost, and two workers are at it; it must leave the same
certificate and the same breaks as the first.
"""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from chalicelib.core.common.ids import child, digest_id
from chalicelib.core.common.instants import DAY, HOUR, MINUTE, format_instant
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.refund import RefundStatus
from chalicelib.core.reconciliation.lines import UNATTRIBUTED, Line
from chalicelib.core.reconciliation.run import BreakEvent, BreakFound, RunEvent, RunFinished
from chalicelib.store.journals import Journals
from chalicelib.store.runs import BREAK_KINDS, RUN_KINDS
from tests.simulator.expressions import Item
from tests.simulator.provider import LATEST, SETTLES, SimulatedProvider
from tests.simulator.tokens import token

if TYPE_CHECKING:
    from tests.simulator.history import History

RUNS: Final = "/v1/reconciliation-runs"
SIGNS: Final = {"c": 1, "r": -1, "x": 1}
WITH_THE_BUYER: Final = frozenset({RefundStatus.SUCCEEDED, RefundStatus.SETTLED})
# Percent, at each trip of the second run: it dies some two or three times.
DISTURBED: Final = {
    "process.crash_before_io": 2,
    "process.crash_after_io": 4,
    "store.cursor_answer_lost": 8,
    "store.internal_error_after": 1,
    "report.unavailable": 2,
    "job.twice": 30,
}
MAX_SLICES: Final = 60
LONG: Final = 20 * DAY  # what began longer ago takes more trips: there each of them is disturbed more seldom
SKEWED: Final = 10_000
BREAKS: Final[Journals[BreakEvent]] = Journals(None, "", BREAK_KINDS)
EVENTS: Final[Journals[RunEvent]] = Journals(None, "", RUN_KINDS)
BreakSubject = tuple[str, str]  # what kind of break, and the reference that it is about


@dataclass(frozen=True, slots=True)
class Certificate:
    """How a run ended, and its breaks in their order."""

    began_at: int
    finished: RunFinished
    breaks: tuple[BreakSubject, ...]

    def same(self) -> RunFinished:
        """Without what may differ: when it ended, and which of the two runs made a repair."""
        one = self.finished
        return replace(one, at=0, matched=one.matched + one.repaired, repaired=0)


class Audit:
    """Runs when nothing is due any more and faults are off."""

    def __init__(self, history: "History") -> None:
        self._history = history
        self._violated = history.invariants.violated
        self._provider = history.provider

    def starts_at(self) -> int:
        """The instant at which every line is in the report and every promised date is past."""
        newest = max((line.at for line in self._provider.moved()), default=0)
        promised = [
            refund.promised_by for state in self._history.invariants.states.values() for refund in state.open_refunds
        ]
        return max(newest + LATEST + HOUR, max(promised, default=0) + HOUR)

    def check(self) -> None:
        newest = max((line.at for line in self._provider.moved()), default=0)
        if not newest:
            return
        start = self._history.plan.start
        span = start - start % DAY, newest + 1
        first = self._certificate("audit-1", span)
        if first is None:
            return
        self._check_breaks(first, span)
        faults = self._history.faults
        self._history.faults.off = False
        seldom = max(1, (self._history.scheduler.now - span[0]) // LONG)
        disturbed = {name: rate / (1 if name == "job.twice" else seldom) for name, rate in DISTURBED.items()}
        faults.rates, rates = {**dict.fromkeys(faults.rates, 0), **disturbed}, faults.rates
        second = self._certificate("audit-2", span)
        faults.rates, faults.off = rates, True
        if second is not None and (second.same(), second.breaks) != (first.same(), first.breaks):
            self._violated("books", f"two runs over the same facts: {first} and {second}")

    def _certificate(self, key: str, span: tuple[int, int]) -> Certificate | None:
        """A run over the span, slice by slice, to its end."""
        history, run_id = self._history, ""
        for _ in range(MAX_SLICES):
            if not run_id:
                run_id = self._start_run(key, span)
            else:
                twice = history.faults.strikes("job.twice", Random(f"{history.plan.seed}/{history.scheduler.now}"))
                for twin in range(1 + twice):
                    history.start_job("reconcile", f"{key}-{history.scheduler.now}-{twin}")
                history.scheduler.drain()
            item = history.engine.items.get(run_id)
            journal = EVENTS.read(item).journal if item is not None else ()
            if journal and isinstance(ended := journal[-1].event, RunFinished):
                return Certificate(journal[0].event.at, ended, self._breaks(run_id))
            history.scheduler.drain(history.scheduler.now + MINUTE)
        self._violated("books", f"{key} {run_id} came to no end")
        return None

    def _start_run(self, key: str, span: tuple[int, int]) -> str:
        history = self._history
        body = {"from": format_instant(span[0]), "to": format_instant(span[1])}
        replies: list[Any] = []
        ask = partial(history.ask, "POST", RUNS, token("platform", "desk"), body, key=key)
        history.spawn(key, lambda: replies.append(ask()))
        history.scheduler.drain()
        return str(replies[0].json["id"]) if replies and replies[0] is not None and replies[0].status == 202 else ""

    def _breaks(self, run_id: str) -> tuple[BreakSubject, ...]:
        found: list[BreakSubject] = []
        while (item := self._history.engine.items.get(digest_id("brk", run_id, str(len(found) + 1)))) is not None:
            found.append(_told(_found(item)))
        return tuple(found)

    def _check_breaks(self, first: Certificate, span: tuple[int, int]) -> None:
        states = self._history.invariants.states
        ours = {(line.place, line.ref) for state in states.values() for line in _movements(state)}
        reported = list(self._provider.reported(*span))
        wanted: Counter[BreakSubject] = Counter()
        for line in self._provider.moved():
            flaw, _ = self._provider.flaw_of(line)
            known = (line.place, line.ref) in ours
            if flaw == "report.line_missing" and known:
                wanted["missing_at_provider", line.ref] += 1
            elif flaw != "report.line_missing" and not known:
                self._violated("P7", f"{line} was reported and is not known here")
            elif flaw in {"report.wrong_amount", "report.line_twice"}:
                wanted["amount_mismatch" if flaw == "report.wrong_amount" else "duplicate", line.ref] += 1
        for line in reported:
            if line.place.startswith(UNATTRIBUTED):
                wanted["unknown_here", line.ref] += 1
        for pk, state in states.items():
            for refund in state.refunds:
                if refund.status not in WITH_THE_BUYER and refund.promised_by <= first.began_at:
                    wanted["promise_missed", child("ref", pk, refund.n)] += 1
        if Counter(first.breaks) != wanted:
            self._violated("books", f"broken are {sorted(first.breaks)}, injected and owed {sorted(wanted.elements())}")
        if first.finished.balanced == bool(wanted):
            self._violated("books", f"{first.finished} with breaks {sorted(wanted.elements())}")
        self._check_totals(first.finished, [line for state in states.values() for line in _movements(state)], reported)

    def _check_totals(self, finished: RunFinished, ours: list[Line], reported: list[Line]) -> None:
        if (finished.ours, finished.provider) != (len(ours), len(reported)):
            self._violated("books", f"{finished} counts other lines than {len(ours)} and {len(reported)}")
        mine, theirs = _sums(ours), _sums(reported)
        told = {total.ours.currency: (total.ours.minor, total.provider.minor) for total in finished.totals}
        if told != {currency: (mine[currency], theirs[currency]) for currency in {*mine, *theirs}}:
            self._violated("books", f"{told} instead of {mine} and {theirs}")


def explained(item: Item, provider: SimulatedProvider) -> str | None:
    """What is wrong with a break that was just written: a line that nothing was done to. None when all is well."""
    one = _found(item)
    if one.kind in {"promise_missed", "stale"}:
        return None
    lines = [line for line in provider.moved() if line.ref == one.provider_ref]
    flaws = {provider.flaw_of(line)[0] for line in lines}
    reasons = {
        "missing_at_provider": {"report.line_missing", "report.line_late"},
        "amount_mismatch": {"report.wrong_amount"},
        "duplicate": {"report.line_twice"},
    }
    if one.kind == "unknown_here" and str(one.provider_ref).startswith("hand-"):
        return None
    if flaws & reasons.get(one.kind, set()):
        return None
    young = any(one.at - line.at < SETTLES + SKEWED for line in lines)
    if one.kind == "missing_at_provider" and young:
        return None  # by a clock that is ahead
    return f"{one} of {lines}"


def _found(item: Item) -> BreakFound:
    first = BREAKS.read(item).journal[0].event
    assert isinstance(first, BreakFound), first
    return first


def _told(one: BreakFound) -> BreakSubject:
    """Lines are named by the provider, what is in no report by us."""
    return one.kind, one.provider_ref or one.refund or ""


def _movements(state: Deposit) -> list[Line]:
    """What moved, by a deposit's own word."""
    body = state.id.partition("_")[2]
    found = [
        Line(
            f"{body}c{capture.payment:04d}", capture.capture, capture.amount.minor, capture.amount.currency, capture.at
        )
        for capture in state.captures
    ]
    for refund in state.refunds:
        money = refund.amount
        for move in refund.movements:
            place = f"{body}{'r' if move.kind == 'refund' else 'x'}{refund.n:04d}"
            found.append(Line(place, move.ref, money.minor, money.currency, move.at))
    return found


def _sums(lines: list[Line]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for line in lines:
        sums[line.currency] += SIGNS[line.kind] * line.minor
    return sums
