"""The account's two sides, and the mode that makes them one."""

from decimal import Decimal

import pytest

from domain.orders import Side
from tests.unit.execution.venues.hyperliquid.emulator.floor import ACCOUNT, PERP_ASSET, Floor, Json

APART, TOGETHER = "i", "u"


def mode(floor: Floor, letter: str) -> Json:
    return floor.act({"type": "agentSetAbstraction", "abstraction": letter})


def move(floor: Floor, amount: str, *, to_perp: bool = True) -> Json:
    source, destination = ("spot", "") if to_perp else ("", "spot")
    floor.nonce += 1
    action = {
        "type": "agentSendAsset",
        "destination": ACCOUNT,
        "sourceDex": source,
        "destinationDex": destination,
        "token": "USDC:0x0",
        "amount": amount,
        "fromSubAccount": "",
        "nonce": floor.nonce,
    }
    return floor.act(action, nonce=floor.nonce)


def sides(floor: Floor) -> tuple[Decimal, Decimal]:
    """USDC on the spot side, and on the perp side."""
    balances = floor.info("spotClearinghouseState", user=ACCOUNT)["balances"]
    spot = sum(Decimal(row["total"]) for row in balances if row["coin"] == "USDC")
    perp = floor.info("clearinghouseState", user=ACCOUNT)["marginSummary"]["accountValue"]
    return Decimal(spot), Decimal(perp)


def apart() -> Floor:
    floor = Floor()
    floor.quote(30.0)
    assert mode(floor, APART)["status"] == "ok"
    return floor


def test_what_leaves_one_side_is_on_the_other() -> None:
    floor = apart()

    assert move(floor, "4000.5")["status"] == "ok"
    assert sides(floor) == (Decimal("5999.5"), Decimal("4000.5"))
    assert move(floor, "0.5", to_perp=False)["status"] == "ok"
    assert sides(floor) == (Decimal(6000), Decimal(4000))


@pytest.mark.parametrize("amount", ["10000.000001", "0", "-1", "0.0000001", "NaN", "1e999", "x"])
def test_what_is_not_there_or_is_no_amount_moves_nothing(amount: str) -> None:
    floor = apart()

    assert move(floor, amount)["status"] == "err"
    assert sides(floor) == (Decimal(10_000), Decimal(0))


def test_margin_that_backs_a_position_does_not_leave_the_perp_side() -> None:
    floor = apart()
    move(floor, "1000")
    floor.leverage(2)
    floor.order(Side.SELL, "60", "29.9")

    assert move(floor, "1000", to_perp=False)["response"] == "Insufficient balance for withdrawal."
    assert floor.exchange.position("simulated:HYPE-PERP").quantity == -60


def test_the_mode_stays_while_a_position_or_an_order_is_open() -> None:
    floor = apart()
    move(floor, "5000")
    floor.order(Side.SELL, "10", "29.9")
    busy = "Cannot change the account's mode with open positions or orders."
    assert mode(floor, TOGETHER)["response"] == busy

    floor.order(Side.BUY, "10", "30.1")
    floor.order(Side.SELL, "10", "31", tif="Gtc", asset=PERP_ASSET)
    assert mode(floor, TOGETHER)["response"] == busy
    assert floor.info("userAbstraction", user=ACCOUNT) == "disabled"


def test_in_one_balance_there_is_all_that_was_on_two_sides_and_nothing_to_move() -> None:
    floor = apart()
    move(floor, "5000")

    assert mode(floor, TOGETHER)["status"] == "ok"
    assert sides(floor) == (Decimal(10_000), Decimal(0))
    refused = move(floor, "1")["response"]
    assert refused == "Action disabled when unified account is active."
    assert sides(floor) == (Decimal(10_000), Decimal(0))
