"""How near it came: liquidation, exposure and leverage, limits, alarms, and what happened."""

from collections.abc import Callable
from decimal import Decimal

from bot.amounts import amount, percent
from bot.report_page.chart import Rule, Series, chart, moment
from bot.report_page.course import Moment
from bot.report_page.markup import Html, element
from bot.report_page.parts import NOTHING, Material, card, drawing, folded, instant, listed, table
from bot.report_page.words import meaning

ALARMS_MAX = 200


def margin(made: Material) -> Html:
    """Distance to liquidation, leverage and exposure over time, with the bounds that were set."""
    moments = made.course.moments
    drawn: list[Html] = []
    if any(at.distance is not None for at in moments):
        drawn += [_distance(made), _leverage(made)]
    if any(at.exposure for at in moments):
        drawn.append(_exposure(made))
    if not drawn:
        held = "No perp was held: there was nothing to liquidate."
        drawn.append(element("p", held, class_="empty"))
    elif len(drawn) == 1:
        told = "This journal is older than the record of hourly extremes: the run's are below."
        drawn.append(element("p", told, class_="empty"))
    return card("Risk", *drawn, _facts(made), id_="risk")


def _distance(made: Material) -> Html:
    times, distances = _series(made, lambda at: at.distance)
    least = float(made.settings.risk.liquidation_distance_min)
    worst, when = min((d, t) for d, t in zip(distances, times, strict=True) if d is not None)
    near = f"Nearest {percent(worst, 1)} in the hour to {moment(when)}."
    drawn = chart(
        times,
        [Series("nearest", "c2", distances)],
        lambda value: percent(value, 0),
        told=f"Distance to liquidation over time. {near}",
        rules=[Rule(f"risk.liquidation_distance_min {percent(least, 0)}", least)],
        zero=True,
    )
    note = (
        "of the mark; the pair that was nearest, at the worst mark of each hour, inside bars too; "
        f"dashed: risk.liquidation_distance_min, {percent(least, 0)}"
    )
    return drawing("Distance to liquidation", drawn, note, near)


def _leverage(made: Material) -> Html:
    limits = made.settings.risk
    times, leverages = _series(made, lambda at: float(at.leverage) if at.leverage else None)
    worst, when = max((v, t) for v, t in zip(leverages, times, strict=True) if v is not None)
    high = f"Highest {worst:.2f}× in the hour to {moment(when)}."
    bounds = ("leverage_target", "leverage_guard", "leverage_cap")
    levels = [(name, float(getattr(limits, name))) for name in bounds]
    drawn = chart(
        times,
        [Series("highest", "c4", leverages)],
        lambda value: f"{value:.2g}×",
        told=f"Effective leverage over time. {high}",
        rules=[Rule(f"risk.{name} {value:g}", value) for name, value in levels],
    )
    dashed = ", ".join(f"{name.removeprefix('leverage_')} {value:g}×" for name, value in levels)
    note = f"perp notional over its margin, the highest of any pair in each hour; dashed: {dashed}"
    return drawing("Effective leverage", drawn, note, high)


def _series(
    made: Material, read: Callable[[Moment], float | None]
) -> tuple[list[int], list[float | None]]:
    moments = made.course.moments
    return [at.time_ns for at in moments], [read(at) for at in moments]


def _exposure(made: Material) -> Html:
    times, shares = _series(made, lambda at: float(at.exposure / at.equity) if at.equity else None)
    most = max(share for share in shares if share is not None)
    cap = float(made.settings.risk.total_exposure_max)
    drawn = chart(
        times,
        [Series("exposure", "c1", shares)],
        lambda value: percent(value, 0),
        told=f"Exposure as a share of equity over time, at most {percent(most, 1)}.",
        rules=[Rule(f"risk.total_exposure_max {percent(cap, 0)}", cap)],
        zero=True,
        filled=True,
    )
    note = (
        "notional of one leg over all pairs, of equity; dashed: the most that may be opened, "
        f"{percent(cap, 0)}"
    )
    return drawing("Exposure", drawn, note, f"At most {percent(most, 1)}.")


def _facts(made: Material) -> Html:
    risk = made.report["risk"]
    naked = f"{amount(Decimal(risk['max_naked_notional']))} {made.quote}"
    near, first = risk["min_liquidation_distance"], risk["max_effective_leverage"]
    held = risk["max_leverage_held"]
    return listed(
        [
            ("Liquidations", str(risk["liquidations"])),
            ("Nearest liquidation", NOTHING if near is None else f"{percent(near, 1)} of the mark"),
            ("Highest leverage at any mark", f"{held:.2f}×" if held else NOTHING),
            ("… after a fill that added risk", f"{first:.2f}×" if first else NOTHING),
            ("Most of one leg alone", f"{naked}, for at most {risk['max_naked_seconds']:.1f} s"),
        ]
    )


def trouble(made: Material) -> Html:
    """Limits that tripped, alarms that were raised, and the last of what happened."""
    limits = made.report["risk"]["limits_tripped"]
    if limits:
        tripped = listed((name, meaning(name) or "see its line below") for name in limits)
    else:
        tripped = element("p", "No limit tripped.")
    return card(
        "Limits, alarms and events",
        tripped,
        _alarms(made),
        _events(made),
        note="Limits stop entries, and never what reduces risk. Alarms are what a person would "
        "have been told in this run.",
        id_="events",
    )


def _alarms(made: Material) -> Html:
    alarms = made.alarms[-ALARMS_MAX:]
    if not alarms:
        return element("p", "No alarm was raised.")
    rows = [(instant(alarm.time_ns), alarm.alarm, alarm.detail) for alarm in alarms]
    kept = "" if len(alarms) == len(made.alarms) else f", the last {len(alarms)}"
    return folded(
        f"Alarms ({len(made.alarms)}{kept})",
        table(("when (UTC)", "alarm", "what"), rows, words=(0, 1, 2), told="Alarms"),
    )


def _events(made: Material) -> Html:
    happened = made.course.happened
    rows = [
        (instant(one.time_ns), element("span", one.what, class_=_LEVELS.get(one.level)))
        for one in happened
    ]
    return folded(
        f"What happened (the last {len(rows)} turning points)",
        table(("when (UTC)", "what"), rows, words=(0, 1), told="Turning points"),
    )


_LEVELS = {"alarm": "bad", "warning": "warn"}
