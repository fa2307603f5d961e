"""One history: a plan played against the real Lambda entry points, until everything is at rest."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

import app as lambda_app
from chalicelib.core.ids import child, digest_id
from chalicelib.core.instants import DAY, HOUR, MINUTE, format_instant
from chalicelib.core.money import Money
from chalicelib.flows.commit import Timing
from chalicelib.web import signatures
from chalicelib.web.tokens import Verifier
from chalicelib.wiring import Services, Settings, assembled, installed
from local.issuer import AUDIENCE, ISSUER, Issuer
from tests.simulator.client import FaultyClient
from tests.simulator.dynamo import FakeDynamo, dump
from tests.simulator.faults import Faults
from tests.simulator.invariants import GRACE, Invariants
from tests.simulator.plan import FORFEITS, OFFERS, UNDOS, WINDOWS, Action, Plan
from tests.simulator.provider import Paid, SimulatedProvider
from tests.simulator.scheduler import Actor, Scheduler

SECRET: Final = "whsec_" + base64.b64encode(hashlib.sha256(b"simulator").digest()).decode()
CONTAINERS: Final = 3
API_MS: Final = 29_000
JOB_MS: Final = 300_000
TRIES: Final = 4
# When everything is over, jobs come whenever something is due; after so many rounds nothing may be left open.
MOST_ROUNDS: Final = 40
TEMPLATES: Final = {
    "pay": "/pay/{payment_id}",
    "events": "/v1/provider-events/{provider}",
}


@cache
def issuer() -> Issuer:
    """One key for all histories of a process; no token's bytes enter a trace."""
    return Issuer.at(Path(mkdtemp(prefix="earnest-simulator-")))


@cache
def token(role: str, sub: str, merchant: str | None = None) -> str:
    import time  # noqa: PLC0415 - the only real clock here: tokens are checked by the machine's

    return issuer().token(role, sub, merchant, int(time.time()))


_proved: Final[dict[str, dict[str, Any]]] = {}
_prove: Final = Verifier._claims


def proved_once(verifier: Verifier, token: str) -> dict[str, Any]:
    """Tokens are tried in tests/web; here a process proves each one once, or that alone were an eighth of its work."""
    if token not in _proved:
        _proved[token] = _prove(verifier, token)
    return _proved[token]


@cache
def settings() -> Settings:
    return Settings(
        table="earnest",
        sandbox_table="",
        sandbox=False,
        issuer=ISSUER,
        audience=AUDIENCE,
        jwks=issuer().jwks(),
        origins=(),
        provider="sandbox",
        webhook_secrets=(SECRET,),
        writes_per_minute=None,
        reads_per_minute=None,
    )


@dataclass
class Reply:
    """An answer; None in its place means that the caller never got one."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def problem(self) -> str:
        told = self.headers.get("content-type") == "application/problem+json"
        return str(self.json["type"]).removeprefix("/problems/") if told else ""


@dataclass
class History:
    """Everything of one run. ``play`` returns it when nothing moves any more."""

    plan: Plan
    faults: Faults
    scheduler: Scheduler = field(init=False)
    engine: FakeDynamo = field(init=False)
    provider: SimulatedProvider = field(init=False)
    invariants: Invariants = field(init=False)

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(self.plan.start)
        self.invariants = Invariants(lambda: self.scheduler.now)
        self.engine = FakeDynamo(clock=lambda: self.scheduler.now, lag=self._lag, watch=self._watch, counting=False)
        client = FaultyClient(self.engine, self.scheduler, self.faults, self._effect_done)
        self.provider = SimulatedProvider(self.scheduler, self.faults, self.plan.key_retention_ms, self._tell)
        self.invariants.provider = self.provider
        self._containers = [self._container(client) for _ in range(CONTAINERS)]
        self._changes: list[Any] = []
        self._offers: dict[int, dict[str, Any]] = {}
        self._orders: dict[int, dict[str, Any]] = {}
        self._accepted: dict[tuple[str, str], str] = {}
        self._serial = 0

    # The course of a history.

    def play(self) -> "History":
        with installed(lambda: self._actor().container), patch.object(Verifier, "_claims", proved_once):
            self._set_up()
            for action in self.plan.actions:
                begins = self.plan.start + MINUTE + action.at
                self.scheduler.spawn(self._somebody(f"a{action.id}", self._doing(action)), begins)
            self.scheduler.drain()
            self._come_to_rest()
        return self

    def digest(self) -> str:
        """What happened and what stands at the end."""
        text = "\n".join(self.scheduler.trace) + dump(self.engine.items)
        return hashlib.sha256(text.encode()).hexdigest()

    def _set_up(self) -> None:
        """Offers are published in calm weather."""
        calm, self.faults.off = self.faults.off, True
        for number in sorted({action.offer for action in self.plan.actions if action.kind == "order"}):
            self._beside(OFFERS[number]["title"], partial(self._publish, number))
            self.scheduler.drain()
        self.faults.off = calm

    def _publish(self, number: int) -> None:
        body = OFFERS[number]
        reply = self.ask("POST", "/v1/offers", token("merchant", "shop", "mer_shop"), body, key=body["title"])
        assert reply is not None, "nothing strikes yet"
        assert reply.status == 201, reply.body
        offer = self._offers[number] = reply.json
        window, undo = WINDOWS[number], UNDOS[number]
        if window is not None:
            self.invariants.windows[offer["id"]] = window
        if undo is not None:
            self.invariants.undos[offer["id"]] = undo
        if FORFEITS[number]:
            self.invariants.forfeiting.add(offer["id"])

    def _come_to_rest(self) -> None:
        """Faults are over: every job gets its time, and then nothing may be left open."""
        self.faults.off = True
        calm_since = self.scheduler.now
        for _ in range(MOST_ROUNDS):
            far = self.scheduler.now + 40 * DAY  # what waits for a person has no nearer instant
            due = [int(item["due"]["N"]) for item in self.engine.items.values() if "due" in item]
            due = [instant for instant in due if instant < far]
            if not due:
                break
            self.scheduler.drain(max(min(due), self.scheduler.now) + 1_000)
            for job in ("close_windows", "send_refunds"):
                self._start_job(job, f"rest-{job}-{self._next()}")
                self.scheduler.drain()
        self.invariants.at_rest(self.plan.key_retention_ms, calm_since)

    # Actions.

    def _doing(self, action: Action) -> Callable[[], None]:
        if action.kind in {"send_refunds", "close_windows"}:
            return lambda: self._scheduled(action.kind)
        doing: dict[str, Callable[[Action], None]] = {
            "order": self._order,
            "pay": self._pay,
            "method": lambda one: self._command(one, "payment-method", {"payment_method": "card"}),
            "unlock": lambda one: self._command(one, "unlock", {}),
            "cancel": lambda one: self._command(one, "cancel", {}),
            "edge_cancel": self._edge_cancel,
            "look": self._look,
            "close": self._close,
            "list": self._list,
        }
        return lambda: doing[action.kind](action)

    def _order(self, action: Action) -> None:
        offer = self._offers[action.offer]
        body = {
            "offer": offer["id"],
            "items": [{"sku": offer["items"][0]["sku"], "quantity": action.quantity}],
            "payment_method": "card",
            "terms_hash": offer["terms_hash"],
        }
        reply = self._insist(action, "/v1/deposits", "/v1/deposits", body)
        if reply is not None and reply.status == 201:
            self._orders[action.id] = {**reply.json, "due": action.buyer}
        elif reply is not None and reply.status not in {409, 503}:
            self.invariants.violated("contract", f"order answered {reply.status} {reply.body}")

    def _command(self, action: Action, name: str, body: dict[str, Any], *, plainly: bool = False) -> None:
        deposit = self._orders.get(action.order if action.order is not None else -1)
        if deposit is None:
            return
        path = f"/v1/deposits/{deposit['id']}/{name}"
        asked = self.scheduler.now
        template = f"/v1/deposits/{{deposit_id}}/{name}"
        if plainly:
            reply = self._once(action, path, template, body, deposit["id"], f"k{action.id}")
        else:
            reply = self._insist(action, path, template, body, deposit["id"])
        if reply is None:
            return
        if reply.status not in {200, 409, 503}:
            self.invariants.violated("contract", f"{name} answered {reply.status} {reply.body}")
        if name == "cancel" and reply.status == 409 and reply.problem != "already-cancelled":
            self._refused_cancel(deposit["id"], asked, reply)

    def _refused_cancel(self, deposit_id: str, asked: int, reply: Reply) -> None:
        """P6: a paid deposit can always be cancelled; only one that was never paid in time is over by itself."""
        state = self.invariants.states[deposit_id]
        if state.paid is not None and asked >= state.paid.at:
            self.invariants.violated("P6", f"{deposit_id} could not be cancelled: {reply.body}")

    def _edge_cancel(self, action: Action) -> None:
        """Cancel within milliseconds of the window's end, wherever that has come to lie."""
        deposit = self._orders.get(action.order if action.order is not None else -1)
        state = self.invariants.states.get(deposit["id"]) if deposit is not None else None
        if state is not None and state.window is not None and state.window.ends_at is not None:
            ends_at = state.window.ends_at + self._actor().random.choice((-2, -1, -1, 0, 0, 1))
            if self.scheduler.now < ends_at < self.scheduler.now + HOUR:
                self.scheduler.sleep(ends_at - self.scheduler.now)
        # At once: no other slip of the client moves the instant of asking.
        self._command(action, "cancel", {}, plainly=True)

    def _close(self, action: Action) -> None:
        """The merchant ends a sale; orders accepted before must stay accepted (P8)."""
        offer = self._offers.get(action.offer)
        if offer is None:
            return
        path, merchant = f"/v1/offers/{offer['id']}/close", token("merchant", "shop", "mer_shop")
        for _ in range(TRIES):
            reply = self.ask(
                "POST", path, merchant, {}, key="close", template="/v1/offers/{offer_id}/close", item=offer["id"]
            )
            self._expect(reply, {200, 503})
            if reply is not None and reply.status == 200:
                return
            self.scheduler.sleep(self._actor().random.randrange(200, 5_000))

    def _look(self, action: Action) -> None:
        deposit = self._orders.get(action.order if action.order is not None else -1)
        if deposit is None:
            return
        thief = self._strikes("client.not_the_owner")
        buyer = (action.buyer + 1) % 3 if thief else action.buyer
        path = f"/v1/deposits/{deposit['id']}"
        reply = self.ask(
            "GET", path, token("buyer", f"b{buyer}"), template="/v1/deposits/{deposit_id}", item=deposit["id"]
        )
        if reply is not None and reply.status not in ({404, 503} if thief else {200, 503}):
            self.invariants.violated("P9" if thief else "contract", f"look answered {reply.status} {reply.body}")

    def _list(self, action: Action) -> None:
        """A buyer's list shows nobody else's deposits (P9); the index may lag, so some may be missing."""
        reply = self.ask("GET", "/v1/deposits", token("buyer", f"b{action.buyer}"))
        self._expect(reply, {200, 503})
        if reply is not None and reply.status == 200:
            buyers = {row["buyer"] for row in reply.json["data"]}
            mine = {self.invariants.states[row["id"]].created.buyer for row in reply.json["data"]}
            if len(buyers) > 1 or buyers != mine:
                self.invariants.violated("P9", f"{action.buyer} was shown {buyers}")

    def _pay(self, action: Action) -> None:
        """The buyer opens the provider's page through us and pays there, more or less as asked."""
        deposit = self._orders.get(action.order if action.order is not None else -1)
        if deposit is None:
            return
        state = self.invariants.states[deposit["id"]]
        n = 1 if self._strikes("payment.on_replaced") else state.payment.n
        payment_id = child("pay", deposit["id"], n)
        for _ in range(TRIES):
            reply = self.ask("GET", f"/pay/{payment_id}", None, template=TEMPLATES["pay"], item=payment_id)
            if reply is not None and reply.status in {303, 409}:
                break
            self.scheduler.sleep(self._actor().random.randrange(1_000, 5_000))
        session = self.provider.payments.get(payment_id)
        if session is not None:
            self._settle_payment(payment_id, session, state.created.due_at)

    def _settle_payment(self, payment_id: str, session: Paid, due_at: int) -> None:
        random = self._actor().random
        now = self.scheduler.now
        amount = session.amount
        if session.captures:
            return
        if self._strikes("payment.failed"):
            session.status = "failed"
            self._tell(payment_id)
            return
        if self._strikes("payment.too_little"):
            amount = Money(amount.minor - 100, amount.currency)
        elif self._strikes("payment.too_much"):
            amount = Money(amount.minor + 100, amount.currency)
        elif self._strikes("payment.other_currency"):
            amount = Money(amount.minor, "USD")
        if self._strikes("payment.pending"):
            session.status = "pending"
            self._tell(payment_id)
            at = now + random.randrange(1_000, 20 * MINUTE)
            self.scheduler.at(at, lambda: self.provider.pay(payment_id, amount, self.scheduler.now))
            return
        at = now
        if self._strikes("payment.late"):
            at = max(now, due_at + random.choice((-1, 0, 1, 30_000, HOUR)))
        self.scheduler.at(at, lambda: self.provider.pay(payment_id, amount, self.scheduler.now))
        if self._strikes("payment.twice"):
            self.scheduler.at(at + 5_000, lambda: self.provider.pay(payment_id, amount, self.scheduler.now))

    # Clients and their calls.

    def _insist(
        self, action: Action, path: str, template: str, body: dict[str, Any], item: str | None = None
    ) -> Reply | None:
        """A client with a key: sends again while there is no answer or ``busy``; and all the things thumbs do."""
        actor = self._actor()
        mine, key = token("buyer", f"b{action.buyer}"), f"k{action.id}"
        if self._strikes("client.stale_version") and item is not None:
            reply = self.ask(
                "POST", path, mine, body, key=f"{key}-stale", template=template, item=item, if_match='"0-none"'
            )
            self._expect(reply, {412, 503})
        if self._strikes("client.not_the_owner") and item is not None:
            reply = self.ask("POST", path, token("buyer", "thief"), body, key=key, template=template, item=item)
            self._expect(reply, {404, 503})
        if self._strikes("client.double_tap"):
            self._beside(f"{actor.name}-tap", lambda: self._once(action, path, template, body, item, key))
        if self._strikes("client.new_key"):
            self._beside(f"{actor.name}-new", lambda: self._once(action, path, template, body, item, f"{key}-new"))
        reply = None
        for _ in range(TRIES):
            reply = self._once(action, path, template, body, item, key)
            if (reply is not None and reply.status != 503) or self._strikes("client.gives_up"):
                break
            self.scheduler.sleep(actor.random.randrange(200, 20_000))
        self._afterwards(action, path, template, body, item, key, reply)
        return reply

    def _afterwards(
        self,
        action: Action,
        path: str,
        template: str,
        body: dict[str, Any],
        item: str | None,
        key: str,
        reply: Reply | None,
    ) -> None:
        accepted = reply is not None and reply.status in {200, 201}
        name = self._actor().name
        if self._strikes("client.replay_after_a_day"):
            self._beside(f"{name}-day", lambda: self._once(action, path, template, body, item, key), after=25 * HOUR)
        if accepted and self._strikes("client.other_body") and "items" in body:
            other = {
                **body,
                "payment_method": "alipay" if "alipay" in json.dumps(self._offers[action.offer]) else "gopay",
            }
            methods = self._offers[action.offer]["payment"]["methods"]
            if other["payment_method"] in methods:
                again = self.ask(
                    "POST", path, token("buyer", f"b{action.buyer}"), other, key=key, template=template, item=item
                )
                self._expect(again, {422, 503})

    def _once(
        self, action: Action, path: str, template: str, body: dict[str, Any], item: str | None, key: str
    ) -> Reply | None:
        """One request; an answer that was accepted before must come again byte for byte (P8)."""
        reply = self.ask("POST", path, token("buyer", f"b{action.buyer}"), body, key=key, template=template, item=item)
        accepted = self._accepted.get((path, f"{action.buyer}/{key}"))
        if reply is not None and reply.status in {200, 201}:
            self._accepted[path, f"{action.buyer}/{key}"] = reply.body
            if accepted not in {None, reply.body}:
                self.invariants.violated("P8", f"{path} {key}: {accepted} then {reply.body}")
        elif reply is not None and reply.status != 503:
            self._refused(action, path, key, accepted, reply)
        return reply

    def _refused(self, action: Action, path: str, key: str, accepted: str | None, reply: Reply) -> None:
        """What was accepted is never refused later, not even when the first answer never arrived."""
        buyer = digest_id("usr", ISSUER, f"b{action.buyer}")
        ordered = path == "/v1/deposits" and digest_id("dep", buyer, key) in self.invariants.states
        if accepted is not None or ordered:
            self.invariants.violated("P8", f"{path} {key} was accepted and is now refused: {reply.body}")

    def _expect(self, reply: Reply | None, statuses: set[int]) -> None:
        if reply is not None and reply.status not in statuses:
            self.invariants.violated("contract", f"{reply.status} instead of {statuses}: {reply.body}")

    def ask(
        self,
        method: str,
        path: str,
        bearer: str | None,
        body: Any = None,
        *,
        key: str | None = None,
        template: str | None = None,
        item: str | None = None,
        if_match: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply | None:
        """A request through API Gateway into the Lambda; None when the Lambda died on the way."""
        named = {"authorization": bearer and f"Bearer {bearer}", "idempotency-key": key, "if-match": if_match}
        known = {name: value for name, value in named.items() if value is not None}
        sent = {"content-type": "application/json", **(headers or {}), **known}
        raw = body if isinstance(body, str) else json.dumps(body) if body is not None else None
        event = {
            "httpMethod": method,
            "resource": template or path,
            "path": path,
            "headers": sent,
            "multiValueQueryStringParameters": None,
            "pathParameters": {(template or path).rpartition("{")[2].partition("}")[0]: item} if item else None,
            "stageVariables": None,
            "body": raw,
            "isBase64Encoded": False,
            "requestContext": {
                "resourcePath": template or path,
                "httpMethod": method,
                "path": path,
                "requestId": f"req-{self._next()}",
                "requestTimeEpoch": self.scheduler.now,
                "identity": {"sourceIp": "127.0.0.1"},
            },
        }
        answer: list[Any] = []
        called = self._lambda(
            f"{self._actor().name}>{path}",
            lambda: answer.append(lambda_app.app(event, _context(self.scheduler))),
            API_MS,
        )
        self.scheduler.call(called)
        if not answer:
            self.scheduler.note(f"{method} {path} {key} -> no answer")
            return None
        told = {name.lower(): str(value) for name, value in (answer[0].get("headers") or {}).items()}
        reply = Reply(answer[0]["statusCode"], told, answer[0]["body"])
        self.scheduler.note(f"{method} {path} {key} -> {reply.status} {reply.problem}")
        if reply.status == 500:
            self.invariants.violated("contract", f"{method} {path} answered 500")
        return reply

    # Jobs and events.

    def _scheduled(self, job: str) -> None:
        if self._strikes("job.missed"):
            return
        name = self._actor().name
        self._start_job(job, f"{name}-1")
        if self._strikes("job.twice"):
            self._start_job(job, f"{name}-2")

    def _start_job(self, job: str, name: str) -> None:
        handler = getattr(lambda_app, job)
        event = {
            "version": "0",
            "id": name,
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": "1",
            "time": "",
            "region": "",
            "resources": [],
            "detail": {},
        }
        running = self._lambda(name, lambda: self._run_job(job, handler, event), JOB_MS)
        self.scheduler.spawn(running, self.scheduler.now)

    def _run_job(self, job: str, handler: Any, event: dict[str, Any]) -> None:
        report = handler(event, _context(self.scheduler))
        self.scheduler.note(f"{job} {report}")
        if report["failed"]:
            self.invariants.violated("job", f"{job} failed: {report}")

    def _tell(self, subject: str) -> None:
        """The provider has something to say about a payment or a refund."""
        random = Random(f"{self.plan.seed}/event/{self._next()}")
        if self.faults.strikes("event.lost", random):
            self.invariants.unheard.add(subject)
            return
        times = 2 if self.faults.strikes("event.duplicated", random) else 1
        for _ in range(times):
            delay = random.randrange(1, 2_000)
            if self.faults.strikes("event.reordered", random):
                delay = random.randrange(1, 30_000)
            if self.faults.strikes("event.delayed", random):
                delay = random.randrange(MINUTE, 72 * HOUR)
            self._send_event(subject, delay)
        if self.faults.strikes("event.unknown_subject", random):
            name, stranger = f"event-{self._next()}", "ref_" + "0" * 26 + "_1"
            self._beside(name, lambda: self._post_event(stranger, name, {503, 204}, self.scheduler.now))

    def _send_event(self, subject: str, delay: int) -> None:
        name, told_at = f"event-{self._next()}", self.scheduler.now
        self._beside(name, lambda: self._deliver(subject, name, told_at), after=delay)

    def _deliver(self, subject: str, name: str, told_at: int) -> None:
        """A provider sends again until it is told that we have it."""
        if self._strikes("event.bad_signature"):
            self._post_event(subject, name, {401}, told_at, forged=True)
        if self._strikes("event.old_timestamp"):
            self._post_event(subject, name, {401}, told_at, age=400)
        for _ in range(12):
            if self._post_event(subject, name, {204, 503}, told_at) == 204:
                return
            self.scheduler.sleep(self._actor().random.randrange(5_000, HOUR))
        self.invariants.unheard.add(subject)

    def _post_event(
        self, subject: str, name: str, allowed: set[int], told_at: int, *, forged: bool = False, age: int = 0
    ) -> int:
        body = json.dumps({"type": "updated", "timestamp": format_instant(told_at), "data": {"id": subject}})
        at = self.scheduler.now // 1_000 - age
        signature = signatures.sign(name, at, body.encode(), SECRET)
        headers = {
            "webhook-id": name,
            "webhook-timestamp": str(at),
            "webhook-signature": signature[:-4] + "AAA=" if forged else signature,
        }
        path = "/v1/provider-events/sandbox"
        reply = self.ask("POST", path, None, body, template=TEMPLATES["events"], item="sandbox", headers=headers)
        self._expect(reply, allowed | {503})
        return reply.status if reply is not None else 0

    # Actors and containers.

    def _container(self, client: FaultyClient) -> Services:
        timing = Timing(now=self._machine, pause=self._pause, grace_ms=GRACE)
        return assembled(
            settings(),
            client,
            timing,
            self.provider,
            self._machine,
            run_id=lambda job: f"{job}/{self._actor().name}",
        )

    def _machine(self) -> int:
        """The clock of the machine that the running actor is on."""
        return self.scheduler.now + self._actor().skew

    def _pause(self, losses: int) -> None:
        longest = min(400, 20 * 2 ** min(losses, 5))
        self.scheduler.sleep(self._actor().random.randrange(1, longest))

    def _lambda(self, name: str, run: Callable[[], None], life: int) -> Actor:
        random = Random(f"{self.plan.seed}/{name}")
        skew = random.randrange(-5_000, 5_000) if self.faults.strikes("process.clock_skew", random) else 0
        return Actor(name, random, run, random.choice(self._containers), deadline=self.scheduler.now + life, skew=skew)

    def _somebody(self, name: str, run: Callable[[], Any]) -> Actor:
        return Actor(name, Random(f"{self.plan.seed}/{name}"), run)

    def _beside(self, name: str, run: Callable[[], Any], after: int = 0) -> None:
        self.scheduler.spawn(self._somebody(name, run), self.scheduler.now + after)

    def _actor(self) -> Actor:
        actor = self.scheduler.actor
        assert actor is not None, "only actors act"
        return actor

    def _strikes(self, name: str) -> bool:
        return self.faults.strikes(name, self._actor().random)

    def _next(self) -> int:
        self._serial += 1
        return self._serial

    def _lag(self) -> int:
        actor = self.scheduler.actor
        if actor is None or not self.faults.strikes("store.index_lag", actor.random):
            return 0
        return actor.random.randrange(5_000)

    def _watch(self, pk: str, before: Any, after: Any) -> None:
        self._changes.append((pk, before, after))

    def _effect_done(self) -> None:
        """All writes of one call took effect together."""
        if self._changes:
            changes, self._changes = self._changes, []
            self.invariants.written(changes)


def _context(scheduler: Scheduler) -> Any:
    actor = scheduler.actor
    assert actor is not None, "a Lambda runs in an actor"
    deadline = actor.deadline or 0
    return SimpleNamespace(
        get_remaining_time_in_millis=lambda: deadline - scheduler.now, aws_request_id="", function_name=""
    )
