"""A withdrawal receipt as an answer."""

from chalicelib.core.common.instants import format_instant
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.withdrawal import Withdrawal
from chalicelib.core.ending.withdrawal import Receipt
from chalicelib.web.withdrawals.answers import WithdrawalAnswer


def withdrawal(deposit: Deposit, stated: Withdrawal, receipt: Receipt) -> WithdrawalAnswer:
    """The receipt of a statutory withdrawal: its sender can keep it, and check its digest."""
    return {
        "id": receipt.id,
        "object": "withdrawal",
        "deposit": deposit.id,
        "status": "stated" if stated.confirmed_at is None else "confirmed",
        "content": receipt.content,
        "at": format_instant(receipt.at),
        "digest": receipt.digest,
    }
