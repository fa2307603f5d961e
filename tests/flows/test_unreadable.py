"""A deposit that cannot be read or judged is a break with its name; its run, the other lines and other runs go on."""

import logging
from typing import Any, Final

import pytest

from chalicelib.core.common.ids import child
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.reconciliation.run import BreakFound, RunStatus
from chalicelib.web.reconciliation import render as reconciliation_render
from tests.flows.ledger import SPAN, ReconciliationShop, shop_in_memory
from tests.flows.planted import DIFFERENCES
from tests.flows.shop import DAY, EARNEST

OTHER_SPAN: Final = (SPAN[0], SPAN[1] - DAY)


def spoil(ledger: ReconciliationShop, item_id: str) -> None:
    """An event of a kind that this version does not know, or has forgotten."""
    items: dict[str, Any] = ledger.tables.client.items  # type: ignore[attr-defined]
    item = items[item_id]
    first, *rest = item["journal"]["L"]
    unknown = {"M": {**first["M"], "t": {"S": "deposit.unheard_of"}}}
    items[item_id] = {**item, "journal": {"L": [unknown, *rest]}}


def unreadable(breaks: list[BreakFound]) -> list[BreakFound]:
    return [found_break for found_break in breaks if found_break.kind == "unreadable"]


def test_a_journal_that_cannot_be_read_is_a_break_and_the_other_lines_are_compared(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ledger = shop_in_memory()
    for _ in range(3):
        ledger.sell_and_refund()
    refund_id = ledger.sell_and_refund()
    deposit_id = f"dep_{refund_id[4:30]}"
    spoil(ledger, deposit_id)
    with caplog.at_level(logging.ERROR, "earnest.reconcile"):
        found, breaks = ledger.run_to_end()
    assert [
        (found_break.kind, found_break.deposit, found_break.refund, found_break.ours, found_break.provider)
        for found_break in breaks
    ] == [("unreadable", deposit_id, refund_id, EARNEST, EARNEST)], (
        "its capture fits without a look at the journal; its refund is not settled yet"
    )
    assert (found["matched"], found["breaks"], found["balanced"]) == (7, 1, False)
    [record] = caplog.records
    assert (record.message, record.__dict__["deposit"]) == ("deposit unreadable", deposit_id)
    assert record.exc_info is not None


def test_the_certificate_says_how_many_could_not_be_read() -> None:
    ledger = shop_in_memory()
    spoil(ledger, f"dep_{ledger.sell_and_refund()[4:30]}")
    DIFFERENCES["old enough to be missed"].story(ledger)
    run_id = ledger.start().run.id
    assert ledger.work() == (1, True)
    shown = ledger.reconciliation.find(run_id, "en")
    assert shown.run.status is RunStatus.BREAKS_OPEN
    assert shown.run.finished is not None
    assert (shown.run.finished.breaks, shown.run.finished.unreadable) == (2, 1)
    counts = reconciliation_render.run(shown)["counts"]
    assert (counts["breaks"], counts["unreadable"]) == (2, 1)
    assert ["count", "", "unreadable", 1] in [
        [row[0], row[1], row[2], row[8]] for row in reconciliation_render.rows(shown, ledger.breaks(run_id))
    ]


def test_two_runs_over_the_same_unreadable_deposit_both_end_and_agree() -> None:
    """For a week the daily run meets the same one."""
    ledger = shop_in_memory()
    spoil(ledger, f"dep_{ledger.sell_and_refund()[4:30]}")
    runs = [ledger.start(span).run.id for span in (SPAN, OTHER_SPAN)]
    assert ledger.work() == (2, True)
    (first, breaks), (second, same) = (ledger.certificate(run_id) for run_id in runs)
    assert len(unreadable(breaks)) == len(unreadable(same)) == 1
    assert first["digest"] == second["digest"]


@pytest.mark.parametrize(
    "fault", [ValueError("no such route"), Refused(Reason.WRONG_STATE, state="held")], ids=["a bug", "a refusal"]
)
def test_a_line_that_cannot_be_decided_is_a_break_too(monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    ledger = shop_in_memory()
    unheard = DIFFERENCES["a capture nobody heard of"].story(ledger)
    refund_id = ledger.sell_and_refund()

    def undecided(*_: Any) -> Any:
        raise fault

    monkeypatch.setattr("chalicelib.flows.deposit_worker.DepositWorker.settle", undecided)
    found, breaks = ledger.run_to_end()
    assert {one.deposit for one in unreadable(breaks)} == {f"dep_{one[4:30]}" for one in (unheard, refund_id)}
    assert (found["matched"], found["repaired"], len(breaks)) == (1, 0, 2), "the capture of the refund's deposit fits"


@pytest.mark.parametrize("limit", [1, 40])
def test_a_deposit_that_owes_a_refund_and_cannot_be_read_is_a_break_among_the_others(
    monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr("chalicelib.flows.reconciliation.worker.MAX_OPEN_BREAKS", limit)
    ledger = shop_in_memory()
    open_refunds = [DIFFERENCES["a refund that stands still"].story(ledger) for _ in range(4)]
    deposits = sorted(f"dep_{refund[4:30]}" for refund in open_refunds)
    spoil(ledger, deposits[1])
    _, breaks = ledger.run_to_end()
    kinds = {(found_break.deposit, found_break.kind) for found_break in breaks}
    assert kinds == {(deposit, "unreadable" if deposit == deposits[1] else "stale") for deposit in deposits}
    [broken] = unreadable(breaks)
    assert (broken.refund, broken.ours) == (None, None), "nobody can say which refund"


def test_a_run_that_fails_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    ledger = shop_in_memory()
    ledger.sell_and_refund()
    first, second = (ledger.start(span).run.id for span in (SPAN, OTHER_SPAN))
    spoil(ledger, first)
    with caplog.at_level(logging.ERROR, "earnest.reconcile"):
        worked = ledger.worker.work("job/1", lambda: 1_000_000, 60_000)
    assert worked == (1, False, 1)
    assert ledger.certificate(second)[0]["balanced"]
    assert [(record.message, record.__dict__["run"]) for record in caplog.records] == [("run failed", first)]


def test_what_is_busy_is_no_fault_of_a_deposit() -> None:
    ledger = shop_in_memory()
    DIFFERENCES["a capture nobody heard of"].story(ledger)
    run_id = ledger.start().run.id
    ledger.bank.answers_no_queries = True
    assert ledger.work() == (0, False)
    ledger.bank.answers_no_queries = False
    assert ledger.work() == (1, True)
    assert ledger.certificate(run_id)[1] == []


def test_a_fault_of_the_table_is_not_counted_against_every_deposit(monkeypatch: pytest.MonkeyPatch) -> None:
    """No access, a full disk: the run waits, with its failure told, and is gone on with."""

    class NoAccess(Exception):
        pass

    ledger = shop_in_memory()
    refund_id = ledger.sell_and_refund()
    run_id = ledger.start().run.id

    def denied(*_: Any) -> Any:
        raise NoAccess

    with monkeypatch.context() as patch:
        patch.setattr("chalicelib.store.deposits.DepositStore.get", denied)
        assert ledger.worker.work("job/1", lambda: 1_000_000, 60_000) == (0, False, 1)
    assert ledger.work("job/1") == (1, True)
    assert ledger.certificate(run_id)[1] == []
    assert ledger.refund_status(child("ref", f"dep_{refund_id[4:30]}", 1)) == "settled"
