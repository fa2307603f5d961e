"""Reconciliation runs and their breaks: journals, and the cursor from which the next slice of a run goes on."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

from chalicelib.core.common.ids import digest_id
from chalicelib.core.common.journal import Caller, Entry
from chalicelib.core.reconciliation.run import BreakEvent, BreakFound, Run, RunEvent, RunFailed, RunFinished
from chalicelib.flows.ports.effects import SealedText, Stored
from chalicelib.flows.ports.store import Leased, Page, RunAt, SpanTaken, VersionConflict
from chalicelib.store.codec import Wire
from chalicelib.store.journals import Journals
from chalicelib.store.requests import ConditionFailed, get_item, transact, update_action
from chalicelib.store.texts import put_text

RUNS: Final = "reconciliations"  # the partition of by_offer that lists the runs; a run's own id lists its breaks
QUEUE: Final = "runs"  # the partition of the due index that lists unfinished runs
RUN_KINDS: Final = {kind.TYPE: kind for kind in get_args(RunEvent)}
BREAK_KINDS: Final = {kind.TYPE: kind for kind in get_args(BreakEvent)}
MAX_BREAKS_TOGETHER: Final = 90  # a transaction takes a hundred actions, one is the cursor's
SERVICE: Final = Caller("earnest", "service")


class RunStore:
    """Runs and breaks in the table."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table
        self._runs: Journals[RunEvent] = Journals(client, table, RUN_KINDS)
        self._breaks: Journals[BreakEvent] = Journals(client, table, BREAK_KINDS)

    def get(self, run_id: str) -> RunAt | None:
        item = get_item(self._client, self._table, run_id)
        if item is None:
            return None
        cursor = json.loads(item["cursor"]["S"]) if "cursor" in item else None
        return RunAt(self._runs.read(item), cursor, int(item["cursors"]["N"]) if "cursors" in item else 0)

    def create(self, run: Run, entry: Entry[RunEvent]) -> None:
        indexed: dict[str, Wire] = {
            "by_offer": {"S": RUNS},
            "created": {"N": str(run.started.at)},
            "due_shard": {"S": QUEUE},
            "due": {"N": str(run.started.at)},
        }
        actions = [{"Put": self._runs.begin_action(run.id, [entry], indexed)}, self._span(run, run.id, "")]
        try:
            transact(self._client, actions)
        except ConditionFailed as failed:
            if failed.failed[0]:
                raise VersionConflict(self._runs.read_image(failed.items[0])) from None
            item = failed.items[1]
            raise SpanTaken(item["run"]["S"] if item is not None else "") from None

    def checkpoint(
        self,
        at: RunAt,
        cursor: Mapping[str, Any] | None,
        breaks: Sequence[BreakFound],
        owner: str,
        now: int,
        until: int,
    ) -> RunAt:
        """Write the cursor and the breaks found since the last one, and take the lease; without a cursor only the lease.

        Breaks that do not fit into the cursor's transaction are written before it. Every write has the condition that no
        other worker moved the run, so no other worker uses the same break numbers. Raises Leased.
        """
        rest, first = list(breaks), breaks[0].n if breaks else 0
        while len(rest) > MAX_BREAKS_TOGETHER:
            early, rest = rest[:MAX_BREAKS_TOGETHER], rest[MAX_BREAKS_TOGETHER:]
            at = self._save(at, None, [self._put_break(found, first) for found in early], owner, now, until)
        return self._save(at, cursor, [self._put_break(found, first) for found in rest], owner, now, until)

    def _save(
        self,
        at: RunAt,
        cursor: Mapping[str, Any] | None,
        puts: Sequence[Mapping[str, Any]],
        owner: str,
        now: int,
        until: int,
    ) -> RunAt:
        """One transaction; None keeps the run's cursor. Raises Leased when another worker moved the run."""
        set_cursor = " #cursor = :cursor," if cursor is not None else ""
        values: dict[str, int | str] = {"next": at.cursors + 1, "before": at.cursors, "v": at.stored.version}
        values |= {"owner": owner, "until": until, "now": now}
        if cursor is not None:
            values["cursor"] = json.dumps(cursor)
        update = update_action(
            self._table,
            at.stored.id,
            f"SET cursors = :next, due = :now,{set_cursor} lease_owner = :owner, lease_until = :until",
            "v = :v AND (attribute_not_exists(cursors) OR cursors = :before)"
            " AND (attribute_not_exists(lease_until) OR lease_until <= :now OR lease_owner = :owner)",
            values,
            ("cursor",) if cursor is not None else (),
        )
        try:
            transact(self._client, [update, *({"Put": put} for put in puts)])
        except ConditionFailed as failed:
            if not failed.failed[0]:
                raise  # a counted break number is used again: a bug
            raise Leased from None
        return RunAt(at.stored, dict(cursor) if cursor is not None else at.cursor, at.cursors + 1)

    def finish(self, at: RunAt, run: Run, event: RunFinished | RunFailed, now: int) -> None:
        """Write the certificate and free the span for another run. Raises Leased."""
        entry: Entry[RunEvent] = Entry(event, now, SERVICE)
        update = self._runs.append_action(at.stored, [entry], {})
        update["ConditionExpression"] += " AND (attribute_not_exists(cursors) OR cursors = :cursors)"
        update["ExpressionAttributeValues"][":cursors"] = {"N": str(at.cursors)}
        try:
            transact(self._client, [{"Update": update}, self._span(run, "", run.id)])
        except ConditionFailed:
            raise Leased from None

    def unfinished(self, now: int, limit: int) -> Sequence[str]:
        return self._runs.due(QUEUE, now, limit).ids

    def listed(self, limit: int, position: Mapping[str, object] | None) -> Page[RunEvent]:
        return self._runs.page("by_offer", [RUNS], "created", limit, position)

    def breaks(self, run_id: str, limit: int, position: Mapping[str, object] | None) -> Page[BreakEvent]:
        """In the order in which they were found."""
        return self._breaks.page("by_offer", [run_id], "created", limit, position, newest_first=False)

    def get_break(self, break_id: str) -> Stored[BreakEvent] | None:
        return self._breaks.get(break_id)

    def resolve(self, stored: Stored[BreakEvent], entry: Entry[BreakEvent], note: SealedText | None) -> None:
        update = self._breaks.append_action(stored, [entry], {})
        if note is None:
            self._breaks.update(update)
            return
        try:
            transact(self._client, [{"Update": update}, put_text(self._table, note)])
        except ConditionFailed as failed:
            raise VersionConflict(self._breaks.read_image(failed.items[0])) from None

    def _put_break(self, found: BreakFound, first: int) -> dict[str, Any]:
        """The Put of a break, numbered within its run. ``first`` is the first number that no cursor has counted yet.

        A slice that is repeated replaces the breaks of one that died at the same cursor. Counted breaks have a smaller
        ``first`` and stay.
        """
        indexed: dict[str, Wire] = {"by_offer": {"S": found.run}, "created": {"N": str(found.n)}}
        break_id = digest_id("brk", found.run, str(found.n))
        put = self._breaks.begin_action(break_id, [Entry(found, found.at, SERVICE)], indexed)
        put["Item"]["first"] = {"N": str(first)}
        put["ConditionExpression"] = "attribute_not_exists(pk) OR (#first = :first AND v = :one)"
        put["ExpressionAttributeNames"] = {"#first": "first"}
        put["ExpressionAttributeValues"] = {":first": {"N": str(first)}, ":one": {"N": "1"}}
        return put

    def _span(self, run: Run, holder: str, held_by: str) -> dict[str, Any]:
        """The action on the item that names the running run of a span, under the condition that it names ``held_by``."""
        span = f"span#{run.started.start}#{run.started.end}"
        condition, values = "attribute_not_exists(#run) OR #run = :held", {"holder": holder, "held": held_by}
        return update_action(self._table, span, "SET #run = :holder", condition, values, ("run",))
