"""A session of ccxt, its `hyperliquid` over REST and over sockets, unmodified but for the address.

ccxt with a key signs `approveBuilderFee` and `setReferrer` before anything else. That is shown
here, and that without a key it signs nothing: the product uses it for data at most.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
from hyperliquid.info import Info

from tests.acceptance.conftest import ACCOUNT, AGENT_KEY, MASTER_KEY

T = TypeVar("T")
Client = Any
BTC, SPOT, HYPE = "BTC/USDC:USDC", "BTC/USDC", "HYPE/USDC:USDC"


def named(number: int) -> str:
    return f"0x{number:032x}"


def addresses(urls: Any) -> Iterator[str]:
    """Every address in ccxt's tree of them, of documentation and test networks too."""
    if isinstance(urls, str):
        yield urls
    elif isinstance(urls, dict):
        for value in urls.values():
            yield from addresses(value)


def at(url: str, exchange: Client) -> Client:
    """The client at the emulator and nowhere else; it then signs for the test network."""
    exchange.urls["api"] = {
        "public": url,
        "private": url,
        "ws": {"public": url.replace("http", "ws", 1) + "/ws"},
    }
    exchange.urls.pop("test", None)
    for address in addresses(exchange.urls["api"]):
        assert urlsplit(address).hostname == "127.0.0.1"
    return exchange


def settings(key: str | None = MASTER_KEY) -> dict[str, Any]:
    secret = {} if key is None else {"privateKey": key}
    options = {"sandboxMode": True}
    return {"walletAddress": ACCOUNT, "enableRateLimit": False, "options": options} | secret


@pytest.fixture(scope="module")
def rest(url: str) -> Client:
    from ccxt import hyperliquid

    exchange = at(url, hyperliquid(settings()))
    exchange.load_markets()
    return exchange


@pytest.fixture
async def pro(url: str) -> AsyncIterator[Client]:
    from ccxt.pro import hyperliquid

    exchange = at(url, hyperliquid(settings()))
    try:
        yield exchange
    finally:
        await exchange.close()


async def soon(what: Awaitable[T]) -> T:
    return await asyncio.wait_for(what, 10)


def mid(exchange: Client, symbol: str = BTC) -> float:
    return float(exchange.fetch_ticker(symbol)["last"])


# --- the wire ------------------------------------------------------------------------------


def actions(url: str) -> int:
    """How many requests the exchange has had that were to change something."""
    return int(Info(url, skip_ws=True).user_rate_limit(ACCOUNT)["nRequestsUsed"])


def test_without_a_key_nothing_is_signed_and_with_one_two_things_are_at_once(url: str) -> None:
    from ccxt import hyperliquid

    before = actions(url)
    reader = at(url, hyperliquid(settings(key=None)))
    reader.load_markets()
    reader.fetch_order_book(BTC)
    reader.fetch_funding_rates([BTC])
    assert actions(url) == before

    at(url, hyperliquid(settings(AGENT_KEY))).load_markets()
    assert actions(url) > before  # which is why the product does not trade through it


# --- the market ----------------------------------------------------------------------------


def test_markets_are_found_by_their_place(rest: Client) -> None:
    assert {m["symbol"]: m["baseId"] for m in rest.markets.values()} == {
        "BTC/USDC:USDC": "0",
        "ETH/USDC:USDC": "1",
        "SOL/USDC:USDC": "2",
        "HYPE/USDC:USDC": "3",
        "PURR/USDC:USDC": "4",
        "BTC/USDC": "10000",
        "ETH/USDC": "10001",
        "SOL/USDC": "10002",
        "HYPE/USDC": "10003",
        "PURR/USDC": "10004",
    }
    assert rest.fetch_status()["status"] == "ok"


def test_prices_candles_and_funding(rest: Client) -> None:
    book, ticker = rest.fetch_order_book(BTC), rest.fetch_ticker(BTC)
    candles = rest.fetch_ohlcv(BTC, "1h", limit=5)
    rates = rest.fetch_funding_rate_history(BTC, limit=24)

    assert book["bids"][0][0] == ticker["bid"] < ticker["ask"] == book["asks"][0][0]
    assert len(candles) == 5
    assert all(low <= first <= high for _, first, high, low, _, _ in candles)
    assert len(rates) in {23, 24}  # in the seconds after an hour its own is still to come
    assert abs(rest.fetch_funding_rates([BTC])[BTC]["fundingRate"]) < 0.04


# --- trading -------------------------------------------------------------------------------


def test_an_order_rests_is_asked_for_edited_and_canceled(rest: Client) -> None:
    low = round(mid(rest) * 0.95)
    placed = rest.create_order(BTC, "limit", "buy", 0.01, low, {"clientOrderId": named(101)})
    by_name = rest.fetch_order(None, BTC, {"clientOrderId": named(101)})
    edited = rest.edit_order(placed["id"], BTC, "limit", "buy", 0.02, low - 5)

    assert (by_name["id"], by_name["status"], by_name["price"]) == (placed["id"], "open", low)
    assert rest.fetch_order(placed["id"], BTC)["status"] == "canceled"
    assert [o["id"] for o in rest.fetch_open_orders(BTC)] == [edited["id"]]
    rest.cancel_order(edited["id"], BTC)
    rest.create_order(BTC, "limit", "buy", 0.01, low, {"clientOrderId": named(102)})
    rest.cancel_order(None, BTC, {"clientOrderId": named(102)})
    assert rest.fetch_open_orders(BTC) == []


def test_a_batch_of_spot_and_perp_and_orders_of_every_kind(rest: Client) -> None:
    rest.set_margin_mode("isolated", BTC, {"leverage": 3})
    price = mid(rest)
    bought, sold = rest.create_orders(
        [
            {"symbol": SPOT, "type": "limit", "side": "buy", "amount": 0.1,
             "price": round(price * 1.01), "params": {"timeInForce": "ioc"}},
            {"symbol": BTC, "type": "limit", "side": "sell", "amount": 0.1,
             "price": round(price * 0.99), "params": {"timeInForce": "ioc"}},
        ]
    )  # fmt: skip
    assert (bought["filled"], sold["filled"]) == (0.1, 0.1)
    (position,) = rest.fetch_positions([BTC])
    assert (position["side"], position["contracts"], position["leverage"]) == ("short", 0.1, 3)
    assert position["marginMode"] == "isolated"
    assert rest.fetch_my_trades(SPOT)[-1]["fee"]["currency"] in ("BTC", "UBTC")

    above, below = round(price * 1.1), round(price * 0.9)
    rest.create_order(BTC, "market", "buy", 0.05, above, {"stopLossPrice": above})
    rest.create_order(BTC, "market", "buy", 0.05, below, {"takeProfitPrice": below})
    resting = rest.create_order(BTC, "limit", "sell", 0.01, above, {"postOnly": True})
    kinds = sorted(o["info"]["orderType"] for o in rest.fetch_open_orders(BTC))
    assert kinds == ["Limit", "Stop Market", "Take Profit Market"]
    rest.cancel_orders([o["id"] for o in rest.fetch_open_orders(BTC)], BTC)
    assert rest.fetch_order(resting["id"], BTC)["status"] == "canceled"

    closed = rest.create_order(BTC, "market", "buy", 0.1, price, {"reduceOnly": True})
    assert closed["filled"] == 0.1
    assert rest.fetch_positions([BTC]) == []
    rest.create_order(SPOT, "market", "sell", 0.0999, price)


def test_an_entry_brings_its_stop_and_its_target(rest: Client) -> None:
    price = mid(rest)
    guards = {
        "stopLoss": {"triggerPrice": round(price * 0.9), "price": round(price * 0.9)},
        "takeProfit": {"triggerPrice": round(price * 1.1), "price": round(price * 1.1)},
    }
    rest.create_order(BTC, "limit", "buy", 0.01, round(price * 1.01), guards)
    waiting = rest.fetch_open_orders(BTC)

    assert {o["triggerPrice"] for o in waiting} == {round(price * 0.9), round(price * 1.1)}
    rest.cancel_orders([o["id"] for o in waiting], BTC)
    rest.create_order(BTC, "market", "sell", 0.01, price, {"reduceOnly": True})


def test_margin_and_money_move(rest: Client) -> None:
    rest.set_leverage(2, HYPE, {"marginMode": "isolated"})
    rest.create_order(HYPE, "market", "sell", 10, mid(rest, HYPE))
    before = rest.fetch_positions([HYPE])[0]["collateral"]
    rest.add_margin(HYPE, 20)
    rest.reduce_margin(HYPE, 5)
    assert rest.fetch_positions([HYPE])[0]["collateral"] == pytest.approx(before + 15, abs=0.5)
    rest.create_order(HYPE, "market", "buy", 10, mid(rest, HYPE), {"reduceOnly": True})

    spot = Decimal(str(rest.fetch_balance({"type": "spot"})["USDC"]["total"]))
    assert rest.transfer("USDC", 100, "spot", "swap")["status"] == "ok"
    after = Decimal(str(rest.fetch_balance({"type": "spot"})["USDC"]["total"]))
    assert spot - after == 100
    assert rest.transfer("USDC", 100, "swap", "spot")["status"] == "ok"
    assert rest.fetch_trading_fee(BTC)["taker"] == 0.00045
    assert len(rest.fetch_ledger()) >= 2
    assert rest.fetch_funding_history(BTC) == []


@pytest.mark.parametrize(
    ("amount", "factor", "parameters", "error", "words"),
    [
        (0.01, 1.02, {"postOnly": True}, "InvalidOrder", "would have immediately matched"),
        (0.0001, 0.95, {}, "InvalidOrder", "minimum value of $10"),
        (900, 0.99, {}, "InsufficientFunds", "Insufficient margin to place order"),
    ],
)
def test_what_the_venue_refuses_ccxt_knows_by_name(
    rest: Client, amount: float, factor: float, parameters: Any, error: str, words: str
) -> None:
    import ccxt

    with pytest.raises(getattr(ccxt, error)) as refused:
        rest.create_order(BTC, "limit", "buy", amount, round(mid(rest) * factor), parameters)
    assert words in str(refused.value)


def test_the_scheduled_cancel_is_refused_in_the_words_that_ccxt_knows(rest: Client) -> None:
    import ccxt

    with pytest.raises(ccxt.ExchangeError, match="until enough volume traded"):
        rest.cancel_all_orders_after(10_000)


# --- sockets -------------------------------------------------------------------------------


async def test_the_market_over_sockets(pro: Client) -> None:
    book = await soon(pro.watch_order_book(BTC))
    again = await soon(pro.watch_order_book(BTC))
    candles = await soon(pro.watch_ohlcv(BTC, "1m"))
    ticker = await soon(pro.watch_ticker(BTC))
    tickers = await soon(pro.watch_tickers([BTC]))

    assert book["bids"][0][0] < book["asks"][0][0]
    assert again["timestamp"] >= book["timestamp"]
    assert candles[-1][4] > 0
    assert ticker["last"] == pytest.approx(tickers[BTC]["last"], rel=0.05)


async def test_orders_over_sockets_and_what_is_heard_of_them(pro: Client) -> None:
    await pro.load_markets()
    price = (await pro.fetch_ticker(BTC))["last"]
    orders = asyncio.create_task(pro.watch_orders(BTC))
    trades = asyncio.create_task(pro.watch_my_trades(BTC))
    await asyncio.sleep(0.3)
    low = round(price * 0.95)
    resting = await soon(pro.create_order_ws(BTC, "limit", "buy", 0.01, low))
    now = {"timeInForce": "ioc"}
    filled = await soon(pro.create_order_ws(BTC, "limit", "buy", 0.01, round(price * 1.02), now))

    heard = await soon(orders)
    assert heard[0]["id"] == resting["id"]
    assert filled["filled"] == 0.01
    assert (await soon(trades))[-1]["symbol"] == BTC
    (position,) = await soon(pro.watch_positions([BTC]))
    assert position["contracts"] == 0.01
    edited = await soon(pro.edit_order_ws(resting["id"], BTC, "limit", "buy", 0.01, low - 5))
    assert edited["id"] != resting["id"]
    await soon(pro.cancel_order_ws(edited["id"], BTC))
    assert await pro.fetch_open_orders(BTC) == []
    await pro.create_order(BTC, "market", "sell", 0.01, price, {"reduceOnly": True})
    spot = await soon(pro.watch_balance({"type": "spot"}))
    perp = await soon(pro.watch_balance({"type": "swap"}))
    assert spot["USDC"]["total"] > 0
    assert perp["USDC"]["total"] > 0
