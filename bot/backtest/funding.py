"""Settled funding rates from ``funding/<venue>*.parquet``, one record a settlement."""

from collections.abc import Sequence
from pathlib import Path

from bot.backtest.bars import (
    TS_MS_MAX,
    DataError,
    Window,
    collected,
    reading,
    require_numbers,
)
from domain.instruments import Instrument
from domain.market import FundingSettled
from domain.rates import FundingRate
from domain.time import HOUR, MILLISECOND, MINUTE

# Venues stamp a settlement up to a second after its hour, never a minute before it.
_EARLY = MINUTE
# Of one settlement: hours since the last (records have gaps), and the fraction of notional paid.
_HOURS = 0.01, 10_000.0
_RATE_MAX = 1.0


def settlement_hour(time_ns: int) -> int:
    """Which whole hour, counted from 1970, a settlement stamped ``time_ns`` belongs to."""
    return (time_ns + _EARLY) // HOUR


def funding_files(directory: Path, venue: str) -> list[Path]:
    """The files of a venue: its name alone or followed by ``_``, in order of name."""
    paths = sorted((directory / "funding").glob("*.parquet"))
    return [path for path in paths if path.stem == venue or path.stem.startswith(f"{venue}_")]


def read_funding(
    directory: Path, perp: Instrument, symbol: str, window: Window
) -> list[FundingSettled]:
    """The settlements of one perp inside ``window``, in order, at the venue's own time stamps,
    none before the hour that it is of.

    A settlement that several files hold is taken from the first of them. A rate
    without an interval has the venue's usual one.

    Raises:
        DataError: when the venue has no file, or one cannot be read or holds an impossible one.
    """
    files = funding_files(directory, perp.venue)
    if not files:
        raise DataError(
            f"no funding for {perp.venue} under {directory / 'funding'}: "
            f"put {perp.venue}_<any name>.parquet there"
        )
    found: dict[int, FundingSettled] = {}
    for path in files:
        for stamp_ns, rate, hours in _rows(path, perp.venue, symbol, window):
            hour = settlement_hour(stamp_ns)
            time_ns = max(stamp_ns, hour * HOUR)  # before its hour it would be of the last one
            settled = FundingSettled(
                perp.id,
                FundingRate(rate, hours or float(perp.funding_interval_hours or 1)),
                time_ns,
                time_ns,
            )
            found.setdefault(hour, settled)
    return [found[hour] for hour in sorted(found)]


def _rows(
    path: Path, venue: str, symbol: str, window: Window
) -> Sequence[tuple[int, float, float | None]]:
    import polars as pl

    time_ms, rate, hours = pl.col("ts_ms"), pl.col("rate"), pl.col("interval_hours")
    with reading(path):
        frame = pl.scan_parquet(path)
        require_numbers(path, frame, ("ts_ms", "rate", "interval_hours"))
        rows = frame.filter(pl.col("symbol") == symbol, rate.is_finite())
        if "venue" in frame.collect_schema().names():
            rows = rows.filter(pl.col("venue") == venue)
        if window.start_ns is not None:
            rows = rows.filter(time_ms >= -(-window.start_ns // MILLISECOND))
        if window.end_ns is not None:
            rows = rows.filter(time_ms <= window.end_ns // MILLISECOND)
        columns = time_ms.cast(pl.Int64), rate.cast(pl.Float64), hours.cast(pl.Float64)
        found = collected(path, rows.select(*columns))
    sound = (
        time_ms.is_between(0, TS_MS_MAX)
        & rate.is_between(-_RATE_MAX, _RATE_MAX)
        & (hours.is_null() | hours.is_between(*_HOURS))
    )
    if len(bad := found.filter(~sound.fill_null(value=False))):
        raise DataError(
            f"{path}: {len(bad)} impossible settlements of {symbol} (the first: "
            f"{bad.row(0, named=True)}): repair or remove the file"
        )
    return [(ms * MILLISECOND, fraction, span) for ms, fraction, span in found.rows()]
