"""The result of a run in words and figures: what was traded, why, what came of it, was it sound.

Input is the report that ``--json`` writes, so a person and a program read the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bot.amounts import NOTHING, amount, badges, elapsed, gain, percent
from bot.backtest.coverage import lacks
from domain.time import SECOND, parse_instant

Report = Mapping[str, Any]
SHOWN = 20  # trades; a person reads the last, a program all


def summary(report: Report) -> RenderableType:
    """Everything a person asks first, in the order of asking."""
    return Group(
        _result(report),
        _sources(report["pnl"]),
        *_trades(report["pairs"]),
        *_untraded(report),
        _risk(report["risk"]),
        *_lacking(report),
        _integrity(report),
    )


def _result(report: Report) -> RenderableType:
    equity = report["equity"]
    start, end = Decimal(equity["start"]), Decimal(equity["end"])
    seconds = report["simulated_seconds"]
    lines = Table.grid(padding=(0, 2))
    lines.add_row(
        badges(report["mode"], synthetic=report["synthetic"]),
        f"{_when(report['started'])} to {_when(report['ended'])} "
        f"({elapsed(int(seconds * SECOND))}), {report['venue']}, seed {report['seed']}",
    )
    total = Decimal(report["pnl"]["total"])
    result = Text.assemble(
        gain(total), f" {report['quote']} ({percent(total / start, signed=True)})"
    )
    lines.add_row(Text("Result", style="bold"), result)
    drawdown = percent(report["equity"]["max_drawdown"])
    lines.add_row("Equity", f"{amount(start)} to {amount(end)}, largest drawdown {drawdown}")
    return Panel(lines, padding=(0, 1))


def _sources(pnl: Mapping[str, str]) -> RenderableType:
    parts = [
        Text(f"{name} ").append_text(gain(Decimal(value)))
        for name, value in pnl.items()
        if name != "total" and Decimal(value) != 0
    ]
    if not parts:
        return Text("Nothing was earned or paid.")
    return Text("Where it came from: ").append_text(Text(", ").join(parts))


def _trades(trades: Sequence[Report]) -> Iterator[RenderableType]:
    if len(trades) > SHOWN:
        hidden = len(trades) - SHOWN
        yield Text(f"({hidden} earlier trades: in the JSON)")
    yield from (_trade(trade) for trade in trades[-SHOWN:])


def _trade(trade: Report) -> RenderableType:
    """One trade, as a short story: why in, how long, what came of it, why out."""
    pnl = trade["pnl"]
    lines = Text()
    lines.append(f"{trade['trade']}", style="bold")
    lines.append(f"  {amount(Decimal(trade['notional']))} each leg, ")
    lines.append(
        f"{_when(trade['opened'])} to {_when(trade['closed']) if trade['closed'] else 'now'}, "
    )
    lines.append_text(gain(Decimal(pnl["total"])))
    parts = [(name, Decimal(value)) for name, value in pnl.items() if name != "total"]
    spelled = ", ".join(f"{name} {amount(value, signed=True)}" for name, value in parts if value)
    if spelled:
        lines.append(f" ({spelled})")
    lines.append(f"\n  in:  {trade['entry_reason'] or NOTHING}")
    lines.append(f"\n  out: {trade['exit_reason'] or 'still open'}")
    return lines


def _untraded(report: Report) -> list[RenderableType]:
    """What kept the bot from trading: the first question when it did nothing."""
    refused = report["decisions"]["refused"]
    told: list[RenderableType] = []
    if not report["pairs"]:
        told.append(Text("No trade was opened.", style="bold"))
    if refused:
        most = sorted(refused.items(), key=lambda item: (-item[1], item[0]))[:5]
        told.append(Text("Refused most: " + ", ".join(f"{why} {count}×" for why, count in most)))
    return told


def _risk(risk: Report) -> RenderableType:
    parts = [f"liquidations {risk['liquidations']}"]
    if leverage := risk["max_leverage_held"]:
        distance = risk["min_liquidation_distance"]
        nearest = NOTHING if distance is None else percent(distance, 1)
        parts.append(f"leverage at most {leverage:.2f}×")
        parts.append(
            f"liquidation never nearer than {nearest}, the gap that was survived at any time"
        )
    else:
        parts.append("no perp was held")
    naked = amount(Decimal(risk["max_naked_notional"]))
    parts.append(f"naked at most {naked} for {risk['max_naked_seconds']:.1f} s")
    line = Text("Risk: " + ", ".join(parts), style="bold red" if risk["liquidations"] else "")
    if risk["limits_tripped"]:
        line.append(
            f"\nLimits tripped: {', '.join(map(str, risk['limits_tripped']))}", style="yellow"
        )
    return line


def _lacking(report: Report) -> Iterator[RenderableType]:
    """What the history did not hold: gaps, late listings, delistings."""
    window = parse_instant(report["started"]), parse_instant(report["ended"])
    lacking = [text for leg in report.get("coverage", ()) for text in lacks(leg, *window)]
    if lacking:
        yield Text("\n  ".join(("Data lacks:", *lacking)), style="yellow")


def _integrity(report: Report) -> RenderableType:
    integrity, orders = report["integrity"], report["orders"]
    reconciled = integrity["venue_reconciled"]
    sound = integrity["ledger_balanced"] and reconciled is not False and not integrity["violations"]
    counts = ", ".join(
        f"{count} {name.replace('_', ' ')}" for name, count in orders.items() if count
    )
    line = Text(f"Orders: {counts or 'none'}\n")
    line.append("Books: ")
    equal = {None: "not compared with the exchange's yet", True: "equal to the exchange's"}.get(
        reconciled, "not equal to the exchange's"
    )
    if sound:
        joint = "but" if reconciled is None else "and"
        line.append(f"balanced, {joint} {equal}", style="green" if reconciled else "yellow")
    else:
        balanced = "balanced" if integrity["ledger_balanced"] else "not balanced"
        line.append(f"NOT SOUND: {balanced}, {equal}", style="bold red")
        for violation in integrity["violations"]:
            line.append(f"\n  {violation}", style="bold red")
    line.append(f" ({integrity['journal_events']:,} facts)")
    return line


def _when(instant: str) -> str:
    return instant[:16].replace("T", " ")
