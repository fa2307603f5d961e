"""Examples of locking: the disclosure, the lock, and taking it back."""

from msgspec.structs import asdict

from chalicelib.core.common.instants import duration_ms
from chalicelib.core.locking.lock import Unlock
from chalicelib.web.edge.route import Example
from chalicelib.web.locks import render as locks_render
from chalicelib.web.service import stories
from chalicelib.web.service.stories import (
    ORDERED,
)


def intended() -> Example:
    deposit = stories.intended().deposit
    return Example({"what to show": locks_render.lock_intent(deposit, deposit.intents[-1])})


def locked() -> Example:
    return Example({"locked": stories.locked().shown()}, asdict(stories.confirmation(stories.intended())))


def unlocked() -> Example:
    story = stories.paid("su7_founders_2024").then(Unlock(), ORDERED + duration_ms("PT30M"))
    return Example({"lock taken back": story.shown()})
