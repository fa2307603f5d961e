"""The offers that a newcomer finds: one of each preset, published once under fixed keys, so that a restart adds none."""

import hashlib
from typing import Any, Final

from chalicelib.core.common.journal import Caller, Key, RequestContext
from chalicelib.wiring import Services, machine_clock

MERCHANT: Final = Caller("usr_00000000000000000000000000", "merchant", "mer_demo")

OFFERS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    (
        "seed-su7",
        {
            "title": "SU7",
            "market": "CN",
            "preset": "su7_2024",
            "items": [
                {
                    "sku": "su7-max",
                    "name": "SU7 Max",
                    "category": "vehicle",
                    "price": {"amount": "299900", "currency": "CNY"},
                    "stock": 5000,
                    "made_to_spec": True,
                }
            ],
        },
    ),
    (
        "seed-su7-founders",
        {
            "title": "SU7 Founders Edition",
            "market": "CN",
            "preset": "su7_founders_2024",
            "items": [
                {
                    "sku": "su7-founders",
                    "name": "SU7 Founders Edition",
                    "category": "vehicle",
                    "price": {"amount": "215900", "currency": "CNY"},
                    "stock": 5000,
                    "made_to_spec": True,
                }
            ],
        },
    ),
    (
        "seed-flash",
        {
            "title": "Poco M3",
            "market": "ID",
            "currency": "IDR",
            "preset": "flash_sale",
            "items": [
                {
                    "sku": "poco-m3",
                    "name": "Poco M3",
                    "category": "phone",
                    "price": {"amount": "1900000", "currency": "IDR"},
                    "stock": 500,
                }
            ],
            "shipping": {"amount": "18000", "currency": "IDR"},
        },
    ),
    (
        "seed-trade-in-2025",
        {
            "title": "Tukar tambah ponsel",
            "market": "ID",
            "currency": "IDR",
            "preset": "trade_in_id",
            "items": [
                {
                    "sku": "phone-new",
                    "name": "Ponsel baru",
                    "category": "phone",
                    "price": {"amount": "3000000", "currency": "IDR"},
                }
            ],
            "shipping": {"amount": "18000", "currency": "IDR"},
            "trade_in": {
                "schedule": "id-tukar-tambah",
                "values": {"iphone-12-128": {"amount": "800000", "currency": "IDR"}},
            },
        },
    ),
    (
        "seed-recommended",
        {
            "title": "Cargo bike, made to order",
            "market": "EU",
            "currency": "EUR",
            "preset": "recommended",
            "payment": {"deposit": {"amount": "100", "currency": "EUR"}},
            "items": [
                {
                    "sku": "cargo-bike",
                    "name": "Cargo bike",
                    "category": "bicycle",
                    "price": {"amount": "1000", "currency": "EUR"},
                    "made_to_spec": True,
                }
            ],
        },
    ),
)


def seed(services: Services) -> str:
    """Publish what is missing; the id of the first offer."""
    ids = [services.catalogue.publish(body, _request_context(services, name)).offer.id for name, body in OFFERS]
    return ids[0]


def _request_context(services: Services, name: str) -> RequestContext:
    now = machine_clock()
    return RequestContext(
        services.at(now), MERCHANT, now, key=Key(hashlib.sha256(name.encode()).digest()[:8], b"seed"), key_text=name
    )
