"""What the venue tells of single events adds up to what it tells of the account, exactly."""

from decimal import Decimal
from random import Random

import pytest

from domain.money import ZERO, exact
from domain.orders import Side
from domain.time import HOUR, MINUTE, SECOND
from tests.unit.execution.venues.hyperliquid.emulator.floor import (
    ACCOUNT,
    PERP_ASSET,
    SPOT_ASSET,
    Floor,
    Json,
)


def pages(floor: Floor, kind: str) -> list[Json]:
    """All rows of a history; those of these stories fit on a page."""
    rows: list[Json] = floor.info(kind, user=ACCOUNT, startTime=0)
    assert len(rows) < 500
    return rows


def signed_size(fill: Json) -> Decimal:
    return Decimal(fill["sz"]) * (1 if fill["side"] == "B" else -1)


@exact()
def assert_the_books_close(floor: Floor) -> None:
    """Deposits, less what was paid, plus what was received: USDC, tokens, positions."""
    fills, fundings = pages(floor, "userFillsByTime"), pages(floor, "userFunding")
    usdc = token = position = ZERO
    for row in pages(floor, "userNonFundingLedgerUpdates"):
        delta = row["delta"]
        if delta["type"] == "deposit":
            usdc += Decimal(delta["usdc"])
        elif delta["type"] == "liquidation":
            usdc -= Decimal(delta["accountValue"])
        else:
            assert (delta["type"], delta["token"]) == ("spotTransfer", "HYPE")
            token += Decimal(delta["amount"])
    for fill in fills:
        usdc -= signed_size(fill) * Decimal(fill["px"])
        if fill["coin"] == "@0":
            assert Decimal(fill["startPosition"]) == token
            token += signed_size(fill)
        else:
            assert Decimal(fill["startPosition"]) == position
            position += signed_size(fill)
        if fill["feeToken"] == "HYPE":
            token -= Decimal(fill["fee"])
        else:
            usdc -= Decimal(fill["fee"])
    usdc += sum((Decimal(row["delta"]["usdc"]) for row in fundings), ZERO)

    balances = {
        balance["coin"]: Decimal(balance["total"])
        for balance in floor.info("spotClearinghouseState", user=ACCOUNT)["balances"]
    }
    state = floor.info("clearinghouseState", user=ACCOUNT)
    positions = [p["position"] for p in state["assetPositions"]]
    raw = sum((Decimal(p["leverage"]["rawUsd"]) for p in positions), ZERO)
    assert usdc == balances["USDC"] + raw
    assert token == balances.get("HYPE", ZERO)
    assert position == sum((Decimal(p["szi"]) for p in positions), ZERO)
    for p in positions:
        value = Decimal(p["leverage"]["rawUsd"]) + (
            Decimal(p["positionValue"]) * (1 if position > 0 else -1)
        )
        assert value == Decimal(p["marginUsed"])
        assert value == Decimal(state["marginSummary"]["accountValue"])
        paid = sum((Decimal(row["delta"]["usdc"]) for row in fundings), ZERO)
        assert Decimal(p["cumFunding"]["allTime"]) == -paid


def live(floor: Floor, draw: Random, mid: float) -> float:
    """Some minutes of a wild, synthetic market, and of somebody who trades in it."""
    floor.wait(draw.choice((SECOND, MINUTE, 20 * MINUTE)))
    jump = draw.choice((0.002, 0.01, 0.15))
    mid = round(min(max(mid * (1 + draw.uniform(-jump, jump)), 5.0), 200.0), 2)
    floor.quote(mid, size=draw.randrange(1, 60) + 0.5)
    for _ in range(2):
        price = mid + draw.randint(-6, 6) / 100
        floor.order(
            draw.choice(list(Side)),
            f"{draw.randrange(100, 8_000) / 100:.2f}",
            f"{price:.2f}".rstrip("0").rstrip("."),
            tif=draw.choice(("Ioc", "Gtc", "Alo")),
            asset=draw.choice((PERP_ASSET, SPOT_ASSET)),
            reduce_only=draw.random() < 0.2,
        )
    floor.print(round(mid + draw.randint(-6, 6) / 100, 2), 20.25, draw.choice(list(Side)))
    if draw.random() < 0.2:
        floor.leverage(draw.randint(1, 10))
    if draw.random() < 0.2:
        ntli = draw.randrange(-300_000_000, 300_000_000)
        floor.act({"type": "updateIsolatedMargin", "asset": 0, "isBuy": True, "ntli": ntli})
    return mid


@pytest.mark.parametrize("seed", range(8))
def test_an_accounts_money_is_the_sum_of_what_was_told(seed: int) -> None:
    draw = Random(seed)
    floor = Floor({"USDC": "4000", "HYPE": "3.25"})
    mid = 30.0
    for step in range(100):
        mid = live(floor, draw, mid)
        if step % 10 == 9:
            assert_the_books_close(floor)


def test_the_wild_stories_have_liquidations_of_both_kinds_and_fees_of_both_tokens() -> None:
    methods: set[str] = set()
    fees: set[str] = set()
    for seed in range(8):
        draw, mid = Random(seed), 30.0
        floor = Floor({"USDC": "4000", "HYPE": "3.25"})
        for _ in range(100):
            mid = live(floor, draw, mid)
        for fill in pages(floor, "userFillsByTime"):
            fees.add(fill["feeToken"])
            if "liquidation" in fill:
                methods.add(fill["liquidation"]["method"])

    assert methods == {"market", "backstop"}
    assert fees == {"USDC", "HYPE"}


def test_a_fill_realizes_what_it_was_bought_at() -> None:
    floor = Floor()
    floor.quote(30.0)
    floor.order(Side.BUY, "10", "30.01")
    floor.quote(32.0)
    floor.order(Side.BUY, "30", "32.01")  # 40 at 31.51 on average
    floor.quote(33.51)
    floor.order(Side.SELL, "50", "33.5")

    last = floor.info("userFills", user=ACCOUNT)[0]
    assert (last["dir"], last["startPosition"]) == ("Long > Short", "40.0")
    assert last["closedPnl"] == "79.6"  # 40 x (33.5 - 31.51)
    position = floor.info("clearinghouseState", user=ACCOUNT)["assetPositions"][0]["position"]
    assert (position["szi"], position["entryPx"]) == ("-10.0", "33.5")
    floor.order(Side.BUY, "10", "33.52")
    assert floor.info("userFills", user=ACCOUNT)[0]["closedPnl"] == "-0.2"  # 10 x (33.5 - 33.52)


def test_funding_is_summed_since_the_position_was_opened_and_since_its_size_changed() -> None:
    floor = Floor()

    def paid() -> list[Decimal]:
        """Ever, since opened, since changed: in hours of ten HYPE at 30 (0.00375 USDC each)."""
        (row,) = floor.info("clearinghouseState", user=ACCOUNT)["assetPositions"]
        told = row["position"]["cumFunding"]
        hour = Decimal("0.00375")
        return [Decimal(told[k]) / hour for k in ("allTime", "sinceOpen", "sinceChange")]

    floor.quote(30.0)
    floor.order(Side.BUY, "10", "30.01")
    floor.wait(2 * HOUR)
    assert paid() == [2, 2, 2]
    floor.order(Side.BUY, "10", "30.01")
    assert paid() == [2, 2, 0]
    floor.wait(HOUR)
    assert paid() == [4, 4, 2]
    floor.order(Side.SELL, "30", "29.99")  # now short ten
    assert paid() == [4, 0, 0]
    floor.wait(HOUR)
    assert paid() == [3, -1, -1]
