"""Questions to buyers and their answers: the words are sealed beside the journal, which keeps their digests."""

from collections.abc import Sequence

from msgspec import Struct

from chalicelib.core.common.ids import child, parse_child
from chalicelib.core.common.journal import RequestContext
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.decide import decide
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.question import Question
from chalicelib.core.merchant.question import AnswerQuestion, Ask
from chalicelib.core.policy.cancellation_reasons import QuestionKind
from chalicelib.core.policy.terms import Terms
from chalicelib.flows import encrypted_text
from chalicelib.flows.commit import Commits, Outcome
from chalicelib.flows.ports.effects import TransactionEffect
from chalicelib.flows.ports.store import Texts, Vault


class QuestionText(Struct, frozen=True):
    """What was asked and, once it was, answered."""

    asked: str
    answered: str | None = None


QuestionView = tuple[Outcome, Question, QuestionText]


class Questions(Struct, frozen=True):
    """Ask, answer, and read again."""

    commits: Commits
    texts: Texts
    vault: Vault

    def ask(self, deposit_id: str, kind: QuestionKind, text: str, asked: RequestContext) -> QuestionView:
        """A merchant's question; the clock for its answer runs from now."""
        command = Ask(kind, self.vault.fingerprint(text.encode()))
        beside: list[TransactionEffect] = []

        def decision(deposit: Deposit, terms: Terms) -> Sequence[DepositEvent]:
            key = text_key(child("qst", deposit.id, len(deposit.questions) + 1), "asked")
            beside[:] = encrypted_text.seal_text(self.vault, key, text)
            return decide(deposit, command, asked.at, terms)

        outcome = self.commits.run(deposit_id, asked, decision, beside=lambda: beside)
        return self._told(outcome, outcome.deposit.questions[-1])

    def answer(self, question_id: str, text: str, asked: RequestContext) -> QuestionView:
        """The buyer's answer."""
        deposit_id, n = _parsed(question_id)
        command = AnswerQuestion(n, self.vault.fingerprint(text.encode()))

        def decision(deposit: Deposit, terms: Terms) -> Sequence[DepositEvent]:
            return decide(deposit, command, asked.at, terms)

        beside = encrypted_text.seal_text(self.vault, text_key(question_id, "answered"), text)
        outcome = self.commits.run(deposit_id, asked, decision, beside=lambda: beside)
        return self._told(outcome, outcome.deposit.questions[n - 1])

    def find(self, question_id: str, asked: RequestContext) -> QuestionView:
        deposit_id, n = _parsed(question_id)
        outcome = self.commits.read(self.commits.load(deposit_id), asked)
        if n > len(outcome.deposit.questions):
            raise Refused(Reason.NOT_FOUND)
        return self._told(outcome, outcome.deposit.questions[n - 1])

    def of(self, deposit_id: str, asked: RequestContext) -> list[QuestionView]:
        """All of a deposit, the latest first."""
        outcome = self.commits.read(self.commits.load(deposit_id), asked)
        return self._all_told(outcome, list(reversed(outcome.deposit.questions)))

    def _told(self, outcome: Outcome, one: Question) -> QuestionView:
        [told] = self._all_told(outcome, [one])
        return told

    def _all_told(self, outcome: Outcome, questions: Sequence[Question]) -> list[QuestionView]:
        """With their words, which are read together."""
        keys = {one.n: text_keys(outcome.deposit.id, one) for one in questions}
        texts = encrypted_text.open_text(self.vault, self.texts, [key for pair in keys.values() for key in pair])
        return [(outcome, one, QuestionText(*(texts[key] for key in keys[one.n]))) for one in questions]


def text_keys(deposit_id: str, one: Question) -> list[str]:
    """Of what was asked and, once it was, answered."""
    steps = ("asked",) if one.answered_at is None else ("asked", "answered")
    return [text_key(child("qst", deposit_id, one.n), step) for step in steps]


def text_key(question_id: str, step: str) -> str:
    return f"text#{question_id}#{step}"


def _parsed(question_id: str) -> tuple[str, int]:
    parsed = parse_child("qst", question_id)
    if parsed is None:
        raise Refused(Reason.NOT_FOUND)
    return f"dep_{parsed[0]}", parsed[1]
