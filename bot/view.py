"""The engine on a terminal: one ``Snapshot`` in, something rich can print out.

Made for 100 columns, in one piece at 80, in lines below. Colour only repeats what signs and words
already say, and works on light and dark backgrounds alike.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bot.amounts import NOTHING, amount, badges, elapsed, gain, percent, quantity
from bot.narrow import Fitting
from domain.time import HOURS_PER_YEAR, iso
from execution.ledger.pnl import PnL
from execution.snapshot import PairView, Snapshot

_STATES = {"running": "green", "starting": "", "paused": "yellow"}


def view(snapshot: Snapshot) -> RenderableType:
    """The whole picture, at whatever width it is printed."""
    return Group(
        _header(snapshot),
        _sources(snapshot.pnl),
        Fitting(pairs_table(snapshot.pairs)),
        _decisions(snapshot.pairs),
        _footer(snapshot),
    )


def _header(shown: Snapshot) -> RenderableType:
    result = shown.equity - shown.capital
    share = result / shown.capital if shown.capital else Decimal(0)
    peak = shown.equity_peak
    drawdown = max(Decimal(0), 1 - shown.equity / peak) if peak > 0 else Decimal(0)
    state = (shown.state, _STATES.get(shown.state, "bold red"))
    feed = shown.venue if shown.feed == shown.venue else f"{shown.venue}, {shown.feed}"
    ran = elapsed(max(0, shown.time_ns - shown.started_ns))
    top = Table.grid(expand=True)
    top.add_column()
    top.add_column(justify="right")
    top.add_row(
        Text.assemble(badges(shown.mode, synthetic=shown.synthetic), "  ", state, f"  {feed}"),
        f"{iso(shown.time_ns)[:16].replace('T', ' ')} UTC, {ran}",
    )
    equity = (f"{amount(shown.equity)} {shown.quote}", "bold")
    top.add_row(
        Text.assemble("Equity ", equity, "  ", gain(result), f" ({percent(share, signed=True)})"),
        f"peak {amount(peak)}, drawdown {percent(drawdown)}",
    )
    held = (
        f"cash {amount(shown.cash)}, spot {amount(shown.spot_value)}, "
        f"margin {amount(shown.margin)}, unrealized {amount(shown.unrealized, signed=True)}"
    )
    return Panel(Group(top, held), padding=(0, 1))


def _sources(pnl: PnL) -> RenderableType:
    """Profit by source, one line: funding is what is wanted, the rest is what it cost."""
    table = Table(
        box=None,
        expand=True,
        padding=(0, 1),
        pad_edge=False,
        collapse_padding=True,
        header_style="",
    )
    parts = {key: getattr(pnl, key) for key in pnl.__struct_fields__} | {"total": pnl.total}
    for name in parts:
        style = "bold" if name == "total" else ""
        table.add_column(name, justify="right", no_wrap=True, style=style, header_style=style)
    table.add_row(*(gain(value) for value in parts.values()))
    return Panel(Fitting(table), title="P&L by source", title_align="left", padding=(0, 1))


def pairs_table(pairs: Iterable[PairView]) -> Table:
    """Two lines a pair, so that all of it fits in 80 columns."""
    table = Table(expand=True, padding=(0, 1), pad_edge=False, box=None, header_style="bold")
    table.add_column("Pair\nstage", no_wrap=True)
    for heading in (
        "Spot\nperp",
        "Notional\ndelta",
        "Funding APR\nforecast",
        "Basis\nbps",
        "Leverage\nto liq.",
        "P&L\nfunding",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for pair in pairs:
        table.add_row(*_row(pair))
    return table


def _row(pair: PairView) -> Iterator[Text]:
    held = bool(pair.spot_quantity or pair.perp_quantity)
    worth = bool(pair.trade_id or pair.pnl.total)
    yield _two(Text(pair.trade_id or pair.pair, style="bold"), _stage(pair))
    yield _two(
        *(_held(quantity(leg), held=held) for leg in (pair.spot_quantity, pair.perp_quantity))
    )
    yield _two(
        *(_held(part, held=held) for part in (amount(pair.notional), quantity(pair.net_delta)))
    )
    yield _two(_apr(pair.funding_hourly), _apr(pair.forecast_hourly))
    yield Text(NOTHING if pair.basis is None else f"{pair.basis * 10_000:+.1f}")
    leverage = Text(NOTHING if pair.leverage is None else f"{pair.leverage:.2f}×")
    yield _two(leverage, _distance(pair.liquidation_distance))
    yield _two(
        *((gain(part) if worth else Text(NOTHING)) for part in (pair.pnl.total, pair.pnl.funding))
    )


def _two(upper: Text, lower: Text) -> Text:
    return Text("\n").join((upper, lower))


def _held(text: str, *, held: bool) -> Text:
    return Text(text if held else NOTHING)


def _stage(pair: PairView) -> Text:
    if pair.naked_notional > 0:
        seconds = f" {pair.naked_seconds:.0f}s"
        return Text(f"naked {amount(pair.naked_notional)}{seconds}", style="bold red")
    return Text(str(pair.stage) if pair.stage else "no trade")


def _apr(hourly: float | None) -> Text:
    if hourly is None:
        return Text(NOTHING)
    return Text(percent(hourly * HOURS_PER_YEAR, 1, signed=True))


def _distance(fraction: float | None) -> Text:
    if fraction is None:
        return Text(NOTHING)
    style = "bold red" if fraction < 0.1 else "yellow" if fraction < 0.2 else ""
    return Text(percent(fraction, 1), style=style)


def _decisions(pairs: Iterable[PairView]) -> RenderableType:
    table = Table.grid(padding=(0, 1), expand=True)
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    decided = sorted((-pair.decided_ns, pair.pair, pair) for pair in pairs if pair.decided_ns)
    for minus_ns, name, pair in decided:
        at = iso(-minus_ns)[5:16].replace("T", " ")
        table.add_row(Text(name, style="bold"), at, pair.action, Text(pair.reason or NOTHING))
    shown = table if decided else "none yet"
    return Panel(shown, title="Last decisions", title_align="left", padding=(0, 1))


def _footer(shown: Snapshot) -> Text:
    line = Text()
    if shown.limits:
        line.append("Limits: " + "; ".join(shown.limits), style="bold red")
    else:
        line.append("Limits: none tripped", style="green")
    for count, what in ((shown.unknown_orders, "unknown orders"), (shown.mismatches, "mismatches")):
        if count:
            line.append(f"   {count} {what}", style="bold red")
    counts = ", ".join(f"{name} {count}" for name, count in shown.orders.items() if count)
    line.append(f"   Orders: {counts or 'none'}   Journal: {shown.journal_events:,} facts")
    if shown.refusals:
        most = sorted(shown.refusals.items(), key=lambda item: (-item[1], item[0]))[:3]
        line.append("\nRefused most: " + ", ".join(f"{why} {count}" for why, count in most))
    return line
