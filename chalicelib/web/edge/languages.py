"""Content negotiation: the language of the texts in an answer."""

import re
from typing import Final

from chalicelib import policies

LOCALES: Final = policies.languages()
DEFAULT: Final = "en"


def _names() -> dict[str, str]:
    """The language of each name that the header may give it, as the language's folder lists them."""
    return {name: locale for locale in LOCALES for name in policies.read(f"texts/{locale}/language.toml")["names"]}


NAMES: Final = {**_names(), "*": "*"}
_RANGE: Final = re.compile(r"(\*|[A-Za-z]{1,8})(?:-[A-Za-z0-9]{1,8})*")
_QUALITY: Final = re.compile(r"[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def negotiate(accept_language: str | None) -> str:
    """The best of our languages: highest quality, then the first named; a language that is not named counts as ``*``."""
    qualities: dict[str, int] = {}
    for part in (accept_language or "").split(","):
        name, thousandths = _read_range(part)
        qualities[name] = max(qualities.get(name, 0), thousandths)
    others = qualities.get("*", 0)
    ranked = {name: quality for name, quality in qualities.items() if name in LOCALES}
    for locale in LOCALES:
        ranked.setdefault(locale, others)
    best = max(ranked, key=lambda locale: ranked[locale])
    return best if ranked[best] else DEFAULT


def _read_range(part: str) -> tuple[str, int]:
    """A language and its quality in thousandths; ``("", 0)`` for what cannot be read."""
    tag, _, weight = (piece.strip() for piece in part.partition(";"))
    language, quality = _RANGE.fullmatch(tag), _QUALITY.fullmatch(weight or "q=1")
    if language is None or quality is None:
        return "", 0
    return NAMES.get(language[1].lower(), ""), int(quality[1].replace(".", "").ljust(4, "0"))
