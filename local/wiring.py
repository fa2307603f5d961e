"""The services over the sandbox provider: its clock, its books in a second table, and no grace.

Deployed containers are built by ``chalicelib.wiring`` and hold none of this.
"""

import os
from typing import Any, Final

from chalicelib.flows.ports.provider import Settlement
from chalicelib.flows.retry import Timing
from chalicelib.gateways.sandbox.books import Books
from chalicelib.gateways.sandbox.provider import Sandbox
from chalicelib.gateways.settlement_file import SettlementFile
from chalicelib.store.schema import create_tables
from chalicelib.wiring import Services, Settings, assembled, dynamodb, machine_clock, pause, settings

# The sandbox's clock moves only between requests, so no request asked before a deadline is still running after it.
GRACE_MS: Final = 0


def sandbox_settings() -> Settings:
    """What the environment says, without limits of requests unless it names some."""
    return settings(default_writes=None, default_reads=None)


def books_table(table: str) -> str:
    """The sandbox's own table beside the service's."""
    return f"{table}-sandbox"


def make_tables(client: Any, table: str) -> None:
    """Create what is missing."""
    create_tables(client, table, books_table(table))


def build_sandbox(found: Settings, client: Any, settlement: str = "list") -> Services:
    """The services over a sandbox; the rules follow the sandbox's clock. ``settlement`` is ``list`` or ``csv``."""
    sandbox = Sandbox(Books(client, books_table(found.table)), machine_clock)
    timing = Timing(now=machine_clock, pause=pause, grace_ms=GRACE_MS)
    return assembled(
        found,
        client,
        timing,
        sandbox,
        _settlement(sandbox, settlement),
        sandbox.now,
        at=lambda received: received + sandbox.offset,
    )


def build_from_environment() -> Services:
    """Create the tables that are missing, and build over them."""
    found, client = sandbox_settings(), dynamodb()
    make_tables(client, found.table)
    return build_sandbox(found, client, os.environ.get("EARNEST_SETTLEMENT", "list"))


def sandbox_of(services: Services) -> Sandbox:
    """The provider that the services were built over."""
    assert isinstance(services.provider, Sandbox), "built by build_sandbox"
    return services.provider


def _settlement(sandbox: Sandbox, kind: str) -> Settlement:
    """The sandbox's list, or the file that it writes."""
    if kind == "csv":
        return SettlementFile(sandbox.settlement_csv, sandbox.settle_days)
    return sandbox
