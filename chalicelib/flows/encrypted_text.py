"""Texts of people: sealed beside a journal, which keeps a digest that tells nothing of the text."""

from collections.abc import Mapping, Sequence

from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.flows.ports.effects import SealedText
from chalicelib.flows.ports.store import Texts, Vault


def digest(vault: Vault, words: str | None) -> str | None:
    """The same for the same text, as long as the secret stands."""
    return vault.fingerprint(words.encode()) if words is not None else None


def seal_text(vault: Vault, key: str, words: str | None) -> tuple[SealedText, ...]:
    """To be written in the transaction of the event that has the digest; empty when there is no text."""
    return (SealedText(key, vault.seal(key, words.encode())),) if words is not None else ()


def open_texts(vault: Vault, texts: Texts, keys: Sequence[str]) -> Mapping[str, str]:
    """The texts by key, read together. Refused(NOT_FOUND) where one is missing."""
    sealed = texts.get_many(keys) if keys else {}
    if any(key not in sealed for key in keys):
        raise Refused(Reason.NOT_FOUND)
    return {key: vault.unseal(key, sealed[key]).decode() for key in keys}
