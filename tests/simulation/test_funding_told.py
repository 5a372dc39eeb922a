"""Funding that is expected to be another than it was is told, once for each such change."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from domain.targets import Target
from domain.time import HOUR
from execution.effects import RaiseAlarm
from strategies.market.state import Market
from strategies.strategy import Holding
from tests.scripted import START, Scripted, Told, World


class Foreseeing(Told):
    """Expects 0.0001 an hour, give or take 0.00002, and ``later`` from two hours on."""

    def __init__(self, later: float) -> None:
        super().__init__()
        self._later = later

    def targets(
        self, market: Market, holdings: Mapping[str, Holding], equity: Decimal, now_ns: int
    ) -> tuple[Target, ...]:
        (told,) = super().targets(market, holdings, equity, now_ns)
        hourly = self._later if now_ns >= START + 2 * HOUR else 0.0001
        return (msgspec.structs.replace(told, forecast_hourly=hourly, forecast_error=0.00002),)


def alarms_of(later: float) -> list[RaiseAlarm]:
    alarms: list[RaiseAlarm] = []
    world = World(Scripted(lambda _: 20.0, hours=6), Foreseeing(later))
    world._on_alarm = alarms.append
    world.run(6)
    return [alarm for alarm in alarms if alarm.alarm == "funding_changed"]


def test_a_change_of_more_than_an_error_is_told_once() -> None:
    (alarm,) = alarms_of(0.00007)
    assert alarm.time_ns == START + 2 * HOUR
    assert alarm.detail == "HYPE#1: 61.3 ± 17.5 % a year is expected, 87.6 before"


def test_a_rise_is_told_as_a_fall_is() -> None:
    assert len(alarms_of(0.00015)) == 1


def test_a_change_within_an_error_is_noise() -> None:
    assert alarms_of(0.000085) == []
