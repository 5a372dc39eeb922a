"""What is listed, found by token and never by a pair's name."""

from decimal import Decimal

import msgspec
import pytest

from bot.instruments import load_pairs
from domain.instruments import Kind, MarginTier
from execution.venues.hyperliquid import wire
from execution.venues.hyperliquid.emulator.listing import TOKEN_IDS
from execution.venues.hyperliquid.symbols import TOKENS, resolve
from tests.unit.execution.venues.hyperliquid.venue import FEES, META, SPOT_META, listed


def test_a_pair_has_our_names_and_the_venues() -> None:
    listing = listed()
    btc = next(pair for pair in listing.pairs if pair.name == "BTC")
    spot, perp = listing.by_id[btc.spot.id], listing.by_id[btc.perp.id]

    assert (btc.spot.id, btc.perp.id) == ("hyperliquid:UBTC/USDC", "hyperliquid:BTC-PERP")
    assert (spot.coin, spot.asset) == ("@142", 10142)
    assert (perp.coin, perp.asset) == ("BTC", 0)
    assert listing.by_coin["@107"].instrument.symbol == "HYPE/USDC"
    assert listing.by_coin["PURR/USDC"].asset == 10000
    assert listing.by_coin["HYPE"].asset == 2
    assert listing.tokens == {0: "USDC", 150: "HYPE", 197: "UBTC", 1: "PURR"}
    assert [m.coin for m in listing.perps] == ["HYPE", "BTC", "PURR"]


def test_an_instrument_has_the_venues_rules() -> None:
    pairs = {pair.name: pair for pair in listed().pairs}
    spot, perp = pairs["BTC"].spot, pairs["BTC"].perp

    assert (spot.kind, perp.kind) == (Kind.SPOT, Kind.PERP)
    assert (spot.lot, spot.price_decimals) == (Decimal("0.00001"), 3)
    assert (perp.lot, perp.price_decimals) == (Decimal("0.00001"), 1)
    assert spot.significant_figures == perp.significant_figures == 5
    assert spot.minimum_notional == perp.minimum_notional == 10
    assert (perp.funding_interval_hours, spot.funding_interval_hours) == (1, None)
    assert perp.margin_tiers == (
        MarginTier(Decimal(0), 40),
        MarginTier(Decimal(150_000_000), 20),
    )
    assert pairs["PURR"].perp.margin_tiers == (MarginTier(Decimal(0), 3),)
    assert (perp.fees.maker, perp.fees.taker) == (Decimal("0.00015"), Decimal("0.00045"))
    assert (spot.fees.maker, spot.fees.taker) == (Decimal("0.0004"), Decimal("0.0007"))
    assert spot.fees.buyer_pays_base
    assert not perp.fees.buyer_pays_base
    assert perp.round_price(Decimal("98765.43"), up=False) == Decimal(98765)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"HYPE": "UHYPE"}, "HYPE: 'UHYPE' is not among the spot tokens whose ids are known"),
        ({"HYPE": "UETH"}, "HYPE: Hyperliquid lists no spot token 'UETH'"),
        ({"DOGE": "HYPE"}, "DOGE: Hyperliquid lists no perp"),
        ({"hype": "HYPE"}, "hype: Hyperliquid lists no perp"),
        ({"MATIC": "HYPE"}, "MATIC: Hyperliquid has delisted"),
        ({"PUMP": "UPUMP"}, "UPUMP: Hyperliquid has no spot pair of token 20"),
        ({"HYPE": "USOL"}, "lists as USOL is another token of that name .0x2222"),
        ({"PUMP": "HYPE"}, "PUMP: Hyperliquid does not list its margin table 99"),
        ({"HYPE": "@107"}, "'@107' is not among the spot tokens"),
    ],
)
def test_what_is_not_plainly_listed_is_refused_with_its_reason(
    wanted: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        listed(**wanted)


def test_of_two_tokens_of_one_name_the_one_that_is_meant_is_found_by_its_id() -> None:
    """The other was listed first, and has a pair in USDC as well."""
    listing = listed(BTC="UBTC")

    assert listing.by_id["hyperliquid:UBTC/USDC"].coin == "@142"
    assert listing.tokens == {0: "USDC", 197: "UBTC"}


def test_every_pair_that_may_be_traded_has_a_token_whose_id_is_known() -> None:
    every = ["BTC", "ETH", "SOL", "HYPE", "PURR", "FARTCOIN", "PUMP", "kBONK"]
    assert {pair.spot.base for pair in load_pairs("hyperliquid", every)} == TOKENS.keys()
    emulated = TOKENS.keys() & TOKEN_IDS.keys()
    assert emulated == {"HYPE", "PURR", "UBONK", "UBTC", "UETH", "USOL"}
    assert all(TOKEN_IDS[name] in TOKENS[name] for name in emulated)


def test_the_collateral_must_be_usdc() -> None:
    other = msgspec.convert(META | {"collateralToken": 360}, wire.Meta)
    spot_meta, fees = (
        msgspec.convert(SPOT_META, wire.SpotMeta),
        msgspec.convert(FEES, wire.UserFees),
    )

    with pytest.raises(ValueError, match="is not USDC"):
        resolve(other, spot_meta, fees, {"HYPE": "HYPE"})


def test_a_perp_of_thousands_without_a_spot_token_that_is_known_is_refused() -> None:
    with pytest.raises(ValueError, match="kPEPE: 'UPEPE' is not among the spot tokens"):
        listed(kPEPE="UPEPE")
