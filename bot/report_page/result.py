"""First things first: what was run, what came of it, whether it is sound, equity and drawdown."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from math import sqrt
from statistics import fmean, stdev

from bot.amounts import amount, percent
from bot.backtest.coverage import lacks
from bot.report_page.chart import Event, Series, chart, moment
from bot.report_page.course import Moment
from bot.report_page.markup import Child, Html, element
from bot.report_page.parts import (
    NOTHING,
    Material,
    card,
    costs,
    counted,
    drawing,
    listed,
    money,
    share,
    stretch,
)
from domain.money import exact
from domain.time import DAY, HOUR

_YEAR_NS = 365 * DAY
_SHORT_NS = 30 * DAY  # of less nothing is told by the year
_EVENTS_MAX = 120


def band(made: Material) -> Html:
    """The mode, and where the market is from: on every screen of the page."""
    mode = element("span", f"{made.report['mode'].upper()} · no real money")
    market = element("span", market_name(made), class_="market")
    return element("div", mode, market, class_="band", role="note", data_made_up=_made_up(made))


def market_name(made: Material) -> str:
    """SYNTHETIC MARKET, or what it is instead."""
    if made.report["synthetic"]:
        return "SYNTHETIC MARKET · invented prices"
    return "RECORDED HISTORY" if made.historical else "REAL QUOTES"


def _made_up(made: Material) -> str:
    return "true" if made.report["synthetic"] else "false"


def header(made: Material) -> Html:
    report, started = made.report, made.course.started
    pairs = ", ".join(pair.name for pair in made.course.pairs)
    what = [
        f"{moment(made.start_ns)} to {moment(made.course.ended_ns)} UTC ({stretch(made.span_ns)})",
        f"capital {amount(started.capital)} {made.quote}",
        started.strategy,
        f"seed {report['seed']}",
        f"fundarb {made.version}",
    ]
    return element(
        "header",
        element("h1", f"{pairs} on {report['venue']}"),
        element("p", " · ".join(what), class_="soft"),
        element("p", _sentence(made), class_="lead"),
    )


def _sentence(made: Material) -> list[Child]:
    """The run in one breath."""
    report, risk = made.report, made.report["risk"]
    start, total = Decimal(report["equity"]["start"]), Decimal(report["pnl"]["total"])
    gained = "Earned " if total > 0 else "Lost " if total < 0 else "Came out at "
    style = "good" if total > 0 else "bad" if total < 0 else None
    worth = element("span", amount(abs(total)), class_=style, title=report["pnl"]["total"])
    parts: list[Child] = [gained, worth, f" {made.quote}"]
    if start:
        parts.append(f" ({percent(total / start, signed=True)} of capital)")
    parts.append(f" in {_days(made.span_ns)}, never more than ")
    parts.append(f"{percent(report['equity']['max_drawdown'])} below its peak. ")
    trades = report["pairs"]
    distance = risk["min_liquidation_distance"]
    if trades:
        parts.append(counted(len(trades), "trade"))
        if distance is not None:
            parts.append(f"; liquidation was never nearer than {percent(distance, 1)}")
        parts.append(". ")
    else:
        parts.append("No trade was opened; why is under Decisions. ")
    parts.append(
        "A model of what would have happened, and no promise of what will."
        if not report["synthetic"]
        else "On invented prices: this shows that the program works, not what funding pays."
    )
    return parts


def _days(span_ns: int) -> str:
    days = span_ns / DAY
    return f"{days:.0f} days" if days >= 2 else counted(round(span_ns / HOUR), "hour")


def checks(made: Material) -> Html:
    """Is it sound? Each with the word that says so."""
    report = made.report
    risk, integrity, orders = report["risk"], report["integrity"], report["orders"]
    parts_sum = Decimal(report["pnl"]["total"]) == _earned(report["equity"])
    found = [
        ("books balance", "books do not balance", integrity["ledger_balanced"]),
        ("sources add up to the change of equity", "sources do not add up", parts_sum),
        *_comparison_check(made),
        ("no invariant broken", "; ".join(integrity["violations"]), not integrity["violations"]),
        ("no liquidation", f"{risk['liquidations']} liquidations", not risk["liquidations"]),
        (
            "no limit tripped",
            f"limits tripped: {', '.join(risk['limits_tripped'])}",
            not risk["limits_tripped"],
        ),
        ("no order rejected", f"{orders['rejected']} orders rejected", not orders["rejected"]),
        *_data_check(made),
        *_end_check(made),
    ]
    lines = [
        element("li", good if well else bad, class_="well" if well else "ill")
        for good, bad, well in found
    ]
    if integrity["venue_reconciled"] is None:
        lines.append(element("li", "books not compared with the exchange's yet"))
    return element("ul", lines, class_="checks", aria_label="Is it sound?")


def _comparison_check(made: Material) -> list[tuple[str, str, bool]]:
    """Not of a run that was stopped before the first."""
    equal = made.report["integrity"]["venue_reconciled"]
    said = "books equal the exchange's", "books differ from the exchange's"
    return [(*said, equal)] if equal is not None else []


def _data_check(made: Material) -> list[tuple[str, str, bool]]:
    """Of recorded history alone."""
    legs = made.report.get("coverage", [])
    window = made.start_ns, made.course.ended_ns
    lacking = [leg for leg in legs if any(lacks(leg, *window))]
    said = f"data lacking in {len(lacking)} of {len(legs)} legs"
    return [("no bar or settlement missing", said, not lacking)] if legs else []


def _end_check(made: Material) -> list[tuple[str, str, bool]]:
    """Of a backtest: paper without an end is always stopped."""
    said = "stopped early: the figures are of the part that ran"
    stopped = made.interrupted and made.report["mode"] == "backtest"
    return [("", said, False)] if stopped else []


def _earned(equity: dict[str, str]) -> Decimal:
    with exact():
        return Decimal(equity["end"]) - Decimal(equity["start"]) - Decimal(equity["deposits"])


def figures(made: Material) -> Html:
    """The headline figures, each with what it is."""
    return listed(
        (
            (name, [element("b", value), element("small", meaning)])
            for name, value, meaning in _figures(made)
        ),
        "figures",
    )


def _figures(made: Material) -> Iterator[tuple[str, Child, str]]:
    report, moments = made.report, made.course.moments
    pnl, equity, risk = report["pnl"], report["equity"], report["risk"]
    start, total = Decimal(equity["start"]), Decimal(pnl["total"])
    years = made.span_ns / _YEAR_NS
    long = made.span_ns >= _SHORT_NS
    yield "Profit", money(pnl["total"]), f"{made.quote}: end less start less deposits"
    yearly = (
        f"{percent(float(total / start) / years, 1, signed=True)}" if start and long else NOTHING
    )
    yield "Return a year", yearly, "profit on starting capital, simple; from 30 days on"
    yield (
        "Largest drawdown",
        percent(equity["max_drawdown"]),
        "deepest fall from a peak, of the peak",
    )
    yield "Funding", money(pnl["funding"]), "received less paid"
    spent, got = costs(pnl), Decimal(pnl["funding"])
    of_funding = f": {share(-spent, got)} of funding" if got > 0 else ""
    yield "Costs", money(spent), f"fees, slippage, borrow, penalties{of_funding}"
    exposures = [float(at.exposure) for at in moments]
    held = sum(1 for exposure in exposures if exposure)
    yield "Time in the market", share(held, len(moments)), "hours that ended with a position"
    mean = fmean(exposures) if exposures else 0.0
    yield "Exposure", share(mean, start), "notional of one leg, mean over all hours, of capital"
    carried = float(pnl["funding"]) / (mean * years) if mean and long else None
    yield (
        "Funding yield",
        NOTHING if carried is None else percent(carried, 1, signed=True),
        "funding a year on the notional held",
    )
    distance = risk["min_liquidation_distance"]
    yield (
        "Nearest liquidation",
        NOTHING if distance is None else percent(distance, 1),
        "of the mark, at its worst inside any bar: the jump survived at any time",
    )
    leverage = risk["max_leverage_held"]
    yield (
        "Highest leverage",
        f"{leverage:.2f}×" if leverage else NOTHING,
        "perp notional over its margin, at any mark",
    )
    won = sum(1 for trade in report["pairs"] if Decimal(trade["pnl"]["total"]) > 0)
    yield "Trades", str(len(report["pairs"])), f"{won} at a profit, open ones at their mark"
    yield (
        "Sharpe ratio",
        sharpe(moments, long=long),
        "mean over deviation of daily profit, × √365; it knows nothing of rare jumps",
    )


def sharpe(moments: Sequence[Moment], *, long: bool) -> str:
    """Of the profit of UTC days, of the first one too: it may have paid for the entries."""
    days = {(at.time_ns - 1) // DAY: float(at.pnl.total) for at in moments}  # a day's last
    gains = [after - before for before, after in pairwise([0.0, *days.values()])]
    if not long or len(gains) < 2 or not (spread := stdev(gains)):
        return NOTHING
    return f"{fmean(gains) / spread * sqrt(365):.1f}"


def equity(made: Material) -> Html:
    """Equity, and how far below its peak the profit stood."""
    moments = made.course.moments
    times = [at.time_ns for at in moments]
    worth = [float(at.equity) for at in moments]
    falls = drawdowns(Decimal(made.report["equity"]["start"]), moments)
    if not moments:
        return card("Equity", element("p", "The run ended before its first hour.", class_="empty"))
    low, high = (pick(range(len(worth)), key=worth.__getitem__) for pick in (min, max))
    deepest = min(range(len(falls)), key=falls.__getitem__)
    told = (
        f"Lowest {worth[low]:,.2f} on {moment(times[low])}, highest {worth[high]:,.2f} on "
        f"{moment(times[high])}, last {worth[-1]:,.2f}."
    )
    fallen = f"Deepest {percent(falls[deepest])} on {moment(times[deepest])}."
    return card(
        "Equity and drawdown",
        drawing(
            "Equity",
            chart(
                times,
                [Series("equity", "c1", worth)],
                lambda value: f"{value:,.0f}" if max(worth) - min(worth) > 20 else f"{value:,.2f}",
                told=f"Equity over time. {told}",
                events=_events(made),
                filled=True,
            ),
            f"{made.quote}, valued every hour; upright lines: trades opened and closed",
            told,
        ),
        drawing(
            "Drawdown",
            chart(
                times,
                [Series("drawdown", "c6", falls)],
                lambda value: percent(value, 2),
                told=f"Drawdown over time. {fallen}",
                zero=True,
                filled=True,
            ),
            "profit below its highest so far, of that peak",
            fallen,
        ),
        id_="equity",
    )


def drawdowns(start: Decimal, moments: Sequence[Moment]) -> list[float]:
    """How far below its peak each moment was, as a fraction of the peak: zero or negative.

    On profit alone: a withdrawal is no loss, a deposit hides none.
    """
    peak, falls = start, []
    for at in moments:
        level = start + at.pnl.total
        peak = max(peak, level)
        falls.append(float((level - peak) / peak) if peak > 0 else 0.0)
    return falls


def _events(made: Material) -> list[Event]:
    found = []
    for line in made.course.trades:
        trade = line.trade
        if trade.opened_ns is not None:
            found.append(Event(trade.opened_ns, f"{trade.trade_id} opened", "opened"))
        if trade.closed_ns is not None:
            found.append(Event(trade.closed_ns, f"{trade.trade_id} closed", "closed"))
    return found if len(found) <= _EVENTS_MAX else []
