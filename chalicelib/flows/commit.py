"""Load, catch up, decide, append: the one way in which a deposit changes, and what happens when somebody was faster."""

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.common.ids import parse_child, well_formed
from chalicelib.core.common.journal import Entry, RequestContext, version_of
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deadlines import NEVER, overdue
from chalicelib.core.deposit import fold
from chalicelib.core.deposit.clock import status_at
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.ending import PassReturned
from chalicelib.core.deposit.priority_pass import PassStatus
from chalicelib.core.policy.terms import Terms
from chalicelib.flows.access import authorize_access
from chalicelib.flows.effects import (
    SYSTEM,
    evolve_all,
    fold_stored,
    journal_append,
    returns_pass,
    side_effects,
    system_entries,
    to_entries,
)
from chalicelib.flows.ports.effects import (
    JournalAppend,
    Stored,
    TransactionEffect,
)
from chalicelib.flows.ports.store import Deposits, Offers, VersionConflict, WriteContention
from chalicelib.flows.retry import ConflictRetry, Timing

# The edge gives up on an answer after 29 seconds; what is older than this writes nothing more.
MAX_REQUEST_AGE_MS: Final = 30_000
ENTITY_TAG: Final = re.compile(r'(?:W/)?"[^"]*"')

Decision = Callable[[Deposit, Terms], Sequence[DepositEvent]]
T = TypeVar("T")


class Outcome(Struct, frozen=True):
    """The deposit an answer is rendered from: its state, the instant and the language of that answer."""

    deposit: Deposit
    journal: tuple[Entry[DepositEvent], ...]
    at: int
    locale: str
    terms: Terms
    replayed: bool = False


def caught_up(deposit: Deposit, at: int, silent_until: int = NEVER) -> Deposit:
    """The deposit as a reader sees it: what is overdue is folded in memory and not written.

    What silence decided pays at once, so it is seen no sooner than it can be written: ``Commits.read`` says when.
    """
    return evolve_all(deposit, overdue(deposit, at, at, silent_until))


def etag(deposit: Deposit, at: int) -> str:
    """Names the state, not the bytes."""
    return f'"{deposit.version}-{status_at(deposit, at).value}"'


def refuse_expired_request(timing: Timing, asked: RequestContext) -> None:
    if timing.now() - asked.received > MAX_REQUEST_AGE_MS:
        raise Refused(Reason.BUSY, retry_after=1)


class Commits(Struct, frozen=True):
    """Commands on deposits that exist."""

    deposits: Deposits
    offers: Offers
    timing: Timing

    def read(self, stored: Stored[DepositEvent], asked: RequestContext) -> Outcome:
        """As a reader sees it: what is overdue is folded in memory, with the same versions as once it is written."""
        deposit = fold_stored(stored)
        authorize_access(deposit, asked.caller)
        late = overdue(deposit, asked.at, asked.at, asked.at - self.timing.grace_ms)
        journal = (*stored.journal, *system_entries(late))
        return Outcome(evolve_all(deposit, late), journal, asked.at, asked.locale, self.terms(deposit))

    def terms(self, deposit: Deposit) -> Terms:
        """What the deposit was sold under."""
        return self.offers.terms(deposit.created.terms_hash)

    def load(self, deposit_id: str) -> Stored[DepositEvent]:
        """The journal, or Refused(NOT_FOUND), also for what cannot be an id."""
        stored = self.deposits.get(deposit_id) if well_formed("dep", deposit_id) else None
        if stored is None:
            raise Refused(Reason.NOT_FOUND)
        return stored

    def caught_up(self, deposit_id: str, asked: RequestContext) -> Stored[DepositEvent]:
        """The journal, with what silence has decided written down."""
        stored = self.load(deposit_id)
        if not overdue(fold_stored(stored), NEVER, NEVER, asked.at - self.timing.grace_ms):
            return stored
        plainly = replace(asked, key=None, if_match=None)
        return Stored(deposit_id, self.run(deposit_id, plainly, lambda _deposit, _terms: (), stored=stored).journal)

    def run(
        self,
        deposit_id: str,
        asked: RequestContext,
        decision: Decision,
        *,
        expire: bool = False,
        beside: Callable[[], Sequence[TransactionEffect]] = tuple,
        stored: Stored[DepositEvent] | None = None,
    ) -> Outcome:
        """Decide and append, again and again until nobody was faster, or say busy.

        ``stored`` is the journal where the caller has just read it. ``expire`` also writes what is irreversible, once its grace is over. Only who has just looked at the provider
        may say so: every other append leaves an overdue deposit to the job. ``beside`` is what the latest decision
        writes in the same transaction, besides stock and limits. StockShort and LimitFull are the caller's to answer.
        """
        stored = stored if stored is not None else self.load(deposit_id)
        race = ConflictRetry(self.timing)
        while True:
            try:
                return self._once(stored, asked, decision, expire=expire, beside=beside)
            except VersionConflict as faster:
                stored = faster.stored if race.lost() else self.load(deposit_id)
            except WriteContention:
                race.wait()
                stored = self.load(deposit_id)

    def _once(
        self,
        stored: Stored[DepositEvent],
        asked: RequestContext,
        decision: Decision,
        *,
        expire: bool,
        beside: Callable[[], Sequence[TransactionEffect]],
    ) -> Outcome:
        before = fold_stored(stored)
        authorize_access(before, asked.caller)
        terms = self.terms(before)
        known = replayed(stored, asked, terms)
        if known is not None:
            return known
        # What is irreversible is written behind the decision: a payment captured in time is judged before its deposit
        # expires, however late we learn of it.
        silent_until = asked.at - self.timing.grace_ms
        late = overdue(before, asked.at, NEVER, silent_until)
        current = etag(caught_up(before, asked.at, silent_until), asked.at)
        decided = tuple(
            in_order(lambda: decision(evolve_all(before, late), terms), lambda: refuse_stale(asked, current))
        )
        after = evolve_all(before, (*late, *decided))
        ripe = silent_until if expire else NEVER
        last = overdue(after, asked.at, ripe, silent_until)
        entries = (*system_entries(late), *to_entries(decided, asked, asked.caller), *system_entries(last))
        if not entries:
            return Outcome(before, stored.journal, asked.at, asked.locale, terms)
        refuse_expired_request(self.timing, asked)
        after = evolve_all(after, last)
        also = (*side_effects(before, after, terms.limits.per_buyer), *self._pass_back(before, after, asked), *beside())
        self.deposits.append(stored, entries, after, also)
        return Outcome(after, (*stored.journal, *entries), asked.at, asked.locale, terms)

    def _pass_back(self, before: Deposit, after: Deposit, asked: RequestContext) -> tuple[JournalAppend, ...]:
        """The pass goes back into the journal it came from, in the write that says why."""
        held = after.created.priority
        parsed = parse_child("pas", held.id) if held is not None and returns_pass(before, after) else None
        if parsed is None:
            return ()
        origin = self.load(f"dep_{parsed[0]}")
        one = fold_stored(origin).passes[parsed[1] - 1]
        if one.used_for != after.id or one.status is not PassStatus.USED:
            raise WriteContention  # somebody else has ended it meanwhile, and given the pass back
        event = PassReturned(max(asked.at, one.changed_at), parsed[1], after.id)
        return (journal_append(origin, event, asked, SYSTEM),)


def replayed(stored: Stored[DepositEvent], asked: RequestContext, terms: Terms) -> Outcome | None:
    """The answer to a key that is in the journal already; another body under the same key is refused."""
    version = version_of(stored.journal, asked.key)
    if version is None or asked.key is None:
        return None
    entry = stored.journal[version - 1]
    if entry.key != asked.key:
        raise Refused(Reason.IDEMPOTENCY_KEY_REUSED)
    prefix = stored.journal[:version]
    state = fold.fold(stored.id, (one.event for one in prefix))
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


def refuse_stale(asked: RequestContext, current: str) -> None:
    """``If-Match`` names the state the caller saw, as a read at this instant would show it."""
    if asked.if_match is not None and not matches(asked.if_match, current):
        raise Refused(Reason.STALE_VERSION, etag=current)


def matches(if_match: str, current: str) -> bool:
    """Whether an ``If-Match`` header names the current state: ``*``, or a list of entity tags with it (RFC 9110, 13.1.1).

    A weak tag matches nothing here, and neither does a list that is not well formed.
    """
    if if_match.strip() == "*":
        return True
    parts = ENTITY_TAG.sub("\0", if_match).split(",")
    well_formed_list = all(part.strip() in {"", "\0"} for part in parts)
    return well_formed_list and current in ENTITY_TAG.findall(if_match)
