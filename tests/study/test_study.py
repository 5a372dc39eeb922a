"""The study judges fairly: hindsight is the best there is, and no rule sees what comes."""

import random
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise, product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.targets import Action
from domain.time import HOUR, MINUTE, parse_instant
from strategies.cash_and_carry import CarryPolicy, CashAndCarry, Holding
from strategies.funding.forecast import ForecastPolicy
from strategies.market.state import Market, Settlement
from tests.study.basis import basis_gain
from tests.study.cross_venue import apart
from tests.study.forecasts import misses
from tests.study.replay import account, decisions, hindsight, play
from tests.study.results import RULES
from tests.study.rules import switching
from tests.study.series import Series, load_rates, load_venue
from tests.study.walk_forward import GRID, chosen
from tests.study.windows import WINDOWS, cells
from tests.unit.strategies.world import RESTING, book, context, observe, pair, settled

START = parse_instant("2025-01-01")


def hourly(rates: Sequence[float]) -> list[Settlement]:
    return [Settlement(START + (k + 1) * HOUR, rate, 1.0) for k, rate in enumerate(rates)]


def wandering(seed: int, count: int, hours: float = 1.0) -> Series:
    """Synthetic funding that turns negative now and then, and spikes."""
    draw, level, rates = random.Random(seed), 1e-5, []
    for k in range(count):
        level += 0.02 * (5e-6 - level) + draw.gauss(0.0, 3e-6)
        spike = draw.choice((0.0, 0.0, 0.0, draw.gauss(0.0, 1e-4)))
        rates.append(Settlement(START + int((k + 1) * hours * HOUR), level + spike, hours))
    return Series("hyperliquid", "SYNTHETIC", 0.001, rates)


@given(
    rates=st.lists(st.floats(-0.01, 0.01), min_size=1, max_size=9),
    side=st.floats(0.0, 0.01),
)
def test_no_way_of_holding_beats_hindsight(rates: list[float], side: float) -> None:
    paid = hourly(rates)
    best = account(paid, hindsight(paid, side), side).net
    every = (account(paid, ways, side).net for ways in product((False, True), repeat=len(rates)))

    assert best == pytest.approx(max(every), abs=1e-12)


def test_a_holding_pays_both_sides_and_collects_what_is_between() -> None:
    paid = hourly([0.01, 0.02, -0.005, 0.04])
    outcome = account(paid, [False, True, True, False], 0.001)

    assert outcome.net == pytest.approx(0.02 - 0.005 - 2 * 0.001)
    assert (outcome.entries, outcome.held) == (1, 0.5)
    assert outcome.drawdown == pytest.approx(0.005 + 0.001)


def test_what_is_held_at_the_end_is_closed_at_cost() -> None:
    assert account(hourly([0.01]), [True], 0.001).net == pytest.approx(0.008)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("hours", [1.0, 8.0])
def test_no_rule_changes_its_mind_about_the_past_when_the_future_is_cut_off(
    name: str, hours: float
) -> None:
    series, draw = wandering(7, 1_500, hours), random.Random(3)
    whole = decisions(series, (100, 1_500), RULES[name])
    for cut in draw.sample(range(101, 1_500), 8):
        short = series._replace(settled=series.settled[:cut])
        assert decisions(short, (100, cut), RULES[name]) == whole[: cut - 100]


def test_the_basis_is_sold_at_each_entry_and_bought_back_at_each_exit() -> None:
    basis = {0: 0.001, 1: 0.004, 2: 0.002, 3: 0.0, 4: 0.003}

    # In at 1 and out at 3, in at 3 and out at the end.
    assert basis_gain([0, 1, 2, 3], [False, True, True], basis) == pytest.approx(0.004 - 0.0)
    assert basis_gain([1, 2, 3, 4], [True, False, True], basis) == pytest.approx(
        0.004 - 0.002 + 0.0 - 0.003
    )
    assert basis_gain([0, 1, 2], [False, False], {}) == 0.0
    assert basis_gain([0, 1, 9], [False, True], basis) is None, "no price at the exit"


def test_no_rule_holds_the_first_settlement_of_all() -> None:
    series = wandering(1, 50)

    assert not any(decisions(series, (0, 50), rule)[0] for rule in RULES.values())


def test_the_windows_of_one_venue_never_overlap() -> None:
    for roles in WINDOWS.values():
        spans = sorted(window for windows in roles.values() for window in windows)
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
        assert max(window[1] for window in roles["fitting"]) <= parse_instant("2024-01-01")
        assert [max(spans)] == roles["sealed"]


def test_venues_are_apart_by_what_one_paid_in_the_hours_of_the_other() -> None:
    here = hourly([8e-5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5e-5, 5e-5])
    there = [Settlement(START + 8 * HOUR, 4e-6, 8.0), Settlement(START + 16 * HOUR, 4e-6, 8.0)]

    (one,) = apart(here, there)  # the second has hours that are not known
    assert (one.time_ns, one.hours) == (START + 8 * HOUR, 8.0)
    assert one.per_hour == pytest.approx(1e-5 - 4e-6)


def test_speeds_come_from_windows_that_had_ended() -> None:
    windows = [(0, 10), (10, 20), (0, 21)]
    nets = [[0.0, 0.0, 0.0] for _ in GRID]
    nets[3][0], nets[5][1], nets[7][2] = 1.0, 2.0, 9.0

    assert chosen(windows, nets, 9) is None
    assert chosen(windows, nets, 10) is GRID[3]
    assert chosen(windows, nets, 20) is GRID[5]
    assert chosen(windows, nets, 21) is GRID[7]


def test_the_grid_has_the_speeds_as_shipped_in_its_middle() -> None:
    assert GRID[len(GRID) // 2] == ForecastPolicy()


def test_a_steady_rate_is_forecast_without_a_miss_by_all_but_the_shrunk() -> None:
    series = Series("hyperliquid", "FLAT", 0.001, hourly([3e-5] * 24 * 90))
    found = list(misses(series, (START, START + 90 * 24 * HOUR), ForecastPolicy()))

    assert len(found) > 200
    for miss in found:
        assert miss.naive[0] == pytest.approx(0.0, abs=1e-12)
        assert miss.naive[1] == pytest.approx(0.0, abs=1e-12)
        assert miss.ours <= 1e-12, "drawn to the interest rate, which is lower"


def test_no_forecast_knows_the_settlement_that_comes() -> None:
    """The first of each day is forecast from; the one after it is a spike."""
    paid = hourly([1e-3 if k % 24 == 0 and k > 240 else 1e-5 for k in range(24 * 20)])
    series = Series("hyperliquid", "SPIKES", 0.001, paid)
    found = list(misses(series, (START, START + 12 * 24 * HOUR), ForecastPolicy()))
    spikes = [miss for miss in found if miss.horizon == 1.0 and miss.naive[0] < -1e-4]

    assert len(spikes) == 1
    assert spikes[0].naive[0] == pytest.approx(1e-5 - 1e-3)
    assert spikes[0].ours < 3e-5 - 1e-3


def test_the_strategy_decides_as_the_rule_of_the_study_does() -> None:
    """Ninety synthetic days in which books go back and forth, settlement by settlement."""
    one, policy = pair("HYPE"), CarryPolicy()
    strategy = CashAndCarry(
        policy, (one,), leverage_target=Decimal(2), risk_per_trade=Decimal("0.01"), resting=RESTING
    )
    market, held, decided, series = Market((one,)), False, [], wandering(7, 24 * 90)
    for settlement in series.settled:
        now_ns = settlement.time_ns
        for minutes in (-50, -30, -10, 0):
            at_ns = now_ns + minutes * MINUTE
            # A tick back and forth: what rests is filled.
            mid = 100.0 + 0.3 * (minutes == -30)
            observe(market, book(one.spot, mid, at_ns), book(one.perp, mid, at_ns))
        observe(market, settled(one.perp, settlement.per_hour, now_ns))
        observe(market, context(one.perp, settlement.per_hour, at_ns=now_ns))
        holdings = {"HYPE": Holding("HYPE", Decimal(1), Decimal(100), START, 0.0)} if held else {}
        (target,) = strategy.targets(market, holdings, Decimal(10_000), now_ns)
        held = target.action in {Action.ENTER, Action.HOLD}
        decided.append(held)
    rule = switching(policy, ForecastPolicy(), running=True)

    cost = 0.00095  # a side: 4 bps maker, 4.5 bps taker, half a spread of 2 bps
    assert decided[:-1] == decisions(series._replace(side=cost), (1, 24 * 90), rule)
    assert sum(a != b for a, b in pairwise(decided)) >= 3, "in, out and in again"


# --- on recorded funding -----------------------------------------------------------------------


def test_the_order_in_files_does_not_matter(shared_data: Path, tmp_path: Path) -> None:
    import polars as pl

    (tmp_path / "funding").mkdir()
    for path in (shared_data / "funding").glob("*binance*.parquet"):
        frame = pl.read_parquet(path).sample(fraction=1.0, shuffle=True, seed=11)
        frame.write_parquet(tmp_path / "funding" / path.name)

    assert load_rates(tmp_path, "binance") == load_rates(shared_data, "binance")


@pytest.mark.parametrize("venue", ["hyperliquid", "binance"])
def test_where_it_was_worth_trading_ours_got_most_of_it(shared_data: Path, venue: str) -> None:
    """The windows that methods were chosen by; ``docs/strategy_results.md`` has all of them."""
    ours = best = always = flipping = 0.0
    for series, window in cells(load_venue(shared_data, venue), "choosing"):
        paid = series.settled[series.first(window[0]) : series.first(window[1])]
        best += account(paid, hindsight(paid, series.side), series.side).net
        ours += play(series, window, RULES["ours"]).net
        always += play(series, window, RULES["always"]).net
        flipping += play(series, window, RULES["sign flip"]).net

    assert ours > 0.95 * best
    assert ours > 0.99 * always
    assert flipping < 0.0
