"""Reconciliation over HTTP: runs and their certificates, breaks and what people do with them, and the reports."""

import csv
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Final

import pytest

from chalicelib.core.common.instants import DAY, HOUR, format_instant
from chalicelib.core.common.money import Money
from chalicelib.gateways.settlement_file import SettlementFile
from chalicelib.jobs import reconcile
from chalicelib.web.reconciliation import render as reconciliation_render
from chalicelib.wiring import services
from local.wiring import build_sandbox, sandbox_of
from tests.web.answer_checks import (
    ACCOUNT,
    accepted,
    attend,
    breaks_of,
    check_answer,
    check_refusal,
    cny,
    instant,
    now_of,
    pages,
    path_of,
    refund_at,
    refunds_of,
    same,
)
from tests.world import Client, Json, Reply, World

RUNS: Final = "/v1/reconciliation-runs"


def start(who: Client, begins: str, ends: str, **headers: Any) -> Reply:
    return who.post(RUNS, {"from": begins, "to": ends}, **headers)


def by_hand(amount: str, reference: str) -> None:
    """Somebody takes money in the provider's dashboard."""
    sandbox = sandbox_of(services())
    sandbox.book_by_hand(Money.parse(amount, "CNY"), reference)


def traded(world: World, buyer: Client, merchant: Client | None = None) -> tuple[Json, Json]:
    """A deposit that was paid, cancelled and refunded."""
    deposit = world.paid(buyer, world.offer(merchant))
    refund = accepted(buyer.post(f"{path_of(deposit)}/cancel"))["refund"]
    attend(deposit)
    return deposit, refund


@pytest.fixture
def platform(world: World) -> Client:
    return world.person("platform")


# --- Runs ---


def test_a_run_is_begun_followed_and_certified(own: World, platform: Client) -> None:
    begins = now_of(platform)
    traded(own, own.buyer())
    own.advance("P2D")
    ends = now_of(platform)
    begun = start(platform, begins, ends)
    run = accepted(begun, 202)
    assert begun.headers["location"] == f"{RUNS}/{run['id']}"
    assert (run["object"], run["status"], run["digest"]) == ("reconciliation_run", "running", None)
    assert (run["from"], run["to"], run["totals"]) == (begins, ends, [])
    assert set(run["counts"].values()) == {0}
    assert run["report_url"] == f"{RUNS}/{run['id']}/report.csv"
    assert accepted(platform.get(f"{RUNS}/{run['id']}")) == run
    own.run("reconcile")
    done = accepted(platform.get(f"{RUNS}/{run['id']}"))
    assert (done["status"], done["progress"]["ours"], done["progress"]["provider"]) == ("balanced", 2, 2)
    assert done["counts"] == {"matched": 2, "repaired": 0, "in_transit": 0, "breaks": 0, "unreadable": 0}
    assert done["totals"] == [{"currency": "CNY", "ours": "0", "provider": "0", "difference": "0"}]
    assert re.fullmatch("sha256:[0-9a-f]{64}", done["digest"])
    assert instant(done["updated_at"]) >= instant(done["created_at"])
    assert breaks_of(platform, done) == []


def test_one_run_of_a_span_at_a_time(own: World, platform: Client) -> None:
    service = own.person("service")
    ends = now_of(platform)
    begins = format_instant(instant(ends) - HOUR)
    first = accepted(start(platform, begins, ends), 202)
    told = check_refusal(start(service, begins, ends), 409, "wrong-state")
    assert (told["state"], told["run"]) == ("running", first["id"])
    accepted(start(service, begins, format_instant(instant(ends) - 1)), 202)
    own.run("reconcile")
    again = accepted(start(service, begins, ends), 202)
    assert again["id"] != first["id"]


def test_a_run_that_is_begun_again_is_answered_again(own: World, platform: Client) -> None:
    begins, ends = format_instant(instant(now_of(platform)) - HOUR), now_of(platform)
    first = start(platform, begins, ends, idempotency_key="r")
    same(first, start(platform, begins, ends, idempotency_key="r"))
    own.run("reconcile")
    assert accepted(platform.get(first.headers["location"]))["status"] == "balanced"
    same(first, start(platform, begins, ends, idempotency_key="r"))
    later = format_instant(instant(ends) - 1)
    check_refusal(start(platform, begins, later, idempotency_key="r"), 422, "idempotency-key-reused")
    other = start(own.person("platform"), begins, ends, idempotency_key="r")
    assert accepted(other, 202)["id"] != first.json["id"]


def test_runs_are_listed_newest_first_page_by_page(own: World, platform: Client) -> None:
    ends = instant(now_of(platform))
    made = []
    for n in range(5):
        made.append(accepted(start(platform, format_instant(ends - HOUR - n), format_instant(ends)), 202)["id"])
        own.advance("PT1S")
    assert [run["id"] for run in pages(platform, RUNS, 2)] == made[::-1]
    assert pages(platform, RUNS, 5) == pages(platform, RUNS, 2)


def test_the_daily_run_starts_once_a_day_over_a_week(own: World, platform: Client) -> None:
    assert [own.run("reconcile")["started"] for _ in range(3)] == [True, False, False]
    own.advance("P1D")
    assert [own.run("reconcile")["started"] for _ in range(2)] == [True, False]
    newest, oldest = pages(platform, RUNS, 10)
    assert (newest["status"], oldest["status"]) == ("balanced", "balanced")
    assert instant(newest["to"]) - instant(newest["from"]) == 7 * DAY
    assert instant(newest["to"]) - instant(oldest["to"]) == DAY


def test_a_file_of_the_provider_gives_the_same_certificate_as_its_list(
    own: World, house_engine: Any, platform: Client
) -> None:
    began = now_of(platform)
    buyer = own.buyer()
    for fault in ("line_missing", "wrong_amount", "duplicate_line", None):
        deposit = own.paid(buyer, own.offer())
        if fault is not None:
            own.arm("settlement", fault)
        accepted(buyer.post(f"{path_of(deposit)}/cancel"))
        attend(deposit)
    by_hand("3", 'a, "quoted" hand')
    own.advance("P2D")
    ends = now_of(platform)
    listed = own.reconciled(began, ends)
    filed = build_sandbox(services().settings, house_engine, "csv")
    assert isinstance(filed.settlement, SettlementFile)
    begun = accepted(start(platform, began, ends), 202)
    reconcile.run(filed, lambda: 300_000)
    from_file = accepted(platform.get(f"{RUNS}/{begun['id']}"))
    for member in ("status", "progress", "counts", "totals", "digest"):
        assert from_file[member] == listed[member]
    kinds = [[row["kind"] for row in breaks_of(platform, run)] for run in (listed, from_file)]
    assert kinds[0] == kinds[1]
    assert sorted(kinds[0]) == ["amount_mismatch", "duplicate", "missing_at_provider", "unknown_here"]


# --- Breaks ---


@pytest.fixture
def planted(own: World, platform: Client) -> Json:
    """A run with a break of each kind that the sandbox can plant, and where it began."""
    began = now_of(platform)
    buyer = own.buyer()
    for fault in ("line_missing", "wrong_amount", "duplicate_line"):
        deposit = own.paid(buyer, own.offer())
        own.arm("settlement", fault)
        accepted(buyer.post(f"{path_of(deposit)}/cancel"))
        attend(deposit)
    for reference in FORMULAS:
        by_hand("1.50", reference)
    own.advance("P2D")
    return own.reconciled(began, now_of(platform))


FORMULAS: Final = ("=1+1", "+1", "-1", "@SUM(A1)", "<b>bold</b>", "plain", 'quo"te, comma')


def test_breaks_are_listed_page_by_page_and_tell_both_sides(own: World, platform: Client, planted: Json) -> None:
    rows = breaks_of(platform, planted)
    assert len(rows) == planted["counts"]["breaks"] == 3 + len(FORMULAS)
    assert pages(platform, f"{RUNS}/{planted['id']}/breaks", 3) == rows
    for row in rows:
        assert (row["object"], row["run"], row["status"]) == ("break", planted["id"], "open")
        assert (row["action"], row["note"], row["resolved_at"]) == (None, None, None)
        assert (row["deposit"] is None) == (row["refund"] is None) == (row["kind"] == "unknown_here")
    other = own.reconciled(planted["from"], format_instant(instant(planted["to"]) - 1))
    page = accepted(platform.get(f"{RUNS}/{planted['id']}/breaks?limit=1"))
    path = f"{RUNS}/{other['id']}/breaks?cursor={page['next_cursor']}"
    check_refusal(platform.get(path), 400, "invalid-cursor")


def the(rows: list[Json], kind: str) -> Json:
    return next(row for row in rows if row["kind"] == kind)


def resolve(who: Client, one: Json, action: str, note: str | None = None, **headers: Any) -> Reply:
    return who.post(f"/v1/breaks/{one['id']}/resolve", {"action": action, "note": note}, **headers)


@pytest.mark.parametrize("action", ["accept_provider", "write_off"])
def test_a_break_is_resolved_once(own: World, platform: Client, planted: Json, action: str) -> None:
    rows = breaks_of(platform, planted)
    for kind in ("missing_at_provider", "amount_mismatch", "duplicate", "unknown_here"):
        one = the(rows, kind)
        first = resolve(platform, one, action, "seen by Sari", idempotency_key=kind)
        done = accepted(first)
        assert {name: done[name] for name in ("status", "action", "note")} == {
            "status": "resolved",
            "action": action,
            "note": "seen by Sari",
        }
        assert instant(done["resolved_at"]) >= instant(done["created_at"])
        told = check_refusal(resolve(platform, one, action), 409, "wrong-state")
        assert told["state"] == "resolved"
        same(first, resolve(platform, one, action, "seen by Sari", idempotency_key=kind))
        reused = resolve(platform, one, action, "seen by Budi", idempotency_key=kind)
        check_refusal(reused, 422, "idempotency-key-reused")
        assert done in breaks_of(platform, planted)
    # The certificate stays what it was.
    assert accepted(platform.get(f"{RUNS}/{planted['id']}")) == planted
    statuses = [row["status"] for row in csv_rows(platform, planted) if row["row"] == "break"]
    assert statuses.count("resolved") == 4
    own.advance("PT0S")


def test_what_arrived_cannot_be_sent_again(platform: Client, planted: Json) -> None:
    rows = breaks_of(platform, planted)
    for kind in ("missing_at_provider", "amount_mismatch", "duplicate"):
        check_refusal(resolve(platform, the(rows, kind), "retry"), 409, "wrong-state")
    check_refusal(resolve(platform, the(rows, "unknown_here"), "retry"), 422, "invalid-request", "/action")
    assert breaks_of(platform, planted) == rows


def test_a_refund_that_nobody_executed_is_sent_again_by_a_persons_word(own: World, platform: Client) -> None:
    """Never answered, never executed, its promise missed: a break, which sends it under a key of its own."""
    began, buyer = now_of(platform), own.buyer()
    deposit = own.paid(buyer)
    own.arm("refund", "timeout_before", 50)
    refund = accepted(buyer.post(f"{path_of(deposit)}/cancel"))["refund"]
    for wait in ("PT0S", "PT2M", "PT3H", "PT24H", "P7D"):
        own.advance(wait)
        attend(deposit)
    assert refund_at(buyer, refund)["status"] == "manual_review"
    run = own.reconciled(began, now_of(platform))
    (found,) = breaks_of(platform, run)
    assert (found["kind"], found["refund"], found["ours"]) == ("promise_missed", refund["id"], cny("5000"))
    own.anyone().call("DELETE", "/sandbox/faults")
    accepted(resolve(platform, found, "retry", "the provider has nothing"))
    assert refund_at(buyer, refund)["status"] == "approved"
    check_refusal(resolve(platform, found, "retry"), 409, "wrong-state")
    attend(deposit)
    assert refund_at(buyer, refund)["status"] == "succeeded"
    assert [row["status"] for row in own.books(deposit)] == ["succeeded"]
    own.advance("P2D")
    again = own.reconciled(began, now_of(platform))
    assert (again["status"], breaks_of(platform, again)) == ("balanced", [])


def test_what_arrived_late_is_not_sent_again(own: World, platform: Client) -> None:
    """The provider is asked first: what it knows is settled, and the break stays until somebody writes it off."""
    began, buyer = now_of(platform), own.buyer()
    deposit = own.paid(buyer)
    own.arm("refund", "timeout_after", 50)
    refund = accepted(buyer.post(f"{path_of(deposit)}/cancel"))["refund"]
    own.arm("webhook", "lost_event", 5)
    attend(deposit)
    own.anyone().call("DELETE", "/sandbox/faults")
    own.advance("P8D")
    run = own.reconciled(began, now_of(platform))
    assert run["status"] in {"balanced", "breaks_open"}
    for one in breaks_of(platform, run):
        check_refusal(resolve(platform, one, "retry"), 409, "wrong-state")
    assert refund_at(buyer, refund)["status"] in {"succeeded", "settled"}
    assert len(own.books(deposit)) == 1


def test_a_return_while_the_job_sleeps_is_repaired(own: World, platform: Client) -> None:
    began, buyer = now_of(platform), own.buyer()
    own.arm("refund", "returned_later")
    deposit, refund = traded(own, buyer)
    own.arm("webhook", "lost_event", 9)
    own.advance("PT25H")
    own.anyone().call("DELETE", "/sandbox/faults")
    own.advance("PT24H")
    run = own.reconciled(began, now_of(platform))
    assert (run["status"], run["counts"]["matched"] + run["counts"]["repaired"]) == ("balanced", 3)
    assert refund_at(buyer, refund)["status"] == "returned"
    accepted(buyer.post(f"/v1/refunds/{refund['id']}/destination", ACCOUNT))
    attend(deposit)
    own.advance("P2D")
    again = own.reconciled(began, now_of(platform))
    assert (again["status"], again["progress"]["ours"]) == ("balanced", 4)
    assert again["totals"] == [{"currency": "CNY", "ours": "0", "provider": "0", "difference": "0"}]
    assert refund_at(buyer, refund)["status"] == "settled"


# --- Reports ---


def csv_rows(who: Client, run: Json) -> list[dict[str, str]]:
    reply = check_answer(who.get(run["report_url"]))
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(reply.raw.decode().split("\r\n")))


def test_the_rows_of_a_spreadsheet_add_up(platform: Client, planted: Json) -> None:
    rows = csv_rows(platform, planted)
    by_kind: Callable[[str], Iterator[dict[str, str]]] = lambda kind: (row for row in rows if row["row"] == kind)  # noqa: E731
    (head,) = by_kind("run")
    assert (head["id"], head["status"], head["kind"]) == (planted["id"], "breaks_open", planted["digest"])
    assert {row["kind"]: int(row["ours"]) for row in by_kind("count")} == planted["counts"]
    (total,) = by_kind("total")
    differences = [Decimal(row["difference"]) for row in by_kind("break")]
    signs = [-1 if row["refund"] else 1 for row in by_kind("break")]  # refunds go out
    added = sum(sign * one for sign, one in zip(signs, differences, strict=True))
    assert Decimal(total["difference"]) == Decimal(total["ours"]) - Decimal(total["provider"]) == added
    assert planted["totals"] == [{name: total[name] for name in ("currency", "ours", "provider", "difference")}]
    shown = breaks_of(platform, planted)
    assert [row["id"] for row in by_kind("break")] == [one["id"] for one in shown]
    assert [row["kind"] for row in by_kind("break")] == [one["kind"] for one in shown]


def test_a_spreadsheet_runs_nothing(platform: Client, planted: Json) -> None:
    rows = [row for row in csv_rows(platform, planted) if row["row"] == "break"]
    told = {row["provider_reference"] for row in rows if row["kind"] == "unknown_here"}
    assert told == {"'=1+1", "'+1", "'-1", "'@SUM(A1)", "<b>bold</b>", "plain", 'quo"te, comma'}
    for row in csv_rows(platform, planted):
        for name, cell in row.items():
            harmless = cell[:1] not in {"=", "+", "@", "\t", "\r", "\n"} and (cell[:1] != "-" or Decimal(cell) < 0)
            assert harmless, (name, cell)


PAGES: Final = [
    ("en", "Reconciliation", "Differences were found"),
    ("id", "Rekonsiliasi", "Ditemukan selisih"),
    ("zh", "\u5bf9\u8d26", "\u53d1\u73b0\u5dee\u5f02"),
]


def test_the_page_comes_in_three_languages_and_runs_nothing(platform: Client, planted: Json) -> None:
    path = f"{RUNS}/{planted['id']}/report.html"
    for locale, title, status in PAGES:
        reply = check_answer(platform.get(path, accept_language=locale))
        told = reply.raw.decode()
        assert reply.headers["content-type"].startswith("text/html")
        assert title in told
        assert status in told
        assert f'lang="{locale}"' in told
        assert "&lt;b&gt;bold&lt;/b&gt;" in told
        assert "<b>bold" not in told
        assert "<script" not in told
        assert planted["digest"] in told
        assert told.count("<tr>") == len(csv_rows(platform, planted)) + 1


def test_a_report_says_how_many_breaks_it_leaves_out(planted: Json) -> None:
    """Asked of the rows themselves: over HTTP it takes 10,000 breaks."""
    reconciliation = services().reconciliation
    shown, (found, _) = reconciliation.find(planted["id"], "en"), reconciliation.list_breaks(planted["id"], 4, None)
    rows = [
        dict(zip(reconciliation_render.COLUMNS, row, strict=True)) for row in reconciliation_render.rows(shown, found)
    ]
    assert [row["row"] for row in rows].count("break") == 4
    assert (rows[-1]["row"], rows[-1]["ours"]) == ("more", planted["counts"]["breaks"] - 4)


def test_a_report_of_a_run_that_goes_on_shows_what_there_is(own: World, platform: Client) -> None:
    ends = now_of(platform)
    run = accepted(start(platform, format_instant(instant(ends) - HOUR), ends), 202)
    (head, *rest) = csv_rows(platform, run)
    assert (head["status"], head["kind"]) == ("running", "")
    assert {row["row"] for row in rest} == {"count"}
    told = check_answer(platform.get(f"{RUNS}/{run['id']}/report.html")).raw.decode()
    assert "Still running" in told
    own.run("reconcile")
    assert "Balanced" in check_answer(platform.get(f"{RUNS}/{run['id']}/report.html")).raw.decode()


def test_refunds_that_wait_for_the_buyer_are_breaks_only_once_their_promise_is_missed(
    own: World, platform: Client
) -> None:
    began, buyer = now_of(platform), own.buyer()
    deposit = own.paid(buyer, own.offer(payment={"methods": ["virtual_account"]}))
    refund = accepted(buyer.post(f"{path_of(deposit)}/cancel"))["refund"]
    own.advance("P2D")
    assert own.reconciled(began, now_of(platform))["status"] == "balanced"
    own.set_clock(refund["promised_by"])
    run = own.reconciled(began, now_of(platform))
    (found,) = breaks_of(platform, run)
    assert (found["kind"], found["refund"], found["provider"]) == ("promise_missed", refund["id"], None)
    assert [one["status"] for one in refunds_of(buyer, deposit)] == ["manual_review"]
    accepted(buyer.post(f"/v1/refunds/{refund['id']}/destination", ACCOUNT))
    assert own.reconciled(began, now_of(platform))["status"] == "balanced"
