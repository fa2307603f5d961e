"""The books of the sandbox: rows by page and line, on all engines and on paper alike."""

from itertools import count
from typing import Any

import pytest

from chalicelib.gateways.sandbox.books import Books
from chalicelib.store import schema
from tests.conftest import FIXTURES
from tests.gateways.paper import Paper

LINES = ["1", "2", "2\t1", "2\t1\t0", "2\n", "2 1", "A", "a", '~ "x"', "订单"]
_numbers = count(1)


@pytest.fixture(params=[*FIXTURES, "paper"])
def books(request: pytest.FixtureRequest) -> Books:
    if request.param == "paper":
        return Paper()
    client, name = request.getfixturevalue(FIXTURES[request.param]), f"books-{next(_numbers)}"
    schema.create_tables(client, f"{name}-main", name)
    return Books(client, name)


def written(books: Books, lines: list[str]) -> list[tuple[str, dict[str, Any]]]:
    for line in reversed(lines):
        books.put("page", line, {"line": line, "n": 1})
    books.put("pagf", "1", {"line": "of another page", "n": 2})
    return [(line, {"line": line, "n": 1}) for line in sorted(lines)]


def test_a_page_is_read_in_the_order_of_its_lines(books: Books) -> None:
    rows = written(books, LINES)
    assert books.rows("page") == rows
    assert books.first("page") == rows[0]
    assert (books.rows("none"), books.first("none")) == ([], None)


def test_a_page_is_read_on_from_any_line(books: Books) -> None:
    rows = written(books, LINES)
    for line in (*LINES, "0", "2\t", "2\t2", "zz"):
        rest = [row for row in rows if row[0] > line]
        for limit in (1, 3, 100):
            assert books.rows_after("page", line, limit) == rest[:limit]


def test_a_row_is_written_over_and_dropped(books: Books) -> None:
    books.put("page", "1", {"n": 1})
    books.put("page", "1", {"n": 2, "name": "客"})
    assert books.get("page", "1") == {"n": 2, "name": "客"}
    books.delete("page", "1")
    books.delete("page", "1")
    assert books.get("page", "1") is None
    assert books.rows("page") == []
