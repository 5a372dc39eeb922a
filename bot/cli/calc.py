"""``fundarb calc``: the sums of leveraged trading, fractions in and out (0.02 is 2 %)."""

from typing import Annotated, Any

import typer

from bot.cli import options, values
from bot.cli.values import read

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


def _option(name: str, meaning: str) -> Any:
    return typer.Option(name, metavar="N", help=meaning)


@app.command(epilog=SIZE_EXAMPLES)
def size(
    equity: Annotated[str, _option("--equity", "What the account is worth.")],
    risk: Annotated[str, _option("--risk", "Share of equity that may be lost, such as 0.01.")],
    stop: Annotated[str, _option("--stop", "Distance to the stop, fraction of price.")],
    leverage: Annotated[str, _option("--leverage", "Position over margin.")],
    json: options.Json = None,
) -> None:
    """Size a position from what may be lost, never from leverage."""
    from strategies.sizing import position_size

    result = position_size(
        equity=read("--equity", values.positive, equity),
        risk=read("--risk", values.share, risk),
        stop=read("--stop", values.share, stop),
        leverage=read("--leverage", values.positive, leverage),
    )
    _answer(
        {
            "risk_amount": result.risk_amount,
            "position": result.position,
            "margin": result.margin,
            "margin_loss_at_stop": float(result.margin_loss_at_stop),
        },
        json,
    )
