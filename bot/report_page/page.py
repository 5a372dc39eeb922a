"""The page: one file that needs nothing else, and is the same for the same run."""

from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from bot.app import RunResult
from bot.instruments import load_listings, load_pairs
from bot.report_page import basis, decisions, profit, result, risk, trades
from bot.report_page.course import course
from bot.report_page.markup import Html, element, together
from bot.report_page.parts import Material
from bot.settings import Settings
from domain.time import parse_instant
from execution.effects import RaiseAlarm
from execution.facts import RunStarted

SECTIONS = {
    "equity": "Equity",
    "profit": "Profit",
    "funding": "Funding",
    "risk": "Risk",
    "trades": "Trades",
    "decisions": "Decisions",
    "costs": "Costs",
    "data": "Data",
    "assumptions": "Assumptions",
    "configuration": "Configuration",
}


def material(
    run: RunResult, settings: Settings, alarms: Iterable[RaiseAlarm], version: str
) -> Material:
    """Gather what a page needs from what a run left.

    Raises:
        UnknownPair: the configuration no longer lists a pair of the run.
    """
    begun, ended = run.facts[0], parse_instant(run.report["ended"])
    assert isinstance(begun, RunStarted), "Invariant: a run's first fact is its start"
    listings = load_listings(begun.venue).values()
    return Material(
        report=run.report,
        course=course(run.facts, load_pairs(begun.venue, begun.pairs), ended),
        settings=settings,
        alarms=tuple(alarms),
        version=version,
        interrupted=run.interrupted,
        books={row.instrument.id: row.quotes for row in listings if row.quotes is not None},
    )


def page(made: Material) -> str:
    """The whole page, without a script: every figure is text, every chart a drawing."""
    style = (Path(__file__).parent / "page.css").read_text("utf-8")
    names = ", ".join(pair.name for pair in made.course.pairs)
    title = f"{made.report['mode']}: {names} on {made.report['venue']}"
    if made.report["synthetic"]:
        title = f"SYNTHETIC {title}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(style)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", Html(style)),
    )
    body = element(
        "body",
        element("a", "To the result", class_="skip", href="#result"),
        result.band(made),
        result.header(made),
        _contents(),
        element("main", *_sections(made), id="result"),
        _footer(made),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _sections(made: Material) -> list[Html]:
    return [
        result.checks(made),
        result.figures(made),
        result.equity(made),
        profit.sources(made),
        profit.pairs(made),
        trades.funding(made),
        risk.margin(made),
        trades.trades(made),
        decisions.decisions(made),
        risk.trouble(made),
        profit.trading_costs(made),
        basis.data(made),
        basis.assumptions(made),
        basis.configuration(made),
    ]


def _contents() -> Html:
    links = [element("a", name, href=f"#{key}") for key, name in SECTIONS.items()]
    return element("nav", links, aria_label="Contents")


def _footer(made: Material) -> Html:
    market = result.market_name(made)
    said = together(
        f"fundarb {made.version} · {made.report['mode']} · {market} · ",
        "figures are simple, not compounded; times are UTC · digest ",
        element("code", made.report["digest"][:16]),
    )
    return element("footer", said)


def _policy(style: str) -> str:
    """Nothing may be loaded or run; this one style sheet may be used, by its digest."""
    digest = b64encode(sha256(style.encode()).digest()).decode()
    allowed = f"style-src 'sha256-{digest}'"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
