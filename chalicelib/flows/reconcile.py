"""Compare our movements with the provider's report, repair what can be repaired, and certify the rest.

A run is cut into slices: each leaves a cursor, with the breaks it found, in one write, so that whoever comes next goes on
from there and a slice that is done twice changes nothing.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any, Final, Literal, Protocol

from chalicelib.core.common.ids import child, digest_id, well_formed
from chalicelib.core.common.instants import DAY
from chalicelib.core.common.journal import Caller, Entry, RequestContext, version_of
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.payment import PaymentSeen
from chalicelib.core.deposit.refund import RefundSeen, RefundStatus
from chalicelib.core.reconciliation import lines as movement_lines
from chalicelib.core.reconciliation import matching, run
from chalicelib.core.reconciliation.lines import SHARDS, BreakKind, Line
from chalicelib.core.reconciliation.run import Action, Break, BreakEvent, BreakFound, Run, RunFailed, RunStatus
from chalicelib.core.reconciliation.tally import Tally
from chalicelib.flows.commit import Commits, refuse_expired_request
from chalicelib.flows.deposit_worker import DepositWorker
from chalicelib.flows.effects import fold_stored
from chalicelib.flows.ports.effects import SealedText, Stored
from chalicelib.flows.ports.provider import NotFound, Settlement, Unknown
from chalicelib.flows.ports.store import (
    DUE_SHARDS,
    Clock,
    Leased,
    RunAt,
    Runs,
    SpanTaken,
    VersionConflict,
    WriteContention,
)
from chalicelib.flows.refunds import Refunds
from chalicelib.flows.retry import ConflictRetry

log = logging.getLogger("earnest.reconcile")

CHUNK_LINES: Final = 2_000  # lines between two checkpoints
MAX_OPEN_BREAKS: Final = 40  # that wait for a checkpoint
LEASE_MS: Final = 120_000  # longer than the lines of one chunk may take
REPORT_PAGE: Final = 100  # lines that one call of the provider gives
TimeLeft = Callable[[], int]


class Unreadable(Exception):
    """The report is not what it should be: half of it would be worse than none."""


class Pace(Protocol):
    """Called before every call of the provider: waits until the next one is allowed."""

    def __call__(self) -> None: ...


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as an answer shows it: its state, what is counted so far, and the request it answers."""

    run: Run
    tally: Tally
    locale: str
    replayed: bool = False
    shards: int = 0

    @property
    def percent(self) -> int:
        """How much is done, by shards: first the report, then what is still owed."""
        return 100 if self.run.finished is not None else self.shards * 100 // (SHARDS + DUE_SHARDS + 1)


MATCHED: Final = "matched"
REPAIRED: Final = "repaired"
WAITS: Final = "in_transit"
# Place and reference of a line, what is to be said of it, and its two sides.
Verdict = tuple[str, str, BreakKind | Literal["matched", "repaired", "in_transit"], Line | None, Line | None]
PLACE: Final = itemgetter(0, 1)


@dataclass(slots=True)
class Slice:
    """One worker's share of a run: where it stands, what it has counted, the breaks that are not written yet."""

    run: Run
    at: RunAt
    owner: str
    shard: int
    after: str
    tally: Tally
    breaks: list[BreakFound] = field(default_factory=list)
    last: tuple[str, str] = ("", "")
    verdicts: list[Verdict] = field(default_factory=list)
    learned: dict[tuple[str, str], Line] = field(default_factory=dict)

    def learn(self, before: Deposit | None, after: Deposit | None) -> None:
        """Our lines of the span that a repair has brought to light, besides the one that was asked about."""
        span, known = self.run.started, {line[:2] for line in _lines(before)}
        for line in _lines(after):
            if line[:2] not in known and span.start <= line.at < span.end:
                self.learned[line.place, line.ref] = line

    def cursor(self) -> dict[str, Any]:
        return {"shard": self.shard, "after": self.after, "tally": self.tally.plain()}


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Starts runs, works them off, and answers for them."""

    commits: Commits
    runs: Runs
    settlement: Settlement
    attendant: DepositWorker
    refunds: Refunds
    clock: Clock
    pace: Pace

    def start(self, begin: int, end: int, asked: RequestContext) -> RunView:
        """A run of its own for each key; 409 while another one compares the same span."""
        run_id = digest_id("rec", asked.caller.role, asked.caller.id, asked.key_text)
        made = run.start(asked.at, begin, end)
        started = run.fold(run_id, [made])
        race = ConflictRetry(self.commits.timing)
        while True:
            refuse_expired_request(self.commits.timing, asked)
            try:
                self.runs.create(started, Entry(made, asked.at, asked.caller, asked.key, asked.locale))
            except VersionConflict as ours:
                return self._replayed(ours.stored, asked)
            except SpanTaken as taken:
                known = self.runs.get(run_id)
                if known is not None:
                    return self._replayed(known.stored, asked)
                raise Refused(Reason.WRONG_STATE, state=RunStatus.RUNNING.value, run=taken.run) from None
            except WriteContention:
                race.wait()
            else:
                return RunView(started, Tally(), asked.locale)

    def find(self, run_id: str, locale: str) -> RunView:
        return self._shown(self._load(run_id), locale)

    def listed(
        self, limit: int, position: Mapping[str, object] | None, locale: str
    ) -> tuple[list[RunView], Mapping[str, object] | None]:
        page = self.runs.listed(limit, position)
        return [self._shown(self._load(stored.id), locale) for stored in page.rows], page.position

    def breaks(
        self, run_id: str, limit: int, position: Mapping[str, object] | None
    ) -> tuple[list[Break], Mapping[str, object] | None]:
        """Those that the run has counted: a slice that died may have left others behind."""
        shown = self.find(run_id, "")
        counted = shown.run.finished.breaks if shown.run.finished is not None else shown.tally.breaks
        page = self.runs.breaks(run_id, limit, position)
        found = [fold_break(stored) for stored in page.rows]
        return [one for one in found if one.found.n <= counted], page.position

    def work(self, owner: str, time_left: TimeLeft, reserve: int) -> tuple[int, bool]:
        """Go on with every unfinished run from its cursor. How many were finished, and whether none is left."""
        finished, left = 0, False
        for run_id in self.runs.unfinished(self.clock(), 20):
            try:
                done = self._slice(run_id, owner, lambda: time_left() < reserve)
            except Unreadable:
                done = self._failed(run_id, "report_unreadable")
            except (
                Leased,
                WriteContention,
                VersionConflict,
                Refused,
            ):  # another worker, or a provider or table that is busy
                done = False
            finished += done
            left = left or not done
        return finished, not left

    def daily(self) -> bool:
        """Start the daily run when the last one is a day old; whether it was started."""
        end = self.clock() - self.clock() % DAY
        asked = RequestContext(
            self.clock(), Caller("earnest", "service"), self.commits.timing.now(), key_text=f"daily/{end}"
        )
        run_id = digest_id("rec", asked.caller.role, asked.caller.id, asked.key_text)
        if self.runs.get(run_id) is not None:
            return False
        try:
            self.start(end - run.DAILY_SPAN_MS, end, asked)
        except Refused as refused:
            if refused.reason is not Reason.WRONG_STATE:
                raise
            return False
        return True

    def find_break(self, break_id: str) -> Stored[BreakEvent]:
        stored = self.runs.get_break(break_id) if well_formed("brk", break_id) else None
        if stored is None:
            raise Refused(Reason.NOT_FOUND)
        return stored

    def note_of(self, one: Break) -> str | None:
        """What a person wrote when they resolved it."""
        if one.resolved is None or one.resolved.note is None:
            return None
        payees, key = self.refunds.payees, note_key(one.id)
        sealed = payees.texts.get(key)
        return payees.vault.unseal(key, sealed).decode() if sealed is not None else None

    def resolve(self, break_id: str, action: Action, note: str | None, asked: RequestContext) -> tuple[Break, bool]:
        """A person's decision, and whether it is a replay.

        What it asks of the provider is done first: a break is resolved once that was possible.
        """
        stored = self.find_break(break_id)
        version = version_of(stored.journal, asked.key)
        if version is not None:
            if stored.journal[version - 1].key != asked.key:
                raise Refused(Reason.IDEMPOTENCY_KEY_REUSED)
            return fold_break(stored), True
        one = fold_break(stored)
        payees = self.refunds.payees
        event = run.resolve(
            one, action, payees.vault.fingerprint(note.encode()) if note is not None else None, asked.at
        )
        self._act(one.found, action, replace(asked, if_match=None))
        refuse_expired_request(self.commits.timing, asked)
        key = note_key(break_id)
        kept = SealedText(key, payees.vault.seal(key, note.encode())) if note is not None else None
        try:
            self.runs.resolve(stored, Entry(event, asked.at, asked.caller, asked.key, asked.locale), kept)
        except WriteContention:
            raise Refused(Reason.BUSY, retry_after=1) from None
        except VersionConflict as faster:
            if version_of(faster.stored.journal, asked.key) is None:
                raise Refused(Reason.WRONG_STATE, state="resolved") from None
        return replace(one, version=one.version + 1, resolved=event), False

    def _act(self, found: BreakFound, action: Action, asked: RequestContext) -> None:
        """``accept_provider`` takes over what the provider says now; ``retry`` sends a refund anew under a new key."""
        owner = f"{asked.caller.role}/{found.run}"
        if action == "accept_provider" and found.deposit is not None:
            stored = self.commits.deposits.get(found.deposit)
            if stored is not None:
                self._settle_as_seen(fold_stored(stored), found.payment, found.refund, owner)
        if action == "retry" and found.refund is not None:
            self.refunds.retry(found.refund, asked)

    def _slice(self, run_id: str, owner: str, late: Callable[[], bool]) -> bool:
        """Whether the run is finished. Leased when another worker has it, Refused(BUSY) when the provider says nothing."""
        at = self._load(run_id)
        told = fold_run(at)
        if told.status is not RunStatus.RUNNING:
            return True
        if self.clock() - told.started.at > run.RUN_TIMEOUT_MS:
            return self._failed(run_id, "report_unavailable")
        cursor = at.cursor or {"shard": 0, "after": "", "tally": Tally().plain()}
        part = Slice(told, at, owner, cursor["shard"], cursor["after"], Tally.of(cursor["tally"]))
        self._checkpoint(part)  # takes the lease
        while part.shard < SHARDS + DUE_SHARDS:
            walk = self._shard if part.shard < SHARDS else self._still_owed
            if not walk(part, late):
                return False
            part.shard, part.after = part.shard + 1, ""
            self._checkpoint(part)
            if late():
                return False
        self.runs.finish(part.at, told, run.finish(self.clock(), part.tally), self.clock())
        return True

    def _failed(self, run_id: str, why: str) -> bool:
        """It is over without a certificate."""
        at, now = self._load(run_id), self.clock()
        self.runs.finish(at, fold_run(at), RunFailed(now, why), now)
        return True

    def _shard(self, part: Slice, late: Callable[[], bool]) -> bool:
        """Join one shard from where it was left; False when the time is over, and the cursor then stands saved."""
        span = part.run.started
        ours = self.commits.deposits.moved(span.start, span.end, part.shard, part.after, self.clock())
        group, lines = "", 0
        for mine, other in matching.join(ours, self._report(part)):
            line = other if mine is None else mine
            assert line is not None, "a pair has a side"
            here = movement_lines.group(line.place)
            if here != group:
                self._close(part)
                if lines >= CHUNK_LINES or len(part.breaks) >= MAX_OPEN_BREAKS:
                    part.after, lines = group, 0
                    self._checkpoint(part)
                    if late():
                        return False
                group = here
            lines += 1
            self._judge(part, mine, other)
        self._close(part)
        return True

    def _close(self, part: Slice) -> None:
        """A group is over: what a repair has taught us and the report does not have is missing there.

        Verdicts are told in the order of their lines, whenever they were known, so that the next run tells the same.
        """
        while part.learned:
            learned, part.learned = part.learned, {}
            for line in learned.values():
                self._missing(part, line)
        if len(part.verdicts) > 1:
            part.verdicts.sort(key=PLACE)
        for _, _, kind, mine, other in part.verdicts:
            if kind == MATCHED or kind == REPAIRED:  # noqa: SIM109, PLR1714 - the types are told apart by it
                assert other is not None, "what fits has two sides"
                part.tally.match(other, repaired=kind == REPAIRED)
            elif kind == WAITS:
                assert mine is not None, "what waits is ours"
                part.tally.wait(mine)
            else:
                self._told_apart(part, kind, mine, other)
        part.verdicts.clear()

    def _report(self, part: Slice) -> Iterator[Line]:
        """The provider's lines of the shard, page by page."""
        span = part.run.started
        after = movement_lines.behind(part.after)
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
        if other is None:
            assert mine is not None, "a pair has a side"
            self._missing(part, mine)
        elif mine is None:
            self._strange(part, other)
        else:
            self._meet(part, mine, other)

    def _meet(self, part: Slice, mine: Line, other: Line, *, repaired: bool = False) -> None:
        """Both sides have it; a refund that was not seen in a report before is settled by this line."""
        part.last = (other.place, other.ref)
        if mine.minor != other.minor or mine.currency != other.currency:
            self._differ(part, "amount_mismatch", mine, other)
            return
        if part.learned:
            part.learned.pop(mine[:2], None)
        part.verdicts.append((other.place, other.ref, REPAIRED if repaired else MATCHED, mine, other))
        if not mine.settled:
            self._settled(mine, other, part.owner)

    def _missing(self, part: Slice, mine: Line) -> None:
        """Ours alone: too young, executed in another span by the provider's clock, or missing."""
        if matching.in_transit(mine, part.run.started.at, self.settlement.settle_days):
            part.verdicts.append((mine.place, mine.ref, WAITS, mine, None))
        elif not self._executed_outside(part, mine):
            self._differ(part, "missing_at_provider", mine, None)

    def _strange(self, part: Slice, other: Line) -> None:
        """Theirs alone: told twice, not yet shown by our index, or not known to us until now."""
        if (other.place, other.ref) == part.last:
            self._differ(part, "duplicate", None, other)
            return
        deposit = self._deposit(other)
        mine = _known(deposit, other)
        if mine is not None:
            self._meet(part, mine, other)
            return
        known, deposit = deposit, self._repaired(deposit, other, part.owner)
        part.learn(known, deposit)
        mine = _known(deposit, other)
        if mine is not None:
            self._meet(part, mine, other, repaired=True)
        else:
            self._differ(part, matching.classify_unmatched(deposit, other), None, other)

    def _repaired(self, deposit: Deposit | None, line: Line, owner: str) -> Deposit | None:
        """The deposit after the provider was asked about the line and its word was settled."""
        rows = () if deposit is None else deposit.payments if line.kind == "c" else deposit.refunds
        if deposit is None or line.n > len(rows):
            return deposit
        payment, refund = (line.reference, None) if line.kind == "c" else (None, line.reference)
        return self._settle_as_seen(deposit, payment, refund, owner)

    def _settle_as_seen(self, deposit: Deposit, payment: str | None, refund: str | None, owner: str) -> Deposit:
        self.pace()
        seen: PaymentSeen | RefundSeen | NotFound = NotFound()
        if payment is not None:
            seen = self.attendant.seen_payment(payment)
        elif refund is not None:
            seen = self.attendant.seen_refund(deposit, int(refund.rpartition("_")[2]))
        if isinstance(seen, NotFound):
            return deposit
        return self.attendant.settle(deposit.id, seen, owner).deposit

    def _settled(self, mine: Line, other: Line, owner: str) -> None:
        """The report is the provider's last word on a refund that succeeded."""
        stored = self.commits.load(f"dep_{mine.body}")
        refund = fold_stored(stored).refunds[mine.n - 1]
        if refund.status is RefundStatus.SUCCEEDED:
            seen = RefundSeen(refund.n, "succeeded", other.money, other.ref, other.at, settled=True, way=refund.way)
            self.attendant.settle(stored.id, seen, owner, stored)

    def _executed_outside(self, part: Slice, mine: Line) -> bool:
        """Whether the provider executed it at an instant of another span: then it belongs to that one's report."""
        deposit, span = self._deposit(mine), part.run.started
        if deposit is None:
            return False
        self.pace()
        asked = self.attendant.seen_payment(mine.reference) if mine.kind == "c" else None
        seen = asked if asked is not None else self.attendant.seen_refund(deposit, mine.n)
        if isinstance(seen, NotFound):
            return False
        part.learn(deposit, self.attendant.settle(deposit.id, seen, part.owner).deposit)  # whatever else it says
        at = _executed_at(mine, seen)
        return at is not None and not span.start <= at < span.end

    def _still_owed(self, part: Slice, late: Callable[[], bool]) -> bool:
        """Refunds that broke their promise or stand still are breaks too, though no report can show them.

        Deposits go by their ids: their due times move while we read.
        """
        for deposit_id in self.commits.deposits.owing(part.shard - SHARDS):
            if deposit_id <= part.after:
                continue
            stored = self.commits.deposits.get(deposit_id)
            deposit = fold_stored(stored) if stored is not None else None
            for refund in deposit.refunds if deposit is not None else ():
                kind = matching.overdue(refund, part.run.started.at)
                if kind is not None and deposit is not None:
                    self._overdue(part, kind, deposit, refund.n)
            if len(part.breaks) >= MAX_OPEN_BREAKS:
                part.after = deposit_id
                self._checkpoint(part)
                if late():
                    return False
        return True

    def _overdue(self, part: Slice, kind: BreakKind, deposit: Deposit, n: int) -> None:
        refund_id = child("ref", deposit.id, n)
        part.tally.note(kind, refund_id)
        found = BreakFound(
            part.run.started.at,
            part.run.id,
            kind,
            n=part.tally.breaks,
            deposit=deposit.id,
            refund=refund_id,
            ours=deposit.refunds[n - 1].amount,
        )
        part.breaks.append(found)

    def _differ(self, part: Slice, kind: BreakKind, mine: Line | None, other: Line | None) -> None:
        line = other if other is not None else mine
        assert line is not None, "a difference has a side"
        part.learned.pop(line[:2], None)
        part.verdicts.append((line.place, line.ref, kind, mine, other))

    def _told_apart(self, part: Slice, kind: BreakKind, mine: Line | None, other: Line | None) -> None:
        part.tally.differ(kind, mine, other)
        line = other if other is not None else mine
        assert line is not None, "a difference has a side"
        reference = line.reference
        found = BreakFound(
            at=part.run.started.at,
            run=part.run.id,
            kind=kind,
            n=part.tally.breaks,
            deposit=f"dep_{line.body}" if reference else None,
            payment=reference if line.kind == "c" and reference else None,
            refund=reference if line.kind != "c" and reference else None,
            provider_ref=line.ref,
            ours=mine.money if mine is not None else None,
            provider=other.money if other is not None else None,
        )
        part.breaks.append(found)

    def _checkpoint(self, part: Slice) -> None:
        now = self.clock()
        part.at = self.runs.checkpoint(part.at, part.cursor(), part.breaks, part.owner, now, now + LEASE_MS)
        part.breaks = []

    def _deposit(self, line: Line) -> Deposit | None:
        stored = self.commits.deposits.get(f"dep_{line.body}") if line.reference else None
        return fold_stored(stored) if stored is not None else None

    def _load(self, run_id: str) -> RunAt:
        found = self.runs.get(run_id) if well_formed("rec", run_id) else None
        if found is None:
            raise Refused(Reason.NOT_FOUND)
        return found

    def _shown(self, at: RunAt, locale: str) -> RunView:
        if at.cursor is None:
            return RunView(fold_run(at), Tally(), locale)
        return RunView(fold_run(at), Tally.of(at.cursor["tally"]), locale, shards=int(at.cursor["shard"]))

    def _replayed(self, stored: Stored[Any], asked: RequestContext) -> RunView:
        """As it was answered when it began."""
        first = stored.journal[0]
        if first.key != asked.key:
            raise Refused(Reason.IDEMPOTENCY_KEY_REUSED)
        return RunView(run.fold(stored.id, [first.event]), Tally(), first.locale, replayed=True)


def fold_run(at: RunAt) -> Run:
    return run.fold(at.stored.id, (entry.event for entry in at.stored.journal))


def fold_break(stored: Stored[Any]) -> Break:
    return run.fold_break(stored.id, (entry.event for entry in stored.journal))


def note_key(break_id: str) -> str:
    return f"text#{break_id}"


def _known(deposit: Deposit | None, line: Line) -> Line | None:
    """The line as our journal has it."""
    return next((one for one in _lines(deposit) if one[:2] == line[:2]), None)


def _executed_at(mine: Line, seen: PaymentSeen | RefundSeen) -> int | None:
    """When the provider says that it executed our line; None when it does not know it."""
    if isinstance(seen, PaymentSeen):
        return next((one.at for one in seen.captures if one.ref == mine.ref), None)
    if seen.provider_ref != mine.ref or seen.status not in {"succeeded", "returned"}:
        return None
    if mine.kind == "x":
        return seen.at if seen.status == "returned" else None
    return seen.executed_at if seen.executed_at is not None else seen.at


def _lines(deposit: Deposit | None) -> tuple[Line, ...]:
    return movement_lines.lines_of(deposit) if deposit is not None else ()
