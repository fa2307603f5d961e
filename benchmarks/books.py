"""Two sides of any size for a reconciliation, made while they are read, so that only the reader's memory is measured.

Ours comes as pages of the index in DynamoDB's own notation, the provider's as pages of JSON, as both come over the wire.
"""

# ruff: noqa: ARG002 - doubles take what the real ones take
import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from chalicelib.core.common.instants import DAY
from chalicelib.core.common.journal import Entry
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.reconciliation.lines import BODY_LENGTH, SHARDS, Line
from chalicelib.core.reconciliation.run import BreakFound, Run, RunEvent, RunFailed, RunFinished
from chalicelib.flows.ports.effects import Stored
from chalicelib.flows.ports.provider import NotFound, ReportPage
from chalicelib.flows.ports.store import Leased, RunAt
from chalicelib.store.movements import FIELD_SEPARATOR, LINE_SEPARATOR

START: Final = 1_795_219_200_000  # a midnight
END: Final = START + DAY
AMOUNT: Final = 500_000
# One line in so many has each of these mistakes on one side; none is made elsewhere.
EVERY: Final = 61
MISTAKES: Final = ("missing_at_provider", "unknown_here", "amount_mismatch", "duplicate", "in_transit")


def body(shard: int, n: int) -> str:
    """A deposit's 26 characters; within a shard they ascend with ``n``."""
    return f"{shard:02d}{n:024d}"


def planted_mistake(n: int) -> str | None:
    """Which mistake, if any, the ``n``-th deposit of a shard is about."""
    place, kind = divmod(n, EVERY)
    return MISTAKES[place % len(MISTAKES)] if kind == EVERY - 1 else None


@dataclass(slots=True)
class Books:
    """``lines`` movements on each side: a capture and a refund for each deposit, over all shards.

    ``made_ns`` is the processor time that went into making them: in a deployment the other side's, on another machine.
    """

    lines: int
    made_ns: int = 0

    @contextmanager
    def making(self) -> Iterator[None]:
        began = time.process_time_ns()
        yield
        self.made_ns += time.process_time_ns() - began

    @property
    def deposits(self) -> int:
        """How many there are in each shard."""
        return max(self.lines // (2 * SHARDS), 1)

    def planted_breaks(self) -> dict[str, int]:
        """How many differences of each kind a run must find, by deposit: two lines each where a side is missing."""
        found = dict.fromkeys(MISTAKES, 0)
        for n in range(self.deposits):
            kind = planted_mistake(n)
            if kind is not None:
                found[kind] += SHARDS * (2 if kind in {"missing_at_provider", "unknown_here", "in_transit"} else 1)
        return found


class Index:
    """The client that the index is read with."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def query(self, *, ExpressionAttributeValues: Mapping[str, Any], Limit: int, **rest: Any) -> dict[str, Any]:  # noqa: N803
        """One page: all deposits moved on the span's day."""
        day, _, shard = ExpressionAttributeValues[":p"]["S"].partition("#")
        if day != "20261121":
            return {"Items": []}
        start = rest.get("ExclusiveStartKey", {}).get("pk") or ExpressionAttributeValues[":after"]
        first = _next_number(start["S"].removeprefix("dep_"))
        last = min(first + Limit, self._books.deposits)
        with self._books.making():
            items = [_row(int(shard), n) for n in range(first, last) if planted_mistake(n) != "unknown_here"]
        more = (
            {"LastEvaluatedKey": {"pk": {"S": f"dep_{body(int(shard), last - 1)}"}}}
            if last < self._books.deposits
            else {}
        )
        return {"Items": items, **more}


def _next_number(after: str) -> int:
    return int(after[2:BODY_LENGTH]) + 1 if after else 0


def _row(shard: int, n: int) -> dict[str, Any]:
    name = body(shard, n)
    at = END - 1 if planted_mistake(n) == "in_transit" else START + n % 40_000_000
    capture = FIELD_SEPARATOR.join(("c0001", f"pay_{name}_1.1", str(AMOUNT), "CNY", str(at), "2", "1"))
    refund = FIELD_SEPARATOR.join(("r0001", f"sbx_ref_{name}_1.1", str(AMOUNT), "CNY", str(at), "2", "1"))
    return {"pk": {"S": f"dep_{name}"}, "lines": {"S": f"{capture}{LINE_SEPARATOR}{refund}"}}


class Report:
    """The provider's list, a page of JSON at a time."""

    settle_days = 1

    def __init__(self, books: Books) -> None:
        self._books = books

    def page(self, start: int, end: int, shard: int, after: str, limit: int) -> ReportPage:
        first = _next_number(after)
        last = min(first + limit // 2, self._books.deposits)
        with self._books.making():
            sent = json.dumps([row for n in range(first, last) for row in _provider_rows(shard, n)])
        rows = json.loads(sent)
        lines = [Line(row["place"], row["ref"], row["minor"], row["currency"], row["at"]) for row in rows]
        return ReportPage(lines, body(shard, last - 1) if last < self._books.deposits else None)


def _provider_rows(shard: int, n: int) -> Iterator[dict[str, Any]]:
    kind, name, at = planted_mistake(n), body(shard, n), START + n % 40_000_000
    if kind in {"missing_at_provider", "in_transit"}:
        return
    short = 1 if kind == "amount_mismatch" else 0
    capture = {"place": f"{name}c0001", "ref": f"pay_{name}_1.1", "minor": AMOUNT, "currency": "CNY", "at": at}
    yield capture
    if kind == "duplicate":
        yield capture
    yield {**capture, "place": f"{name}r0001", "ref": f"sbx_ref_{name}_1.1", "minor": AMOUNT - short}


@dataclass
class Journals:
    """Deposits as the flow asks for them: their index, and no journal behind it."""

    moved: Any

    def get(self, deposit_id: str) -> Stored[Any] | None:
        return None

    def owing(self, shard: int) -> Sequence[str]:
        return ()


class SilentProvider:
    """A worker whose provider knows nothing more than its report."""

    def query_payment(self, payment_id: str) -> NotFound:
        return NotFound()

    def query_refund(self, deposit: Deposit, n: int) -> NotFound:
        return NotFound()


class Killed(BaseException):
    """The machine went away."""


@dataclass
class RunStore:
    """Runs in memory; the cursor passes through JSON, as in the table. ``fuse`` checkpoints until the machine dies."""

    at: RunAt
    fuse: int = -1
    found: Counter[str] = field(default_factory=Counter)
    chain: str = ""
    finished: RunFinished | None = None
    checkpoints: int = 0

    def get(self, run_id: str) -> RunAt:
        return self.at

    def unfinished(self, now: int, limit: int) -> Sequence[str]:
        return [] if self.finished is not None else [self.at.stored.id]

    def checkpoint(
        self,
        at: RunAt,
        cursor: Mapping[str, Any] | None,
        breaks: Sequence[BreakFound],
        owner: str,
        now: int,
        until: int,
    ) -> RunAt:
        if self.fuse == 0:
            raise Killed
        if at.cursors != self.at.cursors:
            raise Leased
        self.fuse -= 1
        self.checkpoints += 1
        self.found.update(found_break.kind for found_break in breaks)
        for one in breaks:
            self.chain = hashlib.sha256(f"{self.chain}{one}".encode()).hexdigest()
        place = json.loads(json.dumps(cursor)) if cursor is not None else self.at.cursor
        self.at = RunAt(at.stored, place, at.cursors + 1)
        return self.at

    def finish(self, at: RunAt, run: Run, event: RunFinished | RunFailed, now: int) -> None:
        assert isinstance(event, RunFinished), event
        self.finished = event


def start_store(run: Run, entry: Entry[RunEvent]) -> RunStore:
    return RunStore(RunAt(Stored(run.id, (entry,)), None, 0))
