"""What the venue says of our orders and money, in the bot's words."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain.account import Balance, CashCause, FundingPayment, MarginMode, PositionReport
from domain.money import Money
from domain.orders import (
    CancelReason,
    FillCause,
    Liquidity,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderStatus,
    Side,
)
from domain.time import DAY, HOUR, MILLISECOND, parse_instant
from execution.venues.hyperliquid import private, wire
from execution.venues.hyperliquid.wire import BadMessage
from tests.unit.execution.venues.hyperliquid.venue import (
    ACCOUNT,
    CLOID,
    NOW,
    OID,
    fill_row,
    listed,
    order_status,
    order_update,
    position,
)

LISTING = listed()
NOW_MS = NOW // MILLISECOND
SOMEBODY = "0x" + "cd" * 20
RECEIVED = parse_instant("2026-11-01")
"""After everything that was recorded."""


def fill_of(row: dict[str, Any], cloid: str | None = CLOID, received_ns: int = NOW + 5) -> Any:
    return private.fill(LISTING, msgspec.convert(row, wire.FillRow), ACCOUNT, cloid, received_ns)


# --- fills ----------------------------------------------------------------------------------


def test_a_fill_says_what_was_traded_and_what_it_cost() -> None:
    fill = fill_of(
        fill_row(coin="@107", side="B", fee="0.00105", feeToken="HYPE", crossed=False, tid=9)
    )

    assert (fill.fill_id, fill.cloid, fill.instrument) == (
        f"9-{OID}",
        CLOID,
        "hyperliquid:HYPE/USDC",
    )
    assert (fill.side, fill.price, fill.quantity) == (Side.BUY, Decimal("45.5"), Decimal("1.5"))
    assert fill.fee == Money(Decimal("0.00105"), "HYPE")
    assert (fill.liquidity, fill.cause) == (Liquidity.MAKER, FillCause.ORDER)
    assert (fill.venue_time_ns, fill.received_ns) == (NOW, NOW + 5)


def test_both_fills_of_a_trade_with_oneself_are_fills() -> None:
    assert fill_of(fill_row(oid=1)).fill_id != fill_of(fill_row(oid=2)).fill_id


def test_a_rebate_is_a_negative_fee() -> None:
    assert fill_of(fill_row(fee="-0.01")).fee.amount == Decimal("-0.01")


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"liquidation": {"liquidatedUser": ACCOUNT, "method": "market"}}, FillCause.LIQUIDATION),
        ({"liquidation": {"liquidatedUser": ACCOUNT.upper()}}, FillCause.LIQUIDATION),
        ({"liquidation": {"liquidatedUser": SOMEBODY, "method": "market"}}, FillCause.ORDER),
        ({"dir": "Auto-Deleveraging"}, FillCause.ADL),
        (
            {"dir": "Auto-Deleveraging", "liquidation": {"liquidatedUser": SOMEBODY}},
            FillCause.ADL,
        ),
        ({"dir": "Close Short"}, FillCause.ORDER),
    ],
)
def test_a_liquidation_is_ours_only_where_it_names_us(changes: Any, cause: FillCause) -> None:
    assert fill_of(fill_row(**changes)).cause is cause


def test_a_fill_of_something_not_listed_still_has_a_name() -> None:
    assert fill_of(fill_row(coin="DOGE")).instrument == "hyperliquid:DOGE"


# --- funding --------------------------------------------------------------------------------


def funding(usdc: str, szi: str, rate: str, time_ms: int = NOW_MS + 57) -> FundingPayment:
    row = wire.FundingDelta("HYPE", usdc, szi, rate)
    return private.funding_payment(LISTING, row, time_ms, NOW + HOUR)


def test_funding_is_what_was_paid_and_its_price_follows() -> None:
    payment = funding("0.001125", "-2.0", "0.0000125")

    assert payment.payment == Money(Decimal("0.001125"), "USDC")
    assert (payment.position, payment.rate) == (Decimal("-2.0"), Decimal("0.0000125"))
    assert (payment.price, payment.interval_hours) == (Decimal(45), 1)
    assert payment.venue_time_ns == NOW + 57 * MILLISECOND


def test_one_hours_payment_has_one_id_however_its_time_is_told() -> None:
    told = {funding("1", "-2", "0.00001", NOW_MS + late).payment_id for late in (-3, 0, 3, 118)}

    assert len(told) == 1
    assert funding("1", "-2", "0.00001", NOW_MS + 3_600_000).payment_id not in told


def test_funding_at_a_rate_of_zero_has_no_price() -> None:
    assert funding("0.0", "-2", "0.0").price == 0


def test_an_absurd_funding_rate_is_a_bad_message() -> None:
    with pytest.raises(BadMessage):
        funding("1", "-2", "0.05")


# --- other money ----------------------------------------------------------------------------


def flows(**delta: Any) -> list[tuple[Decimal, str, CashCause]]:
    document = {"time": NOW_MS, "hash": "0x1", "delta": delta}
    row = msgspec.convert(document, wire.LedgerUpdate)
    found = private.cashflows(LISTING, row, ACCOUNT, NOW)
    assert len({flow.cashflow_id for flow in found}) == len(found)
    return [(flow.money.amount, flow.money.asset, flow.cause) for flow in found]


def test_money_that_crosses_the_accounts_edge_is_told_with_its_sign() -> None:
    deposit, withdrawal, gas = CashCause.DEPOSIT, CashCause.WITHDRAWAL, CashCause.GAS

    assert flows(type="deposit", usdc="100.5") == [(Decimal("100.5"), "USDC", deposit)]
    assert flows(type="withdraw", usdc="50", nonce=1, fee="1") == [
        (Decimal(-51), "USDC", withdrawal)
    ]
    received = {"user": SOMEBODY, "destination": ACCOUNT}
    sent = {"user": ACCOUNT.upper().replace("X", "x"), "destination": SOMEBODY}
    assert flows(type="internalTransfer", usdc="7", fee="1", **received) == [
        (Decimal(7), "USDC", deposit)
    ]
    assert flows(type="internalTransfer", usdc="7", fee="1", **sent) == [
        (Decimal(-7), "USDC", withdrawal),
        (Decimal(-1), "USDC", gas),
    ]
    assert flows(type="spotTransfer", token="HYPE", amount="2", fee="0.0", **received) == [
        (Decimal(2), "HYPE", deposit)
    ]
    assert flows(type="send", token="HYPE", amount="2", fee="0.1", feeToken="HYPE", **sent) == [
        (Decimal(-2), "HYPE", withdrawal),
        (Decimal("-0.1"), "HYPE", gas),
    ]


def test_what_stays_inside_the_account_or_is_not_known_moves_nothing() -> None:
    inside = {"user": ACCOUNT, "destination": ACCOUNT}

    assert flows(type="send", token="USDC", amount="2", fee="0.0", **inside) == []
    assert flows(type="accountClassTransfer", usdc="5", toPerp=True) == []
    assert flows(type="somethingNew", usdc="5") == []


def test_what_a_liquidation_took_is_a_penalty_of_its_perp() -> None:
    row = msgspec.convert(
        {
            "time": NOW_MS,
            "hash": "0x1",
            "delta": {
                "type": "liquidation",
                "accountValue": "3.5",
                "leverageType": "Isolated",
                "liquidatedNtlPos": "120.0",
                "liquidatedPositions": [{"coin": "HYPE", "szi": "-2.0"}],
            },
        },
        wire.LedgerUpdate,
    )
    (flow,) = private.cashflows(LISTING, row, ACCOUNT, NOW)

    assert (flow.money, flow.cause) == (
        Money(Decimal("-3.5"), "USDC"),
        CashCause.LIQUIDATION_PENALTY,
    )
    assert flow.instrument == "hyperliquid:HYPE-PERP"


# --- orders ---------------------------------------------------------------------------------


def news(status: str, remaining: str = "2.0", cloid: str | None = CLOID) -> Any:
    document = order_update(status, remaining=remaining, cloid=cloid)
    return private.order_news(msgspec.convert(document, wire.OrderUpdate), NOW + 5)


def test_an_open_order_is_accepted_with_what_it_has_filled() -> None:
    assert news("open", "0.5") == OrderAccepted(CLOID, str(OID), NOW, NOW + 5, Decimal("1.5"))
    assert news("filled", "0.0") == OrderAccepted(CLOID, str(OID), NOW, NOW + 5, Decimal(2))


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("canceled", CancelReason.REQUESTED),
        ("scheduledCancel", CancelReason.REQUESTED),
        ("selfTradeCanceled", CancelReason.REQUESTED),
        ("reduceOnlyCanceled", CancelReason.REDUCE_ONLY),
        ("marginCanceled", CancelReason.MARGIN),
        ("liquidatedCanceled", CancelReason.LIQUIDATION),
        ("iocCancelRejected", CancelReason.IOC),
        ("somethingNewCanceled", CancelReason.REQUESTED),
    ],
)
def test_a_canceled_order_is_over_with_what_it_has_filled(
    status: str, reason: CancelReason
) -> None:
    assert news(status, "0.5") == OrderCanceled(CLOID, reason, Decimal("1.5"), NOW, NOW + 5)


@pytest.mark.parametrize("status", ["rejected", "badAloPxRejected", "somethingNewRejected"])
def test_a_rejected_order_is_rejected_unless_it_has_filled(status: str) -> None:
    assert news(status) == OrderRejected(CLOID, status, NOW, NOW + 5)
    assert isinstance(news(status, "0.5"), OrderCanceled)


def test_of_orders_without_a_client_id_and_unknown_states_nothing_is_said() -> None:
    assert news("canceled", cloid=None) is None
    assert news("somethingNew") is None


def report(document: Any) -> Any:
    answer = msgspec.convert(document, wire.OrderStatus)
    return private.order_report(CLOID, answer, NOW, NOW + 5)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("open", OrderStatus.OPEN),
        ("triggered", OrderStatus.OPEN),
        ("filled", OrderStatus.FILLED),
        ("canceled", OrderStatus.CANCELED),
        ("scheduledCancel", OrderStatus.CANCELED),
        ("reduceOnlyCanceled", OrderStatus.CANCELED),
        ("iocCancelRejected", OrderStatus.CANCELED),
        ("tickRejected", OrderStatus.REJECTED),
        ("rejected", OrderStatus.REJECTED),
    ],
)
def test_a_report_says_what_became_of_the_order(status: str, expected: OrderStatus) -> None:
    found = report(order_status(status=status, remaining="0.5"))

    assert (found.status, found.filled) == (expected, Decimal("1.5"))


@pytest.mark.parametrize(
    "document",
    [
        order_status(status="somethingNew"),
        order_status(cloid="0x" + "9" * 32),
        order_status(cloid=None),
        order_status(remaining="2.5"),
        order_status(remaining="-1"),
        {"status": "order"},
        {"status": "unknown"},
    ],
)
def test_an_answer_that_is_not_one_is_a_bad_message(document: Any) -> None:
    with pytest.raises(BadMessage):
        report(document)


# --- the account ----------------------------------------------------------------------------


def account(positions: list[Any], balances: list[Any], orders: list[Any], **cloids: str) -> Any:
    return private.account_report(
        LISTING,
        msgspec.convert({"assetPositions": positions, "time": NOW_MS}, wire.ClearinghouseState),
        msgspec.convert({"balances": balances}, wire.SpotClearinghouseState),
        msgspec.convert(orders, list[wire.OpenOrder]),
        dict(cloids),
        "7",
        NOW + 5,
    )


def test_an_isolated_position_keeps_its_raw_margin_apart_from_its_price() -> None:
    found = account([position()], [], [])

    assert found.positions == (
        PositionReport(
            instrument="hyperliquid:HYPE-PERP",
            quantity=Decimal("-2.0"),
            entry_price=Decimal("45.5"),
            mark=Decimal(45),
            margin=Decimal(46),
            raw_margin=Decimal(136),
            leverage=2,
            mode=MarginMode.ISOLATED,
            liquidation_price=Decimal("64.7"),
        ),
    )
    assert found.positions[0].raw_margin == found.positions[0].margin - Decimal(-2) * 45
    assert (found.venue_time_ns, found.received_ns, found.request_id) == (NOW, NOW + 5, "7")


def standard(
    spot: list[Any], perp: str = "3000.0", free: str = "2500.0", positions: tuple[Any, ...] = ()
) -> Any:
    """The report of an account whose perps have a wallet of their own."""
    state = {
        "assetPositions": positions,
        "crossMarginSummary": {"accountValue": perp},
        "withdrawable": free,
        "time": NOW_MS,
    }
    return private.account_report(
        msgspec.structs.replace(LISTING, is_standard=True),
        msgspec.convert(state, wire.ClearinghouseState),
        msgspec.convert({"balances": spot}, wire.SpotClearinghouseState),
        [],
        {},
        None,
        NOW,
    )


def usdc(total: str, hold: str) -> dict[str, Any]:
    return {"coin": "USDC", "token": 0, "total": total, "hold": hold}


@pytest.mark.parametrize(
    ("spot", "total", "free"),
    [
        ([usdc("9000.0", "1000.0")], "12000.0", "2500.0"),  # the perps' side is the narrow one
        ([usdc("900.0", "100.0")], "3900.0", "800.0"),
        ([], "3000.0", "0"),
    ],
)
def test_in_standard_mode_a_balance_is_both_sides_and_free_is_what_both_have(
    spot: list[Any], total: str, free: str
) -> None:
    found = standard(spot)

    assert [(b.asset, b.total) for b in found.balances] == [("USDC", Decimal(total))]
    assert found.free("USDC") == Decimal(free)
    assert found.free_margin("USDC") == Decimal(2500)


def test_in_the_other_modes_what_is_free_is_free_for_margin() -> None:
    found = account([], [usdc("9000.0", "1000.0")], [])

    assert found.free_margin("USDC") == found.free("USDC") == 8000


def test_what_a_cross_position_gains_is_in_no_balance_nor_is_it_news() -> None:
    def at(value: str, worth: str, free: str) -> Any:
        cross = position("-2.0", leverage={"type": "cross", "value": 2}, positionValue=value)
        return standard([], worth, free, (cross,))

    before, after = at("91.0", "3000.0", "2900.0"), at("90.0", "3001.0", "2901.0")

    assert [b.total for b in before.balances] == [Decimal(3000)]
    assert [b.total for b in after.balances] == [Decimal(3000)]
    assert private.standing(before)[0] == private.standing(after)[0]


@pytest.mark.parametrize("missing", ["crossMarginSummary", "withdrawable"])
def test_in_standard_mode_a_perp_state_without_its_wallet_is_a_bad_message(missing: str) -> None:
    state = {
        "assetPositions": [],
        "crossMarginSummary": {"accountValue": "1.0"},
        "withdrawable": "1.0",
        "time": NOW_MS,
    }
    del state[missing]
    with pytest.raises(BadMessage):
        private.account_report(
            msgspec.structs.replace(LISTING, is_standard=True),
            msgspec.convert(state, wire.ClearinghouseState),
            wire.SpotClearinghouseState([]),
            [],
            {},
            None,
            NOW,
        )


def test_a_long_positions_margin_is_raw_plus_its_value() -> None:
    found = account([position("2.0", "-44.0")], [], [])

    assert found.positions[0].margin == Decimal(46)


def test_an_isolated_position_without_raw_margin_is_a_bad_message() -> None:
    with pytest.raises(BadMessage):
        account([position(leverage={"type": "isolated", "value": 2})], [], [])


def test_a_token_is_known_by_its_number_and_not_by_its_ticker() -> None:
    balances = [
        {"coin": "USDC", "token": 0, "total": "14.625485", "hold": "1.5", "entryNtl": "0.0"},
        {"coin": "UBTC", "token": 197, "total": "0.5", "hold": "0", "entryNtl": "0.0"},
        {"coin": "UBTC", "token": 999, "total": "7", "hold": "0", "entryNtl": "0.0"},
    ]
    found = account([], balances, [])

    assert found.balances[:2] == (
        Balance("USDC", Decimal("14.625485"), Decimal("1.5")),
        Balance("UBTC", Decimal("0.5"), Decimal(0)),
    )
    assert found.balances[2].asset not in ("USDC", "UBTC")
    assert found.free("USDC") == Decimal("13.125485")


def test_open_orders_are_named_by_client_id_where_anybody_knows_it() -> None:
    orders = [{"coin": "HYPE", "oid": 1, "cloid": CLOID}, {"coin": "HYPE", "oid": 2}]
    found = account([], [], [*orders, {"coin": "HYPE", "oid": 3}], **{"2": "0x2"})

    assert found.open_orders == (CLOID, "0x2", "oid-3")


def dated_fill(time_ms: int) -> object:
    return fill_of(fill_row(time=time_ms), received_ns=NOW)


def dated_news(time_ms: int) -> object:
    document = order_update() | {"statusTimestamp": time_ms}
    return private.order_news(msgspec.convert(document, wire.OrderUpdate), NOW)


def dated_funding(time_ms: int) -> object:
    row = wire.FundingDelta("HYPE", "1", "-2", "0.00001")
    return private.funding_payment(LISTING, row, time_ms, NOW)


def dated_cashflow(time_ms: int) -> object:
    row = wire.LedgerUpdate(time_ms, "0x1", wire.LedgerDelta("deposit", usdc="1"))
    return private.cashflows(LISTING, row, ACCOUNT, NOW)


def dated_account(time_ms: int) -> object:
    perp, spot = wire.ClearinghouseState([], time_ms), wire.SpotClearinghouseState([])
    return private.account_report(LISTING, perp, spot, [], {}, None, NOW)


@pytest.mark.parametrize(
    "read", [dated_fill, dated_news, dated_funding, dated_cashflow, dated_account]
)
def test_what_is_dated_over_a_day_ahead_is_not_believed(read: Callable[[int], object]) -> None:
    day_ms = DAY // MILLISECOND

    read(NOW_MS + day_ms)
    with pytest.raises(BadMessage, match="dated"):
        read(NOW_MS + day_ms + 1)


# --- recorded -------------------------------------------------------------------------------


def recorded(data: Path, name: str) -> Any:
    path = data / "payloads" / "hyperliquid" / name
    if not path.is_file():
        pytest.skip(f"no {name} among the recorded payloads")
    text = path.read_text()
    return (
        [json.loads(line) for line in text.splitlines()] if name.endswith("l") else json.loads(text)
    )


def test_recorded_funding_is_size_times_a_plausible_price_times_rate(shared_data: Path) -> None:
    rows = recorded(shared_data, "account_funding_2026-06.jsonl")
    payments = []
    for row in rows:
        delta = wire.FundingDelta(row["coin"], row["usdc"], row["szi"], row["fundingRate"])
        payments.append(private.funding_payment(LISTING, delta, row["time_ms"], RECEIVED))

    bitcoin = [p.price for p in payments if p.instrument == "hyperliquid:BTC-PERP" and p.price]
    assert len(bitcoin) > 40
    assert Decimal(40_000) < min(bitcoin)
    assert max(bitcoin) < Decimal(100_000)
    assert len({p.payment_id for p in payments}) == len(payments)


def test_recorded_fills_are_read_and_their_positions_add_up(shared_data: Path) -> None:
    held: dict[str, Decimal] = {}
    for row in recorded(shared_data, "account_fills_2026-06.jsonl"):
        live = {name: row[name] for name in ("coin", "px", "sz", "side", "dir", "fee", "feeToken")}
        live |= {
            "time": row["time_ms"],
            "oid": int(row["oid"]),
            "tid": int(row["tid"]),
            "crossed": row["crossed"] == "True",
        }
        fill = fill_of(live, received_ns=RECEIVED)
        assert held.get(fill.instrument, Decimal(row["startPosition"])) == Decimal(
            row["startPosition"]
        )
        held[fill.instrument] = Decimal(row["startPosition"]) + fill.side.sign * fill.quantity
    assert len(held) > 1


def test_a_recorded_fill_against_somebody_elses_liquidation_is_an_order(shared_data: Path) -> None:
    frame = recorded(shared_data, "nt_ws_user_fill_liquidation.json")
    fill = fill_of(frame["data"]["fills"][0], received_ns=RECEIVED)

    assert (fill.cause, fill.liquidity) == (FillCause.ORDER, Liquidity.MAKER)


def test_recorded_balances_and_cross_positions_are_read(shared_data: Path) -> None:
    spot = recorded(shared_data, "nt_http_spot_clearinghouse_state.json")
    (exchange,) = recorded(shared_data, "rest_get_user_state.json")
    positions = exchange["response"]["assetPositions"]
    found = account(positions, spot["balances"], [])

    assert found.free("PURR") == 1900
    held = {p.instrument: p for p in found.positions}
    bitcoin = held["hyperliquid:BTC-PERP"]
    assert (bitcoin.quantity, bitcoin.mode) == (Decimal("-0.00785"), MarginMode.CROSS)
    assert bitcoin.mark == Decimal("26961.2")
    assert len(held) == len(positions)
