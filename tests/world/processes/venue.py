"""The venue as a process: the emulator on a socket, a wild market in real time, and a back door.

``python -m tests.world.processes.venue --seed N`` says its addresses and runs until it is killed.
The back door is the test's own: ``GET /history`` is all that has arrived and happened,
``GET /account`` the account and the prices, ``POST /deleverage`` takes half of a short away.
"""

import argparse
import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from decimal import Decimal

import msgspec
from aiohttp import web

from domain.account import AccountReport, Cashflow, FundingPayment
from domain.instruments import Instrument, Pair
from domain.market import FundingSettled, MarketInput
from domain.money import ZERO, decimal_of
from domain.orders import Fill
from domain.time import HOUR, MILLISECOND, SECOND
from execution.venues.hyperliquid.emulator.emulator import Emulator
from execution.venues.hyperliquid.emulator.received import Received
from execution.venues.hyperliquid.emulator.server import serve
from execution.venues.simulated.exchange import Exchange
from execution.venues.simulated.rules import VenueRules
from tests.world.market import WildMarket
from tests.world.processes.child import end_with_parent, say
from tests.world.world import ACCOUNT, CAPITAL, PAIRS, TRADER, WATCHDOG

STEP_NS = 500 * MILLISECOND
_HISTORY_HOURS = 24


class Account(msgspec.Struct, frozen=True):
    """The account at this moment; ``mids`` by instrument id, as far as there are any."""

    now_ns: int
    report: AccountReport
    mids: dict[str, Decimal]


class VenueHistory(msgspec.Struct, frozen=True):
    """All that arrived, and all that happened to the account, from the start."""

    received: list[Received]
    private: list[Fill | FundingPayment | Cashflow]
    account: Account


class RealTime:
    """``MarketSource`` of a market that goes on for ever, a step every half second."""

    name, venue, synthetic = "wild", "hyperliquid", True
    cadence_ns = STEP_NS
    end_ns: int | None = None

    def __init__(self, market: WildMarket, start_ns: int) -> None:
        self._market, self.start_ns = market, start_ns
        self.pairs: tuple[Pair, ...] = market.pairs

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return tuple(leg for pair in self.pairs for leg in (pair.perp, pair.spot))

    def history(self) -> Iterable[FundingSettled]:
        return self._market.history(_HISTORY_HOURS)

    def events(self, after_ns: int) -> Iterator[MarketInput]:
        at_ns = after_ns
        while True:
            at_ns += STEP_NS
            yield from self._market.step(at_ns)

    def between(
        self, instruments: Collection[str], after_ns: int, before_ns: int
    ) -> Sequence[MarketInput]:
        return ()


class BackDoor:
    """What the test may ask of the venue, and do to the account, past the wire."""

    def __init__(self, emulator: Emulator, now_ns: Callable[[], int]) -> None:
        self._emulator, self._now_ns = emulator, now_ns

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        application = web.Application()
        application.router.add_get("/history", self._history)
        application.router.add_get("/account", self._account)
        application.router.add_post("/deleverage", self._deleverage)
        runner = web.AppRunner(application)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    def account(self) -> Account:
        exchange, now_ns = self._emulator.exchange, self._now_ns()
        mids = {name: market.mid for name, market in exchange._markets.items()}
        known = {name: decimal_of(mid) for name, mid in mids.items() if mid is not None}
        return Account(now_ns, exchange.account_report(None, now_ns), known)

    async def _account(self, _: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(self.account()))

    async def _history(self, _: web.Request) -> web.Response:
        private = self._emulator.exchange.private_since(0)
        history = VenueHistory(self._emulator.received, private, self.account())
        return web.Response(body=msgspec.json.encode(history))

    async def _deleverage(self, _: web.Request) -> web.Response:
        """Half of the largest short that can be deleveraged; 409 where there is none."""
        account = self.account()
        can = [p for p in account.report.positions if p.quantity < ZERO < p.margin]
        if not can:
            return web.Response(status=409)
        most = max(can, key=lambda position: -position.quantity * position.mark)
        self._emulator.auto_deleverage(most.instrument, Decimal("0.5"), most.mark, self._now_ns())
        return web.Response(text=most.instrument)


async def run(seed: int) -> None:
    start_ns = time.time_ns()
    market = WildMarket(PAIRS, start_ns // HOUR * HOUR, seed)
    source = RealTime(market, start_ns - SECOND)
    exchange = Exchange(source.instruments, VenueRules(), {"USDC": CAPITAL}, start_ns - SECOND)
    agents = {TRADER.address: None, WATCHDOG.address: None}
    emulator = Emulator(exchange, PAIRS, ACCOUNT, agents, history=source.history())
    async with (
        serve(emulator, source, time.time_ns) as url,
        BackDoor(emulator, time.time_ns).open() as back_door,
    ):
        say(url=url, back_door=back_door)
        await asyncio.Event().wait()


def main() -> None:
    end_with_parent()
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    asyncio.run(run(parser.parse_args().seed))


if __name__ == "__main__":
    main()
