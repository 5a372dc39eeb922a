"""What our own trade takes off the funding it is opened for.

Above the venue's interest a funding rate is the perp's premium, which is what longs in excess pay
those who stand against them. Whoever adds a short takes a share of that excess away. What the
premium does then nobody publishes; that carry shrinks as more capital comes for it is
established (Schmeling, Schrimpf & Todorov 2023, Crypto carry, BIS working paper 1087; He, Manela,
Ross & von Wachter 2022, Fundamentals of perpetual futures). Assumed here is proportion: who is a
share of the open interest takes that share of the premium, and keeps it away for as long as the
trade lasts. The interest part is no matter of size. Income below it is left as it is.

A tenth of the open interest takes a tenth of the premium; a thousandth can be neglected, and
nothing is assumed where the open interest is not known, as in recorded history. Whoever is in
already sees a rate that his own trade has changed, so it plays no part in leaving.
"""

import msgspec

from strategies.funding.forecast import Forecast, Standing

UNTOLD = 0.1
"""No forecast is good enough to tell this share of a round trip."""


def impact_max(surplus: float, round_trip: float) -> float:
    """What slippage and our own share of the funding may take at most, of notional.

    Half of the ``surplus`` over costs and hurdle that is there at the touch: where these grow
    in proportion to size, anything larger earns less in total.
    """
    return max(surplus / 2.0, round_trip * UNTOLD)


def after_own_trade(
    forecast: Forecast, quantity: float, open_interest: float | None, anchor: float
) -> Forecast:
    """The forecast with ``quantity`` (base units) of ours added to the ``open_interest``.

    ``anchor`` is the rate per hour without premium, as the side that is taken receives it.
    """
    if not open_interest or open_interest <= 0.0:
        return forecast
    share = quantity / (open_interest + quantity)

    def less(rate: float) -> float:
        return rate - share * max(rate - anchor, 0.0)

    def standing(one: Standing) -> Standing:
        level = less(one.level)
        return Standing(level, less(one.level + one.deviation) - level)

    return msgspec.structs.replace(
        forecast,
        hourly=less(forecast.hourly),
        now=standing(forecast.now),
        before=standing(forecast.before),
    )
