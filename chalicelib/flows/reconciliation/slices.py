"""One worker's part of a run, in memory: its position, its tally, and the breaks that are not written yet."""

from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final, Literal

from chalicelib.core.common.ids import child
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.reconciliation import lines
from chalicelib.core.reconciliation.lines import BreakKind, Line
from chalicelib.core.reconciliation.run import BreakFound, Run
from chalicelib.core.reconciliation.tally import Tally
from chalicelib.flows.ports.store import RunAt

MATCHED: Final = "matched"
REPAIRED: Final = "repaired"
WAITS: Final = "in_transit"
# Place and reference of a line, its verdict, and its two sides: ours and the report's.
Verdict = tuple[str, str, BreakKind | Literal["matched", "repaired", "in_transit"], Line | None, Line | None]
PLACE: Final = itemgetter(0, 1)


@dataclass(slots=True)
class Slice:
    """``verdicts`` and ``learned`` are of the deposit that is compared now; ``lines`` were read since the checkpoint.

    The lease was taken, or renewed, at ``leased_at``.
    """

    run: Run
    at: RunAt
    owner: str
    shard: int
    after: str
    tally: Tally
    leased_at: int = 0
    lines: int = 0
    breaks: list[BreakFound] = field(default_factory=list)
    last: tuple[str, str] = ("", "")
    verdicts: list[Verdict] = field(default_factory=list)
    learned: dict[tuple[str, str], Line] = field(default_factory=dict)

    def cursor(self) -> dict[str, Any]:
        return {"shard": self.shard, "after": self.after, "tally": self.tally.to_json()}

    def learn(self, before: Deposit | None, after: Deposit | None) -> None:
        """Keep our lines of the span that a repair has added, besides the one that was queried."""
        span, known = self.run.started, {line[:2] for line in lines_of(before)}
        for line in lines_of(after):
            if line[:2] not in known and span.start <= line.at < span.end:
                self.learned[line.place, line.ref] = line

    def match(self, mine: Line, other: Line, *, repaired: bool = False) -> None:
        if self.learned:
            self.learned.pop(mine[:2], None)
        self.verdicts.append((other.place, other.ref, REPAIRED if repaired else MATCHED, mine, other))

    def wait(self, mine: Line) -> None:
        self.verdicts.append((mine.place, mine.ref, WAITS, mine, None))

    def differ(self, kind: BreakKind, mine: Line | None, other: Line | None) -> None:
        line = _known_side(mine, other)
        self.learned.pop(line[:2], None)
        self.verdicts.append((line.place, line.ref, kind, mine, other))

    def count(self) -> None:
        """Add the verdicts to the tally in the order of their lines: the digest of a run is reproducible."""
        if len(self.verdicts) > 1:
            self.verdicts.sort(key=PLACE)
        for _, _, kind, mine, other in self.verdicts:
            if kind == MATCHED or kind == REPAIRED:  # noqa: SIM109, PLR1714 - the types are told apart by it
                assert other is not None, "a match has two sides"
                self.tally.match(other, repaired=kind == REPAIRED)
            elif kind == WAITS:
                assert mine is not None, "what waits is ours"
                self.tally.wait(mine)
            else:
                self._break_of_line(kind, mine, other)
        self.verdicts.clear()

    def _break_of_line(self, kind: BreakKind, mine: Line | None, other: Line | None) -> None:
        self.tally.differ(kind, mine, other)
        line = _known_side(mine, other)
        reference = line.reference
        row = BreakFound(
            at=self.run.started.at,
            run=self.run.id,
            kind=kind,
            n=self.tally.breaks,
            deposit=f"dep_{line.body}" if reference else None,
            payment=reference if line.kind == "c" and reference else None,
            refund=reference if line.kind != "c" and reference else None,
            provider_ref=line.ref,
            ours=mine.money if mine is not None else None,
            provider=other.money if other is not None else None,
        )
        self.breaks.append(row)

    def note_refund(self, kind: BreakKind, deposit: Deposit, n: int) -> None:
        """A break of an open refund: it is in no report."""
        refund_id = child("ref", deposit.id, n)
        self.tally.note(kind, refund_id)
        amount = deposit.refunds[n - 1].amount
        self.breaks.append(self._noted_break(kind, deposit.id, refund=refund_id, ours=amount))

    def note_unreadable(self, deposit_id: str) -> None:
        """A deposit that owes a refund and cannot be read."""
        self.tally.note("unreadable", deposit_id)
        self.breaks.append(self._noted_break("unreadable", deposit_id))

    def _noted_break(self, kind: BreakKind, deposit_id: str, **known: Any) -> BreakFound:
        return BreakFound(self.run.started.at, self.run.id, kind, n=self.tally.breaks, deposit=deposit_id, **known)


def _known_side(mine: Line | None, other: Line | None) -> Line:
    line = other if other is not None else mine
    assert line is not None, "a difference has a side"
    return line


def lines_of(deposit: Deposit | None) -> tuple[Line, ...]:
    return lines.list_lines(deposit) if deposit is not None else ()
