"""Questions to buyers and their answers: the texts are sealed, the journal keeps their digests."""

from collections.abc import Sequence

from msgspec import Struct

from chalicelib.core.common.ids import child
from chalicelib.core.common.journal import RequestContext
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.question import Question
from chalicelib.core.merchant.question import AnswerQuestion, Ask
from chalicelib.core.policy.cancellation_reasons import QuestionKind
from chalicelib.core.policy.terms import Terms
from chalicelib.flows import encrypted_text, text_keys
from chalicelib.flows.child_ids import locate
from chalicelib.flows.commit import Commits
from chalicelib.flows.ports.effects import SealedText
from chalicelib.flows.ports.store import Texts, Vault
from chalicelib.flows.snapshot import Outcome


class QuestionText(Struct, frozen=True):
    """The text of a question and, once there is one, of its answer."""

    asked: str
    answered: str | None = None


QuestionView = tuple[Outcome, Question, QuestionText]


class Questions(Struct, frozen=True):
    """Ask, answer, and read again."""

    commits: Commits
    texts: Texts
    vault: Vault

    def ask(self, deposit_id: str, kind: QuestionKind, text: str, request: RequestContext) -> QuestionView:
        """A merchant's question; its time to be answered begins at the request's instant."""
        command = Ask(kind, self.vault.fingerprint(text.encode()))

        def seal(deposit: Deposit, _terms: Terms) -> tuple[SealedText, ...]:
            question_id = child("qst", deposit.id, len(deposit.questions) + 1)
            return encrypted_text.seal_text(self.vault, text_keys.question_text(question_id, "asked"), text)

        outcome = self.commits.execute(deposit_id, command, request, effects=seal)
        return self._view(outcome, outcome.deposit.questions[-1])

    def answer(self, question_id: str, text: str, request: RequestContext) -> QuestionView:
        """The buyer's answer."""
        deposit_id, n = locate("qst", question_id)
        command = AnswerQuestion(n, self.vault.fingerprint(text.encode()))
        sealed = encrypted_text.seal_text(self.vault, text_keys.question_text(question_id, "answered"), text)
        outcome = self.commits.execute(deposit_id, command, request, effects=lambda _deposit, _terms: sealed)
        return self._view(outcome, outcome.deposit.questions[n - 1])

    def find(self, question_id: str, request: RequestContext) -> QuestionView:
        deposit_id, n = locate("qst", question_id)
        outcome = self.commits.find(deposit_id, request)
        if n > len(outcome.deposit.questions):
            raise Refused(Reason.NOT_FOUND)
        return self._view(outcome, outcome.deposit.questions[n - 1])

    def list_questions(self, deposit_id: str, request: RequestContext) -> list[QuestionView]:
        """All of a deposit, the latest first."""
        outcome = self.commits.find(deposit_id, request)
        return self._views(outcome, list(reversed(outcome.deposit.questions)))

    def _view(self, outcome: Outcome, question: Question) -> QuestionView:
        [view] = self._views(outcome, [question])
        return view

    def _views(self, outcome: Outcome, questions: Sequence[Question]) -> list[QuestionView]:
        """With their texts, which are read together."""
        keys = {question.n: _text_keys(outcome.deposit.id, question) for question in questions}
        texts = encrypted_text.open_texts(self.vault, self.texts, [key for pair in keys.values() for key in pair])
        return [(outcome, question, QuestionText(*(texts[key] for key in keys[question.n]))) for question in questions]


def _text_keys(deposit_id: str, question: Question) -> list[str]:
    """Of the question and, once there is one, of its answer."""
    steps = ("asked",) if question.answered_at is None else ("asked", "answered")
    return [text_keys.question_text(child("qst", deposit_id, question.n), step) for step in steps]
