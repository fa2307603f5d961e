"""Validity and reminders of priority passes. Figures and their source: policies/priority, by date."""

from chalicelib.core.common import instants
from chalicelib.core.common.fields import Duration
from chalicelib.core.policy import dated
from chalicelib.core.policy.dated import Source, Version


class PassRules(Version):
    """One version of policies/priority."""

    source: Source
    version: str
    valid: Duration
    remind_before: tuple[Duration, ...]
    reserve_lasts: Duration


def find_pass_rules(at: int) -> PassRules:
    return dated.find_version("priority", PassRules, at)


def compute_reserve_end(opens_at: int) -> int:
    """When the units reserved for passes are released to all buyers, for a sale that opens at ``opens_at``."""
    return opens_at + instants.duration_ms(find_pass_rules(opens_at).reserve_lasts)
