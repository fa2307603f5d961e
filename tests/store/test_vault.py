"""The service's secrets: what is sealed opens under its own key only, and a token is good for its own deposit only."""

import hmac
from collections.abc import Callable
from typing import Final

import pytest
from cryptography.exceptions import InvalidTag

from chalicelib.store.vault import Vault
from tests.store.builders import fresh

OLD: Final = "correct horse battery staple 0001"
NEW: Final = "correct horse battery staple 0002"
TEXT: Final = '{"name":"Li Lei 李雷","reach":"li@example.test"}'.encode()
KEY: Final = "text#wdr_00000000000000000000000000_1#1"
DEPOSIT: Final = fresh("dep")


def token(vault: Vault, deposit_id: str = DEPOSIT) -> str:
    made = vault.token(deposit_id, vault.token_key)
    assert made is not None
    return made


# Texts.


def test_a_sealed_text_opens_under_its_key() -> None:
    vault = Vault((OLD,))
    assert vault.unseal(KEY, vault.seal(KEY, TEXT)) == TEXT


@pytest.mark.parametrize("text", [b"", b"\0", TEXT, b"x" * 100_000])
def test_the_same_text_under_the_same_key_is_the_same_bytes(text: bytes) -> None:
    """A request that is sent again is then the same request."""
    assert Vault((OLD,)).seal(KEY, text) == Vault((OLD,)).seal(KEY, text)


def test_a_sealed_text_tells_nothing_of_the_text() -> None:
    vault = Vault((OLD,))
    sealed = vault.seal(KEY, TEXT)
    assert b"Li Lei" not in sealed
    assert b"example" not in sealed
    assert OLD.encode() not in sealed
    assert vault.seal(f"{KEY}2", TEXT)[8:] != sealed[8:], "nor that two texts are the same"


WRONG: Final[dict[str, Callable[[bytes], tuple[str, bytes]]]] = {
    # what is done to a sealed text: the key that is named, and the bytes
    "another key":              lambda sealed: (KEY.replace("_1#1", "_1#2"), sealed),
    "another withdrawal":       lambda sealed: (KEY.replace("_1#1", "_2#1"), sealed),
    "a bit of the proof":       lambda sealed: (KEY, sealed[:8] + bytes([sealed[8] ^ 1]) + sealed[9:]),
    "the last bit":             lambda sealed: (KEY, sealed[:-1] + bytes([sealed[-1] ^ 1])),
    "a byte missing":           lambda sealed: (KEY, sealed[:-1]),
    "a byte too many":          lambda sealed: (KEY, sealed + b"\0"),
}  # fmt: skip


@pytest.mark.parametrize("harm", WRONG.values(), ids=WRONG)
def test_a_text_under_another_key_or_altered_does_not_open(harm: Callable[[bytes], tuple[str, bytes]]) -> None:
    vault = Vault((OLD,))
    with pytest.raises(InvalidTag):
        vault.unseal(*harm(vault.seal(KEY, TEXT)))


@pytest.mark.parametrize("sealed", [b"", b"seven b", b"8 bytes."])
def test_what_no_secret_of_ours_sealed_is_not_found(sealed: bytes) -> None:
    with pytest.raises(LookupError):
        Vault((OLD,)).unseal(KEY, sealed)


def test_without_its_secret_a_text_is_lost() -> None:
    sealed = Vault((OLD,)).seal(KEY, TEXT)
    with pytest.raises(LookupError):
        Vault((NEW,)).unseal(KEY, sealed)


# Rotation.


def test_the_first_secret_is_in_use_and_the_others_still_read() -> None:
    before, after = Vault((OLD,)), Vault((NEW, OLD))
    sealed = before.seal(KEY, TEXT)
    assert after.unseal(KEY, sealed) == TEXT
    assert after.seal(KEY, TEXT) == Vault((NEW,)).seal(KEY, TEXT) != sealed


def test_a_token_of_the_former_secret_is_good_until_that_secret_is_taken_out() -> None:
    before, after, later = Vault((OLD,)), Vault((NEW, OLD)), Vault((NEW,))
    known = token(before)
    assert after.holder(known) == DEPOSIT
    assert later.holder(known) is None
    assert after.token(DEPOSIT, before.token_key) == known, "an order that is answered again shows the same token"
    assert later.token(DEPOSIT, before.token_key) is None


def test_a_new_token_is_made_with_the_new_secret() -> None:
    after = Vault((NEW, OLD))
    assert after.token_key == Vault((NEW,)).token_key != Vault((OLD,)).token_key
    assert token(after) == token(Vault((NEW,)))


# Tokens.


def test_a_token_names_its_deposit_and_is_the_same_each_time() -> None:
    vault = Vault((OLD,))
    assert token(vault) == token(vault)
    assert vault.holder(token(vault)) == DEPOSIT
    assert token(vault).startswith(f"wdt_{DEPOSIT.removeprefix('dep_')}_")
    assert OLD not in token(vault)


OTHER: Final = fresh("dep")
BAD: Final[dict[str, Callable[[str], str]]] = {
    # what is done to a good token
    "another deposit":     lambda good: good.replace(DEPOSIT[4:], OTHER[4:]),
    "another prefix":      lambda good: good.replace("wdt_", "dep_"),
    "no prefix":           lambda good: good.removeprefix("wdt_"),
    "the last character":  lambda good: good[:-1] + ("0" if good[-1] != "0" else "1"),
    "truncated by one":    lambda good: good[:-1],
    "truncated to half":   lambda good: good[: len(good) // 2],
    "no proof":            lambda good: good.rpartition("_")[0] + "_",
    "no secret named":     lambda good: good[:31] + "_" + good.rpartition("_")[2],
    "an unknown secret":   lambda good: good.replace(good.split("_")[2], "0" * 16),
    "one character more":  lambda good: good + "0",
    "an end of line":      lambda good: good + "\n",
    "capitals":            str.upper,
    "capitals in proof":   lambda good: good.rpartition("_")[0] + "_" + "A" * 26,
    "digits of elsewhere": lambda good: good.replace(good[-1], "\u0663"),
    "letters of elsewhere": lambda good: good + "\u00e9",
    "half a character":    lambda good: good + "\ud800",
    "a zero byte":         lambda good: good + "\0",
    "two in one":          lambda good: f"{good}_{good}",
    "huge":                lambda good: good + "0" * 1_000_000,
    "many parts":          lambda good: good + "_" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("harm", BAD.values(), ids=BAD)
def test_a_token_that_is_not_ours_is_good_for_nothing(harm: Callable[[str], str]) -> None:
    vault = Vault((OLD,))
    bad = harm(token(vault))
    assert bad != token(vault)
    assert vault.holder(bad) is None


@pytest.mark.parametrize("text", ["", "_", "wdt_", "wdt__", "wdt___", "wdt_\ud800", "李雷", "a.b.c", DEPOSIT, "\0"])
def test_what_is_no_token_at_all_is_good_for_nothing(text: str) -> None:
    assert Vault((OLD,)).holder(text) is None


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def watched(ours: bytes, theirs: bytes) -> bool:
        compared.append((ours, theirs))
        return compare(ours, theirs)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    vault = Vault((OLD,))
    good = token(vault)
    bad = f"{good[:-1]}{'0' if good[-1] != '0' else '1'}"
    assert (vault.holder(good), vault.holder(bad)) == (DEPOSIT, None)
    assert compared == [(good.encode(), good.encode()), (good.encode(), bad.encode())]


def test_without_secrets_there_are_no_tokens_and_none_is_good() -> None:
    bare = Vault(())
    assert bare.token_key == ""
    assert bare.token(DEPOSIT, bare.token_key) is None
    assert bare.holder(token(Vault((OLD,)))) is None
    assert bare.holder(f"wdt_{DEPOSIT[4:]}__{'0' * 26}") is None
    with pytest.raises(LookupError):
        bare.seal(KEY, TEXT)
