"""Bars from ``prices/<venue>/<spot|perp>/<symbol>_<bar>[_window].parquet``, all windows merged.

polars reads the files and is imported only then; what leaves this module is
plain arrays. Nothing is filled: a missing bar stays missing.
"""

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from domain.instruments import Kind
from domain.time import DAY, HOUR, MILLISECOND, MINUTE

if TYPE_CHECKING:
    import polars as pl

COLUMNS = ("open", "high", "low", "close", "volume")
TS_MS_MAX = 9_000_000_000_000
"""Of the year 2255: in nanoseconds, as long as an integer may be."""
_MOST = 1e18
"""A price or volume beyond this, or a price below its inverse, is none."""
_RANGE_MAX = 100
"""High over low: the road through a bar (``path``) is as long as this ratio."""
_UNITS = {"m": MINUTE, "h": HOUR, "d": DAY}


class DataError(Exception):
    """History that cannot be used. One line: what is wrong, where, and what to do."""


class Bars(msgspec.Struct, frozen=True):
    """Columns of equal length in order of time; ``time_ns`` is each bar's open.

    Prices quote per base, ``volume`` base units.
    """

    time_ns: Sequence[int]
    open: Sequence[float]
    high: Sequence[float]
    low: Sequence[float]
    close: Sequence[float]
    volume: Sequence[float]

    def __len__(self) -> int:
        return len(self.time_ns)


class Window(msgspec.Struct, frozen=True):
    """From ``start_ns`` to before ``end_ns``; None is open."""

    start_ns: int | None
    end_ns: int | None

    def __str__(self) -> str:
        from domain.time import iso

        start = "the beginning" if self.start_ns is None else iso(self.start_ns)
        end = "the end" if self.end_ns is None else iso(self.end_ns)
        return f"from {start} to {end}"


def parse_bar(text: str) -> int:
    """The length of a bar in nanoseconds.

    >>> parse_bar("15m") // MINUTE
    15

    Raises:
        DataError: when it is not a number and m, h or d.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,3})([mhd])", text)
    if match is None:
        raise DataError(f"bar {text!r} is not a length: write 1m, 5m, 15m, 1h")
    return int(match[1]) * _UNITS[match[2]]


def bar_name(bar_ns: int) -> str:
    """The shortest name of a bar length.

    >>> bar_name(parse_bar("60m"))
    '1h'
    """
    unit = next(name for name in ("d", "h", "m") if bar_ns % _UNITS[name] == 0)
    return f"{bar_ns // _UNITS[unit]}{unit}"


def find_files(directory: Path, venue: str, kind: Kind, symbol: str) -> dict[int, list[Path]]:
    """The files of one symbol by the length of their bars, finest first, in order of name."""
    pattern = re.compile(re.escape(symbol) + r"_([1-9]\d*[mhd])(_.*)?\.parquet")
    found: dict[int, list[Path]] = {}
    for path in sorted((directory / "prices" / venue / kind).glob("*.parquet")):
        if match := pattern.fullmatch(path.name):
            found.setdefault(parse_bar(match[1]), []).append(path)
    return dict(sorted(found.items()))


def are_invented(files: Iterable[Path]) -> bool:
    """Whether some hold what an exchange on this machine made up, as their names say."""
    return any(path.stem.endswith("_synthetic") for path in files)


def count_bars(files: Sequence[Path], bar_ns: int, window: Window) -> int:
    """How many bars lie wholly inside ``window``."""
    return len(_merged(files, bar_ns, window, ()))


def read_bars(files: Sequence[Path], bar_ns: int, window: Window) -> Bars:
    """The bars of ``files`` that lie wholly inside ``window``; the first file wins a repeated bar.

    Raises:
        DataError: a file cannot be read, lacks a column, or holds an impossible bar.
    """
    frame = _merged(files, bar_ns, window, COLUMNS)
    _refuse_impossible(frame, files, bar_ns)
    times = array("q", frame["ts_ms"].to_list())
    prices = (array("d", frame[name].to_list()) for name in COLUMNS)
    return Bars(array("q", [ms * MILLISECOND for ms in times]), *prices)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever polars says about a bad file into one DataError that names it."""
    import polars as pl

    try:
        yield
    except pl.exceptions.ColumnNotFoundError as error:
        column = str(error).splitlines()[0]
        raise DataError(f"{path} has no column {column}: see the layout in the docs") from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = (str(error).splitlines() or ["unreadable"])[0]
        raise DataError(f"{path} is not readable Parquet ({reason}): replace it") from None


def require_numbers(path: Path, frame: "pl.LazyFrame", columns: Sequence[str]) -> None:
    """Raises DataError where a column is missing or holds something else; all empty is allowed."""
    schema = frame.collect_schema()
    for name in columns:
        if name not in schema:
            raise DataError(f"{path} has no column {name!r}: see the layout in the docs")
        if not (schema[name].is_numeric() or str(schema[name]) == "Null"):
            raise DataError(f"{path}: column {name!r} holds {schema[name]} and no numbers")


def collected(path: Path, rows: "pl.LazyFrame") -> "pl.DataFrame":
    """Raises DataError where the columns of a damaged file differ in length: polars looks away."""
    frame = rows.collect()
    if any(len(column) != frame.height for column in frame.get_columns()):
        raise DataError(f"{path} is not readable Parquet (columns differ in length): replace it")
    return frame


def _merged(
    files: Sequence[Path], bar_ns: int, window: Window, columns: Sequence[str]
) -> "pl.DataFrame":
    import polars as pl

    time = pl.col("ts_ms")
    parts = []
    for path in files:
        with reading(path):
            frame = pl.scan_parquet(path)
            require_numbers(path, frame, ("ts_ms", *columns))
            part = frame.select(
                time.cast(pl.Int64), *(pl.col(name).cast(pl.Float64) for name in columns)
            )
            # In milliseconds: an impossible time in nanoseconds would come out as a possible one.
            if window.start_ns is not None:
                part = part.filter(time >= -(-window.start_ns // MILLISECOND))
            if window.end_ns is not None:
                part = part.filter(time <= (window.end_ns - bar_ns) // MILLISECOND)
            parts.append(collected(path, part))
    return pl.concat(parts).unique("ts_ms", keep="first", maintain_order=True).sort("ts_ms")


def _refuse_impossible(frame: "pl.DataFrame", files: Sequence[Path], bar_ns: int) -> None:
    import polars as pl

    low, high = pl.min_horizontal("open", "close"), pl.max_horizontal("open", "close")
    sound = (
        pl.all_horizontal(pl.col(COLUMNS).is_finite())
        & (pl.col("low") > 1 / _MOST)
        & (pl.col("low") <= low)
        & (pl.col("high") >= high)
        & (pl.col("high") < _MOST)
        & (pl.col("high") <= pl.col("low") * _RANGE_MAX)
        & pl.col("volume").is_between(0, _MOST)
        & pl.col("ts_ms").is_between(0, TS_MS_MAX)
        & (pl.col("ts_ms") * MILLISECOND % bar_ns == 0)
    )
    if len(bad := frame.filter(~sound.fill_null(value=False))):
        raise DataError(
            f"{files[0].name} and its other windows: {len(bad)} impossible bars (the first at "
            f"ts_ms {bad['ts_ms'][0]}: {bad.row(0)[1:]}): repair or remove the file"
        )
