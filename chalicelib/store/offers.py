"""The journals of offers, their frozen terms and their stock."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

from chalicelib.core.common.journal import Entry
from chalicelib.core.policy.terms import Terms, to_canonical_json
from chalicelib.core.selling.offer import Offer, OfferEvent
from chalicelib.flows.ports.effects import Stored
from chalicelib.flows.ports.store import Page, StockShort, VersionConflict
from chalicelib.store.codec import Wire
from chalicelib.store.journals import Journals, key
from chalicelib.store.requests import ConditionFailed, send, transact
from chalicelib.store.stock import left, shard_changed, shards_made

KINDS: Final = {kind.TYPE: kind for kind in get_args(OfferEvent)}
CATALOGUE: Final = "catalogue"  # the partition of by_offer that lists the offers themselves
CHUNK: Final = 25  # shards laid out by one transaction


class OfferStore:
    """Offers in the table. Terms are immutable, so this container keeps the ones it has seen."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table
        self._journals: Journals[OfferEvent] = Journals(client, table, KINDS)
        self._terms: dict[str, Terms] = {}

    def get(self, offer_id: str) -> Stored[OfferEvent] | None:
        return self._journals.get(offer_id)

    def create(self, offer: Offer, terms: Terms, entries: Sequence[Entry[OfferEvent]]) -> None:
        """Terms and shards first, the offer last: until its own item stands nobody can buy, and a retry goes on."""
        item = {**key(offer.made.terms_hash), "terms": {"S": to_canonical_json(terms).decode()}}
        send(self._client.put_item, TableName=self._table, Item=item)
        shards = shards_made(self._table, offer)
        for start in range(0, len(shards), CHUNK):
            self._lay_out(shards[start : start + CHUNK])
        listed: dict[str, Wire] = {"by_offer": {"S": CATALOGUE}, "created": {"N": str(offer.created_at)}}
        self._journals.put(self._journals.begun(offer.id, entries, listed))

    def append(
        self,
        stored: Stored[OfferEvent],
        entries: Sequence[Entry[OfferEvent]],
        offer: Offer | None = None,
        sku: str = "",
        moved: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Add events; ``moved`` gives the shards of ``sku`` and the units that a stock change adds or takes."""
        added = self._journals.added(stored, entries, {})
        if offer is None or not moved:
            self._journals.update(added)
            return
        actions = [{"Update": added}, *(shard_changed(self._table, offer, sku, *one) for one in moved)]
        try:
            transact(self._client, actions)
        except ConditionFailed as failed:
            if failed.failed[0]:
                raise VersionConflict(self._journals.image(failed.items[0])) from None
            raise StockShort from None

    def terms(self, terms_hash: str) -> Terms:
        """The frozen terms of that hash. KeyError when nobody ever published them."""
        if terms_hash not in self._terms:
            found = send(self._client.get_item, TableName=self._table, Key=key(terms_hash), ConsistentRead=True)
            self._terms[terms_hash] = Terms.model_validate_json(found["Item"]["terms"]["S"])
        return self._terms[terms_hash]

    def left(self, offers: Sequence[Offer], *, consistent: bool) -> Mapping[str, Mapping[str, Sequence[int]]]:
        return left(self._client, self._table, offers, consistent=consistent)

    def listed(self, limit: int, position: Mapping[str, object] | None) -> Page[OfferEvent]:
        return self._journals.page("by_offer", [CATALOGUE], "created", limit, position)

    def _lay_out(self, actions: Sequence[Mapping[str, Any]]) -> None:
        """A chunk is written whole or was written whole before."""
        try:
            transact(self._client, actions)
        except ConditionFailed:
            return
