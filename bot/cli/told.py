"""The answers of ``status``, ``positions`` and ``why``, laid out for a person."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bot.amounts import NOTHING, amount, badges, gain, percent, quantity
from bot.narrow import Fitting
from domain.time import HOURS_PER_YEAR

Answer = Mapping[str, Any]
SHOWN_ORDERS = 30


def status_view(told: Answer) -> RenderableType:
    """A screenful: time, equity, sources, one block a pair."""
    head = _head(told)
    head.append(f"  {_when(told['virtual_time'])} UTC, {told['journal_events']:,} facts on record")
    equity = Text.assemble(
        "Equity ",
        (f"{amount(told['equity'])} {told['quote']}", "bold"),
        "  ",
        gain(told["pnl"]["total"]),
        f" of {amount(told['capital'])}: {_sources(told['pnl'])}",
    )
    limits = Text("Limits: none tripped", style="green")
    if told["limits"]:
        limits = Text(f"Limits tripped: {', '.join(told['limits'])}", style="bold red")
    if told["paused"]:
        limits.append("\nPaused: nothing is entered until `fundarb resume`", style="bold yellow")
    return Group(head, equity, limits, *(_status_pair(pair) for pair in told["pairs"]))


def _status_pair(pair: Answer) -> Text:
    line = Text(f"\n{pair['trade'] or pair['pair']}", style="bold")
    rest = Text(" no trade")
    if pair["trade"] is not None:
        legs = f"spot {quantity(pair['spot_quantity'])}, perp {quantity(pair['perp_quantity'])}"
        rest = Text(f" {pair['stage']}, {amount(pair['notional'])} each leg ({legs}), ")
        rest.append_text(gain(pair["pnl"]["total"]))
    decision = pair["decision"]
    said = f"\n  {_decision(decision)}" if decision else "\n  nothing decided yet"
    return Text.assemble(line, Text("", style="not bold").append_text(rest), said)


def positions_view(told: Answer) -> RenderableType:
    """One line a leg and trade."""
    if not told["positions"]:
        return _head(told).append("  nothing is held")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("trade", no_wrap=True)
    table.add_column("instrument", no_wrap=True)
    for heading in ("quantity", "mark", "value"):
        table.add_column(heading, justify="right", no_wrap=True)
    for leg in told["positions"]:
        cells = (quantity(leg["quantity"]), quantity(leg["mark"]), amount(leg["value"]))
        table.add_row(leg["trade"] or "unassigned", f"{leg['venue']}:{leg['instrument']}", *cells)
    return Group(_head(told), Fitting(table))


def pair_view(told: Answer) -> RenderableType:
    """The last decisions on a pair, and its trades."""
    parts: list[RenderableType] = [_head(told).append(f"  {told['pair']}", style="bold")]
    for trade in told["trades"]:
        ended = _when(trade["closed"]) if trade["closed"] else "still open"
        line = Text(f"{trade['trade']}", style="bold")
        rest = Text(f"  {_when(trade['opened'])} to {ended}, ").append_text(gain(trade["total"]))
        parts.append(Text.assemble(line, rest, f"  (`fundarb why {trade['trade']}`)"))
    parts.append(Text("\nDecisions, newest last", style="bold"))
    parts += [Text(f"  {_decision(decision)}") for decision in told["decisions"]] or [
        Text("  none yet: the market is warming up")
    ]
    if told["refused"]:
        most = sorted(told["refused"].items(), key=lambda item: (-item[1], item[0]))
        parts.append(Text("\nRefused: " + ", ".join(f"{why} {count}×" for why, count in most)))
    return Group(*parts)


def trade_view(told: Answer) -> RenderableType:
    """The checklist before the trade, or before it last grew; what was done, what came of it."""
    ended = _when(told["closed"]) if told["closed"] else "still open"
    head = _head(told).append(f"  {told['trade']}", style="bold")
    head.append(f"  {told['stage']}, {_when(told['opened'])} to {ended}")
    out = told["exit_reason"]
    leaving = f"{out} ({told['exit_cause']})" if out and told["exit_cause"] else out or "still open"
    return Group(
        head,
        Text("\nBefore the trade", style="bold"),
        _checklist(told["checklist"]),
        Text("\nWhat happened", style="bold"),
        _events(told),
        _funding(told["funding"]),
        Text("\nResult ", style="bold").append_text(gain(told["total"])),
        Text(f"  {_sources(told['pnl'])}\n  in:  {told['entry_reason']}\n  out: {leaving}"),
    )


def _checklist(plan: Answer) -> Table:
    apr = [percent(plan[name] * HOURS_PER_YEAR) for name in ("funding_hourly", "forecast_hourly")]
    liquidation, guard = quantity(plan["liquidation_price"]), quantity(plan["stop_price"])
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    for name, text in (
        ("thesis", plan["thesis"]),
        ("wrong if", plan["invalidation"]),
        ("objective", plan["objective"]),
        ("size", f"{quantity(plan['quantity'])} a leg, {amount(plan['notional'])}{_parts(plan)}"),
        ("at risk", amount(plan["amount_at_risk"])),
        (
            "leverage",
            f"{plan['leverage']}×, liquidation at {liquidation}, guard acts by {guard}",
        ),
        ("funding", f"now {apr[0]} APR, forecast {apr[1]} APR"),
        ("round trip", f"costs {percent(plan['cost'], 3)} of notional"),
        ("clipped by", ", ".join(plan["clipped_by"]) or "nothing"),
    ):
        table.add_row(f"  {name}", Text(text))
    return table


def _parts(plan: Answer) -> str:
    """How often it grew, where it did: the checklist is of the whole."""
    return f", in {plan['tranches']} parts" if plan["tranches"] > 1 else ""


def _events(told: Answer) -> RenderableType:
    """Changes and orders in one sequence of time."""
    lines = [(change["time"], change["what"]) for change in told["changes"]]
    lines += [(order["time"], _order(order)) for order in told["orders"] if order["order"]]
    lines += [
        (fill["time"], _strange(fill))
        for order in told["orders"]
        if not order["order"]
        for fill in order["fills"]
    ]
    lines.sort(key=lambda line: line[0])
    hidden = len(lines) - SHOWN_ORDERS
    shown = lines if hidden <= 0 else [*lines[: SHOWN_ORDERS // 2], *lines[-SHOWN_ORDERS // 2 :]]
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    for index, (time, what) in enumerate(shown):
        if hidden > 0 and index == SHOWN_ORDERS // 2:
            table.add_row("  …", f"{hidden} more lines: --json has them all")
        table.add_row(f"  {time[5:19].replace('T', ' ')}", Text(what))
    return table


def _strange(fill: Answer) -> str:
    """A fill that nobody here ordered."""
    what = f"{fill['side']} {quantity(fill['quantity'])} {fill['instrument']} at {fill['price']}"
    return f"{fill['cause']}, not ordered here: {what}"


def _order(order: Answer) -> str:
    wanted = f"{order['role']}: {order['side']} {quantity(order['quantity'])} {order['instrument']}"
    bound = f"{wanted} at {order['limit']} or better"
    if order["trigger"] is not None:
        bound = f"{wanted} once the mark is at {order['trigger']}"
    if not order["filled"]:
        return f"{bound}: {order['state']}, nothing filled"
    paid = sum((fill["price"] * fill["quantity"] for fill in order["fills"]), Decimal(0))
    average = quantity(paid / order["filled"])
    liquidity = order["fills"][0]["liquidity"]
    return f"{bound}: filled {quantity(order['filled'])} at {average} ({liquidity})"


def _funding(payments: Iterable[Answer]) -> Text:
    paid = [payment["payment"] for payment in payments]
    if not paid:
        return Text("  no funding yet")
    total = sum(paid, Decimal(0))
    return Text(f"  {len(paid)} funding payments, together ").append_text(gain(total))


def _head(told: Answer) -> Text:
    return badges(told["mode"], synthetic=told["synthetic"])


def _decision(decision: Answer) -> str:
    refusals = f" [refused: {'; '.join(decision['refusals'])}]" if decision["refusals"] else ""
    return f"{_when(decision['time'])[5:]}  {decision['action']}: {decision['reason']}{refusals}"


def _sources(pnl: Mapping[str, Decimal]) -> str:
    parts = [
        f"{name} {amount(value, signed=True)}"
        for name, value in pnl.items()
        if name != "total" and value
    ]
    return ", ".join(parts) or "nothing earned or paid yet"


def _when(instant: str | None) -> str:
    return NOTHING if instant is None else instant[:16].replace("T", " ")
