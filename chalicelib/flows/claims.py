"""Claims as buyers, merchants and the platform work on them: open, answer, rule, read, and see what is due next."""

from collections.abc import Sequence

from msgspec import Struct

from chalicelib.core.claims import answering
from chalicelib.core.claims.answering import Claiming
from chalicelib.core.claims.opening import OpenClaim
from chalicelib.core.common.ids import child, parse_child
from chalicelib.core.common.journal import Entry, RequestContext
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.decide import decide
from chalicelib.core.deposit.claim import Claim
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.claim import ClaimEvent
from chalicelib.core.policy.terms import Terms
from chalicelib.flows import body_keys, encrypted_text
from chalicelib.flows.commit import Commits, Outcome
from chalicelib.flows.deposits import Position
from chalicelib.flows.ports.effects import Stored, TransactionEffect
from chalicelib.flows.ports.store import Keys, Page, Texts, Vault


class ClaimStepView(Struct, frozen=True):
    """One step of a claim, with what was written to it."""

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
        """What a command says of the words that are kept beside it."""
        return encrypted_text.digest(self.vault, words)

    def open(self, deposit_id: str, command: OpenClaim, statement: str, asked: RequestContext) -> ClaimView:
        stored, taken = body_keys.take_key(self.commits, self.keys, deposit_id, asked)
        outcome = self._run(stored, command, statement, asked, taken)
        return self._told(outcome, outcome.deposit.claims[-1])

    def run(self, claim_id: str, command: Claiming, words: str | None, asked: RequestContext) -> ClaimView:
        """Any answer to a claim."""
        deposit_id, n = _parsed(claim_id)
        outcome = self._run(self.commits.load(deposit_id), command, words, asked)
        return self._told(outcome, answering.numbered(outcome.deposit, n))

    def find(self, claim_id: str, asked: RequestContext) -> ClaimView:
        deposit_id, n = _parsed(claim_id)
        outcome = self.commits.read(self.commits.load(deposit_id), asked)
        return self._told(outcome, answering.numbered(outcome.deposit, n))

    def of(self, deposit_id: str, asked: RequestContext) -> list[ClaimView]:
        """All of a deposit, the latest first."""
        outcome = self.commits.read(self.commits.load(deposit_id), asked)
        return self._all_told([(outcome, one) for one in reversed(outcome.deposit.claims)])

    def undecided(self, asked: RequestContext, limit: int, position: Position) -> tuple[list[ClaimView], Position]:
        """Open claims of a merchant's deposits, or of all, deposits with the earliest due time first.

        A page is so many deposits, each with its open claims; what the clock has decided meanwhile is left out.
        """
        page = self._page(asked, limit, position)
        outcomes = [self.commits.read(stored, asked) for stored in page.rows]
        found = [
            (outcome, one)
            for outcome in outcomes
            for one in sorted(outcome.deposit.open_claims, key=lambda one: one.due_at or 0)
            if one.due_at_by(asked.at) is not None
        ]
        return self._all_told(found), page.position

    def _page(self, asked: RequestContext, limit: int, position: Position) -> Page[DepositEvent]:
        if asked.caller.role == "platform":
            return self.commits.deposits.claims_everywhere(limit, position)
        return self.commits.deposits.claims_of(str(asked.caller.merchant), limit, position)

    def _run(
        self,
        stored: Stored[DepositEvent],
        command: Claiming,
        words: str | None,
        asked: RequestContext,
        *taken: TransactionEffect,
    ) -> Outcome:
        beside: list[TransactionEffect] = [*taken]

        def decision(deposit: Deposit, terms: Terms) -> Sequence[DepositEvent]:
            key = text_key(deposit.id, deposit.version + 1)
            beside[len(taken) :] = encrypted_text.seal_text(self.vault, key, words)
            return decide(deposit, command, asked.at, terms)

        return self.commits.run(stored.id, asked, decision, beside=lambda: beside, stored=stored)

    def _told(self, outcome: Outcome, one: Claim) -> ClaimView:
        [told] = self._all_told([(outcome, one)])
        return told

    def _all_told(self, found: Sequence[tuple[Outcome, Claim]]) -> list[ClaimView]:
        """With the words of every step, which are read together."""
        histories = [_history(outcome, one) for outcome, one in found]
        keys = [key for history in histories for _, key in history if key is not None]
        texts = encrypted_text.open_text(self.vault, self.texts, keys)
        return [
            ClaimView(
                outcome,
                one,
                tuple(ClaimStepView(entry, texts[key] if key is not None else None) for entry, key in history),
            )
            for (outcome, one), history in zip(found, histories, strict=True)
        ]


def _history(outcome: Outcome, one: Claim) -> list[tuple[Entry[DepositEvent], str | None]]:
    """The steps of a claim, each with the key of what was written to it."""
    return [
        (entry, text_key(outcome.deposit.id, version) if _has_words(entry.event) else None)
        for version, entry in enumerate(outcome.journal, start=1)
        if isinstance(entry.event, ClaimEvent) and entry.event.claim == one.n
    ]


def _has_words(event: DepositEvent) -> bool:
    return bool(getattr(event, "statement", None) or getattr(event, "reason", None))


def text_key(deposit_id: str, version: int) -> str:
    """What was written with the deposit's event of that version."""
    return f"text#{child('evt', deposit_id, version)}"


def _parsed(claim_id: str) -> tuple[str, int]:
    parsed = parse_child("clm", claim_id)
    if parsed is None:
        raise Refused(Reason.NOT_FOUND)
    return f"dep_{parsed[0]}", parsed[1]
