"""What callers do with refunds: read them, see what is still owed, grant goodwill, name an account, take another way."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from chalicelib.core import proof
from chalicelib.core.common.ids import child, parse_child
from chalicelib.core.common.journal import Caller, RequestContext
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.decide import decide
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.refund import Refund, RefundSeen, RefundStatus
from chalicelib.core.policy.terms import Terms
from chalicelib.core.refunding import destination
from chalicelib.core.refunding.destination import NameDestination, Payee, Reroute, Retry, same_name
from chalicelib.core.refunding.goodwill import Grant
from chalicelib.flows import body_keys, encrypted_text
from chalicelib.flows.commit import Commits, Outcome
from chalicelib.flows.deposit_worker import DepositWorker
from chalicelib.flows.deposits import Position
from chalicelib.flows.payees import Payees
from chalicelib.flows.ports.effects import TransactionEffect
from chalicelib.flows.ports.provider import NotFound, Unknown
from chalicelib.flows.ports.store import Keys, Page


class Refunds(Struct, frozen=True):
    """Reads and commands, each for a caller who may see the deposit."""

    commits: Commits
    attendant: DepositWorker
    payees: Payees
    keys: Keys

    def find(self, refund_id: str, asked: RequestContext) -> tuple[Outcome, Refund]:
        deposit_id, n = _parsed(refund_id)
        outcome = self.commits.read(self.commits.load(deposit_id), asked)
        return outcome, _numbered(outcome.deposit, n)

    def proof(self, refund_id: str, asked: RequestContext) -> dict[str, Any]:
        """All that is needed to compute the refund again, without us."""
        outcome, refund = self.find(refund_id, asked)
        events = [entry.event for entry in outcome.journal]
        return proof.made(outcome.deposit.id, events, refund.n, outcome.terms)

    def grant(
        self, deposit_id: str, amount: Money, expected: Money, note: str | None, asked: RequestContext
    ) -> tuple[Outcome, Refund]:
        """A merchant's goodwill."""
        stored, taken = body_keys.take_key(self.commits, self.keys, deposit_id, asked)
        beside: list[TransactionEffect] = [taken]
        command = Grant(amount, expected, self._digest(note))

        def decision(deposit: Deposit, terms: Terms) -> Sequence[DepositEvent]:
            beside[1:] = self._note(deposit, len(deposit.refunds) + 1, note)
            return decide(deposit, command, asked.at, terms)

        outcome = self.commits.run(deposit_id, asked, decision, beside=lambda: beside, stored=stored)
        return outcome, outcome.deposit.refunds[-1]

    def name_destination(self, refund_id: str, payee: Payee, asked: RequestContext) -> tuple[Outcome, Refund]:
        """The buyer's account. Its bank is asked in whose name it is, where the bank tells."""
        command = NameDestination(_parsed(refund_id)[1], self.payees.digest(payee))
        beside: list[TransactionEffect] = []

        def decision(deposit: Deposit, terms: Terms) -> Sequence[DepositEvent]:
            refund = _numbered(deposit, command.refund)
            destination.refuse_name(refund)
            if not beside:
                self._refuse_strange_account(payee)
            beside[:] = [self.payees.kept(deposit.id, refund.n, refund.way + 1, payee)]
            return decide(deposit, command, asked.at, terms)

        return self._shown(refund_id, self.commits.run(_parsed(refund_id)[0], asked, decision, beside=lambda: beside))

    def reroute(self, refund_id: str, note: str | None, asked: RequestContext) -> tuple[Outcome, Refund]:
        """The platform takes a refund off its way, once nothing on it can be executed any more."""
        n, absent = _parsed(refund_id)[1], self._absent(refund_id, asked)
        return self._run(refund_id, Reroute(n, absent, self._digest(note)), asked, note)

    def retry(self, refund_id: str, asked: RequestContext) -> tuple[Outcome, Refund]:
        """Sent again under a new key, by a person's word and never before the provider was asked."""
        return self._run(refund_id, Retry(_parsed(refund_id)[1], self._absent(refund_id, asked)), asked)

    def _run(
        self, refund_id: str, command: Command, asked: RequestContext, note: str | None = None
    ) -> tuple[Outcome, Refund]:
        deposit_id, n = _parsed(refund_id)
        beside: list[TransactionEffect] = []

        def decision(deposit: Deposit, terms: Terms) -> Sequence[DepositEvent]:
            beside[:] = self._note(deposit, n, note)
            return decide(deposit, command, asked.at, terms)

        return self._shown(refund_id, self.commits.run(deposit_id, asked, decision, beside=lambda: beside))

    def _shown(self, refund_id: str, outcome: Outcome) -> tuple[Outcome, Refund]:
        return outcome, _numbered(outcome.deposit, _parsed(refund_id)[1])

    def _absent(self, refund_id: str, asked: RequestContext) -> bool:
        """Whether the provider, asked now, knows nothing of what was sent, and forgot the key; what it knows is settled."""
        outcome, refund = self.find(refund_id, asked)
        if refund.status is not RefundStatus.MANUAL_REVIEW or refund.closed:
            return False
        seen = self.attendant.seen_refund(outcome.deposit, refund.n)
        if isinstance(seen, RefundSeen):
            self.attendant.settle(outcome.deposit.id, seen, f"{asked.caller.role}/{refund_id}")
        return isinstance(seen, NotFound) and self.attendant.forgotten(refund)

    def _refuse_strange_account(self, payee: Payee) -> None:
        """Refused when the bank does not have the account, or has it in another name."""
        holder = self.attendant.provider.holder_of(payee.bank, payee.account)
        if isinstance(holder, Unknown):
            raise Refused(Reason.BUSY, retry_after=1)
        if isinstance(holder, NotFound):
            raise Refused(Reason.INVALID_REQUEST, [FieldError("/account", "unknown_account")])
        if holder and not same_name(holder, payee.holder):
            raise Refused(Reason.INVALID_REQUEST, [FieldError("/holder", "name_differs")])

    def _digest(self, note: str | None) -> str | None:
        return encrypted_text.digest(self.payees.vault, note)

    def _note(self, deposit: Deposit, n: int, note: str | None) -> tuple[TransactionEffect, ...]:
        """Each decision on a refund has a version of its own."""
        return encrypted_text.seal_text(
            self.payees.vault, f"text#{child('ref', deposit.id, n)}#note{deposit.version}", note
        )

    def still_owed(
        self, asked: RequestContext, limit: int, position: Position
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

    def _owed(
        self, page: Page[DepositEvent], asked: RequestContext, seen: int
    ) -> list[tuple[Outcome, tuple[Refund, ...]]]:
        """Each deposit's open refunds, those of the first one behind ``seen``."""
        outcomes = [self.commits.read(stored, asked) for stored in page.rows]
        return [
            (outcome, tuple(refund for refund in outcome.deposit.open_refunds if place > 0 or refund.n > seen))
            for place, outcome in enumerate(outcomes)
        ]


def _parsed(refund_id: str) -> tuple[str, int]:
    parsed = parse_child("ref", refund_id)
    if parsed is None:
        raise Refused(Reason.NOT_FOUND)
    return f"dep_{parsed[0]}", parsed[1]


def _numbered(deposit: Deposit, n: int) -> Refund:
    if n > len(deposit.refunds):
        raise Refused(Reason.NOT_FOUND)
    return deposit.refunds[n - 1]


def _fitting(sizes: Sequence[int], limit: int) -> int:
    """How many from the head fit whole."""
    whole = 0
    while whole < len(sizes) and sum(sizes[: whole + 1]) <= limit:
        whole += 1
    return whole
