"""A plain HTML page."""

import html
from typing import Final

HTML: Final = "text/html; charset=utf-8"
PAGE: Final = (
    '<!doctype html><html lang="{lang}"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    "<title>{title}</title><style>body{{font:1.05rem/1.6 system-ui,sans-serif;max-width:42rem;margin:4rem auto;"
    "padding:0 1rem}}code{{background:#8882;padding:.1em .3em;border-radius:.2em}}</style>"
    "<h1>{title}</h1>{content}</html>"
)


def page(title: str, content: str, locale: str) -> str:
    """A page with this title; ``content`` is HTML already."""
    return PAGE.format(lang=locale, title=html.escape(title), content=content)
