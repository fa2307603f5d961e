"""The declaration of a command on a deposit."""

from typing import Any, Final, Unpack

from chalicelib.web.deposits.answers import DepositAnswer
from chalicelib.web.deposits.common import check_deposit_access
from chalicelib.web.edge.declare import command
from chalicelib.web.edge.route import Decorator, Options, Routes

DEPOSIT: Final = "/v1/deposits/{deposit_id}"
BUYER: Final = {"buyer"}


def deposit_command(
    routes: Routes,
    action: str,
    summary: str,
    answer: Any = DepositAnswer,
    *,
    status: int = 200,
    **options: Unpack[Options],
) -> Decorator:
    """POST to ``action`` under a deposit that the caller may see; by default for the buyer, who gets the whole deposit."""
    options.setdefault("roles", BUYER)
    options.setdefault("guard", check_deposit_access)
    return command(routes, f"{DEPOSIT}/{action}", summary, answer, status=status, **options)
