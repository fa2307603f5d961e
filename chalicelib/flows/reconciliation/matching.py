"""Judge a pair of lines. A pair that agrees is settled; an unmatched line is looked up in the journal and at the provider."""

from msgspec import Struct

from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.refund import RefundStatus
from chalicelib.core.paying.provider_answers import PaymentSeen
from chalicelib.core.reconciliation import matching
from chalicelib.core.reconciliation.lines import Line
from chalicelib.core.refunding.provider_answers import RefundSeen
from chalicelib.flows.commit import Commits
from chalicelib.flows.deposit_worker import DepositWorker
from chalicelib.flows.images import fold_stored
from chalicelib.flows.ports.provider import NotFound, Settlement
from chalicelib.flows.ports.store import Pace
from chalicelib.flows.reconciliation.slices import Slice, lines_of


class Matcher(Struct, frozen=True):
    """Refused(BUSY) when the provider or the table says nothing now; any other fault is of this one deposit."""

    commits: Commits
    settlement: Settlement
    worker: DepositWorker
    pace: Pace

    def judge(self, part: Slice, mine: Line | None, other: Line | None) -> None:
        if other is None:
            assert mine is not None, "a pair has a side"
            self._judge_missing(part, mine)
        elif mine is None:
            self._judge_unmatched(part, other)
        else:
            self._compare(part, mine, other)

    def settle_as_seen(self, deposit: Deposit, payment: str | None, refund: str | None, owner: str) -> Deposit:
        """The deposit after the provider was asked about a payment or a refund and its answer was settled."""
        self.pace()
        seen: PaymentSeen | RefundSeen | NotFound = NotFound()
        if payment is not None:
            seen = self.worker.query_payment(payment)
        elif refund is not None:
            seen = self.worker.query_refund(deposit, int(refund.rpartition("_")[2]))
        if isinstance(seen, NotFound):
            return deposit
        return self.worker.settle(deposit.id, seen, owner).deposit

    def _compare(self, part: Slice, mine: Line, other: Line, *, repaired: bool = False) -> None:
        """Both sides have it; a refund that was not seen in a report before is settled by this line."""
        part.last = (other.place, other.ref)
        if mine.minor != other.minor or mine.currency != other.currency:
            part.differ("amount_mismatch", mine, other)
            return
        part.match(mine, other, repaired=repaired)
        if not mine.settled:
            self._settle_refund(mine, other, part.owner)

    def _judge_missing(self, part: Slice, mine: Line) -> None:
        """Only in our journals: too young, executed in another span by the provider's clock, or missing."""
        if matching.is_in_transit(mine, part.run.started.at, self.settlement.settle_days):
            part.wait(mine)
        elif not self._executed_outside(part, mine):
            part.differ("missing_at_provider", mine, None)

    def _judge_unmatched(self, part: Slice, other: Line) -> None:
        """Only in the report: reported twice, not yet in our index, or not known to us until now."""
        if (other.place, other.ref) == part.last:
            part.differ("duplicate", None, other)
            return
        deposit = self._deposit(other)
        mine = _known(deposit, other)
        if mine is not None:
            self._compare(part, mine, other)
            return
        known, deposit = deposit, self._repair(deposit, other, part.owner)
        part.learn(known, deposit)
        mine = _known(deposit, other)
        if mine is not None:
            self._compare(part, mine, other, repaired=True)
        else:
            part.differ(matching.classify_unmatched(deposit, other), None, other)

    def _repair(self, deposit: Deposit | None, line: Line, owner: str) -> Deposit | None:
        """The deposit after the provider was asked about the line and its answer was settled."""
        rows = () if deposit is None else deposit.payments if line.kind == "c" else deposit.refunds
        if deposit is None or line.n > len(rows):
            return deposit
        payment, refund = (line.reference, None) if line.kind == "c" else (None, line.reference)
        return self.settle_as_seen(deposit, payment, refund, owner)

    def _settle_refund(self, mine: Line, other: Line, owner: str) -> None:
        """A report line is the provider's final answer on a refund that succeeded."""
        image = self.commits.load(f"dep_{mine.body}")
        refund = image.deposit.refunds[mine.n - 1]
        if refund.status is RefundStatus.SUCCEEDED:
            seen = RefundSeen(
                refund.n, "succeeded", other.money, other.ref, other.at, settled=True, route_no=refund.route_no
            )
            self.worker.settle(image.id, seen, owner, image)

    def _executed_outside(self, part: Slice, mine: Line) -> bool:
        """Whether the provider executed it at an instant of another span: then it belongs to that one's report."""
        deposit, span = self._deposit(mine), part.run.started
        if deposit is None:
            return False
        self.pace()
        payment = self.worker.query_payment(mine.reference) if mine.kind == "c" else None
        seen = payment if payment is not None else self.worker.query_refund(deposit, mine.n)
        if isinstance(seen, NotFound):
            return False
        part.learn(deposit, self.worker.settle(deposit.id, seen, part.owner).deposit)  # also what it says besides
        at = _executed_at(mine, seen)
        return at is not None and not span.start <= at < span.end

    def _deposit(self, line: Line) -> Deposit | None:
        stored = self.commits.deposits.get(f"dep_{line.body}") if line.reference else None
        return fold_stored(stored) if stored is not None else None


def _known(deposit: Deposit | None, line: Line) -> Line | None:
    """The line as our journal has it."""
    return next((row for row in lines_of(deposit) if row[:2] == line[:2]), None)


def _executed_at(mine: Line, seen: PaymentSeen | RefundSeen) -> int | None:
    """When the provider says that it executed our line; None when it does not know it."""
    if isinstance(seen, PaymentSeen):
        return next((capture.at for capture in seen.captures if capture.ref == mine.ref), None)
    if seen.provider_ref != mine.ref or seen.status not in {"succeeded", "returned"}:
        return None
    if mine.kind == "x":
        return seen.at if seen.status == "returned" else None
    return seen.executed_at if seen.executed_at is not None else seen.at
