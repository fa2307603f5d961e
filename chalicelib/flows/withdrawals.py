"""A statutory withdrawal: its texts are sealed, its receipts can be read again."""

import json

from msgspec import Struct
from msgspec.structs import asdict

from chalicelib.core.common.ids import child, parse_child
from chalicelib.core.common.journal import RequestContext
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.withdrawal import Withdrawal
from chalicelib.core.ending import withdrawal
from chalicelib.core.ending.withdrawal import ConfirmWithdrawal, Receipt, Sender, StateWithdrawal
from chalicelib.core.policy.terms import Terms
from chalicelib.flows import text_keys
from chalicelib.flows.commit import Commits
from chalicelib.flows.ports.effects import SealedText
from chalicelib.flows.ports.store import Texts, Vault
from chalicelib.flows.snapshot import Outcome

STATED, CONFIRMED = 1, 2  # the steps of a withdrawal, each with a receipt of its own


class Withdrawals(Struct, frozen=True):
    """State, confirm, and read again."""

    commits: Commits
    texts: Texts
    vault: Vault

    def state(self, deposit_id: str, sender: Sender, request: RequestContext) -> tuple[Outcome, Withdrawal, Receipt]:
        """Step one; the answer is the receipt."""

        def seal(deposit: Deposit, terms: Terms) -> tuple[SealedText, ...]:
            return self._seal(withdrawal.build_statement_receipt(deposit, sender, request.at, terms), sender, STATED)

        outcome = self.commits.execute(deposit_id, StateWithdrawal(sender), request, effects=seal)
        return self._view(outcome, outcome.deposit.withdrawals[-1])

    def confirm(
        self, deposit_id: str, withdrawal_id: str, request: RequestContext
    ) -> tuple[Outcome, Withdrawal, Receipt]:
        """Step two: everything comes back."""
        n = self._number(deposit_id, withdrawal_id)
        self.find(deposit_id, withdrawal_id, request)
        sender = self._sender(child("wdr", deposit_id, n))

        def seal(deposit: Deposit, terms: Terms) -> tuple[SealedText, ...]:
            return self._seal(
                withdrawal.build_confirmation_receipt(deposit, n, sender, request.at, terms), sender, CONFIRMED
            )

        outcome = self.commits.execute(deposit_id, ConfirmWithdrawal(n, sender), request, effects=seal)
        return self._view(outcome, outcome.deposit.withdrawals[n - 1])

    def find(self, deposit_id: str, withdrawal_id: str, request: RequestContext) -> tuple[Outcome, Withdrawal, Receipt]:
        """The latest receipt. Refused(NOT_FOUND) for a withdrawal of another deposit."""
        n = self._number(deposit_id, withdrawal_id)
        outcome = self.commits.find(deposit_id, request)
        if n > len(outcome.deposit.withdrawals):
            raise Refused(Reason.NOT_FOUND)
        return self._view(outcome, outcome.deposit.withdrawals[n - 1])

    def _number(self, deposit_id: str, withdrawal_id: str) -> int:
        parsed = parse_child("wdr", withdrawal_id)
        if parsed is None or f"dep_{parsed[0]}" != deposit_id:
            raise Refused(Reason.NOT_FOUND)
        return parsed[1]

    def _seal(self, receipt: Receipt, sender: Sender, step: int) -> tuple[SealedText, ...]:
        key = text_keys.withdrawal_text(receipt.id, step)
        content = json.dumps({**asdict(sender), "content": receipt.content})
        return (SealedText(key, self.vault.seal(key, content.encode())),)

    def _view(self, outcome: Outcome, row: Withdrawal) -> tuple[Outcome, Withdrawal, Receipt]:
        receipt_id = child("wdr", outcome.deposit.id, row.n)
        step = STATED if row.confirmed_at is None else CONFIRMED
        content = self._unseal(text_keys.withdrawal_text(receipt_id, step))["content"]
        at = row.confirmed_at if row.confirmed_at is not None else row.stated_at
        return outcome, row, Receipt(receipt_id, content, at)

    def _sender(self, withdrawal_id: str) -> Sender:
        text = self._unseal(text_keys.withdrawal_text(withdrawal_id, STATED))
        return Sender(text["name"], text["reach"], text["locale"])

    def _unseal(self, key: str) -> dict[str, str]:
        sealed = self.texts.get(key)
        if sealed is None:
            raise Refused(Reason.NOT_FOUND)
        text: dict[str, str] = json.loads(self.vault.unseal(key, sealed))
        return text
