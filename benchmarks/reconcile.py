"""Reconciliation of 10^3 to 10^6 lines: lines a second on one core, peak memory, and a certificate that survives a kill."""

import json
import random
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

from msgspec.structs import replace

from benchmarks.books import END, START, Books, Index, Journals, Killed, Report, RunStore, SilentProvider, start_store
from chalicelib.core.common.instants import HOUR
from chalicelib.core.common.journal import Caller, Entry
from chalicelib.core.reconciliation import run as runs
from chalicelib.core.reconciliation.run import RunFinished
from chalicelib.flows.reconciliation.matching import Matcher
from chalicelib.flows.reconciliation.worker import RunWorker
from chalicelib.store.movements import Movements

NOW: Final = END + 12 * HOUR
SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
RUN_ID: Final = "rec_" + "0" * 26
MEBIBYTE: Final = 1 << 20
MIN_LINES_PER_SECOND: Final = 40_000  # lines a second that the design asks for
MAX_PEAK_PERCENT: Final = 120  # percent of the memory at 10^4 that 10^6 may take


def build_worker(books: Books) -> tuple[RunWorker, RunStore]:
    """The flow as it is deployed, between two sides made on the way."""
    event = runs.start_run(NOW, START, END)
    store: Any = start_store(runs.fold_run(RUN_ID, [event]), Entry(event, NOW, Caller("bench", "service")))
    deposits: Any = Journals(Movements(Index(books), "bench").lines)
    commits: Any = SimpleNamespace(deposits=deposits)
    worker: Any = SilentProvider()
    matcher = Matcher(commits, Report(books), worker, lambda: None)
    flow = RunWorker(store, deposits, Report(books), matcher, lambda: NOW, lambda: None)
    return flow, store


def certificate(flow: RunWorker, store: RunStore) -> RunFinished:
    flow.work("bench", lambda: 900_000, 0)
    assert store.finished is not None, "a run that nobody disturbs ends"
    return store.finished


def rate(lines: int) -> dict[str, int]:
    """Lines of each side compared in a second of this core, and whether exactly what was planted was found.

    Reading a page counts, as bytes or as DynamoDB's answer; making it does not.
    """
    books = Books(lines)
    flow, store = build_worker(books)
    before = time.process_time_ns()
    done = certificate(flow, store)
    spent = time.process_time_ns() - before - books.made_ns
    return {
        "lines": done.provider,
        "per_second": done.provider * 1_000_000_000 // spent,
        "exact": _exact(lines, done, store),
    }


def _exact(lines: int, done: RunFinished, store: RunStore) -> bool:
    planted = Books(lines).planted_breaks()
    young = planted.pop("in_transit")
    return store.found == Counter({kind: n for kind, n in planted.items() if n}) and done.in_transit == young


def peak(lines: int) -> int:
    """Bytes at the highest point, beyond what was there before."""
    flow, store = build_worker(Books(lines))
    tracemalloc.start()
    certificate(flow, store)
    return tracemalloc.get_traced_memory()[1]


def survives(lines: int, kills: int) -> bool:
    """Killed at random checkpoints and gone on with: the same certificate, and every break once."""
    unbroken_flow, unbroken = build_worker(Books(lines))
    expected = certificate(unbroken_flow, unbroken)
    dice = random.Random(lines)  # noqa: S311 - where a machine dies, not a secret
    flow, store = build_worker(Books(lines))
    for _ in range(kills):
        store.fuse = dice.randrange(1, max(unbroken.checkpoints // kills, 2))
        try:
            certificate(flow, store)
        except Killed:
            continue
    store.fuse = -1
    done = store.finished or certificate(flow, store)
    return replace(done, at=expected.at) == expected and (store.found, store.chain) == (unbroken.found, unbroken.chain)


def run_alone(what: str, lines: int) -> Any:
    """In a process of its own, so that no run warms or burdens another."""
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.reconcile", what, str(lines)], capture_output=True, text=True, check=True
    )
    return json.loads(result.stdout)


def main() -> int:
    """Print the table; the exit status says whether the promises hold."""
    print("recon      lines     lines/s   peak MiB   planted found, none invented")
    peaks: dict[int, int] = {}
    fine = True
    for lines in SIZES:
        measured = run_alone("rate", lines)
        peaks[lines] = run_alone("peak", lines)
        fine = fine and measured["exact"] and (lines < SIZES[1] or measured["per_second"] >= MIN_LINES_PER_SECOND)
        shown = f"{peaks[lines] * 10 // MEBIBYTE // 10}.{peaks[lines] * 10 // MEBIBYTE % 10}"
        print(
            f"      {measured['lines']:>10}  {measured['per_second']:>10}  {shown:>9}   {'yes' if measured['exact'] else 'NO'}"
        )
    ratio = peaks[SIZES[-1]] * 100 // peaks[SIZES[1]]
    survived = run_alone("survives", SIZES[2])
    print(
        f"      peak at 10^6 is {ratio} % of that at 10^4; killed 12 times and resumed, equal: {'yes' if survived else 'NO'}"
    )
    return 0 if fine and survived and ratio <= MAX_PEAK_PERCENT else 1


ALONE: Final[dict[str, Callable[[int], Any]]] = {
    "rate": rate,
    "peak": peak,
    "survives": lambda lines: survives(lines, 12),
}

if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(ALONE[sys.argv[1]](int(sys.argv[2]))))
    else:
        sys.exit(main())
