"""In which language an answer speaks."""

import re
from typing import Final

from chalicelib import policies

LOCALES: Final = policies.languages()
DEFAULT: Final = "en"


def _names() -> dict[str, str]:
    """What each language may be called in the header, as its folder says."""
    return {name: locale for locale in LOCALES for name in policies.read(f"texts/{locale}/language.toml")["names"]}


NAMES: Final = {**_names(), "*": "*"}
_RANGE: Final = re.compile(r"(\*|[A-Za-z]{1,8})(?:-[A-Za-z0-9]{1,8})*")
_QUALITY: Final = re.compile(r"[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def negotiate(accept_language: str | None) -> str:
    """The best of our languages: highest quality, then the first named; what nobody named counts as ``*``."""
    wishes: dict[str, int] = {}
    for part in (accept_language or "").split(","):
        name, thousandths = _wish(part)
        wishes[name] = max(wishes.get(name, 0), thousandths)
    others = wishes.get("*", 0)
    ranked = {name: wish for name, wish in wishes.items() if name in LOCALES}
    for locale in LOCALES:
        ranked.setdefault(locale, others)
    best = max(ranked, key=lambda locale: ranked[locale])
    return best if ranked[best] else DEFAULT


def _wish(part: str) -> tuple[str, int]:
    """A language and its quality in thousandths; junk is a wish for nothing."""
    tag, _, weight = (piece.strip() for piece in part.partition(";"))
    found, quality = _RANGE.fullmatch(tag), _QUALITY.fullmatch(weight or "q=1")
    if found is None or quality is None:
        return "", 0
    return NAMES.get(found[1].lower(), ""), int(quality[1].replace(".", "").ljust(4, "0"))
