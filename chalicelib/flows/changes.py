"""A change of configuration: what is wanted instead is found on the shelves, and moves with the change or not at all."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from chalicelib.core import ordering
from chalicelib.core.changes import ChangeItems
from chalicelib.core.decide import decide
from chalicelib.core.deposit import Deposit
from chalicelib.core.events import DepositEvent
from chalicelib.core.journal import Asked
from chalicelib.core.ordering import Ordered
from chalicelib.core.refusal import Reason, Refused
from chalicelib.core.terms import Terms
from chalicelib.flows.commit import Commits, Outcome, Race, fold
from chalicelib.flows.offers import Catalogue
from chalicelib.flows.orders import Left, Shelf
from chalicelib.flows.ports import LimitFull, StockShort


@dataclass(frozen=True, slots=True)
class Changes:
    """The buyer's changes inside the window."""

    commits: Commits
    catalogue: Catalogue
    shelf: Shelf

    def change(self, deposit_id: str, items: Sequence[Ordered], asked: Asked) -> Outcome:
        """New units taken and old ones given back in one write; SOLD_OUT only after a look at every shard."""
        race = Race(self.commits.timing)
        left: Left | None = None
        starts = count(zlib.crc32(deposit_id.encode()))  # each try begins at another shard
        while True:
            try:
                return self._once(deposit_id, tuple(items), starts, left, asked)
            except StockShort:
                race.lost()
                left = self._look(deposit_id)
            except LimitFull:
                terms = self.commits.terms(fold(self.commits.load(deposit_id)))
                raise Refused(Reason.LIMIT_REACHED, per_buyer=terms.limits.per_buyer) from None

    def _once(
        self, deposit_id: str, items: tuple[Ordered, ...], starts: Iterator[int], left: Left | None, asked: Asked
    ) -> Outcome:
        def decision(deposit: Deposit, terms: Terms) -> Sequence[DepositEvent]:
            decide(deposit, ChangeItems(items), asked.at, terms)  # a no is said before anything is looked for
            offer = self.catalogue.recent(deposit.created.offer)
            early = deposit.created.priority is not None
            stock = ordering.draw(items, offer, next(starts), left, asked.at, deposit.stock, with_pass=early)
            return decide(deposit, ChangeItems(items, stock), asked.at, terms)

        return self.commits.run(deposit_id, asked, decision)

    def _look(self, deposit_id: str) -> Left:
        offer = self.catalogue.recent(fold(self.commits.load(deposit_id)).created.offer)
        return self.shelf.look(offer, self.commits.offers, self.commits.timing.now())
