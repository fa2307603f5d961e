"""Bulk cancellations: journals of their own, in the due index while one is open."""

import zlib
from typing import Any, Final, get_args

from chalicelib.core.common.journal import Entry
from chalicelib.core.merchant.bulk import Bulk, BulkEvent
from chalicelib.flows.ports.effects import SealedText, Stored
from chalicelib.flows.ports.store import DUE_SHARDS, VersionConflict
from chalicelib.store.codec import Wire
from chalicelib.store.journals import Journals
from chalicelib.store.requests import ConditionFailed, transact
from chalicelib.store.texts import put_text

KINDS: Final = {kind.TYPE: kind for kind in get_args(BulkEvent)}


class BulkStore:
    """Bulk cancellations in the table."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table
        self._journals: Journals[BulkEvent] = Journals(client, table, KINDS)

    def get(self, bulk_id: str) -> Stored[BulkEvent] | None:
        return self._journals.get(bulk_id)

    def create(self, bulk: Bulk, entry: Entry[BulkEvent], note: SealedText | None) -> None:
        begin = self._journals.begin_action(bulk.id, [entry], _index_attributes(bulk))
        if note is None:
            self._journals.put(begin)
            return
        try:
            transact(self._client, [{"Put": begin}, put_text(self._table, note)])
        except ConditionFailed as failed:
            raise VersionConflict(self._journals.read_image(failed.items[0])) from None

    def append(self, stored: Stored[BulkEvent], entry: Entry[BulkEvent], after: Bulk) -> None:
        self._journals.update(self._journals.append_action(stored, [entry], _index_attributes(after)))

    def touch(
        self, stored: Stored[BulkEvent], due: int, *, owner: str, until: int, now: int, failures: int = 0
    ) -> None:
        self._journals.touch(stored, due, owner=owner, until=until, now=now, failures=failures)


def _index_attributes(bulk: Bulk) -> dict[str, Wire]:
    if bulk.due is None:
        return {}
    shard = zlib.crc32(bulk.id.encode()) % DUE_SHARDS
    return {"due_shard": {"S": f"time#{shard:02d}"}, "due": {"N": str(bulk.due)}}
