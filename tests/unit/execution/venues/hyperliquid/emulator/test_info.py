"""What /info tells of the market, of the listing and of the account."""

from decimal import Decimal

import msgspec
import pytest

from domain.instruments import MarginTier, Pair
from domain.market import RecordedFunding, Trade
from domain.orders import Side
from domain.rates import FundingRate
from domain.time import HOUR, MILLISECOND
from execution.venues.hyperliquid.emulator.listing import Listing
from execution.venues.simulated.funding import funding_rate
from execution.venues.simulated.rules import VenueRules
from tests.unit.execution.venues.hyperliquid.emulator.floor import (
    ACCOUNT,
    AGENT_ADDRESS,
    PAIR,
    Floor,
    cloid,
)
from tests.unit.execution.venues.simulated.world import PERP, SPOT, START

NOBODY = f"0x{'0' * 40}"
BTC = Pair(
    "BTC",
    msgspec.structs.replace(SPOT, symbol="UBTC/USDC", base="UBTC", lot=Decimal("0.00001")),
    msgspec.structs.replace(
        PERP,
        symbol="BTC-PERP",
        base="BTC",
        lot=Decimal("0.00001"),
        margin_tiers=(MarginTier(Decimal(0), 40),),
    ),
)
PURR = Pair(
    "PURR",
    msgspec.structs.replace(SPOT, symbol="PURR/USDC", base="PURR", lot=Decimal(1)),
    msgspec.structs.replace(
        PERP,
        symbol="PURR-PERP",
        base="PURR",
        lot=Decimal(1),
        margin_tiers=(MarginTier(Decimal(0), 50),),
    ),
)


def test_positions_in_the_lists_are_the_numbers_of_assets_and_tokens() -> None:
    listing = Listing([BTC, PAIR, PURR])
    meta, spot = listing.meta(), listing.spot_meta()

    assert [u["name"] for u in meta["universe"]] == ["BTC", "HYPE", "PURR"]
    assert [u["szDecimals"] for u in meta["universe"]] == [5, 2, 0]
    assert [u["maxLeverage"] for u in meta["universe"]] == [40, 10, 50]
    assert [(u["name"], u["tokens"], u["index"]) for u in spot["universe"]] == [
        ("@0", [1, 0], 0),
        ("@1", [2, 0], 1),
        ("PURR/USDC", [3, 0], 2),
    ]
    assert [(t["name"], t["index"]) for t in spot["tokens"]] == [
        ("USDC", 0),
        ("UBTC", 1),
        ("HYPE", 2),
        ("PURR", 3),
    ]
    assert {a: i.symbol for a, i in listing.by_asset.items()} == {
        0: "BTC-PERP",
        1: "HYPE-PERP",
        2: "PURR-PERP",
        10_000: "UBTC/USDC",
        10_001: "HYPE/USDC",
        10_002: "PURR/USDC",
    }


def test_a_table_of_one_tier_is_named_by_its_leverage_and_not_listed() -> None:
    meta = Listing([BTC, PAIR, PURR]).meta()

    assert [u["marginTableId"] for u in meta["universe"]] == [40, 51, 52]
    assert [number for number, _ in meta["marginTables"]] == [51, 52]
    assert meta["marginTables"][0][1]["marginTiers"] == [
        {"lowerBound": "0.0", "maxLeverage": 10},
        {"lowerBound": "3000000.0", "maxLeverage": 5},
    ]


def test_a_margin_table_is_told_by_its_number() -> None:
    floor = Floor()

    assert floor.info("marginTable", id=51)["marginTiers"][1]["maxLeverage"] == 5
    unknown = b'{"type":"marginTable","id":7}'
    assert floor.emulator.request("/info", unknown, floor.now_ns).status == 422


def test_a_lot_is_a_power_of_ten() -> None:
    odd = msgspec.structs.replace(PERP, lot=Decimal("0.05"))

    with pytest.raises(ValueError, match="no power of ten"):
        Listing([Pair("HYPE", SPOT, odd)]).meta()


def test_before_the_market_opens_there_is_nothing_to_tell() -> None:
    floor = Floor()

    assert floor.info("allMids") == {}
    assert floor.info("l2Book", coin="HYPE")["levels"] == [[], []]
    _, (context,) = floor.info("metaAndAssetCtxs")
    assert (context["midPx"], context["premium"]) == (None, None)
    assert floor.info("predictedFundings") == []


def test_the_market_is_told_as_it_stands() -> None:
    floor = Floor()
    floor.quote(30.0)

    assert floor.info("allMids") == {"HYPE": "30.0", "@0": "30.0"}
    assert floor.info("l2Book", coin="@0")["levels"][1] == [{"px": "30.01", "sz": "1000.0", "n": 1}]
    meta, (context,) = floor.info("metaAndAssetCtxs")
    assert meta == floor.info("meta")
    assert (context["markPx"], context["funding"]) == ("30.0", "0.0000125")
    spot_meta, (spot,) = floor.info("spotMetaAndAssetCtxs")
    assert spot_meta == floor.info("spotMeta")
    assert (spot["coin"], spot["midPx"]) == ("@0", "30.0")
    ((coin, ((venue, predicted),)),) = floor.info("predictedFundings")
    assert (coin, venue, predicted["fundingRate"]) == ("HYPE", "HlPerp", "0.0000125")
    assert predicted["nextFundingTime"] == START // MILLISECOND  # the one already past


def test_the_venue_answers_what_a_client_asks_at_its_start() -> None:
    floor = Floor()

    assert floor.info("userAbstraction", user=ACCOUNT) == "unifiedAccount"
    assert floor.info("userAbstraction", user=AGENT_ADDRESS) == "default"
    assert floor.info("perpDexs") == [None]
    assert floor.info("exchangeStatus") == {
        "specialStatuses": None,
        "time": floor.now_ns // MILLISECOND,
    }
    fees = floor.info("userFees", user=ACCOUNT)
    assert [fees[k] for k in ("userCrossRate", "userAddRate")] == ["0.00045", "0.00015"]
    assert [fees[k] for k in ("userSpotCrossRate", "userSpotAddRate")] == ["0.0007", "0.0004"]
    assert floor.info("userRole", user=ACCOUNT) == {"role": "user"}
    assert floor.info("userRole", user=NOBODY) == {"role": "missing"}
    (deposit,) = floor.info("userNonFundingLedgerUpdates", user=ACCOUNT, startTime=0)
    assert deposit["delta"] == {"type": "deposit", "usdc": "10000.0"}


def test_agents_are_told_with_their_last_millisecond() -> None:
    floor = Floor(agents={AGENT_ADDRESS: 2_000_000_000_000, NOBODY: None})

    assert floor.info("extraAgents", user=ACCOUNT) == [
        {"name": "agent 1", "address": AGENT_ADDRESS, "validUntil": 2_000_000_000_000}
    ]
    assert floor.info("extraAgents", user=AGENT_ADDRESS) == []


def test_requests_and_volume_are_counted() -> None:
    floor = Floor()
    floor.quote(30.0)
    floor.order(Side.BUY, "10", "30.01")

    told = floor.info("userRateLimit", user=ACCOUNT)
    assert (told["cumVlm"], told["nRequestsUsed"], told["nRequestsCap"]) == ("300.1", 1, 10_300)
    assert floor.info("userRateLimit", user=NOBODY)["nRequestsUsed"] == 0


def test_open_interest_and_volume_are_of_what_was_traded_here() -> None:
    floor = Floor()
    floor.quote(30.0)

    def perp() -> tuple[str, str, str]:
        _, (context,) = floor.info("metaAndAssetCtxs")
        return context["openInterest"], context["dayBaseVlm"], context["dayNtlVlm"]

    assert perp() == ("0.0", "0.0", "0.0")
    floor.order(Side.SELL, "10", "29.99")
    assert perp() == ("10.0", "10.0", "299.9")  # whoever bought them is long
    floor.order(Side.BUY, "4", "30.01")
    assert perp() == ("6.0", "14.0", "419.94")
    # Who took five more is long beside whoever bought our six.
    floor.emulator.play(Trade(PERP.id, 30.01, 5.0, Side.BUY, floor.now_ns, floor.now_ns))
    floor.quote(30.0)
    assert perp() == ("6.0", "19.0", "569.99")
    floor.emulator.play(Trade(PERP.id, 29.99, 25.0, Side.SELL, floor.now_ns, floor.now_ns))
    assert perp()[0] == "26.0"  # they are short twenty, as we are six
    floor.emulator.play(Trade(SPOT.id, 30.01, 2.0, Side.BUY, floor.now_ns, floor.now_ns))
    _, (spot,) = floor.info("spotMetaAndAssetCtxs")
    assert (spot["dayBaseVlm"], spot["dayNtlVlm"]) == ("2.0", "60.02")

    floor.wait(25 * HOUR)
    floor.quote(30.0)
    assert perp() == ("26.0", "0.0", "0.0")


def test_what_backs_orders_is_held() -> None:
    floor = Floor({"USDC": "1000", "HYPE": "5"})
    floor.quote(30.0)
    floor.order(Side.SELL, "2", "35", tif="Gtc", asset=10_000)
    floor.order(Side.BUY, "10", "29", tif="Gtc", asset=10_000)

    balances = {
        b["coin"]: b for b in floor.info("spotClearinghouseState", user=ACCOUNT)["balances"]
    }
    assert balances["HYPE"] == {
        "coin": "HYPE", "token": 1, "total": "5.0", "hold": "2.0", "entryNtl": "0.0"
    }  # fmt: skip
    assert (balances["USDC"]["total"], balances["USDC"]["hold"]) == ("1000.0", "290.0")


def test_leverage_is_read_back_while_flat() -> None:
    floor = Floor()
    floor.quote(30.0)
    floor.leverage(4)

    told = floor.info("activeAssetData", user=ACCOUNT, coin="HYPE")
    assert told["leverage"] == {"type": "isolated", "value": 4}
    assert told["maxTradeSzs"] == ["1333.33", "1333.33"]
    body = msgspec.json.encode({"type": "activeAssetData", "user": ACCOUNT, "coin": "@0"})
    assert floor.emulator.request("/info", body, floor.now_ns).status == 422


@pytest.mark.parametrize("rate", [0.0000125, 0.0042, -0.001, 0.0000126])
def test_the_formula_gives_the_published_rate_for_the_published_premium(rate: float) -> None:
    floor = Floor()
    floor.quote(30.0)
    floor.wait(HOUR)
    floor.emulator.play(
        RecordedFunding(PERP.id, FundingRate(rate, 1.0), floor.now_ns, floor.now_ns)
    )

    (row,) = floor.info("fundingHistory", coin="HYPE", startTime=START // MILLISECOND + 1)
    assert float(row["fundingRate"]) == rate
    assert funding_rate(float(row["premium"]), 1, VenueRules()).per_interval == rate


def test_histories_come_in_pages_from_their_start() -> None:
    floor = Floor()
    floor.quote(30.0, size=1e9)
    floor.order(Side.SELL, "1", "29.99")
    for _ in range(520):
        floor.wait(HOUR)
        floor.info("exchangeStatus")

    first = floor.info("fundingHistory", coin="HYPE", startTime=0)
    rest = floor.info("fundingHistory", coin="HYPE", startTime=first[-1]["time"] + 1)
    some = floor.info(
        "fundingHistory", coin="HYPE", startTime=first[3]["time"], endTime=first[5]["time"]
    )
    assert (len(first), len(rest)) == (500, 24)
    assert first[0]["time"] < first[-1]["time"] < rest[0]["time"]
    assert some == first[3:6]
    paid = floor.info("userFunding", user=ACCOUNT, startTime=0)
    assert len(paid) == 500
    assert len(floor.info("userFunding", user=ACCOUNT, startTime=paid[-1]["time"] + 1)) == 20


def test_fills_come_two_thousand_at_a_time_and_ten_thousand_are_kept() -> None:
    floor = Floor({"USDC": "1000000"})
    floor.quote(30.0, size=1e9)
    row = {"time": 0, "tid": 0}
    fills = floor.emulator._records.fills
    for number in range(10_100):
        fills.add(row | {"time": 1_000 + number, "tid": number}, 1_000 + number)

    page = floor.info("userFillsByTime", user=ACCOUNT, startTime=0)
    later = floor.info("userFillsByTime", user=ACCOUNT, startTime=page[-1]["time"] + 1)
    assert [fill["tid"] for fill in page] == list(range(100, 2_100))
    assert later[0]["tid"] == 2_100
    assert [fill["tid"] for fill in floor.info("userFills", user=ACCOUNT)][:2] == [10_099, 10_098]


def test_orders_are_remembered_newest_first() -> None:
    floor = Floor()
    floor.quote(30.0)
    floor.order(Side.BUY, "1", "29", tif="Gtc", name=cloid(1))
    floor.order(Side.BUY, "1", "30.01", name=cloid(2))
    floor.order(Side.BUY, "1", "28", tif="Gtc")

    told = floor.info("historicalOrders", user=ACCOUNT)
    assert [(o["order"]["cloid"], o["status"], o["order"]["tif"]) for o in told] == [
        (None, "open", "Gtc"),
        (cloid(2), "filled", "Ioc"),
        (cloid(1), "open", "Gtc"),
    ]
    assert floor.info("historicalOrders", user=NOBODY) == []
    assert floor.info("orderStatus", user=ACCOUNT, oid=3)["order"]["order"]["limitPx"] == "28.0"
