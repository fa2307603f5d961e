"""``make simulate``: histories from seeds, one closing line; a violated promise prints a short script to play it again."""

import argparse
import hashlib
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from tests.simulator.faults import CLASSES, Faults
from tests.simulator.history import History
from tests.simulator.plan import Plan, make

CHUNK: Final = 20  # histories that a worker plays before it reports
SHRINK_TRIES: Final = 400


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one history came to."""

    seed: int
    hits: dict[str, int]
    violations: tuple[str, ...]
    digest: str


def play(plan: Plan, *, calm: bool = False) -> History:
    """One history of a plan, under the fault rates of its seed."""
    faults = Faults.drawn(Random(f"faults/{plan.seed}"))
    faults.off = calm
    return History(plan, faults).play()


def outcome(seed: int) -> Outcome:
    history = play(make(seed))
    return Outcome(seed, dict(history.faults.hits), tuple(history.invariants.violations), history.digest())


def outcomes(seeds: range, workers: int) -> list[Outcome]:
    """In the order of the seeds, whoever played them; what broke is told at once."""
    if workers == 1:
        return [_told(outcome(seed)) for seed in seeds]
    with ProcessPoolExecutor(workers) as pool:
        return [_told(one) for one in pool.map(outcome, seeds, chunksize=CHUNK)]


def _told(one: Outcome) -> Outcome:
    if one.violations:
        print(f"seed {one.seed}: {one.violations[0][:160]}", file=sys.stderr, flush=True)
    return one


def shrunk(plan: Plan) -> Plan:
    """The fewest actions that still break a promise: whole actions are dropped, greedily, in halves and then singly."""
    tries = 0
    size = max(len(plan.actions) // 2, 1)
    while size and tries < SHRINK_TRIES:
        start = 0
        while start < len(plan.actions) and tries < SHRINK_TRIES:
            kept = plan.actions[:start] + plan.actions[start + size :]
            tries += 1
            if kept and play(replace(plan, actions=kept)).invariants.violations:
                plan = replace(plan, actions=kept)
            else:
                start += size
        size //= 2
    return plan


def script(plan: Plan) -> str:
    """What to read first when a promise broke: the actions left, the violations and the timeline."""
    history = play(plan)
    rates = {name: rate for name, rate in history.faults.rates.items() if rate and history.faults.hits[name]}
    lines = [
        f"seed {plan.seed}, shrunk to {len(plan.actions)} actions; faults that struck: {rates}",
        *(action.told() for action in plan.actions),
        *(f"  ! {violation}" for violation in history.invariants.violations[:5]),
        *(f"    {line}" for line in history.scheduler.trace[-60:]),
    ]
    return "\n".join(lines)


def closing_line(found: list[Outcome]) -> str:
    hits: Counter[str] = Counter()
    for one in found:
        hits.update(one.hits)
    violations = sum(bool(one.violations) for one in found)
    digest = hashlib.sha256("".join(one.digest for one in found).encode()).hexdigest()
    return (
        f"simulate: {len(found)} histories, {sum(hits.values())} faults in {len(hits)} classes, "
        f"{violations} violations, trace sha256:{digest}"
    )


def never_struck(found: list[Outcome]) -> list[str]:
    """Fault classes without a hit: a simulator that no longer does what it says."""
    hits = {name for one in found for name in one.hits}
    return [name for name in CLASSES if name not in hits]


def until_broken(seeds: range) -> int:
    """For mutants: how many histories it takes to notice. A crash of the simulation counts as noticing, too."""
    for number, seed in enumerate(seeds, start=1):
        try:
            violations = outcome(seed).violations
        except Exception as crash:  # noqa: BLE001 - whatever a mutant breaks
            violations = (f"crashed: {crash!r}",)
        if violations:
            print(f"broken after {number} histories: {violations[0][:160]}")
            return 1
    print(f"held for {len(seeds)} histories")
    return 0


def main() -> int:
    """Exit status 0 only when every promise held and, in a run of some size, every class of fault struck."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--histories", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--until-broken", action="store_true", help="stop at the first violation, in one process")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    first = asked.seed * 1_000_000
    if asked.until_broken:
        return until_broken(range(first, first + asked.histories))
    found = outcomes(range(first, first + asked.histories), asked.workers)
    missed = never_struck(found) if asked.histories >= LEAST_FOR_ALL_CLASSES else []
    broken = [one for one in found if one.violations]
    if broken:
        print(script(shrunk(make(broken[0].seed))))
    if missed:
        print(f"no hit in: {', '.join(missed)}")
    print(closing_line(found))
    return 1 if broken or missed else 0


LEAST_FOR_ALL_CLASSES: Final = 200


if __name__ == "__main__":
    sys.exit(main())
