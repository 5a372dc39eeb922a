"""Where the profit came from: by source, by month, by pair, and what trading cost."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from math import fsum

from bot.amounts import amount
from bot.report import plain
from bot.report_page.chart import Series, bar, chart
from bot.report_page.course import Moment
from bot.report_page.markup import Child, Html, element
from bot.report_page.parts import (
    COSTS,
    NOTHING,
    SOURCES,
    Material,
    axis_money,
    card,
    costs,
    drawing,
    folded,
    money,
    share,
    table,
)
from domain.money import ZERO, exact
from domain.time import SECOND
from execution.ledger.pnl import PnL

MEANINGS = {
    "funding": "payments between longs and shorts, received less paid",
    "basis": "price profit of all legs: spot against perp",
    "fees": "of the exchange, maker and taker",
    "slippage": "fills against the mid at the decision",
    "borrow": "interest on what was borrowed",
    "liquidation": "penalties of the exchange",
    "total": "end less start less deposits",
}
_STYLES = dict(zip(SOURCES, ("c1", "c2", "c3", "c4", "c5", "c6"), strict=True))


def sources(made: Material) -> Html:
    """The waterfall: each source from where the one before it ended; and the sums over time."""
    pnl = made.report["pnl"]
    return card(
        "Where the profit came from",
        _waterfall(pnl),
        _over_time(made),
        _months(made),
        note="Cents are rounded line by line; the exact column adds up to the last digit.",
        id_="profit",
    )


def _waterfall(pnl: Mapping[str, str]) -> Html:
    levels = [ZERO]
    with exact():
        for name in SOURCES:
            levels.append(levels[-1] + Decimal(pnl[name]))
    low, high = float(min(levels)), float(max(levels))
    rows = []
    for name, before, after in zip(SOURCES, levels, levels[1:], strict=False):
        if after == before and name in {"borrow", "liquidation"}:
            drawn: Child = ""
        else:
            drawn = bar(float(before), float(after), low, high, _STYLES[name])
        rows.append(_source(name, drawn, pnl[name]))
    whole = bar(0.0, float(levels[-1]), low, high, "k")
    return table(
        ("source", "", "amount", "exact"),
        rows,
        total=_source("total", whole, pnl["total"]),
        told="Profit by source",
    )


def _source(name: str, drawn: Child, value: str) -> tuple[Child, ...]:
    named = [name, element("small", MEANINGS[name])]
    return named, drawn, money(value), element("code", value)


def _over_time(made: Material) -> Html | None:
    moments = made.course.moments
    if not moments:
        return None
    lines = [
        Series("total", "k", [float(at.pnl.total) for at in moments]),
        Series("funding", "c1", [float(at.pnl.funding) for at in moments]),
        Series("basis", "c2", [float(at.pnl.basis) for at in moments]),
        Series("costs", "c3", [float(_costs(at.pnl)) for at in moments]),
    ]
    last = ", ".join(f"{line.name} {line.values[-1]:+,.2f}" for line in lines)
    return drawing(
        "Profit so far",
        chart(
            [at.time_ns for at in moments],
            lines,
            axis_money,
            told=f"Cumulative profit by source. At the end: {last}.",
            zero=True,
        ),
        [made.quote, "; ", legend([(line.style, line.name) for line in lines])],
        f"At the end: {last}.",
    )


def legend(names: list[tuple[str, str]]) -> Html:
    items = [element("span", element("i", class_=f"s {style}"), name) for style, name in names]
    return element("span", items, class_="legend")


def _costs(pnl: PnL) -> Decimal:
    return sum((Decimal(getattr(pnl, name)) for name in COSTS), ZERO)


def _months(made: Material) -> Html | None:
    """The profit of each month: what the sums grew by in it."""
    ends: dict[str, Moment] = {}
    for at in made.course.moments:
        ends[f"{datetime.fromtimestamp((at.time_ns - 1) // SECOND, UTC):%Y-%m}"] = at
    if len(ends) < 2:
        return None
    return folded(
        f"By month ({len(ends)})",
        table(
            ("month", "funding", "basis", "costs", "profit", "of capital", "equity at the end"),
            _month_rows(ends, Decimal(made.report["equity"]["start"])),
            told="Profit by month",
        ),
    )


def _month_rows(ends: dict[str, Moment], start: Decimal) -> Iterator[tuple[Child, ...]]:
    before = PnL()
    for month, at in ends.items():
        with exact():
            parts = (
                at.pnl.funding - before.funding,
                at.pnl.basis - before.basis,
                _costs(at.pnl) - _costs(before),
                at.pnl.total - before.total,
            )
        of_capital = share(parts[-1], start, 2)
        yield month, *(money(part) for part in parts), of_capital, amount(at.equity)
        before = at.pnl


def pairs(made: Material) -> Html:
    """Profit of each pair, its trades together; with what belongs to none it is the whole."""
    groups: dict[str, dict[str, Decimal]] = {
        pair.name: dict.fromkeys((*SOURCES, "total"), ZERO) for pair in made.course.pairs
    }
    counts = dict.fromkeys(groups, 0)
    with exact():
        for trade in made.report["pairs"]:
            counts[trade["pair"]] += 1
            for name, value in trade["pnl"].items():
                groups[trade["pair"]][name] += Decimal(value)
    unassigned = {name: Decimal(value) for name, value in made.report["unassigned"].items()}
    whole = {name: Decimal(value) for name, value in made.report["pnl"].items()}
    shown = [name for name in SOURCES if whole[name] or any(g[name] for g in groups.values())]
    rows: list[tuple[Child, ...]] = [
        (name, str(counts[name]), *_amounts(group, shown)) for name, group in groups.items()
    ]
    if any(unassigned.values()):
        rows.append(("no trade (dust, own coins)", "", *_amounts(unassigned, shown)))
    total = ("all", str(len(made.report["pairs"])), *_amounts(whole, shown))
    return card(
        "By pair",
        table(("pair", "trades", *shown, "total"), rows, total=total, told="Profit by pair"),
        note="Open trades at their mark. Every digit is in the JSON, and under the pointer.",
        id_="pairs",
    )


def _amounts(parts: Mapping[str, Decimal], shown: list[str]) -> list[Html | str]:
    """Nothing at all where nothing was traded."""
    if not any(parts.values()):
        return [""] * (len(shown) + 1)
    return [money(plain(parts[name])) for name in (*shown, "total")]


def trading_costs(made: Material) -> Html:
    """Fees by how an order met the book, and slippage, on what was traded."""
    filled = made.course.filled
    turnover = sum((line.notional for line in filled), ZERO)
    rows = [
        (
            f"{line.kind}, {'rested (maker)' if line.liquidity == 'maker' else 'took (taker)'}",
            str(line.count),
            amount(line.notional),
            share(line.notional, turnover),
            money(-line.fee),
            bps(line.fee, line.notional),
        )
        for line in filled
    ]
    pnl = made.report["pnl"]
    total = (
        "all",
        f"{fsum(line.count for line in filled):.0f}",
        amount(turnover),
        "",
        money(pnl["fees"]),
        bps(-Decimal(pnl["fees"]), turnover),
    )
    start = Decimal(made.report["equity"]["start"])
    orders = ", ".join(
        f"{count} {name.replace('_', ' ')}" for name, count in made.report["orders"].items()
    )
    said = (
        f"Slippage {bps(-Decimal(pnl['slippage']), turnover)} bps of turnover against the mid at "
        f"the decision (negative: better than mid). Turnover is {share(turnover, start, 0)} of "
        f"capital; all costs together {amount(costs(pnl), signed=True)} {made.quote}. "
        f"Orders: {orders}."
    )
    heads = ("fills", "count", "turnover", "share", "fees", "bps")
    listing = table(heads, rows, total=total, told="Fees by leg, and by resting or taking")
    return card("Costs", listing, element("p", said), note=FEES, id_="costs")


FEES = (
    "bps: hundredths of a percent of what was traded. A fee in coins is valued at its fill's price."
)


def bps(cost: Decimal, notional: Decimal) -> str:
    return f"{float(cost / notional) * 10_000:.2f}" if notional else NOTHING
