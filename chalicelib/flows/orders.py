"""A new deposit: stock, limits and the deposit are written together or not at all."""

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from chalicelib.core.common.ids import digest_id
from chalicelib.core.common.journal import RequestContext, has_same_request
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.events.order import Created, TakenStock
from chalicelib.core.deposit.order import begin_deposit
from chalicelib.core.policy.terms import Terms
from chalicelib.core.selling import ordering, stock
from chalicelib.core.selling.offer import Offer, index_shards
from chalicelib.core.selling.ordering import Order
from chalicelib.flows.commit import Outcome, refuse_expired_request, replayed
from chalicelib.flows.effects import fold_stored, side_effects, to_entries
from chalicelib.flows.offers import Catalogue
from chalicelib.flows.passes import Passes
from chalicelib.flows.ports.effects import JournalAppend
from chalicelib.flows.ports.store import Deposits, LimitFull, Offers, StockShort, VersionConflict, WriteContention
from chalicelib.flows.retry import ConflictRetry, Timing

# A look at the shards is believed this long: a rush would otherwise read every shard for every refusal.
OFFER_CACHE_MS: Final = 1_000
# So many orders of one container, and it looks how full the shards are: in a rush they should run dry together.
MAX_SALES_PER_LOOK: Final = 16

StockLeft = Mapping[str, Sequence[int]]


class StockSeen(Struct, frozen=True):
    """The shards as a look found them at an instant, and the same less what this container took since."""

    at: int
    found: StockLeft
    left: dict[str, list[int]]


class StockCache(Struct, frozen=True):
    """What this container knows of the shards. Where to draw is a hint of any age; sold out is believed for a second."""

    seen: dict[str, StockSeen] = field(default_factory=dict)
    sold: Counter[str] = field(default_factory=Counter)

    def tired(self, offer_id: str) -> bool:
        """Whether so much was sold here since the last look that the hint says little."""
        return self.sold[offer_id] >= MAX_SALES_PER_LOOK

    def hint(self, offer_id: str) -> StockLeft | None:
        known = self.seen.get(offer_id)
        return known.left if known is not None else None

    def found(self, offer_id: str, now: int) -> StockLeft | None:
        """What the last look found, as long as it is believed."""
        known = self.seen.get(offer_id)
        return known.found if known is not None and now - known.at < OFFER_CACHE_MS else None

    def look(self, offer: Offer, offers: Offers, now: int) -> StockLeft:
        """A consistent look at every shard."""
        found = offers.left([offer], consistent=True)[offer.id]
        self.sold[offer.id] = 0
        self.seen[offer.id] = StockSeen(now, found, {sku: list(units) for sku, units in found.items()})
        return found

    def took(self, offer_id: str, stock: Sequence[TakenStock]) -> None:
        """The next order of this container begins elsewhere when a shard is empty by that."""
        known = self.seen.get(offer_id)
        self.sold[offer_id] += bool(stock)
        if known is None:
            return
        for one in stock:
            known.left[one.sku][one.shard] = max(known.left[one.sku][one.shard] - one.units, 0)


class Placed(Struct, frozen=True):
    """An order that the offer takes, and what it takes to write it down."""

    deposit_id: str
    order: Order
    offer: Offer
    terms: Terms
    created: Created
    used: JournalAppend | None
    asked: RequestContext

    @property
    def spread(self) -> int:
        """Where this order begins to look for its units, so that buyers at once begin at different shards."""
        return zlib.crc32(self.deposit_id.encode())


class Orders(Struct, frozen=True):
    """Creation of deposits."""

    deposits: Deposits
    offers: Offers
    catalogue: Catalogue
    timing: Timing
    shelf: StockCache
    passes: Passes
    token_key: str = ""

    def create(self, order: Order, asked: RequestContext) -> Outcome:
        """The new deposit, or the answer its key already had.

        A refusal for the state of things is said only after a consistent look at our own id, made after the last look
        at stock: whoever took the last unit may have been this very request.
        """
        deposit_id = digest_id("dep", asked.caller.id, asked.key_text)
        try:
            return self._raced(deposit_id, order, asked)
        except Refused as refused:
            may_have_ended = refused.reason is Reason.PAYMENT_METHOD_NOT_OFFERED
            answered = may_have_ended and self._asked_before(deposit_id, asked)
            if refused.reason.comes_before(Reason.IDEMPOTENCY_KEY_REUSED) and not answered:
                raise  # a fault of the fields is one whatever happened before
            known = self._known(deposit_id, asked)
            if known is None:
                raise refused from None
            return known

    def _raced(self, deposit_id: str, order: Order, asked: RequestContext) -> Outcome:
        offer, terms = self._offered(order.offer)
        race, conflicts = ConflictRetry(self.timing), 0
        while True:
            placed = self._placed(deposit_id, order, offer, terms, asked)
            stock = self._drawn(placed, conflicts)
            try:
                return self._written(placed, stock)
            except VersionConflict as ours:
                known = replayed(ours.stored, asked, terms)
                assert known is not None, "a deposit's id comes from its caller and key"
                return known
            except StockShort:
                race.lost()
                self.shelf.look(offer, self.offers, self.timing.now())
            except WriteContention:
                race.wait()
                conflicts += 1  # the next try begins at another shard
            except LimitFull:
                raise Refused(Reason.LIMIT_REACHED, per_buyer=terms.limits.per_buyer) from None

    def _placed(self, deposit_id: str, order: Order, offer: Offer, terms: Terms, asked: RequestContext) -> Placed:
        """With the buyer's pass as it is now, where there is one."""
        held = self.passes.held(order.priority_pass, asked) if order.priority_pass is not None else None
        created = ordering.create_deposit(
            order, offer, terms, asked.caller.id, asked.at, held.priority if held else None
        )
        used = held.used(offer, deposit_id, asked) if held is not None else None
        return Placed(deposit_id, order, offer, terms, created, used, asked)

    def _drawn(self, placed: Placed, conflicts: int) -> tuple[TakenStock, ...]:
        """Where the hint has units; SOLD_OUT only by what a look has found, a second ago at most."""
        now = self.timing.now()
        if self.shelf.tired(placed.offer.id):
            self.shelf.look(placed.offer, self.offers, now)
        try:
            return self._draw(placed, conflicts, self.shelf.hint(placed.offer.id))
        except Refused:
            found = self.shelf.found(placed.offer.id, now)
            return self._draw(
                placed, conflicts, found if found is not None else self.shelf.look(placed.offer, self.offers, now)
            )

    def _draw(self, placed: Placed, conflicts: int, left: StockLeft | None) -> tuple[TakenStock, ...]:
        start, at = placed.spread + conflicts, placed.asked.at
        return stock.draw_units(placed.order.items, placed.offer, start, left, at, with_pass=placed.used is not None)

    def _written(self, placed: Placed, stock: Sequence[TakenStock]) -> Outcome:
        asked, offer, terms = placed.asked, placed.offer, placed.terms
        used = [placed.used] if placed.used is not None else []
        created = replace(placed.created, token_key=self.token_key, stock=tuple(stock))
        entries = to_entries([created], asked, asked.caller)
        deposit = begin_deposit(placed.deposit_id, created)
        refuse_expired_request(self.timing, asked)
        also = (*side_effects(None, deposit, terms.limits.per_buyer), *used)
        self.deposits.create(deposit, entries, also, placed.spread % index_shards(terms))
        self.shelf.took(offer.id, stock)
        return Outcome(deposit, entries, asked.at, asked.locale, terms)

    def _offered(self, offer_id: str) -> tuple[Offer, Terms]:
        try:
            offer = self.catalogue.recent(offer_id)
        except Refused as refused:
            if refused.reason is not Reason.NOT_FOUND:
                raise
            raise Refused(Reason.INVALID_REQUEST, [FieldError("/offer", "unknown_offer")]) from None
        return offer, self.offers.terms(offer.made.terms_hash)

    def _asked_before(self, deposit_id: str, asked: RequestContext) -> bool:
        """Whether this very request made the deposit: it is answered as then, though its method has ended since."""
        stored = self.deposits.get(deposit_id)
        return stored is not None and has_same_request(stored.journal, asked.key)

    def _known(self, deposit_id: str, asked: RequestContext) -> Outcome | None:
        stored = self.deposits.get(deposit_id)
        if stored is None:
            return None
        return replayed(stored, asked, self.offers.terms(fold_stored(stored).created.terms_hash))
