"""Which tests run when, with fixed hypothesis examples, and DynamoDB three times: memory, moto and ministack.

`make test` is the quick run: every rule once, on the engine in memory, and a sample where thousands of cases prove one
thing. `make test-all` runs ``--rest`` after it: what the quick run left out, and the same tests on the other engines.
Nothing here imports boto3 or chalice before a test needs it, so the tests of core start without them.
"""

from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
from hypothesis import HealthCheck, settings

from tests.scope import REST, Scope
from tests.world import house_engine, own, world  # noqa: F401 - fixtures for every folder

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# No test may depend on how fast a machine is, so nothing is too slow.
_ALWAYS: Final[dict[str, Any]] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("fast", max_examples=20, derandomize=True, database=None, **_ALWAYS)
settings.register_profile("ci", max_examples=60, derandomize=True, database=None, **_ALWAYS)
settings.register_profile("search", max_examples=5_000, print_blob=True, **_ALWAYS)  # --hypothesis-profile=search

FIXTURES: Final = {"memory": "memory", "moto": "in_process", "ministack": "engine"}
_numbers: Final = count(1)


class Tables(NamedTuple):
    """The two tables of one test, and the client that reaches them."""

    client: "DynamoDBClient"
    name: str
    sandbox: str


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(REST, action="store_true", help="what the quick run leaves out, and all on the other engines")


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--hypothesis-profile", None):
        settings.load_profile("ci" if config.getoption(REST) else "fast")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    scope = Scope(rest=config.getoption(REST))
    chosen, left_out = scope.split(items)
    items[:] = chosen
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def memory() -> "DynamoDBClient":
    """A client of tables in this process: quick, exact under threads, and it counts units as DynamoDB does."""
    from tests.memory import MemoryClient  # noqa: PLC0415 - it imports botocore

    client: Any = MemoryClient()
    found: DynamoDBClient = client
    return found


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator["DynamoDBClient"]:
    """A client of a real engine, which lives as long as the test process and keeps nothing."""
    from local.engine import Engine  # noqa: PLC0415
    from tests.engines import dynamodb_client  # noqa: PLC0415

    with Engine.start(tmp_path_factory.mktemp("state"), persist=False) as running:
        client = dynamodb_client(running.url)
        yield client
        client.close()


@pytest.fixture(scope="session")
def in_process() -> Iterator["DynamoDBClient"]:
    """A client of moto with our shim: exact under threads, silent about cost."""
    from moto import mock_aws  # noqa: PLC0415

    from tests import moto_shim  # noqa: PLC0415
    from tests.engines import dynamodb_client  # noqa: PLC0415

    with mock_aws(), moto_shim.installed():
        yield dynamodb_client()


@pytest.fixture(params=list(FIXTURES))
def dynamodb(request: pytest.FixtureRequest) -> "DynamoDBClient":
    """Each test that asks for it runs on all engines: on memory in the quick run, on the others in the rest."""
    client: DynamoDBClient = request.getfixturevalue(FIXTURES[request.param])
    return client


@pytest.fixture
def table(dynamodb: "DynamoDBClient") -> Iterator[Tables]:
    """Tables of the test's own."""
    from chalicelib.store import schema  # noqa: PLC0415

    number = next(_numbers)
    tables = Tables(dynamodb, f"earnest-{number}", f"sandbox-{number}")
    schema.create_tables(*tables)
    yield tables
    dynamodb.delete_table(TableName=tables.name)
    dynamodb.delete_table(TableName=tables.sandbox)
