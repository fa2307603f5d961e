"""The sandbox's own calls: people, time, payments, faults, books and jobs. They need no token and no key."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from chalicelib.core.common.instants import HOUR, format_instant
from chalicelib.core.reconciliation.lines import build_place, compute_shard
from chalicelib.gateways.sandbox.faults import FAULTS
from tests.web.answer_checks import accepted, attend, check_answer, check_refusal, cny, instant, path_of, refunds_of
from tests.world import Json, Reply, World, rupiah

ROOT = Path(__file__).resolve().parents[2]


def test_without_the_sandbox_there_are_no_such_calls() -> None:
    listed = "import json, app; print(json.dumps(sorted(app.app.routes)))"
    done = subprocess.run([sys.executable, "-c", listed], cwd=ROOT, env={}, capture_output=True, text=True, check=True)
    routes = json.loads(done.stdout)
    assert "/v1/deposits" in routes
    assert [route for route in routes if "sandbox" in route] == []


@pytest.mark.parametrize("role", ["buyer", "platform", "service"])
def test_a_token_for_everybody(world: World, role: str) -> None:
    token = accepted(world.anyone().post("/sandbox/tokens", {"role": role}))["token"]
    assert world.anyone(token).get("/v1/deposits").status == {"buyer": 200, "platform": 422, "service": 403}[role]


def test_the_same_sub_is_the_same_person_and_no_sub_is_somebody_new(world: World) -> None:
    offer = world.offer()
    one, same = (world.person("buyer", sub="ana-of-the-sandbox") for _ in range(2))
    deposit = world.ordered(one, offer)
    accepted(same.get(path_of(deposit)))
    check_refusal(world.buyer().get(path_of(deposit)), 404, "not-found")


BAD_TOKENS = [
    ({}, "/role"),
    ({"role": "admin"}, "/role"),
    ({"role": "merchant"}, "/merchant"),
    ({"role": "inspector"}, "/merchant"),
    ({"role": "merchant", "merchant": "shop"}, "/merchant"),
    ({"role": "merchant", "merchant": "mer_UPPER"}, "/merchant"),
    ({"role": "buyer", "sub": ""}, "/sub"),
    ({"role": "buyer", "sub": "x" * 256}, "/sub"),
    ({"role": "buyer", "name": "Ana"}, "/name"),
]


@pytest.mark.parametrize(("body", "pointer"), BAD_TOKENS)
def test_a_token_for_nobody_is_refused(world: World, body: dict[str, str], pointer: str) -> None:
    check_refusal(world.anyone().post("/sandbox/tokens", body), 422, "invalid-request", pointer)


def test_the_clock_only_moves_forward_and_goes_on_ticking(world: World) -> None:
    anyone = world.anyone()
    before = instant(accepted(anyone.get("/sandbox/clock"))["now"])
    moved = instant(accepted(anyone.post("/sandbox/clock", {"advance": "PT1H"}))["now"])
    assert HOUR <= moved - before < HOUR + 60_000
    check_refusal(anyone.post("/sandbox/clock", {"set": format_instant(before)}), 422, "invalid-request", "/set")
    assert instant(accepted(anyone.get("/sandbox/clock"))["now"]) >= moved
    aim = format_instant(moved + HOUR)
    assert accepted(anyone.post("/sandbox/clock", {"set": aim}))["now"] >= aim


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"advance": "PT1H", "set": "2099-01-01T00:00:00Z"},
        {"advance": "-PT1H"},
        {"advance": "1 hour"},
        {"advance": 3600},
        {"set": "tomorrow"},
        {"set": 4102444800000},
        {"set": "2000-01-01T00:00:00Z"},
        {"advance": None},
    ],
    ids=str,
)
def test_a_clock_that_cannot_be_set_so_stays(world: World, body: dict[str, object]) -> None:
    before = instant(world.anyone().get("/sandbox/clock").json["now"])
    check_refusal(world.anyone().post("/sandbox/clock", body), 422, "invalid-request")
    assert instant(world.anyone().get("/sandbox/clock").json["now"]) - before < HOUR


def test_moving_the_clock_brings_what_the_provider_owed_before_it_answers(world: World) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    world.arm("payment", "succeeds_later")
    world.pay(deposit)
    assert buyer.get(path_of(deposit)).json["status"] == "awaiting_payment"
    world.advance("PT2M")
    assert buyer.get(path_of(deposit)).json["status"] == "cooling_off"


def test_a_payment_is_worked_off_before_the_answer_and_counts_once(world: World) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    for _ in range(2):
        assert world.pay(deposit)["payment"]["status"] == "succeeded"
    seen = buyer.get(path_of(deposit)).json
    assert (seen["version"], seen["money"]["captured"]) == (2, cny("5000"))


def test_a_payment_that_is_none_is_refused(world: World) -> None:
    deposit = world.ordered(world.buyer())
    path = f"/sandbox/payments/{deposit['payment']['id']}"
    anyone = world.anyone()
    for outcome in ("paid", "", None, "chargeback", "opened"):
        check_refusal(anyone.post(path, {"outcome": outcome}), 422, "invalid-request", "/outcome")
    for amount in ("0", "-1", "1e3", "5000.001"):
        check_refusal(
            anyone.post(path, {"outcome": "succeeded", "amount": cny(amount)}), 422, "invalid-request", "/amount"
        )
    good = {"outcome": "succeeded"}
    for missing in ("pay_x", path[-32:-1] + "2", f"pay_{'0' * 26}_1", deposit["id"]):
        check_refusal(anyone.post(f"/sandbox/payments/{missing}", good), 404, "not-found")


KINDS = ("refund", "payment", "webhook", "settlement")
EVERY_FAULT = sorted({fault for faults in FAULTS.values() for fault in faults} | {"nothing"})
# As the contract lists them.
PAIRS = {
    "refund": "timeout_before timeout_after error_500 declined pending succeeds_later returned_later duplicate_event "
    "lost_event wrong_amount",
    "payment": "timeout_before timeout_after error_500 declined pending succeeds_later returned_later duplicate_event "
    "lost_event wrong_amount",
    "webhook": "duplicate_event lost_event error_500",
    "settlement": "line_missing wrong_amount duplicate_line",
}


@pytest.mark.parametrize("kind", KINDS)
def test_faults_can_be_armed_where_they_make_sense(world: World, kind: str) -> None:
    anyone = world.anyone()
    try:
        for fault in EVERY_FAULT:
            reply = anyone.post("/sandbox/faults", {"on": kind, "fault": fault})
            if fault in PAIRS[kind].split():
                assert accepted(reply, 201) == {"on": kind, "fault": fault, "times": 1}
            else:
                check_refusal(reply, 422, "invalid-request", "/fault")
    finally:
        assert check_answer(anyone.call("DELETE", "/sandbox/faults")).status == 204


def test_faults_that_make_no_sense_are_refused(world: World) -> None:
    anyone = world.anyone()
    check_refusal(anyone.post("/sandbox/faults", {"on": "bank", "fault": "declined"}), 422, "invalid-request", "/on")
    for times in (0, -1, "1", 1.5, True):
        body = {"on": "refund", "fault": "declined", "times": times}
        check_refusal(anyone.post("/sandbox/faults", body), 422, "invalid-request", "/times")


def test_faults_queue_up_and_a_cleared_one_is_gone(world: World) -> None:
    buyer = world.buyer()
    first, second, third = (world.ordered(buyer) for _ in range(3))
    world.arm("payment", "declined", times=2)
    assert [world.pay(one)["payment"]["status"] for one in (first, second)] == ["failed", "failed"]
    world.arm("payment", "declined")
    assert world.anyone().call("DELETE", "/sandbox/faults").status == 204
    assert world.pay(third)["payment"]["status"] == "succeeded"


def test_the_books_are_the_providers_and_know_only_what_it_was_asked(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    refund = accepted(buyer.post(f"{path_of(deposit)}/cancel"))["refund"]
    assert world.books(deposit) == []
    world.run("send_refunds")
    (row,) = world.books(deposit)
    assert (row["refund"], row["amount"], row["status"]) == (refund["id"], cny("5000"), "succeeded")
    assert row["kind"] == "refund"
    assert set(row) == {"id", "refund", "kind", "amount", "status"}
    path = "/sandbox/provider/refunds"
    check_refusal(world.anyone().get(path), 422, "invalid-request", "/deposit")
    for unknown in ("dep_x", f"dep_{'0' * 26}"):
        assert accepted(world.anyone().get(f"{path}?deposit={unknown}")) == {"data": []}


def charge_back(world: World, deposit: Json, outcome: str, amount: Json | None = None) -> Reply:
    body = {"outcome": f"chargeback_{outcome}", "amount": amount}
    return world.anyone().post(f"/sandbox/payments/{deposit['payment']['id']}", body)


@pytest.mark.parametrize("ends", ["won", "lost"])
def test_a_chargeback_is_worked_off_before_the_answer_and_counts_once(world: World, ends: str) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    versions = []
    for outcome in ("opened", "opened", ends, ends, "opened"):
        assert accepted(charge_back(world, deposit, outcome))["payment"]["status"] == "succeeded"
        versions.append(buyer.get(path_of(deposit)).json["version"])
    assert versions[0] == versions[1] > deposit["version"]
    assert versions[2] == versions[3] == versions[4] > versions[1]


def test_a_chargeback_that_cannot_be_is_refused(world: World) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    for outcome in ("opened", "won", "lost"):
        assert check_refusal(charge_back(world, deposit, outcome), 409, "wrong-state")["state"] == "not_captured"
    world.pay(deposit)
    for outcome in ("won", "lost"):
        assert check_refusal(charge_back(world, deposit, outcome), 409, "wrong-state")["state"] == "no_open_chargeback"
    for amount, problem in ((cny("5000.01"), "invalid-request"), (cny("0"), "invalid-request")):
        check_refusal(charge_back(world, deposit, "opened", amount), 422, problem, "/amount")
    check_refusal(charge_back(world, deposit, "opened", rupiah("1")), 422, "currency-mismatch", "/amount")
    assert buyer.get(path_of(deposit)).json["version"] == 2
    accepted(charge_back(world, deposit, "opened", cny("4999.99")))
    check_refusal(
        world.anyone().post(f"/sandbox/payments/pay_{'0' * 26}_1", {"outcome": "chargeback_opened"}), 404, "not-found"
    )


def test_a_payment_that_was_replaced_is_still_taken(world: World) -> None:
    buyer = world.buyer()
    first = world.ordered(buyer)
    accepted(buyer.post(f"{path_of(first)}/payment-method", {"payment_method": "alipay"}))
    assert accepted(world.anyone().post(f"/sandbox/payments/{first['payment']['id']}", {"outcome": "succeeded"}))
    (refund,) = refunds_of(buyer, first)
    assert refund["amount"] == cny("5000")
    accepted(charge_back(world, first, "opened"))


REPORT = "/sandbox/provider/settlement"


@pytest.fixture
def settled(world: World) -> tuple[Json, str]:
    """A deposit that was paid and refunded, its lines shown, and the span of the report that holds them."""
    buyer, anyone = world.buyer(), world.anyone()
    begins = accepted(anyone.get("/sandbox/clock"))["now"]
    deposit = world.paid(buyer)
    accepted(buyer.post(f"{path_of(deposit)}/cancel"))
    attend(deposit)
    ends = world.advance("PT1S")
    assert told(world, f"?from={begins}&to={ends}") == []
    world.advance("PT24H")
    return deposit, f"?from={begins}&to={ends}"


def told(world: World, span: str) -> list[Json]:
    """The whole report of a span, page by page."""
    rows: list[Json] = []
    cursor = ""
    while True:
        page = accepted(world.anyone().get(f"{REPORT}{span}{cursor}"))
        rows += page["data"]
        if page["next_cursor"] is None:
            return rows
        cursor = f"&cursor={page['next_cursor']}"


def test_the_report_shows_a_day_later_what_was_executed(world: World, settled: tuple[Json, str]) -> None:
    deposit, span = settled
    rows = [row for row in told(world, span) if deposit["id"][4:] in row["reference"]]
    assert [(row["type"], row["reference"], row["amount"]) for row in rows] == [
        ("capture", deposit["payment"]["id"], cny("5000")),
        ("refund", f"ref_{deposit['id'][4:]}_1", cny("5000")),
    ]
    assert [row["provider_reference"] for row in rows][1] == world.books(deposit)[0]["id"]
    assert set(rows[0]) == {"type", "reference", "provider_reference", "amount", "executed_at"}


def test_the_same_report_comes_as_a_file(world: World, settled: tuple[Json, str]) -> None:
    _, span = settled
    reply = check_answer(world.anyone().get(f"{REPORT}.csv{span}"))
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(reply.raw.decode().splitlines()))
    listed = [{**row, **row["amount"]} for row in told(world, span)]  # amount and currency side by side, as in a file
    assert [row["executed_at"] for row in rows] == sorted(row["executed_at"] for row in listed)
    assert len(rows) == len(listed) >= 2
    assert all(row in listed for row in rows)


def test_the_report_goes_on_page_by_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line once, shard by shard, whatever a page holds."""
    begins = accepted(world.anyone().get("/sandbox/clock"))["now"]
    offer, buyer = world.offer(), world.buyer()
    deposits = [world.paid(buyer, offer) for _ in range(7)]
    ends = world.advance("PT1S")
    world.advance("PT24H")
    whole = told(world, f"?from={begins}&to={ends}")
    monkeypatch.setattr("local.sandbox.REPORT_PAGE", 2)
    assert told(world, f"?from={begins}&to={ends}") == whole
    assert {deposit["payment"]["id"] for deposit in deposits} == {row["reference"] for row in whole}
    shards = [compute_shard(build_place("capture", row["reference"])) for row in whole]
    assert shards == sorted(shards)
    page = accepted(world.anyone().get(f"{REPORT}?from={begins}&to={ends}"))
    other = f"{REPORT}?from={ends}&to={format_instant(instant(ends) + 1)}&cursor={page['next_cursor']}"
    check_refusal(world.anyone().get(other), 400, "invalid-cursor")


NOW = "2026-11-21T14:00:00Z"
BAD_SPANS = [
    ("", "/from"),
    (f"?from={NOW}", "/to"),
    (f"?to={NOW}", "/from"),
    (f"?from=yesterday&to={NOW}", "/from"),
    (f"?from={NOW}&to=1795269600000", "/to"),
    (f"?from={NOW}&to={NOW}", "/to"),
    (f"?from={NOW}&to=2026-11-21T13:59:59Z", "/to"),
    (f"?from={NOW}&from={NOW}&to=2027-01-01T00:00:00Z", "/from"),
]


@pytest.mark.parametrize(("span", "pointer"), BAD_SPANS)
@pytest.mark.parametrize("form", ["", ".csv"])
def test_a_span_that_is_none_is_refused(world: World, form: str, span: str, pointer: str) -> None:
    check_refusal(world.anyone().get(f"{REPORT}{form}{span}"), 422, "invalid-request", pointer)


def test_the_report_takes_nothing_else(world: World) -> None:
    span = f"?from={NOW}&to=2027-01-01T00:00:00Z"
    check_refusal(world.anyone().get(f"{REPORT}{span}&limit=3"), 422, "unknown-parameter")
    check_refusal(world.anyone().get(f"{REPORT}.csv{span}&cursor=x"), 422, "unknown-parameter")
    check_refusal(world.anyone().get(f"{REPORT}{span}&cursor=x"), 400, "invalid-cursor")


@pytest.mark.parametrize("job", ["send_refunds", "close_windows"])
def test_a_job_runs_to_its_end_and_reports(own: World, job: str) -> None:
    report = accepted(own.anyone().post(f"/sandbox/jobs/{job}"))
    assert report["job"] == job
    assert report["finished"]
    assert report["failed"] == 0


def test_another_job_is_not_there(world: World) -> None:
    for job in ("nothing", "Send_refunds", "__init__"):
        check_refusal(world.anyone().post(f"/sandbox/jobs/{job}"), 404, "not-found")


def test_the_checkout_page_shows_no_more_than_it_was_given(world: World) -> None:
    page = check_answer(world.anyone().get("/sandbox/checkout/%3Cscript%3Ealert(1)%3C%2Fscript%3E"))
    assert page.headers["content-type"].startswith("text/html")
    assert b"<script>alert" not in page.raw
