"""What the sockets tell: snapshots, the market, and an order's whole story."""

import json
from decimal import Decimal

import pytest

from domain.market import Book, Level, RecordedFunding
from domain.orders import Side
from domain.rates import FundingRate
from domain.time import HOUR, MILLISECOND, SECOND
from tests.unit.execution.venues.hyperliquid.emulator.floor import (
    ACCOUNT,
    AGENT_ADDRESS,
    Floor,
    Json,
    cloid,
)
from tests.unit.execution.venues.simulated.world import PERP

BUY, SELL = Side.BUY, Side.SELL
PRIVATE = ("orderUpdates", "userEvents", "userFills", "userFundings")


def listening(*kinds: str, mid: float = 30.0) -> Floor:
    """A floor with a market, subscribed; what that brought is already heard."""
    floor = Floor()
    floor.quote(mid)
    for kind in kinds:
        floor.subscribe(type=kind, user=ACCOUNT)
    floor.emulator.drain()
    return floor


# --- subscribing ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "echoed"),
    [
        (
            {"type": "l2Book", "coin": "HYPE"},
            {"type": "l2Book", "coin": "HYPE", "nSigFigs": None, "mantissa": None, "fast": False},
        ),
        ({"type": "bbo", "coin": "@0"}, {"type": "bbo", "coin": "@0"}),
        (
            {"type": "userFills", "user": ACCOUNT.upper().replace("X", "x")},
            {"type": "userFills", "user": ACCOUNT, "aggregateByTime": False},
        ),
        ({"type": "orderUpdates", "user": ACCOUNT}, {"type": "orderUpdates", "user": ACCOUNT}),
        ({"type": "allMids"}, {"type": "allMids", "dex": None}),
    ],
)
def test_a_subscription_is_echoed_in_full_and_taken_once(asked: Json, echoed: Json) -> None:
    floor = Floor()

    floor.subscribe(**asked)
    first = floor.heard()[0]
    floor.subscribe(**asked)
    (again,) = floor.heard_on("error")
    floor.say({"method": "unsubscribe", "subscription": asked})
    floor.say({"method": "unsubscribe", "subscription": asked})
    left, gone = floor.heard()

    assert first == (1, "subscriptionResponse", {"method": "subscribe", "subscription": echoed})
    assert again.startswith("Already subscribed: {")
    assert left[2] == {"method": "unsubscribe", "subscription": echoed}
    assert gone[2].startswith("Already unsubscribed: {")


@pytest.mark.parametrize(
    "subscription",
    [
        {"type": "webData2", "user": ACCOUNT},
        {"type": "clearinghouseState", "user": ACCOUNT, "dex": "xyz"},
        {"type": "l2Book", "coin": "hype"},
        {"type": "l2Book", "coin": "HYPE", "nSigFigs": 3},
        {"type": "userFills", "user": "0x12"},
        {"type": "userFills"},
    ],
)
def test_an_unknown_subscription_is_an_error(subscription: Json) -> None:
    floor = Floor()

    floor.subscribe(**subscription)
    floor.say({"method": "unsubscribe", "subscription": subscription})

    errors = floor.heard_on("error")
    assert len(errors) == 2
    assert all(error.startswith("Invalid subscription") for error in errors)


@pytest.mark.parametrize(
    "frame",
    [
        b"{",
        b"[]",
        b'{"method":"dance"}',
        b'{"method":"subscribe"}',
        b"\xff",
        b'{"method":"\xff"}',
        b'{"method":' + b"[" * 100_000,
    ],
    ids=range(7),
)
def test_a_frame_that_says_nothing_is_an_error(frame: bytes) -> None:
    floor = Floor()

    floor.emulator.frame(1, frame, floor.now_ns)

    assert floor.heard_on("error")[0].startswith("Error parsing JSON into valid websocket request")


def test_a_ping_is_answered() -> None:
    floor = Floor()

    floor.say({"method": "ping"}, connection=9)

    assert floor.heard() == [(9, "pong", None)]


def test_a_closed_connection_hears_no_more_and_the_others_do() -> None:
    floor = Floor()
    for connection in (1, 2):
        floor.emulator.opened(connection)
        floor.subscribe(connection, type="l2Book", coin="HYPE")
    floor.emulator.drain()

    floor.emulator.closed(1)
    floor.quote(30.0)

    assert {connection for connection, _, _ in floor.heard()} == {2}
    floor.emulator.closed(2)
    assert floor.emulator._streams.listeners("l2Book", "HYPE") is None  # nothing is made for nobody


# --- the market ----------------------------------------------------------------------------


def test_a_book_is_told_whole_and_a_new_listener_begins_with_it() -> None:
    floor = Floor()
    floor.subscribe(type="l2Book", coin="HYPE")
    assert floor.heard_on("l2Book") == []  # there is none yet
    floor.quote(30.0)
    (told,) = floor.heard_on("l2Book")
    floor.subscribe(2, type="l2Book", coin="HYPE")
    (snapshot,) = floor.heard_on("l2Book")

    assert told == snapshot
    assert told == {
        "coin": "HYPE",
        "time": floor.now_ns // MILLISECOND,
        "levels": [
            [{"px": "29.99", "sz": "1000.0", "n": 1}],
            [{"px": "30.01", "sz": "1000.0", "n": 1}],
        ],
    }


def test_a_fast_book_has_five_levels_and_the_usual_one_twenty() -> None:
    floor = Floor()
    floor.subscribe(1, type="l2Book", coin="HYPE")
    floor.subscribe(2, type="l2Book", coin="HYPE", fast=True)
    levels = tuple(Level(30.0 - step / 100, 1.0) for step in range(25))
    floor.emulator.play(Book(PERP.id, levels, (), floor.now_ns, floor.now_ns))

    told = {
        connection: data["levels"]
        for connection, channel, data in floor.heard()
        if channel == "l2Book"
    }
    assert [len(side) for side in told[1]] == [20, 0]
    assert told[2] == [told[1][0][:5], []]


def test_the_best_prices_are_told_when_they_change() -> None:
    floor = Floor()
    floor.quote(30.0)
    floor.subscribe(type="bbo", coin="HYPE")
    floor.emulator.drain()

    floor.quote(30.0)
    assert floor.heard_on("bbo") == []
    floor.quote(31.0)

    (told,) = floor.heard_on("bbo")
    assert [level["px"] for level in told["bbo"]] == ["30.99", "31.01"]


def test_a_perps_context_and_a_spot_pairs_come_on_channels_of_their_own() -> None:
    floor = Floor()
    floor.subscribe(type="activeAssetCtx", coin="HYPE")
    floor.subscribe(type="activeAssetCtx", coin="@0")
    floor.quote(30.0)

    heard = floor.heard()
    (perp,) = [data for _, channel, data in heard if channel == "activeAssetCtx"]
    (spot,) = [data for _, channel, data in heard if channel == "activeSpotAssetCtx"]
    assert perp["coin"] == "HYPE"
    assert perp["ctx"]["oraclePx"] == perp["ctx"]["markPx"] == perp["ctx"]["midPx"] == "30.0"
    assert perp["ctx"]["funding"] == "0.0000125"
    assert perp["ctx"]["premium"] == "0.0"
    assert perp["ctx"]["impactPxs"] == ["29.99", "30.01"]
    assert (spot["coin"], spot["ctx"]["midPx"]) == ("@0", "30.0")


def test_prints_are_told_after_those_of_the_past() -> None:
    floor = Floor()
    floor.quote(30.0)
    floor.print(30.01, 2.0, BUY)
    floor.subscribe(type="trades", coin="HYPE")
    floor.print(29.99, 3.0, SELL)

    past, now = floor.heard_on("trades")
    assert [(t["px"], t["sz"], t["side"]) for t in past] == [("30.01", "2.0", "B")]
    assert [(t["px"], t["sz"], t["side"]) for t in now] == [("29.99", "3.0", "A")]


def test_all_mids_come_every_five_seconds() -> None:
    floor = Floor()
    floor.quote(30.0)
    floor.subscribe(type="allMids")
    for _ in range(10):
        floor.quote(30.5)

    first, *later = floor.heard_on("allMids")
    assert first == {"mids": {"HYPE": "30.0", "@0": "30.0"}}
    assert len(later) == 2


# --- the account ---------------------------------------------------------------------------


def test_orders_and_events_begin_with_nothing_and_fills_with_the_past() -> None:
    floor = Floor()
    floor.quote(30.0)
    floor.order(BUY, "1", "30.01")
    for kind in PRIVATE:
        floor.subscribe(type=kind, user=ACCOUNT)

    told = [(channel, data) for _, channel, data in floor.heard() if "Response" not in channel]
    assert [channel for channel, _ in told] == ["userFills", "userFundings"]
    assert told[0][1]["isSnapshot"] is True
    assert [fill["px"] for fill in told[0][1]["fills"]] == ["30.01"]
    assert told[1][1] == {"isSnapshot": True, "user": ACCOUNT, "fundings": []}


def test_who_listens_for_another_address_hears_of_nothing() -> None:
    floor = Floor()
    floor.quote(30.0)
    floor.order(BUY, "1", "30.01")
    for kind in PRIVATE:
        floor.subscribe(type=kind, user=AGENT_ADDRESS)
    snapshots = [data for _, channel, data in floor.heard() if "Response" not in channel]
    floor.order(BUY, "1", "30.01")

    assert [s["fills" if "fills" in s else "fundings"] for s in snapshots] == [[], []]
    assert floor.heard() == []


def test_the_story_of_a_fill() -> None:
    floor = listening(*PRIVATE)

    floor.order(SELL, "10", "29.99", name=cloid(1))

    heard = {channel: data for _, channel, data in floor.heard()}
    (update,) = heard["orderUpdates"]
    assert update == {
        "order": {
            "coin": "HYPE",
            "side": "A",
            "limitPx": "29.99",
            "sz": "0.0",
            "oid": 1,
            "timestamp": floor.now_ns // MILLISECOND,
            "origSz": "10.0",
            "cloid": cloid(1),
        },
        "status": "filled",
        "statusTimestamp": floor.now_ns // MILLISECOND,
    }
    assert "isSnapshot" not in heard["userFills"]
    (fill,) = heard["userFills"]["fills"]
    assert heard["user"] == {"fills": [fill]}
    assert "cloid" not in fill
    assert isinstance(fill.pop("tid"), int)
    assert len(fill.pop("hash")) == 66
    assert fill == {
        "coin": "HYPE",
        "px": "29.99",
        "sz": "10.0",
        "side": "A",
        "time": floor.now_ns // MILLISECOND,
        "startPosition": "0.0",
        "dir": "Open Short",
        "closedPnl": "0.0",
        "oid": 1,
        "crossed": True,
        "fee": "0.134955",
        "feeToken": "USDC",
    }


def test_a_resting_order_opens_fills_by_parts_and_is_done() -> None:
    floor = listening("orderUpdates", "userFills")
    floor.order(BUY, "10", "29.98", tif="Gtc")
    floor.quote(30.0)
    floor.print(29.97, 4.0, SELL)
    floor.print(29.97, 6.0, SELL)

    heard = floor.heard()
    updates = [data[0] for _, channel, data in heard if channel == "orderUpdates"]
    fills = [data["fills"][0] for _, channel, data in heard if channel == "userFills"]
    assert [(u["status"], u["order"]["sz"]) for u in updates] == [
        ("open", "10.0"),
        ("filled", "0.0"),
    ]
    assert [(f["sz"], f["px"], f["crossed"]) for f in fills] == [
        ("4.0", "29.98", False),
        ("6.0", "29.98", False),
    ]
    assert len({f["tid"] for f in fills}) == 2


def test_the_status_of_an_open_order_does_not_follow_its_fills_and_the_list_of_open_ones_does() -> (
    None
):
    floor = Floor()
    floor.quote(30.0, size=3.0)
    floor.order(BUY, "10", "30.01", tif="Gtc", name=cloid(1))  # three at once
    opened_ms = floor.now_ns // MILLISECOND
    floor.quote(30.5)
    floor.print(30.0, 2.0, SELL)

    told = floor.info("orderStatus", user=ACCOUNT, oid=cloid(1))["order"]
    (listed,) = floor.info("openOrders", user=ACCOUNT)
    assert (told["status"], told["order"]["sz"], told["statusTimestamp"]) == (
        "open", "7.0", opened_ms
    )  # fmt: skip
    assert (listed["sz"], listed["origSz"]) == ("5.0", "10.0")
    floor.act({"type": "cancel", "cancels": [{"a": 0, "o": 1}]})
    told = floor.info("orderStatus", user=ACCOUNT, oid=cloid(1))["order"]
    assert (told["status"], told["order"]["sz"]) == ("canceled", "5.0")


@pytest.mark.parametrize(
    ("price", "tif", "status"),
    [
        ("29.123456", "Gtc", "tickRejected"),
        ("29", "Ioc", "iocCancelRejected"),
        ("31", "Alo", "badAloPxRejected"),
    ],
)
def test_a_refused_order_is_told_too(price: str, tif: str, status: str) -> None:
    floor = listening("orderUpdates")

    floor.order(BUY, "1", price, tif=tif)

    (update,) = floor.heard_on("orderUpdates")[0]
    assert (update["status"], update["order"]["sz"]) == (status, "1.0")


def test_what_an_ioc_leaves_is_canceled_and_the_answer_says_filled() -> None:
    floor = Floor()
    floor.quote(30.0, size=3.0)
    floor.subscribe(type="orderUpdates", user=ACCOUNT)
    floor.emulator.drain()

    answer = floor.order(BUY, "10", "30.01")

    assert answer["filled"]["totalSz"] == "3.0"
    (update,) = floor.heard_on("orderUpdates")[0]
    assert (update["status"], update["order"]["sz"]) == ("canceled", "7.0")


def test_funding_is_told_at_the_hour() -> None:
    floor = listening("userFundings", "userEvents")
    floor.order(SELL, "10", "29.99")
    floor.emulator.drain()
    floor.wait(HOUR)
    floor.quote(30.0)

    heard = {channel: data for _, channel, data in floor.heard()}
    (funding,) = heard["userFundings"]["fundings"]
    assert heard["user"] == {"funding": funding}
    assert funding["time"] % (HOUR // MILLISECOND) == 0
    assert {key: funding[key] for key in ("coin", "usdc", "szi", "fundingRate")} == {
        "coin": "HYPE",
        "usdc": "0.00375",
        "szi": "-10.0",
        "fundingRate": "0.0000125",
    }


def test_a_rate_from_history_is_charged_as_it_was() -> None:
    floor = listening("userFundings")
    floor.order(SELL, "10", "29.99")
    rate = FundingRate(-0.0004, 1.0)
    early = floor.now_ns + SECOND
    floor.emulator.play(RecordedFunding(PERP.id, rate, early, early))
    floor.wait(2 * HOUR)
    late = floor.now_ns
    floor.emulator.play(RecordedFunding(PERP.id, rate, late, late))

    (told,) = floor.heard_on("userFundings")
    assert told["fundings"][0]["usdc"] == "-0.12"


# --- what the venue does by itself ---------------------------------------------------------


def leveraged() -> Floor:
    """Short 100 HYPE at ten times, and a reduce-only order besides."""
    floor = listening(*PRIVATE)
    floor.leverage(10)
    floor.order(SELL, "100", "29.99")
    floor.order(BUY, "10", "20", tif="Gtc", reduce_only=True, name=cloid(5))
    floor.emulator.drain()
    return floor


def test_the_story_of_a_liquidation_into_the_market() -> None:
    floor = leveraged()
    price = floor.info("clearinghouseState", user=ACCOUNT)["assetPositions"][0]["position"][
        "liquidationPx"
    ]

    floor.quote(float(Decimal(price).quantize(Decimal("0.01"))) + 0.05)

    heard = floor.heard()
    (fills,) = [data["fills"] for _, channel, data in heard if channel == "userFills"]
    updates = [data[0] for _, channel, data in heard if channel == "orderUpdates"]
    events = [next(iter(data)) for _, channel, data in heard if channel == "user"]
    assert fills[0]["liquidation"]["liquidatedUser"] == ACCOUNT
    assert fills[0]["liquidation"]["method"] == "market"
    assert (fills[0]["dir"], fills[0]["sz"]) == ("Close Short", "100.0")
    assert Decimal(fills[0]["fee"]) > 0
    assert [(u["status"], u["order"]["cloid"]) for u in updates] == [
        ("liquidatedCanceled", cloid(5))
    ]
    assert events == ["fills", "liquidation", "nonUserCancel"]
    assert floor.info("orderStatus", user=ACCOUNT, oid=fills[0]["oid"])["status"] == "unknownOid"
    assert floor.info("clearinghouseState", user=ACCOUNT)["assetPositions"] == []


def test_the_backstop_takes_the_margin_with_the_position() -> None:
    floor = leveraged()
    before = floor.info("spotClearinghouseState", user=ACCOUNT)["balances"][0]["total"]

    floor.quote(32.6)  # between two thirds of maintenance and bankruptcy there is no market order

    heard = floor.heard()
    (fills,) = [data["fills"] for _, channel, data in heard if channel == "userFills"]
    (liquidation,) = [
        data["liquidation"]
        for _, channel, data in heard
        if channel == "user" and "liquidation" in data
    ]
    after = floor.info("spotClearinghouseState", user=ACCOUNT)["balances"][0]["total"]
    (entry,) = floor.info(
        "userNonFundingLedgerUpdates", user=ACCOUNT, startTime=floor.now_ns // MILLISECOND
    )
    assert fills[0]["dir"] == "Liquidated Isolated Short"
    assert (fills[0]["px"], fills[0]["fee"]) == ("32.6", "0.0")
    assert fills[0]["liquidation"] == {
        "liquidatedUser": ACCOUNT, "markPx": "32.6", "method": "backstop"
    }  # fmt: skip
    assert before == after  # the margin had left the balance, and does not come back
    assert entry["delta"]["type"] == "liquidation"
    assert entry["delta"]["liquidatedPositions"] == [{"coin": "HYPE", "szi": "-100.0"}]
    assert Decimal(entry["delta"]["accountValue"]) > 0
    assert liquidation["liquidated_user"] == ACCOUNT
    assert liquidation["liquidated_account_value"] == entry["delta"]["accountValue"]
    assert liquidation["liquidated_ntl_pos"] == entry["delta"]["liquidatedNtlPos"] == "3260.0"


def test_auto_deleveraging_names_another_account_as_the_liquidated_one() -> None:
    floor = leveraged()
    floor.quote(25.0)
    floor.emulator.drain()

    floor.emulator.auto_deleverage(PERP.id, Decimal(1), Decimal(24), floor.now_ns)

    heard = floor.heard()
    (fills,) = [data["fills"] for _, channel, data in heard if channel == "userFills"]
    updates = [data[0] for _, channel, data in heard if channel == "orderUpdates"]
    events = [next(iter(data)) for _, channel, data in heard if channel == "user"]
    assert fills[0]["dir"] == "Auto-Deleveraging"
    assert fills[0]["liquidation"]["liquidatedUser"] != ACCOUNT
    assert fills[0]["closedPnl"] == "599.0"  # sold at 29.99, bought at 24
    assert [u["status"] for u in updates] == ["reduceOnlyCanceled"]
    assert events == ["fills", "nonUserCancel"]


def test_only_what_the_venue_canceled_by_itself_is_told_as_such() -> None:
    floor = listening("userEvents")
    floor.order(BUY, "1", "29", tif="Gtc", name=cloid(1))
    floor.act({"type": "cancel", "cancels": [{"a": 0, "o": 1}]})
    floor.order(BUY, "1", "29")  # an IOC that finds nothing

    assert floor.heard_on("user") == []


# --- posts ---------------------------------------------------------------------------------


def test_a_post_is_answered_under_its_number() -> None:
    floor = listening()
    action = {"type": "noop"}
    body = floor.signed(action)

    floor.say(
        {
            "method": "post",
            "id": 7,
            "request": {"type": "info", "payload": {"type": "userAbstraction", "user": ACCOUNT}},
        }
    )
    floor.say(
        {
            "method": "post",
            "id": 8,
            "request": {"type": "action", "payload": json.loads(body)},
        }
    )
    floor.say(
        {
            "method": "post",
            "id": 9,
            "request": {"type": "action", "payload": json.loads(body)},
        }
    )
    floor.say({"method": "post", "id": 10, "request": {"type": "info", "payload": {"type": "x"}}})
    floor.say({"method": "post", "request": {"type": "info", "payload": {"type": "meta"}}})
    floor.say({"method": "post", "id": 11, "request": {"type": "dance", "payload": {}}})

    heard = floor.heard()
    answers = {data["id"]: data["response"] for _, channel, data in heard if channel == "post"}
    assert answers[7] == {
        "type": "info",
        "payload": {"type": "userAbstraction", "data": "unifiedAccount"},
    }
    assert answers[8]["payload"] == {"status": "ok", "response": {"type": "default"}}
    assert answers[9]["payload"]["status"] == "err"
    assert answers[10]["type"] == "error"
    assert [channel for _, channel, _ in heard].count("error") == 2
    assert [received.action for received in floor.emulator.received] == ["noop", "noop"]
