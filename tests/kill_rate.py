"""``make killrate``: each planted mistake in a copy of the tree, and the quick test that notices it first.

The tests that are likely to notice run first and by themselves; the other quick tests run only where those saw nothing.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.simulator.mutants import COPIED, ROOT, Mutant, mutants, planted

# These compare the tree with itself: they notice that a text was changed, not that the service does wrong.
ABOUT_THE_TREE: Final = ("test_house.py", "test_kill_rate.py")
ABOUT_THE_MUTANTS: Final = "tests/simulator/test_simulator.py::test_a_mutant_still_fits_its_file"
LIKELY: Final = 14  # files of tests that are asked first
FOLDERS: Final = ("core", "flows", "store", "jobs", "gateways", "contracts", "simulator", "web", "local")
NOTICED: Final = re.compile(r"^(?:FAILED|ERROR) (\S.*?)(?: - .*)?$", re.MULTILINE)
TEST_SECONDS: Final = 120
MUTANT_SECONDS: Final = 1_500


@dataclass(frozen=True, slots=True)
class Verdict:
    """``killer`` None: no quick test noticed."""

    mutant: Mutant
    killer: str | None
    seconds: float

    def told(self) -> str:
        result = f"killed by {self.killer}" if self.killer else "survived"
        return f"{self.mutant.name} ({self.mutant.file}): {result}, {self.seconds:.0f} s"


def files_of_tests() -> list[Path]:
    """The files of tests in the order of their folders, what is quick first."""
    found = (path for path in (ROOT / "tests").rglob("test_*.py") if path.name not in ABOUT_THE_TREE)
    return sorted(found, key=lambda path: (_place(path), path))


def likely(mutant: Mutant) -> list[Path]:
    """The files of tests that name the module, best first: by their own name, by imports, by mentions."""
    module = Path(mutant.file)
    word = re.compile(rf"(?<![a-z]){re.escape(module.stem)}(?![a-z])")
    ring, package = ".".join(module.with_suffix("").parts), ".".join(module.parent.parts)

    def score(path: Path) -> int:
        text = _text(path)
        same = 8 if word.search(path.stem) else 0
        imported = 4 if f"{ring} import" in text or f"{package} import {module.stem}" in text else 0
        return same + imported + (2 if path.parent.name in module.parts else 0) + bool(word.search(text))

    files = files_of_tests()
    scores = {path: score(path) for path in files}
    return sorted((path for path in files if scores[path] > 1), key=lambda path: -scores[path])[:LIKELY]


def stages(mutant: Mutant) -> Iterator[list[Path]]:
    """What is run one after the other until something fails: the likely tests, then folder by folder."""
    first = likely(mutant)
    if first:
        yield first
    others = [path for path in files_of_tests() if path not in first]
    for folder in range(len(FOLDERS) + 1):
        if found := [path for path in others if _place(path) == folder]:
            yield found


def judged(mutant: Mutant) -> Verdict:
    began = time.monotonic()
    with TemporaryDirectory(prefix="earnest-mutant-") as name:
        folder = Path(name)
        planted(mutant, folder, bytecode=True)
        for entry in ROOT.iterdir():
            if entry.name not in COPIED and entry.name not in {".git", ".venv", ".hypothesis"}:
                (folder / entry.name).symlink_to(entry)
        for files in stages(mutant):
            if killer := _noticed(folder, files):
                return Verdict(mutant, killer, time.monotonic() - began)
    return Verdict(mutant, None, time.monotonic() - began)


def _noticed(folder: Path, files: list[Path]) -> str | None:
    """The first test that fails, or None. A run that does not come to its end has noticed something, too."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "--tb=no", "-p", "no:cacheprovider"]
    command += ["-p", "no:randomly", f"--timeout={TEST_SECONDS}", "--deselect", ABOUT_THE_MUTANTS]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    try:
        done = subprocess.run(
            [*command, *(str(path.relative_to(ROOT)) for path in files)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=MUTANT_SECONDS,
            env={**environment, "PYTHONPATH": str(folder)},
        )
    except subprocess.TimeoutExpired:
        return f"{files[0].name} and others, which did not end"
    if done.returncode in {0, 5}:  # 5: none of these files has a quick test
        return None
    found = NOTICED.search(done.stdout)
    return found[1] if found else (done.stdout + done.stderr).strip().splitlines()[-1]


@cache
def _text(path: Path) -> str:
    return path.read_text("utf-8")


def _place(path: Path) -> int:
    folder = path.relative_to(ROOT / "tests").parts[0]
    return FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)


def main() -> int:
    """Exit status 0 only when every mutant is killed."""
    parser = argparse.ArgumentParser(prog="make killrate", description=__doc__)
    parser.add_argument("--only", action="append", help="mutants whose name or file holds this text; may be repeated")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    asked = parser.parse_args()
    wanted = asked.only or [""]
    chosen = [mutant for mutant in mutants() if any(text in mutant.name or text in mutant.file for text in wanted)]
    survived = 0
    with ThreadPoolExecutor(asked.jobs) as pool:
        for verdict in pool.map(judged, chosen):
            survived += verdict.killer is None
            print(verdict.told(), flush=True)
    print(f"\nkill rate: {len(chosen) - survived} of {len(chosen)} killed by the quick tests")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
