"""Bots for whoever looks on: a real one in a thread, and one that is whatever a test says it is."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bot import app
from bot.control import Bot, Control, Obeyed
from bot.record import Happening, Point
from bot.settings import Settings, Web
from bot.web.page import OrderLine, Page, page_of
from bot.web.serve import serving
from bot.web.tokens import Scope, Tokens
from domain.time import HOUR, MINUTE
from execution.facts import Role
from execution.ledger.pnl import PnL
from execution.orders import OrderState
from execution.risk.halts import ActiveLimit
from execution.snapshot import PairView
from tests.example_snapshot import HYPE, QUIET, SNAPSHOT

SECONDS = 20.0
replace = msgspec.structs.replace
T = TypeVar("T")

CALM = replace(SNAPSHOT, limits=(), unknown_orders=0)
POINTS = tuple(
    Point(
        hour * HOUR,
        Decimal(1000) + hour * (7 - hour % 5) / Decimal(10),
        PnL(funding=Decimal(hour) / 8, fees=Decimal("-0.31")),
    )
    for hour in range(40)
)
ORDERS = (
    OrderLine(
        50 * MINUTE,
        "HYPE#1",
        Role.HEDGE,
        "HYPE-PERP",
        "sell",
        Decimal(10),
        Decimal(10),
        Decimal("39.8"),
        OrderState.FILLED,
    ),
)
HAPPENED = (Happening(40 * MINUTE, "info", "HYPE#1 planned: carry pays"),)
PAGE = Page(CALM, False, (), ORDERS, HAPPENED, POINTS)
EMPTY = Page(
    replace(CALM, pairs=(QUIET,), orders={}, pnl=PnL(), equity=CALM.capital), False, (), (), (), ()
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Shown(Control):
    """Shows ``page``, whatever it is set to, and notes what it is told."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.page = page
        self.told: list[tuple[str, str, str]] = []
        self.asked = 0

    def ask(self, question: Callable[[Bot], T]) -> Future[T]:
        answer: Future[Any] = Future()
        if question is page_of:
            self.asked += 1
            answer.set_result(self.page)
        else:  # the only other question that a page asks by itself: the mode
            answer.set_result(self.page.snapshot.mode)
        return answer

    def tell(self, command: str, argument: str, actor: str) -> Future[Obeyed]:
        self.told.append((command, argument, actor))
        shown = self.page.snapshot
        answer: Future[Obeyed] = Future()
        answer.set_result(
            Obeyed(command, argument, actor, shown.time_ns, shown.mode, shown.state, (), ())
        )
        return answer


class Door(msgspec.Struct, frozen=True):
    """Where something is served, and the tokens that open it."""

    address: str
    folder: Path

    def token(self, scope: Scope = Scope.CONTROL) -> str:
        return Tokens(self.folder).of(scope)

    def link(self, scope: Scope = Scope.CONTROL) -> str:
        return f"{self.address}/#token={self.token(scope)}"


@contextmanager
def served(control: Control, folder: Path, port: int | None = None) -> Iterator[Door]:
    """A door to ``control``, once it is open."""
    folder.mkdir(mode=0o700, exist_ok=True)
    web = Web(port=port or free_port())
    with serving(control, folder, web, _unheard) as address:
        assert address is not None
        wait_for(lambda: _listens(web.port))
        yield Door(address, folder)


@contextmanager
def paper_bot(
    folder: Path, speed: float = 3600.0, pairs: tuple[str, ...] = ("SOL",)
) -> Iterator[Door]:
    """A real paper bot of its own thread."""
    web = Web(port=free_port())
    stop = threading.Event()
    request = app.RunRequest(
        mode="paper",
        feed="simulated",
        data=None,
        venue=None,
        pairs=pairs,
        start_ns=None,
        end_ns=None,
        duration_ns=None,
        bar=None,
        capital=Decimal(10_000),
        speed=speed,
        seed=1,
        settings=replace(Settings(), web=web),
        state=folder,
        metrics_port=None,
        steered=True,
        port_open=True,
    )
    failed: list[BaseException] = []

    def work() -> None:
        try:
            app.run(request, None, stop.is_set)
        except BaseException as error:  # noqa: BLE001 - the test is told at its end
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        wait_for(lambda: bool(failed) or _listens(web.port))
        yield Door(f"http://127.0.0.1:{web.port}", folder)
    finally:
        stop.set()
        thread.join(SECONDS)
        assert failed == []


def many(count: int, step: int = 0) -> tuple[PairView, ...]:
    """So many pairs, half of them with a trade; another ``step``, other figures everywhere."""
    moved = 1 + step % 97 / 1000
    pairs = []
    for at in range(count):
        base = HYPE if at % 2 else QUIET
        name = f"C{at:03}"
        pairs.append(
            replace(
                base,
                pair=name,
                trade_id=f"{name}#1" if at % 2 else None,
                notional=base.notional * Decimal(str(moved)),
                mark=40.0 * moved,
                spot_mid=39.9 * moved,
                basis=0.0025 * moved,
                funding_hourly=0.00005 * moved,
                forecast_hourly=0.00004 * moved,
                liquidation_distance=0.4 * moved if at % 2 else None,
                pnl=PnL(funding=Decimal(step) / 100) if at % 2 else PnL(),
                action="hold" if at % 2 else "wait",
                reason=f"carry_holds: net {step / 100:.2f} % over 14.0 d, forecast {moved:.3f} %",
            )
        )
    return tuple(pairs)


def wait_for(true: Callable[[], bool]) -> None:
    until = threading.Event()
    for _ in range(int(SECONDS / 0.02)):
        if true():
            return
        until.wait(0.02)
    raise AssertionError("it never came")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _unheard(what: str) -> None:
    raise AssertionError(what)


NAKED = replace(
    HYPE,
    naked_notional=Decimal("120.5"),
    naked_seconds=4.0,
    perp_quantity=Decimal(-7),
    net_delta=Decimal("3.01"),
)
HALTED = replace(
    PAGE,
    snapshot=replace(CALM, state="halted", limits=("drawdown",), pairs=(NAKED,), mismatches=2),
    limits=(ActiveLimit("drawdown", True, "lost 0.11 of the peak", 30 * MINUTE),),
    happened=(Happening(30 * MINUTE, "alarm", "limit drawdown tripped: lost 0.11"),),
)
