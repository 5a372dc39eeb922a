"""Funding by Hyperliquid's formula. Floats: these are market data until a payment is made.

``premium = (max(impact_bid - oracle, 0) - max(oracle - impact_ask, 0)) / oracle``, sampled
every five seconds; an instant between two events sees the book and oracle of the earlier.
"""

from decimal import Decimal

from domain.instruments import Instrument
from domain.market import Level
from domain.rates import FundingRate
from domain.time import HOUR
from execution.venues.simulated.rules import VenueRules
from execution.venues.simulated.state import Market, rounded


def impact_price(levels: tuple[Level, ...], notional: float) -> float | None:
    """Average price of trading ``notional`` (quote) at once; of the whole side where it is thinner.

    >>> impact_price((Level(100.0, 10.0), Level(98.0, 50.0)), 1980.0)
    99.0
    """
    spent = size = 0.0
    for level in levels:
        value = level.price * level.size
        if spent + value >= notional:
            return notional / (size + (notional - spent) / level.price)
        spent += value
        size += level.size
    return spent / size if size else None


def premium(market: Market, notional: float) -> float | None:
    """The present premium, a fraction of the oracle; None without a book or an oracle."""
    if market.book is None or not market.oracle:
        return None
    bid = impact_price(market.book.bids, notional)
    ask = impact_price(market.book.asks, notional)
    if bid is None or ask is None:
        return None
    return (max(bid - market.oracle, 0.0) - max(market.oracle - ask, 0.0)) / market.oracle


def sample(market: Market, rules: VenueRules, notional: float, until_ns: int) -> None:
    """Take the samples due before ``until_ns`` from the market as it stands."""
    count = -((market.next_sample_ns - until_ns) // rules.premium_sample_ns)
    if count <= 0:
        return
    market.next_sample_ns += count * rules.premium_sample_ns
    market.predicted = None
    value = premium(market, notional)
    if value is not None:
        market.premium_sum += value * count
        market.premium_samples += count


def funding_rate(mean_premium: float, interval_hours: int, rules: VenueRules) -> FundingRate:
    """The rate of one interval from its mean premium.

    >>> funding_rate(0.0, 1, VenueRules())
    FundingRate(per_interval=1.25e-05, interval_hours=1.0)
    """
    pull = min(max(rules.interest - mean_premium, -rules.clamp), rules.clamp)
    per_hour = (mean_premium + pull) / 8
    capped = min(max(per_hour, -rules.funding_cap), rules.funding_cap)
    rate = round(capped * interval_hours, rules.rate_decimals)
    return FundingRate(rate, float(interval_hours))


def estimate(
    market: Market, instrument: Instrument, rules: VenueRules, notional: float
) -> FundingRate:
    """The venue's running estimate of the rate that the present interval will settle at.

    Where rates are recorded it is the last one: a market made from bars has no
    premium to speak of.
    """
    if market.predicted is None:
        if market.premium_samples:
            mean = market.premium_sum / market.premium_samples
        else:
            mean = premium(market, notional) or 0.0
        market.predicted = funding_rate(mean, interval_hours(instrument), rules)
    return market.predicted


def interval_hours(instrument: Instrument) -> int:
    return instrument.funding_interval_hours or 1


def ends_interval(instrument: Instrument, hour_ns: int) -> bool:
    """Whether funding is due at ``hour_ns``, a whole UTC hour."""
    return hour_ns // HOUR % interval_hours(instrument) == 0


def payment(quantity: Decimal, price: Decimal, rate: Decimal, quantum: Decimal) -> Decimal:
    """What a position receives: a short (negative) at a positive rate receives.

    >>> payment(Decimal(-2), Decimal(100), Decimal("0.0001"), Decimal("1e-8"))
    Decimal('0.02000000')
    """
    return rounded(-(quantity * price * rate), quantum)
