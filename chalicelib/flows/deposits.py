"""What callers do with deposits that exist: read, list, preview, and the buyer's commands."""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from chalicelib.core.common.ids import is_well_formed
from chalicelib.core.common.instants import DAY
from chalicelib.core.common.journal import Caller, RequestContext
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.clock import status_at
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.ending import entitlement
from chalicelib.core.ending.entitlement import Entitlement, Step
from chalicelib.core.policy import cancellation_reasons
from chalicelib.core.selling.offer import index_shards
from chalicelib.flows.access import authorize_access
from chalicelib.flows.commit import Commits
from chalicelib.flows.images import fold_image
from chalicelib.flows.ports.store import Page
from chalicelib.flows.snapshot import Outcome

MAX_PREVIEW_AHEAD_MS: Final = 2 * 365 * DAY

Position = Mapping[str, object] | None


class DepositDesk(Struct, frozen=True):
    """Reads and commands, each for a caller who may see the deposit."""

    commits: Commits

    def get(self, deposit_id: str, request: RequestContext) -> Outcome:
        return self.commits.find(deposit_id, request)

    def authorize(self, deposit_id: str, caller: Caller) -> None:
        """Refused(NOT_FOUND) unless the caller may see it: this is told before faults of the body."""
        authorize_access(self.commits.load(deposit_id).deposit, caller)

    def command(self, deposit_id: str, command: Command, request: RequestContext) -> Outcome:
        return self.commits.execute(deposit_id, command, request)

    def preview(
        self, deposit_id: str, cause: Cause, at: int | None, request: RequestContext, reason: str | None = None
    ) -> Entitlement:
        """What the command would decide at an instant from now to two years ahead; ``reason`` is a merchant's."""
        outcome = self.get(deposit_id, request)
        instant = request.at if at is None else at
        if not request.at <= instant <= request.at + MAX_PREVIEW_AHEAD_MS:
            raise Refused(
                Reason.INVALID_REQUEST, [FieldError("/at", "not_before_now" if instant < request.at else "too_far")]
            )
        published = cancellation_reasons.find_reasons(instant).get(reason) if reason is not None else None
        if reason is not None and published is None:
            raise Refused(Reason.INVALID_REQUEST, [FieldError("/reason", "unknown_reason")])
        compensated = published is None or published.compensates
        return entitlement.compute_entitlement(outcome.deposit, outcome.terms, cause, instant, compensated=compensated)

    def curve(self, deposit_id: str, request: RequestContext) -> tuple[Step, ...]:
        outcome = self.get(deposit_id, request)
        return entitlement.compute_curve(outcome.deposit, outcome.terms, request.at)

    def list_deposits(
        self, request: RequestContext, *, offer: str | None, status: str | None, limit: int, position: Position
    ) -> tuple[list[Outcome], Position]:
        """A buyer's own deposits; for merchant and platform those of an offer. A filter may leave a page short."""
        page = self._page(request, offer, limit, position)
        outcomes = [
            outcome
            for outcome in self._read_page(page, request)
            if (status is None or status_at(outcome.deposit, request.at) == status)
            and (offer is None or outcome.deposit.created.offer == offer)
        ]
        return outcomes, page.position

    def _page(self, request: RequestContext, offer: str | None, limit: int, position: Position) -> Page[DepositEvent]:
        if request.caller.role == "buyer":
            return self.commits.deposits.of_buyer(request.caller.id, limit, position)
        unknown = Refused(
            Reason.INVALID_REQUEST, [FieldError("/offer", "missing" if offer is None else "unknown_offer")]
        )
        stored = self.commits.offers.get(offer) if offer is not None and is_well_formed("off", offer) else None
        if stored is None or offer is None:
            raise unknown
        made = stored.journal[0].event
        if request.caller.role == "merchant" and getattr(made, "merchant", None) != request.caller.merchant:
            raise unknown
        terms = self.commits.offers.terms(getattr(made, "terms_hash", ""))
        return self.commits.deposits.of_offer(offer, index_shards(terms), limit, position)

    def _read_page(self, page: Page[DepositEvent], request: RequestContext) -> Iterator[Outcome]:
        """Those that the caller may see: an index only gives candidates."""
        for stored in page.rows:
            image = fold_image(stored)
            try:
                authorize_access(image.deposit, request.caller)
            except Refused:
                continue
            yield self.commits.read(image, request)
