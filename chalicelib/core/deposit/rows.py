"""Numbered records inside a deposit."""

from typing import Protocol, TypeVar


class Numbered(Protocol):
    """A record that is named by its place, counted from one."""

    @property
    def n(self) -> int: ...


Row = TypeVar("Row", bound=Numbered)


def with_row(rows: tuple[Row, ...], row: Row) -> tuple[Row, ...]:
    """The records with the one of the same number replaced."""
    return (*rows[: row.n - 1], row, *rows[row.n :])
