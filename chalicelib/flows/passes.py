"""Priority passes: found in the journals they live in, and used in the write that orders with them."""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from chalicelib.core.common.ids import child, parse_child
from chalicelib.core.common.journal import RequestContext
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.order import Priority
from chalicelib.core.deposit.priority_pass import Pass
from chalicelib.core.ending import second_chance
from chalicelib.core.selling.offer import Offer
from chalicelib.flows.commit import Commits, Outcome
from chalicelib.flows.effects import fold_stored, journal_append
from chalicelib.flows.ports.effects import JournalAppend, Stored

MAX_LOOKS: Final = 10  # pages of a buyer's deposits that one answer looks through

Position = Mapping[str, object] | None


class Held(Struct, frozen=True):
    """A buyer's pass as it was read just now, with the journal it lives in."""

    stored: Stored[DepositEvent]
    origin: Deposit
    one: Pass

    @property
    def priority(self) -> Priority:
        granted = self.one.granted
        return Priority(child("pas", self.origin.id, self.one.n), granted.skus, granted.price_cap)

    def used(self, offer: Offer, deposit_id: str, asked: RequestContext) -> JournalAppend:
        """Used for a deposit, in its own write. Refused(PASS_NOT_VALID) for another merchant's offer, used or lapsed."""
        merchant = self.origin.created.merchant
        event = second_chance.use(self.one, merchant, offer.made.merchant, asked.at, deposit_id)
        return journal_append(self.stored, event, asked, asked.caller)


class Passes(Struct, frozen=True):
    """What buyers do with their passes."""

    commits: Commits

    def held(self, pass_id: str, asked: RequestContext) -> Held:
        """Refused(NOT_FOUND) unless it is this buyer's; a text that cannot be an id is a fault of the field."""
        parsed = parse_child("pas", pass_id)
        if parsed is None:
            raise Refused(Reason.INVALID_REQUEST, [FieldError("/priority_pass", "not_well_formed")])
        # A pass that silence gave is written down before it is used.
        stored = self.commits.caught_up(f"dep_{parsed[0]}", asked)
        origin = fold_stored(stored)
        if origin.created.buyer != asked.caller.id or parsed[1] > len(origin.passes):
            raise Refused(Reason.NOT_FOUND)
        return Held(stored, origin, origin.passes[parsed[1] - 1])

    def listed(
        self, asked: RequestContext, limit: int, position: Position
    ) -> tuple[list[tuple[Outcome, Pass]], Position]:
        """The buyer's passes, of the newest deposits first. Few deposits have one: a page may be short and go on."""
        found: list[tuple[Outcome, Pass]] = []
        for _ in range(MAX_LOOKS):
            page = self.commits.deposits.of_buyer(asked.caller.id, limit - len(found), position)
            for stored in page.rows:
                found += self._of(stored, asked)
            position = page.position
            if position is None or len(found) >= limit:
                break
        return found[:limit], position

    def _of(self, stored: Stored[DepositEvent], asked: RequestContext) -> Iterator[tuple[Outcome, Pass]]:
        """Indexes only find candidates."""
        if fold_stored(stored).created.buyer == asked.caller.id:
            outcome = self.commits.read(stored, asked)
            yield from ((outcome, one) for one in outcome.deposit.passes)
