"""Orders that wait for a price: when they are placed, and when they are not any more."""

from domain.orders import Side
from tests.unit.execution.venues.hyperliquid.emulator.floor import (
    ACCOUNT,
    GTC,
    IOC,
    PERP_ASSET,
    Floor,
    Json,
    cloid,
)

ENTRY, STOP, TARGET = cloid(1), cloid(2), cloid(3)


def bracket(floor: Floor, entry_price: str, grouping: str = "normalTpsl", **kind: Json) -> Json:
    """A purchase of ten, its stop at 28 and its target at 32; the answer's statuses."""

    def sale(name: str, price: str, tpsl: str) -> Json:
        trigger = {"isMarket": True, "triggerPx": price, "tpsl": tpsl}  # as it is signed
        return {
            "a": PERP_ASSET, "b": False, "p": "25", "s": "10", "r": True,
            "t": {"trigger": trigger}, "c": name,
        }  # fmt: skip

    entry = {
        "a": PERP_ASSET, "b": True, "p": entry_price, "s": "10", "r": False,
        "t": kind or IOC, "c": ENTRY,
    }  # fmt: skip
    guards = [sale(STOP, "28", "sl"), sale(TARGET, "32", "tp")]
    orders = guards if grouping == "positionTpsl" else [entry, *guards]
    answer = floor.act({"type": "order", "orders": orders, "grouping": grouping})
    return answer["response"]["data"]["statuses"]


def status(floor: Floor, name: str) -> str:
    return str(floor.info("orderStatus", user=ACCOUNT, oid=name)["order"]["status"])


def held(floor: Floor) -> int:
    return int(floor.exchange.position("simulated:HYPE-PERP").quantity)


def opened() -> Floor:
    floor = Floor()
    floor.quote(30.0)
    floor.leverage(2)  # or a fall to the stop is a liquidation
    return floor


def test_a_stop_waits_for_its_mark_and_then_ends_its_target() -> None:
    floor = opened()
    filled, *waiting = bracket(floor, "30.1")
    assert filled["filled"]["totalSz"] == "10.0"
    assert waiting == ["waitingForFill", "waitingForFill"]

    floor.quote(28.01)
    assert (status(floor, STOP), status(floor, TARGET), held(floor)) == ("open", "open", 10)
    floor.quote(28.0)
    assert (status(floor, STOP), held(floor)) == ("filled", 0)
    assert status(floor, TARGET) == "siblingFilledCanceled"
    floor.quote(33.0)
    assert held(floor) == 0


def test_a_target_ends_its_stop() -> None:
    floor = opened()
    bracket(floor, "30.1")

    floor.quote(32.0)
    assert (status(floor, TARGET), held(floor)) == ("filled", 0)
    assert status(floor, STOP) == "siblingFilledCanceled"


def test_guards_of_an_entry_that_rests_do_nothing_and_end_with_it() -> None:
    floor = opened()
    bracket(floor, "27", **GTC)
    floor.quote(28.0)
    assert {status(floor, name) for name in (ENTRY, STOP, TARGET)} == {"open"}

    cancel = {"asset": PERP_ASSET, "cloid": ENTRY}
    floor.act({"type": "cancelByCloid", "cancels": [cancel]})
    floor.quote(28.0)
    assert {status(floor, name) for name in (ENTRY, STOP, TARGET)} == {"canceled"}
    assert held(floor) == 0


def test_guards_of_a_position_close_all_of_it_whatever_their_size() -> None:
    floor = opened()
    floor.order(Side.BUY, "25", "30.1")
    assert bracket(floor, "", "positionTpsl") == ["waitingForTrigger", "waitingForTrigger"]

    floor.quote(28.0)
    assert (status(floor, STOP), held(floor)) == ("filled", 0)
    assert status(floor, TARGET) == "siblingFilledCanceled"


def test_guards_that_stand_alone_do_not_end_each_other() -> None:
    floor = opened()
    bracket(floor, "30.1", "na")

    floor.quote(28.0)
    assert (status(floor, STOP), held(floor)) == ("filled", 0)
    assert status(floor, TARGET) == "open"
