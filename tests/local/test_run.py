"""``make run`` as a newcomer meets it: the conversations of the docs over a real socket, Ctrl-C, and all is still there."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from chalicelib.core.deposit.refund import TRANSITIONS, RefundStatus
from chalicelib.core.policy.payment_routes import Route, find_routes

README = Path(__file__).parents[2] / "README.md"
STOREFRONT = README.parent / "docs/storefront.md"
TRADE_IN = README.parent / "docs/trade-in.md"
REFUNDS = README.parent / "docs/refunds.md"
FLASH_SALES = README.parent / "docs/flash-sales.md"
GUIDES = (STOREFRONT, TRADE_IN, REFUNDS, FLASH_SALES)
READY_WITHIN = 15  # seconds, once installed
# What no two runs have in common: instants, the seconds that are left, ids and digests.
VOLATILE = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{3}Z)?|(?<='remaining_seconds': )\d+|(?:dep|ref)_\w{26}|sha256:[0-9a-f]{64}"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(port: int, state: Path) -> Iterator["subprocess.Popen[str]"]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "EARNEST_"))}
    environment |= {"PORT": str(port), "STATE_DIR": str(state)}
    house = subprocess.Popen(
        [sys.executable, "-m", "local"],
        cwd=README.parent,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_until_ready(port, house)
        yield house
    finally:
        house.terminate()  # a shell in the background has its children ignore Ctrl-C
        house.communicate(timeout=120)


def wait_until_ready(port: int, house: "subprocess.Popen[str]") -> None:
    began = time.monotonic()
    while time.monotonic() - began < READY_WITHIN:
        assert house.poll() is None, house.stdout.read() if house.stdout else ""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1) as answer:
                assert answer.status == 200
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"not ready within {READY_WITHIN} s")


def block(page: Path, language: str) -> str:
    """The page's first block in that language."""
    found = re.search(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def conversation(page: Path, base: str, folder: Path, after: str = "") -> list[str]:
    """What the page's own commands print, in a folder of their own."""
    told = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{block(page, 'bash')}{after}"],  # noqa: S607
        cwd=folder,
        env={**os.environ, "BASE": base, "PYTHONUTF8": "1", "EARNEST": str(README.parent), "PYTHON": sys.executable},
        encoding="utf-8",
        capture_output=True,
        check=False,
        timeout=600,
    )
    assert told.returncode == 0, told.stderr + told.stdout
    return told.stdout.splitlines()


def lasting(lines: Sequence[str]) -> list[str]:
    """The lines without what no two runs have in common."""
    return [VOLATILE.sub("…", line) for line in lines]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("pages", [(), pytest.param(GUIDES, marks=pytest.mark.full)], ids=["README", "all"])
def test_the_conversations_of_the_docs_work_and_survive_a_restart(tmp_path: Path, pages: Sequence[Path]) -> None:
    """One house for all pages: the storefront's goes first, since it moves the clock by a week."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with running(port, tmp_path / "state"):
        for page in pages:
            printed = conversation(page, base, tmp_path)
            assert lasting(printed) == lasting(block(page, "text").splitlines())
        lines = conversation(README, base, tmp_path, after='\necho; echo "$DEPOSIT $TOKEN"\n')
        books = json.loads(lines[-2])["data"]
        assert [(row["amount"]["amount"], row["status"]) for row in books] == [("5000", "succeeded")]
        assert lines[-3] == "succeeded"
        assert "cancelled" in lines
    deposit, token = lines[-1].split()
    with running(port, tmp_path / "state") as house:
        request = urllib.request.Request(  # noqa: S310
            f"{base}/v1/deposits/{deposit}", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            kept = json.load(answer)
        assert kept["status"] == "cancelled"
        assert kept["refund"]["status"] == "succeeded"
    assert house.returncode == 0


def test_the_tables_of_routes_and_payouts_are_the_data() -> None:
    page = REFUNDS.read_text("utf-8")
    assert rows(page, "| route |") == [row(name, route) for name, route in find_routes(0).route.items()]
    payout = find_routes(0).payout
    limits = [f"| {currency} | {least} | {payout.most[currency]} |" for currency, least in payout.least.items()]
    assert rows(page, "| currency | least |") == limits
    assert f"reported within {payout.settle_days} days, cool-down `{payout.cool_down}`" in page


def rows(page: str, head: str) -> list[str]:
    """The rows of the table that begins so."""
    return page[page.index(f"\n{head}") :].partition("\n\n")[0].strip().splitlines()[2:]


def row(name: str, route: Route) -> str:
    """How the guide tells of a route."""
    quiet = f"{route.quiet.from_} to {route.quiet.to} UTC+{route.quiet.ahead_of_utc}" if route.quiet else "none"
    cells = (
        f"`{name}`",
        "yes" if route.to_source else "no",
        "yes" if route.partial else "no",
        "later" if route.asynchronous else "at once",
        f"{route.window_days} days" if route.window_days else "no limit known",
        quiet,
        f"{route.settle_days} days",
    )
    return f"| {' | '.join(cells)} |"


def test_the_life_of_a_refund_is_drawn_from_its_transitions() -> None:
    drawn = set(re.findall(r"^    (\w+) --> (\w+)", block(REFUNDS, "mermaid"), re.MULTILINE))
    assert drawn <= {(before.value, after.value) for (before, _), after in TRANSITIONS.items()}
    assert {state for arrow in drawn for state in arrow} == set(RefundStatus)


def test_a_busy_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = subprocess.run(
            [sys.executable, "-m", "local"],
            cwd=README.parent,
            env={**os.environ, "PORT": str(port), "STATE_DIR": str(tmp_path)},
            text=True,
            capture_output=True,
            check=False,
            timeout=120,
        )
    assert told.returncode == 1
    assert f"Port {port} is taken" in told.stderr
