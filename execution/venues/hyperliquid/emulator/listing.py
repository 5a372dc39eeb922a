"""Assets, coins and tokens: the venue's names and numbers for the instruments it lists.

Dense, so that a position in a list is an index: perps in the order of the pairs, spot
pairs likewise, USDC as token 0.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from domain.instruments import FeeSchedule, Instrument, Kind, MarginTier, Pair
from execution.venues.hyperliquid.emulator.numbers import text

SPOT_ASSETS = 10_000
SETTLEMENT = "USDC"
PERP_WALLET = "USDC (perp)"
"""The balance of the exchange behind perps in standard mode; the venue calls it USDC too."""
TOKEN_IDS = {
    "USDC": "0x6d1e7cde53ba9467b783cb7c530ce054",
    "PURR": "0xc1fb593aeffbeb02f85e0308e9956a90",
    "HYPE": "0x0d01dc56dcaaca66ad901c959b4011ec",
    "UBTC": "0x8f254b963e8468305d409b33aa137c67",
    "UETH": "0xe1edd30daaf5caac3fe63569e24748da",
    "USOL": "0x49b67c39f5566535de22b29b0e51e685",
    "UBONK": "0xb113d34e351cf195733c98442530c099",
}
"""Of the venue's mainnet. Whatever else a market has gets one that is made up."""
_LISTED_TABLES = 50  # below, a margin table's number is its one tier's leverage and not listed


class Listing:
    """Both directions between the venue's names and ours.

    Raises:
        ValueError: when a pair is not quoted in USDC, or fees differ within one kind.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.perps = list({pair.perp.id: pair.perp for pair in pairs}.values())
        self.spots = list({pair.spot.id: pair.spot for pair in pairs}.values())
        for instrument in (*self.perps, *self.spots):
            if instrument.quote != SETTLEMENT:
                raise ValueError(f"{instrument.id}: only {SETTLEMENT} is a quote here")
        self.tokens = list(dict.fromkeys((SETTLEMENT, *(spot.base for spot in self.spots))))
        self.token_of = {name: index for index, name in enumerate(self.tokens)}
        self.perp_fees, self.spot_fees = _fees(self.perps), _fees(self.spots)
        self.by_asset: dict[int, Instrument] = dict(enumerate(self.perps))
        self.by_asset |= {SPOT_ASSETS + index: spot for index, spot in enumerate(self.spots)}
        self.coin_of = {perp.id: perp.base for perp in self.perps}
        self.coin_of |= {spot.id: _spot_name(spot, i) for i, spot in enumerate(self.spots)}
        self.asset_of = {instrument.id: asset for asset, instrument in self.by_asset.items()}
        self.by_coin = {self.coin_of[i.id]: i for i in self.by_asset.values()}
        self._tables = _margin_tables(self.perps)

    def meta(self) -> dict[str, Any]:
        return {
            "universe": [
                {
                    "szDecimals": _decimals(perp.lot),
                    "name": perp.base,
                    "maxLeverage": perp.margin_tiers[0].max_leverage,
                    "marginTableId": self._tables[perp.margin_tiers],
                }
                for perp in self.perps
            ],
            "marginTables": [
                [number, _margin_table(tiers)]
                for tiers, number in self._tables.items()
                if number > _LISTED_TABLES
            ],
            "collateralToken": 0,
        }

    def margin_table(self, number: int) -> dict[str, Any] | None:
        """One table by its number, listed or not."""
        for tiers, known in self._tables.items():
            if known == number:
                return _margin_table(tiers)
        return None

    def spot_meta(self) -> dict[str, Any]:
        sizes = {spot.base: _decimals(spot.lot) for spot in self.spots}
        return {
            "universe": [
                {
                    "tokens": [self.token_of[spot.base], 0],
                    "name": self.coin_of[spot.id],
                    "index": index,
                    "isCanonical": "/" in self.coin_of[spot.id],
                }
                for index, spot in enumerate(self.spots)
            ],
            "tokens": [
                {
                    "name": name,
                    "szDecimals": sizes.get(name, 8),
                    "weiDecimals": 8,
                    "index": index,
                    "tokenId": TOKEN_IDS.get(name) or _made_up(name),
                    "isCanonical": index < 2,
                    "evmContract": None,
                    "fullName": None,
                }
                for name, index in self.token_of.items()
            ],
        }


def _made_up(name: str) -> str:
    return f"0x{blake2b(name.encode(), digest_size=16).hexdigest()}"


def _spot_name(spot: Instrument, index: int) -> str:
    """Only the first pair the venue ever listed goes by its name."""
    return "PURR/USDC" if spot.base == "PURR" else f"@{index}"


def _decimals(lot: Decimal) -> int:
    exponent = lot.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "Invariant: a lot is finite"
    if lot != Decimal(1).scaleb(exponent):
        raise ValueError(f"lot {lot} is no power of ten")
    if exponent > 0:
        raise ValueError(f"lot {lot}: the venue trades single units of what it lists")
    return -exponent


def _fees(instruments: Iterable[Instrument]) -> FeeSchedule:
    """An account has one rate a kind of instrument."""
    schedules = {instrument.fees: None for instrument in instruments}
    if len(schedules) != 1:
        raise ValueError("the instruments of one kind have different fees, or there are none")
    return next(iter(schedules))


def _margin_tables(perps: Iterable[Instrument]) -> dict[tuple[MarginTier, ...], int]:
    tables: dict[tuple[MarginTier, ...], int] = {}
    listed = _LISTED_TABLES
    for tiers in dict.fromkeys(perp.margin_tiers for perp in perps):
        if len(tiers) == 1 and tiers[0].max_leverage < _LISTED_TABLES:
            tables[tiers] = tiers[0].max_leverage
        else:
            listed += 1
            tables[tiers] = listed
    return tables


def _margin_table(tiers: tuple[MarginTier, ...]) -> dict[str, Any]:
    description = f"tiered {tiers[0].max_leverage}x" if len(tiers) > 1 else ""
    return {
        "description": description,
        "marginTiers": [
            {"lowerBound": text(tier.lower_bound), "maxLeverage": tier.max_leverage}
            for tier in tiers
        ],
    }


def coin(asset: str) -> str:
    """The venue's name of a balance of the exchange."""
    return SETTLEMENT if asset == PERP_WALLET else asset


def is_perp(instrument: Instrument) -> bool:
    return instrument.kind is Kind.PERP
