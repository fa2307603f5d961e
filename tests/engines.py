"""How the tests reach an engine by boto3."""

from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

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


def dynamodb_client(url: str | None = None) -> "DynamoDBClient":
    """A client with nothing from the machine in it. Without a url it talks to moto, if moto is in force."""
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="eu-central-1")
    return session.client("dynamodb", endpoint_url=url or AWS_URL, config=CONFIG)
