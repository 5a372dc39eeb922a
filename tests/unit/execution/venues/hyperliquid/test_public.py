"""Public messages as market events."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain.market import Book, PerpContext
from domain.rates import FundingRate
from domain.time import MILLISECOND
from execution.venues.hyperliquid import public, wire
from execution.venues.hyperliquid.wire import BadMessage, read_frame
from tests.unit.execution.venues.hyperliquid.venue import NOW, listed

LISTING = listed()
CONTEXT = {"funding": "0.0000125", "oraclePx": "45.0", "markPx": "45.15", "premium": None}


def event_of(channel: str, data: Any) -> Any:
    frame = json.dumps({"channel": channel, "data": data}).encode()
    return public.public_event(LISTING, read_frame(frame), NOW)


def test_a_context_has_the_hourly_rate_and_the_time_of_its_receipt() -> None:
    assert event_of("activeAssetCtx", {"coin": "HYPE", "ctx": CONTEXT}) == PerpContext(
        "hyperliquid:HYPE-PERP", 45.15, 45.0, FundingRate(0.0000125, 1), NOW, NOW
    )


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ({}, None),
        ({"openInterest": None, "dayNtlVlm": None}, None),
        ({"openInterest": "0.0", "dayNtlVlm": "0.0"}, None),
        ({"openInterest": "NaN", "dayNtlVlm": "x"}, None),
        ({"openInterest": "17.5", "dayNtlVlm": "17.5"}, 17.5),
    ],
)
def test_open_interest_is_known_or_not_and_never_a_reason_to_lose_the_mark(
    told: dict[str, Any], known: float | None
) -> None:
    event = event_of("activeAssetCtx", {"coin": "HYPE", "ctx": CONTEXT | told})

    assert event.mark == 45.15
    assert (event.open_interest, event.day_volume) == (known, known)


@pytest.mark.parametrize(
    ("channel", "data"),
    [
        ("activeAssetCtx", {"coin": "HYPE", "ctx": CONTEXT | {"markPx": "0.0"}}),
        ("activeAssetCtx", {"coin": "HYPE", "ctx": CONTEXT | {"oraclePx": "-1"}}),
        ("activeAssetCtx", {"coin": "HYPE", "ctx": CONTEXT | {"oraclePx": None}}),
        ("activeAssetCtx", {"coin": "HYPE", "ctx": CONTEXT | {"funding": "0.05"}}),
        ("activeAssetCtx", {"coin": "HYPE", "ctx": CONTEXT | {"funding": "NaN"}}),
        ("activeAssetCtx", {"coin": "DOGE", "ctx": CONTEXT}),
        ("l2Book", {"coin": "HYPE", "time": 1, "levels": [[{"px": "Infinity", "sz": "1"}], []]}),
        ("l2Book", {"coin": "HYPE", "time": 1, "levels": [[{"px": "1", "sz": "-1"}], []]}),
        ("l2Book", {"coin": "HYPE", "time": 1, "levels": [[{"px": "1", "sz": "0"}], []]}),
        ("l2Book", {"coin": "HYPE", "time": 1, "levels": [[]]}),
        ("l2Book", {"coin": "HYPE", "levels": [[], []]}),
        ("l2Book", None),
    ],
)
def test_what_cannot_be_market_data_is_a_bad_message(channel: str, data: Any) -> None:
    with pytest.raises(BadMessage):
        event_of(channel, data)


def test_other_channels_say_nothing() -> None:
    assert event_of("allMids", {"mids": {}}) is None


def test_settled_funding_is_of_its_hour() -> None:
    row = msgspec.convert(
        {"coin": "BTC", "fundingRate": "-0.0000081", "premium": "0", "time": 1769912400012},
        wire.FundingRow,
    )
    settled = public.funding_settled(LISTING, row, 1769912400_500 * MILLISECOND)

    assert settled.instrument == "hyperliquid:BTC-PERP"
    assert settled.rate == FundingRate(-0.0000081, 1)
    assert settled.venue_time_ns == 1769912400012_000_000


@pytest.mark.parametrize(
    "name", ["goat_orderbook.json", "nt_ws_book_data.json", "nt_http_l2_book_btc.json"]
)
def test_a_recorded_book_is_read_best_first(shared_data: Path, name: str) -> None:
    path = shared_data / "payloads" / "hyperliquid" / name
    if not path.is_file():
        pytest.skip(f"no {name} among the recorded payloads")
    data = json.loads(path.read_text())
    book = event_of("l2Book", data)

    assert isinstance(book, Book)
    assert book.venue_time_ns == data["time"] * 1_000_000
    assert (len(book.bids), len(book.asks)) == tuple(map(len, data["levels"]))
    bids, asks = ([level.price for level in side] for side in (book.bids, book.asks))
    assert sorted(bids, reverse=True) == bids
    assert sorted(asks) == asks
    assert book.bids[0].price < book.asks[0].price
