"""The only door from the corpus into the code: a record's items in an engine of their own, asked over HTTP.

Everything else here knows JSON alone, so a change of the code's inside can break the corpus in this file only.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final, cast, get_args
from unittest.mock import patch

import app as lambda_app
from chalicelib.core.common.journal import Caller
from chalicelib.core.deposit import fold
from chalicelib.core.deposit import order as orders
from chalicelib.core.deposit.causes import Cause, LineCode
from chalicelib.core.deposit.fold import postings
from chalicelib.core.merchant.bulk import BulkEvent
from chalicelib.core.policy import cancellation_reasons
from chalicelib.core.policy.claim_rules import ClaimKind
from chalicelib.core.reconciliation.run import BreakEvent, RunEvent
from chalicelib.core.selling.offer import OfferEvent
from chalicelib.flows.retry import Timing
from chalicelib.store.deposits import DepositStore
from chalicelib.web.edge import route
from chalicelib.web.edge.tokens import Verifier
from chalicelib.wiring import Services, Settings, assembled, installed
from tests.corpus.records import Ask, Items, Json
from tests.simulator.dynamo import FakeDynamo

TABLE: Final = "corpus"
# The same as the simulator's, so that texts sealed in its histories can be read here.
SECRET: Final = hashlib.sha256(b"texts and withdrawal tokens").hexdigest()
GRACE_MS: Final = 60_000


class _Callers:
    """The token is the caller: ``id/role/merchant``. How tokens are proved is the web tests' business."""

    def caller(self, authorization: str | None) -> Caller:
        caller_id, role, merchant = str(authorization).removeprefix("Bearer ").split("/")
        return Caller(caller_id, role, merchant or None)


class Reading:
    """The service over one record's items. Its clock stands at the instant of each request."""

    def __init__(self) -> None:
        self._engine = FakeDynamo(clock=self._now, counting=False)
        self._at = 0
        self.services = self._assembled()

    def hold(self, items: Items) -> None:
        """From now on only these items are there."""
        fresh = FakeDynamo(clock=self._now, counting=False)
        for item in items.values():
            fresh.put_item(Item=item)
        self._engine.__dict__.update(fresh.__dict__)

    def items(self) -> Items:
        """What is there now."""
        return dict(self._engine.items)

    def answer(self, ask: Ask) -> Json:
        """Status, the headers that tell of a state, and the body as it was written."""
        self._at = ask.at
        told = lambda_app.app(_event(ask), SimpleNamespace(aws_request_id="", function_name=""))
        headers = {name.lower(): str(value) for name, value in told["headers"].items()}
        kept = {name: headers[name] for name in ("etag", "idempotent-replayed", "location") if name in headers}
        return {"status": told["statusCode"], **kept, "body": told["body"]}

    def facts(self, deposit_id: str) -> Json:
        """What no answer tells: the index attributes, and each ledger account by its postings."""
        store = self.services.deposits
        assert isinstance(store, DepositStore)
        stored = store.get(deposit_id)
        assert stored is not None, deposit_id
        events = [entry.event for entry in stored.journal]
        accounts: Counter[str] = Counter()
        state = orders.begin_deposit(deposit_id, cast(Any, events[0]))
        for event in events[1:]:
            for account, amount in postings(event, state.refund_amounts()):
                accounts[f"{account}/{amount.currency}"] += amount.minor
            state = fold.evolve(state, event)
        assert state == fold.fold(deposit_id, events), "the same, at once or step by step"
        return {
            "version": state.version,
            "status": state.status.value,
            "index": store._index_attributes(state),
            "ledger": dict(sorted(accounts.items())),
        }

    def _now(self) -> int:
        return self._at

    def _assembled(self) -> Services:
        settings = Settings(
            table=TABLE,
            issuer="",
            audience="",
            jwks="",
            origins=(),
            provider="",
            webhook_secrets=(),
            secrets=(SECRET,),
            writes_per_minute=None,
            reads_per_minute=None,
        )
        nobody: Any = SimpleNamespace(name="nobody")  # no answer of the corpus asks a provider
        timing = Timing(now=self._now, pause=lambda _losses: None, grace_ms=GRACE_MS)
        return assembled(settings, self._engine, timing, nobody, nobody, self._now)


@contextmanager
def opened() -> Iterator[Reading]:
    """The service as this process's container, while the block runs."""
    reading = Reading()
    with installed(lambda: reading.services), patch.object(Verifier, "from_jwks", lambda *_: _Callers()):
        yield reading
    route._verifier.cache_clear()  # it keeps what was made while the block ran


def event_types() -> set[str]:
    """The public name of every event that there is."""
    unions: tuple[Any, ...] = (OfferEvent, BulkEvent, RunEvent, BreakEvent)
    return {*fold.KINDS, *(kind.TYPE for union in unions for kind in get_args(union))}


def published() -> dict[str, set[str]]:
    """The closed sets whose every word stands in the corpus."""
    return {
        "cause": {cause.value for cause in Cause},
        "code": {code.value for code in LineCode},
        "reason": {reason.code for reason in cancellation_reasons.list_all_reasons()},
        "claim": set(get_args(ClaimKind)),
    }


def _event(ask: Ask) -> Json:
    headers = {"accept-language": ask.locale, "content-type": "application/json"}
    if ask.caller:
        headers["authorization"] = f"Bearer {ask.caller}"
    if ask.key:
        headers["idempotency-key"] = ask.key
    return {
        "httpMethod": ask.method,
        "resource": ask.template,
        "path": ask.path,
        "headers": headers,
        "multiValueQueryStringParameters": {name: [value] for name, value in ask.query.items()} or None,
        "pathParameters": ask.params or None,
        "stageVariables": None,
        "body": json.dumps(ask.body) if ask.body is not None else None,
        "isBase64Encoded": False,
        "requestContext": {
            "resourcePath": ask.template,
            "httpMethod": ask.method,
            "path": ask.path,
            "requestId": "corpus",
            "requestTimeEpoch": ask.at,
            "identity": {"sourceIp": "127.0.0.1"},
        },
    }
