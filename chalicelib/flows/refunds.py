"""What callers do with refunds: read, list what is owed, grant goodwill, name an account, take another way."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from msgspec import Struct

from chalicelib.core import proof
from chalicelib.core.common.journal import Caller, RequestContext
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.decide import decide
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.refund import Refund, RefundStatus
from chalicelib.core.policy.terms import Terms
from chalicelib.core.refunding import destination
from chalicelib.core.refunding.destination import NameDestination, Payee, Reroute, Retry, is_same_holder
from chalicelib.core.refunding.goodwill import Grant
from chalicelib.core.refunding.provider_answers import RefundSeen
from chalicelib.flows import body_keys, encrypted_text, text_keys
from chalicelib.flows.child_ids import locate
from chalicelib.flows.commit import Commits
from chalicelib.flows.deposit_worker import DepositWorker
from chalicelib.flows.deposits import Position
from chalicelib.flows.images import fold_image
from chalicelib.flows.payees import Payees
from chalicelib.flows.ports.effects import SealedText, TransactionEffect
from chalicelib.flows.ports.provider import NotFound, Unknown
from chalicelib.flows.ports.store import Keys, Page
from chalicelib.flows.snapshot import Outcome


class Refunds(Struct, frozen=True):
    """Reads and commands, each for a caller who may see the deposit."""

    commits: Commits
    worker: DepositWorker
    payees: Payees
    keys: Keys

    def find(self, refund_id: str, request: RequestContext) -> tuple[Outcome, Refund]:
        return self._view(refund_id, self.commits.find(locate("ref", refund_id)[0], request))

    def proof(self, refund_id: str, request: RequestContext) -> dict[str, Any]:
        """All that is needed to compute the refund again, without us."""
        outcome, refund = self.find(refund_id, request)
        events = [entry.event for entry in outcome.journal]
        return proof.build_proof(outcome.deposit.id, events, refund.n, outcome.terms)

    def grant(
        self, deposit_id: str, amount: Money, expected: Money, note: str | None, request: RequestContext
    ) -> tuple[Outcome, Refund]:
        """A merchant's goodwill."""
        image, key_taken = body_keys.take_key(self.commits, self.keys, deposit_id, request)

        def effects(deposit: Deposit, _terms: Terms) -> tuple[TransactionEffect, ...]:
            return (key_taken, *self._seal_note(deposit, len(deposit.refunds) + 1, note))

        command = Grant(amount, expected, self._digest(note))
        outcome = self.commits.execute(deposit_id, command, request, effects=effects, image=image)
        return outcome, outcome.deposit.refunds[-1]

    def name_destination(self, refund_id: str, payee: Payee, request: RequestContext) -> tuple[Outcome, Refund]:
        """The buyer's account. Its bank is asked once in whose name it is, where the bank tells."""
        deposit_id, n = locate("ref", refund_id)
        command = NameDestination(n, self.payees.digest(payee))
        check_holder: Callable[[], None] = cache(lambda: self._refuse_wrong_holder(payee))

        def decision(deposit: Deposit, terms: Terms) -> Sequence[DepositEvent]:
            destination.refuse_destination(_refund(deposit, n))
            check_holder()
            return decide(deposit, command, request.at, terms)

        def effects(deposit: Deposit, _terms: Terms) -> tuple[SealedText]:
            return (self.payees.seal(deposit.id, n, _refund(deposit, n).route_no + 1, payee),)

        return self._view(refund_id, self.commits.run(deposit_id, request, decision, effects=effects))

    def reroute(self, refund_id: str, note: str | None, request: RequestContext) -> tuple[Outcome, Refund]:
        """The platform takes a refund off its way, once nothing on it can be executed any more."""
        n, is_absent = locate("ref", refund_id)[1], self._is_absent(refund_id, request)
        return self._execute(refund_id, Reroute(n, is_absent, self._digest(note)), request, note)

    def retry(self, refund_id: str, request: RequestContext) -> tuple[Outcome, Refund]:
        """Sent again under a new key: a person decides it, after the provider was asked."""
        n, is_absent = locate("ref", refund_id)[1], self._is_absent(refund_id, request)
        return self._execute(refund_id, Retry(n, is_absent), request)

    def _execute(
        self, refund_id: str, command: Command, request: RequestContext, note: str | None = None
    ) -> tuple[Outcome, Refund]:
        deposit_id, n = locate("ref", refund_id)

        def effects(deposit: Deposit, _terms: Terms) -> tuple[SealedText, ...]:
            return self._seal_note(deposit, n, note)

        return self._view(refund_id, self.commits.execute(deposit_id, command, request, effects=effects))

    def _view(self, refund_id: str, outcome: Outcome) -> tuple[Outcome, Refund]:
        return outcome, _refund(outcome.deposit, locate("ref", refund_id)[1])

    def _is_absent(self, refund_id: str, request: RequestContext) -> bool:
        """Whether the provider, asked now, does not know the refund and its key. What it knows is settled first."""
        outcome, refund = self.find(refund_id, request)
        if refund.status is not RefundStatus.MANUAL_REVIEW or refund.cannot_execute_any_more:
            return False
        seen = self.worker.query_refund(outcome.deposit, refund.n)
        if isinstance(seen, RefundSeen):
            self.worker.settle(outcome.deposit.id, seen, f"{request.caller.role}/{refund_id}")
        return isinstance(seen, NotFound) and self.worker.may_have_forgotten(refund)

    def _refuse_wrong_holder(self, payee: Payee) -> None:
        """Refused when the bank does not have the account, or has it in another name; BUSY when it does not answer."""
        holder = self.worker.provider.holder_of(payee.bank, payee.account)
        if isinstance(holder, Unknown):
            raise Refused(Reason.BUSY, retry_after=1)
        if isinstance(holder, NotFound):
            raise Refused(Reason.INVALID_REQUEST, [FieldError("/account", "unknown_account")])
        if holder and not is_same_holder(holder, payee.holder):
            raise Refused(Reason.INVALID_REQUEST, [FieldError("/holder", "name_differs")])

    def _digest(self, note: str | None) -> str | None:
        return encrypted_text.digest(self.payees.vault, note)

    def _seal_note(self, deposit: Deposit, n: int, note: str | None) -> tuple[SealedText, ...]:
        key = text_keys.refund_note(deposit.id, n, deposit.version)
        return encrypted_text.seal_text(self.payees.vault, key, note)

    def list_owed(
        self, request: RequestContext, limit: int, position: Position
    ) -> tuple[list[tuple[Outcome, Refund]], Position]:
        """Open refunds, the earliest promise first; for the platform what is due first.

        The store pages by deposit, and one deposit may owe several refunds. The page holds as many deposits as fit with
        all their refunds, or else a part of the first one, and then ``n`` of the position is its last refund.
        """
        last_shown = int(str(position["n"])) if position is not None and "n" in position else 0
        start = {name: value for name, value in (position or {}).items() if name != "n"} or None
        page = self._page(request.caller, limit, start)
        owed = self._owed(page, request, last_shown)
        fitting = _count_fitting([len(refunds) for _, refunds in owed], limit)
        if fitting == 0 and owed:
            outcome, refunds = owed[0]
            part = refunds[:limit]
            return [(outcome, refund) for refund in part], {**(start or {}), "n": part[-1].n}
        after = page.position if fitting == len(owed) else self._page(request.caller, fitting, start).position
        return [(outcome, refund) for outcome, refunds in owed[:fitting] for refund in refunds], after

    def _page(self, caller: Caller, limit: int, position: Position) -> Page[DepositEvent]:
        if caller.role == "platform":
            return self.commits.deposits.open_everywhere(limit, position)
        return self.commits.deposits.open_of(str(caller.merchant), limit, position)

    def _owed(
        self, page: Page[DepositEvent], request: RequestContext, last_shown: int
    ) -> list[tuple[Outcome, tuple[Refund, ...]]]:
        """Each deposit's open refunds; of the first deposit those behind the refund number ``last_shown``."""
        outcomes = [self.commits.read(fold_image(stored), request) for stored in page.rows]
        return [
            (outcome, tuple(refund for refund in outcome.deposit.open_refunds if i > 0 or refund.n > last_shown))
            for i, outcome in enumerate(outcomes)
        ]


def _refund(deposit: Deposit, n: int) -> Refund:
    if n > len(deposit.refunds):
        raise Refused(Reason.NOT_FOUND)
    return deposit.refunds[n - 1]


def _count_fitting(sizes: Sequence[int], limit: int) -> int:
    """How many sizes from the head add up to no more than ``limit``."""
    n = 0
    while n < len(sizes) and sum(sizes[: n + 1]) <= limit:
        n += 1
    return n
