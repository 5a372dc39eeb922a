"""What every section is made of: cards, tables that become cards on a phone, figures, money."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from bot.amounts import amount, percent
from bot.instruments import QuoteModel
from bot.report_page.chart import moment
from bot.report_page.course import Course
from bot.report_page.markup import Child, Html, element
from bot.settings import Settings
from domain.money import ZERO, exact
from domain.time import DAY, HOUR, HOURS_PER_YEAR
from execution.effects import RaiseAlarm

SOURCES = ("funding", "basis", "fees", "slippage", "borrow", "liquidation")
COSTS = ("fees", "slippage", "borrow", "liquidation")
NOTHING = "–"


class Material(msgspec.Struct, frozen=True):
    """All that a page is made of: the result document, the run's course, and how it was run.

    ``alarms`` are those of this run of the program, which ``interrupted`` says was stopped
    before its end; ``books``, by instrument id, how books were
    made where history has only bars.
    """

    report: Mapping[str, Any]
    course: Course
    settings: Settings
    alarms: tuple[RaiseAlarm, ...]
    version: str
    interrupted: bool
    books: Mapping[str, QuoteModel]

    @property
    def quote(self) -> str:
        return str(self.report["quote"])

    @property
    def start_ns(self) -> int:
        return self.course.started.time_ns

    @property
    def span_ns(self) -> int:
        return self.course.ended_ns - self.start_ns

    @property
    def historical(self) -> bool:
        return "coverage" in self.report


def card(title: str, *content: Child, note: Child = None, id_: str | None = None) -> Html:
    """A titled box. ``note`` says how to read it."""
    said = element("p", note, class_="note") if note is not None else None
    return element("section", element("h2", title), said, *content, class_="card", id_=id_)


def drawing(title: str, plot: Html, note: Child, told: Child = None) -> Html:
    """A chart with its name, what it means, and its figures in words."""
    named = element("figcaption", element("b", title), " ", note)
    said = element("p", told, class_="ends") if told is not None else None
    return element("figure", named, plot, said)


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[Child]],
    *,
    words: Sequence[int] = (0,),
    total: Sequence[Child] | None = None,
    told: str,
) -> Html:
    """A table that is a list of cards on a narrow screen. ``words``: columns without figures."""
    heads = [
        element("th", name, scope="col", class_="word" if at in words else None)
        for at, name in enumerate(headings)
    ]
    body = [_row(headings, row, words) for row in rows]
    foot = element("tfoot", _row(headings, total, words)) if total is not None else None
    return element(
        "table",
        element("caption", told),
        element("thead", element("tr", heads)),
        element("tbody", body),
        foot,
    )


def _row(headings: Sequence[str], row: Sequence[Child], words: Sequence[int]) -> Html:
    cells = [element("th", row[0], scope="row", class_="word")]
    for at, (heading, cell) in enumerate(zip(headings, row, strict=True)):
        if at:
            style = "word" if at in words else "drawn" if not heading else None
            cells.append(element("td", cell, class_=style, data_label=heading or None))
    return element("tr", cells)


def listed(items: Iterable[tuple[Child, Child]], style: str = "terms") -> Html:
    """Names and what they stand for."""
    rows = [element("div", element("dt", name), element("dd", value)) for name, value in items]
    return element("dl", rows, class_=style)


def folded(title: Child, *content: Child) -> Html:
    """What is there for who wants it: opened by click, Enter or Space, and in print."""
    return element("details", element("summary", title), *content)


def money(value: Decimal | str) -> Html:
    """Signed, to the cent; every digit on hover."""
    whole = Decimal(value)
    text = amount(whole, signed=True)
    return element("span", text, class_=_sign(text), title=str(value))


def instant(time_ns: int) -> Html:
    """An instant, in one piece."""
    return element("span", moment(time_ns), class_="when")


def counted(count: int, what: str) -> str:
    """So many of something.

    >>> counted(1, "trade"), counted(2_000, "bar")
    ('1 trade', '2,000 bars')
    """
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def axis_money(value: float) -> str:
    """Money beside a drawing: no more digits than a reader needs."""
    return f"{value:,.0f}" if abs(value) >= 10 or not value else f"{value:,.2f}"


def apr(hourly: float | None) -> str:
    """An hourly rate as a simple annual one."""
    return NOTHING if hourly is None else percent(hourly * HOURS_PER_YEAR, 1, signed=True)


def stretch(nanoseconds: int) -> str:
    """A time in days, or hours where it is short.

    >>> stretch(36 * HOUR), stretch(105 * DAY)
    ('36.0 h', '105.0 d')
    """
    if nanoseconds < 2 * DAY:
        return f"{nanoseconds / HOUR:.1f} h"
    return f"{nanoseconds / DAY:.1f} d"


def share(part: Decimal | float, whole: Decimal | float, digits: int = 1) -> str:
    """A part as percent of the whole, where there is one."""
    return percent(float(part) / float(whole), digits) if whole else NOTHING


def costs(pnl: Mapping[str, str]) -> Decimal:
    """What trading cost, as the profit has it: negative."""
    with exact():
        return sum((Decimal(pnl[name]) for name in COSTS), ZERO)


def _sign(text: str) -> str | None:
    return {"+": "good", "-": "bad"}.get(text[0])
