"""A new deposit: stock, limits and the deposit are written together or not at all."""

import zlib
from collections.abc import Sequence

from msgspec import Struct
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
from chalicelib.flows.commit import replay_of
from chalicelib.flows.effects import side_effects
from chalicelib.flows.entries import to_entries
from chalicelib.flows.images import fold_image
from chalicelib.flows.offers import Catalogue
from chalicelib.flows.passes import Passes
from chalicelib.flows.ports.effects import JournalAppend
from chalicelib.flows.ports.store import Deposits, LimitFull, Offers, StockShort, VersionConflict, WriteContention
from chalicelib.flows.retry import ConflictRetry, Timing, refuse_expired_request
from chalicelib.flows.snapshot import Outcome, take_snapshot
from chalicelib.flows.stock_cache import StockCache, StockLeft


class AcceptedOrder(Struct, frozen=True):
    """An order that the offer accepts, with all that is written except the stock. ``pass_used`` is the buyer's pass."""

    deposit_id: str
    order: Order
    offer: Offer
    terms: Terms
    created: Created
    pass_used: JournalAppend | None
    request: RequestContext

    @property
    def shard_seed(self) -> int:
        """Where this order begins to look for its units, so that buyers at once begin at different shards."""
        return zlib.crc32(self.deposit_id.encode())


class Orders(Struct, frozen=True):
    """Creation of deposits."""

    deposits: Deposits
    offers: Offers
    catalogue: Catalogue
    timing: Timing
    stock_cache: StockCache
    passes: Passes
    token_key: str = ""

    def create(self, order: Order, request: RequestContext) -> Outcome:
        """The new deposit, or the answer that its key already had.

        Before a refusal for the state of things our own id is read, after the last read of stock: this very request,
        sent twice, may have taken the last unit.
        """
        deposit_id = digest_id("dep", request.caller.id, request.key_text)
        try:
            return self._create(deposit_id, order, request)
        except Refused as refused:
            may_have_ended = refused.reason is Reason.PAYMENT_METHOD_NOT_OFFERED
            answered = may_have_ended and self._was_answered(deposit_id, request)
            if refused.reason.comes_before(Reason.IDEMPOTENCY_KEY_REUSED) and not answered:
                raise  # a fault of the fields is one whatever happened before
            known = self._known(deposit_id, request)
            if known is None:
                raise refused from None
            return known

    def _create(self, deposit_id: str, order: Order, request: RequestContext) -> Outcome:
        offer, terms = self._offer_of(order.offer)
        retry, conflicts = ConflictRetry(self.timing), 0
        while True:
            accepted = self._accept(deposit_id, order, offer, terms, request)
            stock = self._draw_known(accepted, conflicts)
            try:
                return self._write(accepted, stock)
            except VersionConflict as conflict:
                known = replay_of(fold_image(conflict.stored), request, terms)
                assert known is not None, "a deposit's id comes from its caller and key"
                return known
            except StockShort:
                retry.next_attempt()
                self.stock_cache.read(offer, self.offers, self.timing.now())
            except WriteContention:
                retry.wait()
                conflicts += 1  # the next attempt begins at another shard
            except LimitFull:
                raise Refused(Reason.LIMIT_REACHED, per_buyer=terms.limits.per_buyer) from None

    def _accept(
        self, deposit_id: str, order: Order, offer: Offer, terms: Terms, request: RequestContext
    ) -> AcceptedOrder:
        """With the buyer's pass as it is now, where there is one."""
        buyer_pass = self.passes.find(order.priority_pass, request) if order.priority_pass is not None else None
        priority = buyer_pass.priority if buyer_pass is not None else None
        created = ordering.create_deposit(order, offer, terms, request.caller.id, request.at, priority)
        pass_used = buyer_pass.use(offer, deposit_id, request) if buyer_pass is not None else None
        return AcceptedOrder(deposit_id, order, offer, terms, created, pass_used, request)

    def _draw_known(self, accepted: AcceptedOrder, conflicts: int) -> tuple[TakenStock, ...]:
        """Where the estimate has units. Refused(SOLD_OUT) only by a read that is a second old at most."""
        now, offer = self.timing.now(), accepted.offer
        if self.stock_cache.is_stale(offer.id):
            self.stock_cache.read(offer, self.offers, now)
        try:
            return self._draw(accepted, conflicts, self.stock_cache.estimate(offer.id))
        except Refused:
            found = self.stock_cache.recent(offer.id, now)
            left = found if found is not None else self.stock_cache.read(offer, self.offers, now)
            return self._draw(accepted, conflicts, left)

    def _draw(self, accepted: AcceptedOrder, conflicts: int, left: StockLeft | None) -> tuple[TakenStock, ...]:
        start, at = accepted.shard_seed + conflicts, accepted.request.at
        with_pass = accepted.pass_used is not None
        return stock.draw_units(accepted.order.items, accepted.offer, start, left, at, with_pass=with_pass)

    def _write(self, accepted: AcceptedOrder, stock: Sequence[TakenStock]) -> Outcome:
        request, offer, terms = accepted.request, accepted.offer, accepted.terms
        pass_used = [accepted.pass_used] if accepted.pass_used is not None else []
        created = replace(accepted.created, token_key=self.token_key, stock=tuple(stock))
        entries = to_entries([created], request, request.caller)
        deposit = begin_deposit(accepted.deposit_id, created)
        refuse_expired_request(self.timing, request)
        effects = (*side_effects(None, deposit, terms.limits.per_buyer), *pass_used)
        self.deposits.create(deposit, entries, effects, accepted.shard_seed % index_shards(terms))
        self.stock_cache.record_sale(offer.id, stock)
        return Outcome(deposit, entries, take_snapshot(deposit, request.at), request.locale, terms)

    def _offer_of(self, offer_id: str) -> tuple[Offer, Terms]:
        try:
            offer = self.catalogue.recent(offer_id)
        except Refused as refused:
            if refused.reason is not Reason.NOT_FOUND:
                raise
            raise Refused(Reason.INVALID_REQUEST, [FieldError("/offer", "unknown_offer")]) from None
        return offer, self.offers.terms(offer.made.terms_hash)

    def _was_answered(self, deposit_id: str, request: RequestContext) -> bool:
        """Whether this very request made the deposit: it is answered as then, though its method has ended since."""
        stored = self.deposits.get(deposit_id)
        return stored is not None and has_same_request(stored.journal, request.key)

    def _known(self, deposit_id: str, request: RequestContext) -> Outcome | None:
        stored = self.deposits.get(deposit_id)
        if stored is None:
            return None
        image = fold_image(stored)
        return replay_of(image, request, self.offers.terms(image.deposit.created.terms_hash))
