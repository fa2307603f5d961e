"""A change of configuration: the new units are taken and the old ones returned with the change, or nothing is written."""

import zlib
from collections.abc import Iterator, Sequence
from itertools import count

from msgspec import Struct

from chalicelib.core.common.journal import RequestContext
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.decide import decide
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.policy.terms import Terms
from chalicelib.core.selling import stock as stocks
from chalicelib.core.selling.changes import ChangeItems
from chalicelib.core.selling.ordering import Ordered
from chalicelib.flows.commit import Commits
from chalicelib.flows.offers import Catalogue
from chalicelib.flows.ports.store import LimitFull, StockShort
from chalicelib.flows.retry import ConflictRetry
from chalicelib.flows.snapshot import Outcome
from chalicelib.flows.stock_cache import StockCache, StockLeft


class Changes(Struct, frozen=True):
    """The buyer's changes inside the window."""

    commits: Commits
    catalogue: Catalogue
    stock_cache: StockCache

    def change(self, deposit_id: str, items: Sequence[Ordered], request: RequestContext) -> Outcome:
        """Refused(SOLD_OUT) only after a consistent read of every shard."""
        retry = ConflictRetry(self.commits.timing)
        left: StockLeft | None = None
        starts = count(zlib.crc32(deposit_id.encode()))  # each attempt begins at another shard
        while True:
            try:
                return self._attempt(deposit_id, tuple(items), starts, left, request)
            except StockShort:
                retry.next_attempt()
                left = self._read_stock(deposit_id)
            except LimitFull:
                terms = self.commits.terms(self.commits.load(deposit_id).deposit)
                raise Refused(Reason.LIMIT_REACHED, per_buyer=terms.limits.per_buyer) from None

    def _attempt(
        self,
        deposit_id: str,
        items: tuple[Ordered, ...],
        starts: Iterator[int],
        left: StockLeft | None,
        request: RequestContext,
    ) -> Outcome:
        def decision(deposit: Deposit, terms: Terms) -> Sequence[DepositEvent]:
            decide(deposit, ChangeItems(items), request.at, terms)  # refused before any stock is looked for
            offer = self.catalogue.recent(deposit.created.offer)
            with_pass = deposit.created.priority is not None
            stock = stocks.draw_units(items, offer, next(starts), left, request.at, deposit.stock, with_pass=with_pass)
            return decide(deposit, ChangeItems(items, stock), request.at, terms)

        return self.commits.run(deposit_id, request, decision)

    def _read_stock(self, deposit_id: str) -> StockLeft:
        offer = self.catalogue.recent(self.commits.load(deposit_id).deposit.created.offer)
        return self.stock_cache.read(offer, self.commits.offers, self.commits.timing.now())
