"""Claims as buyers, merchants and the platform work on them: open, answer, rule, read, and list what is due next."""

from collections.abc import Sequence

from msgspec import Struct

from chalicelib.core.claims import answering
from chalicelib.core.claims.answering import Claiming
from chalicelib.core.claims.opening import OpenClaim
from chalicelib.core.common.journal import Entry, RequestContext
from chalicelib.core.deposit.claim import Claim
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.claim import ClaimEvent
from chalicelib.core.policy.terms import Terms
from chalicelib.flows import body_keys, encrypted_text, text_keys
from chalicelib.flows.child_ids import locate
from chalicelib.flows.commit import Commits
from chalicelib.flows.deposits import Position
from chalicelib.flows.images import Image, fold_image
from chalicelib.flows.ports.effects import TransactionEffect
from chalicelib.flows.ports.store import Keys, Page, Texts, Vault
from chalicelib.flows.snapshot import Outcome


class ClaimStepView(Struct, frozen=True):
    """One step of a claim, with the text that was written to it."""

    entry: Entry[DepositEvent]
    words: str | None


class ClaimView(Struct, frozen=True):
    """A claim with its deposit and its whole history, as an answer is rendered from it."""

    outcome: Outcome
    claim: Claim
    history: tuple[ClaimStepView, ...]


class Claims(Struct, frozen=True):
    """Reads and commands, each for a caller who may see the deposit."""

    commits: Commits
    keys: Keys
    texts: Texts
    vault: Vault

    def digest(self, words: str | None) -> str | None:
        """What a command holds of a text that is sealed."""
        return encrypted_text.digest(self.vault, words)

    def open(self, deposit_id: str, command: OpenClaim, statement: str, request: RequestContext) -> ClaimView:
        image, key_taken = body_keys.take_key(self.commits, self.keys, deposit_id, request)
        outcome = self._execute(image, command, statement, request, key_taken)
        return self._view(outcome, outcome.deposit.claims[-1])

    def execute(self, claim_id: str, command: Claiming, words: str | None, request: RequestContext) -> ClaimView:
        """Any answer to a claim."""
        deposit_id, n = locate("clm", claim_id)
        outcome = self._execute(self.commits.load(deposit_id), command, words, request)
        return self._view(outcome, answering.find_claim(outcome.deposit, n))

    def find(self, claim_id: str, request: RequestContext) -> ClaimView:
        deposit_id, n = locate("clm", claim_id)
        outcome = self.commits.find(deposit_id, request)
        return self._view(outcome, answering.find_claim(outcome.deposit, n))

    def list_claims(self, deposit_id: str, request: RequestContext) -> list[ClaimView]:
        """All of a deposit, the latest first."""
        outcome = self.commits.find(deposit_id, request)
        return self._views([(outcome, claim) for claim in reversed(outcome.deposit.claims)])

    def list_undecided(
        self, request: RequestContext, limit: int, position: Position
    ) -> tuple[list[ClaimView], Position]:
        """Open claims of a merchant's deposits, or of all, deposits with the earliest due time first.

        A page is so many deposits, each with its open claims; those that the clock has decided meanwhile are left out.
        """
        page = self._page(request, limit, position)
        outcomes = [self.commits.read(fold_image(stored), request) for stored in page.rows]
        undecided = [
            (outcome, claim)
            for outcome in outcomes
            for claim in sorted(outcome.deposit.open_claims, key=lambda claim: claim.due_at or 0)
            if claim.find_due_at(request.at) is not None
        ]
        return self._views(undecided), page.position

    def _page(self, request: RequestContext, limit: int, position: Position) -> Page[DepositEvent]:
        if request.caller.role == "platform":
            return self.commits.deposits.claims_everywhere(limit, position)
        return self.commits.deposits.claims_of(str(request.caller.merchant), limit, position)

    def _execute(
        self,
        image: Image,
        command: Claiming,
        words: str | None,
        request: RequestContext,
        *key_taken: TransactionEffect,
    ) -> Outcome:
        def effects(deposit: Deposit, _terms: Terms) -> tuple[TransactionEffect, ...]:
            key = text_keys.event_text(deposit.id, deposit.version + 1)
            return (*key_taken, *encrypted_text.seal_text(self.vault, key, words))

        return self.commits.execute(image.id, command, request, effects=effects, image=image)

    def _view(self, outcome: Outcome, claim: Claim) -> ClaimView:
        [view] = self._views([(outcome, claim)])
        return view

    def _views(self, rows: Sequence[tuple[Outcome, Claim]]) -> list[ClaimView]:
        """With the texts of every step, which are read together."""
        histories = [_history(outcome, claim) for outcome, claim in rows]
        keys = [key for history in histories for _, key in history if key is not None]
        texts = encrypted_text.open_texts(self.vault, self.texts, keys)
        return [
            ClaimView(
                outcome,
                claim,
                tuple(ClaimStepView(entry, texts[key] if key is not None else None) for entry, key in history),
            )
            for (outcome, claim), history in zip(rows, histories, strict=True)
        ]


def _history(outcome: Outcome, claim: Claim) -> list[tuple[Entry[DepositEvent], str | None]]:
    """The steps of a claim, each with the key of the text that was written to it."""
    return [
        (entry, text_keys.event_text(outcome.deposit.id, version) if _has_text(entry.event) else None)
        for version, entry in enumerate(outcome.journal, start=1)
        if isinstance(entry.event, ClaimEvent) and entry.event.claim == claim.n
    ]


def _has_text(event: DepositEvent) -> bool:
    return bool(getattr(event, "statement", None) or getattr(event, "reason", None))
