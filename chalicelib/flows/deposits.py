"""What callers do with deposits that exist: read, list, look ahead, and the buyer's commands."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from chalicelib.core.common.ids import well_formed
from chalicelib.core.common.instants import DAY
from chalicelib.core.common.journal import Caller, RequestContext
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.decide import decide
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.clock import status_at
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.ending import entitlement
from chalicelib.core.ending.entitlement import Entitlement, Step
from chalicelib.core.policy import cancellation_reasons
from chalicelib.core.selling.offer import index_shards
from chalicelib.flows.access import authorize_access
from chalicelib.flows.commit import Commits, Outcome
from chalicelib.flows.effects import fold_stored
from chalicelib.flows.ports.effects import Stored
from chalicelib.flows.ports.store import Page

MAX_PREVIEW_AHEAD_MS: Final = 2 * 365 * DAY

Position = Mapping[str, object] | None


class DepositDesk(Struct, frozen=True):
    """Reads and commands, each for a caller who may see the deposit."""

    commits: Commits

    def get(self, deposit_id: str, asked: RequestContext) -> Outcome:
        return self.commits.read(self.commits.load(deposit_id), asked)

    def visible(self, deposit_id: str, caller: Caller) -> None:
        """Refused(NOT_FOUND) unless the caller may see it: ownership is told before faults of the body."""
        authorize_access(fold_stored(self.commits.load(deposit_id)), caller)

    def command(self, deposit_id: str, command: Command, asked: RequestContext) -> Outcome:
        return self.commits.run(deposit_id, asked, lambda deposit, terms: decide(deposit, command, asked.at, terms))

    def preview(
        self, deposit_id: str, cause: Cause, at: int | None, asked: RequestContext, reason: str | None = None
    ) -> Entitlement:
        """What the command would decide at an instant from now to two years ahead; ``reason`` is a merchant's."""
        outcome = self.get(deposit_id, asked)
        instant = asked.at if at is None else at
        if not asked.at <= instant <= asked.at + MAX_PREVIEW_AHEAD_MS:
            raise Refused(
                Reason.INVALID_REQUEST, [FieldError("/at", "not_before_now" if instant < asked.at else "too_far")]
            )
        published = cancellation_reasons.reasons(instant).get(reason) if reason is not None else None
        if reason is not None and published is None:
            raise Refused(Reason.INVALID_REQUEST, [FieldError("/reason", "unknown_reason")])
        compensated = published is None or published.compensates
        return entitlement.compute_entitlement(outcome.deposit, outcome.terms, cause, instant, compensated=compensated)

    def curve(self, deposit_id: str, asked: RequestContext) -> tuple[Step, ...]:
        outcome = self.get(deposit_id, asked)
        return entitlement.curve(outcome.deposit, outcome.terms, asked.at)

    def listed(
        self, asked: RequestContext, *, offer: str | None, status: str | None, limit: int, position: Position
    ) -> tuple[list[Outcome], Position]:
        """A buyer's own deposits; for merchant and platform those of an offer. A filter may leave a page short."""
        page = self._page(asked, offer, limit, position)
        seen = [self.commits.read(stored, asked) for stored in page.rows if self._mine(stored, asked.caller)]
        return [
            outcome
            for outcome in seen
            if (status is None or status_at(outcome.deposit, asked.at) == status)
            and (offer is None or outcome.deposit.created.offer == offer)
        ], page.position

    def _page(self, asked: RequestContext, offer: str | None, limit: int, position: Position) -> Page[DepositEvent]:
        if asked.caller.role == "buyer":
            return self.commits.deposits.of_buyer(asked.caller.id, limit, position)
        unknown = Refused(
            Reason.INVALID_REQUEST, [FieldError("/offer", "missing" if offer is None else "unknown_offer")]
        )
        stored = self.commits.offers.get(offer) if offer is not None and well_formed("off", offer) else None
        if stored is None or offer is None:
            raise unknown
        made = stored.journal[0].event
        if asked.caller.role == "merchant" and getattr(made, "merchant", None) != asked.caller.merchant:
            raise unknown
        terms = self.commits.offers.terms(getattr(made, "terms_hash", ""))
        return self.commits.deposits.of_offer(offer, index_shards(terms), limit, position)

    def _mine(self, stored: Stored[DepositEvent], caller: Caller) -> bool:
        """Indexes only find candidates."""
        try:
            authorize_access(fold_stored(stored), caller)
        except Refused:
            return False
        return True
