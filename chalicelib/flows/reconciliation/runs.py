"""Start reconciliation runs, show them and their breaks, and take a person's decision about a break."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.common.ids import digest_id, is_well_formed
from chalicelib.core.common.instants import DAY
from chalicelib.core.common.journal import Caller, Entry, RequestContext, find_version
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.reconciliation import run
from chalicelib.core.reconciliation.run import Action, Break, BreakEvent, BreakFound, Run, RunStatus
from chalicelib.core.reconciliation.tally import Tally
from chalicelib.flows.commit import Commits, refuse_expired_request
from chalicelib.flows.effects import fold_stored
from chalicelib.flows.ports.effects import SealedText, Stored
from chalicelib.flows.ports.store import Clock, RunAt, Runs, SpanTaken, VersionConflict, WriteContention
from chalicelib.flows.reconciliation.matching import Matcher
from chalicelib.flows.reconciliation.worker import fold_run, load, percent_done
from chalicelib.flows.refunds import Refunds
from chalicelib.flows.retry import ConflictRetry


class RunView(Struct, frozen=True):
    """A run as an answer shows it: its state, what is counted so far, and the request it answers."""

    run: Run
    tally: Tally
    locale: str
    replayed: bool = False
    shards: int = 0

    @property
    def percent(self) -> int:
        return 100 if self.run.finished is not None else percent_done(self.shards)


class Reconciliation(Struct, frozen=True):
    """Runs and breaks as people and the schedule ask for them; a ``RunWorker`` works them off."""

    commits: Commits
    runs: Runs
    matcher: Matcher
    refunds: Refunds
    clock: Clock

    def start(self, begin: int, end: int, asked: RequestContext) -> RunView:
        """A run of its own for each key; 409 while another one compares the same span."""
        run_id = digest_id("rec", asked.caller.role, asked.caller.id, asked.key_text)
        made = run.start_run(asked.at, begin, end)
        started = run.fold_run(run_id, [made])
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
        return self._shown(load(self.runs, run_id), locale)

    def listed(
        self, limit: int, position: Mapping[str, object] | None, locale: str
    ) -> tuple[list[RunView], Mapping[str, object] | None]:
        page = self.runs.listed(limit, position)
        return [self._shown(load(self.runs, stored.id), locale) for stored in page.rows], page.position

    def breaks(
        self, run_id: str, limit: int, position: Mapping[str, object] | None
    ) -> tuple[list[Break], Mapping[str, object] | None]:
        """Those that the run has counted: a slice that died may have left others behind."""
        shown = self.find(run_id, "")
        counted = shown.run.finished.breaks if shown.run.finished is not None else shown.tally.breaks
        page = self.runs.breaks(run_id, limit, position)
        found = [fold_break(stored) for stored in page.rows]
        return [one for one in found if one.found.n <= counted], page.position

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
        stored = self.runs.get_break(break_id) if is_well_formed("brk", break_id) else None
        if stored is None:
            raise Refused(Reason.NOT_FOUND)
        return stored

    def notes_of(self, breaks: Sequence[Break]) -> list[str | None]:
        """What a person wrote when they resolved each of them, read together."""
        payees = self.refunds.payees
        keys = [note_key(one.id) for one in breaks if one.resolved is not None and one.resolved.note is not None]
        sealed = payees.texts.get_many(keys) if keys else {}
        notes = {key: payees.vault.unseal(key, text).decode() for key, text in sealed.items()}
        return [notes.get(note_key(one.id)) for one in breaks]

    def resolve(self, break_id: str, action: Action, note: str | None, asked: RequestContext) -> tuple[Break, bool]:
        """A person's decision, and whether it is a replay.

        What it asks of the provider is done first: a break is resolved once that was possible.
        """
        stored = self.find_break(break_id)
        version = find_version(stored.journal, asked.key)
        if version is not None:
            if stored.journal[version - 1].key != asked.key:
                raise Refused(Reason.IDEMPOTENCY_KEY_REUSED)
            return fold_break(stored), True
        one = fold_break(stored)
        payees = self.refunds.payees
        event = run.resolve_break(
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
            if find_version(faster.stored.journal, asked.key) is None:
                raise Refused(Reason.WRONG_STATE, state="resolved") from None
        return replace(one, version=one.version + 1, resolved=event), False

    def _act(self, found: BreakFound, action: Action, asked: RequestContext) -> None:
        """``accept_provider`` takes over what the provider says now; ``retry`` sends a refund anew under a new key."""
        owner = f"{asked.caller.role}/{found.run}"
        if action == "accept_provider" and found.deposit is not None:
            stored = self.commits.deposits.get(found.deposit)
            if stored is not None:
                self.matcher.settle_as_seen(fold_stored(stored), found.payment, found.refund, owner)
        if action == "retry" and found.refund is not None:
            self.refunds.retry(found.refund, asked)

    def _shown(self, at: RunAt, locale: str) -> RunView:
        if at.cursor is None:
            return RunView(fold_run(at), Tally(), locale)
        return RunView(fold_run(at), Tally.from_json(at.cursor["tally"]), locale, shards=int(at.cursor["shard"]))

    def _replayed(self, stored: Stored[Any], asked: RequestContext) -> RunView:
        """As it was answered when it began."""
        first = stored.journal[0]
        if first.key != asked.key:
            raise Refused(Reason.IDEMPOTENCY_KEY_REUSED)
        return RunView(run.fold_run(stored.id, [first.event]), Tally(), first.locale, replayed=True)


def fold_break(stored: Stored[Any]) -> Break:
    return run.fold_break(stored.id, (entry.event for entry in stored.journal))


def note_key(break_id: str) -> str:
    return f"text#{break_id}"
