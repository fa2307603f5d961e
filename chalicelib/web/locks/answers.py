"""The shapes of disclosures and lock intents in answers."""

from typing import Annotated, Literal

from pydantic import with_config

# Before Python 3.12 pydantic reads only this one; it comes with pydantic.
from typing_extensions import TypedDict

from chalicelib.web.edge.languages import LOCALES
from chalicelib.web.edge.values import CLOSED, HashAnswer, InstantAnswer, MoneyAnswer, one_of


@with_config(CLOSED)
class DisclosureAnswer(TypedDict):
    """What the buyer must see before locking: show ``text`` as it is."""

    text: str
    amount_at_stake: MoneyAnswer
    window_ends_at: InstantAnswer | None
    locale: Annotated[str, one_of(LOCALES)]


@with_config(CLOSED)
class LockIntentAnswer(TypedDict):
    """The way to a lock: what to show, what the buyer must type, and from when until when it can be confirmed."""

    id: str
    object: Literal["lock_intent"]
    deposit: str
    disclosure: DisclosureAnswer
    disclosure_hash: HashAnswer
    acknowledgement: str
    confirmable_at: InstantAnswer
    expires_at: InstantAnswer
