"""Rules, figures and texts as data. Every file names its source; nothing here computes."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def read(path: str) -> dict[str, Any]:
    """One data file, by its path below this folder: ``markets/CN.toml``."""
    return tomllib.loads(files(__name__).joinpath(path).read_text("utf-8"))


@cache
def names(folder: str) -> tuple[str, ...]:
    """The names of a folder's data files, without the ending, sorted: ``markets`` gives CN, EU, ID."""
    found = files(__name__).joinpath(folder).iterdir()
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in found if entry.name.endswith(".toml")))
