"""``fundarb clusters``: where forced orders of a perp are estimated to sit."""

from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli import networks, options, values
from bot.cli.errors import CommandError
from bot.cli.values import read

if TYPE_CHECKING:
    from bot.clusters import Picture

EXAMPLES = """\b
Examples:
  fundarb clusters BTC                              as the venue is now, no key
  fundarb clusters HYPE --data DIR --at 2025-05-01
  fundarb clusters BTC --data DIR --open-interest 28000 --json -
"""
BAR = 18


def clusters(
    pair: Annotated[str, typer.Argument(metavar="PAIR", help="Such as BTC.")],
    *,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="DIR", help="History, instead of asking the venue."),
    ] = None,
    venue: options.Venue = "hyperliquid",
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="DATE", help="The instant to look at, UTC; else the last."),
    ] = None,
    open_interest: Annotated[
        str | None,
        typer.Option("--open-interest", metavar="N", help="Coins; bars do not tell it."),
    ] = None,
    within: Annotated[
        str, typer.Option("--within", metavar="F", help="How far from the mark to show.")
    ] = "0.1",
    url: networks.PublicUrl = None,
    config: options.Config = None,
    json: options.Json = None,
) -> None:
    """Estimate where forced orders sit: liquidations by price, below and above the mark.

    An estimate, not data: nobody tells others' leverage. From open interest, the venue's
    leverage, and volume by price of three days; the range is what other leverage makes of it.
    """
    (name,) = _one(read("PAIR", values.pair_names, pair))
    directory = read("--data", values.existing_directory, data)
    at_ns = read("--at", values.instant, at)
    interest = read("--open-interest", values.positive, open_interest)
    shown = float(read("--within", values.share, within))
    file = read("--config", values.existing_file, config)
    answer = read("--json", values.writable_file, json)
    if directory is None and (at is not None or venue != "hyperliquid"):
        raise CommandError("--at and --venue are of history: give --data DIR too")
    import asyncio

    import msgspec

    from bot import clusters as found
    from bot import settings
    from bot.cli.output import STDOUT, write_json
    from bot.instruments import load_pairs

    limits = settings.load(file).settings.risk
    known = None if interest is None else float(interest)
    distance = limits.cluster_distance
    if directory is not None:
        (chosen,) = load_pairs(venue, (name,))
        picture = found.from_history(directory, venue, chosen, at_ns, known, distance)
    else:
        where = networks.public(url)
        picture = asyncio.run(found.from_venue(where, name, known, distance))
    write_json({"estimate": True, **msgspec.to_builtins(picture)}, answer)
    if answer != STDOUT:
        _show(picture, shown, limits.cluster_hours_max)


def _one(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(names) != 1:
        raise CommandError("PAIR: name one, such as BTC")
    return names


def _show(picture: "Picture", within: float, hours_max: float) -> None:
    from rich.table import Table

    from bot.cli.output import console
    from bot.narrow import Fitting
    from domain.orders import Side
    from domain.time import iso

    mark = picture.mark
    rows = [
        level
        for level in reversed(picture.levels)
        if abs(level.low / mark - 1.0) <= within and level.notional > 0.0
    ]
    most = max((level.notional for level in rows), default=0.0)
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for heading in ("price", "away", "of open %", "range", "notional"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("forced orders", no_wrap=True)
    marked = False
    for level in rows:
        if level.side is Side.SELL and not marked:
            table.add_row(f"{mark:,.6g}", "mark", style="bold")
            marked = True
        low, high = picture.share(level.least), picture.share(level.most)
        table.add_row(
            f"{level.low:,.6g}",
            f"{level.low / mark - 1.0:+.1%}",
            f"{picture.share(level.notional) * 100:.1f}",
            f"{low * 100:.1f} to {high * 100:.1f}",
            "" if picture.open_interest is None else f"{level.notional:,.0f}",
            "█" * max(round(BAR * level.notional / most), 1),
            style="green" if level.side is Side.BUY else "red",
        )
    out = console()
    out.print(
        f"{picture.pair} at {iso(picture.at_ns)[:16]}, {picture.source}: an estimate, no data",
        markup=False,
        soft_wrap=True,
    )
    out.print(Fitting(table))
    for near in picture.near:
        side = "buys above" if near.side is Side.BUY else "sells below"
        hours = "" if near.hours is None else f", {near.hours:.1f} h of trading"
        out.print(
            f"forced {side} within {near.distance:.1%}: {near.share:.1%} of what is open "
            f"({near.least:.1%} to {near.most:.1%}){hours}",
            markup=False,
            soft_wrap=True,
        )
    if picture.open_interest is None:
        out.print("open interest is not known: no entry is refused for it", style="dim")
    else:
        out.print(f"an entry is refused above {hours_max:g} h of buys", style="dim")
