"""Tokens of the people in histories. No token's bytes enter a trace."""

import time
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

from chalicelib.web.edge.tokens import Verifier
from local.issuer import Issuer


@cache
def issuer() -> Issuer:
    """One key for all histories of a process."""
    return Issuer.at(Path(mkdtemp(prefix="earnest-simulator-")))


@cache
def token(role: str, sub: str, merchant: str | None = None) -> str:
    """By the only real clock here: tokens are checked by the machine's."""
    return issuer().token(role, sub, merchant, int(time.time()))


_proved: Final[dict[str, dict[str, Any]]] = {}
_prove: Final = Verifier._claims


def proved_once(verifier: Verifier, token: str) -> dict[str, Any]:
    """Tokens are tried in tests/web; here a process proves each one once, or that alone were an eighth of its work."""
    if token not in _proved:
        _proved[token] = _prove(verifier, token)
    return _proved[token]
