from decimal import Decimal

import pytest

from bot.config_files import config_file, config_names
from bot.instruments import UnknownPair, load_listings, load_pairs
from domain.instruments import Kind
from domain.money import decimal_of


def test_bitcoin_on_hyperliquid_is_its_bridged_token_against_the_perp() -> None:
    (pair,) = load_pairs("hyperliquid", ["BTC"])

    assert (pair.spot.id, pair.perp.id) == ("hyperliquid:UBTC/USDC", "hyperliquid:BTC-PERP")
    assert pair.lot == Decimal("0.00001")


@pytest.mark.parametrize("venue", config_names("venues"))
def test_every_allowed_pair_has_one_spot_and_one_perp_leg(venue: str) -> None:
    pairs = load_pairs(venue)

    assert pairs
    for pair in pairs:
        assert (pair.spot.kind, pair.perp.kind) == (Kind.SPOT, Kind.PERP)
        assert pair.perp.base == pair.name
        assert pair.spot.quote == pair.perp.quote
        assert pair.perp.funding_interval_hours is not None
        assert pair.perp.margin_tiers[0].lower_bound == 0


def test_what_is_not_traded_by_default_is_traded_where_it_is_named() -> None:
    names = {pair.name for pair in load_pairs("hyperliquid")}
    assert names == {"BTC", "ETH", "SOL", "HYPE", "PURR"}

    (pair,) = load_pairs("hyperliquid", ["kBONK"])
    assert (pair.spot.id, pair.perp.id) == ("hyperliquid:UBONK/USDC", "hyperliquid:kBONK-PERP")
    assert pair.lot == pair.perp.lot == 1000


def test_hyperliquid_decimals_are_six_or_eight_less_those_of_the_size() -> None:
    for listing in load_listings("hyperliquid").values():
        leg = listing.instrument
        size_decimals = -leg.lot.adjusted()
        most = 6 if leg.kind is Kind.PERP else 8
        assert leg.price_decimals == most - size_decimals, leg.symbol
        assert leg.significant_figures == 5


def test_hyperliquid_charges_its_base_tier_and_takes_a_spot_buy_in_the_token() -> None:
    (pair,) = load_pairs("hyperliquid", ["HYPE"])

    assert (pair.perp.fees.taker, pair.perp.fees.maker) == (Decimal("0.00045"), Decimal("0.00015"))
    assert (pair.spot.fees.taker, pair.spot.fees.maker) == (Decimal("0.0007"), Decimal("0.0004"))
    assert pair.spot.fees.buyer_pays_base
    assert not pair.perp.fees.buyer_pays_base


def test_the_big_perps_have_their_published_leverage_tiers() -> None:
    tiers = {
        pair.name: [(int(t.lower_bound), t.max_leverage) for t in pair.perp.margin_tiers]
        for pair in load_pairs("hyperliquid")
    }

    assert tiers["BTC"] == [(0, 40), (150_000_000, 20)]
    assert tiers["ETH"] == [(0, 25), (100_000_000, 15)]
    assert tiers["SOL"] == [(0, 20), (70_000_000, 10)]
    assert tiers["PURR"] == [(0, 3)]


def test_a_valid_hyperliquid_price_has_five_figures() -> None:
    (pair,) = load_pairs("hyperliquid", ["BTC"])

    assert pair.perp.round_price(decimal_of(97123.46), up=False) == 97123
    assert pair.perp.round_price(decimal_of(9712.46), up=True) == Decimal("9712.5")


def test_history_of_binance_is_filed_under_its_own_symbols() -> None:
    listings = load_listings("binance")

    assert listings["BTC-PERP"].history == listings["BTC/USDT"].history == "BTCUSDT"
    assert listings["BTC-PERP"].instrument.funding_interval_hours == 8
    assert load_listings("hyperliquid")["UBTC/USDC"].history == "UBTC"


def test_names_keep_their_order_and_come_once() -> None:
    pairs = load_pairs("hyperliquid", ["HYPE", "BTC", "HYPE"])

    assert [pair.name for pair in pairs] == ["HYPE", "BTC"]


def test_an_unknown_pair_is_refused_with_what_there_is() -> None:
    with pytest.raises(UnknownPair, match=r"'UBTC' is no pair of hyperliquid; there are BTC, ETH"):
        load_pairs("hyperliquid", ["BTC", "UBTC"])


def test_an_unknown_venue_is_refused_with_what_there_is() -> None:
    with pytest.raises(UnknownPair, match=r"'mtgox' is not configured; there are binance"):
        load_pairs("mtgox")


def test_configuration_is_found_beside_the_packages() -> None:
    assert config_file("symbols.toml").is_file()
    assert "hyperliquid" in config_names("venues")
