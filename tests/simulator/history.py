"""One history: a plan played against the real Lambda entry points, until everything is at rest."""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, partial
from random import Random
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

import app as lambda_app
from chalicelib.core.common.ids import parse_child
from chalicelib.core.common.instants import DAY, HOUR, MINUTE, format_instant
from chalicelib.core.common.refusal import Refused
from chalicelib.core.deadlines import find_awaited_balance
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.refunding.schedule import compute_due_at
from chalicelib.flows.retry import Timing
from chalicelib.web.edge import signatures
from chalicelib.web.edge.tokens import Verifier
from chalicelib.wiring import Services, Settings, assembled, installed
from local.issuer import AUDIENCE, ISSUER
from tests.simulator.audit import Audit
from tests.simulator.cancellation_invariants import GRACE, opened
from tests.simulator.claimants import CANARY
from tests.simulator.client import FaultyClient
from tests.simulator.dynamo import FakeDynamo, dump
from tests.simulator.faults import Faults
from tests.simulator.invariants import Invariants
from tests.simulator.log_capture import capture_log
from tests.simulator.people import People
from tests.simulator.plan import ORDERS, Action, Plan
from tests.simulator.provider import SimulatedProvider
from tests.simulator.sales import SALES
from tests.simulator.scheduler import Actor, Scheduler
from tests.simulator.tokens import issuer, proved_once, token

# In the middle of a rotation: the provider signs with either.
SECRETS: Final = tuple(
    "whsec_" + base64.b64encode(hashlib.sha256(name.encode()).digest()).decode() for name in ("simulator", "before it")
)
OWN_SECRET: Final = hashlib.sha256(b"texts and withdrawal tokens").hexdigest()
CONTAINERS: Final = 3
API_MS: Final = 29_000
JOB_MS: Final = 300_000
# When everything is over, jobs come whenever something is due; after so many rounds nothing may be left open.
MAX_ROUNDS: Final = 120
JOB_OF: Final = {"runs": "reconcile", "time": "close_windows", "work": "send_refunds"}
WATCHED: Final = 2 * DAY  # after so long in the calm a balance that nobody pays may stay open


@cache
def settings() -> Settings:
    return Settings(
        table="earnest",
        issuer=ISSUER,
        audience=AUDIENCE,
        jwks=issuer().jwks(),
        origins=(),
        provider="sandbox",
        webhook_secrets=SECRETS,
        secrets=(OWN_SECRET,),
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
        body: dict[str, Any] = json.loads(self.body)
        return body

    @property
    def problem(self) -> str:
        is_problem = self.headers.get("content-type") == "application/problem+json"
        return str(self.json["type"]).removeprefix("/problems/") if is_problem else ""


@dataclass
class History:
    """One run. ``play`` returns it when nothing is due any more."""

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
        self.provider = SimulatedProvider(self.scheduler, self.faults, self.plan.key_retention_ms, self.tell)
        self.invariants.watch(self.provider)
        self._containers = [self._container(client) for _ in range(CONTAINERS)]
        self._changes: list[Any] = []
        self.offers: dict[int, dict[str, Any]] = {}
        self.undisturbed_payments: set[str] = set()  # payments whose events meet no fault on their way
        self.about_dispute = False  # what the provider tells now is a bank's word
        self._dump = ""
        self._people = People(self)
        self._called: Counter[str] = Counter()
        self._serial = 0

    # The course of a history.

    def play(self) -> "History":
        with ExitStack() as stack:
            stack.enter_context(installed(lambda: self.actor().container))
            stack.enter_context(patch.object(Verifier, "_claims", proved_once))
            for module, name, amount in self.plan.grain.sizes():
                stack.enter_context(patch.object(module, name, amount))
            stack.enter_context(capture_log(self._check_for_canary))
            self._set_up()
            for action in self.plan.actions:
                begins = self.plan.start + MINUTE + action.at
                self.scheduler.spawn(self._somebody(f"a{action.id}", self._doing(action)), begins)
            self.scheduler.drain()
            self._finish()
        return self

    def digest(self) -> str:
        """A digest of the trace and of the items at the end."""
        text = "\n".join(self.scheduler.trace) + self._dump
        return hashlib.sha256(text.encode()).hexdigest()

    def _set_up(self) -> None:
        """Publish the offers without faults."""
        calm, self.faults.off = self.faults.off, True
        for number in sorted({action.offer for action in self.plan.actions if action.kind in ORDERS}):
            self.spawn(SALES[number].title, partial(self._publish, number))
            self.scheduler.drain()
        self.faults.off = calm

    def _publish(self, number: int) -> None:
        body, now = SALES[number].published(self.plan.start), self.scheduler.now
        reply = self.ask("POST", "/v1/offers", token("merchant", "shop", "mer_shop"), body, key=body["title"])
        assert reply is not None, "nothing strikes yet"
        assert reply.status == 201, reply.body
        offer = self.offers[number] = reply.json
        self.invariants.sales[offer["id"]] = SALES[number]
        opens_at = self.plan.start + SALES[number].opens_after if SALES[number].opens_after else 0
        self.invariants.cancellations.openings[offer["id"]] = opened(offer, opens_at, now)

    def _finish(self) -> None:
        """Turn faults off, run all due jobs, compare the books, and check that nothing is left open."""
        self.faults.off = self.faults.fast_reads = True
        self._end_disputes()
        self._run_due_jobs()
        audit = Audit(self)
        while (begins := audit.starts_at()) > self.scheduler.now:
            self.scheduler.drain(begins)
            self._run_due_jobs()
        audit.check()
        self._run_due_jobs()
        self.invariants.check_finished()
        self._dump = dump(self.engine.items)
        self._check_for_canary(self._dump)

    def _end_disputes(self) -> None:
        """End every open chargeback."""
        self.scheduler.drain()
        for payment_id, row in self.provider.payments.items():
            if any(dispute.status == "open" for dispute in row.disputes):
                self.provider.dispute(payment_id, "won")

    def _run_due_jobs(self) -> None:
        """Run jobs whenever something is due, until nothing is."""
        calm_since = self.scheduler.now
        for _ in range(MAX_ROUNDS):
            far = self.scheduler.now + 40 * DAY  # what waits for a person has no nearer instant
            due = [(at, job) for at, job in self._due(calm_since + WATCHED) if at < far]
            if not due:
                break
            # As in life a job comes once a minute: what another worker held in between is free by then.
            self.scheduler.drain(max(min(due)[0] + 1_000, self.scheduler.now + MINUTE))
            for job in sorted({job for at, job in due if at <= self.scheduler.now}):
                self.start_job(job, f"rest-{job}-{self._next()}")
                self.scheduler.drain()

    def _due(self, watched: int) -> list[tuple[int, str]]:
        """When something is due and for which job; in the end without the daily look for a balance that nobody pays."""
        found = []
        for pk, item in self.engine.items.items():
            if "due" in item:
                at, queue = int(item["due"]["N"]), item["due_shard"]["S"].partition("#")[0]
                if not pk.startswith("dep_") or at < watched or self._must_be_seen(self.invariants.states[pk]):
                    found.append((at, JOB_OF[queue]))
        return found

    def _must_be_seen(self, state: Deposit) -> bool:
        return find_awaited_balance(state) is None or bool(state.open_claims) or any(map(compute_due_at, state.refunds))

    def _check_for_canary(self, text: str) -> None:
        """P10: no item, log, problem or answer contains a buyer's account."""
        if CANARY in text.lower():
            place = text.lower().index(CANARY)
            self.invariants.violated("P10", f"an account is shown: {text[max(place - 200, 0) : place + 60]}")

    def _doing(self, action: Action) -> Callable[[], None]:
        if action.kind in {"send_refunds", "close_windows", "reconcile"}:
            return lambda: self._scheduled(action.kind)
        return self._people.action_of(action)

    # What people need.

    def actor(self) -> Actor:
        actor = self.scheduler.actor
        assert actor is not None, "only actors act"
        return actor

    def strikes(self, name: str) -> bool:
        return self.faults.strikes(name, self.actor().random)

    def spawn(self, name: str, run: Callable[[], Any], after: int = 0) -> None:
        """Start another actor."""
        self.scheduler.spawn(self._somebody(name, run), self.scheduler.now + after)

    def expect(self, reply: Reply | None, statuses: set[int] | frozenset[int]) -> None:
        if reply is not None and reply.status not in statuses:
            self.invariants.violated("contract", f"{reply.status} instead of {sorted(statuses)}: {reply.body}")

    def methods(self, order: dict[str, Any]) -> list[str]:
        """The ways to pay of the offer that an order is about."""
        return next(offer["payment"]["methods"] for offer in self.offers.values() if offer["id"] == order["offer"])

    def ask(
        self,
        method: str,
        path: str,
        bearer: str | None,
        body: Any = None,
        *,
        key: str | None = None,
        template: str | None = None,
        if_match: str | None = None,
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
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
            "multiValueQueryStringParameters": {name: [value] for name, value in (query or {}).items()} or None,
            "pathParameters": _parameters(template or path, path) or None,
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
        name = f"{self.actor().name}>{path}"
        self._called[name] += 1  # a request that is sent again meets other weather
        called = self._lambda(
            f"{name} {self._called[name]}",
            lambda: answer.append(lambda_app.app(event, _context(self.scheduler))),
            API_MS,
        )
        self.scheduler.call(called)
        if not answer:
            self.scheduler.note(f"{method} {path} {key} -> no answer")
            return None
        told = {name.lower(): str(value) for name, value in (answer[0].get("headers") or {}).items()}
        reply = Reply(answer[0]["statusCode"], told, answer[0]["body"])
        self._check_for_canary(reply.body)
        self.scheduler.note(f"{method} {path} {key} -> {reply.status} {reply.problem}")
        if reply.status == 500:
            self.invariants.violated("contract", f"{method} {path} answered 500")
        return reply

    # Jobs and events.

    def schedule_job(self, job: str, after: int) -> None:
        """Schedule a job."""
        self.spawn(f"{self.actor().name}-{job}-{self._next()}", lambda: self._scheduled(job), after)

    def _scheduled(self, job: str) -> None:
        if self.strikes("job.missed"):
            return
        name = self.actor().name
        self.start_job(job, f"{name}-1")
        if self.strikes("job.twice"):
            self.start_job(job, f"{name}-2")

    def start_job(self, job: str, name: str) -> None:
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
        try:
            report = handler(event, _context(self.scheduler))
        except Refused as refused:  # the table is busy: the schedule comes again
            self.scheduler.note(f"{job} {refused}")
            return
        self.scheduler.note(f"{job} {report}")
        if report.get("failed"):
            self.invariants.violated("job", f"{job} failed: {report}")

    def tell(self, subject: str) -> None:
        """The provider has something to say about a payment or a refund."""
        random = Random(f"{self.plan.seed}/event/{self._next()}")
        if subject in self.undisturbed_payments and not self.about_dispute:
            self._send_event(subject, random.randrange(1, 2_000))
            return
        lost = self._about_balance(subject) and self.faults.strikes("event.balance_lost", random)
        lost = lost or self.faults.strikes("event.lost", random)
        if lost or (self.about_dispute and self.faults.strikes("event.dispute_lost", random)):
            self._never_told(subject, about_dispute=self.about_dispute)
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
            self.spawn(name, lambda: self._post_event(stranger, name, {503, 204}, self.scheduler.now))

    def _about_balance(self, subject: str) -> bool:
        parsed = parse_child("pay", subject)
        if parsed is None:
            return False
        return self.invariants.states[f"dep_{parsed[0]}"].payments[parsed[1] - 1].kind == "balance"

    def _send_event(self, subject: str, delay: int) -> None:
        name, told_at = f"event-{self._next()}", self.scheduler.now
        self.spawn(name, lambda: self._deliver(subject, name, told_at), after=delay)

    def _deliver(self, subject: str, name: str, told_at: int) -> None:
        """A provider sends again until it is told that we have it."""
        if self.strikes("event.bad_signature"):
            self._post_event(subject, name, {401}, told_at, forged=True)
        if self.strikes("event.old_timestamp"):
            self._post_event(subject, name, {401}, told_at, age=400)
        for _ in range(12):
            if self._post_event(subject, name, {204, 503}, told_at) == 204:
                return
            self.scheduler.sleep(self.actor().random.randrange(5_000, HOUR))
        self._never_told(subject, about_dispute=bool(self._disputes_of(subject)))

    def _never_told(self, subject: str, *, about_dispute: bool) -> None:
        """Who does not look by itself does not know."""
        if about_dispute:
            self.invariants.refunds.undisputed.add(subject)
        self.invariants.lost_events.add(subject)

    def _disputes_of(self, subject: str) -> list[Any]:
        paid = self.provider.payments.get(subject)
        return paid.disputes if paid is not None else []

    def _post_event(
        self, subject: str, name: str, allowed: set[int], told_at: int, *, forged: bool = False, age: int = 0
    ) -> int:
        body = json.dumps({"type": "updated", "timestamp": format_instant(told_at), "data": {"id": subject}})
        at = self.scheduler.now // 1_000 - age
        secret = SECRETS[1] if self.strikes("event.former_secret") else SECRETS[0]
        signature = signatures.sign(name, at, body.encode(), secret)
        headers = {
            "webhook-id": name,
            "webhook-timestamp": str(at),
            "webhook-signature": signature[:-4] + "AAA=" if forged else signature,
        }
        path = "/v1/provider-events/sandbox"
        reply = self.ask("POST", path, None, body, template="/v1/provider-events/{provider}", headers=headers)
        self.expect(reply, allowed | {503})
        return reply.status if reply is not None else 0

    # Actors and containers.

    def _container(self, client: FaultyClient) -> Services:
        timing = Timing(now=self._machine, pause=self._pause, grace_ms=GRACE)
        return assembled(
            settings(),
            client,
            timing,
            self.provider,
            self.provider,
            self._machine,
            run_id=lambda job: f"{job}/{self.actor().name}",
        )

    def _machine(self) -> int:
        """The clock of the machine that the running actor is on."""
        return self.scheduler.now + self.actor().skew

    def _pause(self, losses: int) -> None:
        longest = min(400, 20 * 2 ** min(losses, 5))
        self.scheduler.sleep(self.actor().random.randrange(1, longest))

    def _lambda(self, name: str, run: Callable[[], None], life: int) -> Actor:
        random = Random(f"{self.plan.seed}/{name}")
        skew = random.randrange(-5_000, 5_000) if self.faults.strikes("process.clock_skew", random) else 0
        return Actor(name, random, run, random.choice(self._containers), deadline=self.scheduler.now + life, skew=skew)

    def _somebody(self, name: str, run: Callable[[], Any]) -> Actor:
        return Actor(name, Random(f"{self.plan.seed}/{name}"), run)

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
            self.invariants.check_write(changes)


def _context(scheduler: Scheduler) -> Any:
    actor = scheduler.actor
    assert actor is not None, "a Lambda runs in an actor"
    deadline = actor.deadline or 0
    return SimpleNamespace(
        get_remaining_time_in_millis=lambda: deadline - scheduler.now, aws_request_id="", function_name=""
    )


def _parameters(template: str, path: str) -> dict[str, str]:
    """What the braces of a template stand for."""
    pairs = zip(template.split("/"), path.split("/"), strict=True)
    return {name[1:-1]: value for name, value in pairs if name.startswith("{")}
