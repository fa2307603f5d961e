"""A statutory withdrawal in two steps, statement and confirmation, each with a receipt.

Source: Directive (EU) 2023/2673, article 11a. The statement names the sender, the contract and how to reach the sender; the
receipt gives content, date and time. An event holds only the digest of a receipt, never a name.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

import rfc8785
from msgspec import Struct

from chalicelib.core.common import instants
from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import format_instant
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit import description
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.command_row import Action, Command, CommandRow, Commands, needed
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.ending import WithdrawalConfirmed, WithdrawalStated
from chalicelib.core.ending import end, entitlement
from chalicelib.core.policy import texts
from chalicelib.core.policy.terms import Terms

MAX_STATEMENTS: Final = 10  # of one deposit


class Sender(Struct, frozen=True):
    """Who withdraws, and where the confirmation is sent. Personal data: never in an event."""

    name: str
    reach: str
    locale: str


class StateWithdrawal(Command, frozen=True):
    """Step one: the buyer states the withdrawal."""

    sender: Sender


class ConfirmWithdrawal(Command, frozen=True):
    """Step two: the buyer confirms the ``n``-th statement."""

    n: int
    sender: Sender


class Receipt(Struct, frozen=True):
    """What the sender keeps: the text, the instant, and a digest over text, instant and id."""

    id: str
    content: str
    at: int

    @property
    def digest(self) -> str:
        """``sha256:<hex>`` over canonical JSON of ``{id, content, at}``, ``at`` as in the answer."""
        covered = {"id": self.id, "content": self.content, "at": format_instant(self.at)}
        return "sha256:" + hashlib.sha256(bytes(rfc8785.dumps(covered))).hexdigest()


def refuse_withdrawal(deposit: Deposit, at: int, terms: Terms) -> None:
    """Refused as the confirmation would be; RATE_LIMITED after ``MAX_STATEMENTS`` statements."""
    entitlement.compute_entitlement(deposit, terms, Cause.WITHDRAWAL, at)
    if len(deposit.withdrawals) >= MAX_STATEMENTS:
        raise Refused(Reason.RATE_LIMITED, most=MAX_STATEMENTS)


def build_statement_receipt(deposit: Deposit, sender: Sender, at: int, terms: Terms) -> Receipt:
    """The receipt of the statement."""
    n = len(deposit.withdrawals) + 1
    return Receipt(child("wdr", deposit.id, n), _fill_receipt("withdrawal_stated/1", deposit, sender, at, terms), at)


def build_confirmation_receipt(deposit: Deposit, n: int, sender: Sender, at: int, terms: Terms) -> Receipt:
    """The receipt of the confirmation, with the refund and its latest date."""
    owed = entitlement.compute_entitlement(deposit, terms, Cause.WITHDRAWAL, at)
    promised = at + instants.duration_ms(terms.refund.deadline)
    words = {
        "refund": texts.format_amount(owed.amount, sender.locale),
        "promised": texts.format_local_time(promised, terms.policy.time_zone),
    }
    content = _fill_receipt("withdrawal_confirmed/1", deposit, sender, at, terms, **words)
    return Receipt(child("wdr", deposit.id, n), content, at)


def state_withdrawal(deposit: Deposit, command: StateWithdrawal, at: int, terms: Terms) -> WithdrawalStated:
    refuse_withdrawal(deposit, at, terms)
    receipt = build_statement_receipt(deposit, command.sender, at, terms)
    return WithdrawalStated(at, len(deposit.withdrawals) + 1, receipt.digest)


def confirm_withdrawal(deposit: Deposit, command: ConfirmWithdrawal, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """The confirmation ends the deposit: everything comes back, standard shipping too. NOT_FOUND without the statement."""
    if command.n > len(deposit.withdrawals):
        raise Refused(Reason.NOT_FOUND)
    owed = entitlement.compute_entitlement(deposit, terms, Cause.WITHDRAWAL, at)
    receipt = build_confirmation_receipt(deposit, command.n, command.sender, at, terms)
    yield WithdrawalConfirmed(at, command.n, receipt.digest)
    yield from end.end_deposit(deposit, Cause.WITHDRAWAL, owed, at, terms.refund.deadline)


def _fill_receipt(key: str, deposit: Deposit, sender: Sender, at: int, terms: Terms, **more: str) -> str:
    return texts.read_text("receipts", key, locale=sender.locale).format(
        name=sender.name,
        reach=sender.reach,
        deposit=deposit.id,
        goods=description.describe_goods(deposit, terms),
        at=texts.format_local_time(at, terms.policy.time_zone),
        **more,
    )


COMMANDS: Final[Commands] = (
    CommandRow(StateWithdrawal, state_withdrawal, Action("buyer", "withdrawals", refuse_withdrawal), needed),
    CommandRow(ConfirmWithdrawal, confirm_withdrawal, None, needed),
)
