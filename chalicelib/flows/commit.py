"""Load, catch up, decide, append: the one way in which a deposit changes.

Theory of operation

A deposit is its journal, one item of the table. There are two writes. ``create`` (flows/orders.py) puts a new journal.
``append`` adds events under the condition that the version is still the one that was read. Stock, limits, sealed texts and
other journals that must change with it are effects in the same transaction: all is written or nothing.

An attempt works on one image: the journal as it was read, and the deposit folded from it. In this order it
1. refuses a caller who may not see the deposit,
2. answers a replay: a journal that has seen the request's key is cut behind that entry and rendered as it was then,
3. adds the deadlines that are due by the request's instant; the decision meets them,
4. asks the decision of core for events, and refuses when ``If-Match`` names another state,
5. adds the deadlines that are due only now that the decision has been made,
6. refuses a request that is too old, and appends everything at once.

When somebody wrote in between, the conflict returns the newer journal and the attempt is made again on it, later ones after
a sleep and another read, until the retry budget is used up (flows/retry.py). A write whose answer was lost comes back as
such a conflict, and step 2 finds its key.

Deadline events are announcements, which no decision reads, or irreversible: the expiry of an unpaid deposit, and what
silence decides about claims. What is irreversible is written a grace later than its deadline, because a request asked
before it may still be running. Claims are decided in steps 3 and 5, expiry only in step 5 and only by a worker that has
asked the provider (``expire``). So a payment captured in time is judged before its deposit expires.

A reader sees every event that is due, folded in memory with the version that it has once it is written. Claims count for a
reader only after the grace too, because what they decide moves money. Instants are the request's (``request.at``), never
the wall clock; only the age of a request is measured on the machine's clock.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.common.ids import is_well_formed, parse_child
from chalicelib.core.common.journal import RequestContext, find_version
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deadlines import NEVER, catch_up, overdue
from chalicelib.core.decide import decide
from chalicelib.core.deposit import fold
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.ending import PassReturned
from chalicelib.core.deposit.priority_pass import PassStatus
from chalicelib.core.deposit.status import Status
from chalicelib.core.policy.terms import Terms
from chalicelib.flows.access import authorize_access
from chalicelib.flows.effects import journal_append, returns_pass, side_effects
from chalicelib.flows.entries import SYSTEM, system_entries, to_entries
from chalicelib.flows.images import Image, evolve_all, fold_image
from chalicelib.flows.ports.effects import JournalAppend, TransactionEffect
from chalicelib.flows.ports.store import Deposits, Offers, WriteContention
from chalicelib.flows.preconditions import decide_in_order, refuse_stale
from chalicelib.flows.retry import Timing, refuse_expired_request, retry_on_conflict
from chalicelib.flows.snapshot import Outcome, snapshot_of, take_snapshot

Decision = Callable[[Deposit, Terms], Sequence[DepositEvent]]
Effects = Callable[[Deposit, Terms], Sequence[TransactionEffect]]


def no_effects(_deposit: Deposit, _terms: Terms) -> tuple[TransactionEffect, ...]:
    return ()


class Commits(Struct, frozen=True):
    """Reads of deposits and commands on deposits that exist."""

    deposits: Deposits
    offers: Offers
    timing: Timing

    def find(self, deposit_id: str, request: RequestContext) -> Outcome:
        """``read`` of one deposit by its id."""
        return self.read(self.load(deposit_id), request)

    def read(self, image: Image, request: RequestContext) -> Outcome:
        """The deposit with everything that is due, at the request's instant. Refused(NOT_FOUND) for strangers."""
        authorize_access(image.deposit, request.caller)
        due, deposit = catch_up(image.deposit, request.at, request.at, self._silent_until(request))
        journal = (*image.stored.journal, *system_entries(due))
        return Outcome(deposit, journal, snapshot_of(deposit, request.at), request.locale, self.terms(deposit))

    def terms(self, deposit: Deposit) -> Terms:
        """The terms that the deposit was sold under."""
        return self.offers.terms(deposit.created.terms_hash)

    def load(self, deposit_id: str) -> Image:
        """The journal as it stands. Refused(NOT_FOUND) also for a text that cannot be an id."""
        stored = self.deposits.get(deposit_id) if is_well_formed("dep", deposit_id) else None
        if stored is None:
            raise Refused(Reason.NOT_FOUND)
        return fold_image(stored)

    def load_with_claims_decided(self, deposit_id: str, request: RequestContext) -> Image:
        """``load``, after what silence has decided about claims was written."""
        image = self.load(deposit_id)
        if not overdue(image.deposit, NEVER, NEVER, self._silent_until(request)):
            return image
        unconditional = replace(request, key=None, if_match=None)
        return self.run(deposit_id, unconditional, lambda _deposit, _terms: (), image=image).image

    def execute(
        self,
        deposit_id: str,
        command: Command,
        request: RequestContext,
        *,
        effects: Effects = no_effects,
        image: Image | None = None,
    ) -> Outcome:
        """``run`` with the decision of core on a command, at the request's instant."""
        return self.run(
            deposit_id,
            request,
            lambda deposit, terms: decide(deposit, command, request.at, terms),
            effects=effects,
            image=image,
        )

    def run(
        self,
        deposit_id: str,
        request: RequestContext,
        decision: Decision,
        *,
        expire: bool = False,
        effects: Effects = no_effects,
        image: Image | None = None,
    ) -> Outcome:
        """Decide and append, again on each conflict. Refused(BUSY) when the retry budget is used up.

        ``expire`` also writes the expiry, once its grace is over: only for who has just asked the provider. ``effects``
        gives what is written in the same transaction besides stock, limits and counts, from the deposit that the decision
        met. ``image`` is the deposit where the caller has just read it. StockShort and LimitFull are the caller's to handle.
        """
        return retry_on_conflict(
            self.timing,
            image if image is not None else self.load(deposit_id),
            lambda current: self._attempt(current, request, decision, expire=expire, effects=effects),
            fold_image,
            lambda: self.load(deposit_id),
        )

    def _attempt(
        self, image: Image, request: RequestContext, decision: Decision, *, expire: bool, effects: Effects
    ) -> Outcome:
        before = image.deposit
        authorize_access(before, request.caller)
        terms = self.terms(before)
        replay = replay_of(image, request, terms)
        if replay is not None:
            return replay
        silent_until = self._silent_until(request)
        due_before, current = catch_up(before, request.at, NEVER, silent_until)
        decided = tuple(
            decide_in_order(
                lambda: decision(current, terms),
                lambda: refuse_stale(request, lambda: take_snapshot(before, request.at, silent_until).etag),
            )
        )
        expired_until = silent_until if expire else NEVER
        due_after, after = catch_up(evolve_all(current, decided), request.at, expired_until, silent_until)
        entries = (
            *system_entries(due_before),
            *to_entries(decided, request, request.caller),
            *system_entries(due_after),
        )
        if entries:
            refuse_expired_request(self.timing, request)
            returned = self._returned_pass(before, after, request)
            changes = side_effects(before, after, terms.limits.per_buyer)
            self.deposits.append(image.stored, entries, after, (*changes, *returned, *effects(current, terms)))
        journal = (*image.stored.journal, *entries)
        # What is due is written, except an expiry; only an unpaid deposit can have one.
        take = take_snapshot if after.status is Status.AWAITING_PAYMENT else snapshot_of
        return Outcome(after, journal, take(after, request.at), request.locale, terms)

    def _returned_pass(self, before: Deposit, after: Deposit, request: RequestContext) -> tuple[JournalAppend, ...]:
        """The priority pass of an order that ended unpaid, given back in the journal that granted it."""
        used = after.created.priority
        parsed = parse_child("pas", used.id) if used is not None and returns_pass(before, after) else None
        if parsed is None:
            return ()
        origin = self.load(f"dep_{parsed[0]}")
        priority_pass = origin.deposit.passes[parsed[1] - 1]
        if priority_pass.used_for != after.id or priority_pass.status is not PassStatus.USED:
            raise WriteContention  # another writer has ended this deposit meanwhile and returned the pass
        event = PassReturned(max(request.at, priority_pass.changed_at), parsed[1], after.id)
        return (journal_append(origin, event, request, SYSTEM),)

    def _silent_until(self, request: RequestContext) -> int:
        """Claims whose deadline lies before this are decided by silence."""
        return request.at - self.timing.grace_ms


def replay_of(image: Image, request: RequestContext, terms: Terms) -> Outcome | None:
    """The answer that the request's key already had, None for a new key. Refused for another body under the same key."""
    version = find_version(image.stored.journal, request.key)
    if version is None or request.key is None:
        return None
    entry = image.stored.journal[version - 1]
    if entry.key != request.key:
        raise Refused(Reason.IDEMPOTENCY_KEY_REUSED)
    prefix = image.stored.journal[:version]
    deposit = image.deposit
    if version < image.stored.version:
        deposit = fold.fold(image.id, (past.event for past in prefix))
    return Outcome(deposit, prefix, take_snapshot(deposit, entry.received_at), entry.locale, terms, replayed=True)
