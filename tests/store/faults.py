"""Fault injection around the engine: lost answers, throttles, conflicts, and concurrent writers.

On a real engine the faults use botocore's event hooks of one client, on the engine in memory they wrap each call. Both
count calls and capacity units.
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
    """Planned faults of a client. ``trips`` are the operations that were sent."""

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
        """Run ``act`` before each of the next calls, as a concurrent writer would."""
        self._planned[operation].extend([Act(act)] * times)

    def withhold(self) -> None:
        """Answer only the first key of the next batch; the others are returned as unprocessed."""
        self._withheld = True

    def watch(self, operation: str, see: Callable[[str], object]) -> None:
        """Call ``see`` with the body of every call of an operation."""
        self._watched[operation] = see

    def measure(self, act: Callable[[], object]) -> tuple[list[str], float]:
        """The operations that ``act`` sends, and the write units they consume."""
        trips, units = len(self.trips), len(self.units)
        act()
        return self.trips[trips:], sum(cost for name, cost in self.units[units:] if name not in READS)

    def total_units(self) -> float:
        """All units consumed so far, including reads."""
        return sum(cost for _, cost in self.units)

    def next_fault(self, operation: str, body: Callable[[], str]) -> Refuse | Lose | None:
        """The fault of a call that is sent now; a planned act runs first."""
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
        """Count the units of an answer, and withhold keys of a batch when planned."""
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


class HookedClient:
    """Faults in the hooks of a botocore client."""

    def __init__(self, client: Any, faults: FaultInjector) -> None:
        self._faults = faults
        self._http = URLLib3Session(max_pool_connections=32)
        client.meta.events.register("before-send.dynamodb", self._sent)
        client.meta.events.register("provide-client-params.dynamodb", _counting)
        client.meta.events.register("after-call.dynamodb", self._count)

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

    def _count(self, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        self._faults.count_answer(model.name, parsed)


class FaultyMemoryClient:
    """A client of the engine in memory with faults. It retries as botocore does, without waiting."""

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
        fault = self._faults.next_fault(operation, lambda: json.dumps(parameters, default=bytes.hex))
        if isinstance(fault, Refuse):
            reasons = [{"Code": reason} for reason in fault.reasons or ()]
            response: Any = {"Error": {"Code": fault.code, "Message": "as planned"}, "CancellationReasons": reasons}
            raise EXCEPTIONS[fault.code](response, operation)
        answer = getattr(self._engine, method)(**parameters, ReturnConsumedCapacity="INDEXES")
        if isinstance(fault, Lose):
            raise self._faults.lost_answer(URL)
        self._faults.count_answer(operation, answer)
        time.sleep(0)
        return answer


@contextmanager
def inject_faults(
    tables: Tables, *, attempts: int = 1, lost_of_100: int = 0, seed: int = 7
) -> Iterator[tuple[Tables, FaultInjector]]:
    """The same tables over a client of its own with ``attempts`` attempts, and its faults."""
    engine: Any = tables.client
    faults = FaultInjector(lost_of_100, seed)
    if isinstance(engine, MemoryClient):
        own: Any = FaultyMemoryClient(engine, faults, attempts)
        yield tables._replace(client=own), faults
        return
    url = engine.meta.endpoint_url
    assert "127.0.0.1" in url, "a local engine"
    config = CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": attempts}))
    client = _session().client("dynamodb", endpoint_url=url, config=config)
    hooks = HookedClient(client, faults)
    try:
        yield tables._replace(client=client), faults
    finally:
        hooks.close()
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
