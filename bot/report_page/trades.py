"""Funding against its forecast, and every trade: why in, why out, what came of it."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from bot.amounts import amount, percent, quantity
from bot.report_page.chart import Series, chart
from bot.report_page.course import TradeCourse
from bot.report_page.markup import Child, Html, element
from bot.report_page.parts import (
    NOTHING,
    SOURCES,
    Material,
    apr,
    axis_money,
    card,
    costs,
    drawing,
    folded,
    listed,
    money,
    share,
    stretch,
    table,
)
from bot.report_page.profit import legend

FULL_MAX = 80
"""Of so many trades, the last ones, everything is told."""
ROWS_MAX = 300
"""So many, the last ones, have a line."""
OPEN_MAX = 20
"""More than so many are folded up: on a phone each takes a third of the screen."""


def funding(made: Material) -> Html:
    """Funding received against what was forecast when each trade was opened."""
    paid = made.course.paid
    if not paid:
        nothing = element(
            "p", "No funding was paid: nothing was held at a settlement.", class_="empty"
        )
        return card("Funding against its forecast", nothing, id_="funding")
    lines = [
        Series("received", "c1", [float(at.received) for at in paid]),
        Series("forecast", "c3", [float(at.foreseen) for at in paid]),
    ]
    rows = [_funding_row(line) for line in made.course.trades[-ROWS_MAX:]]
    last = paid[-1]
    told = (
        f"Received {amount(last.received, signed=True)}, forecast at entry "
        f"{amount(last.foreseen, signed=True)} {made.quote}: "
        f"{_ratio(last.received, last.foreseen)} of it."
    )
    return card(
        "Funding against its forecast",
        drawing(
            "Funding so far",
            chart(
                [at.time_ns for at in paid],
                lines,
                axis_money,
                told=f"Cumulative funding received and forecast. {told}",
                zero=True,
            ),
            [made.quote, "; ", legend([(line.style, line.name) for line in lines])],
            told,
        ),
        _short_or_folded(
            "Funding by trade", len(rows), table(FUNDING, rows, told="Funding by trade")
        ),
        note="The forecast is the one on which the trade was opened (± its standard error), on the "
        "notional and the hours of each payment: only the rate differs.",
        id_="funding",
    )


def _short_or_folded(title: str, count: int, content: Child) -> Child:
    return content if count <= OPEN_MAX else folded(f"{title} ({count})", content)


FUNDING = (
    "trade",
    "hours paid for",
    "forecast a year",
    "received a year",
    "forecast",
    "received",
    "of it",
)


def _funding_row(line: TradeCourse) -> tuple[Child, ...]:
    plan = line.trade.plan
    hourly = float(line.received / line.worth) if line.worth else None
    error = f" ± {apr(line.forecast_error).lstrip('+')}" if line.forecast_error is not None else ""
    return (
        plan.trade_id,
        f"{line.hours:,}",
        f"{apr(plan.forecast_hourly)}{error}",
        apr(hourly),
        amount(line.foreseen, signed=True),
        money(line.received),
        _ratio(line.received, line.foreseen),
    )


def _ratio(received: Decimal, foreseen: Decimal) -> str:
    return percent(float(received / foreseen), 0) if foreseen > 0 else NOTHING


def trades(made: Material) -> Html:
    """A line each, and the story of each."""
    told = {trade["trade"]: trade for trade in made.report["pairs"]}
    if not told:
        why = "No trade was opened. Decisions, below, has what kept it out."
        return card("Trades", element("p", why, class_="empty"), id_="trades")
    lines = [line for line in made.course.trades if line.trade.trade_id in told]
    rows = [_row(told[line.trade.trade_id], line, made) for line in lines[-ROWS_MAX:]]
    stories = [_story(told[line.trade.trade_id], line, made) for line in lines[-FULL_MAX:]]
    note = "Profit of an open trade is at its mark. Notional is that of one leg, as planned."
    if len(lines) > FULL_MAX:
        note += (
            f" The last {len(rows)} have a line, the last {FULL_MAX} their story; the JSON has all."
        )
    return card(
        f"Trades ({len(lines)})",
        _short_or_folded(
            "Line by line", len(rows), table(TRADES, rows, words=(0, 1, 8), told="Every trade")
        ),
        _short_or_folded("The story of each", len(stories), stories),
        note=note,
        id_="trades",
    )


TRADES = (
    "trade",
    "opened (UTC)",
    "held",
    "notional",
    "funding",
    "basis",
    "costs",
    "profit",
    "ended",
)


def _held_ns(line: TradeCourse, made: Material) -> int:
    opened = line.trade.opened_ns
    if opened is None:
        return 0
    return (line.trade.closed_ns or made.course.ended_ns) - opened


def _row(trade: Mapping[str, Any], line: TradeCourse, made: Material) -> tuple[Child, ...]:
    pnl = trade["pnl"]
    ended = _word(trade["exit_reason"]) if trade["closed"] else "open"
    return (
        trade["trade"],
        _when(trade["opened"]),
        stretch(_held_ns(line, made)),
        amount(Decimal(trade["notional"])),
        money(pnl["funding"]),
        money(pnl["basis"]),
        money(costs(pnl)),
        money(pnl["total"]),
        ended,
    )


def _word(reason: str | None) -> str:
    """The strategy's word in an exit reason, or its cause where there is none.

    >>> _word("thesis_changed: carry_gone: staying costs 0.1 %"), _word("operator: by alice")
    ('carry_gone', 'operator')
    """
    words = re.match(r"(\w+): (?:(\w+):)?", reason or "")
    return (words[2] or words[1]) if words else NOTHING


def _story(trade: Mapping[str, Any], line: TradeCourse, made: Material) -> Html:
    plan, pnl = line.trade.plan, trade["pnl"]
    sources = [
        element("span", f"{name} ", money(pnl[name])) for name in SOURCES if Decimal(pnl[name])
    ]
    at_risk = share(plan.amount_at_risk, made.course.started.capital)
    size = (
        f"{plan.legs}: {quantity(plan.quantity)} a leg, {amount(plan.notional)} {made.quote}"
        f"{f' in {line.trade.tranches} parts' if line.trade.tranches > 1 else ''}; "
        f"at risk {amount(plan.amount_at_risk)} ({at_risk} of capital)"
    )
    margin = (
        f"leverage {plan.leverage}, stop at {quantity(plan.stop_price)}, liquidation at "
        f"{quantity(plan.liquidation_price)} when planned"
    )
    cost = (
        f"round trip foreseen {percent(plan.cost)} of notional, paid so far "
        f"{share(-costs(pnl), plan.notional, 2)}"
    )
    facts: list[tuple[Child, Child]] = [
        ("in", f"{_when(trade['opened'])} · {trade['entry_reason']}"),
        ("out", f"{_when(trade['closed'])} · {trade['exit_reason']}"),
        ("given up if", plan.invalidation),
        ("aim", plan.objective),
        ("size", f"{size}; clipped by {', '.join(plan.clipped_by)}" if plan.clipped_by else size),
        ("margin", margin),
        ("cost", cost),
        ("funding", f"{apr(plan.funding_hourly)} a year when it was opened"),
        ("profit", element("span", sources, class_="parts")),
    ]
    if not trade["closed"]:
        facts[1] = ("out", "still open")
    held = f" in {stretch(_held_ns(line, made))}"
    return folded([element("b", trade["trade"]), " ", money(pnl["total"]), held], listed(facts))


def _when(instant: str | None) -> str:
    """An instant of the document to the minute."""
    return (instant or NOTHING)[:16].replace("T", " ")
