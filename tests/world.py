"""One running service for the session, in this process: a real engine, the real Lambda entry point, no socket."""

import dataclasses
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from tests.scope import REST

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Json = dict[str, Any]
_serial = count(1)
# Of a parcel with five lines: SKU, units, price of one.
FIVE: list[tuple[str, int, str]] = [
    ("a", 1, "100000"),
    ("b", 1, "120000"),
    ("c", 1, "150000"),
    ("d", 3, "80000"),
    ("e", 1, "250000"),
]
PLENTY = 600_000  # milliseconds that a slice may take
MAX_PASSES = 10  # of a job that works off at most so many runs at once


def rupiah(amount: str) -> Json:
    return {"amount": amount, "currency": "IDR"}


@dataclass
class Reply:
    """An answer as a client sees it; header names in lower case."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Json:
        body: Json = json.loads(self.raw)
        return body

    @property
    def problem(self) -> str:
        """The name of the problem type, empty where the answer is none."""
        if self.headers.get("content-type") != "application/problem+json":
            return ""
        return str(self.json["type"]).removeprefix("/problems/")


@dataclass
class Client:
    """A caller, with a token or without."""

    server: Any
    token: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def call(
        self, method: str, path: str, body: Json | bytes | None = None, *, asked: int | None = None, **headers: str
    ) -> Reply:
        """``headers`` by keyword, underscores for dashes; a POST under /v1 gets a fresh key unless one is given.

        ``asked`` is the instant at which the request reached the edge, by the sandbox's clock, in milliseconds.
        An ``idempotency_key`` of "" sends none.
        """
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {**self.headers, **changed}
        if self.token is not None:
            sent.setdefault("authorization", f"Bearer {self.token}")
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        if raw:
            sent.setdefault("content-type", "application/json")
        if method != "GET" and path.startswith("/v1") and sent.get("idempotency-key") != "":
            sent.setdefault("idempotency-key", f"key-{next(_serial)}")
        if sent.get("idempotency-key") == "":
            del sent["idempotency-key"]
        status, answered, content = self.server.request(method, path, sent, raw, asked=asked)
        return Reply(status, {name.lower(): value for name, value in answered.items()}, content)

    def get(self, path: str, *, asked: int | None = None, **headers: str) -> Reply:
        return self.call("GET", path, None, asked=asked, **headers)

    def post(self, path: str, body: Json | bytes | None = None, *, asked: int | None = None, **headers: str) -> Reply:
        return self.call("POST", path, {} if body is None else body, asked=asked, **headers)


@dataclass
class Dispute:
    """A claim, and its two sides."""

    buyer: Client
    merchant: Client
    deposit: Json
    claim: Json

    @property
    def path(self) -> str:
        return f"/v1/claims/{self.claim['id']}"

    def say(
        self, who: Client, what: str, body: Json | None = None, *, asked: int | None = None, **headers: str
    ) -> Reply:
        return who.post(f"{self.path}/{what}", body, asked=asked, **headers)

    def buyer_says(self, what: str, *, asked: int | None = None, **headers: str) -> Reply:
        return self.say(self.buyer, what, None, asked=asked, **headers)

    def respond(
        self,
        decision: str,
        amount: Json | None = None,
        statement: str | None = None,
        *,
        asked: int | None = None,
        **headers: str,
    ) -> Reply:
        """The merchant; a rejection is never without words."""
        words = statement or ("It was handed over." if decision == "reject" else None)
        body: Json = {"decision": decision, "amount": amount, "statement": words}
        return self.say(self.merchant, "responses", body, asked=asked, **headers)

    def seen(self, asked: int | None = None) -> Json:
        return self.buyer.get(self.path, asked=asked).json


@dataclass
class World:
    """The service with its callers, and the stories that many tests begin with."""

    server: Any

    def anyone(self, token: str | None = None, **headers: str) -> Client:
        return Client(self.server, token, {name.replace("_", "-"): value for name, value in headers.items()})

    def person(self, role: str, merchant: str | None = None, sub: str | None = None, **headers: str) -> Client:
        body = {name: value for name, value in (("role", role), ("merchant", merchant), ("sub", sub)) if value}
        return self.anyone(self.anyone().post("/sandbox/tokens", body).json["token"], **headers)

    def buyer(self, **headers: str) -> Client:
        return self.person("buyer", **headers)

    def merchant(self, name: str = "mer_shop") -> Client:
        return self.person("merchant", name)

    def inspector(self, merchant: str = "mer_shop") -> Client:
        return self.person("inspector", merchant)

    def offer(self, merchant: Client | None = None, **changes: Any) -> Json:
        """A published offer: the 2024 programme in China, unless changed."""
        body: Json = {
            "title": "SU7",
            "market": "CN",
            "preset": "su7_2024",
            "items": [
                {"sku": "su7-max", "name": "SU7 Max", "price": {"amount": "299900", "currency": "CNY"}, "stock": 100}
            ],
            "limits": {"per_buyer": None},
            **changes,
        }
        answer = (merchant or self.merchant()).post("/v1/offers", body)
        assert answer.status == 201, answer.raw
        return answer.json

    def trading(
        self,
        merchant: Client | None = None,
        *,
        price: str = "3000000",
        credit: str = "800000",
        category: str = "phone",
        **changes: Any,
    ) -> Json:
        """An offer that takes an old device for a credit, under the seeded Indonesian terms."""
        item = {"sku": "new", "name": "New", "category": category, "price": rupiah(price)}
        body: Json = {
            "title": "Tukar tambah",
            "market": "ID",
            "currency": "IDR",
            "preset": "trade_in_id",
            "items": [item],
            "shipping": rupiah("18000"),
            "trade_in": {"schedule": "id-tukar-tambah", "values": {"old": rupiah(credit)}},
        }
        return self.offer(merchant, **{**body, **changes})

    def traded(self, buyer: Client, offer: Json | None = None) -> Json:
        """A paid deposit whose old device waits for its hand-over."""
        sold = offer or self.trading()
        handed_in = {"category": sold["items"][0]["category"], "model": "old"}
        deposit = self.ordered(buyer, sold, trade_in=handed_in)
        self.pay(deposit)
        return buyer.get(f"/v1/deposits/{deposit['id']}").json

    def order(self, offer: Json, quantity: int = 1, **changes: Any) -> Json:
        """The body of an order for the first item of an offer."""
        return {
            "offer": offer["id"],
            "items": [{"sku": offer["items"][0]["sku"], "quantity": quantity}],
            "payment_method": offer["payment"]["methods"][0],
            "terms_hash": offer["terms_hash"],
            **changes,
        }

    def ordered(self, buyer: Client, offer: Json | None = None, quantity: int = 1, **changes: Any) -> Json:
        answer = buyer.post("/v1/deposits", self.order(offer or self.offer(), quantity, **changes))
        assert answer.status == 201, answer.raw
        return answer.json

    def paid(self, buyer: Client, offer: Json | None = None, quantity: int = 1) -> Json:
        """A deposit in its window."""
        deposit = self.ordered(buyer, offer, quantity)
        self.pay(deposit)
        return buyer.get(f"/v1/deposits/{deposit['id']}").json

    def final(self, buyer: Client, merchant: Client | None = None, quantity: int = 1, **changes: Any) -> Json:
        """A deposit that its payment locked for good: production, balance and shipment may begin."""
        terms = {"preset": "su7_founders_2024", "lock": {"undo": None}, **changes}
        return self.paid(buyer, self.offer(merchant, **terms), quantity)

    def five_lines(self, buyer: Client, merchant: Client | None = None, sent: int = 3, **changes: Any) -> Json:
        """A deposit paid in full and locked for good, of whose five lines so many have left."""
        seller = merchant or self.merchant()
        items = [
            {"sku": sku, "name": sku.upper(), "category": "phone", "price": rupiah(price)} for sku, _, price in FIVE
        ]
        body: Json = {"title": "Five", "market": "ID", "currency": "IDR", "preset": "flash_sale", "items": items}
        body |= {"shipping": rupiah("18000"), "limits": {"per_buyer": None}}
        ordered = [{"sku": sku, "quantity": quantity} for sku, quantity, _ in FIVE]
        deposit = self.ordered(buyer, self.offer(seller, **body, **changes), items=ordered)
        self.pay(deposit)
        lines = [{"line": n, "quantity": FIVE[n - 1][1]} for n in range(1, sent + 1)]
        if lines:
            answer = seller.post(f"/v1/deposits/{deposit['id']}/shipments", {"lines": lines})
            assert answer.status == 200, answer.raw
        return buyer.get(f"/v1/deposits/{deposit['id']}").json

    def disputed(self, buyer: Client, merchant: Client, deposit: Json, kind: str, **more: Any) -> Dispute:
        """The buyer's claim."""
        body = {"deposit": deposit["id"], "kind": kind, "statement": "This is not what I paid for.", **more}
        answer = buyer.post("/v1/claims", body)
        assert answer.status == 201, answer.raw
        return Dispute(buyer, merchant, deposit, answer.json)

    def short(self, sent: int = 3, **changes: Any) -> Dispute:
        """Of five lines only so many were sent, and the buyer claims the others."""
        buyer, merchant = self.buyer(), self.merchant()
        deposit = self.five_lines(buyer, merchant, sent, **changes)
        lines = [{"line": n, "quantity": FIVE[n - 1][1]} for n in range(sent + 1, 6)]
        return self.disputed(buyer, merchant, deposit, "short_shipment", lines=lines)

    def pay(self, deposit: Json, outcome: str = "succeeded", amount: Json | None = None) -> Json:
        answer = self.anyone().post(
            f"/sandbox/payments/{deposit['payment']['id']}", {"outcome": outcome, "amount": amount}
        )
        assert answer.status == 200, answer.raw
        return answer.json

    def advance(self, duration: str) -> str:
        return str(self.anyone().post("/sandbox/clock", {"advance": duration}).json["now"])

    def set_clock(self, instant: str) -> str:
        """Moves the sandbox's clock; it goes on ticking from there."""
        answer = self.anyone().post("/sandbox/clock", {"set": instant})
        assert answer.status == 200, answer.raw
        return str(answer.json["now"])

    def arm(self, on: str, fault: str, times: int = 1) -> None:
        answer = self.anyone().post("/sandbox/faults", {"on": on, "fault": fault, "times": times})
        assert answer.status == 201, answer.raw

    def run(self, job: str) -> Json:
        return self.anyone().post(f"/sandbox/jobs/{job}", {}).json

    def reconciled(self, start: str, end: str) -> Json:
        """A run over a span, worked off to its end; the daily one is left to the job's own tests."""
        from chalicelib.wiring import services  # noqa: PLC0415

        platform = self.person("platform")
        begun = platform.post("/v1/reconciliation-runs", {"from": start, "to": end})
        assert begun.status == 202, begun.raw
        path = begun.headers["location"]
        for _ in range(MAX_PASSES):
            services().run_worker.work("a test", lambda: PLENTY, 0)
            run = platform.get(path).json
            if run["status"] != "running":
                return run
        raise AssertionError(f"{path} never ends")

    def books(self, deposit: Json) -> list[Json]:
        found: list[Json] = self.anyone().get(f"/sandbox/provider/refunds?deposit={deposit['id']}").json["data"]
        return found


@contextmanager
def another(world: World, client: "DynamoDBClient", **changes: Any) -> Iterator[World]:
    """The service over tables and a clock of its own, with changed settings."""
    from chalicelib.wiring import installed, services  # noqa: PLC0415
    from local import sandbox  # noqa: PLC0415
    from local.wiring import books_table, build_sandbox, make_tables, sandbox_of  # noqa: PLC0415

    settings = replace(services().settings, table=f"earnest-another-{next(_serial)}", **changes)
    make_tables(client, settings.table)
    built = build_sandbox(settings, client)
    sandbox_of(built).deliver = world.server._deliver
    context = sandbox._contexts[0]
    sandbox._contexts[:] = [dataclasses.replace(context, services=built)]
    try:
        with installed(lambda: built):
            yield world
    finally:
        sandbox._contexts[:] = [context]
        for table in (settings.table, books_table(settings.table)):
            client.delete_table(TableName=table)


@pytest.fixture(scope="session")
def house_engine(request: pytest.FixtureRequest) -> "DynamoDBClient":
    """Memory in the quick run, a real engine in the rest."""
    client: DynamoDBClient = request.getfixturevalue("engine" if request.config.getoption(REST) else "memory")
    return client


@pytest.fixture(scope="session")
def world(house_engine: "DynamoDBClient", tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The whole service on the session's engine, in tables of its own. No job runs unless a test runs it."""
    from chalicelib.wiring import installed  # noqa: PLC0415
    from local.__main__ import environment  # noqa: PLC0415
    from local.issuer import Issuer  # noqa: PLC0415
    from local.wiring import build_sandbox, make_tables, sandbox_settings  # noqa: PLC0415

    before = dict(os.environ)
    state: Path = tmp_path_factory.mktemp("house")
    os.environ |= {"EARNEST_TABLE": f"earnest-{state.name}"}
    environment(house_engine.meta.endpoint_url, state, 8000)
    try:
        from local.dev_server import DevServer  # noqa: PLC0415

        found = sandbox_settings()
        make_tables(house_engine, found.table)
        built = build_sandbox(found, house_engine)
        with installed(lambda: built):
            server = DevServer(Issuer.at(state))
            server.prepare()
            yield World(server)
    finally:
        os.environ.clear()
        os.environ |= before


@pytest.fixture
def own(world: World, house_engine: "DynamoDBClient") -> Iterator[World]:
    """The service over tables and a clock that no other test uses."""
    with another(world, house_engine) as found:
        yield found
