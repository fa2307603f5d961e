"""The ``/sandbox`` calls: tokens, the clock, payments, faults, the provider's books, jobs. They exist on one machine only."""

import html
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final, Literal

from chalice.app import Chalice
from pydantic import Field, with_config
from typing_extensions import TypedDict  # before Python 3.12 pydantic reads only this one

from chalicelib.core.common import instants
from chalicelib.core.common.fields import Duration, Frozen, InstantField, MoneyField, Text
from chalicelib.core.common.ids import is_well_formed, parse_child
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.reconciliation.lines import SHARDS
from chalicelib.gateways.sandbox.books import Row
from chalicelib.gateways.sandbox.faults import FAULTS
from chalicelib.gateways.sandbox.provider import Sandbox
from chalicelib.jobs.sweep import Report
from chalicelib.web.deposits import render as deposits_render
from chalicelib.web.edge import values
from chalicelib.web.edge.declare import public
from chalicelib.web.edge.page import HTML, page
from chalicelib.web.edge.query import CURSOR, Form, instant, next_cursor, position, text
from chalicelib.web.edge.route import Answer, Call, Example, Routes, endpoint
from chalicelib.web.edge.values import CLOSED, InstantAnswer, MoneyAnswer
from chalicelib.wiring import Services, machine_clock
from local.issuer import Issuer
from local.wiring import sandbox_of

# Where a page of the settlement report begins: a shard, and the place of the line before it.
REPORT_POSITION: Final[Form] = {
    "shard": lambda value: isinstance(value, int) and 0 <= value < SHARDS,
    "after": lambda value: isinstance(value, str),
}
routes = Routes(__name__, "sandbox")
JOB_TIMEOUT_MS: Final = 300_000  # of a scheduled Lambda
REPORT_PAGE: Final = 100
CSV: Final = "text/csv; charset=utf-8"
CHARGEBACKS: Final[Mapping[str, Literal["opened", "won", "lost"]]] = {
    "chargeback_opened": "opened",
    "chargeback_won": "won",
    "chargeback_lost": "lost",
}
SPAN: Final = (
    instant("from", "Executed at this instant or later.")._replace(required=True),
    instant("to", "Executed before this instant.")._replace(required=True),
)

Jobs = Mapping[str, Callable[[Services, Callable[[], int]], Report]]


@dataclass(frozen=True, slots=True)
class Context:
    """What the sandbox calls use."""

    services: Services
    issuer: Issuer
    jobs: Jobs

    @property
    def provider(self) -> Sandbox:
        return sandbox_of(self.services)


_contexts: list[Context] = []


def install(app: Chalice, context: Context) -> None:
    """Add the calls to the app's routes."""
    _contexts[:] = [context]
    app.register_blueprint(routes)


def _context() -> Context:
    return _contexts[0]


class TokenBody(Frozen):
    """Whom the token names. ``sub`` defaults to a fresh one."""

    role: Literal["buyer", "merchant", "inspector", "platform", "service"]
    sub: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    merchant: Annotated[str, Field(pattern=r"^mer_[a-z0-9]{1,26}$")] | None = None


class ClockBody(Frozen):
    """Either a distance or an instant; the clock only moves forward."""

    advance: Duration | None = None
    set: InstantField | None = None


class PaymentBody(Frozen):
    """What becomes of a payment; without an amount it is what was asked for, or the whole capture that is disputed."""

    outcome: Literal["succeeded", "failed", "chargeback_opened", "chargeback_won", "chargeback_lost"]
    amount: MoneyField | None = None


class FaultBody(Frozen):
    """A fault to arm: each provider call of that kind uses one."""

    on: Literal["refund", "payment", "webhook", "settlement"]
    fault: Text
    times: Annotated[int, Field(ge=1, le=1_000)] = 1


@endpoint(
    routes,
    "POST",
    "/sandbox/tokens",
    "A token of the sandbox issuer, valid 30 days",
    {200: dict[str, str]},
    body=TokenBody,
    keyed=False,
    reasons=(Reason.INVALID_REQUEST,),
    example=Example(body={"role": "buyer"}),
)
def tokens(call: Call) -> Answer:
    body: TokenBody = call.fields
    if body.role in {"merchant", "inspector"} and body.merchant is None:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/merchant", "missing")])
    sub = body.sub or f"sandbox-{secrets.token_hex(8)}"
    token = _context().issuer.token(body.role, sub, body.merchant, machine_clock() // instants.SECOND)
    return Answer({"token": token})


@public(routes, "/sandbox/clock", "The sandbox's instant", dict[str, str])
def clock(_call: Call) -> Answer:
    return Answer({"now": instants.format_instant(_context().provider.now())})


@endpoint(
    routes,
    "POST",
    "/sandbox/clock",
    "Move the sandbox's clock forward; what the provider then owes is done before the answer",
    {200: dict[str, str]},
    body=ClockBody,
    keyed=False,
    reasons=(Reason.INVALID_REQUEST,),
    example=Example(body={"advance": "PT168H"}),
)
def move_clock(call: Call) -> Answer:
    body: ClockBody = call.fields
    if (body.advance is None) == (body.set is None):
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/advance", "missing" if body.set is None else "invalid")])
    provider = _context().provider
    to = body.set if body.set is not None else provider.now() + instants.duration_ms(str(body.advance))
    if to > instants.LAST_INSTANT:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/advance", "too_far")])
    try:
        if body.set is None:
            provider.forward(instants.duration_ms(str(body.advance)))
        else:
            provider.advance(body.set)
    except ValueError:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/set", "not_before_now")]) from None
    return clock(call)


@endpoint(
    routes,
    "POST",
    "/sandbox/payments/{payment_id}",
    "Let the provider settle a payment; its event is worked off before the answer",
    {200: dict[str, object]},
    body=PaymentBody,
    keyed=False,
    reasons=(Reason.NOT_FOUND, Reason.INVALID_REQUEST, Reason.CURRENCY_MISMATCH, Reason.WRONG_STATE),
    example=Example(body={"outcome": "succeeded"}),
)
def pay(call: Call) -> Answer:
    body: PaymentBody = call.fields
    payment_id = call.params["payment_id"]
    deposit, n = _load_payment(payment_id)
    if body.amount is not None and body.amount.minor <= 0:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/amount", "too_small")])
    provider = _context().provider
    if body.outcome in CHARGEBACKS:
        provider.charge_back(payment_id, CHARGEBACKS[body.outcome], body.amount)
    else:
        # The provider takes money for any payment that ever was: one that is dead or replaced too.
        provider.open_session(payment_id, deposit.payments[n - 1].amount, deposit.payments[n - 1].method)
        provider.pay(payment_id, body.outcome, body.amount)
    after, _ = _load_payment(payment_id)
    return Answer({"payment": deposits_render.payment(after, after.payments[n - 1])})


def _load_payment(payment_id: str) -> tuple[Deposit, int]:
    """The deposit of a payment, and the payment's number. Refused(NOT_FOUND)."""
    parsed = parse_child("pay", payment_id)
    if parsed is None:
        raise Refused(Reason.NOT_FOUND)
    deposit = _context().services.desk.commits.load(f"dep_{parsed[0]}").deposit
    if parsed[1] > len(deposit.payments):
        raise Refused(Reason.NOT_FOUND)
    return deposit, parsed[1]


@endpoint(
    routes,
    "POST",
    "/sandbox/faults",
    "Arm a fault of the provider",
    {201: dict[str, object]},
    body=FaultBody,
    keyed=False,
    reasons=(Reason.INVALID_REQUEST,),
    example=Example(body={"on": "refund", "fault": "timeout_after", "times": 1}),
)
def arm(call: Call) -> Answer:
    body: FaultBody = call.fields
    if body.fault not in FAULTS[body.on]:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/fault", "choice")])
    _context().provider.arm(body.on, body.fault, body.times)
    return Answer({"on": body.on, "fault": body.fault, "times": body.times}, 201)


@endpoint(routes, "DELETE", "/sandbox/faults", "Disarm every fault", {204: None}, keyed=False)
def disarm(_call: Call) -> Answer:
    _context().provider.disarm()
    return Answer("", 204)


@public(
    routes,
    "/sandbox/provider/refunds",
    "The provider's own books for a deposit",
    dict[str, object],
    query=(text("deposit", "The deposit.", required=True),),
    reasons=(Reason.INVALID_REQUEST,),
)
def books(call: Call) -> Answer:
    deposit_id = call.query["deposit"]
    rows = _context().provider.books(deposit_id.partition("_")[2]) if is_well_formed("dep", deposit_id) else []
    return Answer({"data": rows})


@with_config(CLOSED)
class SettlementLine(TypedDict):
    """A line of the provider's report, as in its file."""

    type: Literal["capture", "refund", "payout", "return"]
    reference: str
    provider_reference: str
    amount: MoneyAnswer
    executed_at: InstantAnswer


@with_config(CLOSED)
class SettlementPage(TypedDict):
    """One page of the report."""

    data: list[SettlementLine]
    next_cursor: str | None


@public(
    routes,
    "/sandbox/provider/settlement",
    "The provider's settlement report: lines that have appeared, by deposit, shard by shard",
    SettlementPage,
    reasons=(Reason.INVALID_CURSOR,),
    query=(*SPAN, CURSOR),
)
def settlement(call: Call) -> Answer:
    start = position(call, _scope, REPORT_POSITION) or {"shard": 0, "after": ""}
    rows, more = _report_page(*_span(call), int(str(start["shard"])), str(start["after"]))
    return Answer({"data": [_settlement_line(row) for row in rows], "next_cursor": next_cursor(call, _scope, more)})


def _report_page(start: int, end: int, shard: int, after: str) -> tuple[list[Row], dict[str, object] | None]:
    """A page of the report, and the position of the next. The lines of one payment or refund are never parted."""
    rows: list[Row] = []
    while len(rows) < REPORT_PAGE and shard < SHARDS:
        more, last = _context().provider.report_rows(start, end, shard, after, REPORT_PAGE - len(rows))
        rows += more
        shard, after = (shard, last) if last is not None else (shard + 1, "")
    return rows, {"shard": shard, "after": after} if shard < SHARDS else None


@public(
    routes,
    "/sandbox/provider/settlement.csv",
    "The same report as a file, by instant of execution",
    str,
    query=SPAN,
    media_type=CSV,
    reasons=(Reason.INVALID_REQUEST,),
)
def settlement_csv(call: Call) -> Answer:
    return Answer("".join(_context().provider.settlement_csv(*_span(call))))


def _span(call: Call) -> tuple[int, int]:
    start, end = call.query["from"], call.query["to"]
    if end <= start:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/to", "invalid")])
    return start, end


def _scope(call: Call) -> str:
    return f"{call.query['from']}/{call.query['to']}"


def _settlement_line(row: Row) -> SettlementLine:
    return {
        "type": row["type"],
        "reference": row["reference"],
        "provider_reference": row["ref"],
        "amount": values.money(Money(row["minor"], row["currency"])),
        "executed_at": instants.format_instant(row["at"]),
    }


@endpoint(
    routes,
    "POST",
    "/sandbox/jobs/{job}",
    "Run a job now, to its end",
    {200: dict[str, object]},
    keyed=False,
    reasons=(Reason.NOT_FOUND,),
)
def run_job(call: Call) -> Answer:
    context = _context()
    job = context.jobs.get(call.params["job"])
    if job is None:
        raise Refused(Reason.NOT_FOUND)
    report = job(context.services, lambda: JOB_TIMEOUT_MS)
    context.provider.pump()
    return Answer(asdict(report))


@public(routes, "/sandbox/checkout/{payment_id}", "The provider's payment page", str, media_type=HTML)
def checkout(call: Call) -> Answer:
    payment_id = html.escape(call.params["payment_id"])
    content: Any = f"""<p><code>{payment_id}</code></p>
<p><button onclick="go('succeeded')">Pay</button> <button onclick="go('failed')">Decline</button></p><pre id="out"></pre>
<script>async function go(outcome){{const r=await fetch('/sandbox/payments/{payment_id}',{{method:'POST',
headers:{{'content-type':'application/json'}},body:JSON.stringify({{outcome}})}});
document.getElementById('out').textContent=JSON.stringify(await r.json(),null,2)}}</script>"""
    return Answer(page("Sandbox payment", content, call.locale))
