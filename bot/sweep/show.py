"""What a sweep found, for a person: two tables and a settings file."""

from decimal import Decimal
from pathlib import Path

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bot.amounts import percent
from bot.narrow import Fitting
from bot.settings import Settings, altered, as_toml
from bot.sweep.results import Findings
from bot.sweep.sharpe import annual
from bot.sweep.space import Values
from bot.sweep.study import Opened
from bot.sweep.trial import Figures
from bot.sweep.windows import Plan
from domain.time import iso

_NONE = "-"


def tables(plan: Plan, found: Findings, opened: Opened | None, best: Path) -> RenderableType:
    """The walk-forward, the best for what comes next, and where its settings are."""
    parts: list[RenderableType] = [
        Text(
            f"{found.trials} trials over {plan.sealed} windows, {plan.train} to choose on. Rates "
            "are net, of the capital, a year. DSR: how likely the true Sharpe ratio is above zero, "
            "given that so many were tried."
        ),
        *_mishaps("Not run, since the settings contradict each other", found.refused),
        *_mishaps("No best, since a limit was broken or a position liquidated", found.broken),
    ]
    if opened is not None:
        parts.append(Text(f"The sealed window was opened {opened}."))
    if found.best:
        parts += [Text(), Fitting(_walk(plan, found)), Text()]
        parts += [Fitting(_best(plan, found)), Text()]
        parts += [
            Text(f"{choice.tried.number:>5}  {_settings(choice.tried.values)}")
            for choice in found.best
        ]
        parts += [Text(), Text(f"The settings of the first of them: --config {best}")]
    return Group(*parts)


def best_toml(settings: Settings, capital: Decimal, found: Findings) -> str:
    """The settings of the first of the best, and beside them what they are worth."""
    first = found.best[0]
    account = msgspec.structs.replace(settings.account, capital=capital)
    settings = msgspec.structs.replace(settings, account=account)
    return (
        f"# Trial {first.tried.number} of {found.trials}: in sample {percent(first.inside.apr)} "
        f"net a year,\n# deflated Sharpe ratio {_share(first.deflated)}.\n"
        + as_toml(altered(settings, first.tried.values, "the sweep"))
    )


def _mishaps(what: str, reasons: dict[int, str]) -> list[Text]:
    if not reasons:
        return []
    number, reason = next(iter(reasons.items()))
    more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return [Text(f"{what}: trial {number} ({reason}){more}.")]


def _walk(plan: Plan, found: Findings) -> Table:
    table = _table("Walk-forward: chosen on the windows before, judged by one they never saw")
    table.add_column("window from")
    for heading in ("trial", "in sample", "fall", "DSR", "out of sample", "fall", "as it is"):
        table.add_column(heading, justify="right")
    for choice, usual in zip(found.walk, found.usual, strict=True):
        sealed = choice.judge.start == plan.sealed
        table.add_row(
            _day(plan, choice.judge.start),
            str(choice.tried.number),
            *_pair(choice.inside),
            _share(choice.deflated),
            *(("sealed", "") if sealed and choice.outside is None else _pair(choice.outside)),
            _NONE if usual is None else percent(usual.apr),
        )
    return table


def _best(plan: Plan, found: Findings) -> Table:
    since = _day(plan, plan.folds()[-1].train.start)
    table = _table(f"Best since {since}, for what comes next; out of sample: the windows before")
    for heading in ("trial", "in sample", "fall", "Sharpe", "DSR", "out of sample", "fall"):
        table.add_column(heading, justify="right")
    for choice in found.best:
        table.add_row(
            str(choice.tried.number),
            *_pair(choice.inside),
            f"{annual(choice.inside.days.sharpe):.2f}",
            _share(choice.deflated),
            *_pair(choice.outside),
        )
    return table


def _pair(figures: Figures | None) -> tuple[str, str]:
    if figures is None:
        return _NONE, _NONE
    return percent(figures.apr) + (" broken" if figures.broken else ""), percent(figures.drawdown)


def _share(probability: float | None) -> str:
    return _NONE if probability is None else percent(probability, 1)


def _settings(values: Values) -> str:
    return ", ".join(f"{key.partition('.')[2]} {value:g}" for key, value in values.items())


def _day(plan: Plan, place: int) -> str:
    return iso(plan.windows[place].start_ns or 0)[:10]


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=None, pad_edge=False)
