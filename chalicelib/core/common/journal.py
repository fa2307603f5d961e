"""What surrounds every event: who asked, when, under which key; and how a key is found again."""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

# The revision of everything that turns a state into an answer: fields, their order, and the texts. Replays promise
# the same bytes only while this number stands, so a change of an answer or of a text raises it.
RENDERER = 5


class Event(Protocol):
    """A fact that happened. ``at`` is its instant in milliseconds; its version is its place in the journal."""

    @property
    def at(self) -> int: ...


E_co = TypeVar("E_co", bound=Event, covariant=True)


class Caller(Struct, frozen=True):
    """Who asks: an id that names no person, a role, and for a merchant's staff their merchant."""

    id: str
    role: str
    merchant: str | None = None


class Key(Struct, frozen=True):
    """The two 8-byte digests of a retry-safe request: who asked what under which key, and the body as sent."""

    scope: bytes
    body: bytes


class RequestContext(Struct, frozen=True):
    """One request as the rules see it. ``at`` is the instant at which it reached the edge, never the wall clock.

    ``received`` is the same instant on the machine's own clock: how old the request is by now. ``key_text`` is the
    idempotency key as sent; ids of creations come from it.
    """

    at: int
    caller: Caller
    received: int
    locale: str = "en"
    key: Key | None = None
    key_text: str = ""
    if_match: str | None = None


class Entry(Struct, Generic[E_co], frozen=True):
    """One place in a journal: the event and its envelope."""

    event: E_co
    received_at: int
    by: Caller
    key: Key | None = None
    locale: str = "en"
    renderer: int = RENDERER


def find_version(journal: Sequence[Entry[E_co]], key: Key | None) -> int | None:
    """The version that the key's request led to, or None when this journal has not seen the key."""
    if key is None:
        return None
    for version, entry in enumerate(journal, start=1):
        if entry.key is not None and entry.key.scope == key.scope:
            return version
    return None


def has_same_request(journal: Sequence[Entry[E_co]], key: Key | None) -> bool:
    """Whether the journal has seen this very request: the key with the same body."""
    version = find_version(journal, key)
    return version is not None and journal[version - 1].key == key
