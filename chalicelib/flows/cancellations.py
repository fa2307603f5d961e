"""Cancellations by merchants: one by itself, many with a second person, and the public count of them."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.common.ids import digest_id, well_formed
from chalicelib.core.common.instants import SECOND
from chalicelib.core.common.journal import Caller, Entry, Key, RequestContext, same_request, version_of
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
from chalicelib.flows import encrypted_text
from chalicelib.flows.commit import Commits, Outcome, in_order, refuse_expired_request, refuse_stale
from chalicelib.flows.effects import SYSTEM, fold_stored
from chalicelib.flows.offers import fold as fold_offer
from chalicelib.flows.ports.effects import SealedText, Stored, TransactionEffect
from chalicelib.flows.ports.store import Bulks, Clock, Tallies, Vault, VersionConflict, WriteContention
from chalicelib.flows.retry import ConflictRetry
from chalicelib.flows.throttle import back_off

PAGE_DEPOSITS: Final = 100  # deposits read at once when the live ones of an offer are counted
CHUNK_DEPOSITS: Final = 25  # deposits judged between two notes of how far it is
MAX_TURN_MS: Final = 10 * SECOND  # that one worker gives to one bulk cancellation before it looks after others


class BulkView(Struct, frozen=True):
    """What an answer is rendered from."""

    bulk: Bulk
    at: int
    locale: str
    replayed: bool = False


class Cancellations(Struct, frozen=True):
    """What merchants do, and what everybody may count."""

    commits: Commits
    bulks: Bulks
    tallies: Tallies
    vault: Vault
    clock: Clock

    def cancel(
        self, deposit_id: str, reason: str, evidence: Sequence[str], note: str | None, asked: RequestContext
    ) -> Outcome:
        """One deposit, for a published reason."""
        command = self._command(reason, evidence, note)
        beside: list[TransactionEffect] = []

        def decision(deposit: Deposit, terms: Terms) -> Sequence[DepositEvent]:
            beside[:] = encrypted_text.seal_text(self.vault, f"text#{deposit.id}#cancelled{deposit.version}", note)
            return decide(deposit, command, asked.at, terms)

        return self.commits.run(deposit_id, asked, decision, beside=lambda: beside)

    def counted(self, offer_id: str) -> Mapping[tuple[str, str], int]:
        """By what happened and reason; NOT_FOUND for no offer."""
        self._offer(offer_id)
        return self.tallies.of(offer_id)

    def start(
        self,
        offer_id: str,
        deposits: Sequence[str],
        reason: str,
        evidence: Sequence[str],
        note: str | None,
        asked: RequestContext,
    ) -> BulkView:
        """Many at once. The answer says whether a second person must agree; a job does the rest."""
        offer, terms = self.own(offer_id, asked)
        command = self._command(reason, evidence, note)
        bulk_id = digest_id("bmc", asked.caller.id, str(asked.caller.merchant), offer_id, asked.key_text)
        known = self.bulks.get(bulk_id)
        try:
            bulks_.refuse_fields(deposits, command, terms, asked.at)
        except Refused:  # rules may have changed since the first time: the same request is answered as it was then
            if known is None or not same_request(known.journal, asked.key):
                raise
        if known is not None:
            return self._replayed(known, asked)
        published = cancellation_reasons.reasons(asked.at)[reason]
        waits = published.second_approver or not self._may_alone(offer, terms, len(deposits), asked.at)
        event = BulkAsked(
            asked.at,
            offer_id,
            offer.made.merchant,
            asked.caller.id,
            tuple(deposits),
            reason,
            command.evidence,
            command.note,
            command.note_length,
            bulks_.approve_until(asked.at) if waits else None,
        )
        made = bulks_.fold(bulk_id, [event])
        kept = encrypted_text.seal_text(self.vault, f"text#{bulk_id}#note", note)
        entry = Entry(event, asked.at, asked.caller, asked.key, asked.locale)
        return self._created(made, entry, kept[0] if kept else None, asked)

    def own(self, offer_id: str, asked: RequestContext) -> tuple[Offer, Terms]:
        """An offer of the caller's merchant, with its terms; NOT_FOUND for any other."""
        offer = self._offer(offer_id)
        if offer.made.merchant != asked.caller.merchant:
            raise Refused(Reason.NOT_FOUND)
        return offer, self.commits.offers.terms(offer.made.terms_hash)

    def find(self, offer_id: str, bulk_id: str, asked: RequestContext) -> BulkView:
        """Refused(NOT_FOUND) unless it is one of this merchant and this offer."""
        return BulkView(
            bulks_.caught_up(fold_bulk(self._load(offer_id, bulk_id, asked)), asked.at), asked.at, asked.locale
        )

    def approve(self, offer_id: str, bulk_id: str, asked: RequestContext) -> BulkView:
        """The second person. Refused(APPROVAL_REQUIRED) for the first one."""
        race = ConflictRetry(self.commits.timing)
        while True:
            try:
                return self._approved(self._load(offer_id, bulk_id, asked), asked)
            except (WriteContention, VersionConflict):
                race.wait()

    def _approved(self, stored: Stored[BulkEvent], asked: RequestContext) -> BulkView:
        if version_of(stored.journal, asked.key) is not None:
            return self._replayed(stored, asked)
        refuse_expired_request(self.commits.timing, asked)
        seen = bulks_.caught_up(fold_bulk(stored), asked.at)
        event = in_order(
            lambda: bulks_.approve(seen, asked.caller.id, asked.at), lambda: refuse_stale(asked, etag(seen))
        )
        after = bulks_.evolve(fold_bulk(stored), event)
        self.bulks.append(stored, Entry(event, asked.at, asked.caller, asked.key, asked.locale), after)
        return BulkView(after, asked.at, asked.locale)

    def attend(self, bulk_id: str, _owner: str) -> bool:
        """A job's part: judge the next deposits for a while, and write down what became of them.

        No lease is needed: of two workers one writes, and what both judged was judged once.
        """
        began = self.clock()
        while True:
            stored = self.bulks.get(bulk_id)
            bulk = fold_bulk(stored) if stored is not None else None
            if stored is None or bulk is None or bulk.due is None or bulk.due > self.clock():
                return False
            event = self._next(bulk)
            if event is None:
                return False
            after = bulks_.evolve(bulk, event)
            self.bulks.append(stored, Entry(event, self.clock(), SYSTEM), after)
            if after.status is BulkStatus.DONE or self.clock() - began >= MAX_TURN_MS:
                return True

    def push_back(self, bulk_id: str, owner: str) -> int:
        """After a failure: come back later and later. How often it has failed by now."""
        stored = self.bulks.get(bulk_id)
        assert stored is not None, "what failed was there"
        failures, now = stored.failures + 1, self.clock()
        self.bulks.touch(stored, back_off(now, failures), owner=owner, until=now, now=now, failures=failures)
        return failures

    def _next(self, bulk: Bulk) -> BulkEvent | None:
        """A lapse waits for an approval that was sent in time and may still be on its way."""
        if bulk.status is BulkStatus.AWAITING_APPROVAL:
            return bulks_.lapse(bulk, self.clock() - self.commits.timing.grace_ms)
        return self._worked(bulk)

    def _worked(self, bulk: Bulk) -> BulkWorked:
        results = tuple(self._judged(bulk, deposit_id) for deposit_id in bulk.left[:CHUNK_DEPOSITS])
        return BulkWorked(self.clock(), results)

    def _judged(self, bulk: Bulk, deposit_id: str) -> Result:
        """Each by itself, under a key of its own: who comes after a dead worker finds what that one had done."""
        by = Caller(bulk.asked.by, "merchant", bulk.asked.merchant)
        scope = f"{bulk.id}/{deposit_id}".encode()
        key = Key(_digest(scope), _digest(scope + b"/body"))
        asked = RequestContext(self.clock(), by, self.commits.timing.now(), key=key)
        command = replace(bulk.command, grace_ms=self.commits.timing.grace_ms)

        def decision(deposit: Deposit, terms: Terms) -> Sequence[DepositEvent]:
            if deposit.created.offer != bulk.asked.offer:
                raise Refused(Reason.NOT_FOUND)
            return decide(deposit, command, asked.at, terms)

        try:
            self.commits.run(deposit_id, asked, decision)
        except Refused as refused:
            if refused.reason is Reason.BUSY:
                raise
            return Result(deposit_id, bulks_.SKIPPED, refused.reason.value)
        return Result(deposit_id, bulks_.CANCELLED)

    def _may_alone(self, offer: Offer, terms: Terms, deposits: int, at: int) -> bool:
        """Whether the offer has so many live deposits that these are few of them. Looks no further than it must."""
        needed = bulks_.live_needed(deposits, at)
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

    def _created(self, made: Bulk, entry: Entry[BulkEvent], kept: SealedText | None, asked: RequestContext) -> BulkView:
        race = ConflictRetry(self.commits.timing)
        while True:
            refuse_expired_request(self.commits.timing, asked)
            try:
                self.bulks.create(made, entry, kept)
            except VersionConflict as ours:
                return self._replayed(ours.stored, asked)
            except WriteContention:
                race.wait()
            else:
                return BulkView(made, asked.at, asked.locale)

    def _replayed(self, stored: Stored[BulkEvent], asked: RequestContext) -> BulkView:
        version = version_of(stored.journal, asked.key)
        entry = stored.journal[version - 1] if version is not None else None
        if entry is None or entry.key != asked.key:
            raise Refused(Reason.IDEMPOTENCY_KEY_REUSED)
        told = bulks_.fold(stored.id, (one.event for one in stored.journal[:version]))
        return BulkView(told, entry.received_at, entry.locale, replayed=True)

    def _command(self, reason: str, evidence: Sequence[str], note: str | None) -> MerchantCancel:
        digest = encrypted_text.digest(self.vault, note)
        return MerchantCancel(reason, tuple(evidence), digest, len(note or ""), grace_ms=self.commits.timing.grace_ms)

    def _offer(self, offer_id: str) -> Offer:
        stored = self.commits.offers.get(offer_id) if well_formed("off", offer_id) else None
        if stored is None:
            raise Refused(Reason.NOT_FOUND)
        return fold_offer(stored)

    def _load(self, offer_id: str, bulk_id: str, asked: RequestContext) -> Stored[BulkEvent]:
        stored = self.bulks.get(bulk_id) if well_formed("bmc", bulk_id) else None
        told = fold_bulk(stored).asked if stored is not None else None
        mine = told is not None and (asked.caller.role == "platform" or told.merchant == asked.caller.merchant)
        if stored is None or told is None or told.offer != offer_id or not mine:
            raise Refused(Reason.NOT_FOUND)
        return stored


def fold_bulk(stored: Stored[BulkEvent]) -> Bulk:
    return bulks_.fold(stored.id, (entry.event for entry in stored.journal))


def etag(bulk: Bulk) -> str:
    return f'"{bulk.version}-{bulk.status.value}"'


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()[:8]
