"""Offers: publish one, close it, change its stock, look at it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, field

from chalicelib.core.common.ids import digest_id, is_well_formed
from chalicelib.core.common.journal import Entry, RequestContext, find_version, has_same_request
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.policy import offer_terms
from chalicelib.core.policy.terms import Draft, Terms, compute_terms_hash
from chalicelib.core.selling import offer as offers_
from chalicelib.core.selling.offer import Available, Constrained, Offer, OfferEvent, OfferMade, StockChanged
from chalicelib.flows.commit import in_order, refuse_expired_request, refuse_stale
from chalicelib.flows.ports.effects import Stored
from chalicelib.flows.ports.store import Offers, Page, StockShort, VersionConflict, WriteContention
from chalicelib.flows.retry import ConflictRetry, Timing

# An offer is read again after this long; until then a container may still sell what was closed a moment ago.
OFFER_CACHE_MS: Final = 1_000

Decision = Callable[[Offer, Mapping[str, Sequence[int]]], OfferEvent]


class Offered(Struct, frozen=True):
    """The offer an answer is rendered from, and what is available of each counted SKU."""

    offer: Offer
    terms: Terms
    available: tuple[Available, ...]
    at: int
    locale: str
    replayed: bool = False


class Catalogue(Struct, frozen=True):
    """Offers as buyers and merchants use them."""

    offers: Offers
    timing: Timing
    seen: dict[str, tuple[int, Offer]] = field(default_factory=dict)

    def recent(self, offer_id: str) -> Offer:
        """An offer as this container saw it within the last second: what a purchase is judged by."""
        at, known = self.seen.get(offer_id, (0, None))
        if known is not None and self.timing.now() - at < OFFER_CACHE_MS:
            return known
        return self._remembered(fold(self.load(offer_id)))

    def load(self, offer_id: str) -> Stored[OfferEvent]:
        stored = self.offers.get(offer_id) if is_well_formed("off", offer_id) else None
        if stored is None:
            raise Refused(Reason.NOT_FOUND)
        return stored

    def get(self, offer_id: str, asked: RequestContext) -> Offered:
        return self._shown([fold(self.load(offer_id))], asked)[0]

    def listed(
        self, asked: RequestContext, limit: int, position: Mapping[str, object] | None
    ) -> tuple[list[Offered], Mapping[str, object] | None]:
        page: Page[OfferEvent] = self.offers.listed(limit, position)
        return self._shown([fold(stored) for stored in page.rows], asked), page.position

    def publish(self, body: Mapping[str, Any], asked: RequestContext) -> Offered:
        """A new offer under resolved terms, or the answer its key already had."""
        assert asked.caller.merchant is not None, "only merchants reach this"
        offer_id = digest_id("off", asked.caller.id, asked.caller.merchant, asked.key_text)
        try:
            draft, constraints = offer_terms.merge_market_policy(offer_terms.read_offer(body, asked.at), asked.at)
        except Refused:  # rules may have changed since the first time: the same request is answered as it was then
            known = self._known(offer_id, asked)
            if known is None:
                raise
            return known
        made = OfferMade(
            at=asked.at,
            merchant=asked.caller.merchant,
            terms_hash=compute_terms_hash(draft),
            opens_at=draft.opens_at,
            closes_at=draft.closes_at,
            stock=offers_.build_stock(draft),
            batch=_batch(draft),
            constrained_by=tuple(Constrained(*constraint) for constraint in constraints),
        )
        offer = offers_.fold(offer_id, [made])
        race = ConflictRetry(self.timing)
        while True:
            refuse_expired_request(self.timing, asked)
            try:
                self.offers.create(offer, draft, [Entry(made, asked.at, asked.caller, asked.key, asked.locale)])
            except VersionConflict as ours:
                return self._replayed(ours.stored, asked) or self._reused()
            except WriteContention:  # the same request at the same time lays out the same shards
                race.wait()
            else:
                return self._answer(offer, asked)

    def close(self, offer_id: str, asked: RequestContext) -> Offered:
        return self._changed(offer_id, asked, lambda offer, left: offers_.close_offer(offer, asked.at, left))

    def change_stock(self, offer_id: str, sku: str, change: int, asked: RequestContext) -> Offered:
        """Add units or take unsold ones away; below what is sold: INVALID_REQUEST with the pointer."""
        return self._changed(
            offer_id, asked, lambda offer, left: offers_.change_stock(offer, sku, change, asked.at, left)
        )

    def _changed(self, offer_id: str, asked: RequestContext, decision: Decision) -> Offered:
        race = ConflictRetry(self.timing)
        stored = self.load(offer_id)
        while True:
            try:
                return self._once(stored, asked, decision)
            except VersionConflict as faster:
                stored = faster.stored if race.lost() else self.load(offer_id)
            except (WriteContention, StockShort):
                race.wait()
                stored = self.load(offer_id)

    def _once(self, stored: Stored[OfferEvent], asked: RequestContext, decision: Decision) -> Offered:
        offer = fold(stored)
        if offer.made.merchant != asked.caller.merchant:
            raise Refused(Reason.NOT_FOUND)
        known = self._replayed(stored, asked)
        if known is not None:
            return known
        left = self.offers.left([offer], consistent=True)[offer.id]
        event = in_order(lambda: decision(offer, left), lambda: refuse_stale(asked, etag(offer, asked.at)))
        refuse_expired_request(self.timing, asked)
        entry = Entry(event, asked.at, asked.caller, asked.key, asked.locale)
        if isinstance(event, StockChanged):
            shards = offers_.list_changeable_units(offer, event.sku, left[event.sku], asked.at)
            self.offers.append(stored, [entry], offer, event.sku, offers_.split_change(event.change, shards))
        else:
            self.offers.append(stored, [entry])
        after = self._remembered(offers_.evolve(offer, event))
        return self._answer(after, asked)

    def _remembered(self, offer: Offer) -> Offer:
        self.seen[offer.id] = (self.timing.now(), offer)
        return offer

    def _shown(self, offers: Sequence[Offer], asked: RequestContext) -> list[Offered]:
        """As a reader sees them: what is available right now, approximately."""
        left = self.offers.left(offers, consistent=False)
        return [
            Offered(
                offer,
                self.offers.terms(offer.made.terms_hash),
                offers_.count_available(offer, left[offer.id], asked.at),
                asked.at,
                asked.locale,
            )
            for offer in offers
        ]

    def _answer(self, offer: Offer, asked: RequestContext) -> Offered:
        """As a command answers: what its event noted, so that a replay shows the same."""
        terms = self.offers.terms(offer.made.terms_hash)
        return Offered(offer, terms, offer.available, asked.at, asked.locale)

    def _replayed(self, stored: Stored[OfferEvent], asked: RequestContext) -> Offered | None:
        version = find_version(stored.journal, asked.key)
        if version is None or asked.key is None:
            return None
        entry = stored.journal[version - 1]
        if entry.key != asked.key:
            return self._reused()
        offer = offers_.fold(stored.id, (one.event for one in stored.journal[:version]))
        terms = self.offers.terms(offer.made.terms_hash)
        return Offered(offer, terms, offer.available, entry.received_at, entry.locale, replayed=True)

    def _known(self, offer_id: str, asked: RequestContext) -> Offered | None:
        """The answer that the very same request already had."""
        stored = self.offers.get(offer_id)
        if stored is None or not has_same_request(stored.journal, asked.key):
            return None
        return self._replayed(stored, asked)

    def _reused(self) -> Offered:
        raise Refused(Reason.IDEMPOTENCY_KEY_REUSED)


def fold(stored: Stored[OfferEvent]) -> Offer:
    return offers_.fold(stored.id, (entry.event for entry in stored.journal))


def _batch(draft: Draft) -> str:
    """Names the stock shards by what they hold, so that a retry with the same body finds its own and no other does."""
    text = ",".join(f"{stock.sku}={stock.units}/{stock.reserved}" for stock in offers_.build_stock(draft))
    return hashlib.sha256(f"{compute_terms_hash(draft)}|{text}".encode()).hexdigest()[:8]


def etag(offer: Offer, at: int) -> str:
    return f'"{offer.version}-{offers_.status_at(offer, at).value}"'
