"""Numbered records of a deposit: payments, refunds, claims and others."""

from typing import Protocol, TypeVar


class Numbered(Protocol):
    """A record whose number is its place in its tuple, counted from 1."""

    @property
    def n(self) -> int: ...


Row = TypeVar("Row", bound=Numbered)


def with_row(rows: tuple[Row, ...], row: Row) -> tuple[Row, ...]:
    """The rows with ``row`` in the place of its number."""
    return (*rows[: row.n - 1], row, *rows[row.n :])
