"""A launch rush: many buyers at once on the real Lambda entry point, over a store with the limits of a real one.

``make surge ORDERS=200000 UNITS=50000`` plays it and prints a table. The store
takes 1,000 write units a second for each partition, table and indexes alike, and cancels a transaction that meets another
one on the same item. Containers come as they are needed, each with what it has seen itself. No provider is there at all:
an order must not need one.
"""

import argparse
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

from botocore.exceptions import ClientError

import app as lambda_app
from chalicelib.core.common.instants import SECOND
from chalicelib.flows.retry import Timing
from chalicelib.web.edge.tokens import Verifier
from chalicelib.wiring import Services, assembled, installed
from tests.simulator.dynamo import INDEXES, FakeDynamo, size
from tests.simulator.history import settings
from tests.simulator.scheduler import Actor, Scheduler

START: Final = 1_800_000_000_000
UNITS_A_SECOND: Final = 1_000  # that one partition writes
PARTITIONS: Final = 32  # of the table, warmed up before the launch
PREPARED_MS: Final = (4, 10)  # how long a transaction holds its items
WAY_MS: Final = (1, 3)  # there, and back again
COLD_MS: Final = 250
WARM: Final = 200  # containers that are kept ready for a launch
MAX_TRIES: Final = 40
KILOBYTE: Final = 1_024
LAST: Final = 100  # the last hundredth of the units is looked at by itself


@dataclass
class Partitions:
    """Token buckets: what a partition did not write in a second is not saved up."""

    clock: Callable[[], int]
    left: dict[str, tuple[int, float]] = field(default_factory=dict)
    throttled: int = 0

    def take(self, wanted: dict[str, int]) -> bool:
        """All of it or nothing."""
        now = self.clock()
        levels = {}
        for name, units in wanted.items():
            at, level = self.left.get(name, (now, float(UNITS_A_SECOND)))
            levels[name] = min(level + (now - at) * UNITS_A_SECOND / SECOND, UNITS_A_SECOND)
            if levels[name] < units:
                self.throttled += 1
                return False
        for name, units in wanted.items():
            self.left[name] = (now, levels[name] - units)
        return True


@dataclass
class Store:
    """The low-level client of all containers: time, partitions and transactions that exclude each other."""

    engine: FakeDynamo
    scheduler: Scheduler
    partitions: Partitions
    held: set[str] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)
    conflicts: int = 0
    writes_at: list[int] = field(default_factory=list)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda **parameters: self._trip(name, parameters)

    def _trip(self, name: str, parameters: dict[str, Any]) -> Any:
        actor = self.scheduler.actor
        assert actor is not None, "the store is used by actors"
        self.calls[name] += 1
        self.scheduler.sleep(actor.random.randint(*WAY_MS))
        call = getattr(self.engine, name)
        answer = self._together(call, parameters, actor) if name == "transact_write_items" else call(**parameters)
        self.scheduler.sleep(actor.random.randint(*WAY_MS))
        return answer

    def _together(self, call: Callable[..., Any], parameters: dict[str, Any], actor: Actor) -> Any:
        """Items in another transaction cancel this one; what was prepared counts as written."""
        actions = parameters["TransactItems"]
        keys = [str((body.get("Key") or body["Item"])["pk"]["S"]) for action in actions for body in action.values()]
        self.writes_at.append(self.scheduler.now)
        if not self.partitions.take(_units(actions, keys)):
            raise _fault("ProvisionedThroughputExceededException")
        if any(key in self.held for key in keys):
            self.conflicts += 1
            reasons = [{"Code": "TransactionConflict" if key in self.held else "None"} for key in keys]
            raise _fault("TransactionCanceledException", CancellationReasons=reasons)
        self.held.update(keys)
        try:
            self.scheduler.sleep(actor.random.randint(*PREPARED_MS))
            return call(**parameters)
        finally:
            self.held.difference_update(keys)


def _units(actions: list[dict[str, Any]], keys: list[str]) -> dict[str, int]:
    """Two units for each kilobyte of an item in a transaction, one for each index entry that is new."""
    wanted: dict[str, int] = defaultdict(int)
    for action, key in zip(actions, keys, strict=True):
        item = action["Put"]["Item"] if "Put" in action else {}
        kilobytes = -(-sum(len(name) + size(value) for name, value in item.items()) // KILOBYTE) or 1
        wanted[f"table/{zlib.crc32(key.encode()) % PARTITIONS}"] += 2 * kilobytes
        for index, (partition, _) in INDEXES.items():
            if partition in item:
                wanted[f"{index}/{item[partition]['S']}"] += 1
    return wanted


def _fault(code: str, **extra: Any) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}, **extra}, "TransactWriteItems")  # type: ignore[typeddict-item]


@dataclass
class BuyerResult:
    """The answers of one buyer in their order, and the instant of the last one."""

    statuses: list[int] = field(default_factory=list)
    problem: str = ""
    began: int = 0
    ended: int = 0


@dataclass
class Surge:
    """One rush. ``buyers`` has every buyer's result, ``false`` how often sold-out was said while units were left."""

    orders: int
    seconds: float
    units: int
    seed: int = 1
    scheduler: Scheduler = field(init=False)
    buyers: list[BuyerResult] = field(default_factory=list)
    false_sold_out: int = 0
    left: int = 0

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(START)
        self.engine = FakeDynamo(clock=lambda: self.scheduler.now, watch=self._watch, counting=False)
        self.store = Store(self.engine, self.scheduler, Partitions(lambda: self.scheduler.now))
        self.idle: list[Services] = []
        self.containers = 0
        self.offer: dict[str, Any] = {}

    @property
    def peak(self) -> int:
        """Orders in the first second, as a merchant would expect them; rounded up to a hundred."""
        return -(-int(self.orders / self.seconds**0.8) // 100) * 100

    def play(self) -> "Surge":
        with installed(self._container_of_now), patch.object(Verifier, "_claims", _claims):
            self.scheduler.spawn(Actor("shop", Random("shop"), self._publish), START)
            self.scheduler.drain()
            self.idle += [self._new_container() for _ in range(WARM)]
            begins = self.scheduler.now + SECOND
            for number in range(self.orders):
                random = Random(f"{self.seed}/{number}")
                at = begins + int(self.seconds * SECOND * random.random() ** 1.25)  # the first second is the fullest
                self.scheduler.spawn(Actor(f"buyer{number}", random, partial(self._buy, number)), at)
            self.scheduler.drain()
        return self

    def _publish(self) -> None:
        item = {"sku": "car", "name": "Car", "price": _cny("299900"), "stock": self.units, "made_to_spec": True}
        body = {
            "title": "Launch",
            "market": "CN",
            "preset": "su7_2024",
            "items": [item],
            "expected_peak_per_second": self.peak,
        }
        status, offer = self._ask("/v1/offers", "shop", body, "launch")
        assert status == 201, offer
        self.offer = offer

    def _buy(self, number: int) -> None:
        """A buyer who comes back when asked to, with the same key."""
        order = {
            "offer": self.offer["id"],
            "items": [{"sku": "car", "quantity": 1}],
            "payment_method": "card",
            "terms_hash": self.offer["terms_hash"],
        }
        buyer = BuyerResult(began=self.scheduler.now)
        self.buyers.append(buyer)
        for _ in range(MAX_TRIES):
            status, answer = self._ask("/v1/deposits", f"buyer{number}", order, f"order-{number}")
            buyer.statuses.append(status)
            buyer.ended = self.scheduler.now
            if status not in {429, 503}:
                buyer.problem = str(answer.get("type", "")).removeprefix("/problems/")
                self.false_sold_out += buyer.problem == "sold-out" and self.left > 0
                return
            self._actor().container = None
            self.scheduler.sleep(SECOND + self._actor().random.randrange(SECOND))

    def _ask(self, path: str, bearer: str, body: Any, key: str) -> tuple[int, dict[str, Any]]:
        """One request: a container that is idle takes it, or a new one begins."""
        actor = self._actor()
        received = self.scheduler.now
        if self.idle:
            actor.container = self.idle.pop()
        else:
            self.scheduler.sleep(COLD_MS)
            actor.container = self._new_container()
        event = {
            "httpMethod": "POST",
            "resource": path,
            "path": path,
            "headers": {
                "content-type": "application/json",
                "authorization": f"Bearer {bearer}",
                "idempotency-key": key,
            },
            "multiValueQueryStringParameters": None,
            "pathParameters": None,
            "stageVariables": None,
            "body": json.dumps(body),
            "isBase64Encoded": False,
            "requestContext": {
                "resourcePath": path,
                "httpMethod": "POST",
                "path": path,
                "requestId": key,
                "requestTimeEpoch": received,
                "identity": {"sourceIp": "127.0.0.1"},
            },
        }
        context = SimpleNamespace(get_remaining_time_in_millis=lambda: 29_000, aws_request_id="", function_name="")
        answer = lambda_app.app(event, context)
        self.idle.append(actor.container)
        return int(answer["statusCode"]), json.loads(answer["body"])

    def _new_container(self) -> Services:
        self.containers += 1
        nobody: Any = None  # an order asks no provider
        timing = Timing(now=self._now, pause=self._pause, grace_ms=0)
        return assembled(settings(), self.store, timing, nobody, nobody, self._now)

    def _now(self) -> int:
        return self.scheduler.now

    def _container_of_now(self) -> Services:
        found: Services = self._actor().container
        return found

    def _pause(self, losses: int) -> None:
        self.scheduler.sleep(self._actor().random.randrange(1, min(400, 20 * 2 ** min(losses, 5))))

    def _actor(self) -> Actor:
        actor = self.scheduler.actor
        assert actor is not None, "only actors act"
        return actor

    def _watch(self, pk: str, before: Any, after: Any) -> None:
        if pk.startswith("stock#"):
            self.left += int(after["left"]["N"]) - (int(before["left"]["N"]) if before is not None else 0)

    # What came of it.

    def sold(self) -> list[BuyerResult]:
        """Whoever got a deposit, in the order in which they were buyer."""
        return sorted((buyer for buyer in self.buyers if buyer.statuses[-1] == 201), key=lambda buyer: buyer.ended)

    def first_try(self) -> float:
        """The share of buyers who were answered at their first try, whatever the answer."""
        return sum(len(buyer.statuses) == 1 for buyer in self.buyers) / len(self.buyers)

    def writes_per_success(self, part: int = LAST) -> tuple[float, float]:
        """Transactions sent for each deposit made: over all, and while the last hundredth (``part``) was sold."""
        sold = self.sold()
        last = sold[-max(len(sold) // part, 1) :]
        begins, ends = last[0].ended - 1, last[-1].ended
        late = sum(begins <= at <= ends for at in self.store.writes_at)
        return len(self.store.writes_at) / len(sold), late / len(last)

    def stock_totals(self) -> Counter[str]:
        """What the shards hold together at the end."""
        found: Counter[str] = Counter()
        for pk, item in self.engine.items.items():
            if pk.startswith("stock#"):
                parts = {name: int(item[name]["N"]) for name in ("left", "live", "sold", "total")}
                assert parts["total"] == parts["left"] + parts["live"] + parts["sold"], pk
                assert min(parts.values()) >= 0, pk
                found.update(parts)
        return found


def _claims(_verifier: Verifier, named: str) -> dict[str, Any]:
    """Tokens are tried in tests/web; signing and proving 200,000 of them here would be most of the work."""
    if named == "shop":
        return {"sub": named, "role": "merchant", "merchant": "mer_shop"}
    return {"sub": named, "role": "buyer"}


def _cny(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "CNY"}


def table(one: Surge) -> str:
    """The figures as a Markdown table."""
    sold, waits = one.sold(), sorted(buyer.ended - buyer.began for buyer in one.buyers)
    over_all, late = one.writes_per_success()
    totals = one.stock_totals()
    rows = [
        ("orders asked for", f"{len(one.buyers):,} in {one.seconds:g} s"),
        ("in the fullest second", f"{max(Counter(buyer.began // SECOND for buyer in one.buyers).values()):,}"),
        ("deposits made", f"{len(sold):,} of {one.units:,} units"),
        ("oversold", f"{max(totals['live'] + totals['sold'] - one.units, 0):,}"),
        ("units lost", f"{one.units - sum(totals[name] for name in ('left', 'live', 'sold')):,}"),
        ("told sold-out", f"{sum(buyer.problem == 'sold-out' for buyer in one.buyers):,}"),
        ("of them while units were left", f"{one.false_sold_out:,}"),
        ("told anything else", f"{sum(buyer.problem not in {'', 'sold-out'} for buyer in one.buyers):,}"),
        ("answered at their first try", f"{one.first_try():.2%}"),
        ("never answered", f"{sum(buyer.statuses[-1] in {429, 503} for buyer in one.buyers):,}"),
        ("writes for each deposit", f"{over_all:.3f}"),
        ("writes for each of the last 1 %", f"{late:.3f}"),
        ("transactions that met another one", f"{one.store.conflicts:,}"),
        ("throttled by a partition", f"{one.store.partitions.throttled:,}"),
        ("looks at the shards", f"{one.store.calls['batch_get_item']:,} reads of up to 100"),
        ("waited, median and 99th of 100", f"{waits[len(waits) // 2]} ms, {waits[len(waits) * 99 // 100]} ms"),
        ("containers", f"{one.containers:,}"),
    ]
    return "\n".join(f"| {name} | {value} |" for name, value in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=18)
    parser.add_argument("--units", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    print(table(Surge(asked.orders, asked.seconds, asked.units, asked.seed).play()))


if __name__ == "__main__":
    main()
