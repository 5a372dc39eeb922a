"""The universe ranked: what each pair pays, costs and could take, and what keeps it out.

The figures are the strategy's own: each pair is shown to it at one instant, with nothing held,
and what it answers is read off. What it would enter is shown to the risk gate, as an account with
the capital and nothing else would.
"""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from math import fsum, inf
from pathlib import Path
from statistics import median

import msgspec

from bot.backtest.bars import DataError
from bot.backtest.history import HistorySource, open_history
from bot.choosing import resting
from bot.desk import Desk
from bot.planning import plan_entry
from bot.run import paced
from bot.settings import Settings
from bot.valuation import marks
from domain.account import AccountReport, Balance
from domain.instruments import Pair
from domain.market import (
    Book,
    FundingSettled,
    MarketInput,
    PerpContext,
    PublicEvent,
    RecordedFunding,
    Reference,
)
from domain.money import ZERO
from domain.rates import FundingRate
from domain.targets import Target
from domain.time import DAY, HOURS_PER_YEAR, SECOND
from execution.facts import Reconciled
from execution.state import State, apply
from strategies.carry.costs import Resting, RoundTrip, round_trip
from strategies.cash_and_carry import CashAndCarry
from strategies.market.state import InstrumentState, Market

LOOK_BACK_NS = 3 * DAY
"""Of quotes before the instant, for volatility and the usual basis."""
MEAN_NS = 7 * DAY
CAPACITY_SLIPPAGE = 0.001
"""Capacity is the notional whose round trip costs this much more than that of one lot."""
NO_DATA = "no_data"
_HALVINGS = 40


class Row(msgspec.Struct, frozen=True):
    """One pair. Rates are simple annual ones on notional, ``net_apr`` on all capital tied up.

    ``funding`` is the newest settled rate, ``mean`` that of seven days; ``positive`` the share of
    the days of 60 on which shorts were paid; ``forecast`` with its
    standard ``error`` over ``horizon_hours``. ``cost`` is the round trip, of notional, and
    ``break_even_hours`` how long the forecast takes to repay it; ``capacity`` is quote. All are
    None where the history has nothing to judge by. ``gate`` is the word that keeps the
    pair out, of the strategy or of the risk gate, empty where it would be entered; ``reason`` says
    it in numbers, after all that the gate objects to. ``synthetic``: its market is invented.
    """

    pair: str
    gate: str
    reason: str
    at_ns: int | None = None
    funding: float | None = None
    mean: float | None = None
    positive: float | None = None
    forecast: float | None = None
    error: float | None = None
    horizon_hours: float | None = None
    cost: float | None = None
    break_even_hours: float | None = None
    net_apr: float | None = None
    notional: Decimal | None = None
    capacity: float | None = None
    synthetic: bool = False


class Venue(msgspec.Struct, frozen=True):
    """What a venue offers: its rules as configured, and medians over its ``pairs`` that have data.

    Fees are fractions of notional, ``leverage`` the highest that any perp allows,
    ``interval_hours`` how often funding is paid; the rest as in ``Row``, ``at_ns`` the newest.
    ``entered``: pairs that nothing keeps out.
    """

    venue: str
    pairs: int
    entered: int
    quote: str
    perp_maker: Decimal
    perp_taker: Decimal
    spot_maker: Decimal
    spot_taker: Decimal
    leverage: int
    interval_hours: int | None
    mean: float | None
    positive: float | None
    cost: float | None
    capacity: float | None
    at_ns: int | None
    synthetic: bool


def scan(
    data: Path,
    venue: str,
    pairs: Sequence[Pair],
    at_ns: int | None,
    capital: Decimal,
    settings: Settings,
) -> Iterator[Row]:
    """A row a pair, in their order, at the last instant before ``at_ns`` that both legs have."""
    for pair in pairs:
        try:
            end_ns = at_ns
            if end_ns is None:
                end_ns = open_history(data, venue, [pair.name]).end_ns
                assert end_ns is not None, "Invariant: recorded history ends"
            start_ns = end_ns - LOOK_BACK_NS
            source = open_history(data, venue, [pair.name], start_ns=start_ns, end_ns=end_ns)
        except DataError as error:
            yield Row(pair.name, NO_DATA, str(error).removeprefix(f"{pair.name}: "))
            continue
        market, now_ns = _market(source)
        paces = paced(settings, source.cadence_ns)
        yield _row(pair, market, now_ns, capital, paces, synthetic=source.synthetic)


def scan_live(
    pairs: Sequence[Pair],
    market: Market,
    now_ns: int,
    capital: Decimal,
    settings: Settings,
    *,
    synthetic: bool,
) -> Iterator[Row]:
    """A row a pair, in their order, of a market that is seen now."""
    for pair in pairs:
        yield _row(pair, market, now_ns, capital, settings, synthetic=synthetic)


def ranked(rows: Iterable[Row]) -> list[Row]:
    """What would be entered first, then by expected net per unit of capital."""

    def place(row: Row) -> tuple[bool, float, str]:
        return row.gate != "", inf if row.net_apr is None else -row.net_apr, row.pair

    return sorted(rows, key=place)


def scored(venue: str, pairs: Sequence[Pair], rows: Sequence[Row]) -> Venue:
    """``rows`` of the ``pairs`` of one venue in one line."""
    known = [row for row in rows if row.mean is not None]
    spot, perp = pairs[0].spot, pairs[0].perp

    def middle(name: str) -> float | None:
        found = [value for row in known if (value := getattr(row, name)) is not None]
        return median(found) if found else None

    return Venue(
        venue,
        pairs=len(known),
        entered=sum(1 for row in known if not row.gate),
        quote=perp.quote,
        perp_maker=perp.fees.maker,
        perp_taker=perp.fees.taker,
        spot_maker=spot.fees.maker,
        spot_taker=spot.fees.taker,
        leverage=max(tier.max_leverage for pair in pairs for tier in pair.perp.margin_tiers),
        interval_hours=perp.funding_interval_hours,
        mean=middle("mean"),
        positive=middle("positive"),
        cost=middle("cost"),
        capacity=middle("capacity"),
        at_ns=max((row.at_ns for row in known if row.at_ns is not None), default=None),
        synthetic=any(row.synthetic for row in known),
    )


def _row(
    pair: Pair,
    market: Market,
    now_ns: int,
    capital: Decimal,
    settings: Settings,
    *,
    synthetic: bool,
) -> Row:
    rests = resting(settings.execution)
    strategy = CashAndCarry(
        settings.strategy,
        (pair,),
        leverage_target=settings.risk.leverage_target,
        risk_per_trade=settings.risk.risk_per_trade,
        resting=rests,
    )
    (target,) = strategy.targets(market, {}, capital, now_ns)
    spot, perp = market.of(pair.spot.id), market.of(pair.perp.id)
    gate, reason = _said(target)
    if spot is None or perp is None or not perp.settled:
        return Row(pair.name, gate, reason, at_ns=now_ns, synthetic=synthetic)
    if not gate and (refused := _refused(target, pair, market, capital, settings, now_ns)):
        gate, reason = refused[0].partition(":")[0], "; ".join((*refused, reason))
    touch = round_trip(pair, spot, perp, float(pair.lot), rests)
    cost = target.cost or (None if touch is None else touch.total)
    hourly = target.forecast_hourly
    return Row(
        pair.name,
        gate,
        reason,
        at_ns=now_ns,
        funding=perp.settled[-1].per_hour * HOURS_PER_YEAR,
        mean=_mean(perp) * HOURS_PER_YEAR,
        positive=_positive(perp),
        forecast=hourly * HOURS_PER_YEAR,
        error=target.forecast_error * HOURS_PER_YEAR,
        horizon_hours=target.horizon_hours,
        cost=cost,
        break_even_hours=cost / hourly if cost is not None and hourly > 0.0 else None,
        net_apr=target.apr_on_capital if target.cost else None,
        notional=target.notional,
        capacity=None if touch is None else _capacity(pair, spot, perp, touch, rests),
        synthetic=synthetic,
    )


def _said(target: Target) -> tuple[str, str]:
    code, _, said = target.reason.partition(": ")
    return "" if target.notional > 0 else code, said


def _refused(
    target: Target,
    pair: Pair,
    market: Market,
    capital: Decimal,
    settings: Settings,
    now_ns: int,
) -> tuple[str, ...]:
    """What the risk gate says to an entry of an account that has ``capital`` and nothing else."""
    state = State((pair,))
    apply(state, Reconciled((), now_ns))
    cash = Balance(pair.perp.quote, capital, ZERO)
    age_ns = int(settings.risk.data_age_seconds_max * SECOND)
    desk = Desk(
        state,
        market,
        AccountReport((cash,), (), (), None, now_ns, now_ns),
        marks(state, market, now_ns, age_ns),
        capital,
        settings.risk,
        settings.execution,
        reconciled_ns=now_ns,
        orders_last_minute=0,
        clock_skew_seconds=0.0,
        now_ns=now_ns,
        events=settings.events,
    )
    plan = plan_entry(desk, target, target.pair)
    return plan if isinstance(plan, tuple) else ()


def _market(source: HistorySource) -> tuple[Market, int]:
    """All that was known at the end of ``source``, as a venue would have told it."""
    market, now_ns = Market(source.pairs), source.start_ns
    for past in source.history():
        market.observe(past)
    running: dict[str, FundingRate] = {}
    for happened in source.events(source.start_ns):
        now_ns = happened.venue_time_ns
        for event in _public(happened, running, source.start_ns):
            market.observe(event)
    return market, now_ns


def _public(
    happened: MarketInput, running: dict[str, FundingRate], start_ns: int
) -> Iterator[PublicEvent]:
    """What a bot hears of it; the running estimate is the last rate, as in a backtest."""
    if isinstance(happened, Book):
        yield happened
    elif isinstance(happened, RecordedFunding):
        running[happened.instrument] = happened.rate
        if (at_ns := happened.venue_time_ns) > start_ns:  # what settled before is history
            yield FundingSettled(happened.instrument, happened.rate, at_ns, at_ns)
    elif isinstance(happened, Reference) and happened.instrument in running:
        yield PerpContext(
            happened.instrument,
            happened.mark,
            happened.oracle,
            running[happened.instrument],
            happened.venue_time_ns,
            happened.received_ns,
        )


def _mean(perp: InstrumentState) -> float:
    since_ns = perp.settled[-1].time_ns - MEAN_NS
    week = [settled for settled in perp.settled if settled.time_ns > since_ns]
    return fsum(s.per_hour * s.hours for s in week) / fsum(s.hours for s in week)


def _positive(perp: InstrumentState) -> float:
    days: dict[int, float] = {}
    for settled in perp.settled:
        day = (settled.time_ns - 1) // DAY
        days[day] = days.get(day, 0.0) + settled.per_hour * settled.hours
    return sum(1 for paid in days.values() if paid > 0.0) / len(days)


def _capacity(
    pair: Pair, spot: InstrumentState, perp: InstrumentState, touch: RoundTrip, rests: Resting
) -> float:
    """By halving the interval between one lot, at ``touch``, and all that the books show."""
    assert spot.mid is not None, "Invariant: only quoted pairs are priced"
    low = float(pair.lot)
    books = spot.bids, spot.asks, perp.bids, perp.asks
    high = max(fsum(level.size for level in levels) for levels in books)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        trip = round_trip(pair, spot, perp, middle, rests)
        if trip is not None and trip.total - touch.total <= CAPACITY_SLIPPAGE:
            low = middle
        else:
            high = middle
    return low * spot.mid
