"""Load, catch up, decide, append: the one way in which a deposit changes, and what happens when somebody was faster."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from chalicelib.core import deposit as deposits_
from chalicelib.core import ordering
from chalicelib.core.claim import Claim
from chalicelib.core.deadlines import NEVER, overdue
from chalicelib.core.deposit import Deposit, Status, status_at
from chalicelib.core.events import DepositEvent, PassReturned
from chalicelib.core.ids import parse_child, well_formed
from chalicelib.core.journal import Asked, Caller, Entry, version_of
from chalicelib.core.priority import PassStatus
from chalicelib.core.refusal import Reason, Refused
from chalicelib.core.terms import Terms
from chalicelib.flows.ports import (
    Also,
    Clock,
    Contended,
    Count,
    Deposits,
    Happened,
    Noted,
    Offers,
    Overtaken,
    Shelved,
    Stored,
    Tallied,
)

# The edge gives up on an answer after 29 seconds; what is older than this writes nothing more.
OLDEST_REQUEST: Final = 30_000
# How long a writer races before it says busy: most races are over after one image.
PATIENCE: Final = 2_000
CLOCKWORK: Final = Caller("earnest", "service")  # who writes what the clock alone made true

Decision = Callable[[Deposit, Terms], Sequence[DepositEvent]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The deposit an answer is rendered from: its state, the instant and the language of that answer."""

    deposit: Deposit
    journal: tuple[Entry[DepositEvent], ...]
    at: int
    locale: str
    terms: Terms
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Timing:
    """What wiring gives for races: the machine's clock, a jittered sleep, and the grace of irreversible deadlines."""

    now: Clock
    pause: Callable[[int], None]
    grace_ms: int


class Race:
    """One writer's luck: the image that a first loss hands back is used at once, later ones only after a sleep."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._began = timing.now()
        self._lost = False
        self._sleeps = 0

    def lost(self) -> bool:
        """Whether to decide at once on the image; False means: slept, read again. Refused(BUSY) when patience ends."""
        if not self._lost:
            self._lost = True
            return True
        self.wait()
        return False

    def wait(self) -> None:
        """Sleep, each time longer."""
        if self._timing.now() - self._began > PATIENCE:
            raise Refused(Reason.BUSY, retry_after=1)
        self._timing.pause(self._sleeps)
        self._sleeps += 1


def fold(stored: Stored[DepositEvent]) -> Deposit:
    return deposits_.fold(stored.id, (entry.event for entry in stored.journal))


def evolved(deposit: Deposit, events: Sequence[DepositEvent]) -> Deposit:
    for event in events:
        deposit = deposits_.evolve(deposit, event)
    return deposit


def caught_up(deposit: Deposit, at: int, silent_until: int = NEVER) -> Deposit:
    """The deposit as a reader sees it: what is overdue is folded in memory and not written.

    What silence decided pays at once, so it is seen no sooner than it can be written: ``Commits.read`` says when.
    """
    return evolved(deposit, overdue(deposit, at, at, silent_until))


def etag(deposit: Deposit, at: int) -> str:
    """Names the state, not the bytes."""
    return f'"{deposit.version}-{status_at(deposit, at).value}"'


def too_old(timing: Timing, asked: Asked) -> None:
    if timing.now() - asked.received > OLDEST_REQUEST:
        raise Refused(Reason.BUSY, retry_after=1)


@dataclass(frozen=True, slots=True)
class Commits:
    """Commands on deposits that exist."""

    deposits: Deposits
    offers: Offers
    timing: Timing

    def read(self, stored: Stored[DepositEvent], asked: Asked) -> Outcome:
        """As a reader sees it: what is overdue is folded in memory, with the same versions as once it is written."""
        deposit = fold(stored)
        refuse_strangers(deposit, asked.caller)
        late = overdue(deposit, asked.at, asked.at, asked.at - self.timing.grace_ms)
        journal = (*stored.journal, *by_the_clock(late))
        return Outcome(evolved(deposit, late), journal, asked.at, asked.locale, self.terms(deposit))

    def terms(self, deposit: Deposit) -> Terms:
        """What the deposit was sold under."""
        return self.offers.terms(deposit.created.terms_hash)

    def load(self, deposit_id: str) -> Stored[DepositEvent]:
        """The journal, or Refused(NOT_FOUND), also for what cannot be an id."""
        stored = self.deposits.get(deposit_id) if well_formed("dep", deposit_id) else None
        if stored is None:
            raise Refused(Reason.NOT_FOUND)
        return stored

    def caught_up(self, deposit_id: str, asked: Asked) -> Stored[DepositEvent]:
        """The journal, with what silence has decided written down."""
        stored = self.load(deposit_id)
        if not overdue(fold(stored), NEVER, NEVER, asked.at - self.timing.grace_ms):
            return stored
        plainly = replace(asked, key=None, if_match=None)
        return Stored(deposit_id, self.run(deposit_id, plainly, lambda _deposit, _terms: (), stored=stored).journal)

    def run(
        self,
        deposit_id: str,
        asked: Asked,
        decision: Decision,
        *,
        expire: bool = False,
        beside: Callable[[], Sequence[Also]] = tuple,
        stored: Stored[DepositEvent] | None = None,
    ) -> Outcome:
        """Decide and append, again and again until nobody was faster, or say busy.

        ``stored`` is the journal where the caller has just read it. ``expire`` also writes what is irreversible, once its grace is over. Only who has just looked at the provider
        may say so: every other append leaves an overdue deposit to the job. ``beside`` is what the latest decision
        writes in the same transaction, besides stock and limits. StockShort and LimitFull are the caller's to answer.
        """
        stored = stored if stored is not None else self.load(deposit_id)
        race = Race(self.timing)
        while True:
            try:
                return self._once(stored, asked, decision, expire=expire, beside=beside)
            except Overtaken as faster:
                stored = faster.stored if race.lost() else self.load(deposit_id)
            except Contended:
                race.wait()
                stored = self.load(deposit_id)

    def _once(
        self,
        stored: Stored[DepositEvent],
        asked: Asked,
        decision: Decision,
        *,
        expire: bool,
        beside: Callable[[], Sequence[Also]],
    ) -> Outcome:
        before = fold(stored)
        refuse_strangers(before, asked.caller)
        terms = self.terms(before)
        known = replayed(stored, asked, terms)
        if known is not None:
            return known
        # What is irreversible is written behind the decision: a payment captured in time is judged before its deposit
        # expires, however late we learn of it.
        silent_until = asked.at - self.timing.grace_ms
        late = overdue(before, asked.at, NEVER, silent_until)
        current = etag(caught_up(before, asked.at, silent_until), asked.at)
        decided = tuple(in_order(lambda: decision(evolved(before, late), terms), lambda: refuse_stale(asked, current)))
        after = evolved(before, (*late, *decided))
        ripe = silent_until if expire else NEVER
        last = overdue(after, asked.at, ripe, silent_until)
        entries = (*by_the_clock(late), *stamped(decided, asked, asked.caller), *by_the_clock(last))
        if not entries:
            return Outcome(before, stored.journal, asked.at, asked.locale, terms)
        too_old(self.timing, asked)
        after = evolved(after, last)
        also = (*moved(before, after, terms.limits.per_buyer), *self._pass_back(before, after, asked), *beside())
        self.deposits.append(stored, entries, after, also)
        return Outcome(after, (*stored.journal, *entries), asked.at, asked.locale, terms)

    def _pass_back(self, before: Deposit, after: Deposit, asked: Asked) -> tuple[Noted, ...]:
        """The pass goes back into the journal it came from, in the write that says why."""
        held = after.created.priority
        parsed = parse_child("pas", held.id) if held is not None and gives_pass_back(before, after) else None
        if parsed is None:
            return ()
        origin = self.load(f"dep_{parsed[0]}")
        one = fold(origin).passes[parsed[1] - 1]
        if one.used_for != after.id or one.status is not PassStatus.USED:
            raise Contended  # somebody else has ended it meanwhile, and given the pass back
        event = PassReturned(max(asked.at, one.changed_at), parsed[1], after.id)
        return (noted(origin, event, asked, CLOCKWORK),)


def moved(before: Deposit | None, after: Deposit, most: int | None) -> tuple[Also, ...]:
    """Units and limits move in the very write that says why, to and from where they were taken."""
    created = after.created
    effects: list[Also] = [Shelved(created.offer, created.batch, one) for one in ordering.moves(before, after)]
    units = after.limit_units - (before.limit_units if before is not None else 0)
    if units:
        effects.append(Count(created.offer, created.buyer, units, most if units > 0 else None))
    effects += [Tallied(created.offer, what, reason) for what, reason in _told(before, after)]
    return tuple(effects)


def _told(before: Deposit | None, after: Deposit) -> Iterator[tuple[Happened, str]]:
    """What the public count of an offer's cancellations hears: that there is one, an appeal, and that it was right."""
    reason = after.cancelled.reason if after.cancelled is not None else None
    if before is None or reason is None:
        return
    if before.cancelled is None:
        yield "cancelled", reason
    was, now = _appeals(before), _appeals(after)
    if len(now) > len(was) and not was:
        yield "appealed", reason
    if any(one.paid is not None for one in now) and all(one.paid is None for one in was):
        yield "overturned", reason


def _appeals(deposit: Deposit) -> list[Claim]:
    return [one for one in deposit.claims if one.opened.kind == "merchant_cancellation"]


def noted(stored: Stored[DepositEvent], event: DepositEvent, asked: Asked, by: Caller) -> Noted:
    """An event in the journal of another deposit, behind what is overdue there."""
    before = fold(stored)
    late = overdue(before, event.at, NEVER)
    entries = (*by_the_clock(late), Entry(event, asked.at, by, locale=asked.locale))
    return Noted(stored, entries, evolved(before, (*late, event)))


def gives_pass_back(before: Deposit, after: Deposit) -> bool:
    """Whether an order made with a priority pass ended unpaid, and nothing better came of it."""
    ended = before.status is Status.AWAITING_PAYMENT and after.status in {Status.EXPIRED, Status.CANCELLED}
    return ended and after.created.priority is not None and len(after.passes) == len(before.passes)


def stamped(events: Sequence[DepositEvent], asked: Asked, by: Caller) -> tuple[Entry[DepositEvent], ...]:
    """Entries for the journal; the last event of a request carries its key, so that its prefix is its answer."""
    last = len(events) - 1
    return tuple(
        Entry(event, asked.at, by, asked.key if i == last else None, asked.locale) for i, event in enumerate(events)
    )


def by_the_clock(events: Sequence[DepositEvent]) -> tuple[Entry[DepositEvent], ...]:
    """Entries for deadlines: the clock knew them at their instant, whoever writes them down, and whenever."""
    return tuple(Entry(event, event.at, CLOCKWORK) for event in events)


def refuse_strangers(deposit: Deposit, caller: Caller) -> None:
    """A buyer sees their own, staff their merchant's; platform, jobs and proved provider events everything.

    The holder of a withdrawal token is known by the deposit alone.
    """
    allowed = {
        "buyer": deposit.created.buyer == caller.id,
        "merchant": deposit.created.merchant == caller.merchant,
        "inspector": deposit.created.merchant == caller.merchant and deposit.trade_in is not None,
        "platform": True,
        "service": True,
        "provider": True,
        "holder": deposit.id == caller.id,
    }
    if not allowed.get(caller.role, False):
        raise Refused(Reason.NOT_FOUND)


def replayed(stored: Stored[DepositEvent], asked: Asked, terms: Terms) -> Outcome | None:
    """The answer to a key that is in the journal already; another body under the same key is refused."""
    version = version_of(stored.journal, asked.key)
    if version is None or asked.key is None:
        return None
    entry = stored.journal[version - 1]
    if entry.key != asked.key:
        raise Refused(Reason.IDEMPOTENCY_KEY_REUSED)
    prefix = stored.journal[:version]
    state = deposits_.fold(stored.id, (one.event for one in prefix))
    return Outcome(state, prefix, entry.received_at, entry.locale, terms, replayed=True)


def in_order(decision: Callable[[], T], stale: Callable[[], None]) -> T:
    """The decision, once the caller is known to have seen the current state; faults of fields are told before that."""
    try:
        decided = decision()
    except Refused as refused:
        if not refused.reason.comes_before(Reason.STALE_VERSION):
            stale()
        raise
    stale()
    return decided


def refuse_stale(asked: Asked, current: str) -> None:
    """``If-Match`` names the state the caller saw, as a read at this instant would show it."""
    if asked.if_match not in {None, "*", current}:
        raise Refused(Reason.STALE_VERSION, etag=current)
