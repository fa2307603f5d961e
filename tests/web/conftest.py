"""A world of one's own: the same house over tables and a clock that no other test knows of."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.world import World, another

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture
def own(world: World, engine: "DynamoDBClient") -> Iterator[World]:
    with another(world, engine) as found:
        yield found
