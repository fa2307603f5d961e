"""What callers do with deposits that exist: read, list, look ahead, and the buyer's commands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chalicelib.core import entitlement
from chalicelib.core.decide import Command, decide
from chalicelib.core.deposit import status_at
from chalicelib.core.entitlement import Entitlement, Step
from chalicelib.core.events import DepositEvent
from chalicelib.core.ids import parse_child, well_formed
from chalicelib.core.instants import DAY
from chalicelib.core.journal import Asked, Caller
from chalicelib.core.offer import index_shards
from chalicelib.core.refund import Refund
from chalicelib.core.refusal import Fault, Reason, Refused
from chalicelib.flows.commit import Commits, Outcome, fold, refuse_strangers
from chalicelib.flows.ports import Page, Stored

FARTHEST_PREVIEW: Final = 2 * 365 * DAY

Position = Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class DepositDesk:
    """Reads and commands, each for a caller who may see the deposit."""

    commits: Commits

    def get(self, deposit_id: str, asked: Asked) -> Outcome:
        return self.commits.read(self.commits.load(deposit_id), asked)

    def visible(self, deposit_id: str, caller: Caller) -> None:
        """Refused(NOT_FOUND) unless the caller may see it: ownership is told before faults of the body."""
        refuse_strangers(fold(self.commits.load(deposit_id)), caller)

    def command(self, deposit_id: str, command: Command, asked: Asked) -> Outcome:
        return self.commits.run(deposit_id, asked, lambda deposit, terms: decide(deposit, command, asked.at, terms))

    def preview(self, deposit_id: str, cause: str, at: int | None, asked: Asked) -> Entitlement:
        """What the command would decide at an instant from now to two years ahead."""
        outcome = self.get(deposit_id, asked)
        instant = asked.at if at is None else at
        if not asked.at <= instant <= asked.at + FARTHEST_PREVIEW:
            raise Refused(Reason.INVALID_REQUEST, [Fault("/at", "not_before_now" if instant < asked.at else "too_far")])
        return entitlement.of(outcome.deposit, outcome.terms, cause, instant)

    def curve(self, deposit_id: str, asked: Asked) -> tuple[Step, ...]:
        outcome = self.get(deposit_id, asked)
        return entitlement.curve(outcome.deposit, outcome.terms, asked.at)

    def listed(
        self, asked: Asked, *, offer: str | None, status: str | None, limit: int, position: Position
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

    def refund(self, refund_id: str, asked: Asked) -> tuple[Outcome, Refund]:
        parsed = parse_child("ref", refund_id)
        if parsed is None:
            raise Refused(Reason.NOT_FOUND)
        outcome = self.get(f"dep_{parsed[0]}", asked)
        refunds = outcome.deposit.refunds
        if parsed[1] > len(refunds):
            raise Refused(Reason.NOT_FOUND)
        return outcome, refunds[parsed[1] - 1]

    def open_refunds(
        self, asked: Asked, limit: int, position: Position
    ) -> tuple[list[tuple[Outcome, Refund]], Position]:
        """What is still owed, the earliest promise first; for the platform what is due first.

        The store pages by deposit, and one deposit may owe several refunds: as many deposits as fit whole, or a part of
        the first one, which the position then remembers as ``n``.
        """
        seen = int(str(position["n"])) if position is not None and "n" in position else 0
        start = {name: value for name, value in (position or {}).items() if name != "n"} or None
        page = self._open(asked.caller, limit, start)
        owed = self._owed(page, asked, seen)
        whole = _fitting([len(refunds) for _, refunds in owed], limit)
        if whole == 0 and owed:
            outcome, refunds = owed[0]
            part = refunds[:limit]
            return [(outcome, refund) for refund in part], {**(start or {}), "n": part[-1].n}
        after = page.position if whole == len(owed) else self._open(asked.caller, whole, start).position
        return [(outcome, refund) for outcome, refunds in owed[:whole] for refund in refunds], after

    def _open(self, caller: Caller, limit: int, position: Position) -> Page[DepositEvent]:
        if caller.role == "platform":
            return self.commits.deposits.open_everywhere(limit, position)
        return self.commits.deposits.open_of(str(caller.merchant), limit, position)

    def _owed(self, page: Page[DepositEvent], asked: Asked, seen: int) -> list[tuple[Outcome, tuple[Refund, ...]]]:
        """Each deposit's open refunds, those of the first one behind ``seen``."""
        outcomes = [self.commits.read(stored, asked) for stored in page.rows]
        return [
            (outcome, tuple(refund for refund in outcome.deposit.open_refunds if place > 0 or refund.n > seen))
            for place, outcome in enumerate(outcomes)
        ]

    def _page(self, asked: Asked, offer: str | None, limit: int, position: Position) -> Page[DepositEvent]:
        if asked.caller.role == "buyer":
            return self.commits.deposits.of_buyer(asked.caller.id, limit, position)
        unknown = Refused(Reason.INVALID_REQUEST, [Fault("/offer", "missing" if offer is None else "unknown_offer")])
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
            refuse_strangers(fold(stored), caller)
        except Refused:
            return False
        return True


def _fitting(sizes: Sequence[int], limit: int) -> int:
    """How many from the head fit whole."""
    whole = 0
    while whole < len(sizes) and sum(sizes[: whole + 1]) <= limit:
        whole += 1
    return whole
