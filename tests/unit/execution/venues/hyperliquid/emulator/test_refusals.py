"""Every way in which the venue says no, in its own words, and what it keeps of it."""

import json
from decimal import Decimal
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from hyperliquid.utils import signing as sdk_signing

from domain.instruments import Pair
from domain.money import ZERO
from domain.orders import Side, TimeInForce
from domain.time import DAY, MILLISECOND, SECOND
from execution.venues.hyperliquid.emulator.listing import Listing
from execution.venues.hyperliquid.emulator.received import ReceivedOrder
from tests.unit.execution.venues.hyperliquid.emulator.floor import (
    ACCOUNT,
    AGENT,
    AGENT_ADDRESS,
    MASTER,
    PAIR,
    PERP_ASSET,
    SPOT_ASSET,
    STRANGER,
    Floor,
    Json,
    cloid,
)
from tests.unit.execution.venues.simulated.world import PERP, SPOT

NOOP = {"type": "noop"}
BUY, SELL = Side.BUY, Side.SELL
GATE = (
    "Cannot set scheduled cancel time until enough volume traded. "
    "Required: $1000000. Traded: $0.00."
)


def wire(**changed: Any) -> Json:
    order = {
        "a": PERP_ASSET, "b": True, "p": "29", "s": "1", "r": False, "t": {"limit": {"tif": "Gtc"}}
    }  # fmt: skip
    return {"type": "order", "orders": [order | changed], "grouping": "na"}


def opened() -> Floor:
    floor = Floor()
    floor.quote(30.0)
    return floor


# --- HTTP ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/info", b"{", 400, "Failed to parse the request body as JSON"),
        ("/info", b'{"type":"\xff"}', 400, "Failed to parse the request body as JSON"),
        ("/info", b'{"x":' + b"[" * 100_000, 400, "Failed to parse the request body as JSON"),
        ("/exchange", b'{"action":' + b"[" * 100_000, 400, "Failed to parse the request body"),
        ("/info", b"{}", 422, "Failed to deserialize the JSON body into the target type"),
        ("/info", b'{"type":"webData2"}', 422, "Failed to deserialize"),
        ("/info", b'{"type":"openOrders"}', 422, "Failed to deserialize"),
        ("/info", b'{"type":"openOrders","user":"0x12"}', 422, "Failed to deserialize"),
        ("/info", b'{"type":"fundingHistory","coin":"HYPE"}', 422, "Failed to deserialize"),
        ("/info", b'{"type":"fundingHistory","coin":"NO","startTime":0}', 500, "null"),
        ("/info", b'{"type":"meta","dex":"xyz"}', 500, "null"),
        ("/info", b'{"type":"l2Book","coin":"NO"}', 200, "null"),
        ("/exchange", b"{", 400, "Failed to parse the request body as JSON"),
        ("/exchange", b'{"action":{}}', 422, "Failed to deserialize"),
        ("/nothing", b"{}", 404, ""),
    ],
)
def test_a_request_that_is_none_has_a_status(
    path: str, body: bytes, status: int, text: str
) -> None:
    floor = opened()

    reply = floor.emulator.request(path, body, floor.now_ns)

    assert reply.status == status
    assert reply.body.decode().startswith(text)


@pytest.mark.parametrize(
    "action",
    [
        {"type": "agentSetAbstraction", "abstraction": "x"},
        {"type": "noop2"},
        {"kind": "noop"},
        wire(p=29),
        wire(p="-29"),
        wire(s="1e3"),
        wire(c="0x12"),
        wire(t={"limit": {"tif": "Fok"}}),
    ],
)
def test_an_action_the_venue_does_not_know_is_no_action(action: Json) -> None:
    floor = opened()

    reply = floor.emulator.request("/exchange", floor.signed(action), floor.now_ns)

    assert reply.status == 422
    assert floor.emulator.received[-1].outcome.startswith("Failed to deserialize")


# --- who, when, how often ------------------------------------------------------------------


def test_only_the_account_and_its_agents_may_act() -> None:
    floor = opened()

    assert floor.act(NOOP, MASTER)["status"] == "ok"
    assert floor.act(NOOP, AGENT)["status"] == "ok"
    stranger = str(STRANGER.address).lower()
    assert floor.act(NOOP, STRANGER) == {
        "status": "err",
        "response": f"User or API Wallet {stranger} does not exist.",
    }


def test_an_agent_may_act_up_to_its_last_millisecond() -> None:
    floor = Floor(agents={AGENT_ADDRESS: (Floor().now_ns + SECOND) // MILLISECOND})
    floor.wait(SECOND)
    assert floor.act(NOOP)["status"] == "ok"

    floor.wait(MILLISECOND)

    assert floor.act(NOOP)["response"] == f"User or API Wallet {AGENT_ADDRESS} does not exist."


def test_a_signature_for_the_other_network_is_somebody_elses() -> None:
    testnet, mainnet = Floor(), Floor(mainnet=True)

    assert mainnet.act(NOOP)["status"] == "ok"
    assert "does not exist" in testnet.send(mainnet.signed(NOOP))["response"]


def test_a_broken_signature_has_no_signer() -> None:
    floor = opened()
    body = json.loads(floor.signed(NOOP))
    body["signature"]["r"] = "0x0"

    assert floor.send(json.dumps(body).encode())["response"] == "Unable to recover signer."


def test_a_vault_is_not_registered() -> None:
    vault = f"0x{'9' * 40}"

    answer = opened().act(NOOP, vault=vault)

    assert answer["response"] == f"Vault not registered: {vault}"


def test_an_expired_action_does_nothing_and_leaves_its_nonce() -> None:
    floor = opened()
    now_ms = floor.now_ns // MILLISECOND
    nonce = floor.nonce + 1

    late = floor.act(wire(c=cloid(1)), nonce=nonce, expires_ms=now_ms - 1)
    in_time = floor.act(wire(c=cloid(1)), nonce=nonce, expires_ms=now_ms)

    assert late["response"] == "Action already expired"
    assert in_time["status"] == "ok"


def test_the_same_bytes_never_act_twice() -> None:
    floor = opened()
    body = floor.signed(wire(c=cloid(1)))

    first, second = floor.send(body), floor.send(body)

    assert first["status"] == "ok"
    assert second["response"] == f"Invalid nonce: duplicate nonce {floor.nonce}"
    assert len(floor.info("openOrders", user=ACCOUNT)) == 1


def test_a_nonce_is_used_up_by_an_order_that_was_refused() -> None:
    floor = opened()

    refused = floor.act(wire(p="29.123456"), nonce=floor.nonce)
    fence = floor.act(NOOP, nonce=floor.nonce)

    assert "error" in refused["response"]["data"]["statuses"][0]
    assert fence["response"] == f"Invalid nonce: duplicate nonce {floor.nonce}"


def test_each_signer_has_nonces_of_its_own() -> None:
    floor = opened()

    assert floor.act(NOOP, AGENT, nonce=floor.nonce)["status"] == "ok"
    assert floor.act(NOOP, MASTER, nonce=floor.nonce)["status"] == "ok"


def test_a_nonce_of_last_week_is_too_low() -> None:
    floor = opened()
    nonce = (floor.now_ns - 7 * DAY) // MILLISECOND

    assert floor.act(NOOP, nonce=nonce)["response"].startswith(
        f"Invalid nonce: nonce too low {nonce} < "
    )


# --- orders --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "error", "status"),
    [
        ({"p": "29.123456"}, "Price must be divisible by tick size.", "tickRejected"),
        ({"s": "0.1"}, "Order must have minimum value of $10.", "minTradeNtlRejected"),
        ({"s": "1.001"}, "Order has invalid size", "rejected"),
        ({"s": "5000", "p": "31"}, "Insufficient margin to place order.", "perpMarginRejected"),
        ({"r": True}, "Reduce only order would increase position.", "reduceOnlyRejected"),
        (
            {"p": "31", "t": {"limit": {"tif": "Alo"}}},
            "Post only order would have immediately matched, bbo was 29.99@30.01.",
            "badAloPxRejected",
        ),
        (
            {"t": {"limit": {"tif": "Ioc"}}},
            "Order could not immediately match against any resting orders.",
            "iocCancelRejected",
        ),
        (
            {"a": SPOT_ASSET, "s": "0.1"},
            "Order must have minimum value of 10 USDC.",
            "minTradeNtlRejected",
        ),
        (
            {"a": SPOT_ASSET, "b": False},
            "Order has insufficient spot balance to trade",
            "insufficientSpotBalanceRejected",
        ),
    ],
)
def test_a_refused_order_has_its_own_error_and_its_status_can_be_asked(
    changed: Json, error: str, status: str
) -> None:
    floor = opened()

    answer = floor.act(wire(c=cloid(1), **changed))

    asset = changed.get("a", PERP_ASSET)
    assert answer["response"]["data"]["statuses"] == [{"error": f"{error} asset={asset}"}]
    told = floor.info("orderStatus", user=ACCOUNT, oid=cloid(1))
    assert told["order"]["status"] == status
    assert told["order"]["order"]["sz"] == told["order"]["order"]["origSz"]
    assert floor.info("openOrders", user=ACCOUNT) == []


def test_a_position_stays_within_the_tier_of_its_leverage() -> None:
    floor = Floor({"USDC": "1000000"})
    floor.quote(30.0)
    floor.leverage(10)

    answer = floor.order(BUY, "110000", "30.01")

    assert answer["error"] == (
        "Order would cause position to exceed margin tier limit at current leverage asset=0"
    )


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (wire() | {"orders": []}, "Empty batch of orders or cancels."),
        (wire() | {"grouping": "tpsl"}, "Invalid grouping."),
        (wire(a=77), "Invalid asset: 77"),
        (wire(s="0"), "Order has zero size."),
        (
            wire(a=SPOT_ASSET, t={"trigger": {"isMarket": True, "triggerPx": "20", "tpsl": "sl"}}),
            "Trigger orders are of perps alone.",
        ),
        ({"type": "cancel", "cancels": []}, "Empty batch of orders or cancels."),
        (
            {"type": "batchModify", "modifies": [{"oid": 1, "order": wire(a=77)["orders"][0]}]},
            "Invalid asset: 77",
        ),
        ({"type": "batchModify", "modifies": []}, "Empty batch of orders or cancels."),
        (
            {"type": "modify", "oid": 1, "order": wire()["orders"][0]},
            "Cannot modify canceled or filled order asset=0",
        ),
        (
            {"type": "updateLeverage", "asset": 0, "isCross": False, "leverage": 11},
            "Invalid leverage value: 11 is not between 1 and 10.",
        ),
        (
            {"type": "updateLeverage", "asset": 9, "isCross": False, "leverage": 1},
            "Invalid asset: 9",
        ),
        (
            {"type": "updateLeverage", "asset": SPOT_ASSET, "isCross": False, "leverage": 1},
            "Leverage and margin are settings of a perpetual.",
        ),
        (
            {"type": "updateIsolatedMargin", "asset": 0, "isBuy": True, "ntli": 1},
            "No open position to move margin on.",
        ),
        (
            {"type": "updateIsolatedMargin", "asset": 9, "isBuy": True, "ntli": 1},
            "Invalid asset: 9",
        ),
        (
            {"type": "scheduleCancel", "time": 2_000_000_000_000},
            GATE,
        ),
    ],
)
def test_a_whole_action_is_refused_with_one_text(action: Json, error: str) -> None:
    floor = opened()

    assert floor.act(action) == {"status": "err", "response": error}
    assert floor.emulator.received[-1].outcome == error


def test_the_margin_mode_does_not_change_under_an_open_position() -> None:
    floor = opened()
    floor.order(SELL, "10", "29.99")

    assert floor.leverage(5, cross=True)["response"] == (
        "Cannot switch leverage type with open position."
    )
    assert floor.leverage(5)["status"] == "ok"


def test_a_cross_position_takes_no_isolated_margin() -> None:
    floor = opened()
    floor.leverage(5, cross=True)
    floor.order(SELL, "10", "29.99")
    add = {"type": "updateIsolatedMargin", "asset": 0, "isBuy": True, "ntli": 1_000_000}

    assert floor.act(add)["response"] == "Position does not use isolated margin."
    position = floor.info("clearinghouseState", user=ACCOUNT)["assetPositions"][0]["position"]
    assert position["leverage"] == {"type": "cross", "value": 5}


def test_a_client_id_is_taken_once() -> None:
    floor = opened()
    floor.order(BUY, "1", "29", tif="Gtc", name=cloid(1))

    again = floor.order(BUY, "1", "28", tif="Gtc", name=cloid(1))

    assert again == {"error": "duplicate client order id asset=0"}
    assert [o["limitPx"] for o in floor.info("openOrders", user=ACCOUNT)] == ["29.0"]
    told = floor.info("orderStatus", user=ACCOUNT, oid=cloid(1))["order"]
    assert (told["status"], told["order"]["limitPx"]) == ("open", "29.0")


def test_after_an_upgrade_only_post_only_orders_are_taken() -> None:
    floor = opened()
    floor.emulator.post_only = True

    ioc, gtc = (floor.order(BUY, "1", "31", tif=tif) for tif in ("Ioc", "Gtc"))
    alo = floor.order(BUY, "1", "29", tif="Alo")
    floor.emulator.post_only = False

    text = "Only post-only orders allowed immediately after a network upgrade"
    assert ioc == gtc == {"status": "err", "response": text}
    assert list(alo) == ["resting"]
    assert "filled" in floor.order(BUY, "1", "31")


def test_a_cancel_finds_only_the_asset_it_names() -> None:
    floor = opened()
    floor.order(BUY, "1", "29", tif="Gtc", name=cloid(1))

    def cancel(asset: int) -> Json:
        cancels = [{"asset": asset, "cloid": cloid(1)}]
        answer = floor.act({"type": "cancelByCloid", "cancels": cancels})
        return answer["response"]["data"]["statuses"][0]

    assert cancel(SPOT_ASSET)["error"].startswith("Order was never placed, already canceled")
    assert cancel(PERP_ASSET) == "success"


# --- user-signed ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signer", "text"),
    [
        (AGENT, f"Must deposit before performing actions. User: {AGENT_ADDRESS}"),
        (MASTER, "Action disabled when unified account is active."),
    ],
)
def test_an_agent_moves_no_money(signer: Any, text: str) -> None:
    floor = opened()
    action = {"type": "usdClassTransfer", "amount": "1", "toPerp": True, "nonce": floor.nonce}
    signature = sdk_signing.sign_usd_class_transfer_action(signer, action, False)
    body = {"action": action, "nonce": floor.nonce, "signature": signature}

    assert floor.send(json.dumps(body).encode()) == {"status": "err", "response": text}


@pytest.mark.parametrize("missing", ["amount", "signatureChainId"])
def test_a_user_signed_action_with_a_field_missing_is_no_action(missing: str) -> None:
    floor = opened()
    action = {"type": "usdClassTransfer", "amount": "1", "toPerp": True, "nonce": 5}
    signature = sdk_signing.sign_usd_class_transfer_action(AGENT, action, False)
    del action[missing]
    body = json.dumps({"action": action, "nonce": 5, "signature": signature}).encode()

    assert floor.emulator.request("/exchange", body, floor.now_ns).status == 422


# --- the scheduled cancel ------------------------------------------------------------------


def million() -> Floor:
    """An account that has traded enough."""
    floor = Floor({"USDC": "1000000"})
    floor.quote(30.0, size=1e6)
    floor.order(BUY, "20000", "30.01", asset=SPOT_ASSET)
    floor.order(SELL, "19000", "29.99", asset=SPOT_ASSET)
    return floor


def test_the_scheduled_cancel_cancels_what_is_open_then() -> None:
    floor = million()
    floor.order(BUY, "1", "29", tif="Gtc", name=cloid(1))
    due_ms = floor.now_ns // MILLISECOND + 5_000

    assert floor.act({"type": "scheduleCancel", "time": due_ms - 1})["response"] == (
        "Scheduled cancel time must be at least 5 seconds from now."
    )
    assert floor.act({"type": "scheduleCancel", "time": due_ms})["status"] == "ok"
    floor.wait(4 * SECOND)
    assert floor.info("orderStatus", user=ACCOUNT, oid=cloid(1))["order"]["status"] == "open"
    floor.quote(30.0)

    told = floor.info("orderStatus", user=ACCOUNT, oid=cloid(1))["order"]
    assert told["status"] == "scheduledCancel"
    assert told["statusTimestamp"] == due_ms


def test_a_scheduled_cancel_is_taken_back() -> None:
    floor = million()
    floor.order(BUY, "1", "29", tif="Gtc", name=cloid(1))
    floor.act({"type": "scheduleCancel", "time": floor.now_ns // MILLISECOND + 5_000})

    assert floor.act({"type": "scheduleCancel"})["status"] == "ok"
    floor.wait(60 * SECOND)

    assert floor.info("orderStatus", user=ACCOUNT, oid=cloid(1))["order"]["status"] == "open"


def test_the_scheduled_cancel_fires_ten_times_a_day() -> None:
    floor = million()
    for _ in range(10):
        floor.act({"type": "scheduleCancel", "time": floor.now_ns // MILLISECOND + 5_000})
        floor.wait(6 * SECOND)

    one_more = {"type": "scheduleCancel", "time": floor.now_ns // MILLISECOND + 5_000}
    assert floor.act(one_more)["response"] == (
        "Cannot set scheduled cancel time: too many triggers today."
    )
    floor.wait(DAY)
    one_more["time"] = floor.now_ns // MILLISECOND + 5_000
    assert floor.act(one_more)["status"] == "ok"


# --- the venue's own log -------------------------------------------------------------------


def test_every_action_that_arrived_is_on_record_with_its_answer() -> None:
    floor = opened()
    orders = [
        wire(c=cloid(1))["orders"][0],
        wire(a=SPOT_ASSET, b=False, t={"limit": {"tif": "Ioc"}})["orders"][0],
    ]
    body = floor.signed(
        {"type": "order", "orders": orders, "grouping": "na"}, expires_ms=2_000_000_000_000
    )
    floor.send(body)
    floor.act({"type": "cancel", "cancels": [{"a": 0, "o": 1}]}, STRANGER)
    floor.emulator.request("/exchange", b"{}", floor.now_ns)

    order, cancel, broken = floor.emulator.received
    assert order.orders == (
        ReceivedOrder(
            cloid(1), PERP.id, BUY, Decimal(1), Decimal(29), TimeInForce.GTC, reduce_only=False
        ),
        ReceivedOrder(
            None, SPOT.id, SELL, Decimal(1), Decimal(29), TimeInForce.IOC, reduce_only=False
        ),
    )
    assert (order.signer, order.action, order.outcome) == (AGENT_ADDRESS, "order", "ok")
    assert (order.time_ns, order.expires_ms) == (floor.now_ns, 2_000_000_000_000)
    assert order.digest == sha256(body).hexdigest()
    assert order.statuses == (
        "resting",
        "Order has insufficient spot balance to trade asset=10000",
    )
    assert (cancel.action, cancel.cloids) == ("cancel", (cloid(1),))
    assert "does not exist" in cancel.outcome
    assert (broken.action, broken.signer) == ("", None)


def test_only_usdc_is_a_quote() -> None:
    odd = msgspec.structs.replace(SPOT, quote="USDT")

    with pytest.raises(ValueError, match="only USDC"):
        Floor(pair=Pair("HYPE", odd, PERP))


def test_an_account_has_one_fee_a_kind() -> None:
    other = msgspec.structs.replace(
        PERP, symbol="X-PERP", base="X", fees=msgspec.structs.replace(PERP.fees, taker=ZERO)
    )

    with pytest.raises(ValueError, match="different fees"):
        Listing([PAIR, Pair("X", SPOT, other)])


# --- the address's requests ------------------------------------------------------------------


def test_an_address_that_has_used_its_requests_waits_ten_seconds_for_each_more() -> None:
    floor = opened()
    floor.emulator._info.actions = 10_000
    noop = {"type": "noop"}

    floor.act(noop)  # the first beyond is taken, and then one every ten seconds
    refused = floor.act(noop)
    canceled = floor.act({"type": "cancel", "cancels": [{"a": 0, "o": 99}]})

    assert refused["response"].startswith("Too many cumulative requests sent (10002 > 10000)")
    assert canceled["status"] == "ok"
    floor.wait(10 * SECOND)
    assert floor.act(noop)["status"] == "ok"
