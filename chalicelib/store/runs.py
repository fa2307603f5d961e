"""Reconciliation runs and their breaks: journals like all others, and a cursor that a slice leaves for the next one."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

from chalicelib.core.common.ids import digest_id
from chalicelib.core.common.journal import Caller, Entry
from chalicelib.core.reconciliation.run import BreakEvent, BreakFound, Run, RunEvent, RunFailed, RunFinished
from chalicelib.flows.ports.effects import SealedText, Stored
from chalicelib.flows.ports.store import Leased, Page, RunAt, SpanTaken, VersionConflict
from chalicelib.store.codec import Wire
from chalicelib.store.journals import ALL_OLD, Journals, key
from chalicelib.store.requests import ConditionFailed, send, transact
from chalicelib.store.texts import kept

RUNS: Final = "reconciliations"  # the partition of by_offer that lists the runs; a run's own id lists its breaks
QUEUE: Final = "runs"  # of the due index: what is not finished
RUN_KINDS: Final = {kind.TYPE: kind for kind in get_args(RunEvent)}
BREAK_KINDS: Final = {kind.TYPE: kind for kind in get_args(BreakEvent)}
MAX_BREAKS_TOGETHER: Final = 90  # with the cursor below the hundred actions of a transaction
AGAIN: Final = Caller("earnest", "service")


class RunStore:
    """Runs and breaks in the table."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table
        self._runs: Journals[RunEvent] = Journals(client, table, RUN_KINDS)
        self._breaks: Journals[BreakEvent] = Journals(client, table, BREAK_KINDS)

    def get(self, run_id: str) -> RunAt | None:
        answer = send(self._client.get_item, TableName=self._table, Key=key(run_id), ConsistentRead=True)
        if "Item" not in answer:
            return None
        item = answer["Item"]
        cursor = json.loads(item["cursor"]["S"]) if "cursor" in item else None
        return RunAt(self._runs.read(item), cursor, int(item["cursors"]["N"]) if "cursors" in item else 0)

    def create(self, run: Run, entry: Entry[RunEvent]) -> None:
        indexed: dict[str, Wire] = {
            "by_offer": {"S": RUNS},
            "created": {"N": str(run.started.at)},
            "due_shard": {"S": QUEUE},
            "due": {"N": str(run.started.at)},
        }
        actions = [{"Put": self._runs.begun(run.id, [entry], indexed)}, self._span(run, run.id, "")]
        try:
            transact(self._client, actions)
        except ConditionFailed as failed:
            if failed.failed[0]:
                raise VersionConflict(self._runs.image(failed.items[0])) from None
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
        """The cursor and the breaks found since the last one; the lease is taken with it, or alone without a cursor.

        Breaks that do not fit beside the cursor are written before it, while the cursor stays where it was. Every write
        has the condition that no other worker moved the run, so the numbers of its breaks are this worker's alone.
        """
        rest, first = list(breaks), breaks[0].n if breaks else 0
        while len(rest) > MAX_BREAKS_TOGETHER:
            early, rest = rest[:MAX_BREAKS_TOGETHER], rest[MAX_BREAKS_TOGETHER:]
            at = self._save(at, None, [self._found(one, first) for one in early], owner, now, until)
        return self._save(at, cursor, [self._found(one, first) for one in rest], owner, now, until)

    def _save(
        self,
        at: RunAt,
        cursor: Mapping[str, Any] | None,
        puts: Sequence[Mapping[str, Any]],
        owner: str,
        now: int,
        until: int,
    ) -> RunAt:
        """One transaction; without a cursor the run's own stays. Leased when another worker moved the run."""
        place = " #cursor = :cursor," if cursor is not None else ""
        moved: dict[str, Any] = {
            "Update": {
                "TableName": self._table,
                "Key": key(at.stored.id),
                "UpdateExpression": "SET cursors = :next, due = :now,"
                f"{place} lease_owner = :owner, lease_until = :until",
                "ConditionExpression": "v = :v AND (attribute_not_exists(cursors) OR cursors = :before)"
                " AND (attribute_not_exists(lease_until) OR lease_until <= :now OR lease_owner = :owner)",
                "ExpressionAttributeValues": {
                    ":next": {"N": str(at.cursors + 1)},
                    ":before": {"N": str(at.cursors)},
                    ":owner": {"S": owner},
                    ":until": {"N": str(until)},
                    ":now": {"N": str(now)},
                    ":v": {"N": str(at.stored.version)},
                },
                "ReturnValuesOnConditionCheckFailure": ALL_OLD,
            }
        }
        if cursor is not None:
            moved["Update"]["ExpressionAttributeNames"] = {"#cursor": "cursor"}
            moved["Update"]["ExpressionAttributeValues"][":cursor"] = {"S": json.dumps(cursor)}
        try:
            transact(self._client, [moved, *({"Put": put} for put in puts)])
        except ConditionFailed as failed:
            if not failed.failed[0]:
                raise  # a number that was counted is taken again: a bug
            raise Leased from None
        return RunAt(at.stored, dict(cursor) if cursor is not None else at.cursor, at.cursors + 1)

    def finish(self, at: RunAt, run: Run, event: RunFinished | RunFailed, now: int) -> None:
        """The certificate; the span is free for another run from then on."""
        entry: Entry[RunEvent] = Entry(event, now, AGAIN)
        ended = self._runs.added(at.stored, [entry], {})
        ended["ConditionExpression"] += " AND (attribute_not_exists(cursors) OR cursors = :cursors)"
        ended["ExpressionAttributeValues"][":cursors"] = {"N": str(at.cursors)}
        try:
            transact(self._client, [{"Update": ended}, self._span(run, "", run.id)])
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
        added = self._breaks.added(stored, [entry], {})
        if note is None:
            self._breaks.update(added)
            return
        try:
            transact(self._client, [{"Update": added}, kept(self._table, note)])
        except ConditionFailed as failed:
            raise VersionConflict(self._breaks.image(failed.items[0])) from None

    def _found(self, one: BreakFound, first: int) -> dict[str, Any]:
        """Numbered within its run. ``first`` is the number after the last that the run had counted.

        A slice that is done again replaces what one that died had written from the same place, and nothing that was
        counted: that has a smaller ``first``.
        """
        indexed: dict[str, Wire] = {"by_offer": {"S": one.run}, "created": {"N": str(one.n)}}
        begun = self._breaks.begun(digest_id("brk", one.run, str(one.n)), [Entry(one, one.at, AGAIN)], indexed)
        begun["Item"]["first"] = {"N": str(first)}
        begun["ConditionExpression"] = "attribute_not_exists(pk) OR (#first = :first AND v = :one)"
        begun["ExpressionAttributeNames"] = {"#first": "first"}
        begun["ExpressionAttributeValues"] = {":first": {"N": str(first)}, ":one": {"N": "1"}}
        return begun

    def _span(self, run: Run, holder: str, held_by: str) -> dict[str, Any]:
        """One running run for each span: the item that says which."""
        return {
            "Update": {
                "TableName": self._table,
                "Key": key(f"span#{run.started.start}#{run.started.end}"),
                "UpdateExpression": "SET #run = :holder",
                "ConditionExpression": "attribute_not_exists(#run) OR #run = :held",
                "ExpressionAttributeNames": {"#run": "run"},
                "ExpressionAttributeValues": {":holder": {"S": holder}, ":held": {"S": held_by}},
                "ReturnValuesOnConditionCheckFailure": ALL_OLD,
            }
        }
