"""Cancellations by merchants: one by itself, many with a second person, and the public count of them."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.common.ids import digest_id, is_well_formed
from chalicelib.core.common.instants import SECOND
from chalicelib.core.common.journal import Caller, Entry, Key, RequestContext, find_version, has_same_request
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.decide import decide
from chalicelib.core.deposit.clock import status_at
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.status import FINAL
from chalicelib.core.merchant import bulk as bulks_
from chalicelib.core.merchant.bulk import Bulk, BulkAsked, BulkEvent, BulkStatus, BulkWorked, Result
from chalicelib.core.merchant.cancellation import MerchantCancel
from chalicelib.core.policy import cancellation_reasons
from chalicelib.core.policy.terms import Terms
from chalicelib.core.selling.offer import Offer, index_shards
from chalicelib.flows import encrypted_text, text_keys
from chalicelib.flows.commit import Commits
from chalicelib.flows.entries import SYSTEM
from chalicelib.flows.images import fold_stored
from chalicelib.flows.offers import fold as fold_offer
from chalicelib.flows.ports.effects import SealedText, Stored
from chalicelib.flows.ports.store import Bulks, Clock, Tallies, Vault
from chalicelib.flows.preconditions import decide_in_order, refuse_stale
from chalicelib.flows.retry import create_or_replay, refuse_expired_request, retry_on_conflict
from chalicelib.flows.snapshot import Outcome
from chalicelib.flows.throttle import back_off

PAGE_DEPOSITS: Final = 100  # deposits read at once when the live ones of an offer are counted
CHUNK_DEPOSITS: Final = 25  # deposits cancelled between two writes of the results
MAX_TURN_MS: Final = 10 * SECOND  # of one worker for one bulk cancellation before it turns to others


class BulkView(Struct, frozen=True):
    """What an answer is rendered from."""

    bulk: Bulk
    at: int
    locale: str
    replayed: bool = False


class Cancellations(Struct, frozen=True):
    """Cancellations by merchants, and the public count of them."""

    commits: Commits
    bulks: Bulks
    tallies: Tallies
    vault: Vault
    clock: Clock

    def cancel(
        self, deposit_id: str, reason: str, evidence: Sequence[str], note: str | None, request: RequestContext
    ) -> Outcome:
        """One deposit, for a published reason."""
        command = self._command(reason, evidence, note)

        def seal(deposit: Deposit, _terms: Terms) -> tuple[SealedText, ...]:
            key = text_keys.cancellation_note(deposit.id, deposit.version)
            return encrypted_text.seal_text(self.vault, key, note)

        return self.commits.execute(deposit_id, command, request, effects=seal)

    def count_cancellations(self, offer_id: str) -> Mapping[tuple[str, str], int]:
        """By step and reason. Refused(NOT_FOUND) for no offer."""
        self._offer(offer_id)
        return self.tallies.of(offer_id)

    def start(
        self,
        offer_id: str,
        deposits: Sequence[str],
        reason: str,
        evidence: Sequence[str],
        note: str | None,
        request: RequestContext,
    ) -> BulkView:
        """Many at once. The answer says whether a second person must approve; a job does the rest."""
        offer, terms = self.own(offer_id, request)
        command = self._command(reason, evidence, note)
        bulk_id = digest_id("bmc", request.caller.id, str(request.caller.merchant), offer_id, request.key_text)
        known = self.bulks.get(bulk_id)
        try:
            bulks_.refuse_bulk_fields(deposits, command, terms, request.at)
        except Refused:  # rules may have changed since the first time: the same request is answered as it was then
            if known is None or not has_same_request(known.journal, request.key):
                raise
        if known is not None:
            return self._replay(known, request)
        published = cancellation_reasons.find_reasons(request.at)[reason]
        waits = published.second_approver or not self._may_cancel_alone(offer, terms, len(deposits), request.at)
        event = BulkAsked(
            request.at,
            offer_id,
            offer.made.merchant,
            request.caller.id,
            tuple(deposits),
            reason,
            command.evidence,
            command.note,
            command.note_length,
            bulks_.compute_approve_until(request.at) if waits else None,
        )
        made = bulks_.fold(bulk_id, [event])
        sealed = encrypted_text.seal_text(self.vault, text_keys.bulk_note(bulk_id), note)
        entry = Entry(event, request.at, request.caller, request.key, request.locale)

        def create() -> BulkView:
            self.bulks.create(made, entry, sealed[0] if sealed else None)
            return BulkView(made, request.at, request.locale)

        return create_or_replay(self.commits.timing, request, create, lambda stored: self._replay(stored, request))

    def own(self, offer_id: str, request: RequestContext) -> tuple[Offer, Terms]:
        """An offer of the caller's merchant, with its terms; NOT_FOUND for any other."""
        offer = self._offer(offer_id)
        if offer.made.merchant != request.caller.merchant:
            raise Refused(Reason.NOT_FOUND)
        return offer, self.commits.offers.terms(offer.made.terms_hash)

    def find(self, offer_id: str, bulk_id: str, request: RequestContext) -> BulkView:
        """Refused(NOT_FOUND) unless it is one of this merchant and this offer."""
        bulk = fold_bulk(self._load(offer_id, bulk_id, request))
        return BulkView(bulks_.catch_up(bulk, request.at), request.at, request.locale)

    def approve(self, offer_id: str, bulk_id: str, request: RequestContext) -> BulkView:
        """The second person. Refused(APPROVAL_REQUIRED) for the first one."""
        return retry_on_conflict(
            self.commits.timing,
            self._load(offer_id, bulk_id, request),
            lambda stored: self._approve(stored, request),
            lambda stored: stored,
            lambda: self._load(offer_id, bulk_id, request),
        )

    def _approve(self, stored: Stored[BulkEvent], request: RequestContext) -> BulkView:
        if find_version(stored.journal, request.key) is not None:
            return self._replay(stored, request)
        refuse_expired_request(self.commits.timing, request)
        bulk = fold_bulk(stored)
        seen = bulks_.catch_up(bulk, request.at)
        event = decide_in_order(
            lambda: bulks_.approve_bulk(seen, request.caller.id, request.at),
            lambda: refuse_stale(request, lambda: etag(seen)),
        )
        after = bulks_.evolve(bulk, event)
        self.bulks.append(stored, Entry(event, request.at, request.caller, request.key, request.locale), after)
        return BulkView(after, request.at, request.locale)

    def process_due(self, bulk_id: str, _owner: str) -> bool:
        """Cancel the next deposits for a while, and write their results. Whether anything was done.

        No lease is needed: of two workers one writes the results, and a deposit that both took was cancelled once.
        """
        began = self.clock()
        while True:
            stored = self.bulks.get(bulk_id)
            bulk = fold_bulk(stored) if stored is not None else None
            if stored is None or bulk is None or bulk.due is None or bulk.due > self.clock():
                return False
            event = self._next_event(bulk)
            if event is None:
                return False
            after = bulks_.evolve(bulk, event)
            self.bulks.append(stored, Entry(event, self.clock(), SYSTEM), after)
            if after.status is BulkStatus.DONE or self.clock() - began >= MAX_TURN_MS:
                return True

    def push_back(self, bulk_id: str, owner: str) -> int:
        """After a failure: make it due later, each time longer. How often it has failed by now."""
        stored = self.bulks.get(bulk_id)
        assert stored is not None, "what failed was there"
        failures, now = stored.failures + 1, self.clock()
        self.bulks.touch(stored, back_off(now, failures), owner=owner, until=now, now=now, failures=failures)
        return failures

    def _next_event(self, bulk: Bulk) -> BulkEvent | None:
        """A lapse waits for an approval that was sent in time and may still be on its way."""
        if bulk.status is BulkStatus.AWAITING_APPROVAL:
            return bulks_.find_lapse(bulk, self.clock() - self.commits.timing.grace_ms)
        return self._cancel_next(bulk)

    def _cancel_next(self, bulk: Bulk) -> BulkWorked:
        results = tuple(self._cancel_deposit(bulk, deposit_id) for deposit_id in bulk.left[:CHUNK_DEPOSITS])
        return BulkWorked(self.clock(), results)

    def _cancel_deposit(self, bulk: Bulk, deposit_id: str) -> Result:
        """Under a key of its own: a worker that comes after a dead one gets that one's answer."""
        by = Caller(bulk.asked.by, "merchant", bulk.asked.merchant)
        scope = f"{bulk.id}/{deposit_id}".encode()
        key = Key(_digest(scope), _digest(scope + b"/body"))
        request = RequestContext(self.clock(), by, self.commits.timing.now(), key=key)
        command = replace(bulk.command, grace_ms=self.commits.timing.grace_ms)

        def decision(deposit: Deposit, terms: Terms) -> Sequence[DepositEvent]:
            if deposit.created.offer != bulk.asked.offer:
                raise Refused(Reason.NOT_FOUND)
            return decide(deposit, command, request.at, terms)

        try:
            self.commits.run(deposit_id, request, decision)
        except Refused as refused:
            if refused.reason is Reason.BUSY:
                raise
            return Result(deposit_id, bulks_.SKIPPED, refused.reason.value)
        return Result(deposit_id, bulks_.CANCELLED)

    def _may_cancel_alone(self, offer: Offer, terms: Terms, deposits: int, at: int) -> bool:
        """Whether the offer has so many live deposits that these are few of them. Reads no more pages than it must."""
        needed = bulks_.compute_min_live_deposits(deposits, at)
        if needed is None:
            return False
        live, position, now = 0, None, self.clock()
        while live < needed:
            page = self.commits.deposits.of_offer(offer.id, index_shards(terms), PAGE_DEPOSITS, position)
            live += sum(status_at(fold_stored(stored), now) not in FINAL for stored in page.rows)
            position = page.position
            if position is None:
                break
        return live >= needed

    def _replay(self, stored: Stored[BulkEvent], request: RequestContext) -> BulkView:
        version = find_version(stored.journal, request.key)
        entry = stored.journal[version - 1] if version is not None else None
        if entry is None or entry.key != request.key:
            raise Refused(Reason.IDEMPOTENCY_KEY_REUSED)
        bulk = bulks_.fold(stored.id, (past.event for past in stored.journal[:version]))
        return BulkView(bulk, entry.received_at, entry.locale, replayed=True)

    def _command(self, reason: str, evidence: Sequence[str], note: str | None) -> MerchantCancel:
        digest = encrypted_text.digest(self.vault, note)
        return MerchantCancel(reason, tuple(evidence), digest, len(note or ""), grace_ms=self.commits.timing.grace_ms)

    def _offer(self, offer_id: str) -> Offer:
        stored = self.commits.offers.get(offer_id) if is_well_formed("off", offer_id) else None
        if stored is None:
            raise Refused(Reason.NOT_FOUND)
        return fold_offer(stored)

    def _load(self, offer_id: str, bulk_id: str, request: RequestContext) -> Stored[BulkEvent]:
        stored = self.bulks.get(bulk_id) if is_well_formed("bmc", bulk_id) else None
        asked = fold_bulk(stored).asked if stored is not None else None
        may_see = asked is not None and (request.caller.role == "platform" or asked.merchant == request.caller.merchant)
        if stored is None or asked is None or asked.offer != offer_id or not may_see:
            raise Refused(Reason.NOT_FOUND)
        return stored


def fold_bulk(stored: Stored[BulkEvent]) -> Bulk:
    return bulks_.fold(stored.id, (entry.event for entry in stored.journal))


def etag(bulk: Bulk) -> str:
    return f'"{bulk.version}-{bulk.status.value}"'


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()[:8]
