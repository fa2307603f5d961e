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
from chalicelib.flows import encrypted_text, text_keys
from chalicelib.flows.commit import Commits
from chalicelib.flows.images import fold_stored
from chalicelib.flows.ports.effects import Stored
from chalicelib.flows.ports.store import Clock, RunAt, Runs, SpanTaken, VersionConflict, WriteContention
from chalicelib.flows.reconciliation.matching import Matcher
from chalicelib.flows.reconciliation.worker import fold_run, load, percent_done
from chalicelib.flows.refunds import Refunds
from chalicelib.flows.retry import create_or_replay, refuse_expired_request


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

    def start(self, begin: int, end: int, request: RequestContext) -> RunView:
        """A run of its own for each key; 409 while another one compares the same span."""
        run_id = digest_id("rec", request.caller.role, request.caller.id, request.key_text)
        made = run.start_run(request.at, begin, end)
        started = run.fold_run(run_id, [made])
        entry = Entry(made, request.at, request.caller, request.key, request.locale)

        def create() -> RunView:
            self.runs.create(started, entry)
            return RunView(started, Tally(), request.locale)

        try:
            return create_or_replay(self.commits.timing, request, create, lambda stored: self._replay(stored, request))
        except SpanTaken as taken:
            known = self.runs.get(run_id)
            if known is not None:
                return self._replay(known.stored, request)
            raise Refused(Reason.WRONG_STATE, state=RunStatus.RUNNING.value, run=taken.run) from None

    def find(self, run_id: str, locale: str) -> RunView:
        return self._view(load(self.runs, run_id), locale)

    def list_runs(
        self, limit: int, position: Mapping[str, object] | None, locale: str
    ) -> tuple[list[RunView], Mapping[str, object] | None]:
        page = self.runs.listed(limit, position)
        return [self._view(load(self.runs, stored.id), locale) for stored in page.rows], page.position

    def list_breaks(
        self, run_id: str, limit: int, position: Mapping[str, object] | None
    ) -> tuple[list[Break], Mapping[str, object] | None]:
        """Those that the run has counted: a slice that died may have left others behind."""
        view = self.find(run_id, "")
        counted = view.run.finished.breaks if view.run.finished is not None else view.tally.breaks
        page = self.runs.breaks(run_id, limit, position)
        breaks = [fold_break(stored) for stored in page.rows]
        return [row for row in breaks if row.found.n <= counted], page.position

    def daily(self) -> bool:
        """Start the daily run when the last one is a day old; whether it was started."""
        end = self.clock() - self.clock() % DAY
        request = RequestContext(
            self.clock(), Caller("earnest", "service"), self.commits.timing.now(), key_text=f"daily/{end}"
        )
        run_id = digest_id("rec", request.caller.role, request.caller.id, request.key_text)
        if self.runs.get(run_id) is not None:
            return False
        try:
            self.start(end - run.DAILY_SPAN_MS, end, request)
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

    def read_notes(self, breaks: Sequence[Break]) -> list[str | None]:
        """What a person wrote when they resolved each of them, read together."""
        payees = self.refunds.payees
        keys = [
            text_keys.break_note(row.id) for row in breaks if row.resolved is not None and row.resolved.note is not None
        ]
        sealed = payees.texts.get_many(keys) if keys else {}
        notes = {key: payees.vault.unseal(key, text).decode() for key, text in sealed.items()}
        return [notes.get(text_keys.break_note(row.id)) for row in breaks]

    def resolve(self, break_id: str, action: Action, note: str | None, request: RequestContext) -> tuple[Break, bool]:
        """A person's decision, and whether it is a replay.

        What it asks of the provider is done first: a break is resolved once that was possible.
        """
        stored = self.find_break(break_id)
        version = find_version(stored.journal, request.key)
        if version is not None:
            if stored.journal[version - 1].key != request.key:
                raise Refused(Reason.IDEMPOTENCY_KEY_REUSED)
            return fold_break(stored), True
        row, vault = fold_break(stored), self.refunds.payees.vault
        event = run.resolve_break(row, action, encrypted_text.digest(vault, note), request.at)
        self._act(row.found, action, replace(request, if_match=None))
        refuse_expired_request(self.commits.timing, request)
        sealed = encrypted_text.seal_text(vault, text_keys.break_note(break_id), note)
        try:
            self.runs.resolve(
                stored,
                Entry(event, request.at, request.caller, request.key, request.locale),
                sealed[0] if sealed else None,
            )
        except WriteContention:
            raise Refused(Reason.BUSY, retry_after=1) from None
        except VersionConflict as conflict:
            if find_version(conflict.stored.journal, request.key) is None:
                raise Refused(Reason.WRONG_STATE, state="resolved") from None
        return replace(row, version=row.version + 1, resolved=event), False

    def _act(self, row: BreakFound, action: Action, request: RequestContext) -> None:
        """``accept_provider`` takes over what the provider says now; ``retry`` sends a refund anew under a new key."""
        owner = f"{request.caller.role}/{row.run}"
        if action == "accept_provider" and row.deposit is not None:
            stored = self.commits.deposits.get(row.deposit)
            if stored is not None:
                self.matcher.settle_as_seen(fold_stored(stored), row.payment, row.refund, owner)
        if action == "retry" and row.refund is not None:
            self.refunds.retry(row.refund, request)

    def _view(self, at: RunAt, locale: str) -> RunView:
        if at.cursor is None:
            return RunView(fold_run(at), Tally(), locale)
        return RunView(fold_run(at), Tally.from_json(at.cursor["tally"]), locale, shards=int(at.cursor["shard"]))

    def _replay(self, stored: Stored[Any], request: RequestContext) -> RunView:
        """The answer when the run began."""
        first = stored.journal[0]
        if first.key != request.key:
            raise Refused(Reason.IDEMPOTENCY_KEY_REUSED)
        return RunView(run.fold_run(stored.id, [first.event]), Tally(), first.locale, replayed=True)


def fold_break(stored: Stored[Any]) -> Break:
    return run.fold_break(stored.id, (entry.event for entry in stored.journal))
