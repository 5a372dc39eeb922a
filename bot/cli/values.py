"""Reads what a person typed. Each reader raises ``ValueError`` saying what would be right."""

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeVar, overload

from bot.cli.errors import CommandError
from domain.names import pair_name
from domain.time import DAY, HOUR, MINUTE, SECOND, parse_instant

_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_BARS = ("1m", "5m", "15m", "1h")
_MAGNITUDE_MAX = 30  # powers of ten, either way
_SHOWN = 60  # characters of a value: longer ones are none
_FEEDS = "simulated, hyperliquid, or replay:DIR"


Value = TypeVar("Value")


@overload
def read(option: str, reader: Callable[[str], Value], text: str) -> Value: ...
@overload
def read(option: str, reader: Callable[[str], Value], text: None) -> None: ...
def read(option: str, reader: Callable[[str], Value], text: str | None) -> Value | None:
    """The value of one option; None where it was not given.

    Raises:
        CommandError: naming the option, where its text is not what ``reader`` reads.
    """
    if text is None:
        return None
    try:
        return reader(text)
    except ValueError as error:
        raise CommandError(f"{option}: {error}") from None


def duration(text: str) -> int:
    """Nanoseconds of ``90s``, ``30m``, ``24h``, ``2d``, ``1w``, or several: ``1d12h``.

    >>> duration("1d12h") == 36 * HOUR
    True
    """
    compact = text.strip().lower()
    if not re.fullmatch(r"([0-9]{1,9}(\.[0-9]{1,9})?[smhdw]){1,5}", compact):
        raise ValueError(f"{text[:_SHOWN]!r} is not a duration: write 90s, 30m, 24h, 2d or 1d12h")
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhdw])", compact)
    total = int(sum((Decimal(number) * _UNITS[unit] for number, unit in parts), Decimal(0)))
    if total <= 0:
        raise ValueError(f"{text!r} is no time at all: give more than zero")
    return total


def instant(text: str) -> int:
    """Nanoseconds since 1970 of an ISO date or date-time, UTC unless it says otherwise."""
    try:
        time_ns = parse_instant(text.strip())
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a date: write 2025-02-15 or 2025-02-15T08:00") from None
    if time_ns < 0:
        raise ValueError(f"{text!r} is before 1970, as no history is")
    return time_ns


def number(text: str) -> Decimal:
    """A finite decimal number within reason; ``10_000`` is allowed, a comma is not."""
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        hint = ": write a fraction, 0.02 for 2 %" if "%" in text else ""
        raise ValueError(f"{text!r} is not a number{hint}") from None
    if not value.is_finite():
        raise ValueError(f"{text!r} is not a finite number")
    if abs(value.adjusted()) > _MAGNITUDE_MAX or len(text) > _SHOWN:
        raise ValueError(f"{text[:_SHOWN]!r} is a number beyond all reason")
    return value


def positive(text: str) -> Decimal:
    value = number(text)
    if value <= 0:
        raise ValueError(f"must be more than zero, got {text}")
    return value


def not_negative(text: str) -> Decimal:
    value = number(text)
    if value < 0:
        raise ValueError(f"must not be negative, got {text}")
    return value


def share(text: str) -> Decimal:
    """A fraction above zero and below one: 0.02 is 2 %."""
    value = positive(text)
    if value >= 1:
        raise ValueError(f"must be a fraction below 1 (0.02 is 2 %), got {text}")
    return value


def pair_names(text: str) -> tuple[str, ...]:
    """``BTC,HYPE`` as its names, each once, in the order given.

    >>> pair_names("btc, HYPE, kBONK")
    ('BTC', 'HYPE', 'kBONK')
    """
    names = [pair_name(name) for name in text.split(",")]
    if not all(re.fullmatch(r"k?[A-Z0-9]+", name) for name in names):
        raise ValueError(f"{text!r} is not a list of pairs: write BTC or BTC,HYPE")
    if repeated := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ValueError(f"{repeated[0]} is named twice in {text!r}")
    return tuple(names)


def speed(text: str) -> float | None:
    """Simulated seconds per second; None is ``max``, as fast as it goes."""
    if text.strip().lower() == "max":
        return None
    try:
        return float(positive(text))
    except ValueError:
        raise ValueError(
            f"{text!r} is not a speed: write max, or simulated seconds per second (14400 is 4 h/s)"
        ) from None


def whole(text: str) -> int:
    """A whole number, zero or more."""
    if not re.fullmatch(r"\d{1,18}", text.strip()):
        raise ValueError(f"{text!r} is not a whole number, zero or more")
    return int(text)


def bar(text: str) -> str:
    if text not in _BARS:
        raise ValueError(f"{text!r} is not a bar: choose from {', '.join(_BARS)}")
    return text


def feed(text: str) -> tuple[str, Path | None]:
    """The kind of feed, and the directory it is read from where there is one."""
    kind, _, rest = text.strip().partition(":")
    if kind == "simulated" and not rest:
        return "simulated", None
    if kind == "hyperliquid" and not rest:
        return kind, None
    if kind == "replay" and rest:
        return "replay", existing_directory(rest)
    raise ValueError(f"{text!r} is not a feed: choose {_FEEDS}")


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{text!r}: there is no such user, or none with a home") from None


def existing_directory(text: str) -> Path:
    path = _path(text)
    if not path.is_dir():
        raise ValueError(f"no directory {str(path)!r}")
    return path


def existing_file(text: str) -> Path:
    path = _path(text)
    if not path.is_file():
        raise ValueError(f"no file {str(path)!r}")
    return path


def writable_file(text: str) -> Path:
    """A file that can be written later, or ``-`` for standard output; judged before the work."""
    path = _path(text)
    if text == "-":
        return path
    if path.is_dir():
        raise ValueError(f"{text!r} is a directory: name a file in it")
    if not path.parent.is_dir():
        raise ValueError(f"no directory {str(path.parent)!r} to write {path.name!r} into")
    there = path.exists()
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        raise ValueError(f"{text!r} cannot be written: {error.strerror}") from None
    if not there:
        path.unlink()
    return path


def writable_page(text: str) -> Path:
    """A file that can be written later; standard output has the summary."""
    if text == "-":
        raise ValueError("a page needs a file: name one, such as report.html")
    return writable_file(text)


def writable_directory(text: str) -> Path:
    """A directory to write into, made if it is not there; judged before the work."""
    path = _path(text)
    if path.exists() and not path.is_dir():
        raise ValueError(f"{text!r} is a file: name a directory")
    try:
        path.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ValueError(f"{text!r} cannot be written: {error.strerror}") from None
    return path


def window(start: str | None, end: str | None) -> tuple[int | None, int | None]:
    """``--from`` and ``--to``, nanoseconds.

    Raises:
        CommandError: one is no instant, or the end is not after the start.
    """
    start_ns, end_ns = read("--from", instant, start), read("--to", instant, end)
    if start_ns is not None and end_ns is not None and end_ns <= start_ns:
        raise CommandError(f"--to {end} is not after --from {start}")
    return start_ns, end_ns


Files = tuple[Path | None, Path | None, Path | None, Path | None]


def files(config: str | None, json: str | None, export: str | None, report: str | None) -> Files:
    """``--config``, ``--json``, ``--export`` and ``--report`` of a run.

    Raises:
        CommandError: one cannot be read or written, or two are the same.
    """
    config_file = read("--config", existing_file, config)
    answer = read("--json", writable_file, json)
    folder = read("--export", writable_directory, export)
    page = read("--report", writable_page, report)
    require_apart(config=config_file, json=answer, export=folder, report=page)
    return config_file, answer, folder, page


def require_apart(**paths: Path | None) -> None:
    """Raises ``CommandError`` where two options name one place: the second would overwrite it."""
    named: dict[Path, str] = {}
    for option, path in paths.items():
        if path is None or path == Path("-"):
            continue
        before = named.setdefault(path.resolve(), option)
        if before != option:
            raise CommandError(f"--{before} and --{option} both name {path}: give each its own")


def address(text: str) -> str:
    """An account's address, in small letters; what is none is not repeated, since it may be a key.

    >>> address("0x" + "A" * 40) == "0x" + "a" * 40
    True
    """
    lower = text.lower()
    if not re.fullmatch(r"0x[0-9a-f]{40}", lower):
        raise ValueError("not an address: 0x and 40 hex digits are one")
    return lower


def base_url(text: str) -> str:
    """A venue's address: https:// and a host; http:// on this machine alone."""
    from bot.transport import endpoints

    return endpoints(text.strip())[0]
