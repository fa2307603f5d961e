"""A statutory withdrawal: its words are sealed beside the journal, its receipts can be read again."""

import json
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import asdict

from chalicelib.core.common.ids import child, parse_child
from chalicelib.core.common.journal import RequestContext
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.decide import decide
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.withdrawal import Withdrawal
from chalicelib.core.ending import withdrawal
from chalicelib.core.ending.withdrawal import ConfirmWithdrawal, Receipt, Sender, StateWithdrawal
from chalicelib.core.policy.terms import Terms
from chalicelib.flows.commit import Commits, Outcome
from chalicelib.flows.ports.effects import SealedText
from chalicelib.flows.ports.store import Texts, Vault


class Withdrawals(Struct, frozen=True):
    """State, confirm, and read again."""

    commits: Commits
    texts: Texts
    vault: Vault

    def state(self, deposit_id: str, sender: Sender, asked: RequestContext) -> tuple[Outcome, Withdrawal, Receipt]:
        """Step one; the answer is the receipt."""
        written: list[tuple[Receipt, Sender]] = []

        def decision(deposit: Deposit, terms: Terms) -> Sequence[DepositEvent]:
            decided = decide(deposit, StateWithdrawal(sender), asked.at, terms)
            written[:] = [(withdrawal.stated(deposit, sender, asked.at, terms), sender)]
            return decided

        outcome = self.commits.run(deposit_id, asked, decision, beside=lambda: self._sealed(written, 1))
        return self._shown(outcome, outcome.deposit.withdrawals[-1])

    def confirm(
        self, deposit_id: str, withdrawal_id: str, asked: RequestContext
    ) -> tuple[Outcome, Withdrawal, Receipt]:
        """Step two: everything comes back."""
        n = self._ordinal(deposit_id, withdrawal_id)
        self.find(deposit_id, withdrawal_id, asked)
        sender = self._sender(child("wdr", deposit_id, n))
        written: list[tuple[Receipt, Sender]] = []

        def decision(deposit: Deposit, terms: Terms) -> Sequence[DepositEvent]:
            decided = decide(deposit, ConfirmWithdrawal(n, sender), asked.at, terms)
            written[:] = [(withdrawal.confirmed(deposit, n, sender, asked.at, terms), sender)]
            return decided

        outcome = self.commits.run(deposit_id, asked, decision, beside=lambda: self._sealed(written, 2))
        return self._shown(outcome, outcome.deposit.withdrawals[n - 1])

    def find(self, deposit_id: str, withdrawal_id: str, asked: RequestContext) -> tuple[Outcome, Withdrawal, Receipt]:
        """The latest receipt; NOT_FOUND for another deposit's."""
        n = self._ordinal(deposit_id, withdrawal_id)
        outcome = self.commits.read(self.commits.load(deposit_id), asked)
        if n > len(outcome.deposit.withdrawals):
            raise Refused(Reason.NOT_FOUND)
        return self._shown(outcome, outcome.deposit.withdrawals[n - 1])

    def _ordinal(self, deposit_id: str, withdrawal_id: str) -> int:
        parsed = parse_child("wdr", withdrawal_id)
        if parsed is None or f"dep_{parsed[0]}" != deposit_id:
            raise Refused(Reason.NOT_FOUND)
        return parsed[1]

    def _sealed(self, written: Sequence[tuple[Receipt, Sender]], step: int) -> tuple[SealedText, ...]:
        """What the decision wrote; a replay decided nothing."""
        return tuple(
            SealedText(key, self.vault.seal(key, json.dumps({**asdict(sender), "content": receipt.content}).encode()))
            for receipt, sender in written
            for key in (text_key(receipt.id, step),)
        )

    def _shown(self, outcome: Outcome, one: Withdrawal) -> tuple[Outcome, Withdrawal, Receipt]:
        confirmed = one.confirmed_at is not None
        receipt_id = child("wdr", outcome.deposit.id, one.n)
        content = self._opened(text_key(receipt_id, 2 if confirmed else 1))["content"]
        at = one.confirmed_at if one.confirmed_at is not None else one.stated_at
        return outcome, one, Receipt(receipt_id, content, at)

    def _sender(self, withdrawal_id: str) -> Sender:
        kept = self._opened(text_key(withdrawal_id, 1))
        return Sender(kept["name"], kept["reach"], kept["locale"])

    def _opened(self, key: str) -> dict[str, str]:
        sealed = self.texts.get(key)
        if sealed is None:
            raise Refused(Reason.NOT_FOUND)
        found: dict[str, str] = json.loads(self.vault.unseal(key, sealed))
        return found


def text_key(withdrawal_id: str, step: int) -> str:
    """Each step's words are kept by themselves: a receipt never changes."""
    return f"text#{withdrawal_id}#{step}"
