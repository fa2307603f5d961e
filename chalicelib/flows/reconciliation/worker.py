"""Process runs, slice by slice: compare shard by shard, then check every refund that is still owed.

Each slice writes its cursor with the breaks it found in one write; the next worker goes on from there, and a slice that is
done twice changes nothing. A lease keeps other workers away and is renewed by time. A deposit that cannot be read or judged
is a break of its own and stops neither its run nor any other.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from msgspec import Struct

from chalicelib.core.common.ids import is_well_formed
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.reconciliation import lines, matching, run
from chalicelib.core.reconciliation.lines import SHARDS, Line
from chalicelib.core.reconciliation.run import Run, RunFailed, RunStatus
from chalicelib.core.reconciliation.tally import Tally
from chalicelib.flows.images import fold_stored
from chalicelib.flows.ports.provider import Settlement, Unknown
from chalicelib.flows.ports.store import (
    DUE_SHARDS,
    Clock,
    Deposits,
    Leased,
    Pace,
    RunAt,
    Runs,
    VersionConflict,
    WriteContention,
)
from chalicelib.flows.reconciliation.matching import Matcher
from chalicelib.flows.reconciliation.slices import Slice

log = logging.getLogger("earnest.reconcile")

CHUNK_LINES: Final = 2_000  # lines between two checkpoints
MAX_OPEN_BREAKS: Final = 40  # that wait for a checkpoint
LEASE_MS: Final = 120_000  # how long a worker that died keeps others away
RENEW_AFTER: Final = LEASE_MS // 3  # much shorter: a query of the provider may come in between
REPORT_PAGE: Final = 100  # lines that one call of the provider gives
MAX_RUNS: Final = 20  # that one call of ``work`` processes
TimeLeft = Callable[[], int]

# Raised by a fault in one deposit's data, or by a rule that does not know it. What the table or the network raises would
# meet every deposit: then the run waits.
ITEM_FAULTS: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError, Refused)


class Unreadable(Exception):
    """The report cannot be parsed. A part of it is not used."""


class Worked(NamedTuple):
    """Runs that were finished, whether none is left, and runs that raised what nobody expected."""

    finished: int
    all_done: bool
    failed: int


class RunWorker(Struct, frozen=True):
    """Processes the runs that are not finished."""

    runs: Runs
    deposits: Deposits
    settlement: Settlement
    matcher: Matcher
    clock: Clock
    pace: Pace

    def work(self, owner: str, time_left: TimeLeft, reserve: int) -> Worked:
        """Continue every unfinished run from its cursor, the least recently processed first, while there is time.

        A run that fails does not stop the others.
        """
        finished, left, failed = 0, 0, 0
        for n, run_id in enumerate(self.runs.unfinished(self.clock(), MAX_RUNS)):
            if n and time_left() < reserve:
                left += 1
                break
            done = False
            try:
                done = self._work_one(run_id, owner, lambda: time_left() < reserve)
            except (
                Leased,
                WriteContention,
                VersionConflict,
                Refused,
            ):  # another worker, or a provider or table that is busy
                pass
            except Exception:
                failed += 1
                log.exception("run failed", extra={"run": run_id})
            finished += done
            left += not done
        return Worked(finished, not left, failed)

    def _work_one(self, run_id: str, owner: str, is_over: Callable[[], bool]) -> bool:
        try:
            return self._slice(run_id, owner, is_over)
        except Unreadable:
            return self._fail(run_id, "report_unreadable")

    def _slice(self, run_id: str, owner: str, is_over: Callable[[], bool]) -> bool:
        """Whether the run is finished. Leased when another worker has it, Refused(BUSY) when the provider does not answer."""
        at = load(self.runs, run_id)
        reconciliation_run = fold_run(at)
        if reconciliation_run.status is not RunStatus.RUNNING:
            return True
        if self.clock() - reconciliation_run.started.at > run.RUN_TIMEOUT_MS:
            return self._fail(run_id, "report_unavailable")
        cursor = at.cursor or {"shard": 0, "after": "", "tally": Tally().to_json()}
        part = Slice(reconciliation_run, at, owner, cursor["shard"], cursor["after"], Tally.from_json(cursor["tally"]))
        self._checkpoint(part)  # takes the lease
        while part.shard < SHARDS + DUE_SHARDS:
            process = self._compare_shard if part.shard < SHARDS else self._check_owed
            if not process(part, is_over):
                return False
            part.shard, part.after = part.shard + 1, ""
            over = is_over()
            self._checkpoint(part, last=over)
            if over:
                return False
        self.runs.finish(part.at, reconciliation_run, run.finish_run(self.clock(), part.tally), self.clock())
        return True

    def _fail(self, run_id: str, why: str) -> bool:
        """End the run without a certificate. True: it is finished."""
        at, now = load(self.runs, run_id), self.clock()
        self.runs.finish(at, fold_run(at), RunFailed(now, why), now)
        return True

    # The report against our movements.

    def _compare_shard(self, part: Slice, is_over: Callable[[], bool]) -> bool:
        """Join one shard from its cursor on. False when the time is over; the cursor is saved then."""
        span = part.run.started
        ours = self.deposits.moved(span.start, span.end, part.shard, part.after, self.clock())
        group = ""
        for mine, other in matching.pair_lines(ours, self._report(part)):
            line = other if mine is None else mine
            assert line is not None, "a pair has a side"
            here = lines.find_group(line.place)
            if here != group:
                self._close(part)
                if group and self._save_if_due(part, group, is_over):
                    return False
                group = here
            part.lines += 1
            self._judge(part, mine, other)
        self._close(part)
        return True

    def _report(self, part: Slice) -> Iterator[Line]:
        """The provider's lines of the shard, page by page."""
        span = part.run.started
        after = lines.find_group_end(part.after)
        while True:
            self.pace()
            try:
                page = self.settlement.page(span.start, span.end, part.shard, after, REPORT_PAGE)
            except ValueError as fault:
                log.exception("the settlement report cannot be read", extra={"run": part.run.id})
                raise Unreadable from fault
            if isinstance(page, Unknown):
                raise Refused(Reason.BUSY, retry_after=1)
            yield from page.lines
            if page.after is None:
                return
            after = page.after

    def _judge(self, part: Slice, mine: Line | None, other: Line | None) -> None:
        """A line whose deposit cannot be read or judged is a break, and the next line is judged."""
        if self.clock() - part.leased_at >= RENEW_AFTER:
            self._renew(part)
        known = len(part.verdicts)
        try:
            self.matcher.judge(part, mine, other)
        except ITEM_FAULTS as fault:
            line = other if other is not None else mine
            assert line is not None, "a pair has a side"
            self._isolate(part, f"dep_{line.body}", fault)
            del part.verdicts[known:]
            part.differ("unreadable", mine, other)

    def _close(self, part: Slice) -> None:
        """At the end of a deposit: lines that a repair has added and the report does not have are missing there."""
        while part.learned:
            learned, part.learned = part.learned, {}
            for line in learned.values():
                self._judge(part, line, None)
        part.count()

    # Refunds that are still owed.

    def _check_owed(self, part: Slice, is_over: Callable[[], bool]) -> bool:
        """Refunds that broke their promise or made no progress are breaks too: they are in no report.

        Deposits are taken in the order of their ids: their due times change while we read.
        """
        for deposit_id in self.deposits.owing(part.shard - SHARDS):
            if deposit_id <= part.after:
                continue
            self._note_overdue(part, deposit_id)
            if self._save_if_due(part, deposit_id, is_over):
                return False
        return True

    def _note_overdue(self, part: Slice, deposit_id: str) -> None:
        try:
            stored = self.deposits.get(deposit_id)
            deposit = fold_stored(stored) if stored is not None else None
            refunds = deposit.refunds if deposit is not None else ()
            overdue = [
                (kind, row.n) for row in refunds if (kind := matching.classify_overdue(row, part.run.started.at))
            ]
        except ITEM_FAULTS as fault:
            self._isolate(part, deposit_id, fault)
            part.note_unreadable(deposit_id)
            return
        for kind, n in overdue:
            assert deposit is not None, "its refunds were read"
            part.note_refund(kind, deposit, n)

    # What a slice leaves.

    def _isolate(self, part: Slice, deposit_id: str, fault: Exception) -> None:
        """Log the fault. Refused(BUSY) is no fault of the deposit and is raised again."""
        if isinstance(fault, Refused) and fault.reason is Reason.BUSY:
            raise fault
        context = {"run": part.run.id, "deposit": deposit_id}
        log.error("deposit unreadable", exc_info=fault, extra=context)

    def _save_if_due(self, part: Slice, after: str, is_over: Callable[[], bool]) -> bool:
        """Between two deposits: a checkpoint when enough was found, the lease grows old, or the time is over (True)."""
        over = is_over()
        old = self.clock() - part.leased_at >= RENEW_AFTER
        if over or old or part.lines >= CHUNK_LINES or len(part.breaks) >= MAX_OPEN_BREAKS:
            part.after = after
            self._checkpoint(part, last=over)
        return over

    def _checkpoint(self, part: Slice, *, last: bool = False) -> None:
        """The last one of a slice returns the lease: the next worker need not wait for its end."""
        now = self.clock()
        until = now if last else now + LEASE_MS
        part.at = self.runs.checkpoint(part.at, part.cursor(), part.breaks, part.owner, now, until)
        part.breaks, part.lines, part.leased_at = [], 0, now

    def _renew(self, part: Slice) -> None:
        """Renew the lease alone, in the middle of a deposit: a checkpoint stands between two deposits."""
        now = self.clock()
        part.at = self.runs.checkpoint(part.at, None, (), part.owner, now, now + LEASE_MS)
        part.leased_at = now


def percent_done(shards: int) -> int:
    """By shards: first those of the report, then those of owed refunds."""
    return shards * 100 // (SHARDS + DUE_SHARDS + 1)


def load(runs: Runs, run_id: str) -> RunAt:
    """Refused(NOT_FOUND) also for what cannot be an id."""
    run_at = runs.get(run_id) if is_well_formed("rec", run_id) else None
    if run_at is None:
        raise Refused(Reason.NOT_FOUND)
    return run_at


def fold_run(at: RunAt) -> Run:
    return run.fold_run(at.stored.id, (entry.event for entry in at.stored.journal))
