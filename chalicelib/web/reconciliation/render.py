"""Reconciliation as answers, as rows of a spreadsheet, and as a page."""

import html
from collections.abc import Iterator, Sequence
from typing import Any, Final

from chalicelib.core.common.instants import format_instant
from chalicelib.core.common.money import Money
from chalicelib.core.policy.texts import read_text
from chalicelib.core.reconciliation import run as runs
from chalicelib.core.reconciliation.run import Break, RunFinished
from chalicelib.flows.reconciliation.runs import RunView
from chalicelib.web.edge import values
from chalicelib.web.edge.page import page as whole_page
from chalicelib.web.reconciliation.answers import BreakAnswer, RunAnswer

MAX_ROWS: Final = 10_000  # breaks that one report carries; the list goes on beyond that
COLUMNS: Final = (
    "row", "id", "kind", "deposit", "payment", "refund", "provider_reference",
    "currency", "ours", "provider", "difference", "status", "action",
)  # fmt: skip
COUNTS: Final = ("matched", "repaired", "in_transit", "breaks", "unreadable")


def run(shown: RunView) -> RunAnswer:
    """A run as an answer: what is counted so far, or its certificate."""
    one, counted = shown.run, _certificate(shown)
    address = f"/v1/reconciliation-runs/{one.id}"
    return {
        "id": one.id,
        "object": "reconciliation_run",
        "status": one.status.value,
        "from": format_instant(one.started.start),
        "to": format_instant(one.started.end),
        "progress": {"ours": counted.ours, "provider": counted.provider, "percent": shown.percent},
        "counts": {
            "matched": counted.matched,
            "repaired": counted.repaired,
            "in_transit": counted.in_transit,
            "breaks": counted.breaks,
            "unreadable": counted.unreadable,
        },
        "totals": [
            {
                "currency": total.ours.currency,
                "ours": total.ours.amount,
                "provider": total.provider.amount,
                "difference": total.difference.amount,
            }
            for total in counted.totals
        ],
        "digest": counted.digest if one.finished is not None else None,
        "failure": one.failure,
        "report_url": f"{address}/report.csv",
        "created_at": format_instant(one.started.at),
        "updated_at": format_instant(one.updated_at),
    }


def _certificate(shown: RunView) -> RunFinished:
    """The certificate, or as much of it as there is."""
    finished = shown.run.finished
    return finished if finished is not None else runs.finish_run(shown.run.started.at, shown.tally)


def difference(one: Break, note: str | None) -> BreakAnswer:
    found, resolved = one.found, one.resolved
    return {
        "id": one.id,
        "object": "break",
        "run": found.run,
        "kind": found.kind,
        "deposit": found.deposit,
        "payment": found.payment,
        "refund": found.refund,
        "provider_ref": found.provider_ref,
        "ours": values.money(found.ours) if found.ours is not None else None,
        "provider": values.money(found.provider) if found.provider is not None else None,
        "status": "open" if resolved is None else "resolved",
        "action": resolved.action if resolved is not None else None,
        "note": note,
        "created_at": format_instant(found.at),
        "resolved_at": format_instant(resolved.at) if resolved is not None else None,
    }


def rows(shown: RunView, breaks: Sequence[Break]) -> Iterator[Sequence[object]]:
    """The spreadsheet: a header, the run, its counts and totals, then a row for each break."""
    counted, one = _certificate(shown), shown.run
    yield COLUMNS
    yield _row(row="run", id=one.id, status=one.status.value, kind=counted.digest if one.finished else "")
    for name in COUNTS:
        yield _row(row="count", kind=name, ours=getattr(counted, name))
    for total in counted.totals:
        yield _row(row="total", **_sides(total.ours, total.provider))
    for found in breaks:
        yield _row(
            row="break",
            id=found.id,
            kind=found.found.kind,
            deposit=found.found.deposit or "",
            payment=found.found.payment or "",
            refund=found.found.refund or "",
            provider_reference=_harmless(found.found.provider_ref or ""),
            status="open" if found.resolved is None else "resolved",
            action=found.resolved.action if found.resolved is not None else "",
            **_sides(found.found.ours, found.found.provider),
        )
    if counted.breaks > len(breaks):
        yield _row(row="more", ours=counted.breaks - len(breaks))


def _row(**cells: object) -> Sequence[object]:
    return [cells.get(name, "") for name in COLUMNS]


def _sides(ours: Money | None, provider: Money | None) -> dict[str, object]:
    known = ours if ours is not None else provider
    if known is None:
        return {}
    zero = Money.zero(known.currency)
    mixed = ours is not None and provider is not None and ours.currency != provider.currency
    return {
        "currency": known.currency if not mixed else "",
        "ours": ours.amount if ours is not None else "",
        "provider": provider.amount if provider is not None else "",
        "difference": ((ours or zero) - (provider or zero)).amount if not mixed else "",
    }


def _harmless(reference: str) -> str:
    """A spreadsheet runs what begins like a formula; a reference is not ours."""
    return f"'{reference}" if reference[:1] in {"=", "+", "-", "@", "\t", "\r"} else reference


def page(shown: RunView, breaks: Sequence[Break], locale: str) -> str:
    """The same rows as a page."""
    one = shown.run
    title = read_text("pages", "reconciliation_title", locale=locale)
    span = f"{format_instant(one.started.start)} / {format_instant(one.started.end)}"
    status = read_text("pages", f"reconciliation_{one.status.value}", locale=locale)
    head, *body = rows(shown, breaks)
    cells = "".join(f"<tr>{_cells('td', row)}</tr>" for row in body)
    content = (
        f"<p>{html.escape(status)}</p><p><code>{html.escape(span)}</code></p>"
        f"<div style='overflow:auto'><table><tr>{_cells('th', head)}</tr>{cells}</table></div>"
    )
    return whole_page(title, content, locale)


def _cells(tag: str, row: Sequence[Any]) -> str:
    return "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in row)
