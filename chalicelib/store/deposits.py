"""The journals of deposits: one item each, written under a condition, and the indexes that list deposits."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from chalicelib.core.common.instants import LAST_INSTANT
from chalicelib.core.common.journal import Entry
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deadlines import due_at
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.fold import KINDS
from chalicelib.core.reconciliation.lines import Line
from chalicelib.flows.ports.effects import JournalAppend, KeyTaken, LimitCount, StockMove, Stored, TransactionEffect
from chalicelib.flows.ports.store import (
    DUE_SHARDS,
    DuePage,
    LimitFull,
    Page,
    StockShort,
    VersionConflict,
    WriteContention,
)
from chalicelib.store.codec import Wire
from chalicelib.store.journals import Journals
from chalicelib.store.movements import Movements, index_attributes
from chalicelib.store.requests import ConditionFailed, transact
from chalicelib.store.stock import effect_action

MAX_ACTIONS: Final = 30


class DepositStore:
    """Deposits in the table. ``grace_ms`` delays the due time of irreversible events."""

    def __init__(self, client: Any, table: str, grace_ms: int) -> None:
        self._client = client
        self._table = table
        self._grace_ms = grace_ms
        self._journals: Journals[DepositEvent] = Journals(client, table, KINDS)
        self._movements = Movements(client, table)

    def get(self, deposit_id: str) -> Stored[DepositEvent] | None:
        return self._journals.get(deposit_id)

    def create(
        self, deposit: Deposit, entries: Sequence[Entry[DepositEvent]], also: Sequence[TransactionEffect], shard: int
    ) -> None:
        """Write the first events with their effects on other items, or nothing. Raises what ``_write_with`` does."""
        created: dict[str, Wire] = {
            "by_buyer": {"S": deposit.created.buyer},
            "by_offer": {"S": partition(deposit.created.offer, shard)},
            "created": {"N": str(deposit.created_at)},
        }
        begin = self._journals.begin_action(deposit.id, entries, {**created, **self._index_attributes(deposit)})
        if also:
            self._write_with({"Put": begin}, also)
        else:
            self._journals.put(begin)

    def append(
        self,
        stored: Stored[DepositEvent],
        entries: Sequence[Entry[DepositEvent]],
        after: Deposit,
        also: Sequence[TransactionEffect],
    ) -> None:
        """Add events to the journal as it was read, with their effects on other items, or nothing."""
        append = self._journals.append_action(stored, entries, self._index_attributes(after))
        if also:
            self._write_with({"Update": append}, also)
        else:
            self._journals.update(append)

    def touch(
        self, stored: Stored[DepositEvent], due: int, *, owner: str, until: int, now: int, failures: int = 0
    ) -> None:
        self._journals.touch(stored, due, owner=owner, until=until, now=now, failures=failures)

    def of_buyer(self, buyer: str, limit: int, position: Mapping[str, object] | None) -> Page[DepositEvent]:
        return self._journals.page("by_buyer", [buyer], "created", limit, position)

    def of_offer(
        self, offer: str, shards: int, limit: int, position: Mapping[str, object] | None
    ) -> Page[DepositEvent]:
        partitions = [partition(offer, shard) for shard in range(shards)]
        return self._journals.page("by_offer", partitions, "created", limit, position)

    def open_of(self, merchant: str, limit: int, position: Mapping[str, object] | None) -> Page[DepositEvent]:
        """Deposits with an open refund, the earliest promise first."""
        return self._journals.page("open", [merchant], "promised", limit, position, newest_first=False)

    def open_everywhere(self, limit: int, position: Mapping[str, object] | None) -> Page[DepositEvent]:
        """The same for all merchants, the earliest due time first."""
        queues = [f"work#{shard:02d}" for shard in range(DUE_SHARDS)]
        return self._journals.page("due", queues, "due", limit, position, newest_first=False)

    def claims_of(self, merchant: str, limit: int, position: Mapping[str, object] | None) -> Page[DepositEvent]:
        """Deposits with an open claim, the earliest deadline first."""
        return self._journals.page("claims", [merchant], "claim_due", limit, position, newest_first=False)

    def claims_everywhere(self, limit: int, position: Mapping[str, object] | None) -> Page[DepositEvent]:
        """The same for all merchants."""
        shards = [f"{shard:02d}" for shard in range(DUE_SHARDS)]
        return self._journals.page("all_claims", shards, "claim_due", limit, position, newest_first=False)

    def moved(self, start: int, end: int, shard: int, after: str, today: int) -> Iterator[Line]:
        return self._movements.lines(start, end, shard, after, today)

    def owing(self, shard: int) -> Sequence[str]:
        return sorted(self._journals.ids("due", f"work#{shard:02d}"))

    def due(self, queue: str, shard: int, until: int, limit: int, position: Mapping[str, Any] | None = None) -> DuePage:
        return self._journals.due(f"{queue}#{shard:02d}", until, limit, position)

    def _index_attributes(self, deposit: Deposit) -> dict[str, Wire]:
        """The index attributes, a function of the state."""
        attributes = index_attributes(deposit)
        waiting = deposit.open_refunds
        if waiting:
            attributes["open"] = {"S": deposit.created.merchant}
            attributes["promised"] = {"N": str(min(refund.promised_by for refund in waiting))}
        shard = zlib.crc32(deposit.id.encode()) % DUE_SHARDS
        claim_dues = [claim.due_at for claim in deposit.open_claims if claim.due_at is not None]
        if claim_dues:
            attributes["claims"], attributes["claims_shard"] = {"S": deposit.created.merchant}, {"S": f"{shard:02d}"}
            attributes["claim_due"] = {"N": str(min(claim_dues))}
        due = due_at(deposit, self._grace_ms)
        if due is None and waiting:
            due = LAST_INSTANT  # no job has work here; a person finds the deposit in the queue
        if due is not None:
            attributes["due_shard"] = {"S": f"{'work' if waiting else 'time'}#{shard:02d}"}
            attributes["due"] = {"N": str(due)}
        return attributes

    def _write_with(self, own: Mapping[str, Any], also: Sequence[TransactionEffect]) -> None:
        actions = [own, *map(self._effect_action, also)]
        assert len(actions) <= MAX_ACTIONS, len(actions)
        try:
            transact(self._client, actions)
        except ConditionFailed as failed:
            raise self._reason(failed, also) from None

    def _effect_action(self, also: TransactionEffect) -> Mapping[str, Any]:
        """An effect as an action. Another deposit's index attributes come from its state, as our own do."""
        if isinstance(also, JournalAppend):
            return {
                "Update": self._journals.append_action(also.stored, also.entries, self._index_attributes(also.after))
            }
        return effect_action(self._table, also)

    def _reason(self, failed: ConditionFailed, also: Sequence[TransactionEffect]) -> Exception:
        """The exception for a failed transaction: the deposit's own version counts first, then keys, limits and stock."""
        if failed.failed[0]:
            return VersionConflict(self._journals.read_image(failed.items[0]))
        broken = [effect for effect, fails in zip(also, failed.failed[1:], strict=True) if fails]
        if any(isinstance(effect, JournalAppend) for effect in broken):
            return WriteContention()  # another deposit's version; its journal is read again
        if any(isinstance(effect, KeyTaken) for effect in broken):
            return Refused(Reason.IDEMPOTENCY_KEY_REUSED)
        if any(isinstance(effect, LimitCount) for effect in broken):
            return LimitFull()
        return StockShort() if any(isinstance(effect, StockMove) for effect in broken) else failed


def partition(offer: str, shard: int) -> str:
    return f"{offer}#{shard:02d}"
