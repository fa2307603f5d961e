"""Validity and reminders of priority passes. Figures and their source: policies/priority.toml."""

from functools import cache

from chalicelib import policies
from chalicelib.core.common import instants
from chalicelib.core.common.fields import Duration, Frozen, lists_to_tuples


class PassRules(Frozen):
    """The whole file."""

    source: str
    version: str
    valid: Duration
    remind_before: tuple[Duration, ...]
    reserve_lasts: Duration


@cache
def pass_rules() -> PassRules:
    return PassRules.model_validate(lists_to_tuples(policies.read("priority.toml")))


def reserve_ends_at(opens_at: int) -> int:
    """From then on the units kept for passes are everybody's."""
    return opens_at + instants.duration_ms(pass_rules().reserve_lasts)
