"""Charts as SVG inside HTML: the drawing takes any width, the words beside it stay readable.

Ticks are evenly spaced from edge to edge, so that plain text beside the drawing can name them.
Long series are thinned by ``thin``, which keeps every extreme.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby, pairwise
from math import ceil, floor, log10

import msgspec

from bot.report_page.markup import Html, element
from domain.time import DAY, SECOND

WIDTH, HEIGHT = 1_000, 260
_COLUMNS = 320  # into which a series is thinned: first, lowest, highest and last of each
_STOPS = 72  # stretches of a chart that tell their figures to a pointer
_SPANS = 200  # columns of a strip
_STEPS = 4  # between the ticks of a scale, or a few more
_SIZES = (1.0, 2.0, 2.5, 5.0, 10.0)

Value = float | None
Show = Callable[[float], str]
Place = Callable[[float], float]


class Series(msgspec.Struct, frozen=True):
    """One line. ``style`` is its class, ``values`` None where there are none."""

    name: str
    style: str
    values: Sequence[Value]


class Rule(msgspec.Struct, frozen=True):
    """A level that means something, drawn across."""

    name: str
    value: float


class Event(msgspec.Struct, frozen=True):
    """An instant that means something, drawn upright."""

    time_ns: int
    name: str
    style: str


class Scale(msgspec.Struct, frozen=True):
    """``steps`` steps of ``step`` up from ``low``; both ends are ticks."""

    low: float
    step: float
    steps: int

    @property
    def high(self) -> float:
        return self.low + self.step * self.steps

    def ticks(self) -> list[float]:
        """From the top down."""
        return [self.low + self.step * i for i in range(self.steps, -1, -1)]


def scale(low: float, high: float) -> Scale:
    """Round ticks around ``low`` and ``high``.

    >>> scale(9_991.0, 10_213.0).ticks()
    [10300.0, 10200.0, 10100.0, 10000.0, 9900.0]
    """
    if high - low <= max(1e-9 * max(abs(low), abs(high)), 1e-12):  # flat
        pad = abs(low) * 0.01 or 1.0
        low, high = low - pad, high + pad
    rough = (high - low) / _STEPS
    unit = 10.0 ** floor(log10(rough))
    step = unit * next(size for size in _SIZES if size * unit >= rough * 0.999)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return Scale(first * step, step, max(last - first, 1))


def thin(values: Sequence[Value], columns: int = _COLUMNS) -> list[int]:
    """Places to keep: of each of ``columns`` equal parts the first, lowest, highest and last.

    Where values begin or end is kept too: a line never bridges what is not there.

    >>> thin([0.0, 5.0, 1.0, 2.0, -3.0, 2.0, 1.0, 1.0, 1.0], columns=2)
    [0, 1, 3, 4, 5, 8]
    """
    count = len(values)
    if count <= 4 * columns:
        return list(range(count))
    kept: set[int] = set()
    for column in range(columns):
        first, end = column * count // columns, (column + 1) * count // columns
        kept |= {first, end - 1}
        there = [(value, at) for at in range(first, end) if (value := values[at]) is not None]
        if there:
            kept |= {min(there)[1], max(there)[1]}
    for at, (before, after) in enumerate(pairwise(values)):
        if (before is None) != (after is None):
            kept |= {at, at + 1}
    return sorted(kept)


def chart(
    times: Sequence[int],
    lines: Sequence[Series],
    show: Show,
    *,
    told: str,
    rules: Sequence[Rule] = (),
    events: Sequence[Event] = (),
    zero: bool = False,
    filled: bool = False,
) -> Html:
    """Lines over time. ``told`` says in words what they show, for who cannot see it.

    ``zero`` takes zero into the picture; ``filled`` fills the first line down, or up, to zero,
    or to the nearest edge where zero is not in the picture.
    """
    values = [value for line in lines for value in line.values if value is not None]
    if not values or times[-1] <= times[0]:
        return element("p", "Nothing to draw.", class_="empty")
    values += [rule.value for rule in rules] + ([0.0] if zero else [])
    upright = scale(min(values), max(values))
    start, span = times[0], times[-1] - times[0]

    def x(time_ns: float) -> float:
        return (time_ns - start) / span * WIDTH

    def y(value: float) -> float:
        return HEIGHT - (value - upright.low) / (upright.high - upright.low) * HEIGHT

    parts = [_grid(upright.steps)]
    if filled:
        base = y(min(max(0.0, upright.low), upright.high))
        path = _path(times, lines[0].values, x, y, base)
        parts.append(element("path", class_=f"fill {lines[0].style}", d=path))
    seen = [event for event in events if start <= event.time_ns <= times[-1]]
    parts += [_upright(x(event.time_ns), event) for event in seen]
    if upright.low < 0 < upright.high:
        parts.append(element("path", class_="nought", d=_level(y(0.0))))
    for rule in rules:
        title = element("title", rule.name)
        parts.append(element("path", title, class_="rule", d=_level(y(rule.value))))
    for line in reversed(lines):
        path = _path(times, line.values, x, y)
        parts.append(element("path", class_=f"line {line.style}", d=path))
    parts += _stops(times, lines, show, x)
    drawing = element(
        "svg",
        *parts,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=told,
    )
    names = [element("li", show(tick)) for tick in upright.ticks()]
    named = element("ol", names, class_="y", aria_hidden="true")
    return element("div", named, drawing, _time_axis(times[0], times[-1]), class_="plot")


def strip(
    start_ns: int, end_ns: int, spans: Sequence[tuple[int, int, str, str]], told: str
) -> Html:
    """What held when, as coloured stretches: (from, to, style, what), in order of time.

    Thinned to columns of equal time, each of the style that had the most of it.
    """
    wide = (end_ns - start_ns) / _SPANS
    shares: list[dict[tuple[str, str], float]] = [{} for _ in range(_SPANS)]
    for begin, stop, style, what in spans:
        first = max(0, int((begin - start_ns) / wide)) if wide else 0
        for column in range(first, _SPANS):
            left = start_ns + wide * column
            if stop <= left:
                break
            both = min(stop, left + wide) - max(begin, left)
            share = shares[column]
            share[style, what] = share.get((style, what), 0.0) + both
    most = [max(share, key=lambda key: share[key], default=None) for share in shares]
    parts, at = [], 0
    for held, alike in groupby(most):
        count = len(list(alike))
        if held is not None:
            begun, ended = (moment(int(start_ns + wide * edge)) for edge in (at, at + count))
            title = element("title", f"{held[1]}, {begun} to {ended}")
            parts.append(element("rect", title, class_=held[0], x=at, y=0, width=count, height=10))
        at += count
    return element(
        "svg",
        *parts,
        viewBox=f"0 0 {_SPANS} 10",
        preserveAspectRatio="none",
        role="img",
        aria_label=told,
        class_="strip",
    )


def bar(start: float, end: float, low: float, high: float, style: str) -> Html:
    """A bar from ``start`` to ``end`` on a scale from ``low`` to ``high``, beside its figure."""
    wide = (high - low) or 1.0
    left, right = sorted(((start - low) / wide * 100, (end - low) / wide * 100))
    box = {"x": f"{left:.2f}", "y": "1", "width": f"{right - left:.2f}", "height": "8"}
    return element(
        "svg",
        element("rect", class_=style, **box),
        element("path", class_="nought", d=f"M{-low / wide * 100:.2f} 0V10"),
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        class_="bar",
        aria_hidden="true",
    )


def moment(time_ns: int) -> str:
    """An instant to the minute, UTC.

    >>> moment(1_753_100_000_000_000_000)
    '2025-07-21 12:13'
    """
    return f"{datetime.fromtimestamp(time_ns // SECOND, UTC):%Y-%m-%d %H:%M}"


def _time_axis(start_ns: int, end_ns: int) -> Html:
    """Five instants, evenly spaced."""
    span = end_ns - start_ns
    names = [element("li", _axis_name(start_ns + span * i // 4, span)) for i in range(5)]
    return element("ol", names, class_="x", aria_hidden="true")


def _axis_name(time_ns: int, span_ns: int) -> str:
    at = datetime.fromtimestamp(time_ns // SECOND, UTC)
    if span_ns <= 4 * DAY:
        return f"{at.day} {at:%b} {at:%H:%M}"
    return f"{at:%b %Y}" if span_ns > 400 * DAY else f"{at.day} {at:%b}"


def _path(
    times: Sequence[int], values: Sequence[Value], x: Place, y: Place, base: float | None = None
) -> str:
    """The line, or with ``base`` the area between it and there."""
    drawn = []
    for run in _runs(times, values):
        points = " ".join(f"{x(time):.1f} {y(value):.1f}" for time, value in run)
        drawn.append(f"M{points}")
        if base is not None:
            drawn.append(f"L{x(run[-1][0]):.1f} {base:.1f}L{x(run[0][0]):.1f} {base:.1f}Z")
        elif len(run) == 1:
            drawn.append("h1")
    return "".join(drawn)


def _runs(times: Sequence[int], values: Sequence[Value]) -> Iterator[list[tuple[int, float]]]:
    """The stretches that have values, thinned."""
    run: list[tuple[int, float]] = []
    for at in thin(values):
        if (value := values[at]) is not None:
            run.append((times[at], value))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _grid(steps: int) -> Html:
    across = "".join(_level(HEIGHT * i / steps) for i in range(steps + 1))
    down = "".join(f"M{WIDTH * i / 4:g} 0V{HEIGHT}" for i in range(5))
    return element("path", class_="grid", d=across + down)


def _level(at: float) -> str:
    return f"M0 {at:.1f}H{WIDTH}"


def _upright(at: float, event: Event) -> Html:
    title = element("title", f"{event.name}, {moment(event.time_ns)}")
    return element("path", title, class_=f"event {event.style}", d=f"M{at:.1f} 0V{HEIGHT}")


def _stops(times: Sequence[int], lines: Sequence[Series], show: Show, x: Place) -> Iterator[Html]:
    """Invisible stretches that tell a pointer what the lines were, lowest and highest, there."""
    count = len(times)
    stops = min(_STOPS, count)
    for stop in range(stops):
        first, end = stop * count // stops, max((stop + 1) * count // stops, 1)
        told = [moment(times[first])]
        for line in lines:
            there = [value for value in line.values[first:end] if value is not None]
            if there:
                low, high = show(min(there)), show(max(there))
                told.append(f"{line.name} {low}" + (f" to {high}" if high != low else ""))
        left, right = x(times[first]), x(times[min(end, count - 1)])
        box = {"x": f"{left:.1f}", "width": f"{right - left:.1f}", "height": str(HEIGHT)}
        yield element("rect", element("title", "\n".join(told)), class_="stop", y=0, **box)
