"""The envelope of an event: caller, time, idempotency key; and how to find the entry of a key."""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

# Revision of the rendering of answers: fields, their order, texts. A replayed key gives the same bytes only within one
# revision, so every change of an answer or a text raises it.
RENDERER = 5


class Event(Protocol):
    """A fact. ``at`` is its instant in milliseconds; its version is its place in the journal, counted from 1."""

    @property
    def at(self) -> int: ...


E_co = TypeVar("E_co", bound=Event, covariant=True)


class Caller(Struct, frozen=True):
    """Who sends a request: a pseudonymous id, a role, and for a merchant's staff the merchant."""

    id: str
    role: str
    merchant: str | None = None


class Key(Struct, frozen=True):
    """Two 8-byte digests of a request with an idempotency key: ``scope`` over caller, route and key; ``body`` over the body."""

    scope: bytes
    body: bytes


class RequestContext(Struct, frozen=True):
    """One request as the rules see it. ``at`` is the instant at which the request arrived.

    ``received`` is the same instant on the machine's clock, to measure the age of the request. ``key_text`` is the
    idempotency key as sent, from which ids of created things are computed; empty without a key.
    """

    at: int
    caller: Caller
    received: int
    locale: str = "en"
    key: Key | None = None
    key_text: str = ""
    if_match: str | None = None


class Entry(Struct, Generic[E_co], frozen=True):
    """An event in a journal with its envelope."""

    event: E_co
    received_at: int
    by: Caller
    key: Key | None = None
    locale: str = "en"
    renderer: int = RENDERER


def find_version(journal: Sequence[Entry[E_co]], key: Key | None) -> int | None:
    """The version written for the key; None without a key or when the journal does not hold it."""
    if key is None:
        return None
    for version, entry in enumerate(journal, start=1):
        if entry.key is not None and entry.key.scope == key.scope:
            return version
    return None


def has_same_request(journal: Sequence[Entry[E_co]], key: Key | None) -> bool:
    """Whether the journal holds the key with the same body."""
    version = find_version(journal, key)
    return version is not None and journal[version - 1].key == key
