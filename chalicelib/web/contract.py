"""The contract as OpenAPI 3.1, put together from the declared routes and the models behind them."""

from chalice.app import Blueprint

routes = Blueprint(__name__)
