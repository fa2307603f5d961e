"""Numbered records inside a deposit, and the table of events that change it."""

from typing import TypeVar

from chalicelib.core.deposit.claim import Claim
from chalicelib.core.deposit.payment import Payment
from chalicelib.core.deposit.priority_pass import Pass
from chalicelib.core.deposit.question import Question
from chalicelib.core.deposit.refund import Refund

Row = TypeVar("_Row", bound="Payment | Refund | Intent | Withdrawal | Dispute | Question | Pass | Claim")


def with_row(rows: tuple[Row, ...], row: Row) -> tuple[Row, ...]:
    return (*rows[: row.n - 1], row, *rows[row.n :])
