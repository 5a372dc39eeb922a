"""A perp that the venue counts in thousands: coins behind this folder, thousands on the wire."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.feeds.fetch import Budget, Part, _Fetch
from bot.watchdog import Protector
from domain.market import Book, PerpContext
from domain.money import decimal_of
from domain.orders import Fill, OrderAccepted, OrderCanceled
from domain.time import HOUR
from execution.ports import Reply
from execution.venues.hyperliquid import actions, answers, candles, private, public, units, wire
from execution.venues.hyperliquid.info import Info
from execution.venues.hyperliquid.sign import AgentSigner
from execution.venues.hyperliquid.symbols import resolve
from execution.venues.hyperliquid.wire import decode, read_frame
from tests.unit.execution.venues.hyperliquid.venue import (
    ACCOUNT,
    CLOID,
    FEES,
    KEY,
    META,
    NOW,
    OID,
    SPOT_META,
    fill_row,
    order,
    order_update,
    position,
    statuses,
)

TOKEN = {
    "name": "UBONK", "szDecimals": 0, "weiDecimals": 5, "index": 271,
    "tokenId": "0xb113d34e351cf195733c98442530c099",
}  # fmt: skip
PERP: dict[str, Any] = {
    "name": "kBONK", "szDecimals": 0, "maxLeverage": 10, "marginTableId": 10,
}  # fmt: skip
LISTING = resolve(
    msgspec.convert(META | {"universe": [PERP]}, wire.Meta),
    msgspec.convert(
        {
            "tokens": [*SPOT_META["tokens"], TOKEN],
            "universe": [{"name": "@194", "tokens": [271, 0], "index": 194}],
        },
        wire.SpotMeta,
    ),
    msgspec.convert(FEES, wire.UserFees),
    {"kBONK": "UBONK"},
)
(PAIR,) = LISTING.pairs
NAME = "hyperliquid:kBONK-PERP"


def event_of(channel: str, data: Any) -> Any:
    body = json.dumps({"channel": channel, "data": data}, separators=(",", ":")).encode()
    return public.public_event(LISTING, read_frame(body), NOW)


def test_its_lot_and_its_tick_are_of_single_coins() -> None:
    assert (PAIR.perp.id, PAIR.perp.lot, PAIR.perp.price_decimals) == (NAME, Decimal(1000), 9)
    assert PAIR.lot == 1000
    assert PAIR.spot.lot == 1
    assert PAIR.perp.minimum_notional == 10  # of notional, which is the same in either unit


@given(mantissa=st.integers(1, 99_999), exponent=st.integers(-6, 2))
def test_a_price_is_one_of_the_venues_if_and_only_if_it_is_one_of_ours(
    mantissa: int, exponent: int
) -> None:
    told = Decimal(mantissa).scaleb(exponent)  # at most six decimals and five figures
    ours = units.of_a_coin("kBONK", told)
    assert PAIR.perp.round_price(ours, up=True) == PAIR.perp.round_price(ours, up=False) == ours
    assert units.told_price(NAME, ours) == told
    assert decimal_of(units.of_a_coin_seen("kBONK", float(told))) == ours


@given(size=st.decimals(1, 10**9, places=0))
def test_an_order_goes_out_in_thousands_and_its_fill_comes_back_in_coins(size: Decimal) -> None:
    asked = msgspec.structs.replace(
        order(instrument="kBONK-PERP"), quantity=size * 1000, price=Decimal("0.000023457")
    )
    (sent,) = actions.order_action(asked, 0)["orders"]
    assert (sent["p"], Decimal(sent["s"])) == ("0.023457", size)
    status = {"filled": {"oid": OID, "totalSz": sent["s"], "avgPx": sent["p"]}}
    (accepted,) = answers.order_answer(asked, Reply(200, json.dumps(statuses(status)).encode()), 1)
    assert isinstance(accepted, OrderAccepted)
    assert accepted.filled == asked.quantity


def test_what_the_stream_and_the_account_tell_is_in_coins() -> None:
    row = msgspec.convert(fill_row(coin="kBONK", px="0.023457", sz="3"), wire.FillRow)
    fill = private.fill(LISTING, row, ACCOUNT, CLOID, NOW)
    assert isinstance(fill, Fill)
    assert (fill.instrument, str(fill.price), fill.quantity) == (
        NAME,
        "0.000023457",
        Decimal(3000),
    )

    update = order_update("canceled", remaining="0.5")
    update["order"]["coin"] = "kBONK"
    ended = private.order_news(msgspec.convert(update, wire.OrderUpdate), NOW)
    assert isinstance(ended, OrderCanceled)
    assert ended.filled == 1500

    funding = wire.UserFunding(NOW // 10**6, "kBONK", "0.5", "-2", "0.0001")
    payment = private.funding_payment(LISTING, funding, funding.time, NOW)
    assert (payment.position, payment.price) == (Decimal(-2000), Decimal("2.5"))

    prices = {"entryPx": "0.02", "liquidationPx": "0.03", "positionValue": "0.05"}
    held = position("-2.0", coin="kBONK", **prices)
    perp = {"assetPositions": [held], "time": NOW // 10**6}
    report = private.account_report(
        LISTING,
        msgspec.convert(perp, wire.ClearinghouseState),
        wire.SpotClearinghouseState([]),
        [], {}, None, NOW,
    )  # fmt: skip
    (seen,) = report.positions
    assert (seen.instrument, seen.quantity, seen.mark) == (
        NAME,
        Decimal(-2000),
        Decimal("0.000025"),
    )
    assert seen.entry_price == Decimal("0.00002")
    assert seen.liquidation_price == Decimal("0.00003")


def test_what_everybody_sees_is_of_one_coin() -> None:
    levels = [[{"px": "0.023456", "sz": "7", "n": 1}], [{"px": "0.023457", "sz": "9", "n": 1}]]
    book = event_of("l2Book", {"coin": "kBONK", "time": 1, "levels": levels})
    assert isinstance(book, Book)
    assert (book.bids[0].price, book.bids[0].size) == (2.3456e-05, 7000.0)
    assert (book.asks[0].price, book.asks[0].size) == (2.3457e-05, 9000.0)

    told = {"funding": "0", "markPx": "0.02", "oraclePx": "0.021", "openInterest": "5"}
    seen = event_of("activeAssetCtx", {"coin": "kBONK", "ctx": told})
    assert isinstance(seen, PerpContext)
    assert (seen.mark, seen.oracle, seen.open_interest) == (2e-05, 2.1e-05, 5000.0)

    print_ = {"coin": "kBONK", "side": "B", "px": "0.02", "sz": "4", "time": 1, "tid": 1}
    frame = wire.Frame("trades", msgspec.Raw(json.dumps([print_]).encode()))
    ((_, _, trade),) = public.trades(LISTING, frame, NOW)
    assert (trade.price, trade.quantity) == (2e-05, 4000.0)

    bar = {"t": 0, "T": 899_999, "s": "kBONK", "i": "15m", "o": "0.02", "h": "0.03", "l": "0.01",
           "c": "0.025", "v": "6"}  # fmt: skip
    (close,) = candles.closes(
        LISTING.by_id[NAME], [decode(json.dumps(bar).encode(), wire.Candle)], NOW
    )
    assert (close.low, close.price, close.high, close.volume) == (1e-05, 2.5e-05, 3e-05, 6000.0)


@pytest.mark.parametrize("name", ["UBONK/USDC", "hyperliquid:UBONK/USDC", "@194", "KAITO", "k"])
def test_everything_else_counts_single_coins(name: str) -> None:
    assert str(units.coins(name, Decimal("1.50"))) == "1.50"
    assert units.coins_seen(name, 0.1) == units.of_a_coin_seen(name, 0.1) == 0.1


class Told:
    """A transport that has one answer to every question."""

    def __init__(self, answer: Any) -> None:
        self._reply = Reply(200, json.dumps(answer).encode())

    async def request(self, path: str, body: bytes, timeout_seconds: float) -> Reply:
        return self._reply

    async def connect(self, path: str, timeout_seconds: float) -> Any:
        raise AssertionError("nothing is listened to")


def info(answer: Any) -> Info:
    return Info(Told(answer), ACCOUNT, 1.0, lambda: None)


async def test_the_oracle_that_a_spot_token_is_compared_with_is_of_one_coin() -> None:
    context = {"oraclePx": "0.0234", "markPx": "0.0235", "funding": "0"}
    told = await info([META | {"universe": [PERP]}, [context]]).oracles()
    assert told == {"kBONK": Decimal("0.0000234")}


async def test_the_watchdog_bids_for_one_coin() -> None:
    levels = [[{"px": "0.0234", "sz": "7", "n": 1}], [{"px": "0.0236", "sz": "9", "n": 1}]]
    nothing: Any = None
    protector = Protector(
        Told({"coin": "kBONK", "time": 1, "levels": levels}),
        AgentSigner(KEY, is_mainnet=False), nothing, LISTING, ACCOUNT, nothing, nothing, nothing,
    )  # fmt: skip
    assert await protector._mid(PAIR.perp) == Decimal("0.0000235")


async def test_history_is_fetched_in_coins() -> None:
    bar = {"t": 0, "T": 3_599_999, "s": "kBONK", "i": "1h", "o": "0.02", "h": "0.03", "l": "0.01",
           "c": "0.025", "v": "6"}  # fmt: skip
    part = Part(Path("unused"), "kBONK", "kBONK", "perp", HOUR, 0, HOUR)
    fetch = _Fetch(info([bar]), part, Budget(1e9), lambda *_: None, lambda: False)
    page = await fetch._bars(0, 3_600_000)
    assert (page["open"], page["high"], page["low"]) == ([2e-05], [3e-05], [1e-05])
    assert (page["close"], page["volume"]) == ([2.5e-05], [6000.0])
