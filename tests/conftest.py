"""What every test may ask for: fixed hypothesis examples, and DynamoDB twice, in process (moto) and real (ministack)."""

from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple

import boto3
import pytest
from botocore.config import Config
from hypothesis import settings
from moto import mock_aws

from chalicelib.store import schema
from local.engine import Engine
from tests import moto_shim

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

settings.register_profile("ci", max_examples=60, derandomize=True, deadline=None, database=None)
settings.register_profile("search", max_examples=5_000, deadline=None, print_blob=True)  # --hypothesis-profile=search
settings.load_profile("ci")

# A test that reads the machine's own AWS settings would pass on one machine and spend money on another.
CONFIG: Final = Config(
    retries={"mode": "standard", "total_max_attempts": 3},
    connect_timeout=1,
    read_timeout=10,  # a loaded machine, not a Lambda behind a gateway
    max_pool_connections=32,
    tcp_keepalive=True,
    account_id_endpoint_mode="disabled",
)
# A test that runs the whole house puts its engine into the environment; this client must not follow it there.
AWS_URL: Final = "https://dynamodb.eu-central-1.amazonaws.com"
_numbers: Final = count(1)


class Tables(NamedTuple):
    """The two tables of one test, and the client that reaches them."""

    client: "DynamoDBClient"
    name: str
    sandbox: str


def dynamodb_client(url: str | None = None) -> "DynamoDBClient":
    """A client with nothing from the machine in it. Without a url it talks to moto, if moto is in force."""
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="eu-central-1")
    return session.client("dynamodb", endpoint_url=url or AWS_URL, config=CONFIG)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator["DynamoDBClient"]:
    """A client of a real engine, which lives as long as the test process and keeps nothing."""
    with Engine.start(tmp_path_factory.mktemp("state"), persist=False) as running:
        client = dynamodb_client(running.url)
        yield client
        client.close()


@pytest.fixture(scope="session")
def in_process() -> Iterator["DynamoDBClient"]:
    """A client of moto with our shim: quick, exact under threads, silent about cost."""
    with mock_aws(), moto_shim.installed():
        yield dynamodb_client()


@pytest.fixture(params=["moto", "ministack"])
def dynamodb(request: pytest.FixtureRequest) -> "DynamoDBClient":
    """Each test that asks for it runs on both engines."""
    client: DynamoDBClient = request.getfixturevalue({"moto": "in_process", "ministack": "engine"}[request.param])
    return client


@pytest.fixture
def table(dynamodb: "DynamoDBClient") -> Iterator[Tables]:
    """Tables of the test's own."""
    number = next(_numbers)
    tables = Tables(dynamodb, f"earnest-{number}", f"sandbox-{number}")
    schema.create_tables(*tables)
    yield tables
    dynamodb.delete_table(TableName=tables.name)
    dynamodb.delete_table(TableName=tables.sandbox)


from tests.world import own, world  # noqa: E402, F401 - fixtures for every folder
