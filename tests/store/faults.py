"""What no local engine does by itself: answers lost on the way back, throttles, conflicts, and somebody who is faster.

All of it hangs on botocore's event hooks of one client, which also counts trips and write units.
"""

import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from random import Random
from types import SimpleNamespace
from typing import Any, Final

import boto3
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError, HTTPClientError, ReadTimeoutError
from botocore.httpsession import URLLib3Session

from tests.conftest import CONFIG, Tables

Answer = Callable[[Any], Any]
READS: Final = frozenset({"GetItem", "BatchGetItem", "Query"})
LOST: Final[tuple[type[HTTPClientError], ...]] = (ReadTimeoutError, ConnectionClosedError)


class Line:
    """The wire of one client, and what is to go wrong on it. ``trips`` are the operations really sent or answered."""

    def __init__(self, client: Any, lost_of_100: int, seed: int) -> None:
        self.trips: list[str] = []
        self.lost = 0
        self.units: list[tuple[str, float]] = []
        self.indexes: list[tuple[str, float]] = []
        self._planned: dict[str, deque[Answer]] = defaultdict(deque)
        self._watched: dict[str, Callable[[str], object]] = {}
        self._withheld = False
        self._lost_of_100 = lost_of_100
        self._random = Random(seed)  # noqa: S311 - the same losses in every run
        self._lock = threading.Lock()
        self._http = URLLib3Session(max_pool_connections=32)
        client.meta.events.register("before-send.dynamodb", self._sent)
        client.meta.events.register("provide-client-params.dynamodb", _counting)
        client.meta.events.register("after-call.dynamodb", self._answered)

    def fail(self, operation: str, code: str, *, reasons: list[str] | None = None, times: int = 1) -> None:
        """Refuse the next calls without carrying them out. ``reasons`` are those of a cancelled transaction."""
        self._plan(operation, lambda request: _refusal(request, code, reasons), times)

    def lose(self, operation: str, times: int = 1) -> None:
        """Carry out the next calls, and lose their answers on the way back."""
        self._plan(operation, self._lost, times)

    def before(self, operation: str, act: Callable[[], object], times: int = 1) -> None:
        """Let somebody else be faster than the next calls."""

        def answer(_: Any) -> None:
            act()

        self._plan(operation, answer, times)

    def withhold(self) -> None:
        """Of the next batch of keys only the first is answered; the others are handed back as not processed."""
        self._withheld = True

    def watch(self, operation: str, see: Callable[[str], object]) -> None:
        """Show the body of every call of an operation."""
        self._watched[operation] = see

    def counted(self, act: Callable[[], object]) -> tuple[list[str], float]:
        """The trips of something, and the write units it consumed."""
        trips, units = len(self.trips), len(self.units)
        act()
        return self.trips[trips:], sum(cost for name, cost in self.units[units:] if name not in READS)

    def total(self) -> float:
        """All units consumed so far, reads too."""
        return sum(cost for _, cost in self.units)

    def close(self) -> None:
        self._http.close()

    def _plan(self, operation: str, answer: Answer, times: int) -> None:
        self._planned[operation].extend([answer] * times)

    def _sent(self, request: Any, event_name: str, **_: Any) -> Any:
        operation = event_name.rpartition(".")[2]
        with self._lock:
            self.trips.append(operation)
            planned = self._planned[operation].popleft() if self._planned[operation] else None
            unlucky = self._random.randrange(100) < self._lost_of_100
        if operation in self._watched:
            self._watched[operation](request.body.decode())
        if planned is not None:
            return planned(request)
        return self._lost(request) if unlucky else None

    def _lost(self, request: Any) -> None:
        self._http.send(request)
        with self._lock:
            self.lost += 1
            kind = self._random.choice(LOST)
        raise kind(endpoint_url=request.url)

    def _answered(self, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        if model.name == "BatchGetItem" and self._withheld:
            self._withheld = False
            [(table, items)] = parsed["Responses"].items()
            parsed["UnprocessedKeys"] = {table: {"Keys": [{"pk": item["pk"]} for item in items[1:]]}}
            del items[1:]
        consumed = parsed.get("ConsumedCapacity", [])
        tables = consumed if isinstance(consumed, list) else [consumed]
        with self._lock:
            self.units += [(model.name, table["CapacityUnits"]) for table in tables]
            for table in tables:
                parts = table.get("GlobalSecondaryIndexes", {})
                self.indexes += [(name, part["CapacityUnits"]) for name, part in parts.items()]


@contextmanager
def line(tables: Tables, *, attempts: int = 1, lost_of_100: int = 0, seed: int = 7) -> Iterator[tuple[Tables, Line]]:
    """The same tables over a client of its own, which tries once unless told otherwise, and its wire."""
    url = tables.client.meta.endpoint_url
    assert "127.0.0.1" in url, "faults travel on real sockets"
    config = CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": attempts}))
    client = _session().client("dynamodb", endpoint_url=url, config=config)
    wire = Line(client, lost_of_100, seed)
    try:
        yield tables._replace(client=client), wire
    finally:
        wire.close()
        client.close()


@cache
def _session() -> boto3.Session:
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="eu-central-1")


def _counting(params: dict[str, Any], **_: Any) -> dict[str, Any]:
    return {**params, "ReturnConsumedCapacity": "INDEXES"}


def _refusal(request: Any, code: str, reasons: list[str] | None) -> AWSResponse:
    body: dict[str, Any] = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "as planned"}
    if reasons is not None:
        body["CancellationReasons"] = [{"Code": reason} for reason in reasons]
    content = json.dumps(body).encode()
    return AWSResponse(request.url, 400, HTTPHeaders(), SimpleNamespace(stream=lambda **_: iter([content])))
