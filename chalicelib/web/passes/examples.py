"""An example of the passes that a buyer holds."""

from chalicelib.web.edge.route import Example
from chalicelib.web.passes import render as passes_render
from chalicelib.web.service import stories
from chalicelib.web.service.stories import (
    page,
)


def listed() -> Example:
    deposit = stories.called_off().deposit
    return Example({"one page": page(passes_render.priority_pass(deposit, deposit.passes[0]))})
