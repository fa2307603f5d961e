"""Rules, figures and texts as data. Every file names its source; nothing here computes."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def read(path: str) -> dict[str, Any]:
    """One data file, by its path below this folder: ``markets/CN-2026.toml``."""
    return tomllib.loads(files(__name__).joinpath(path).read_text("utf-8"))


@cache
def names(folder: str) -> tuple[str, ...]:
    """The names of a folder's data files, without the ending, sorted; a folder that no rule has filled yet is empty."""
    place = files(__name__).joinpath(folder)
    found = [entry.name for entry in place.iterdir()] if place.is_dir() else []
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))


@cache
def languages() -> tuple[str, ...]:
    """The languages in which everything is said, by their codes, sorted: each is a folder of ``texts``."""
    return tuple(sorted(entry.name for entry in files(__name__).joinpath("texts").iterdir() if entry.is_dir()))
