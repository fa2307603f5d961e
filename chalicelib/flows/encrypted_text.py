"""What people write: sealed beside a journal, which keeps a digest that tells nothing of it."""

from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.flows.ports.effects import SealedText
from chalicelib.flows.ports.store import Texts, Vault


def digest(vault: Vault, words: str | None) -> str | None:
    """The same for the same words, as long as the secret stands."""
    return vault.fingerprint(words.encode()) if words is not None else None


def seal_text(vault: Vault, key: str, words: str | None) -> tuple[SealedText, ...]:
    """To be written in the transaction of the event that has the digest; nothing where nothing was said."""
    return (SealedText(key, vault.seal(key, words.encode())),) if words is not None else ()


def open_text(vault: Vault, texts: Texts, key: str) -> str:
    """Refused(NOT_FOUND) where nothing stands."""
    sealed = texts.get(key)
    if sealed is None:
        raise Refused(Reason.NOT_FOUND)
    return vault.unseal(key, sealed).decode()
