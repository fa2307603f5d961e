"""A change of configuration: what is wanted instead is found on the shelves, and moves with the change or not at all."""

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
from chalicelib.flows.commit import Commits, Outcome
from chalicelib.flows.effects import fold_stored
from chalicelib.flows.offers import Catalogue
from chalicelib.flows.orders import StockCache, StockLeft
from chalicelib.flows.ports.store import LimitFull, StockShort
from chalicelib.flows.retry import ConflictRetry


class Changes(Struct, frozen=True):
    """The buyer's changes inside the window."""

    commits: Commits
    catalogue: Catalogue
    shelf: StockCache

    def change(self, deposit_id: str, items: Sequence[Ordered], asked: RequestContext) -> Outcome:
        """New units taken and old ones given back in one write; SOLD_OUT only after a look at every shard."""
        race = ConflictRetry(self.commits.timing)
        left: StockLeft | None = None
        starts = count(zlib.crc32(deposit_id.encode()))  # each try begins at another shard
        while True:
            try:
                return self._once(deposit_id, tuple(items), starts, left, asked)
            except StockShort:
                race.lost()
                left = self._look(deposit_id)
            except LimitFull:
                terms = self.commits.terms(fold_stored(self.commits.load(deposit_id)))
                raise Refused(Reason.LIMIT_REACHED, per_buyer=terms.limits.per_buyer) from None

    def _once(
        self,
        deposit_id: str,
        items: tuple[Ordered, ...],
        starts: Iterator[int],
        left: StockLeft | None,
        asked: RequestContext,
    ) -> Outcome:
        def decision(deposit: Deposit, terms: Terms) -> Sequence[DepositEvent]:
            decide(deposit, ChangeItems(items), asked.at, terms)  # a no is said before anything is looked for
            offer = self.catalogue.recent(deposit.created.offer)
            early = deposit.created.priority is not None
            stock = stocks.draw(items, offer, next(starts), left, asked.at, deposit.stock, with_pass=early)
            return decide(deposit, ChangeItems(items, stock), asked.at, terms)

        return self.commits.run(deposit_id, asked, decision)

    def _look(self, deposit_id: str) -> StockLeft:
        offer = self.catalogue.recent(fold_stored(self.commits.load(deposit_id)).created.offer)
        return self.shelf.look(offer, self.commits.offers, self.commits.timing.now())
