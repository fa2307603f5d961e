"""Offers: publish, close, change stock, read and list."""

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
from chalicelib.flows.ports.effects import Stored
from chalicelib.flows.ports.store import Offers, Page, StockShort, WriteContention
from chalicelib.flows.preconditions import decide_in_order, refuse_stale
from chalicelib.flows.retry import Timing, create_or_replay, refuse_expired_request, retry_on_conflict

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
        """The offer that a purchase is judged by: read by this container within the last second."""
        at, known = self.seen.get(offer_id, (0, None))
        if known is not None and self.timing.now() - at < OFFER_CACHE_MS:
            return known
        return self._remember(fold(self.load(offer_id)))

    def load(self, offer_id: str) -> Stored[OfferEvent]:
        stored = self.offers.get(offer_id) if is_well_formed("off", offer_id) else None
        if stored is None:
            raise Refused(Reason.NOT_FOUND)
        return stored

    def get(self, offer_id: str, request: RequestContext) -> Offered:
        return self._view([fold(self.load(offer_id))], request)[0]

    def list_offers(
        self, request: RequestContext, limit: int, position: Mapping[str, object] | None
    ) -> tuple[list[Offered], Mapping[str, object] | None]:
        page: Page[OfferEvent] = self.offers.listed(limit, position)
        return self._view([fold(stored) for stored in page.rows], request), page.position

    def publish(self, body: Mapping[str, Any], request: RequestContext) -> Offered:
        """A new offer under resolved terms, or the answer its key already had."""
        assert request.caller.merchant is not None, "only merchants reach this"
        offer_id = digest_id("off", request.caller.id, request.caller.merchant, request.key_text)
        try:
            draft, constraints = offer_terms.merge_market_policy(offer_terms.read_offer(body, request.at), request.at)
        except Refused:  # rules may have changed since the first time: the same request is answered as it was then
            known = self._known(offer_id, request)
            if known is None:
                raise
            return known
        made = OfferMade(
            at=request.at,
            merchant=request.caller.merchant,
            terms_hash=compute_terms_hash(draft),
            opens_at=draft.opens_at,
            closes_at=draft.closes_at,
            stock=offers_.build_stock(draft),
            batch=_batch(draft),
            constrained_by=tuple(Constrained(*constraint) for constraint in constraints),
        )
        offer = offers_.fold(offer_id, [made])
        entry = Entry(made, request.at, request.caller, request.key, request.locale)

        def create() -> Offered:
            self.offers.create(offer, draft, [entry])
            return self._answer(offer, request)

        # Contention: the same request at the same time lays out the same shards.
        return create_or_replay(
            self.timing, request, create, lambda stored: self._replay(stored, request) or self._refuse_reused_key()
        )

    def close(self, offer_id: str, request: RequestContext) -> Offered:
        return self._change(offer_id, request, lambda offer, left: offers_.close_offer(offer, request.at, left))

    def change_stock(self, offer_id: str, sku: str, change: int, request: RequestContext) -> Offered:
        """Add units or take unsold ones away; below what is sold: INVALID_REQUEST with the pointer."""
        return self._change(
            offer_id, request, lambda offer, left: offers_.change_stock(offer, sku, change, request.at, left)
        )

    def _change(self, offer_id: str, request: RequestContext, decision: Decision) -> Offered:
        return retry_on_conflict(
            self.timing,
            self.load(offer_id),
            lambda stored: self._attempt(stored, request, decision),
            lambda stored: stored,
            lambda: self.load(offer_id),
        )

    def _attempt(self, stored: Stored[OfferEvent], request: RequestContext, decision: Decision) -> Offered:
        offer = fold(stored)
        if offer.made.merchant != request.caller.merchant:
            raise Refused(Reason.NOT_FOUND)
        replay = self._replay(stored, request)
        if replay is not None:
            return replay
        left = self.offers.left([offer], consistent=True)[offer.id]
        event = decide_in_order(
            lambda: decision(offer, left), lambda: refuse_stale(request, lambda: etag(offer, request.at))
        )
        refuse_expired_request(self.timing, request)
        entry = Entry(event, request.at, request.caller, request.key, request.locale)
        if isinstance(event, StockChanged):
            shards = offers_.list_changeable_units(offer, event.sku, left[event.sku], request.at)
            self._append_stock_change(stored, entry, offer, event, shards)
        else:
            self.offers.append(stored, [entry])
        after = self._remember(offers_.evolve(offer, event))
        return self._answer(after, request)

    def _append_stock_change(
        self,
        stored: Stored[OfferEvent],
        entry: Entry[OfferEvent],
        offer: Offer,
        event: StockChanged,
        shards: Sequence[int],
    ) -> None:
        try:
            self.offers.append(stored, [entry], offer, event.sku, offers_.split_change(event.change, shards))
        except StockShort as short:
            raise WriteContention from short  # a buyer took units meanwhile: read the shards again

    def _remember(self, offer: Offer) -> Offer:
        self.seen[offer.id] = (self.timing.now(), offer)
        return offer

    def _view(self, offers: Sequence[Offer], request: RequestContext) -> list[Offered]:
        """As a reader sees them: what is available right now, approximately."""
        left = self.offers.left(offers, consistent=False)
        return [
            Offered(
                offer,
                self.offers.terms(offer.made.terms_hash),
                offers_.count_available(offer, left[offer.id], request.at),
                request.at,
                request.locale,
            )
            for offer in offers
        ]

    def _answer(self, offer: Offer, request: RequestContext) -> Offered:
        """As a command answers: what its event noted, so that a replay shows the same."""
        terms = self.offers.terms(offer.made.terms_hash)
        return Offered(offer, terms, offer.available, request.at, request.locale)

    def _replay(self, stored: Stored[OfferEvent], request: RequestContext) -> Offered | None:
        version = find_version(stored.journal, request.key)
        if version is None or request.key is None:
            return None
        entry = stored.journal[version - 1]
        if entry.key != request.key:
            return self._refuse_reused_key()
        offer = offers_.fold(stored.id, (past.event for past in stored.journal[:version]))
        terms = self.offers.terms(offer.made.terms_hash)
        return Offered(offer, terms, offer.available, entry.received_at, entry.locale, replayed=True)

    def _known(self, offer_id: str, request: RequestContext) -> Offered | None:
        """The answer that the very same request already had."""
        stored = self.offers.get(offer_id)
        if stored is None or not has_same_request(stored.journal, request.key):
            return None
        return self._replay(stored, request)

    def _refuse_reused_key(self) -> Offered:
        raise Refused(Reason.IDEMPOTENCY_KEY_REUSED)


def fold(stored: Stored[OfferEvent]) -> Offer:
    return offers_.fold(stored.id, (entry.event for entry in stored.journal))


def _batch(draft: Draft) -> str:
    """Names the stock shards by what they hold, so that a retry with the same body finds its own and no other does."""
    text = ",".join(f"{stock.sku}={stock.units}/{stock.reserved}" for stock in offers_.build_stock(draft))
    return hashlib.sha256(f"{compute_terms_hash(draft)}|{text}".encode()).hexdigest()[:8]


def etag(offer: Offer, at: int) -> str:
    return f'"{offer.version}-{offers_.status_at(offer, at).value}"'
