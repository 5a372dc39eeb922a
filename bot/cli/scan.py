"""``fundarb scan``: every pair of a venue ranked, and what keeps each out; or venues compared."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli import networks, options, values
from bot.cli.errors import INTERRUPTED, CommandError
from bot.cli.values import read

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from bot.scan import Row, Venue
    from bot.settings import Settings
    from domain.instruments import Pair

EXAMPLES = """\b
Examples:
  fundarb scan                               Hyperliquid as it is now; no key
  fundarb scan --data DIR                    the newest of recorded history
  fundarb scan --data DIR --venue binance --at 2025-05-01 --json -
  fundarb scan --data DIR --venues           whole venues, side by side
"""


def scan(
    *,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="History instead of the live market: prices/ and funding/ in Parquet.",
        ),
    ] = None,
    venue: options.Venue = "hyperliquid",
    venues: Annotated[
        bool, typer.Option("--venues", help="Compare the venues that there is history of.")
    ] = False,
    pairs: options.Pairs = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="DATE", help="The instant to look at, UTC; else the last."),
    ] = None,
    url: networks.PublicUrl = None,
    capital: options.Capital = None,
    config: options.Config = None,
    json: options.Json = None,
) -> None:
    """Rank the pairs of a venue by what they are expected to earn.

    Funding now and over a week, forecast and error, cost of the round trip, hours to repay
    it, capacity, and what keeps a pair out: as cash and carry, whatever the settings name, and
    the risk gate see it at one instant, with nothing held; of the live market or of history.
    """
    directory = read("--data", values.existing_directory, data)
    names = read("--pairs", values.pair_names, pairs)
    at_ns = read("--at", values.instant, at)
    amount = read("--capital", values.positive, capital)
    file = read("--config", values.existing_file, config)
    answer = read("--json", values.writable_file, json)
    if venues and names is not None:
        raise CommandError("--venues looks at all pairs of each: leave out --pairs")
    if directory is None and (venues or at_ns is not None or venue != "hyperliquid"):
        raise CommandError("--venue, --venues and --at look at history: add --data DIR")
    if directory is not None and url is not None:
        raise CommandError("--url is of a live market, --data is history: one or the other")
    where = networks.public(url) if directory is None else None
    import msgspec

    from bot import settings
    from bot.cli.output import STDOUT, write_json
    from bot.instruments import listed_pairs, load_pairs
    from bot.scan import NO_DATA, ranked, scored
    from bot.scan import scan as look

    loaded = settings.load(file).settings
    account = loaded.account.capital if amount is None else amount

    if where is not None:
        chosen = load_pairs(venue, names) if names else listed_pairs(venue)
        rows = _live(where, chosen, account, loaded)
        write_json({"venue": venue, "capital": account, "pairs": msgspec.to_builtins(rows)}, answer)
        if answer != STDOUT:
            _show(rows)
        return
    assert directory is not None, "Invariant: either a live market or history"

    def rows_of(name: str) -> "list[Row]":
        chosen = load_pairs(name, names)
        others = [] if names else [pair for pair in listed_pairs(name) if pair not in chosen]
        asked = look(directory, name, chosen, at_ns, account, loaded)
        found = look(directory, name, others, at_ns, account, loaded)
        return ranked([*asked, *(row for row in found if row.gate != NO_DATA)])

    if venues:
        compared = [scored(name, load_pairs(name), rows_of(name)) for name in _venues_in(directory)]
        write_json({"capital": account, "venues": msgspec.to_builtins(compared)}, answer)
        if answer != STDOUT:
            _show_venues(compared)
        return
    rows = rows_of(venue)
    if all(row.gate == NO_DATA for row in rows):
        missing = ", ".join(row.pair for row in rows)
        raise CommandError(f"no history for {missing}: {rows[0].reason}")
    write_json({"venue": venue, "capital": account, "pairs": msgspec.to_builtins(rows)}, answer)
    if answer != STDOUT:
        _show(rows)


def _live(url: str, pairs: "Sequence[Pair]", capital: Decimal, loaded: "Settings") -> "list[Row]":
    """The market at ``url``, ranked."""
    import asyncio

    from rich.console import Console

    from bot.cli.running import stoppable
    from bot.feeds.look import look
    from bot.run import Stopped
    from bot.scan import Row, ranked, scan_live

    waiting = Console(stderr=True, highlight=False)
    with stoppable() as stopped, waiting.status("asking for rates, candles and books…"):
        try:
            seen = asyncio.run(look(url, pairs, lambda: bool(stopped)))
        except Stopped:
            raise typer.Exit(INTERRUPTED) from None
    invented = seen.generated
    rows = scan_live(seen.pairs, seen.market, seen.now_ns, capital, loaded, synthetic=invented)
    missing = (Row(name, "not_listed", why) for name, why in seen.unlisted.items())
    return ranked([*rows, *missing])


def _venues_in(directory: Path) -> list[str]:
    """Raises CommandError where there is history of no venue that is configured."""
    from bot.config_files import config_names

    there = [name for name in config_names("venues") if (directory / "prices" / name).is_dir()]
    if not there:
        raise CommandError(f"no history of any configured venue under {directory / 'prices'}")
    return there


def _show(rows: "list[Row]") -> None:
    from bot.cli.output import console
    from bot.narrow import Fitting
    from domain.time import iso

    headings = ("now %", "7 d %", "forecast %", "cost %", "hours", "net %", "capacity")
    table = _table("pair", headings, "kept out by")
    for row in rows:
        error = "" if row.error is None else f" ± {row.error * 100:.1f}"
        table.add_row(
            row.pair,
            _percent(row.funding),
            _percent(row.mean),
            _percent(row.forecast) + error,
            _percent(row.cost, 2),
            "" if row.break_even_hours is None else f"{row.break_even_hours:.0f}",
            _percent(row.net_apr),
            _whole(row.capacity),
            row.gate or "nothing",
        )
    out = console()
    _warn_of_invented(out, rows)
    out.print(Fitting(table))
    out.print(PAIRS_NOTE, style="dim", markup=False)
    for row in rows:
        when = "" if row.at_ns is None else f" at {iso(row.at_ns)[:16]}"
        out.print(f"{row.pair}{when}: {row.reason}", style="dim", markup=False, soft_wrap=True)


def _show_venues(venues: "list[Venue]") -> None:
    from bot.cli.output import console
    from bot.narrow import Fitting
    from domain.time import iso

    table = _table("", [one.venue for one in venues], "")
    lines: list[tuple[str, Callable[[Venue], str]]] = [
        ("at", lambda v: "" if v.at_ns is None else iso(v.at_ns)[:10]),
        ("pairs with history", lambda v: f"{v.pairs}"),
        ("of them entered now", lambda v: f"{v.entered}"),
        ("funding over 7 days, % a year", lambda v: _percent(v.mean)),
        ("days of 60 that paid shorts, %", lambda v: _percent(v.positive, 0)),
        ("paid every, hours", lambda v: f"{v.interval_hours}"),
        ("round trip, % of notional", lambda v: _percent(v.cost, 2)),
        ("capacity at 10 bps", lambda v: _whole(v.capacity)),
        ("perp fee, maker / taker, %", lambda v: f"{_fee(v.perp_maker)} / {_fee(v.perp_taker)}"),
        ("spot fee, maker / taker, %", lambda v: f"{_fee(v.spot_maker)} / {_fee(v.spot_taker)}"),
        ("highest leverage", lambda v: f"{v.leverage}"),
        ("quote", lambda v: v.quote),
    ]
    for name, say in lines:
        table.add_row(name, *map(say, venues))
    out = console()
    _warn_of_invented(out, venues)
    out.print(Fitting(table))
    out.print(VENUES_NOTE, style="dim", markup=False)


def _warn_of_invented(out: "Console", found: "Sequence[Row | Venue]") -> None:
    if any(one.synthetic for one in found):
        from bot.amounts import badges

        out.print(badges("scan", synthetic=True))


PAIRS_NOTE = (
    "Funding is simple and annual, of notional; cost: of the round trip at the size it would be "
    "held; hours: until the forecast repays that; net: annual, of all capital tied up; capacity: "
    "the notional that costs 10 bps more than one lot."
)
VENUES_NOTE = (
    "Funding, days, round trip and capacity are medians over the pairs; fees and leverage as "
    "configured, margin always isolated. How fast and how reliably a venue answers is on the "
    "metrics page of a bot that trades there."
)


def _table(first: str, headings: Sequence[str], last: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column(first, no_wrap=True, min_width=len(first))
    for name in headings:
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    if last:
        table.add_column(last, overflow="fold")
    return table


def _fee(fraction: Decimal) -> str:
    return f"{fraction * 100:f}".rstrip("0").rstrip(".")


def _whole(number: float | None) -> str:
    return "" if number is None else f"{number:,.0f}"


def _percent(fraction: float | None, places: int = 1) -> str:
    return "" if fraction is None else f"{fraction * 100:.{places}f}"
