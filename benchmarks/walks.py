"""``python -m benchmarks.walks``: how far a reader walks through the code to follow one request, as a Markdown table.

Every call inside ``chalicelib`` is counted around one live request through the Lambda entry point. A *move* is a call into
another file than the one called before it. What the code works out anew on its way stands in the last columns.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, Final

import app as lambda_app
from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import HOUR, MINUTE, format_instant
from chalicelib.core.common.money import Money
from chalicelib.flows.retry import Timing
from chalicelib.web.edge import signatures
from chalicelib.web.service.stories import OFFER_BODY
from chalicelib.wiring import assembled, installed
from tests.flows.bank import Bank
from tests.flows.shop import Clock
from tests.simulator.dynamo import FakeDynamo
from tests.simulator.history import SECRETS, settings
from tests.simulator.tokens import token

PACKAGE: Final = Path(lambda_app.__file__).parent / "chalicelib"
# What is counted by name: heading, file below chalicelib, function. A rename is followed here and nowhere else.
COUNTED: Final[Mapping[str, tuple[str, str]]] = {
    "fold": ("core/deposit/fold.py", "fold"),
    "evolve": ("core/deposit/fold.py", "evolve"),
    "overdue": ("core/deadlines.py", "catch_up"),
    "caught_up": ("flows/snapshot.py", "snapshot_of"),
    "entitlement": ("core/ending/entitlement.py", "compute_entitlement"),
    "status_at": ("core/deposit/clock.py", "status_at"),
}
EVENTS: Final = "/v1/provider-events/{provider}"
DEPOSIT: Final = "/v1/deposits/{deposit_id}"
SUCCESS: Final = {200, 201, 204}
JOB_TIMEOUT_MS: Final = 300_000


@dataclass
class Walk:
    """Calls by file and function, and how often the file changed."""

    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    moves: int = 0
    _last: str = ""

    def see(self, frame: FrameType, what: str, _argument: object) -> None:
        if what != "call" or not frame.f_code.co_filename.startswith(f"{PACKAGE}/"):
            return
        file = frame.f_code.co_filename[len(str(PACKAGE)) + 1 :]
        self.calls[file, frame.f_code.co_name] += 1
        self.moves += file != self._last
        self._last = file

    def row(self, name: str) -> str:
        files = len({file for file, _ in self.calls})
        counted = [self.calls[place] for place in COUNTED.values()]
        return f"| {name} | " + " | ".join(map(str, (files, self.moves, self.calls.total(), *counted))) + " |"


@contextmanager
def record_walk() -> Iterator[Walk]:
    walk = Walk()
    sys.setprofile(walk.see)
    try:
        yield walk
    finally:
        sys.setprofile(None)


class Service:
    """The service over a store and a provider in this process, on a clock that only we move."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.bank = Bank(name="sandbox", clock=self.clock)
        engine = FakeDynamo(clock=self.clock, counting=False)
        timing = Timing(now=self.clock, pause=self.clock.pause, grace_ms=MINUTE)
        self.services = assembled(settings(), engine, timing, self.bank, self.bank, self.clock)
        self._sent = 0

    def ask(self, method: str, template: str, bearer: str, body: Any = None, key: str = "", **params: str) -> Any:
        """One request; its answer as JSON."""
        headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
        return self._ask(method, template, json.dumps(body) if body is not None else "", headers, key, params)

    def send_event(self, subject: str) -> None:
        """A signed event of the provider."""
        self._sent += 1
        body = json.dumps({"type": "x", "timestamp": format_instant(self.clock.now), "data": {"id": subject}})
        name, at = f"event-{self._sent}", self.clock.now // 1_000
        headers = {
            "webhook-id": name,
            "webhook-timestamp": str(at),
            "webhook-signature": signatures.sign(name, at, body.encode(), SECRETS[0]),
        }
        self._ask("POST", EVENTS, body, headers, "", {"provider": "sandbox"})

    def send_refunds(self) -> None:
        context = SimpleNamespace(
            get_remaining_time_in_millis=lambda: JOB_TIMEOUT_MS, aws_request_id="", function_name=""
        )
        event = {
            "detail-type": "",
            "source": "",
            "account": "",
            "time": "",
            "region": "",
            "resources": [],
            "detail": {},
        }
        lambda_app.send_refunds({**event, "version": "0", "id": "walk"}, context)

    def _ask(
        self, method: str, template: str, raw: str, headers: dict[str, str], key: str, params: Mapping[str, str]
    ) -> Any:
        path = template.format(**params)
        sent = {"content-type": "application/json", **headers, **({"idempotency-key": key} if key else {})}
        context = {"resourcePath": template, "httpMethod": method, "path": path, "requestId": "walk"}
        event = {
            "httpMethod": method,
            "resource": template,
            "path": path,
            "headers": sent,
            "multiValueQueryStringParameters": None,
            "pathParameters": dict(params) or None,
            "stageVariables": None,
            "body": raw,
            "isBase64Encoded": False,
            "requestContext": {**context, "requestTimeEpoch": self.clock.now, "identity": {"sourceIp": "127.0.0.1"}},
        }
        response = lambda_app.app(event, SimpleNamespace(aws_request_id="", function_name=""))
        assert response["statusCode"] in SUCCESS, response
        return json.loads(response["body"]) if response["body"] else None


def walks(service: Service, buyer: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The trips of one deposit, in the order in which they happen."""
    shop, holder = token("merchant", "shop", "mer_shop"), token("buyer", buyer)
    offer = service.ask("POST", "/v1/offers", shop, dict(OFFER_BODY), f"offer-{buyer}")
    order = {"offer": offer["id"], "items": [{"sku": "su7-max", "quantity": 1}], "payment_method": "card"}
    order["terms_hash"] = offer["terms_hash"]
    ordered = service.ask("POST", "/v1/deposits", holder, order, f"order-{buyer}")
    deposit_id, due = ordered["id"], Money.parse(**ordered["due_now"])
    payment, refund = child("pay", deposit_id, 1), child("ref", deposit_id, 1)

    def command(name: str) -> Any:
        return service.ask("POST", f"{DEPOSIT}/{name}", holder, {}, f"{name}-{buyer}", deposit_id=deposit_id)

    def send() -> None:
        service.send_refunds()
        service.send_event(refund)

    service.clock.now += MINUTE
    service.bank.capture(payment, due)
    yield "pay: signed event, hint, look, settle", lambda: service.send_event(payment)
    service.clock.now += HOUR
    yield "lock intent", lambda: command("lock-intents")
    yield "cancel", lambda: command("cancel")
    yield "replay of that cancel by its key", lambda: command("cancel")
    yield "GET deposit", lambda: service.ask("GET", DEPOSIT, holder, deposit_id=deposit_id)
    service.clock.now += MINUTE
    yield "send one refund, its event included", send


def table() -> list[str]:
    """A first deposit fills what a container keeps; the second one is measured."""
    service = Service()
    headings = ("trip", "files", "moves", "calls", *COUNTED)
    seen: set[tuple[str, str]] = set()
    rows = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    with installed(lambda: service.services):
        for _, go in walks(service, "first"):
            go()
        for name, go in walks(service, "second"):
            with record_walk() as walk:
                go()
            seen |= walk.calls.keys()
            rows.append(walk.row(name))
    unknown = [name for name, place in COUNTED.items() if place not in seen]
    if unknown:
        raise LookupError(f"never called, so renamed or gone: {unknown}")
    return rows


if __name__ == "__main__":
    print("\n".join(table()))
