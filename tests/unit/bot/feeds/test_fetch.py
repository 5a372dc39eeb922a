"""History fetched from an exchange: whole files, gone on with, and read by a backtest."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bot import emulation
from bot.backtest.bars import DataError
from bot.backtest.history import open_history
from bot.clock import SteadyClock
from bot.feeds import fetch as fetching
from bot.feeds.fetch import Budget, Fetched, Part, Wanted, fetch
from bot.run import RunError, Stopped
from domain.time import DAY, HOUR, MINUTE
from execution.ports import TransportFailed
from execution.venues.hyperliquid.info import Info
from tests.unit.bot.feeds.emulated import ACCOUNT

Fundarb = Callable[..., Any]
FREE = Budget(1e9)
BAR = 15 * MINUTE


@asynccontextmanager
async def exchange() -> AsyncIterator[str]:
    """With a day of candles and sixty of funding."""
    serving = emulation.emulate(
        accounts=[emulation.Account(ACCOUNT, {"spot.USDC": Decimal(1)})],
        unified=True,
        seed=1,
        speed=1.0,
        clock=SteadyClock().now_ns,
        port=0,
    )
    async with serving as url:
        yield url


def wanted(start_ns: int | None = None, end_ns: int | None = None) -> Wanted:
    return Wanted(("HYPE",), BAR, start_ns, end_ns)


def nothing(_part: Part, _share: float, _rows: int) -> None: ...


async def fetched(url: str, folder: Path, what: Wanted) -> dict[str, Fetched]:
    files = await fetch(url, folder, what, nothing, lambda: False, FREE)
    return {file.kind: file for file in files}


def times(file: Fetched) -> list[int]:
    frame = fetching._read(file.path)
    assert frame is not None
    return [int(ms) for ms in frame["ts_ms"]]


async def test_what_is_fetched_is_whole_goes_on_and_runs_in_a_backtest(tmp_path: Path) -> None:
    now_ns = SteadyClock().now_ns()
    async with exchange() as url:
        early = await fetched(url, tmp_path, wanted(end_ns=now_ns - 12 * HOUR))
        files = await fetched(url, tmp_path, wanted())
        again = await fetched(url, tmp_path, wanted())

    assert early["perp"].rows < files["perp"].rows
    assert [file.added for file in again.values()] == [0, 0, 0]
    for kind in ("spot", "perp"):
        opens = times(files[kind])
        assert len(opens) >= 94
        assert {b - a for a, b in pairwise(opens)} == {BAR // 1_000_000}
        assert opens[-1] * 1_000_000 + BAR <= now_ns + MINUTE  # none that is not over
    assert times(files["funding"]) == sorted(set(times(files["funding"])))
    assert files["funding"].rows > 59 * 24

    source = open_history(tmp_path, "hyperliquid", ("HYPE",), bar="15m")
    assert source.synthetic  # it came from this machine
    assert [part.missing_bars for part in source.coverage] == [0, 0]
    assert [part.funding_missing for part in source.coverage] == [None, 0]


async def test_an_interrupted_fetch_goes_on_and_comes_to_the_same(tmp_path: Path) -> None:
    seen: list[Part] = []

    def watch(part: Part, share: float, _rows: int) -> None:
        seen.append(part)

    what = wanted(end_ns=SteadyClock().now_ns())  # or a bar may end between two of these
    async with exchange() as url:
        whole = await fetched(url, tmp_path / "whole", what)
        with pytest.raises(Stopped):
            await fetch(url, tmp_path / "cut", what, watch, lambda: len(seen) > 4, FREE)
        kept = sorted(path.name for path in (tmp_path / "cut").rglob("*") if path.is_file())
        rest = await fetched(url, tmp_path / "cut", what)

    assert 0 < len(kept) <= 3
    assert all(not name.startswith(".") for name in kept)
    for kind in whole:
        assert times(rest[kind]) == times(whole[kind])


async def test_what_is_missing_before_a_file_begins_is_fetched_as_one(tmp_path: Path) -> None:
    now_ns = SteadyClock().now_ns()
    async with exchange() as url:
        late = await fetched(url, tmp_path, wanted(now_ns - 6 * HOUR, now_ns))
        both = await fetched(url, tmp_path, wanted(end_ns=now_ns))
        whole = await fetched(url, tmp_path / "whole", wanted(end_ns=now_ns))

    assert late["perp"].rows < 30
    for kind in whole:
        assert times(both[kind]) == times(whole[kind])


async def test_what_was_missing_before_a_file_is_put_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import polars as pl

    asked: list[str] = []
    page = Info.funding_page

    async def counted(info: Info, coin: str, since_ms: int) -> Any:
        asked.append(coin)
        return await page(info, coin, since_ms)

    async with exchange() as url:
        funding = (await fetched(url, tmp_path, wanted()))["funding"]
        whole = times(funding)
        pl.read_parquet(funding.path).tail(10).write_parquet(funding.path)
        monkeypatch.setattr(Info, "funding_page", counted)
        with pytest.raises(Stopped):
            await fetch(url, tmp_path, wanted(), nothing, lambda: len(asked) > 1, FREE)
        kept = times(funding)
        await fetched(url, tmp_path, wanted())

    assert kept == whole[-10:]
    assert times(funding) == whole


def test_a_file_that_cannot_be_written_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import polars as pl

    path = tmp_path / "x.parquet"
    fetching._written(path, [fetching._frame({"ts_ms": [1]})])
    before = path.read_bytes()

    def cut_off(_frame: pl.DataFrame, target: Path) -> None:
        target.write_bytes(b"PAR1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", cut_off)
    with pytest.raises(OSError, match="No space left"):
        fetching._written(path, [fetching._frame({"ts_ms": [1, 2]})])
    assert path.read_bytes() == before


async def test_nothing_to_fetch_is_told(tmp_path: Path) -> None:
    now_ns = SteadyClock().now_ns()
    async with exchange() as url:
        with pytest.raises(RunError, match="no bar is over in the time that was asked for"):
            await fetched(url, tmp_path, wanted(start_ns=now_ns + DAY))
        (tmp_path / "prices" / "hyperliquid" / "spot").mkdir(parents=True)
        bad = tmp_path / "prices" / "hyperliquid" / "spot" / "HYPE_15m_synthetic.parquet"
        bad.write_text("no parquet")
        with pytest.raises(DataError, match="is not readable Parquet"):
            await fetched(url, tmp_path, wanted())
    assert bad.read_text() == "no parquet"


async def test_a_venue_that_goes_away_leaves_what_was_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_ATTEMPTS", 1)
    async with exchange() as url:
        asked = Info.funding_page

        async def gone(*_: object) -> Any:
            raise TransportFailed("nothing within 10 s")

        monkeypatch.setattr(Info, "funding_page", gone)
        with pytest.raises(RunError, match="What was fetched is kept: the same command goes on"):
            await fetched(url, tmp_path, wanted())
        monkeypatch.setattr(Info, "funding_page", asked)
        files = await fetched(url, tmp_path, wanted())

    assert files["perp"].added == 0
    assert files["funding"].added > 0


class Counted(Budget):
    """Lets everything pass, and knows what it weighed."""

    spent = 0.0

    async def spend(self, weight: float) -> None:
        self.spent += weight


async def test_every_request_and_every_row_weighs(tmp_path: Path) -> None:
    budget = Counted(1.0)
    async with exchange() as url:
        files = await fetch(url, tmp_path, wanted(), nothing, lambda: False, budget)

    rows = {file.kind: file.rows for file in files}
    answers = 3  # one a file at the least
    assert budget.spent >= 20 * answers + rows["funding"] / 20 + (rows["spot"] + rows["perp"]) / 60


async def test_requests_wait_until_the_venue_allows_them() -> None:
    import asyncio

    budget, loop = Budget(60_000.0), asyncio.get_running_loop()
    began = loop.time()
    for _ in range(4):
        await budget.spend(2_000.0)  # two seconds each, five of which are there at the start

    assert loop.time() - began == pytest.approx(3.0, abs=1.0)


def test_the_command_says_what_it_was_asked_wrongly(fundarb: Fundarb) -> None:
    for line, said in (
        ("data fetch", "Missing option '--data'"),
        ("data fetch --data x --bar 2h", "--bar: '2h' is not a bar"),
        ("data fetch --data x --url http://10.0.0.1", "is not encrypted"),
        ("data fetch --data x --from 2025-02-01 --to 2025-01-01", "is not after --from"),
        ("data fetch --data x --pairs NOSUCH --url http://127.0.0.1:9", "'NOSUCH' is no pair"),
        ("data fetch --data x --url http://127.0.0.1:9", "does not answer as Hyperliquid"),
    ):
        answer = fundarb(*line.split())
        assert (answer.code, answer.out) == (2, ""), line
        assert said in answer.err
