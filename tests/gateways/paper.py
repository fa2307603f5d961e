"""The sandbox's books in memory, for tests that read many pages. test_books tests both implementations alike."""

import json
from collections.abc import Mapping
from typing import Any

from chalicelib.gateways.sandbox.books import Books, Row
from chalicelib.gateways.sandbox.effects import Deliver
from chalicelib.gateways.sandbox.provider import Sandbox

T0 = 1_795_269_600_000


class Paper(Books):
    """Partitions of rows. Rows pass through JSON, as they do in the table."""

    def __init__(self) -> None:
        self._partitions: dict[str, dict[str, str]] = {}

    def get(self, partition: str, name: str) -> Row | None:
        row = self._partitions.get(partition, {}).get(name)
        return json.loads(row) if row is not None else None

    def put(self, partition: str, name: str, row: Mapping[str, Any]) -> None:
        self._partitions.setdefault(partition, {})[name] = json.dumps(row)

    def delete(self, partition: str, name: str) -> None:
        self._partitions.get(partition, {}).pop(name, None)

    def rows(self, partition: str) -> list[tuple[str, Row]]:
        return [(name, json.loads(row)) for name, row in sorted(self._partitions.get(partition, {}).items())]

    def rows_after(self, partition: str, name: str, limit: int) -> list[tuple[str, Row]]:
        return [(other, row) for other, row in self.rows(partition) if other > name][:limit]

    def first(self, partition: str) -> tuple[str, Row] | None:
        return next(iter(self.rows(partition)), None)

    def everything(self) -> str:
        """All rows as text, to search for what must not be stored."""
        return json.dumps(self._partitions)


class Inbox:
    """Takes every event and keeps it."""

    def __init__(self) -> None:
        self.bodies: list[str] = []

    def __call__(self, _id: str, body: bytes) -> int:
        self.bodies.append(body.decode())
        return 200

    @property
    def subjects(self) -> list[str]:
        return [json.loads(body)["data"]["id"] for body in self.bodies]


def sandbox(books: Books | None = None, deliver: Deliver | None = None) -> Sandbox:
    """A provider whose machine stands still: only the tests move its clock."""
    return Sandbox(books if books is not None else Paper(), lambda: T0, deliver)
