"""Judge a pair of lines: what fits is settled, what fits nowhere is looked for in the journal and at the provider."""

from msgspec import Struct

from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.refund import RefundStatus
from chalicelib.core.paying.provider_answers import PaymentSeen
from chalicelib.core.reconciliation import matching
from chalicelib.core.reconciliation.lines import Line
from chalicelib.core.refunding.provider_answers import RefundSeen
from chalicelib.flows.commit import Commits
from chalicelib.flows.deposit_worker import DepositWorker
from chalicelib.flows.effects import fold_stored
from chalicelib.flows.ports.provider import NotFound, Settlement
from chalicelib.flows.ports.store import Pace
from chalicelib.flows.reconciliation.slices import Slice, lines_of


class Matcher(Struct, frozen=True):
    """Refused(BUSY) when the provider or the table says nothing now; any other fault is of this one deposit."""

    commits: Commits
    settlement: Settlement
    attendant: DepositWorker
    pace: Pace

    def judge(self, part: Slice, mine: Line | None, other: Line | None) -> None:
        if other is None:
            assert mine is not None, "a pair has a side"
            self._missing(part, mine)
        elif mine is None:
            self._strange(part, other)
        else:
            self._meet(part, mine, other)

    def settle_as_seen(self, deposit: Deposit, payment: str | None, refund: str | None, owner: str) -> Deposit:
        """The deposit after the provider was asked about a payment or a refund and its word was settled."""
        self.pace()
        seen: PaymentSeen | RefundSeen | NotFound = NotFound()
        if payment is not None:
            seen = self.attendant.seen_payment(payment)
        elif refund is not None:
            seen = self.attendant.seen_refund(deposit, int(refund.rpartition("_")[2]))
        if isinstance(seen, NotFound):
            return deposit
        return self.attendant.settle(deposit.id, seen, owner).deposit

    def _meet(self, part: Slice, mine: Line, other: Line, *, repaired: bool = False) -> None:
        """Both sides have it; a refund that was not seen in a report before is settled by this line."""
        part.last = (other.place, other.ref)
        if mine.minor != other.minor or mine.currency != other.currency:
            part.differ("amount_mismatch", mine, other)
            return
        part.match(mine, other, repaired=repaired)
        if not mine.settled:
            self._settled(mine, other, part.owner)

    def _missing(self, part: Slice, mine: Line) -> None:
        """Ours alone: too young, executed in another span by the provider's clock, or missing."""
        if matching.is_in_transit(mine, part.run.started.at, self.settlement.settle_days):
            part.wait(mine)
        elif not self._executed_outside(part, mine):
            part.differ("missing_at_provider", mine, None)

    def _strange(self, part: Slice, other: Line) -> None:
        """Theirs alone: told twice, not yet shown by our index, or not known to us until now."""
        if (other.place, other.ref) == part.last:
            part.differ("duplicate", None, other)
            return
        deposit = self._deposit(other)
        mine = _known(deposit, other)
        if mine is not None:
            self._meet(part, mine, other)
            return
        known, deposit = deposit, self._repaired(deposit, other, part.owner)
        part.learn(known, deposit)
        mine = _known(deposit, other)
        if mine is not None:
            self._meet(part, mine, other, repaired=True)
        else:
            part.differ(matching.classify_unmatched(deposit, other), None, other)

    def _repaired(self, deposit: Deposit | None, line: Line, owner: str) -> Deposit | None:
        """The deposit after the provider was asked about the line and its word was settled."""
        rows = () if deposit is None else deposit.payments if line.kind == "c" else deposit.refunds
        if deposit is None or line.n > len(rows):
            return deposit
        payment, refund = (line.reference, None) if line.kind == "c" else (None, line.reference)
        return self.settle_as_seen(deposit, payment, refund, owner)

    def _settled(self, mine: Line, other: Line, owner: str) -> None:
        """The report is the provider's last word on a refund that succeeded."""
        stored = self.commits.load(f"dep_{mine.body}")
        refund = fold_stored(stored).refunds[mine.n - 1]
        if refund.status is RefundStatus.SUCCEEDED:
            seen = RefundSeen(
                refund.n, "succeeded", other.money, other.ref, other.at, settled=True, route_no=refund.route_no
            )
            self.attendant.settle(stored.id, seen, owner, stored)

    def _executed_outside(self, part: Slice, mine: Line) -> bool:
        """Whether the provider executed it at an instant of another span: then it belongs to that one's report."""
        deposit, span = self._deposit(mine), part.run.started
        if deposit is None:
            return False
        self.pace()
        asked = self.attendant.seen_payment(mine.reference) if mine.kind == "c" else None
        seen = asked if asked is not None else self.attendant.seen_refund(deposit, mine.n)
        if isinstance(seen, NotFound):
            return False
        part.learn(deposit, self.attendant.settle(deposit.id, seen, part.owner).deposit)  # whatever else it says
        at = _executed_at(mine, seen)
        return at is not None and not span.start <= at < span.end

    def _deposit(self, line: Line) -> Deposit | None:
        stored = self.commits.deposits.get(f"dep_{line.body}") if line.reference else None
        return fold_stored(stored) if stored is not None else None


def _known(deposit: Deposit | None, line: Line) -> Line | None:
    """The line as our journal has it."""
    return next((one for one in lines_of(deposit) if one[:2] == line[:2]), None)


def _executed_at(mine: Line, seen: PaymentSeen | RefundSeen) -> int | None:
    """When the provider says that it executed our line; None when it does not know it."""
    if isinstance(seen, PaymentSeen):
        return next((one.at for one in seen.captures if one.ref == mine.ref), None)
    if seen.provider_ref != mine.ref or seen.status not in {"succeeded", "returned"}:
        return None
    if mine.kind == "x":
        return seen.at if seen.status == "returned" else None
    return seen.executed_at if seen.executed_at is not None else seen.at
