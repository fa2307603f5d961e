"""The sandbox's books on paper: the same rows in memory, for tests that turn many pages. test_books holds both to one word."""

import json
from collections.abc import Mapping
from typing import Any

from chalicelib.gateways.books import Books, Row
from chalicelib.gateways.sandbox import Deliver, Sandbox

T0 = 1_795_269_600_000


class Paper(Books):
    """Pages of lines. Rows pass through JSON, as they do in the table."""

    def __init__(self) -> None:
        self._pages: dict[str, dict[str, str]] = {}

    def get(self, page: str, line: str) -> Row | None:
        written = self._pages.get(page, {}).get(line)
        return json.loads(written) if written is not None else None

    def put(self, page: str, line: str, row: Mapping[str, Any]) -> None:
        self._pages.setdefault(page, {})[line] = json.dumps(row)

    def drop(self, page: str, line: str) -> None:
        self._pages.get(page, {}).pop(line, None)

    def lines(self, page: str) -> list[tuple[str, Row]]:
        return [(line, json.loads(row)) for line, row in sorted(self._pages.get(page, {}).items())]

    def behind(self, page: str, line: str, limit: int) -> list[tuple[str, Row]]:
        return [(name, row) for name, row in self.lines(page) if name > line][:limit]

    def first(self, page: str) -> tuple[str, Row] | None:
        return next(iter(self.lines(page)), None)

    def everything(self) -> str:
        """All that stands there, to look for what must not."""
        return json.dumps(self._pages)


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
