"""``make mutants``: each planted mistake in a copy of the tree, and how many histories it takes to notice it."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
DATA: Final = Path(__file__).with_name("mutants.toml")
COPIED: Final = ("app.py", "chalicelib", "local", "tests")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One slip: in ``file`` the text ``find`` becomes ``replace``."""

    name: str
    file: str
    find: str
    replace: str
    promise: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """``histories`` None: nobody noticed."""

    mutant: Mutant
    histories: int | None
    told: str


def mutants() -> list[Mutant]:
    return [Mutant(**one) for one in tomllib.loads(DATA.read_text("utf-8"))["mutant"]]


def planted(mutant: Mutant, folder: Path, *, bytecode: bool = False) -> None:
    """The tree with the slip in it. A text that does not stand exactly once is a stale mutant."""
    ignore = None if bytecode else shutil.ignore_patterns("__pycache__")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignore)
        else:
            shutil.copy2(source, folder / name)
    path = folder / mutant.file
    text = path.read_text("utf-8")
    if text.count(mutant.find) != 1:
        raise LookupError(f"{mutant.name}: the text stands {text.count(mutant.find)} times in {mutant.file}")
    path.write_text(text.replace(mutant.find, mutant.replace), "utf-8")


def judged(mutant: Mutant, histories: int, seed: int) -> Verdict:
    with TemporaryDirectory(prefix="earnest-mutant-") as folder:
        planted(mutant, Path(folder))
        command = [sys.executable, "-m", "tests.simulator", "--until-broken", "--histories", str(histories)]
        done = subprocess.run(
            [*command, "--seed", str(seed)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": folder},
        )
    last = (done.stdout.strip().splitlines() or [done.stderr.strip()[-160:]])[-1]
    found = re.match(r"broken after (\d+)", last)
    if done.returncode == 0:
        return Verdict(mutant, None, last)
    return Verdict(mutant, int(found[1]) if found else 0, last)


def table(verdicts: list[Verdict]) -> str:
    """The page that docs/mutants.md holds."""
    rows = [
        f"| {verdict.mutant.name} | {verdict.mutant.promise} | {verdict.histories if verdict.histories is not None else 'survived'} |"
        for verdict in verdicts
    ]
    return "\n".join(["| planted mistake | breaks | noticed after histories |", "|---|---|---|", *rows])


def main() -> int:
    """Exit status 0 only when every mutant is killed."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--histories", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="mutants whose name holds this text")
    asked = parser.parse_args()
    chosen = [mutant for mutant in mutants() if asked.only in mutant.name]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        verdicts = list(pool.map(lambda one: judged(one, asked.histories, asked.seed), chosen))
    for verdict in verdicts:
        print(f"{verdict.mutant.name}: {verdict.told}", file=sys.stderr)
    print(table(verdicts))
    survived = sum(one.histories is None for one in verdicts)
    print(f"\nmutants: {len(verdicts) - survived} of {len(verdicts)} killed")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
