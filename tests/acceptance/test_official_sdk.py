"""A session of the official Python client, unmodified but for the address it is given."""

import threading
import time
from decimal import Decimal
from itertools import pairwise
from typing import Any

import eth_account
import pytest
from hyperliquid.exchange import Exchange
from hyperliquid.info import Info
from hyperliquid.utils.signing import get_timestamp_ms
from hyperliquid.utils.types import Cloid

from tests.acceptance.conftest import ACCOUNT, AGENT_ADDRESS, ALO, GTC, IOC, Sdk

HOUR_MS = 3_600_000


def name(number: int) -> Cloid:
    return Cloid(f"0x{number:032x}")


def usdc(sdk: Sdk) -> tuple[Decimal, Decimal]:
    """What is on the spot side, and what could be taken from the perp side."""
    (spot,) = [b for b in sdk.info.spot_user_state(ACCOUNT)["balances"] if b["coin"] == "USDC"]
    return Decimal(spot["total"]), Decimal(sdk.info.user_state(ACCOUNT)["withdrawable"])


def position(sdk: Sdk, coin: str) -> Any:
    found = [row["position"] for row in sdk.info.user_state(ACCOUNT)["assetPositions"]]
    return next((row for row in found if row["coin"] == coin), None)


# --- what is listed ------------------------------------------------------------------------


def test_what_is_listed_is_dense_so_that_a_place_is_an_index(agent: Sdk) -> None:
    meta, contexts = agent.info.meta_and_asset_ctxs()
    spot, spot_contexts = agent.info.spot_meta_and_asset_ctxs()

    assert [perp["name"] for perp in meta["universe"]] == ["BTC", "ETH", "SOL", "HYPE", "PURR"]
    assert len(contexts) == len(meta["universe"])
    assert [token["index"] for token in spot["tokens"]] == list(range(len(spot["tokens"])))
    assert [pair["index"] for pair in spot["universe"]] == list(range(len(spot["universe"])))
    assert [context["coin"] for context in spot_contexts] == [p["name"] for p in spot["universe"]]
    assert agent.info.name_to_asset("ETH") == 1
    assert agent.info.name_to_asset("PURR/USDC") == 10_004
    assert agent.info.perp_dexs() == [None]


def test_books_candles_and_funding_are_of_a_market_that_has_been_going_on(agent: Sdk) -> None:
    book = agent.info.l2_snapshot("BTC")
    bids, asks = book["levels"]
    now_ms = get_timestamp_ms()
    candles = agent.info.candles_snapshot("BTC", "1h", now_ms - 6 * HOUR_MS, now_ms)
    funding = agent.info.funding_history("BTC", now_ms - 48 * HOUR_MS)

    assert 0 < len(bids) <= 20
    assert float(bids[0]["px"]) < agent.mid("BTC") < float(asks[0]["px"])
    assert abs(book["time"] - now_ms) < 5_000
    assert len(candles) in (6, 7)
    assert len(funding) == 48
    assert {b["time"] - a["time"] for a, b in pairwise(funding)} == {HOUR_MS}


def test_the_accounts_fees_limits_and_role_are_told(agent: Sdk) -> None:
    assert agent.info.user_fees(ACCOUNT)["userCrossRate"] == "0.00045"
    assert agent.info.user_rate_limit(ACCOUNT)["nRequestsCap"] >= 10_000
    assert agent.info.user_role(ACCOUNT) == {"role": "user"}
    assert agent.info.user_role(AGENT_ADDRESS)["data"]["user"] == ACCOUNT.lower()
    assert agent.info.query_user_abstraction_state(ACCOUNT) == "disabled"


# --- orders --------------------------------------------------------------------------------


def test_an_order_rests_is_asked_for_and_canceled_by_number_and_by_name(agent: Sdk) -> None:
    low = round(agent.mid("BTC") * 0.95)
    first = agent.status(agent.exchange.order("BTC", True, 0.01, low, GTC))["resting"]["oid"]
    named = agent.exchange.order("BTC", True, 0.01, low, ALO, cloid=name(1))

    assert agent.status(named)["resting"]["cloid"] == name(1).to_raw()
    assert {o["oid"] for o in agent.info.open_orders(ACCOUNT)} >= {first}
    asked = agent.info.query_order_by_cloid(ACCOUNT, name(1))
    assert (asked["status"], asked["order"]["status"]) == ("order", "open")
    assert agent.status(agent.exchange.cancel("BTC", first)) == "success"
    assert agent.status(agent.exchange.cancel_by_cloid("BTC", name(1))) == "success"
    assert agent.info.query_order_by_oid(ACCOUNT, first)["order"]["status"] == "canceled"
    again = agent.status(agent.exchange.cancel("BTC", first))["error"]
    assert again.startswith("Order was never placed, already canceled, or filled.")
    assert agent.info.query_order_by_cloid(ACCOUNT, name(999)) == {"status": "unknownOid"}


def test_many_are_placed_and_canceled_at_once(agent: Sdk) -> None:
    low = round(agent.mid("BTC") * 0.95)
    orders: list[Any] = [
        {"coin": "BTC", "is_buy": True, "sz": 0.01, "limit_px": low - n, "order_type": GTC,
         "reduce_only": False, "cloid": name(10 + n)}
        for n in range(3)
    ]  # fmt: skip
    placed = agent.exchange.bulk_orders(orders)["response"]["data"]["statuses"]
    oids = [status["resting"]["oid"] for status in placed]

    by_number: list[Any] = [{"coin": "BTC", "oid": oids[0]}]
    by_name: list[Any] = [{"coin": "BTC", "cloid": name(11)}, {"coin": "BTC", "cloid": name(12)}]
    assert agent.status(agent.exchange.bulk_cancel(by_number)) == "success"
    canceled = agent.exchange.bulk_cancel_by_cloid(by_name)["response"]["data"]["statuses"]
    assert canceled == ["success", "success"]


def test_both_legs_of_a_pair_go_in_one_action_with_a_status_each(agent: Sdk) -> None:
    agent.exchange.update_leverage(3, "HYPE", is_cross=False)
    spot, perp = agent.mid("@3"), agent.mid("HYPE")
    legs: list[Any] = [
        {"coin": "@3", "is_buy": True, "sz": 10, "limit_px": round(spot * 1.01, 3)},
        {"coin": "HYPE", "is_buy": False, "sz": 9.99, "limit_px": round(perp * 0.99, 3)},
    ]
    answer = agent.exchange.bulk_orders(
        [leg | {"order_type": IOC, "reduce_only": False} for leg in legs]
    )
    bought, sold = answer["response"]["data"]["statuses"]

    assert bought["filled"]["totalSz"] == "10.0"
    assert sold["filled"]["totalSz"] == "9.99"
    held = {b["coin"]: b["total"] for b in agent.info.spot_user_state(ACCOUNT)["balances"]}
    assert held["HYPE"] == "9.993"  # the fee of a purchase is taken in what was bought
    assert position(agent, "HYPE")["szi"] == "-9.99"
    latest, before = agent.info.user_fills(ACCOUNT)[:2]
    assert (latest["coin"], latest["feeToken"]) == ("HYPE", "USDC")
    assert (before["coin"], before["feeToken"]) == ("@3", "HYPE")
    assert agent.info.user_fills_by_time(ACCOUNT, latest["time"])[-1]["tid"] == latest["tid"]


def test_at_market_in_and_out(agent: Sdk) -> None:
    agent.exchange.update_leverage(5, "SOL", is_cross=False)
    opened = agent.status(agent.exchange.market_open("SOL", False, 2))["filled"]
    assert position(agent, "SOL")["szi"] == "-2.0"
    closed = agent.status(agent.exchange.market_close("SOL"))["filled"]

    assert opened["totalSz"] == closed["totalSz"] == "2.0"
    assert position(agent, "SOL") is None
    assert [f["dir"] for f in agent.info.user_fills(ACCOUNT)[:2]] == ["Close Short", "Open Short"]


def test_an_order_is_modified_keeps_its_name_and_gets_a_new_number(agent: Sdk) -> None:
    low = round(agent.mid("BTC") * 0.95)
    placed = agent.exchange.order("BTC", True, 0.01, low, GTC, cloid=name(20))
    old = agent.status(placed)["resting"]["oid"]
    changed = agent.exchange.modify_order(old, "BTC", True, 0.02, low - 5, GTC, cloid=name(20))
    new = agent.status(changed)["resting"]["oid"]
    named = agent.exchange.modify_order(name(20), "BTC", True, 0.03, low - 9, GTC, cloid=name(20))
    newest = agent.status(named)["resting"]["oid"]

    assert len({old, new, newest}) == 3
    assert agent.info.query_order_by_oid(ACCOUNT, old)["order"]["status"] == "canceled"
    asked = agent.info.query_order_by_cloid(ACCOUNT, name(20))["order"]
    assert (asked["order"]["oid"], asked["order"]["sz"], asked["status"]) == (
        newest,
        "0.03",
        "open",
    )
    assert agent.status(agent.exchange.cancel_by_cloid("BTC", name(20))) == "success"
    gone = agent.status(agent.exchange.modify_order(old, "BTC", True, 0.02, low, GTC))["error"]
    assert gone.startswith("Cannot modify canceled or filled order")


def test_orders_wait_for_a_price(agent: Sdk) -> None:
    mid = agent.mid("ETH")
    agent.exchange.update_leverage(5, "ETH", is_cross=False)
    agent.exchange.market_open("ETH", True, 0.1)
    stop: Any = {"trigger": {"triggerPx": round(mid * 0.9), "isMarket": True, "tpsl": "sl"}}
    gain: Any = {"trigger": {"triggerPx": round(mid * 1.1), "isMarket": False, "tpsl": "tp"}}
    past: Any = {"trigger": {"triggerPx": round(mid * 1.1), "isMarket": True, "tpsl": "sl"}}

    def sell(kind: Any) -> Any:
        price = kind["trigger"]["triggerPx"]
        return agent.status(agent.exchange.order("ETH", False, 0.1, price, kind, reduce_only=True))

    stopped, gained = sell(stop)["resting"]["oid"], sell(gain)["resting"]["oid"]
    refused = sell(past)["error"]
    shown = {o["oid"]: o for o in agent.info.frontend_open_orders(ACCOUNT)}

    assert refused.startswith("Invalid TP/SL price.")
    assert (shown[stopped]["orderType"], shown[stopped]["isTrigger"]) == ("Stop Market", True)
    assert shown[gained]["orderType"] == "Take Profit Limit"
    for oid in (stopped, gained):
        assert agent.status(agent.exchange.cancel("ETH", oid)) == "success"
    agent.exchange.market_close("ETH")


# --- refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "factor", "offset", "kind", "beginning"),
    [
        (0.01, 0.95, 0.5, GTC, "Price must be divisible by tick size."),
        (0.0001, 0.95, 0, GTC, "Order must have minimum value of $10."),
        (0.01, 1.01, 0, ALO, "Post only order would have immediately matched, bbo was "),
        (0.01, 0.95, 0, IOC, "Order could not immediately match against any resting orders."),
        (0.01, 0.1, 0, GTC, "Order price cannot be more than 80% away from the reference price"),
        (900, 0.99, 0, GTC, "Insufficient margin to place order."),
    ],
)
def test_a_bad_order_is_refused_in_the_venues_words(
    agent: Sdk, size: float, factor: float, offset: float, kind: Any, beginning: str
) -> None:
    price = round(agent.mid("BTC") * factor) + offset
    refused = agent.status(agent.exchange.order("BTC", True, size, price, kind))

    assert refused["error"].startswith(beginning)
    assert refused["error"].endswith(" asset=0")


def test_reduce_only_and_an_empty_spot_balance_are_refused(agent: Sdk) -> None:
    low = round(agent.mid("BTC") * 0.95)
    reducing = agent.exchange.order("BTC", True, 0.01, low, GTC, reduce_only=True)
    near = float(f"{agent.mid('PURR/USDC'):.4g}")
    selling = agent.exchange.order("PURR/USDC", False, 10_000, near, GTC)

    assert agent.status(reducing)["error"].startswith("Reduce only order would increase position.")
    assert agent.status(selling)["error"].startswith("Order has insufficient spot balance to trade")


def test_a_stranger_a_second_nonce_and_a_late_action_are_refused(
    url: str, agent: Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = Exchange(eth_account.Account.create(), url, account_address=ACCOUNT)
    refused = stranger.update_leverage(2, "BTC", is_cross=False)["response"]
    assert refused == f"User or API Wallet {stranger.wallet.address.lower()} does not exist."

    agent.exchange.set_expires_after(get_timestamp_ms() - 1)
    assert agent.exchange.noop(get_timestamp_ms())["response"] == "Action already expired"
    agent.exchange.set_expires_after(None)

    once = get_timestamp_ms()
    assert agent.exchange.noop(once)["status"] == "ok"
    monkeypatch.setattr("hyperliquid.exchange.get_timestamp_ms", lambda: once)
    twice = agent.exchange.update_leverage(2, "BTC", is_cross=False)["response"]
    assert twice == f"Invalid nonce: duplicate nonce {once}"


def test_the_scheduled_cancel_is_for_those_who_have_traded_enough(agent: Sdk) -> None:
    refused = agent.exchange.schedule_cancel(get_timestamp_ms() + 10_000)["response"]

    assert refused.startswith(
        "Cannot set scheduled cancel time until enough volume traded. Required: $1000000. Traded: $"
    )


# --- money and keys ------------------------------------------------------------------------


def test_leverage_and_isolated_margin_are_read_back(agent: Sdk) -> None:
    agent.exchange.update_leverage(2, "PURR", is_cross=False)
    too_much = agent.exchange.update_leverage(99, "PURR", is_cross=False)
    agent.exchange.market_open("PURR", False, 1_000)
    before = position(agent, "PURR")
    assert before["leverage"]["type"] == "isolated"
    assert before["leverage"]["value"] == 2
    assert too_much["status"] == "err"

    agent.exchange.update_isolated_margin(12.5, "PURR")
    added = Decimal(position(agent, "PURR")["leverage"]["rawUsd"])
    assert added - Decimal(before["leverage"]["rawUsd"]) == Decimal("12.5")
    assert agent.exchange.update_leverage(2, "PURR", is_cross=True)["response"] == (
        "Cannot switch leverage type with open position."
    )
    agent.exchange.market_close("PURR")


def test_money_moves_between_the_two_sides_by_the_accounts_own_key_alone(
    master: Sdk, agent: Sdk
) -> None:
    spot, perp = usdc(master)
    assert master.exchange.usd_class_transfer(100.5, to_perp=True)["status"] == "ok"
    assert usdc(master) == (spot - Decimal("100.5"), perp + Decimal("100.5"))
    back = master.exchange.send_asset(ACCOUNT, "", "spot", "USDC:0x0", 100.5)
    assert back["status"] == "ok"
    assert usdc(master) == (spot, perp)

    by_agent = agent.exchange.usd_class_transfer(1.0, to_perp=True)["response"]
    assert by_agent == f"Must deposit before performing actions. User: {AGENT_ADDRESS.lower()}"
    too_much = master.exchange.usd_class_transfer(10**7, to_perp=True)
    assert too_much["status"] == "err"
    elsewhere = master.exchange.usd_transfer(1.0, "0x" + "9" * 40)
    assert elsewhere["status"] == "err"
    assert usdc(master) == (spot, perp)
    rows = master.info.user_non_funding_ledger_updates(ACCOUNT, 0)
    assert [row["delta"] for row in rows][-2:] == [
        {"type": "accountClassTransfer", "usdc": "100.5", "toPerp": True},
        {"type": "accountClassTransfer", "usdc": "100.5", "toPerp": False},
    ]


def test_an_agent_is_approved_trades_and_is_followed_by_another_of_its_name(
    url: str, master: Sdk
) -> None:
    approved, key = master.exchange.approve_agent("bot")
    trader = Exchange(eth_account.Account.from_key(key), url, account_address=ACCOUNT)
    assert approved["status"] == "ok"
    assert trader.noop(get_timestamp_ms())["status"] == "ok"
    assert "bot" in {row["name"] for row in master.info.extra_agents(ACCOUNT)}

    master.exchange.approve_agent("bot")
    assert "does not exist" in trader.noop(get_timestamp_ms())["response"]
    for other in ("two", "three"):
        assert master.exchange.approve_agent(other)[0]["status"] == "ok"
    assert master.exchange.approve_agent("four")[0]["response"] == "Too many extra agents."


# --- streams -------------------------------------------------------------------------------


def test_the_websocket_manager_hears_the_market_and_the_account(url: str, agent: Sdk) -> None:
    heard: dict[str, list[Any]] = {}
    came = threading.Condition()

    def take(message: Any) -> None:
        with came:
            heard.setdefault(message["channel"], []).append(message.get("data"))
            came.notify_all()

    info = Info(url)
    streams: list[Any] = [
        {"type": "allMids"},
        {"type": "candle", "coin": "BTC", "interval": "1m"},
        *({"type": kind, "coin": "BTC"} for kind in ("l2Book", "bbo", "trades", "activeAssetCtx")),
        {"type": "activeAssetCtx", "coin": "@0"},
        {"type": "activeAssetData", "coin": "BTC", "user": ACCOUNT},
        *(
            {"type": kind, "user": ACCOUNT}
            for kind in (
                "userEvents", "userFills", "orderUpdates", "userFundings",
                "userNonFundingLedgerUpdates",
            )
        ),
    ]  # fmt: skip
    try:
        numbers = [(stream, info.subscribe(dict(stream), take)) for stream in streams]
        time.sleep(0.5)  # orderUpdates and userEvents begin with nothing
        agent.exchange.market_open("BTC", True, 0.001)
        agent.exchange.market_close("BTC")
        wanted = {"user", "orderUpdates", "activeSpotAssetCtx"} | {s["type"] for s in streams}
        wanted -= {"userEvents"}
        with came:
            assert came.wait_for(lambda: wanted <= heard.keys(), 10), wanted - heard.keys()
            assert came.wait_for(lambda: len(heard["userFills"]) >= 3, 5)
            snapshot, bought, sold = heard["userFills"][:3]
            assert snapshot["isSnapshot"]
            assert "isSnapshot" not in bought
            assert [bought["fills"][0]["side"], sold["fills"][0]["side"]] == ["B", "A"]
            books = len(heard["l2Book"])
            assert came.wait_for(lambda: len(heard["l2Book"]) > books, 6)
            statuses = [update["status"] for row in heard["orderUpdates"] for update in row]
            assert statuses == ["filled", "filled"]
        assert all(info.unsubscribe(dict(stream), number) for stream, number in numbers)
    finally:
        info.disconnect_websocket()
