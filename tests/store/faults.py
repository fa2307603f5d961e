"""What no engine does by itself: answers lost on the way back, throttles, conflicts, and somebody who is faster.

On a real engine all of it hangs on botocore's event hooks of one client, on the engine in memory it is put around each
call. Both count trips and write units.
"""

import json
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from random import Random
from types import SimpleNamespace
from typing import Any, Final

import boto3
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError, ReadTimeoutError
from botocore.httpsession import URLLib3Session

from tests.conftest import Tables
from tests.engines import CONFIG
from tests.memory import URL, MemoryClient, camel_case
from tests.simulator.dynamo import EXCEPTIONS

READS: Final = frozenset({"GetItem", "BatchGetItem", "Query"})
WRITES: Final = frozenset({"PutItem", "UpdateItem", "TransactWriteItems"})
LOST: Final[tuple[type[HTTPClientError], ...]] = (ReadTimeoutError, ConnectionClosedError)
# What botocore tries again by itself.
RETRIED: Final = frozenset({"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"})


@dataclass(frozen=True)
class Refuse:
    """The next call is refused and not carried out."""

    code: str
    reasons: list[str] | None


class Lose:
    """The next call is carried out and its answer lost."""


@dataclass(frozen=True)
class Act:
    """Something happens before the next call."""

    act: Callable[[], object]


class FaultInjector:
    """The way to the engine, and what is to go wrong on it. ``trips`` are the operations really sent or answered."""

    def __init__(self, lost_of_100: int, seed: int) -> None:
        self.trips: list[str] = []
        self.lost = 0
        self.units: list[tuple[str, float]] = []
        self.indexes: list[tuple[str, float]] = []
        self._planned: dict[str, deque[Refuse | Lose | Act]] = defaultdict(deque)
        self._watched: dict[str, Callable[[str], object]] = {}
        self._withheld = False
        self._lost_of_100 = lost_of_100
        self._random = Random(seed)  # noqa: S311 - the same losses in every run
        self._lock = threading.Lock()

    def fail(self, operation: str, code: str, *, reasons: list[str] | None = None, times: int = 1) -> None:
        """Refuse the next calls without carrying them out. ``reasons`` are those of a cancelled transaction."""
        self._planned[operation].extend([Refuse(code, reasons)] * times)

    def lose(self, operation: str, times: int = 1) -> None:
        """Carry out the next calls, and lose their answers on the way back."""
        self._planned[operation].extend([Lose()] * times)

    def before(self, operation: str, act: Callable[[], object], times: int = 1) -> None:
        """Let somebody else be faster than the next calls."""
        self._planned[operation].extend([Act(act)] * times)

    def withhold(self) -> None:
        """Of the next batch of keys only the first is answered; the others are handed back as not processed."""
        self._withheld = True

    def watch(self, operation: str, see: Callable[[str], object]) -> None:
        """Show the body of every call of an operation."""
        self._watched[operation] = see

    def measure(self, act: Callable[[], object]) -> tuple[list[str], float]:
        """The trips of something, and the write units it consumed."""
        trips, units = len(self.trips), len(self.units)
        act()
        return self.trips[trips:], sum(cost for name, cost in self.units[units:] if name not in READS)

    def total_units(self) -> float:
        """All units consumed so far, reads too."""
        return sum(cost for _, cost in self.units)

    def next_fault(self, operation: str, body: Callable[[], str]) -> Refuse | Lose | None:
        """What goes wrong with a call that is sent now; somebody else may act first."""
        with self._lock:
            self.trips.append(operation)
            planned = self._planned[operation].popleft() if self._planned[operation] else None
            unlucky = self._random.randrange(100) < self._lost_of_100
        if operation in self._watched:
            self._watched[operation](body())
        if isinstance(planned, Act):
            planned.act()
            return None
        return planned or (Lose() if unlucky else None)

    def lost_answer(self, url: str) -> HTTPClientError:
        with self._lock:
            self.lost += 1
            kind = self._random.choice(LOST)
        return kind(endpoint_url=url)

    def count_answer(self, operation: str, parsed: dict[str, Any]) -> None:
        """Count what an answer says that it cost; hold back what is to be held back."""
        if operation == "BatchGetItem" and self._withheld:
            self._withheld = False
            [(table, items)] = parsed["Responses"].items()
            parsed["UnprocessedKeys"] = {table: {"Keys": [{"pk": item["pk"]} for item in items[1:]]}}
            del items[1:]
        consumed = parsed.get("ConsumedCapacity", [])
        tables = consumed if isinstance(consumed, list) else [consumed]
        with self._lock:
            self.units += [(operation, table["CapacityUnits"]) for table in tables]
            for table in tables:
                parts = table.get("GlobalSecondaryIndexes", {})
                self.indexes += [(name, part["CapacityUnits"]) for name, part in parts.items()]


class Sockets:
    """A line over the hooks of a client of its own."""

    def __init__(self, client: Any, faults: FaultInjector) -> None:
        self._faults = faults
        self._http = URLLib3Session(max_pool_connections=32)
        client.meta.events.register("before-send.dynamodb", self._sent)
        client.meta.events.register("provide-client-params.dynamodb", _counting)
        client.meta.events.register("after-call.dynamodb", self._answered)

    def close(self) -> None:
        self._http.close()

    def _sent(self, request: Any, event_name: str, **_: Any) -> Any:
        match self._faults.next_fault(event_name.rpartition(".")[2], lambda: str(request.body.decode())):
            case Refuse(code, reasons):
                return _refusal(request, code, reasons)
            case Lose():
                self._http.send(request)
                raise self._faults.lost_answer(request.url)
            case None:
                return None

    def _answered(self, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        self._faults.count_answer(model.name, parsed)


class Caller:
    """A client of the engine in memory whose calls take a line. It tries again as botocore does, without waiting."""

    def __init__(self, engine: MemoryClient, faults: FaultInjector, attempts: int) -> None:
        self._engine = engine
        self._faults = faults
        self._attempts = attempts

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if camel_case(name) in READS | WRITES:
            return partial(self._call, name)
        return getattr(self._engine, name)

    def _call(self, method: str, **parameters: Any) -> Any:
        for left in reversed(range(self._attempts)):
            try:
                return self._once(method, parameters)
            except HTTPClientError:
                if not left:
                    raise
            except ClientError as error:
                if not left or error.response["Error"]["Code"] not in RETRIED:
                    raise
        raise AssertionError("there is always a first attempt")

    def _once(self, method: str, parameters: Mapping[str, Any]) -> Any:
        operation = camel_case(method)
        time.sleep(0)  # a thread that waits for an answer lets the others go on
        wrong = self._faults.next_fault(operation, lambda: json.dumps(parameters, default=bytes.hex))
        if isinstance(wrong, Refuse):
            reasons = [{"Code": reason} for reason in wrong.reasons or ()]
            told: Any = {"Error": {"Code": wrong.code, "Message": "as planned"}, "CancellationReasons": reasons}
            raise EXCEPTIONS[wrong.code](told, operation)
        answer = getattr(self._engine, method)(**parameters, ReturnConsumedCapacity="INDEXES")
        if isinstance(wrong, Lose):
            raise self._faults.lost_answer(URL)
        self._faults.count_answer(operation, answer)
        time.sleep(0)
        return answer


@contextmanager
def inject_faults(
    tables: Tables, *, attempts: int = 1, lost_of_100: int = 0, seed: int = 7
) -> Iterator[tuple[Tables, FaultInjector]]:
    """The same tables over a client of its own, which tries once unless told otherwise, and its line."""
    engine: Any = tables.client
    faults = FaultInjector(lost_of_100, seed)
    if isinstance(engine, MemoryClient):
        own: Any = Caller(engine, faults, attempts)
        yield tables._replace(client=own), faults
        return
    url = engine.meta.endpoint_url
    assert "127.0.0.1" in url, "faults travel on real sockets"
    config = CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": attempts}))
    client = _session().client("dynamodb", endpoint_url=url, config=config)
    sockets = Sockets(client, faults)
    try:
        yield tables._replace(client=client), faults
    finally:
        sockets.close()
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
