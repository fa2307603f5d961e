"""Priority passes: they live in the journals that granted them, and are used in the write that orders with them."""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from chalicelib.core.common.ids import child, parse_child
from chalicelib.core.common.journal import RequestContext
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.order import Priority
from chalicelib.core.deposit.priority_pass import Pass
from chalicelib.core.ending import second_chance
from chalicelib.core.selling.offer import Offer
from chalicelib.flows.commit import Commits
from chalicelib.flows.effects import journal_append
from chalicelib.flows.images import Image, fold_image
from chalicelib.flows.ports.effects import JournalAppend, Stored
from chalicelib.flows.snapshot import Outcome

MAX_PAGES: Final = 10  # pages of a buyer's deposits that one answer reads

Position = Mapping[str, object] | None


class BuyerPass(Struct, frozen=True):
    """A buyer's pass as it was read just now, with the deposit that granted it."""

    origin: Image
    priority_pass: Pass

    @property
    def priority(self) -> Priority:
        granted = self.priority_pass.granted
        return Priority(child("pas", self.origin.id, self.priority_pass.n), granted.skus, granted.price_cap)

    def use(self, offer: Offer, deposit_id: str, request: RequestContext) -> JournalAppend:
        """Used for a deposit. Refused(PASS_NOT_VALID) for another merchant's offer, or when it was used or has lapsed."""
        merchant = self.origin.deposit.created.merchant
        event = second_chance.use_pass(self.priority_pass, merchant, offer.made.merchant, request.at, deposit_id)
        return journal_append(self.origin, event, request, request.caller)


class Passes(Struct, frozen=True):
    """What buyers do with their passes."""

    commits: Commits

    def find(self, pass_id: str, request: RequestContext) -> BuyerPass:
        """Refused(NOT_FOUND) unless it is this buyer's; a text that cannot be an id is a fault of the field."""
        parsed = parse_child("pas", pass_id)
        if parsed is None:
            raise Refused(Reason.INVALID_REQUEST, [FieldError("/priority_pass", "not_well_formed")])
        # A pass that a claim's deadline granted is written before it is used.
        origin = self.commits.load_with_claims_decided(f"dep_{parsed[0]}", request)
        passes = origin.deposit.passes
        if origin.deposit.created.buyer != request.caller.id or parsed[1] > len(passes):
            raise Refused(Reason.NOT_FOUND)
        return BuyerPass(origin, passes[parsed[1] - 1])

    def list_passes(
        self, request: RequestContext, limit: int, position: Position
    ) -> tuple[list[tuple[Outcome, Pass]], Position]:
        """The buyer's passes, of the newest deposits first. Few deposits have one: a page may be short and go on."""
        rows: list[tuple[Outcome, Pass]] = []
        for _ in range(MAX_PAGES):
            page = self.commits.deposits.of_buyer(request.caller.id, limit - len(rows), position)
            for stored in page.rows:
                rows += self._passes_in(stored, request)
            position = page.position
            if position is None or len(rows) >= limit:
                break
        return rows[:limit], position

    def _passes_in(self, stored: Stored[DepositEvent], request: RequestContext) -> Iterator[tuple[Outcome, Pass]]:
        """None in another buyer's deposit: an index only gives candidates."""
        image = fold_image(stored)
        if image.deposit.created.buyer == request.caller.id:
            outcome = self.commits.read(image, request)
            yield from ((outcome, row) for row in outcome.deposit.passes)
