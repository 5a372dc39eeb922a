"""How figures are written for a person, the same wherever they stand.

Apart from the picture of a whole engine (``bot.view``), so that a command which only asks a
running bot loads neither its facts nor its ledger.
"""

from decimal import Decimal

from rich.text import Text

from domain.time import DAY, HOUR, MINUTE

NOTHING = "–"
_BADGES = {
    "live": "bold white on red",
    "testnet": "bold white on magenta",
    "paper": "bold white on blue",
    "backtest": "bold white on blue",
}


def amount(value: Decimal, *, signed: bool = False) -> str:
    """Money to the cent, thousands apart.

    >>> amount(Decimal("-1234.5")), amount(Decimal("0.004"), signed=True)
    ('-1,234.50', '0.00')
    """
    cents = round(value, 2)
    if cents == 0:
        return "0.00"
    return f"{cents:+,.2f}" if signed else f"{cents:,.2f}"


def percent(fraction: float | Decimal, digits: int = 2, *, signed: bool = False) -> str:
    """A fraction as a person reads it.

    >>> percent(0.1095), percent(0.00001, signed=True)
    ('10.95%', '0.00%')
    """
    rounded = round(float(fraction) * 100, digits) + 0.0
    return f"{rounded:{'+' if signed and rounded else ''},.{digits}f}%"


def gain(value: Decimal) -> Text:
    """Money with its sign, green or red with it."""
    text = amount(value, signed=True)
    return Text(text, style="green" if text[0] == "+" else "red" if text[0] == "-" else "")


def quantity(value: Decimal) -> str:
    """Base units to six significant figures."""
    if value == 0:
        return "0"
    places = max(0, min(8, 5 - value.adjusted()))
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def elapsed(nanoseconds: int) -> str:
    """A stretch of time in its two largest units.

    >>> elapsed(49 * HOUR), elapsed(90 * MINUTE)
    ('2d 1h', '1h 30m')
    """
    days, rest = divmod(nanoseconds, DAY)
    hours, rest = divmod(rest, HOUR)
    minutes = rest // MINUTE
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes}m" if hours else f"{minutes}m"


def badges(mode: str, *, synthetic: bool) -> Text:
    """The mode, and that the market is made up where it is: impossible to overlook."""
    mark = Text(f" {mode.upper()} ", style=_BADGES.get(mode, "bold reverse"))
    if synthetic:
        mark.append(" ").append(" SYNTHETIC MARKET ", style="bold black on yellow")
    return mark
