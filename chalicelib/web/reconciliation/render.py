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


def run(view: RunView) -> RunAnswer:
    """A run as an answer: what is counted so far, or its certificate."""
    run, certificate = view.run, _certificate(view)
    address = f"/v1/reconciliation-runs/{run.id}"
    return {
        "id": run.id,
        "object": "reconciliation_run",
        "status": run.status.value,
        "from": format_instant(run.started.start),
        "to": format_instant(run.started.end),
        "progress": {"ours": certificate.ours, "provider": certificate.provider, "percent": view.percent},
        "counts": {
            "matched": certificate.matched,
            "repaired": certificate.repaired,
            "in_transit": certificate.in_transit,
            "breaks": certificate.breaks,
            "unreadable": certificate.unreadable,
        },
        "totals": [
            {
                "currency": total.ours.currency,
                "ours": total.ours.amount,
                "provider": total.provider.amount,
                "difference": total.difference.amount,
            }
            for total in certificate.totals
        ],
        "digest": certificate.digest if run.finished is not None else None,
        "failure": run.failure,
        "report_url": f"{address}/report.csv",
        "created_at": format_instant(run.started.at),
        "updated_at": format_instant(run.updated_at),
    }


def _certificate(view: RunView) -> RunFinished:
    """The certificate, or as much of it as there is."""
    finished = view.run.finished
    return finished if finished is not None else runs.finish_run(view.run.started.at, view.tally)


def difference(difference: Break, note: str | None) -> BreakAnswer:
    fact, resolved = difference.found, difference.resolved
    return {
        "id": difference.id,
        "object": "break",
        "run": fact.run,
        "kind": fact.kind,
        "deposit": fact.deposit,
        "payment": fact.payment,
        "refund": fact.refund,
        "provider_ref": fact.provider_ref,
        "ours": values.money(fact.ours) if fact.ours is not None else None,
        "provider": values.money(fact.provider) if fact.provider is not None else None,
        "status": "open" if resolved is None else "resolved",
        "action": resolved.action if resolved is not None else None,
        "note": note,
        "created_at": format_instant(fact.at),
        "resolved_at": format_instant(resolved.at) if resolved is not None else None,
    }


def rows(view: RunView, breaks: Sequence[Break]) -> Iterator[Sequence[object]]:
    """The spreadsheet: a header, the run, its counts and totals, then a row for each break."""
    certificate, run = _certificate(view), view.run
    yield COLUMNS
    yield _row(row="run", id=run.id, status=run.status.value, kind=certificate.digest if run.finished else "")
    for name in COUNTS:
        yield _row(row="count", kind=name, ours=getattr(certificate, name))
    for total in certificate.totals:
        yield _row(row="total", **_sides(total.ours, total.provider))
    for difference in breaks:
        yield _row(
            row="break",
            id=difference.id,
            kind=difference.found.kind,
            deposit=difference.found.deposit or "",
            payment=difference.found.payment or "",
            refund=difference.found.refund or "",
            provider_reference=_escape_formula(difference.found.provider_ref or ""),
            status="open" if difference.resolved is None else "resolved",
            action=difference.resolved.action if difference.resolved is not None else "",
            **_sides(difference.found.ours, difference.found.provider),
        )
    if certificate.breaks > len(breaks):
        yield _row(row="more", ours=certificate.breaks - len(breaks))


def _row(**cells: object) -> Sequence[object]:
    return [cells.get(name, "") for name in COLUMNS]


def _sides(ours: Money | None, provider: Money | None) -> dict[str, object]:
    present = ours if ours is not None else provider
    if present is None:
        return {}
    zero = Money.zero(present.currency)
    mixed = ours is not None and provider is not None and ours.currency != provider.currency
    return {
        "currency": present.currency if not mixed else "",
        "ours": ours.amount if ours is not None else "",
        "provider": provider.amount if provider is not None else "",
        "difference": ((ours or zero) - (provider or zero)).amount if not mixed else "",
    }


def _escape_formula(reference: str) -> str:
    """A spreadsheet runs what begins like a formula, and the provider chooses the reference."""
    return f"'{reference}" if reference[:1] in {"=", "+", "-", "@", "\t", "\r"} else reference


def page(view: RunView, breaks: Sequence[Break], locale: str) -> str:
    """The same rows as a page."""
    run = view.run
    title = read_text("pages", "reconciliation_title", locale=locale)
    span = f"{format_instant(run.started.start)} / {format_instant(run.started.end)}"
    status = read_text("pages", f"reconciliation_{run.status.value}", locale=locale)
    head, *body = rows(view, breaks)
    cells = "".join(f"<tr>{_cells('td', row)}</tr>" for row in body)
    content = (
        f"<p>{html.escape(status)}</p><p><code>{html.escape(span)}</code></p>"
        f"<div style='overflow:auto'><table><tr>{_cells('th', head)}</tr>{cells}</table></div>"
    )
    return whole_page(title, content, locale)


def _cells(tag: str, row: Sequence[Any]) -> str:
    return "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in row)
