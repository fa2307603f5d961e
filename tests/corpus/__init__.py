"""Journals as the table holds them, and what the service answers from each: they must read the same for ever."""
