"""Public market events, with two clocks each. Plain floats: they suggest, they do not commit.

``venue_time_ns`` is when it happened by the venue, ``received_ns`` when it
reached us. Prices are quote per base, sizes base units.
"""

import msgspec

from domain.orders import Side
from domain.rates import FundingRate


class Level(msgspec.Struct, frozen=True, gc=False):
    """What rests at one price of a book. A venue's decoder may make one under its own names
    (a subclass), so that of what a feed says no level is made twice."""

    price: float
    size: float


class Book(msgspec.Struct, frozen=True, tag=True):
    """A full snapshot of resting orders, best first on both sides. Never a difference."""

    instrument: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    venue_time_ns: int
    received_ns: int


class Trade(msgspec.Struct, frozen=True, tag=True):
    """A print: somebody else's trade. ``aggressor`` took liquidity."""

    instrument: str
    price: float
    quantity: float
    aggressor: Side
    venue_time_ns: int
    received_ns: int


class Reference(msgspec.Struct, frozen=True, tag=True):
    """The venue's mark and oracle price of a perp, and what it takes from outside.

    Input to the simulated exchange only; the bot sees ``PerpContext``. ``predicted`` is a real
    venue's own running estimate, where the market is a real venue's.
    """

    instrument: str
    mark: float
    oracle: float
    venue_time_ns: int
    received_ns: int
    predicted: FundingRate | None = None


class RecordedFunding(msgspec.Struct, frozen=True, tag=True):
    """History's own rate for the settlement at ``venue_time_ns``.

    Input to the simulated exchange only: where history has a rate, it settles at
    that rate instead of computing one from premiums.
    """

    instrument: str
    rate: FundingRate
    venue_time_ns: int
    received_ns: int


class PerpContext(msgspec.Struct, frozen=True, tag=True):
    """Mark, oracle and the venue's running estimate of the next funding rate.

    ``open_interest`` in base units, ``day_volume`` quote traded in the last 24 h; None where the
    venue does not say.
    """

    instrument: str
    mark: float
    oracle: float
    predicted: FundingRate
    venue_time_ns: int
    received_ns: int
    open_interest: float | None = None
    day_volume: float | None = None


class Close(msgspec.Struct, frozen=True, tag=True):
    """A bar's last price: what a venue's history knows of a market, and no quote to act on.

    ``low``, ``high`` and ``volume`` (base units) are of the bar, which is ``hours`` long; ``hours``
    is zero where only the price is known.
    """

    instrument: str
    price: float
    venue_time_ns: int
    received_ns: int
    low: float = 0.0
    high: float = 0.0
    volume: float = 0.0
    hours: float = 0.0


class FundingSettled(msgspec.Struct, frozen=True, tag=True):
    """A published funding rate: what was charged at ``venue_time_ns``."""

    instrument: str
    rate: FundingRate
    venue_time_ns: int
    received_ns: int


class Delisted(msgspec.Struct, frozen=True, tag=True):
    """The instrument trades no more: what is held of it is settled at ``price`` (quote per base).

    Input to the simulated exchange only.
    """

    instrument: str
    price: float
    venue_time_ns: int
    received_ns: int


MarketInput = Book | Trade | Reference | RecordedFunding | Delisted
"""What a market source feeds the simulated exchange, in order of ``venue_time_ns``."""

PublicEvent = Book | Close | PerpContext | FundingSettled
"""What the bot receives from any venue."""
