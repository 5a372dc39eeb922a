"""Runs that a page is made of: a real one on the generated market, and long ones made up."""

from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from html.parser import HTMLParser

import msgspec

from bot.app import RunRequest, RunResult, run
from bot.instruments import load_pairs
from bot.report import Closing, RiskFigures, build
from bot.report_page.course import course
from bot.report_page.page import material
from bot.report_page.parts import Material
from bot.settings import Settings
from domain.account import FundingPayment
from domain.instruments import Pair
from domain.money import ZERO, Money, decimal_of
from domain.orders import Fill, FillCause, Liquidity, OrderRequest, Side, TimeInForce
from domain.targets import Action, ExitCause, Target
from domain.time import HOUR
from execution.effects import RaiseAlarm
from execution.facts import (
    Decided,
    EquityMarked,
    Extremes,
    Fact,
    LimitTripped,
    OrderIntended,
    Retargeted,
    Role,
    RunStarted,
    Stage,
    StageChanged,
    TradePlanned,
)
from execution.state import State, apply

START = 1_735_689_600 * 1_000_000_000
PRICE = Decimal(20)


def generated(
    hours: int, seed: int = 1, settings: Settings | None = None
) -> tuple[RunResult, list[RaiseAlarm]]:
    """A paper run on the generated market, default settings if not given."""
    alarms: list[RaiseAlarm] = []
    settings = settings or Settings()
    request = RunRequest(
        mode="paper",
        feed="simulated",
        data=None,
        venue=None,
        pairs=None,
        start_ns=None,
        end_ns=None,
        duration_ns=hours * HOUR,
        bar=None,
        capital=settings.account.capital,
        speed=None,
        seed=seed,
        settings=settings,
        state=None,
        metrics_port=None,
    )
    return run(request, None, lambda: False, None, alarms.append), alarms


@cache
def traded() -> Material:
    """Days of the generated market in which pairs are opened and closed."""
    result, alarms = generated(90)
    return material(result, Settings(), alarms, "1.2.3")


class LongRun:
    """A year of hours over six pairs, with a trade every so often on each: all made up.

    ``say`` words what comes from outside, so that a test can put anything there.
    """

    def __init__(self, hours: int, every: int, say: str = "carry_pays: it pays") -> None:
        self.pairs = load_pairs("simulated")
        self.hours, self.every, self.say = hours, every, say
        self.state = State(self.pairs)
        self.facts: list[Fact] = []
        self.number = 0
        self.add(
            RunStarted(
                mode="backtest",
                venue="simulated",
                feed="replay:x",
                synthetic=True,
                seed=1,
                capital=Decimal(10_000),
                pairs=tuple(pair.name for pair in self.pairs),
                config_digest="0" * 64,
                time_ns=START,
            )
        )
        for hour in range(1, hours + 1):
            self.hour(hour, START + hour * HOUR)

    def add(self, *facts: Fact) -> None:
        for fact in facts:
            self.facts.append(fact)
            apply(self.state, fact)

    def hour(self, hour: int, now: int) -> None:
        for at, pair in enumerate(self.pairs):
            trade = self.state.trade_on(pair.name)
            if trade is None and (hour + at) % self.every == 0:
                self.open(pair, f"{pair.name}#{hour}", now)
            elif trade is not None and (hour + at) % self.every == self.every // 2:
                self.close(pair, trade.trade_id, now)
            elif trade is not None:
                rate = Decimal("0.0001") if hour % 3 else Decimal("-0.0001")
                self.pay(pair, rate, now)
            codes = ("carry_below_hurdle", "capital_used", "volatile", "thin_depth")
            held = self.state.trade_on(pair.name) is not None
            reason = self.say if held else f"{codes[(hour + at) % 4]}: {self.say}"
            action = Action.HOLD if held else Action.WAIT
            target = Target(pair.name, action, ZERO, reason, 1e-5, 1e-5, 720.0, 0.002, 0.0, 0.0)
            self.add(Decided(target, (), now))
        marks = {leg.id: PRICE for pair in self.pairs for leg in (pair.spot, pair.perp)}
        equity = self.state.books.equity(marks) + Decimal(10_000)
        near = 0.4 + 0.1 * ((hour * 7919) % 100) / 100
        worst = Extremes(ZERO, Decimal(2), near) if self.state.open_trades else Extremes()
        self.add(EquityMarked(equity, equity, ZERO, ZERO, ZERO, marks, now, worst, worst))

    def open(self, pair: Pair, name: str, now: int) -> None:
        plan = TradePlanned(
            name, pair.name, "spot", Decimal(10), 10 * PRICE, 2, self.say, self.say, self.say,
            Decimal(20), Decimal(30), Decimal(25), 1e-5, 2e-5, 0.002, (), now,
        )  # fmt: skip
        self.add(
            plan,
            StageChanged(name, Stage.WORKING, now),
        )
        self.fill(pair.spot.id, name, Side.BUY, now)
        self.fill(pair.perp.id, name, Side.SELL, now)
        self.add(StageChanged(name, Stage.HOLDING, now))

    def close(self, pair: Pair, name: str, now: int) -> None:
        self.add(
            Retargeted(name, ZERO, False, ExitCause.THESIS_CHANGED, self.say, now),
            StageChanged(name, Stage.WORKING, now),
        )
        self.fill(pair.spot.id, name, Side.SELL, now)
        self.fill(pair.perp.id, name, Side.BUY, now)
        self.add(StageChanged(name, Stage.CLOSED, now))

    def fill(self, instrument: str, trade: str, side: Side, now: int) -> None:
        self.number += 1
        cloid = f"c{self.number}"
        price = PRICE + decimal_of((self.number % 7) / 100)
        request = OrderRequest(
            cloid, instrument, side, Decimal(10), price, TimeInForce.IOC, False, now
        )
        fee = Money(Decimal("0.0731"), "USDC")
        fill = Fill(
            f"f{self.number}", cloid, instrument, side, price, Decimal(10), fee,
            Liquidity.TAKER, FillCause.ORDER, now, now,
        )  # fmt: skip
        self.add(OrderIntended(request, trade, Role.TAKE, PRICE, now), fill)

    def pay(self, pair: Pair, rate: Decimal, now: int) -> None:
        self.number += 1
        payment = Money(Decimal(10) * PRICE * rate, "USDC")
        self.add(
            FundingPayment(
                f"p{self.number}", pair.perp.id, Decimal(-10), PRICE, rate, 1, payment, now, now
            )
        )

    def material(self, **changes: object) -> Material:
        ended = START + self.hours * HOUR
        marks = {leg.id: PRICE for pair in self.pairs for leg in (pair.spot, pair.perp)}
        legs = [leg for pair in self.pairs for leg in (pair.spot, pair.perp)]
        coverage = [
            {
                "instrument": leg.id,
                "bar": "1h",
                "first_ns": START,
                "last_ns": ended,
                "bars": self.hours,
                "missing_bars": 0,
                "longest_gap_ns": 0,
                "zero_volume_share": 0.0,
                "junk_bars": 0,
                "capped_bars": 0,
                "funding_missing": 0,
                "delisted_ns": None,
                "note": self.say,
            }
            for leg in legs
        ]
        closing = Closing(ended, marks, RiskFigures(), coverage=coverage)
        made = Material(
            report=build(self.facts, self.state.books, self.pairs, closing),
            course=course(self.facts, self.pairs, ended),
            settings=Settings(),
            alarms=(RaiseAlarm("margin_guard", self.say, START),),
            version="1.2.3",
            interrupted=False,
            books={},
        )
        return msgspec.structs.replace(made, **changes)


def tripped(run: LongRun, limit: str, detail: str) -> None:
    run.add(LimitTripped(limit, True, detail, START + run.hours * HOUR))


class Read(HTMLParser):
    """A page as a program reads it: its tables, its attributes, its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self._caption: list[str] | None = None
        self._rows: list[list[str]] = []
        self._cell: list[str] | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self._rows = []
        elif tag == "caption":
            self._caption = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._cell = []

    def handle_endtag(self, tag: str) -> None:
        if tag == "caption" and self._caption is not None:
            self.tables["".join(self._caption)] = self._rows
            self._caption = None
        elif tag in ("td", "th") and self._cell is not None:
            self._rows[-1].append("".join(self._cell))
            self._cell = None

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        for kept in (self._caption, self._cell):
            if kept is not None:
                kept.append(data)

    def of(self, name: str) -> Iterator[dict[str, str | None]]:
        return (attributes for tag, attributes in self.tags if tag == name)
