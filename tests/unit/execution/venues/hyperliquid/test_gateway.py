"""The gateway over a wire that loses, lies and falls silent."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from domain.account import (
    AccountReport,
    FundingPayment,
    LeverageConfirmed,
    MarginMode,
    MarginMoved,
    SettingRefused,
)
from domain.market import Book, FundingSettled, PerpContext
from domain.orders import (
    CancelReason,
    CancelRejected,
    Fill,
    FillCause,
    OrderAccepted,
    OrderCanceled,
    OrderFenced,
    OrderRejected,
    OrderReport,
    OrderStatus,
    SendFailed,
    TimeInForce,
)
from domain.time import HOUR, MILLISECOND, SECOND
from execution.effects import (
    CancelOrder,
    FenceOrder,
    MoveMargin,
    PlaceOrder,
    QueryAccount,
    QueryOrder,
    SetLeverage,
    VenueEffect,
)
from execution.events import Reconnected, Trouble
from execution.ports import Reply, TransportFailed
from execution.risk.halts import LATCHED
from execution.venues.hyperliquid import wire
from execution.venues.hyperliquid.sign import AgentSigner, Caps
from execution.venues.hyperliquid.timing import Timing
from tests.unit.execution.venues.hyperliquid.venue import (
    ACCOUNT,
    CLOID,
    KEY,
    NOW,
    OID,
    QUICK,
    Desk,
    fill_row,
    listed,
    order,
    order_status,
    order_update,
    position,
    statuses,
)

PERP = "hyperliquid:HYPE-PERP"


def quick(**seconds: float) -> Timing:
    return msgspec.structs.replace(QUICK, **seconds)


# --- orders ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer", [TransportFailed("timed out"), Reply(502, b"Bad Gateway"), Reply(200, b"<html>")]
)
async def test_without_a_trustworthy_answer_the_order_is_unknown_and_is_not_sent_again(
    answer: object,
) -> None:
    async with Desk() as desk:
        desk.venue.exchange = answer
        desk.do(PlaceOrder(order()))
        await desk.until(lambda: bool(desk.of(SendFailed)))
        await desk.rest()

    assert desk.of(SendFailed)[0].cloid == CLOID
    assert len(desk.venue.actions) == 1


async def test_exactly_the_bytes_that_were_prepared_are_sent() -> None:
    async with Desk() as desk:
        effects: list[VenueEffect] = [
            PlaceOrder(order()),
            CancelOrder(CLOID, PERP),
            MoveMargin("m", PERP, Decimal(5)),
        ]
        facts = desk.gateway.prepare(effects)
        desk.clock.ns += HOUR
        desk.gateway.submit(effects)
        await desk.until(lambda: len(desk.venue.actions) == 3)

    assert [body.decode() for body in desk.venue.actions] == [fact.body for fact in facts]
    assert [fact.request_id for fact in facts] == [CLOID, f"cancel-{CLOID}", "m"]
    assert len({fact.nonce for fact in facts}) == 3
    sent = [json.loads(body) for body in desk.venue.actions]
    assert [body["nonce"] for body in sent] == [fact.nonce for fact in facts]
    assert [body["expiresAfter"] for body in sent] == [NOW // MILLISECOND + 5_000] * 3


async def test_two_requests_of_one_name_are_two_requests() -> None:
    async with Desk() as desk:
        twice = [CancelOrder(CLOID, PERP), CancelOrder(CLOID, PERP)]
        first, second = desk.gateway.prepare(twice)
        desk.gateway.submit(twice)
        await desk.until(lambda: len(desk.venue.actions) == 2)

    assert [body.decode() for body in desk.venue.actions] == [first.body, second.body]
    assert first.nonce != second.nonce


async def test_what_is_submitted_before_it_runs_is_sent_when_it_does() -> None:
    desk = Desk()
    desk.do(PlaceOrder(order()))
    assert desk.venue.actions == []

    async with desk:
        await desk.until(lambda: bool(desk.of(OrderAccepted)))

    assert len(desk.venue.actions) == 1


async def test_an_ioc_order_that_filled_in_part_is_accepted_and_then_canceled() -> None:
    async with Desk() as desk:
        desk.venue.exchange = statuses({"filled": {"totalSz": "1.5", "avgPx": "45.5", "oid": OID}})
        desk.do(PlaceOrder(order()))
        await desk.until(lambda: bool(desk.of(OrderCanceled)))

    (accepted,), (canceled,) = desk.of(OrderAccepted), desk.of(OrderCanceled)
    assert (accepted.filled, accepted.venue_order_id) == (Decimal("1.5"), str(OID))
    assert (canceled.filled, canceled.reason) == (Decimal("1.5"), CancelReason.IOC)


async def test_a_cancel_tells_what_was_filled_before_it() -> None:
    async with Desk() as desk:
        desk.venue.exchange = statuses("success")
        desk.venue.info["orderStatus"] = order_status(status="canceled", remaining="0.5")
        desk.do(CancelOrder(CLOID, PERP))
        await desk.until(lambda: bool(desk.of(OrderCanceled)))

    (canceled,) = desk.of(OrderCanceled)
    assert (canceled.cloid, canceled.filled) == (CLOID, Decimal("1.5"))
    assert canceled.reason is CancelReason.REQUESTED


async def test_a_cancel_that_found_nothing_is_rejected() -> None:
    async with Desk() as desk:
        text = "Order was never placed, already canceled, or filled. asset=2"
        desk.venue.exchange = statuses({"error": text})
        desk.do(CancelOrder(CLOID, PERP))
        await desk.until(lambda: bool(desk.of(CancelRejected)))

    assert desk.of(OrderCanceled) == []


@pytest.mark.parametrize("answer", [Reply(500, b""), statuses({"error": "Something new"})])
async def test_a_cancel_without_a_clear_answer_says_nothing(answer: object) -> None:
    async with Desk() as desk:
        desk.venue.exchange = answer
        desk.do(CancelOrder(CLOID, PERP))
        await desk.until(lambda: len(desk.venue.actions) == 1)
        await desk.rest()

    assert desk.of(CancelRejected) == desk.of(OrderCanceled) == []


async def test_a_fence_uses_the_orders_own_nonce_and_never_expires() -> None:
    async with Desk() as desk:
        desk.venue.exchange = {"status": "ok", "response": {"type": "default"}}
        desk.do(FenceOrder(CLOID, 12345))
        await desk.until(lambda: bool(desk.of(OrderFenced)))

    sent = json.loads(desk.venue.actions[0])
    assert (sent["action"], sent["nonce"], sent["expiresAfter"]) == ({"type": "noop"}, 12345, None)


async def test_a_report_is_dated_by_the_moment_of_the_question() -> None:
    async with Desk() as desk:

        def late(question: dict[str, Any]) -> Any:
            desk.clock.ns += 3 * HOUR
            return {"status": "unknownOid"}

        desk.venue.info["orderStatus"] = late
        desk.do(QueryOrder(CLOID, PERP))
        await desk.until(lambda: bool(desk.of(OrderReport)))

    (report,) = desk.of(OrderReport)
    assert report.status is OrderStatus.NEVER_SEEN
    assert report.venue_time_ns == NOW
    assert report.received_ns == NOW + 3 * HOUR


@pytest.mark.parametrize(
    "answer",
    [
        TransportFailed("no answer"),
        Reply(500, b'{"status": "unknownOid"}'),
        {"status": "missing"},
        order_status(cloid="0x" + "9" * 32),
    ],
)
async def test_a_query_without_an_answer_to_it_reports_nothing(answer: object) -> None:
    async with Desk() as desk:
        desk.venue.info["orderStatus"] = answer
        desk.do(QueryOrder(CLOID, PERP))
        await desk.until(lambda: bool(desk.venue.asked("orderStatus")))
        await desk.rest()

    assert desk.of(OrderReport) == []


# --- settings -------------------------------------------------------------------------------


async def test_leverage_is_confirmed_as_it_was_read_back() -> None:
    async with Desk() as desk:
        desk.venue.exchange = {"status": "ok", "response": {"type": "default"}}
        leverage = {"type": "cross", "value": 20}
        desk.venue.info["activeAssetData"] = {"user": ACCOUNT, "coin": "HYPE", "leverage": leverage}
        desk.do(SetLeverage("l", PERP, 2))
        await desk.until(lambda: bool(desk.of(LeverageConfirmed)))

    (confirmed,) = desk.of(LeverageConfirmed)
    assert (confirmed.leverage, confirmed.mode) == (20, MarginMode.CROSS)
    assert json.loads(desk.venue.actions[0])["action"] == {
        "type": "updateLeverage",
        "asset": 2,
        "isCross": False,
        "leverage": 2,
    }


async def test_leverage_that_was_not_read_back_is_not_confirmed() -> None:
    async with Desk() as desk:
        desk.venue.exchange = {"status": "ok", "response": {"type": "default"}}
        leverage = {"type": "isolated", "value": 2, "rawUsd": "0.0"}
        desk.venue.info["activeAssetData"] = {"user": ACCOUNT, "coin": "BTC", "leverage": leverage}
        desk.do(SetLeverage("l", PERP, 2))
        await desk.until(lambda: bool(desk.venue.asked("activeAssetData")))
        await desk.rest()

    assert desk.of(LeverageConfirmed) == []


async def test_refused_and_unanswered_settings_are_told_apart() -> None:
    async with Desk() as desk:
        refusal = "Cannot switch leverage type with open position."
        desk.venue.exchange = {"status": "err", "response": refusal}
        desk.do(SetLeverage("l", PERP, 2))
        await desk.until(lambda: bool(desk.of(SettingRefused)))
        desk.venue.exchange = Reply(504, b"")
        desk.do(MoveMargin("m", PERP, Decimal("-2.5")))
        await desk.until(lambda: len(desk.venue.actions) == 2)
        await desk.rest()

    assert [event.request_id for event in desk.of(SettingRefused)] == ["l"]
    assert desk.of(MarginMoved) == []
    assert json.loads(desk.venue.actions[1])["action"]["ntli"] == -2_500_000


async def test_moved_margin_is_told_and_the_account_is_read() -> None:
    async with Desk() as desk:
        desk.venue.exchange = {"status": "ok", "response": {"type": "default"}}
        desk.do(MoveMargin("m", PERP, Decimal("2.5")))
        await desk.until(lambda: bool(desk.of(AccountReport)))

    assert desk.of(MarginMoved)[0].amount == Decimal("2.5")
    assert desk.of(AccountReport)[0].request_id is None


# --- fills ----------------------------------------------------------------------------------


async def test_a_fill_before_the_answer_gets_its_client_id_when_the_answer_comes() -> None:
    async with Desk() as desk:
        desk.venue.info["orderStatus"] = TransportFailed("not now")
        private = desk.venue.stream("userFills")
        private.push("userFills", {"user": ACCOUNT, "fills": [fill_row()]})
        await desk.until(lambda: len(desk.venue.asked("orderStatus")) > 1)
        assert desk.of(Fill) == []
        desk.do(PlaceOrder(order(tif=TimeInForce.GTC)))
        await desk.until(lambda: bool(desk.of(Fill)))

    assert [fill.cloid for fill in desk.of(Fill)] == [CLOID]
    assert desk.names().index("OrderAccepted") < desk.names().index("Fill")


async def test_the_venue_is_asked_whose_a_fill_is_until_it_knows() -> None:
    async with Desk() as desk:
        private = desk.venue.stream("userFills")
        rows = [fill_row(tid=1), fill_row(tid=2)]
        private.push("userFills", {"user": ACCOUNT, "fills": rows})
        await desk.until(lambda: len(desk.venue.asked("orderStatus")) >= 3)
        assert desk.of(Fill) == []
        desk.venue.info["orderStatus"] = order_status(status="filled", remaining="0.0")
        await desk.until(lambda: len(desk.of(Fill)) == 2)

    assert {fill.cloid for fill in desk.of(Fill)} == {CLOID}
    assert {fill.fill_id for fill in desk.of(Fill)} == {f"1-{OID}", f"2-{OID}"}
    assert all(question["oid"] == OID for question in desk.venue.asked("orderStatus"))


async def test_an_order_that_the_venue_denies_for_long_is_nobodys_and_its_fill_is_told() -> None:
    async with Desk() as desk:
        desk.venue.stream("userFills").push(
            "userFills", {"user": ACCOUNT, "fills": [fill_row(tid=1)]}
        )
        await desk.until(lambda: len(desk.venue.asked("orderStatus")) >= 2)
        assert desk.of(Fill) == []
        desk.clock.ns += 31 * SECOND
        await desk.until(lambda: len(desk.of(Fill)) == 1)

    assert desk.of(Fill)[0].cloid is None


async def test_a_fill_of_an_order_without_client_id_is_nobodys() -> None:
    async with Desk() as desk:
        desk.venue.info["orderStatus"] = order_status(cloid=None)
        private = desk.venue.stream("userFills")
        private.push("userFills", {"user": ACCOUNT, "fills": [fill_row()]})
        await desk.until(lambda: bool(desk.of(Fill)))

    assert desk.of(Fill)[0].cloid is None


async def test_a_liquidation_is_told_at_once_and_asks_nobody() -> None:
    async with Desk() as desk:
        private = desk.venue.stream("userFills")
        ours = {"liquidatedUser": ACCOUNT, "markPx": "60", "method": "market"}
        row = fill_row(liquidation=ours, dir="Liquidated Isolated Short")
        private.push("userFills", {"user": ACCOUNT, "fills": [row]})
        await desk.until(lambda: bool(desk.of(Fill)))

    (fill,) = desk.of(Fill)
    assert (fill.cloid, fill.cause) == (None, FillCause.LIQUIDATION)
    assert desk.venue.asked("orderStatus") == []


async def test_of_a_snapshot_only_our_own_orders_fills_are_told() -> None:
    async with Desk(known={str(OID): CLOID}) as desk:
        private = desk.venue.stream("userFills")
        rows = [fill_row(tid=1), fill_row(oid=3, tid=2)]
        private.push("userFills", {"user": ACCOUNT, "isSnapshot": True, "fills": rows})
        await desk.until(lambda: bool(desk.of(Fill)))
        await desk.rest()

    assert [fill.fill_id for fill in desk.of(Fill)] == [f"1-{OID}"]
    assert desk.venue.asked("orderStatus") == []


async def test_what_is_known_of_an_order_is_not_forgotten_for_a_worse_answer() -> None:
    async with Desk(known={str(OID): CLOID}) as desk:
        desk.venue.exchange = statuses("success")
        desk.venue.info["orderStatus"] = order_status(status="canceled", cloid=None)
        desk.do(CancelOrder(CLOID, PERP))
        await desk.until(lambda: bool(desk.venue.asked("orderStatus")))
        await desk.rest()
        private = desk.venue.stream("userFills")
        private.push("userFills", {"user": ACCOUNT, "fills": [fill_row()]})
        await desk.until(lambda: bool(desk.of(Fill)))

    assert desk.of(OrderCanceled) == []
    assert desk.of(Fill)[0].cloid == CLOID


async def test_funding_is_told_as_it_is_paid_and_not_from_a_snapshot() -> None:
    row = {"coin": "HYPE", "usdc": "0.001125", "szi": "-2.0", "fundingRate": "0.0000125"}
    async with Desk() as desk:
        private = desk.venue.stream("userFundings")
        old, new = row | {"time": 1}, row | {"time": NOW // MILLISECOND, "nSamples": None}
        private.push("userFundings", {"user": ACCOUNT, "isSnapshot": True, "fundings": [old]})
        private.push("userFundings", {"user": ACCOUNT, "fundings": [new]})
        await desk.until(lambda: bool(desk.of(FundingPayment)))

    assert [payment.venue_time_ns for payment in desk.of(FundingPayment)] == [NOW]


async def test_order_updates_name_orders_and_end_them() -> None:
    async with Desk() as desk:
        private = desk.venue.stream("orderUpdates")
        private.push("orderUpdates", [order_update(), order_update("reduceOnlyCanceled")])
        private.push("userFills", {"user": ACCOUNT, "fills": [fill_row()]})
        await desk.until(lambda: bool(desk.of(Fill)))

    assert desk.of(OrderAccepted)[0].venue_order_id == str(OID)
    assert desk.of(OrderCanceled)[0].reason is CancelReason.REDUCE_ONLY
    assert desk.of(Fill)[0].cloid == CLOID
    assert desk.venue.asked("orderStatus") == []


# --- the account ----------------------------------------------------------------------------


async def test_an_account_query_tells_history_first_and_then_the_account() -> None:
    async with Desk() as desk:
        desk.venue.info |= {
            "userFillsByTime": [fill_row(time=NOW // MILLISECOND + 1)],
            "orderStatus": order_status(status="filled", remaining="0.0"),
            "userFunding": [
                {
                    "time": NOW // MILLISECOND,
                    "hash": "0x0",
                    "delta": {
                        "type": "funding",
                        "coin": "HYPE",
                        "usdc": "0.001125",
                        "szi": "-2.0",
                        "fundingRate": "0.0000125",
                        "nSamples": 24,
                    },
                }
            ],
            "clearinghouseState": {"assetPositions": [position()], "time": NOW // MILLISECOND},
        }
        desk.do(QueryAccount("123", NOW))
        await desk.until(lambda: bool(desk.of(AccountReport)))

    told = [type(event) for event in desk.events if not isinstance(event, Reconnected)]
    assert told == [FundingPayment, Fill, AccountReport]
    assert desk.of(Fill)[0].cloid == CLOID
    (report,) = desk.of(AccountReport)
    assert (report.request_id, report.venue_time_ns) == ("123", NOW)
    assert report.positions[0].raw_margin == Decimal(136)
    assert report.balances[0].total == Decimal("1000.5")
    assert desk.of(FundingPayment)[0].price == Decimal(45)
    assert desk.venue.asked("userFillsByTime")[0]["startTime"] == NOW // MILLISECOND


async def test_states_that_change_between_the_reads_are_not_reported() -> None:
    async with Desk() as desk:
        held = iter(range(1, 100))
        desk.venue.info["spotClearinghouseState"] = lambda _: {
            "balances": [{"coin": "USDC", "token": 0, "total": str(next(held)), "hold": "0"}]
        }
        desk.do(QueryAccount("123", NOW))
        await desk.until(lambda: len(desk.venue.asked("spotClearinghouseState")) == 6)
        await desk.rest()

    assert desk.of(AccountReport) == []
    assert len(desk.venue.asked("spotClearinghouseState")) == 6  # each but two ends one try
    assert len(desk.venue.asked("userFillsByTime")) == 5  # and begins the next


async def test_a_mark_that_moves_between_the_reads_is_no_change() -> None:
    async with Desk() as desk:
        values = iter(range(90, 200))
        desk.venue.info["clearinghouseState"] = lambda _: {
            "assetPositions": [position(positionValue=str(next(values)))],
            "time": NOW // MILLISECOND,
        }
        desk.do(QueryAccount("123", NOW))
        await desk.until(lambda: bool(desk.of(AccountReport)))

    assert len(desk.venue.asked("clearinghouseState")) == 2


@pytest.mark.parametrize("part", ["frontendOpenOrders", "userFunding", "userFillsByTime"])
async def test_a_query_of_which_one_answer_is_missing_tells_nothing(part: str) -> None:
    async with Desk() as desk:
        desk.venue.info["userFillsByTime"] = [fill_row()]
        desk.venue.info["orderStatus"] = order_status()
        desk.venue.info[part] = Reply(429, b"")
        desk.do(QueryAccount("123", NOW))
        await desk.until(lambda: bool(desk.venue.asked(part)))
        await desk.rest()

    assert desk.of(AccountReport) == desk.of(Fill) == []


async def test_a_query_whose_fills_have_no_known_owner_tells_nothing() -> None:
    async with Desk() as desk:
        desk.venue.info["userFillsByTime"] = [fill_row()]
        desk.do(QueryAccount("123", NOW))
        await desk.until(lambda: bool(desk.venue.asked("orderStatus")))
        await desk.rest()

    assert desk.of(AccountReport) == desk.of(Fill) == []


async def test_pages_are_read_to_the_end_and_each_row_is_told_once() -> None:
    rows = [fill_row(tid=tid, time=NOW // MILLISECOND + tid // 2) for tid in range(9)]

    def page(question: dict[str, Any]) -> Any:
        return [row for row in rows if row["time"] >= question["startTime"]][:3]

    async with Desk(known={str(OID): CLOID}) as desk:
        desk.venue.info["userFillsByTime"] = page
        desk.do(QueryAccount("123", NOW))
        await desk.until(lambda: bool(desk.of(AccountReport)))

    assert [fill.fill_id for fill in desk.of(Fill)] == [f"{tid}-{OID}" for tid in range(9)]


async def test_news_that_come_together_are_followed_by_one_look_at_the_account() -> None:
    now = asyncio.get_running_loop().time
    async with Desk(quick(account_pause=0.1), known={str(OID): CLOID}) as desk:
        private, began = desk.venue.stream("userFills"), now()
        for tid in range(20):
            private.push("userFills", {"user": ACCOUNT, "fills": [fill_row(tid=tid)]})
            await desk.rest(0.002)
        private.push("user", {"nonUserCancel": [{"coin": "HYPE", "oid": OID}]})
        ended = now()
        await desk.rest(0.3)

    assert len(desk.of(Fill)) == 20
    assert 1 <= len(desk.of(AccountReport)) <= 2 + (ended - began) / 0.1


async def test_the_account_is_looked_at_now_and_then_when_there_is_no_news() -> None:
    async with Desk(quick(account_silence=0.03)) as desk:
        await desk.until(lambda: len(desk.of(AccountReport)) == 2)

    assert [report.request_id for report in desk.of(AccountReport)] == [None, None]


async def test_open_orders_are_asked_for_again_once_something_was_sent_or_heard() -> None:
    async with Desk(quick(account_silence=0.01)) as desk:

        def asked() -> int:
            return len(desk.venue.asked("frontendOpenOrders"))

        async def more_looks(count: int) -> None:
            told = len(desk.of(AccountReport))
            await desk.until(lambda: len(desk.of(AccountReport)) >= told + count)

        await more_looks(3)
        assert asked() == 1
        desk.venue.stream("userEvents").push("user", {"nonUserCancel": []})
        await more_looks(4)
        assert asked() == 2
        desk.venue.info["frontendOpenOrders"] = [{"coin": "HYPE", "oid": OID, "cloid": CLOID}]
        desk.do(CancelOrder(CLOID, PERP))
        await more_looks(4)
        assert asked() >= 4  # while one rests, with every look
        assert desk.of(AccountReport)[-1].open_orders == (CLOID,)
        before = asked()
        desk.do(QueryAccount("123", NOW))
        await desk.until(lambda: any(r.request_id == "123" for r in desk.of(AccountReport)))
        assert asked() >= before + 2


async def test_an_account_that_cannot_be_read_after_news_is_read_again() -> None:
    async with Desk() as desk:
        desk.venue.info["frontendOpenOrders"] = Reply(503, b"")
        desk.venue.stream("userEvents").push("user", {"nonUserCancel": []})
        await desk.until(lambda: len(desk.venue.asked("frontendOpenOrders")) > 2)
        desk.venue.info["frontendOpenOrders"] = []
        await desk.until(lambda: bool(desk.of(AccountReport)))


# --- streams --------------------------------------------------------------------------------


async def test_public_data_arrives_under_our_names() -> None:
    async with Desk() as desk:
        public = desk.venue.stream("activeAssetCtx")
        levels = [[{"px": "45.1", "sz": "3", "n": 1}], [{"px": "45.2", "sz": "4", "n": 2}]]
        public.push("l2Book", {"coin": "@107", "time": NOW // MILLISECOND, "levels": levels})
        context = {"funding": "0.0000125", "oraclePx": "45.0", "markPx": "45.15", "midPx": None}
        public.push("activeAssetCtx", {"coin": "HYPE", "ctx": context})
        await desk.until(lambda: bool(desk.of(PerpContext)))

    (book,), (seen,) = desk.of(Book), desk.of(PerpContext)
    assert (book.instrument, book.bids, book.asks) == (
        "hyperliquid:HYPE/USDC",
        (wire.QuotedLevel(45.1, 3.0),),
        (wire.QuotedLevel(45.2, 4.0),),
    )
    assert (seen.instrument, seen.mark, seen.predicted.per_hour) == (PERP, 45.15, 0.0000125)
    assert desk.gateway.progress["public"] == NOW


async def test_a_bad_public_message_costs_itself_and_not_the_connection() -> None:
    async with Desk() as desk:
        public = desk.venue.stream("activeAssetCtx")
        levels: list[list[dict[str, str]]] = [[{"px": "NaN", "sz": "3"}], []]
        public.push("l2Book", {"coin": "HYPE", "time": 1, "levels": levels})
        public.push("l2Book", {"coin": "HYPE", "time": 1, "levels": [[], []]})
        await desk.until(lambda: bool(desk.of(Book)))

    assert desk.gateway.rejected["public"] == 1
    assert not desk.of(PerpContext)
    assert len(desk.venue.streams) == 2


async def test_a_bad_private_message_ends_the_connection_and_is_followed_by_reconnected() -> None:
    async with Desk() as desk:
        private = desk.venue.stream("userFills")
        private.push("userFills", {"user": ACCOUNT, "fills": [fill_row(px="-1")]})
        await desk.until(lambda: len(desk.of(Reconnected)) == 1)

    assert private.closed
    assert desk.gateway.rejected["private"] == 1
    assert desk.gateway.disconnections == {"public": 0, "private": 1}
    assert desk.of(Fill) == []


async def test_what_was_asked_before_the_stream_listened_is_followed_by_reconnected() -> None:
    desk = Desk(quick(retry=0.05))
    desk.venue.reachable = False
    async with desk:
        desk.do(QueryAccount("123", NOW))
        await desk.until(lambda: bool(desk.of(AccountReport)))
        assert desk.of(Reconnected) == []
        desk.venue.reachable = True
        await desk.until(lambda: len(desk.of(Reconnected)) == 1)


async def test_a_query_waits_for_the_stream_and_need_not_be_repeated_then() -> None:
    desk = Desk(quick(retry=5.0))
    desk.venue.reachable = False
    async with desk:
        desk.do(QueryAccount("123", NOW))
        await desk.rest()
        assert desk.venue.asked("userFillsByTime") == []
        desk.venue.reachable = True
        await desk.until(lambda: any(r.request_id == "123" for r in desk.of(AccountReport)))
        assert desk.of(Reconnected) == []


async def test_after_a_lost_connection_everything_is_subscribed_to_again() -> None:
    async with Desk() as desk:
        public, private = desk.venue.stream("activeAssetCtx"), desk.venue.stream("userFills")
        public.break_off()
        private.break_off()
        await desk.until(lambda: len(desk.of(Reconnected)) == 1)
        await desk.until(lambda: len(desk.venue.stream("activeAssetCtx").asked) == 9)
        again = desk.venue.stream("userFills")
        assert again is not private
        assert again.asked == private.asked
        assert desk.venue.stream("activeAssetCtx").asked == public.asked

    kinds = [asked["type"] for asked in private.asked]
    assert kinds == ["orderUpdates", "userFills", "userFundings", "userEvents", "l2Book"]
    assert sum(asked["type"] == "l2Book" for asked in public.asked) == 6
    assert sum(asked["type"] == "activeAssetCtx" for asked in public.asked) == 3


async def test_a_stream_that_only_answers_pings_is_given_up() -> None:
    async with Desk(quick(ping=0.05, silence=0.2)) as desk:
        private = desk.venue.stream("userFills")
        await desk.until(lambda: len(desk.of(Reconnected)) == 1)

    assert private.pings >= 1
    assert private.closed


async def test_a_stream_with_data_is_kept_and_pinged() -> None:
    async with Desk(quick(ping=0.05, silence=0.4)) as desk:
        private = desk.venue.stream("userFills")
        for _ in range(30):
            private.push("l2Book", {"coin": "HYPE"})
            await desk.rest(0.02)
        assert not private.closed

    assert private.pings >= 4
    assert desk.gateway.progress["private"] == NOW


async def test_while_one_subscription_is_not_acknowledged_the_stream_is_not_there() -> None:
    async with Desk(quick(acknowledgement=0.1)) as desk:
        desk.venue.acknowledges = lambda kind: kind != "userFundings"
        desk.venue.stream("userFills").break_off()
        await desk.until(lambda: len(desk.venue.streams) == 3)
        half = desk.venue.streams[-1]
        half.push("l2Book", {"coin": "HYPE"})
        await desk.until(lambda: half.closed)
        assert desk.of(Reconnected) == []
        desk.venue.acknowledges = lambda _: True
        await desk.until(lambda: len(desk.of(Reconnected)) == 1)


async def test_a_venue_that_is_not_there_is_tried_ever_more_seldom() -> None:
    now = asyncio.get_running_loop().time
    async with Desk(quick(backoff_first=0.004, backoff_last=0.1)) as desk:
        desk.venue.reachable = False
        desk.venue.stream("userFills").break_off()
        before, began = desk.venue.connects, now()
        await desk.until(lambda: desk.venue.connects == before + 5)
        assert now() - began > 0.1
        desk.venue.reachable = True
        await desk.until(lambda: len(desk.of(Reconnected)) == 1)


_HOUR_MS = HOUR // MILLISECOND


# --- published funding ----------------------------------------------------------------------


async def test_each_hours_funding_is_told_once_as_soon_as_it_is_published() -> None:
    published: list[int] = []

    def history(question: dict[str, Any]) -> Any:
        return [
            {"coin": question["coin"], "fundingRate": "0.00002", "premium": "0", "time": time_ms}
            for time_ms in published
            if time_ms >= question["startTime"]
        ]

    desk = Desk()
    desk.clock.ns = NOW + HOUR - 20 * MILLISECOND
    desk.venue.info["fundingHistory"] = history
    published.append(NOW // MILLISECOND + 57)
    async with desk:
        await desk.until(lambda: len(desk.of(FundingSettled)) == 3)
        asked = len(desk.venue.asked("fundingHistory"))
        desk.clock.ns = NOW + HOUR
        await desk.until(lambda: len(desk.venue.asked("fundingHistory")) >= asked + 6)
        assert len(desk.of(FundingSettled)) == 3
        published.append((NOW + HOUR) // MILLISECOND + 3)
        await desk.until(lambda: len(desk.of(FundingSettled)) == 6)
        await desk.rest()

    told = [(event.instrument, event.venue_time_ns) for event in desk.of(FundingSettled)]
    assert len(told) == len(set(told)) == 6
    assert desk.of(FundingSettled)[0].rate.per_hour == 0.00002


async def test_rates_of_the_past_come_after_the_start_and_new_ones_go_on_from_there() -> None:
    hours = range(NOW // MILLISECOND - 30 * _HOUR_MS, NOW // MILLISECOND + 1, _HOUR_MS)
    published = [at + 5 for at in hours]

    def history(question: dict[str, Any]) -> Any:
        row = {"coin": question["coin"], "fundingRate": "0.00002", "premium": "0"}
        return [{**row, "time": at} for at in published if at >= question["startTime"]]

    until_ms = NOW // MILLISECOND + _HOUR_MS // 2
    untold = [(coin, until_ms - 10 * _HOUR_MS, until_ms) for coin in ("HYPE", "BTC")]
    untold.append(("HYPE", until_ms - 20 * _HOUR_MS, until_ms - 10 * _HOUR_MS))
    desk = Desk(quick(history_after=0.05, history_pause=0.02, retry=0.01), untold=untold)
    desk.clock.ns = NOW + HOUR - 20 * MILLISECOND
    desk.venue.info["fundingHistory"] = history
    async with desk:
        await desk.until(lambda: len(desk.of(FundingSettled)) == 1)  # PURR's, which is not of them
        await desk.until(lambda: len(desk.of(FundingSettled)) == 1 + 10 + 10 + 20)
        asked = [question["coin"] for question in desk.venue.asked("fundingHistory")]
        assert [coin for coin in asked if coin != "PURR"] == ["HYPE", "BTC", "HYPE"]
        published.append(NOW // MILLISECOND + _HOUR_MS + 5)
        desk.clock.ns = NOW + HOUR + SECOND
        told = len(desk.of(FundingSettled))
        await desk.until(lambda: len(desk.of(FundingSettled)) == told + 3)


async def test_an_account_whose_own_time_stands_still_is_no_progress() -> None:
    async with Desk() as desk:
        news = desk.venue.stream("userFills")
        news.push("user", {"nonUserCancel": []})
        await desk.until(lambda: len(desk.of(AccountReport)) == 1)
        first = desk.gateway.progress["account"]
        desk.clock.ns += 10 * SECOND
        news.push("user", {"nonUserCancel": []})
        await desk.until(lambda: len(desk.of(AccountReport)) == 2)

    assert desk.gateway.progress["account"] == first


async def test_the_first_answer_after_a_long_silence_says_so_before_it_says_anything() -> None:
    async with Desk() as desk:
        desk.venue.stream("userFills").push("user", {"nonUserCancel": []})
        await desk.until(lambda: len(desk.of(AccountReport)) == 1)
        desk.clock.ns += 91 * SECOND  # over three times what is usual
        told = len(desk.events)
        desk.do(QueryOrder(CLOID, PERP))
        await desk.until(lambda: bool(desk.of(OrderReport)))
        desk.do(QueryOrder(CLOID, PERP))
        await desk.until(lambda: len(desk.of(OrderReport)) == 2)

    news = [event for event in desk.events[told:] if not isinstance(event, AccountReport)]
    assert [type(event) for event in news] == [Reconnected, OrderReport, OrderReport]
    assert desk.of(Reconnected)[-1].stream == "account"


async def test_what_came_while_nothing_could_be_asked_is_not_the_end_of_the_silence() -> None:
    async with Desk() as desk:
        news = desk.venue.stream("userFills")
        news.push("user", {"nonUserCancel": []})
        await desk.until(lambda: len(desk.of(AccountReport)) == 1)
        told = len(desk.events)
        desk.clock.ns += 91 * SECOND
        news.push("userFundings", {"user": ACCOUNT, "isSnapshot": True, "fundings": []})
        await desk.until(lambda: any(isinstance(e, Reconnected) for e in desk.events[told:]))
        desk.clock.ns += 91 * SECOND  # a hedge waits for the account, but not for so long
        desk.do(QueryOrder(CLOID, PERP))
        await desk.until(lambda: bool(desk.of(OrderReport)))

    news_since = [event for event in desk.events[told:] if not isinstance(event, AccountReport)]
    assert [type(event) for event in news_since] == [Reconnected, Reconnected, OrderReport]


# --- what is not sent ------------------------------------------------------------------------


async def test_when_the_addresss_requests_run_out_entries_stop_and_the_rest_is_kept() -> None:
    async with Desk(msgspec.structs.replace(QUICK, budget=0.01)) as desk:
        await desk.rest()
        assert desk.of(Trouble) == []
        told = {"nRequestsUsed": 8_001, "nRequestsCap": 10_000, "nRequestsSurplus": 1}
        desk.venue.info["userRateLimit"] = told
        asked = len(desk.venue.asked("userRateLimit"))
        await desk.until(lambda: len(desk.venue.asked("userRateLimit")) > asked + 1)
        assert desk.of(Trouble) == []
        told["nRequestsSurplus"] = 0
        await desk.until(lambda: bool(desk.of(Trouble)))

        trouble = desk.of(Trouble)[0]
        assert trouble.limit == "request_budget"
        assert trouble.detail == "1999 requests left to the address, 2000 are kept"


async def test_of_an_account_whose_mode_is_untried_it_tells_before_anything_else() -> None:
    async with Desk(listing=msgspec.structs.replace(listed(), is_untried=True)) as desk:
        await desk.rest()

        trouble = desk.events[0]
        assert isinstance(trouble, Trouble)
        assert trouble.limit == "account_mode"
        assert trouble.limit in LATCHED
        assert "portfolio margin has not been tried" in trouble.detail


async def test_an_order_beyond_the_signers_caps_is_rejected_and_never_sent() -> None:
    async with Desk() as desk:
        caps = Caps(order=Decimal(91), hour=Decimal(150))
        desk.gateway._signer = AgentSigner(KEY, is_mainnet=False, caps=caps)
        small, large = PlaceOrder(order("2")), PlaceOrder(order("2.1"))  # at 45.5

        assert len(desk.gateway.prepare([small])) == 1
        assert desk.gateway.prepare([large]) == ()
        desk.gateway.submit([large])
        await desk.until(lambda: bool(desk.of(OrderRejected)))

        assert desk.venue.actions == []
        (rejected,) = desk.of(OrderRejected)
        assert rejected.reason == "not signed: an order of 95.55, at most 91"
