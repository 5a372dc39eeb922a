"""``fundarb calc``: the sums of leveraged trading, fractions in and out (0.02 is 2 %)."""

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli import options, values
from bot.cli.errors import CommandError
from bot.cli.values import read

if TYPE_CHECKING:
    import msgspec

app = typer.Typer(
    no_args_is_help=True,
    help="Size, liquidation price, funding, leveraged yield.",
)

SIZE_EXAMPLES = """\b
Example:
  fundarb calc size --equity 10000 --risk 0.02 --stop 0.05 --leverage 5
  risk 200, position 4000, margin 800; the 5 % move costs 25 % of the margin
"""
LIQUIDATION_EXAMPLES = """\b
Example:
  fundarb calc liquidation --side short --entry 100 --leverage 2 --maintenance 0.0125
"""
FUNDING_EXAMPLES = """\b
Example:
  fundarb calc funding --rate 0.0001 --interval-hours 8 --hours 168 --notional 10000
  0.01 % every 8 hours, held for a week: 0.21 % of the notional
"""
YIELD_EXAMPLES = """\b
Example:
  fundarb calc yield --capital 10000 --leverage 2 --asset-yield 0.08 --borrow-rate 0.05
  position 20000, borrowed 10000, effective APY 11 %
"""


def _number(name: str, meaning: str) -> Any:
    return typer.Option(name, metavar="N", help=meaning)


@app.command(epilog=SIZE_EXAMPLES)
def size(
    *,
    equity: Annotated[str, _number("--equity", "What the account is worth.")],
    risk: Annotated[str, _number("--risk", "Share of equity that may be lost, such as 0.01.")],
    stop: Annotated[str, _number("--stop", "Distance to the stop, a fraction of price.")],
    leverage: Annotated[str, _number("--leverage", "Position over margin.")],
    json: options.Json = None,
) -> None:
    """Size a position from what may be lost."""
    from strategies.sizing import position_size

    numbers = _numbers({"equity": equity, "risk": risk, "stop": stop, "leverage": leverage})
    _tell(lambda: position_size(**numbers), {"margin_loss_at_stop"}, json)


@app.command(epilog=LIQUIDATION_EXAMPLES)
def liquidation(
    *,
    side: Annotated[str, typer.Option("--side", metavar="long|short", help="Of the position.")],
    entry: Annotated[str, _number("--entry", "Entry price.")],
    leverage: Annotated[str, _number("--leverage", "Position over margin.")],
    maintenance: Annotated[
        str, _number("--maintenance", "Maintenance margin, a fraction of notional.")
    ],
    json: options.Json = None,
) -> None:
    """Estimate where a position would be liquidated.

    Good for any venue. The bot's guards use the venue's own exact formula instead.
    """
    from domain.orders import Side
    from strategies.sizing import estimate_liquidation

    sides = {"long": Side.BUY, "short": Side.SELL}
    direction = sides.get(side.strip().lower())
    if direction is None:
        raise CommandError(f"--side: {side!r} is neither long nor short")
    numbers = _numbers({"entry": entry, "leverage": leverage, "maintenance": maintenance})
    _tell(lambda: estimate_liquidation(direction, **numbers), {"distance"}, json)


@app.command(epilog=FUNDING_EXAMPLES)
def funding(
    *,
    rate: Annotated[str, _number("--rate", "Funding rate per interval, a fraction.")],
    interval_hours: Annotated[str, _number("--interval-hours", "Hours between two payments.")],
    hours: Annotated[str, _number("--hours", "How long the position is held.")],
    notional: Annotated[str, _number("--notional", "Quantity times price.")],
    json: options.Json = None,
) -> None:
    """Say what a long pays and a short receives (negative: the reverse)."""
    from strategies.sizing import funding_cost

    numbers = _numbers(
        {"rate": rate, "interval_hours": interval_hours, "hours": hours, "notional": notional}
    )
    _tell(lambda: funding_cost(**numbers), {"share", "apr"}, json)


@app.command("yield", epilog=YIELD_EXAMPLES)
def leveraged(
    *,
    capital: Annotated[str, _number("--capital", "What is put in.")],
    leverage: Annotated[str, _number("--leverage", "Position over capital, 1 or more.")],
    asset_yield: Annotated[str, _number("--asset-yield", "Of the asset a year, a fraction.")],
    borrow_rate: Annotated[str, _number("--borrow-rate", "Of the loan a year, a fraction.")],
    json: options.Json = None,
) -> None:
    """Say what a yield becomes with borrowed money."""
    from strategies.sizing import leveraged_yield

    numbers = _numbers(
        {
            "capital": capital,
            "leverage": leverage,
            "asset_yield": asset_yield,
            "borrow_rate": borrow_rate,
        }
    )
    _tell(lambda: leveraged_yield(**numbers), {"effective_apy"}, json)


def _numbers(texts: dict[str, str]) -> dict[str, Decimal]:
    return {name: read(_flag(name), values.number, text) for name, text in texts.items()}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _tell(compute: Callable[[], "msgspec.Struct"], fractions: set[str], json: str | None) -> None:
    """Print and write a result: money as decimal strings, ``fractions`` as numbers."""
    from bot.cli.output import STDOUT, write_json

    target = read("--json", values.writable_file, json)
    try:
        result = compute()
    except ValueError as error:  # "name: what is wrong", of one of the options
        name, _, what = str(error).partition(": ")
        raise CommandError(f"{_flag(name)}: {what}") from None
    answer = {name: getattr(result, name) for name in result.__struct_fields__}
    written = {name: float(value) if name in fractions else value for name, value in answer.items()}
    write_json(written, target)
    if target != STDOUT:
        for name, value in answer.items():
            shown = f"{value:.4%}" if name in fractions else f"{value:,.10g}"
            typer.echo(f"{name.replace('_', ' '):20} {shown}")
