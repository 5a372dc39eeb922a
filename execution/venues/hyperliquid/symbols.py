"""What of Hyperliquid's listing we trade, under our names and under the venue's. Pure.

A spot leg is found by its token, and a token by its id: anybody may issue one that is called
UBTC. Nothing is concluded from how a pair is called either.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from domain.instruments import FeeSchedule, Instrument, Kind, MarginTier, Pair
from execution.venues.hyperliquid import units
from execution.venues.hyperliquid.wire import (
    Meta,
    PerpAsset,
    SpotAsset,
    SpotMeta,
    SpotToken,
    UserFees,
    amount,
    not_negative,
)

VENUE = "hyperliquid"
QUOTE = "USDC"
QUOTE_TOKEN = 0
SPOT_ASSETS = 10_000
"""Asset id of a spot pair: this plus its index."""
PERP_DECIMALS, SPOT_DECIMALS = 6, 8
SIGNIFICANT_FIGURES = 5
MINIMUM_NOTIONAL = Decimal(10)
SINGLE_TIER_TABLES = 50
"""Margin tables below this id are not listed: one tier, whose leverage is the asset's."""


TOKENS: dict[str, frozenset[str]] = {
    "HYPE": frozenset({"0x0d01dc56dcaaca66ad901c959b4011ec", "0x7317beb7cceed72ef0b346074cc8e7ab"}),
    "PURR": frozenset({"0xc1fb593aeffbeb02f85e0308e9956a90", "0xc4bf3f870c0e9465323c0b6ed28096c2"}),
    "UBONK": frozenset(
        {"0xb113d34e351cf195733c98442530c099", "0x07258d30c89f37d852314bbdd90ac0ff"}
    ),
    "UBTC": frozenset({"0x8f254b963e8468305d409b33aa137c67"}),
    "UETH": frozenset({"0xe1edd30daaf5caac3fe63569e24748da", "0xe4371d8166f362d6578725f11e0a14f3"}),
    "UFART": frozenset(
        {"0x7650808198966e4285687d3deb556ccc", "0x5c1a98b4df03401e19acb16bcf2ffabf"}
    ),
    "UPUMP": frozenset(
        {"0x544e60f98a36d7b22c0fb5824b84f795", "0xdc348378290f167692e50bfb49c60696"}
    ),
    "USOL": frozenset({"0x49b67c39f5566535de22b29b0e51e685", "0x57ead23624b114018cc0e49d01cc7b6b"}),
}
"""The tokens that may be a spot leg, and nothing else: name to ``tokenId``, on mainnet and, where
it is listed there, on the testnet. An id is a hash of the deployment: nobody chooses one."""


class Market(msgspec.Struct, frozen=True):
    """One instrument with the venue's names for it: ``coin`` in questions, ``asset`` in orders."""

    instrument: Instrument
    coin: str
    asset: int
    is_of_thousands: bool = False


class Listing(msgspec.Struct, frozen=True):
    """The pairs that may be traded and every name of their legs.

    ``by_id`` goes from our instrument id, ``by_coin`` from the venue's coin; ``tokens``
    maps the index of a spot token to the asset it is for us. ``is_standard``: the account's
    perps have a wallet of their own, apart from its spot balances. ``is_untried``: nobody has
    tried its mode, so that what is there is looked after, and nothing entered.
    """

    pairs: tuple[Pair, ...]
    by_id: dict[str, Market]
    by_coin: dict[str, Market]
    tokens: dict[int, str]
    is_standard: bool = False
    is_untried: bool = False

    @property
    def markets(self) -> tuple[Market, ...]:
        return tuple(self.by_id.values())

    @property
    def perps(self) -> tuple[Market, ...]:
        return tuple(m for m in self.markets if m.instrument.kind is Kind.PERP)


def resolve(meta: Meta, spot_meta: SpotMeta, fees: UserFees, wanted: Mapping[str, str]) -> Listing:
    """The listing of ``wanted``: name of a pair (its perp) to its spot token (``UBTC``).

    Raises:
        ValueError: when one of them is not listed, is delisted, or is another token of that name.
    """
    quote = next((t for t in spot_meta.tokens if t.index == QUOTE_TOKEN), None)
    if quote is None or quote.name != QUOTE or meta.collateral_token != QUOTE_TOKEN:
        raise ValueError(f"Hyperliquid's token {QUOTE_TOKEN}, its collateral, is not {QUOTE}")
    pairs, tokens = [], {QUOTE_TOKEN: QUOTE}
    markets: list[Market] = []
    for name, symbol in wanted.items():
        token = _token(spot_meta.tokens, name, symbol)
        spot = _spot(token, _spot_asset(spot_meta.universe, token), fees)
        perp = _perp(meta, name, fees)
        tokens[token.index] = token.name
        markets += [spot, perp]
        pairs.append(Pair(name, spot.instrument, perp.instrument))
    by_coin = {market.coin: market for market in markets}
    if len(by_coin) < len(markets):
        raise ValueError("Hyperliquid calls two instruments by one name: news of them are mixed up")
    return Listing(
        tuple(pairs), {market.instrument.id: market for market in markets}, by_coin, tokens
    )


def _token(tokens: Sequence[SpotToken], name: str, symbol: str) -> SpotToken:
    """By its id. Two of one name are two tokens; one of another name is not the one meant."""
    if symbol not in TOKENS:
        raise ValueError(
            f"{name}: {symbol!r} is not among the spot tokens whose ids are known here "
            f"({', '.join(TOKENS)})"
        )
    called = [token for token in tokens if token.name == symbol]
    for token in called:
        if token.token_id.lower() in TOKENS[symbol]:
            return token
    if called:
        ids = ", ".join(token.token_id for token in called)
        raise ValueError(
            f"{name}: what Hyperliquid lists as {symbol} is another token of that name ({ids}): "
            "anybody may issue one"
        )
    raise ValueError(f"{name}: Hyperliquid lists no spot token {symbol!r}")


def _spot_asset(universe: Sequence[SpotAsset], token: SpotToken) -> SpotAsset:
    for asset in universe:
        if asset.tokens == (token.index, QUOTE_TOKEN):
            return asset
    raise ValueError(
        f"{token.name}: Hyperliquid has no spot pair of token {token.index} in {QUOTE}"
    )


def _spot(token: SpotToken, asset: SpotAsset, fees: UserFees) -> Market:
    instrument = Instrument(
        venue=VENUE,
        symbol=f"{token.name}/{QUOTE}",
        kind=Kind.SPOT,
        base=token.name,
        quote=QUOTE,
        lot=_lot(token.sz_decimals),
        price_decimals=SPOT_DECIMALS - token.sz_decimals,
        minimum_notional=MINIMUM_NOTIONAL,
        fees=FeeSchedule(
            maker=amount(fees.user_spot_add_rate),
            taker=amount(fees.user_spot_cross_rate),
            buyer_pays_base=True,
        ),
        significant_figures=SIGNIFICANT_FIGURES,
    )
    return Market(instrument, asset.name, SPOT_ASSETS + asset.index)


def _perp(meta: Meta, name: str, fees: UserFees) -> Market:
    index, asset = next(
        ((i, asset) for i, asset in enumerate(meta.universe) if asset.name == name), (0, None)
    )
    if asset is None:
        raise ValueError(f"{name}: Hyperliquid lists no perp of that name")
    if asset.is_delisted:
        raise ValueError(f"{name}: Hyperliquid has delisted the perp")
    instrument = Instrument(
        venue=VENUE,
        symbol=f"{name}-PERP",
        kind=Kind.PERP,
        base=name,
        quote=QUOTE,
        lot=units.coins(name, _lot(asset.sz_decimals)),
        price_decimals=max(PERP_DECIMALS - asset.sz_decimals, 0) + 3 * units.is_of_thousands(name),
        minimum_notional=MINIMUM_NOTIONAL,
        fees=FeeSchedule(maker=amount(fees.user_add_rate), taker=amount(fees.user_cross_rate)),
        significant_figures=SIGNIFICANT_FIGURES,
        margin_tiers=_tiers(meta, asset),
        funding_interval_hours=1,
    )
    return Market(instrument, asset.name, index, units.is_of_thousands(name))


def _tiers(meta: Meta, asset: PerpAsset) -> tuple[MarginTier, ...]:
    table_id = asset.margin_table_id
    for listed_id, table in meta.margin_tables:
        if listed_id == table_id and table.margin_tiers:
            return tuple(
                sorted(
                    (
                        MarginTier(not_negative(tier.lower_bound), tier.max_leverage)
                        for tier in table.margin_tiers
                    ),
                    key=lambda tier: tier.lower_bound,
                )
            )
    if table_id is not None and table_id >= SINGLE_TIER_TABLES:
        raise ValueError(f"{asset.name}: Hyperliquid does not list its margin table {table_id}")
    return (MarginTier(Decimal(0), asset.max_leverage),)


def _lot(size_decimals: int) -> Decimal:
    return Decimal(1).scaleb(-size_decimals)
