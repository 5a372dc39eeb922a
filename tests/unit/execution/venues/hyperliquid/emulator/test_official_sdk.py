"""The official SDK's own classes against the emulator: no socket, the same bytes."""

from decimal import Decimal

import pytest
from hyperliquid.utils.types import Cloid

from domain.orders import Side
from domain.time import HOUR, MILLISECOND
from tests.unit.execution.venues.hyperliquid.emulator.floor import (
    ACCOUNT,
    AGENT_ADDRESS,
    GTC,
    IOC,
    Floor,
    cloid,
)


def test_an_order_fills_and_shows_in_both_states(monkeypatch: pytest.MonkeyPatch) -> None:
    floor = Floor()
    floor.quote(30.0)
    exchange, info = floor.sdk(monkeypatch)

    assert exchange.update_leverage(3, "HYPE", is_cross=False)["status"] == "ok"
    bought = exchange.order("@0", True, 100, 30.01, IOC, cloid=Cloid(cloid(1)))
    sold = exchange.order("HYPE", False, 99.93, 29.99, IOC, cloid=Cloid(cloid(2)))

    assert bought["response"]["data"]["statuses"] == [
        {"filled": {"totalSz": "100.0", "avgPx": "30.01", "oid": 1, "cloid": cloid(1)}}
    ]
    assert sold["response"]["data"]["statuses"][0]["filled"]["totalSz"] == "99.93"
    position = info.user_state(ACCOUNT)["assetPositions"][0]["position"]
    assert (position["coin"], position["szi"]) == ("HYPE", "-99.93")
    assert position["leverage"]["type"] == "isolated"
    assert position["leverage"]["value"] == 3
    balances = {b["coin"]: b for b in info.spot_user_state(ACCOUNT)["balances"]}
    assert Decimal(balances["HYPE"]["total"]) == Decimal("99.93")  # the fee came out of the coin
    fills = info.user_fills(ACCOUNT)
    assert [fill["coin"] for fill in fills] == ["HYPE", "@0"]  # newest first
    assert (fills[1]["feeToken"], fills[1]["fee"]) == ("HYPE", "0.07")


def test_a_resting_order_is_open_until_it_is_canceled_by_number_or_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    floor = Floor()
    floor.quote(30.0)
    exchange, info = floor.sdk(monkeypatch)

    first = exchange.order("HYPE", True, 1, 29, GTC)
    exchange.order("HYPE", True, 1, 28, GTC, cloid=Cloid(cloid(7)))
    oid = first["response"]["data"]["statuses"][0]["resting"]["oid"]

    assert [order["limitPx"] for order in info.open_orders(ACCOUNT)] == ["29.0", "28.0"]
    assert info.frontend_open_orders(ACCOUNT)[1]["cloid"] == cloid(7)
    assert info.query_order_by_cloid(ACCOUNT, Cloid(cloid(7)))["order"]["status"] == "open"
    assert exchange.cancel("HYPE", oid)["response"]["data"]["statuses"] == ["success"]
    assert exchange.cancel_by_cloid("HYPE", Cloid(cloid(7)))["status"] == "ok"
    assert info.open_orders(ACCOUNT) == []
    told = info.query_order_by_oid(ACCOUNT, oid)
    assert told["order"]["status"] == "canceled"
    assert told["order"]["order"]["sz"] == "1.0"
    again = exchange.cancel("HYPE", oid)["response"]["data"]["statuses"][0]["error"]
    assert again == "Order was never placed, already canceled, or filled. asset=0"


def test_margin_is_moved_in_millionths(monkeypatch: pytest.MonkeyPatch) -> None:
    floor = Floor()
    floor.quote(30.0)
    exchange, info = floor.sdk(monkeypatch)
    exchange.order("HYPE", False, 10, 29.99, IOC)

    before = info.user_state(ACCOUNT)["assetPositions"][0]["position"]["leverage"]["rawUsd"]
    answer = exchange.update_isolated_margin(12.345678, "HYPE")
    after = info.user_state(ACCOUNT)["assetPositions"][0]["position"]["leverage"]["rawUsd"]

    assert answer == {"status": "ok", "response": {"type": "default"}}
    assert Decimal(after) - Decimal(before) == Decimal("12.345678")


def test_a_noop_burns_the_nonce_of_an_order_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    floor = Floor()
    floor.quote(30.0)
    exchange, info = floor.sdk(monkeypatch)
    late = floor.signed(
        {
            "type": "order",
            "orders": [
                {"a": 0, "b": True, "p": "31", "s": "1", "r": False, "t": IOC, "c": cloid(3)}
            ],
            "grouping": "na",
        }
    )

    assert exchange.noop(floor.nonce)["status"] == "ok"
    assert floor.send(late)["response"] == f"Invalid nonce: duplicate nonce {floor.nonce}"
    assert info.query_order_by_cloid(ACCOUNT, Cloid(cloid(3))) == {"status": "unknownOid"}


def test_the_agents_own_address_has_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    floor = Floor()
    floor.quote(30.0)
    exchange, info = floor.sdk(monkeypatch)
    exchange.order("HYPE", False, 10, 29.99, IOC)
    exchange.order("HYPE", True, 10, 20, GTC, cloid=Cloid(cloid(1)))

    assert info.user_state(AGENT_ADDRESS)["assetPositions"] == []
    assert info.spot_user_state(AGENT_ADDRESS) == {"balances": []}
    assert info.open_orders(AGENT_ADDRESS) == []
    assert info.user_fills(AGENT_ADDRESS) == []
    assert info.user_fills_by_time(AGENT_ADDRESS, 0) == []
    assert info.query_order_by_cloid(AGENT_ADDRESS, Cloid(cloid(1))) == {"status": "unknownOid"}
    assert info.user_role(AGENT_ADDRESS) == {"role": "agent", "data": {"user": ACCOUNT}}


def test_funding_is_told_to_the_digit_that_was_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    floor = Floor()
    floor.quote(30.0)
    exchange, info = floor.sdk(monkeypatch)
    exchange.order("HYPE", False, 10, 29.99, IOC)
    floor.wait(HOUR)

    told = info.user_funding_history(ACCOUNT, 0)
    published = info.funding_history("HYPE", 0)

    assert [row["delta"]["usdc"] for row in told] == ["0.00375"]  # 10 x 30 x 0.0000125
    assert [row["delta"]["szi"] for row in told] == ["-10.0"]
    assert [row["fundingRate"] for row in published] == ["0.0000125"] * 5
    assert told[0]["time"] == published[-1]["time"]
    assert published[-1]["time"] % (HOUR // MILLISECOND) == 0


def test_a_batch_has_one_status_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    floor = Floor()
    floor.quote(30.0)
    exchange, _ = floor.sdk(monkeypatch)
    orders = [
        {"coin": "@0", "is_buy": True, "sz": 10, "limit_px": 30.01, "order_type": IOC},
        {"coin": "HYPE", "is_buy": False, "sz": 10, "limit_px": 31, "order_type": IOC},
        {"coin": "HYPE", "is_buy": False, "sz": 10, "limit_px": 31, "order_type": GTC},
    ]

    answer = exchange.bulk_orders([order | {"reduce_only": False} for order in orders])

    filled, error, resting = answer["response"]["data"]["statuses"]
    assert filled["filled"]["totalSz"] == "10.0"
    assert error == {
        "error": "Order could not immediately match against any resting orders. asset=0"
    }
    assert list(resting) == ["resting"]


def test_the_sdk_trades_at_market(monkeypatch: pytest.MonkeyPatch) -> None:
    floor = Floor()
    floor.quote(30.0)
    exchange, info = floor.sdk(monkeypatch)

    exchange.market_open("HYPE", False, 5)
    exchange.market_close("HYPE")

    assert info.user_state(ACCOUNT)["assetPositions"] == []
    assert [fill["dir"] for fill in info.user_fills(ACCOUNT)] == ["Close Short", "Open Short"]


def test_side_is_told_by_the_venues_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    floor = Floor()
    floor.quote(30.0)
    floor.order(Side.SELL, "1", "29.99")
    _, info = floor.sdk(monkeypatch)

    assert [fill["side"] for fill in info.user_fills(ACCOUNT)] == ["A"]
