"""What we ask for, in the venue's spelling: exact, or not at all."""

from decimal import Decimal

import msgspec
import pytest
from hyperliquid.utils.signing import (
    float_to_wire,
    order_request_to_order_wire,
    order_wires_to_order_action,
)
from hyperliquid.utils.types import Cloid
from hypothesis import given
from hypothesis import strategies as st

from domain.orders import TimeInForce
from execution.venues.hyperliquid import actions
from execution.venues.hyperliquid.wire import amount
from tests.unit.execution.venues.hyperliquid.venue import CLOID, order, stop


@given(st.decimals(min_value="0.00000001", max_value=10**9, places=8))
def test_a_number_survives_the_wire_exactly_and_without_zeros_at_the_end(value: Decimal) -> None:
    text = actions.wire_number(value)

    assert amount(text) == value
    assert "e" not in text.lower()
    assert "." not in text or not text.endswith(("0", "."))


@pytest.mark.parametrize("value", ["1200", "45.50", "0.00001", "98765.4", "100000", "0.5", "1E+2"])
def test_a_number_is_written_as_the_official_client_writes_it(value: str) -> None:
    assert actions.wire_number(Decimal(value)) == float_to_wire(float(value))


@pytest.mark.parametrize("value", ["0.000000001", "1.123456789", "0", "-1", "NaN", "Infinity"])
def test_what_cannot_be_written_exactly_is_not_written(value: str) -> None:
    with pytest.raises(ValueError, match=r"decimals|positive"):
        actions.wire_number(Decimal(value))


@pytest.mark.parametrize(
    ("tif", "name"),
    [(TimeInForce.IOC, "Ioc"), (TimeInForce.POST_ONLY, "Alo"), (TimeInForce.GTC, "Gtc")],
)
def test_an_order_is_the_official_clients(tif: TimeInForce, name: str) -> None:
    theirs = order_request_to_order_wire(
        {
            "coin": "HYPE",
            "is_buy": False,
            "sz": 2.0,
            "limit_px": 45.5,
            "order_type": {"limit": {"tif": name}},
            "reduce_only": False,
            "cloid": Cloid.from_str(CLOID),
        },
        2,
    )
    ours = actions.order_action(order(tif=tif), 2)

    assert list(ours["orders"][0].items()) == list(theirs.items())
    assert ours | {"orders": []} == {"type": "order", "orders": [], "grouping": "na"}


@pytest.mark.parametrize(("tif", "at_market"), [(TimeInForce.IOC, True), (TimeInForce.GTC, False)])
def test_a_stop_is_the_official_clients(tif: TimeInForce, at_market: bool) -> None:
    trigger = {"isMarket": at_market, "triggerPx": 48.5, "tpsl": "sl"}
    theirs = order_request_to_order_wire(
        {
            "coin": "HYPE",
            "is_buy": True,
            "sz": 2.0,
            "limit_px": 50.0,
            "order_type": {"trigger": trigger},
            "reduce_only": True,
            "cloid": Cloid.from_str(CLOID),
        },
        2,
    )
    ours = actions.order_action(msgspec.structs.replace(stop(), time_in_force=tif), 2)

    assert msgspec.msgpack.encode(ours) == msgspec.msgpack.encode(
        order_wires_to_order_action([theirs])
    )


def test_a_stop_of_a_perp_of_a_thousand_coins_waits_for_the_price_of_a_thousand() -> None:
    request = msgspec.structs.replace(
        stop("0.0000234", "0.000026"),
        instrument="hyperliquid:kBONK-PERP",
        quantity=Decimal(2000),
    )

    (told,) = actions.order_action(request, 7)["orders"]

    assert (told["s"], told["p"], told["t"]["trigger"]["triggerPx"]) == ("2", "0.026", "0.0234")


def test_a_stop_that_could_open_something_is_not_written() -> None:
    with pytest.raises(AssertionError, match="opens nothing"):
        actions.order_action(msgspec.structs.replace(stop(), reduce_only=False), 2)


def test_margin_moves_in_millionths_either_way() -> None:
    assert actions.margin_action(Decimal("12.5"), 2) == {
        "type": "updateIsolatedMargin",
        "asset": 2,
        "isBuy": True,
        "ntli": 12_500_000,
    }
    assert actions.margin_action(Decimal("-0.000001"), 2)["ntli"] == -1
    with pytest.raises(ValueError, match="decimals"):
        actions.margin_action(Decimal("0.0000001"), 2)
