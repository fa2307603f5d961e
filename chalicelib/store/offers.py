"""The journals of offers, their frozen terms and their stock."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

from chalicelib.core.common.journal import Entry
from chalicelib.core.policy.terms import Terms, to_canonical_json
from chalicelib.core.selling.offer import Offer, OfferEvent
from chalicelib.flows.ports.effects import Stored
from chalicelib.flows.ports.store import Page, StockShort, VersionConflict
from chalicelib.store.codec import Wire
from chalicelib.store.journals import Journals
from chalicelib.store.requests import ConditionFailed, get_item, key, send, transact
from chalicelib.store.stock import change_shard, put_shards, read_left

KINDS: Final = {kind.TYPE: kind for kind in get_args(OfferEvent)}
CATALOGUE: Final = "catalogue"  # the partition of by_offer that lists the offers themselves
CHUNK_SHARDS: Final = 25  # shards created by one transaction


class OfferStore:
    """Offers in the table. Terms are immutable, so a container caches those it has read."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table
        self._journals: Journals[OfferEvent] = Journals(client, table, KINDS)
        self._terms: dict[str, Terms] = {}

    def get(self, offer_id: str) -> Stored[OfferEvent] | None:
        return self._journals.get(offer_id)

    def create(self, offer: Offer, terms: Terms, entries: Sequence[Entry[OfferEvent]]) -> None:
        """Write terms and shards first, the offer last: nobody can buy before its own item exists, and a retry goes on."""
        item = {**key(offer.made.terms_hash), "terms": {"S": to_canonical_json(terms).decode()}}
        send(self._client.put_item, TableName=self._table, Item=item)
        shards = put_shards(self._table, offer)
        for start in range(0, len(shards), CHUNK_SHARDS):
            self._create_shards(shards[start : start + CHUNK_SHARDS])
        indexed: dict[str, Wire] = {"by_offer": {"S": CATALOGUE}, "created": {"N": str(offer.created_at)}}
        self._journals.put(self._journals.begin_action(offer.id, entries, indexed))

    def append(
        self,
        stored: Stored[OfferEvent],
        entries: Sequence[Entry[OfferEvent]],
        offer: Offer | None = None,
        sku: str = "",
        moved: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Add events. ``moved`` has (shard, units) of ``sku`` for a stock change. Raises VersionConflict or StockShort."""
        append = self._journals.append_action(stored, entries, {})
        if offer is None or not moved:
            self._journals.update(append)
            return
        actions = [{"Update": append}, *(change_shard(self._table, offer, sku, *change) for change in moved)]
        try:
            transact(self._client, actions)
        except ConditionFailed as failed:
            if failed.failed[0]:
                raise VersionConflict(self._journals.read_image(failed.items[0])) from None
            raise StockShort from None

    def terms(self, terms_hash: str) -> Terms:
        """The frozen terms of that hash. KeyError when no offer was published with them."""
        if terms_hash not in self._terms:
            item = get_item(self._client, self._table, terms_hash)
            if item is None:
                raise KeyError(terms_hash)
            self._terms[terms_hash] = Terms.model_validate_json(item["terms"]["S"])
        return self._terms[terms_hash]

    def left(self, offers: Sequence[Offer], *, consistent: bool) -> Mapping[str, Mapping[str, Sequence[int]]]:
        return read_left(self._client, self._table, offers, consistent=consistent)

    def listed(self, limit: int, position: Mapping[str, object] | None) -> Page[OfferEvent]:
        return self._journals.page("by_offer", [CATALOGUE], "created", limit, position)

    def _create_shards(self, actions: Sequence[Mapping[str, Any]]) -> None:
        """A transaction of shards is written now, or was written before."""
        try:
            transact(self._client, actions)
        except ConditionFailed:
            return
