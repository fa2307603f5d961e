"""The reconciliation job over the sandbox's own report: every day, after what was left, and never twice at once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chalicelib.core.common.instants import DAY, format_instant, parse_instant
from chalicelib.jobs import reconcile
from chalicelib.wiring import services
from tests.web.answer_checks import attend
from tests.world import Client, Json, World

PLENTY = 600_000


@pytest.fixture(name="world")
def _world(own: World) -> World:
    """Runs of other tests would be worked off here."""
    return own


def job(left: int = PLENTY) -> reconcile.Report:
    return reconcile.run(services(), lambda: left)


def refunded(world: World, buyer: Client) -> Json:
    deposit = world.paid(buyer)
    answer: Json = buyer.post(f"/v1/deposits/{deposit['id']}/cancel", {}).json
    attend(answer)
    return answer


def runs(world: World) -> list[Json]:
    platform = world.person("platform")
    found: list[Json] = platform.get("/v1/reconciliation-runs").json["data"]
    return found


def started(world: World, start: str, end: str) -> Json:
    answer = world.person("platform").post("/v1/reconciliation-runs", {"from": start, "to": end})
    assert answer.status == 202, answer.raw
    return answer.json


def test_the_daily_run_begins_once_a_day_and_settles_what_the_report_shows(world: World) -> None:
    buyer = world.buyer()
    deposit = refunded(world, buyer)
    before = len(runs(world))
    world.advance("P2D")
    first, again = job(), job()
    assert (first.started, first.completed, first.finished) == (True, 1, True)
    assert (again.started, again.completed, again.finished) == (False, 0, True)
    assert len(runs(world)) == before + 1
    assert buyer.get(f"/v1/deposits/{deposit['id']}").json["refund"]["status"] == "settled"
    world.advance("P1D")
    assert job().started


def test_a_run_that_somebody_asked_for_is_worked_off_before_the_daily_one(world: World) -> None:
    now = world.advance("P2D")
    run = started(world, _days_before(now, 2), now)
    report = job()
    assert (report.completed, report.started, report.finished) == (2, True, True)
    done = world.person("platform").get(f"/v1/reconciliation-runs/{run['id']}").json
    assert done["status"] in {"balanced", "breaks_open"}


def test_two_jobs_at_once_complete_a_run_once(world: World) -> None:
    now = world.advance("P1D")
    run = started(world, _days_before(now, 3), now)
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda _: job(), range(2)))
    for _ in range(3):
        if world.person("platform").get(f"/v1/reconciliation-runs/{run['id']}").json["status"] != "running":
            break
        world.advance("PT3M")
        reports.append(job())
    ended = world.person("platform").get(f"/v1/reconciliation-runs/{run['id']}").json
    assert ended["status"] in {"balanced", "breaks_open"}
    assert sum(report.completed for report in reports) >= 1


FAULTS = [
    ("line_missing", "missing_at_provider"),
    ("wrong_amount", "amount_mismatch"),
    ("duplicate_line", "duplicate"),
]


@pytest.mark.parametrize(("fault", "kind"), FAULTS)
def test_what_is_wrong_with_a_report_is_a_break_of_its_deposit(world: World, fault: str, kind: str) -> None:
    world.advance("P10D")  # what other tests did lies before the span
    start = world.advance("PT1S")
    world.arm("settlement", fault)
    deposit = world.paid(world.buyer())
    world.anyone().call("DELETE", "/sandbox/faults")
    end = world.advance("P2D")
    run = started(world, start, end)
    job()
    platform = world.person("platform")
    breaks: list[Any] = platform.get(f"/v1/reconciliation-runs/{run['id']}/breaks").json["data"]
    assert [found_break["kind"] for found_break in breaks if found_break["deposit"] == deposit["id"]] == [kind]


def _days_before(instant: str, days: int) -> str:
    return format_instant(parse_instant(instant) - days * DAY)
