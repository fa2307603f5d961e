"""A new deposit: stock, limits and the deposit are written together or not at all."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from chalicelib.core import ordering
from chalicelib.core.deposit import begin
from chalicelib.core.events import Created
from chalicelib.core.ids import digest_id
from chalicelib.core.journal import Asked
from chalicelib.core.offer import Offer, index_shards
from chalicelib.core.ordering import Order
from chalicelib.core.refusal import Fault, Reason, Refused
from chalicelib.core.terms import Terms
from chalicelib.flows.commit import Outcome, Race, Timing, fold, moved, replayed, stamped, too_old
from chalicelib.flows.offers import Catalogue
from chalicelib.flows.passes import Held, Passes
from chalicelib.flows.ports import Contended, Deposits, LimitFull, Offers, Overtaken, StockShort

# A look at the shards is believed this long: a rush would otherwise read every shard for every refusal.
REMEMBERED: Final = 1_000

Left = Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Shelf:
    """What this container last saw of the shards: a hint for where to draw, and how long sold out is believed."""

    seen: dict[str, tuple[int, Left]] = field(default_factory=dict)

    def recent(self, offer_id: str, now: int) -> Left | None:
        at, left = self.seen.get(offer_id, (0, None))
        return left if now - at < REMEMBERED else None

    def look(self, offer: Offer, offers: Offers, now: int) -> Left:
        """A consistent look at every shard."""
        left = offers.left([offer], consistent=True)[offer.id]
        self.seen[offer.id] = (now, left)
        return left


@dataclass(frozen=True, slots=True)
class Orders:
    """Creation of deposits."""

    deposits: Deposits
    offers: Offers
    catalogue: Catalogue
    timing: Timing
    shelf: Shelf
    passes: Passes
    token_key: str = ""

    def create(self, order: Order, asked: Asked) -> Outcome:
        """The new deposit, or the answer its key already had.

        A refusal for the state of things is said only after a consistent look at our own id, made after the last look
        at stock: whoever took the last unit may have been this very request.
        """
        deposit_id = digest_id("dep", asked.caller.id, asked.key_text)
        try:
            return self._raced(deposit_id, order, asked)
        except Refused as refused:
            if refused.reason.comes_before(Reason.IDEMPOTENCY_KEY_REUSED):
                raise  # a fault of the fields is one whatever happened before
            known = self._known(deposit_id, asked)
            if known is None:
                raise refused from None
            return known

    def _raced(self, deposit_id: str, order: Order, asked: Asked) -> Outcome:
        offer, terms = self._offered(order.offer)
        held = self._held(order, asked)
        placed = ordering.place(order, offer, terms, asked.caller.id, asked.at, held.priority if held else None)
        left = self.shelf.recent(offer.id, self.timing.now())
        race = Race(self.timing)
        conflicts = 0
        while True:
            try:
                return self._written(deposit_id, order, placed, offer, terms, left, conflicts, asked, held)
            except Overtaken as ours:
                known = replayed(ours.stored, asked, terms)
                assert known is not None, "a deposit's id comes from its caller and key"
                return known
            except StockShort:
                race.lost()
                left = self.shelf.look(offer, self.offers, self.timing.now())
            except Contended:
                race.wait()
                conflicts += 1  # the next try begins at another shard
                held = self._held(order, asked)
            except LimitFull:
                raise Refused(Reason.LIMIT_REACHED, per_buyer=terms.limits.per_buyer) from None

    def _written(
        self,
        deposit_id: str,
        order: Order,
        placed: Created,
        offer: Offer,
        terms: Terms,
        left: Left | None,
        conflicts: int,
        asked: Asked,
        held: Held | None,
    ) -> Outcome:
        spread = zlib.crc32(deposit_id.encode())
        used = [held.used(offer, deposit_id, asked)] if held is not None else []
        stock = ordering.draw(order.items, offer, spread + conflicts, left, asked.at, with_pass=held is not None)
        created = replace(placed, token_key=self.token_key, stock=stock)
        entries = stamped([created], asked, asked.caller)
        deposit = begin(deposit_id, created)
        too_old(self.timing, asked)
        also = (*moved(None, deposit, terms.limits.per_buyer), *used)
        self.deposits.create(deposit, entries, also, spread % index_shards(terms))
        return Outcome(deposit, entries, asked.at, asked.locale, terms)

    def _held(self, order: Order, asked: Asked) -> Held | None:
        return self.passes.held(order.priority_pass, asked) if order.priority_pass is not None else None

    def _offered(self, offer_id: str) -> tuple[Offer, Terms]:
        try:
            offer = self.catalogue.recent(offer_id)
        except Refused as refused:
            if refused.reason is not Reason.NOT_FOUND:
                raise
            raise Refused(Reason.INVALID_REQUEST, [Fault("/offer", "unknown_offer")]) from None
        return offer, self.offers.terms(offer.made.terms_hash)

    def _known(self, deposit_id: str, asked: Asked) -> Outcome | None:
        stored = self.deposits.get(deposit_id)
        if stored is None:
            return None
        return replayed(stored, asked, self.offers.terms(fold(stored).created.terms_hash))
