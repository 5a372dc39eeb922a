"""Instruments and pairs from ``config/venues/*.toml`` and the allow-list in ``symbols.toml``."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import msgspec

from bot.config_files import config_file, config_names
from domain.instruments import FeeSchedule, Instrument, Kind, MarginTier, Pair

T = TypeVar("T")

_MAGNITUDE_MAX = 18  # powers of ten, either way
_REASON_LENGTH = 300
_INTEREST_MAX = 0.001  # an hour, either way


class UnknownPair(ValueError):
    """A venue or pair that the configuration does not list. The message says where to add it."""


class QuoteModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How wide and deep a book is where history has only bars.

    Half spread: ``half_spread_bps`` and ``spread_of_range`` of the range
    (high - low) / close that an hour has had lately. First level, quote currency:
    ``depth_of_volume`` of the volume that an hour has had over the last day, or
    ``depth_floor`` if that is more; thinner by as much as the spread is wider
    than ``half_spread_bps``.
    """

    half_spread_bps: float
    spread_of_range: float
    depth_floor: float
    depth_of_volume: float


class Listing(msgspec.Struct, frozen=True):
    """An instrument, the name its history files carry, and its quote model (None: generated)."""

    instrument: Instrument
    history: str
    quotes: QuoteModel | None


class _Fees(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    spot: FeeSchedule
    perp: FeeSchedule


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of ``[[spot]]`` or ``[[perp]]``."""

    base: str
    lot: Decimal
    price_decimals: int
    history: str | None = None
    minimum_notional: Decimal | None = None
    margin_tiers: tuple[MarginTier, ...] = ()
    quotes: QuoteModel | None = None


class _Venue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of ``config/venues``."""

    quote: str
    funding_interval_hours: int
    minimum_notional: Decimal
    fees: _Fees
    spot: tuple[_Row, ...]
    perp: tuple[_Row, ...]
    significant_figures: int | None = None
    funding_interest_hourly: float = 1.25e-5
    urls: dict[str, str] = {}


class _PairNames(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    spot: str
    perp: str
    by_default: bool = True


_Symbols = dict[str, dict[str, _PairNames]]
"""``config/symbols.toml``: by venue, by pair."""


def load_listings(venue: str) -> dict[str, Listing]:
    """Every instrument of a venue, by symbol (``BTC-PERP``, ``UBTC/USDC``).

    Raises:
        UnknownPair: when there is no ``config/venues/<venue>.toml``, or none that can be used.
    """
    if venue not in (known := config_names("venues")):
        raise UnknownPair(f"venue {venue!r} is not configured; there are {', '.join(known)}")
    file = config_file(f"venues/{venue}.toml")
    rules = _read(file, _Venue)
    rows = [(Kind.SPOT, row) for row in rules.spot] + [(Kind.PERP, row) for row in rules.perp]
    try:
        listings = [_listing(venue, rules, kind, row) for kind, row in rows]
    except ValueError as error:
        raise UnknownPair(f"{file}: {error}") from None
    return {listing.instrument.symbol: listing for listing in listings}


def load_url(venue: str, network: str) -> str:
    """The address of a venue's ``mainnet`` or ``testnet``.

    Raises:
        UnknownPair: the venue's file names none.
    """
    file = config_file(f"venues/{venue}.toml")
    urls = _read(file, _Venue).urls
    if network not in urls:
        raise UnknownPair(f"{file}: no address of a {network} under [urls]")
    return urls[network]


def load_pairs(venue: str, names: Sequence[str] | None = None) -> tuple[Pair, ...]:
    """The pairs of ``names``, in that order; when None those that
    ``config/symbols.toml`` lists to be traded by default.

    Raises:
        UnknownPair: when the venue or a name is not listed, or a file cannot be used.
    """
    listings = load_listings(venue)
    file = config_file("symbols.toml")
    allowed = _read(file, _Symbols).get(venue, {})
    for name in names or ():
        if name not in allowed:
            raise UnknownPair(
                f"{name!r} is no pair of {venue}; there are {', '.join(allowed)} "
                "(config/symbols.toml is the list)"
            )
    by_default = [name for name, listed in allowed.items() if listed.by_default]
    try:
        return tuple(
            Pair(
                name,
                listings[allowed[name].spot].instrument,
                listings[allowed[name].perp].instrument,
            )
            for name in dict.fromkeys(names if names is not None else by_default)
        )
    except KeyError as error:
        raise UnknownPair(f"{file}: {venue} has no instrument {error}") from None


def listed_pairs(venue: str) -> tuple[Pair, ...]:
    """Every pair that ``config/symbols.toml`` lists, also those that are traded only by name.

    Raises:
        UnknownPair: as ``load_pairs``.
    """
    listed = _read(config_file("symbols.toml"), _Symbols)
    return load_pairs(venue, tuple(listed.get(venue, {})))


def _read(file: Path, kind: type[T]) -> T:
    try:
        return msgspec.toml.decode(file.read_bytes(), type=kind)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:_REASON_LENGTH]
        raise UnknownPair(f"{file} cannot be used: {reason}") from None


def _listing(venue: str, rules: _Venue, kind: Kind, row: _Row) -> Listing:
    perp = kind is Kind.PERP
    minimum = rules.minimum_notional if row.minimum_notional is None else row.minimum_notional
    fees = rules.fees.perp if perp else rules.fees.spot
    tiers = [tier.lower_bound for tier in row.margin_tiers]
    if not abs(rules.funding_interest_hourly) <= _INTEREST_MAX:
        raise ValueError(f"funding_interest_hourly: {rules.funding_interest_hourly} is no rate")
    for number in (row.lot, minimum, fees.maker, fees.taker, *tiers):
        if not number.is_finite() or abs(number.adjusted()) > _MAGNITUDE_MAX:
            raise ValueError(f"{row.base}: {number} is a number beyond all reason")
    instrument = Instrument(
        venue=venue,
        symbol=f"{row.base}-PERP" if perp else f"{row.base}/{rules.quote}",
        kind=kind,
        base=row.base,
        quote=rules.quote,
        lot=row.lot,
        price_decimals=row.price_decimals,
        minimum_notional=minimum,
        fees=fees,
        significant_figures=rules.significant_figures,
        margin_tiers=row.margin_tiers,
        funding_interval_hours=rules.funding_interval_hours if perp else None,
        funding_interest_hourly=rules.funding_interest_hourly,
    )
    return Listing(instrument, row.history or row.base, row.quotes)
