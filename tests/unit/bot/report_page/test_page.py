"""The page of a run: its figures are the document's, its drawings the data's; it is harmless."""

import re
import subprocess
import sys
from base64 import b64encode
from decimal import Decimal
from hashlib import sha256
from itertools import pairwise
from math import isclose, sqrt
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bot.planning
import strategies.cash_and_carry
from bot.amounts import percent
from bot.report import build, encode
from bot.report_page import result
from bot.report_page.chart import Series, chart, scale, thin
from bot.report_page.course import Moment
from bot.report_page.markup import Html, element, together
from bot.report_page.page import SECTIONS, material, page
from bot.report_page.parts import SOURCES, Material
from bot.report_page.result import drawdowns
from bot.report_page.trades import OPEN_MAX
from bot.report_page.words import WORDS
from bot.settings import Account, Settings
from domain.account import FundingPayment
from domain.time import HOUR, parse_instant
from execution.facts import EquityMarked, Extremes
from execution.ledger.pnl import PnL
from execution.risk import gate as risk_gate
from tests.unit.bot.report_page.pages import PRICE, LongRun, Read, generated, traded, tripped
from tests.unit.bot.synthetic_run import PAIRS, random_run

HOSTILE = "</title></style></script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>&lt;"
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def made() -> Material:
    return traded()


@pytest.fixture(scope="module")
def read(made: Material) -> Read:
    return Read(page(made))


def exact(cells: dict[str, str]) -> dict[str, Decimal]:
    return {name: Decimal(value) for name, value in cells.items()}


# --- figures ----------------------------------------------------------------------------------


def test_the_run_that_is_shown_has_open_and_closed_trades(made: Material) -> None:
    assert {bool(trade["closed"]) for trade in made.report["pairs"]} == {True, False}


def test_the_sources_are_the_documents_to_the_last_digit_and_add_up(
    made: Material, read: Read
) -> None:
    rows = read.tables["Profit by source"][1:]
    shown = {row[0].split("\n")[0]: Decimal(row[-1]) for row in rows}
    by_name = {name: next(v for k, v in shown.items() if k.startswith(name)) for name in SOURCES}

    assert by_name == {name: Decimal(made.report["pnl"][name]) for name in SOURCES}
    assert sum(by_name.values(), Decimal(0)) == Decimal(made.report["pnl"]["total"])
    assert rows[-1][-1] == made.report["pnl"]["total"]


@pytest.mark.parametrize("seed", range(8))
def test_sums_of_any_number_of_digits_are_found_to_add_up(made: Material, seed: int) -> None:
    run = random_run(seed, quantum=None)
    third = Decimal(1) / 3
    marks = {leg.id: 300 + third for pair in PAIRS for leg in (pair.spot, pair.perp)}
    report = build(run.facts, run.books, PAIRS, run.closing(marks=marks))
    other = dict(report) | {"integrity": made.report["integrity"]}

    assert "sources add up" in result.checks(msgspec.structs.replace(made, report=other))


def test_pairs_and_dust_add_up_to_the_whole(made: Material) -> None:
    titles = re.findall(r'<td data-label="total"><span[^>]* title="([^"]*)"', page(made))
    *parts, whole = (Decimal(title) for title in titles)

    assert sum(parts, Decimal(0)) == whole == Decimal(made.report["pnl"]["total"])


def test_months_add_up_to_the_profit(made: Material) -> None:
    long = LongRun(hours=24 * 70, every=48).material()
    rows = re.findall(r'<td data-label="profit"><span[^>]* title="([^"]*)"', page(long))
    months = [Decimal(row) for row in rows[:3]]

    assert sum(months, Decimal(0)) == long.course.moments[-1].pnl.total


def test_the_first_hour_of_a_month_ends_in_it_and_midnight_belongs_to_the_one_before() -> None:
    midnight = parse_instant("2025-02-01")
    sums = {midnight - HOUR: 1, midnight: 3, midnight + HOUR: 10}
    moments = tuple(
        Moment(at, Decimal(0), PnL(funding=Decimal(total)), Decimal(0), None, None)
        for at, total in sums.items()
    )
    long = LongRun(hours=2, every=48).material()
    made = msgspec.structs.replace(
        long, course=msgspec.structs.replace(long.course, moments=moments)
    )
    rows = re.findall(r'<td data-label="profit"><span[^>]* title="([^"]*)"', page(made))

    assert rows[:2] == ["3", "7"]


def test_a_year_is_365_days_and_exposure_is_that_of_the_perps() -> None:
    made = LongRun(hours=73 * 24, every=48).material()
    report = {**made.report, "pnl": {**made.report["pnl"], "total": "1234"}}
    figures = result._figures(msgspec.structs.replace(made, report=report))
    shown = {name: str(value) for name, value, _ in figures}
    trades = [line.trade for line in made.course.trades]

    assert shown["Return a year"] == percent(0.1234 * 5, 1, signed=True) == "+61.7%"
    for at in made.course.moments:
        held = [t for t in trades if (t.opened_ns or 0) <= at.time_ns < (t.closed_ns or 2**63)]
        assert at.exposure == 10 * PRICE * len(held)


def test_fees_by_leg_are_the_fees(made: Material) -> None:
    fees = sum((line.fee for line in made.course.filled), Decimal(0))

    assert fees == -Decimal(made.report["pnl"]["fees"])


def test_funding_of_all_trades_is_the_funding(made: Material) -> None:
    received = sum((line.received for line in made.course.trades), Decimal(0))

    assert received == Decimal(made.report["pnl"]["funding"]) == made.course.paid[-1].received


def test_a_forecast_that_came_true_is_what_was_received() -> None:
    run = LongRun(hours=30, every=24)
    line = next(line for line in run.material().course.trades if line.hours)

    # Forecast 2e-5 an hour on 200 for each hour that was paid for.
    assert line.foreseen == Decimal("0.00002") * 200 * line.hours
    assert line.worth == 200 * line.hours


def test_a_long_perp_is_judged_by_its_income_too() -> None:
    run = LongRun(hours=30, every=24)
    run.facts = [
        msgspec.structs.replace(fact, position=-fact.position)
        if isinstance(fact, FundingPayment)
        else fact
        for fact in run.facts
    ]
    line = next(line for line in run.material().course.trades if line.hours)

    assert line.foreseen == Decimal("0.00002") * 200 * line.hours > 0


def test_a_payment_for_eight_hours_is_set_against_the_forecast_of_eight() -> None:
    run = LongRun(hours=30, every=24)
    run.facts = [
        msgspec.structs.replace(fact, interval_hours=8)
        if isinstance(fact, FundingPayment)
        else fact
        for fact in run.facts
    ]
    line = next(line for line in run.material().course.trades if line.hours)

    assert line.hours % 8 == 0
    assert line.foreseen == Decimal("0.00002") * 200 * line.hours


def test_every_trade_has_its_line_and_its_reasons(made: Material, read: Read) -> None:
    lines = [row[0] for row in read.tables["Every trade"][1:]]
    text = "".join(read.words)

    assert lines == [trade["trade"] for trade in made.report["pairs"]]
    for trade in made.report["pairs"]:
        assert trade["entry_reason"] in text
        assert trade["exit_reason"] is None or trade["exit_reason"] in text


def test_each_reason_is_counted_as_the_document_does(made: Material, read: Read) -> None:
    rows = read.tables["Reasons that kept pairs out"][1:]
    refused = made.report["decisions"]["refused"]

    assert refused
    for code, count in refused.items():
        assert [row[1] for row in rows if row[0].startswith(code)] == [f"{count:,}"]


def test_all_sections_that_the_contents_name_are_there(read: Read) -> None:
    ids = {attributes.get("id") for _, attributes in read.tags}

    assert set(SECTIONS) <= ids


# --- drawings ---------------------------------------------------------------------------------


def test_the_deepest_drawdown_drawn_is_the_documents(made: Material) -> None:
    falls = drawdowns(Decimal(made.report["equity"]["start"]), made.course.moments)

    assert isclose(-min(falls), made.report["equity"]["max_drawdown"], rel_tol=1e-12)


def test_equity_with_coins_at_the_start_begins_with_them() -> None:
    settings = Settings(account=Account(inventory="HYPE:300"))
    run, alarms = generated(3, settings=settings)
    start = Decimal(run.report["equity"]["start"])

    first = material(run, settings, alarms, "1.2.3").course.moments[0]

    assert start > 12_000
    assert abs(first.equity / start - 1) < Decimal("0.1")


def test_the_worst_of_the_hours_is_the_worst_of_the_run(made: Material) -> None:
    moments, risk = made.course.moments, made.report["risk"]
    distances = [at.distance for at in moments if at.distance is not None]
    leverages = [float(at.leverage) for at in moments if at.leverage is not None]

    assert min(distances) == risk["min_liquidation_distance"]
    assert max(leverages) == risk["max_leverage_held"]
    # An hour has its own worst, not the worst so far.
    assert distances[-1] > min(distances)
    assert leverages[-1] < max(leverages)


def test_an_hour_without_a_perp_has_no_distance(made: Material) -> None:
    held = [at for at in made.course.moments if at.exposure]

    assert all(at.distance is not None for at in held)
    assert made.course.moments[0].distance is None


numbers = st.one_of(st.none(), st.floats(-1e6, 1e6))


@given(st.lists(numbers, min_size=1, max_size=400), st.integers(1, 30))
def test_thinning_keeps_ends_extremes_and_holes(values: list[float | None], columns: int) -> None:
    places = thin(values, columns)
    kept = [values[at] for at in places]
    there = [value for value in values if value is not None]
    assert places == sorted(set(places))
    assert (places[0], places[-1]) == (0, len(values) - 1)
    assert not there or (min(there), max(there)) == (
        min(v for v in kept if v is not None),
        max(v for v in kept if v is not None),
    )
    # No line bridges what was not there.
    assert edges(kept) == edges(values)


def edges(values: list[float | None]) -> int:
    """How often values begin or end."""
    return sum(1 for a, b in pairwise(values) if (a is None) != (b is None))


def test_a_drawing_reaches_the_extremes_of_ten_thousand_points() -> None:
    values = [float((at * 7919) % 1_000) for at in range(10_000)]
    values[5_003], values[7_007] = -2_000.0, 2_000.0

    drawn = chart(range(10_000), [Series("x", "c1", values)], str, told="x")
    path = re.findall(r'class="line c1" d="M([^"]*)"', drawn)[0]
    heights = [float(y) for y in path.split(" ")[1::2]]

    # A scale from -2000 to 2000, top down, on 260 units.
    assert (min(heights), max(heights)) == (0.0, 260.0)
    assert len(drawn) < 60_000


@given(st.floats(-1e9, 1e9), st.floats(0, 1e9))
def test_a_scale_has_few_even_ticks_around_what_is_drawn(low: float, wide: float) -> None:
    drawn = scale(low, low + wide)
    slack = drawn.step * 1e-6

    assert 2 <= len(drawn.ticks()) <= 7
    assert drawn.low - slack <= low
    assert drawn.high + slack >= low + wide


def test_the_sharpe_ratio_of_days_that_gain_one_and_three_by_turns() -> None:
    day, total, moments = 24 * HOUR, 0, []
    for at in range(40):
        total += 1 if at % 2 else 3
        pnl = PnL(funding=Decimal(total))
        moments.append(Moment((at + 1) * day, Decimal(total), pnl, Decimal(0), None, None))

    # Forty gains with mean 2 and sample deviation sqrt(40/39).
    assert result.sharpe(moments, long=True) == f"{2 / sqrt(40 / 39) * sqrt(365):.1f}" == "37.7"
    assert result.sharpe(moments, long=False) == "–"


# --- size, sameness, safety -------------------------------------------------------------------


@pytest.mark.slow
def test_a_year_of_hours_over_six_pairs_with_a_thousand_trades_is_under_a_megabyte() -> None:
    words = "carry_pays: net 1.58 % over 30.0 d at cost 0.24 %; level 30.0 % a year, "
    words += "running rate +37.8 % off it, in above 8.0 %; forecast 22.1 ± 29.5 % a year"
    long = LongRun(hours=8_760, every=48, say=words).material()

    text = page(long)

    assert len(long.report["pairs"]) > 1_000
    assert len(long.course.moments) == 8_760
    assert len(text.encode()) < MEGABYTE
    assert "The last 300 have a line" in text


def test_many_trades_are_folded_up_so_that_a_phone_gets_past_them() -> None:
    def counts(hours: int) -> list[int]:
        text = page(LongRun(hours=hours, every=24).material())
        titles = "Funding by trade|Line by line|The story of each"
        return [int(found) for found in re.findall(rf"<summary>(?:{titles}) \((\d+)\)", text)]

    assert counts(24 * 3) == []
    assert len(counts(24 * 20)) == 3
    assert min(counts(24 * 20)) > OPEN_MAX


def test_the_same_run_gives_the_same_page_byte_for_byte() -> None:
    texts = []
    for _ in range(2):
        run, alarms = generated(10)
        texts.append(page(material(run, Settings(), alarms, "1.2.3")))

    assert texts[0] == texts[1]


def test_whatever_comes_from_outside_is_text() -> None:
    run = LongRun(hours=60, every=24, say=HOSTILE)
    tripped(run, HOSTILE, HOSTILE)
    long = run.material(version=HOSTILE)
    report = dict(long.report) | {"venue": HOSTILE, "quote": HOSTILE, "digest": HOSTILE}
    read = Read(page(msgspec.structs.replace(long, report=report)))

    assert list(read.of("script")) == list(read.of("img")) == []
    assert sum(1 for _ in read.of("title")) > 1
    assert HOSTILE in "".join(read.words)
    for tag, attributes in read.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes), tag


@given(st.text())
def test_any_text_comes_out_as_it_went_in(text: str) -> None:
    read = Read(element("p", text, title=text))

    assert "".join(read.words) == text
    assert read.tags == [("p", {"title": text})]


def test_only_what_was_built_as_markup_is_markup() -> None:
    assert together("<b>", element("b", Html("<i>"))) == "&lt;b&gt;<b><i></b>"


def test_nothing_is_fetched_and_nothing_can_be_run(made: Material, read: Read) -> None:
    text = page(made)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    policy = next(found for found in read.of("meta") if found.get("http-equiv"))["content"]
    digest = b64encode(sha256(style[1].encode()).digest()).decode()

    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert not re.search(r"https?:|//|@import|url\(", text.replace("<!doctype", ""))
    links = [attributes.get("href") for _, attributes in read.tags if "href" in attributes]
    assert all(str(link).startswith("#") for link in links)
    assert not any("src" in attributes for _, attributes in read.tags)


# --- every kind of run ------------------------------------------------------------------------


def test_a_synthetic_market_says_so_above_all() -> None:
    text = page(traded())

    assert text.index("SYNTHETIC MARKET") < text.index("<h1>")
    assert "<title>SYNTHETIC paper" in text
    assert "RECORDED HISTORY" not in text


def test_recorded_history_says_so_and_what_it_lacks() -> None:
    long = LongRun(hours=24 * 30, every=48).material()
    coverage = [dict(leg) for leg in long.report["coverage"]]
    coverage[0] |= {"delisted_ns": coverage[0]["last_ns"] - 5 * 24 * HOUR}
    coverage[1] |= {"missing_bars": 7, "longest_gap_ns": 3 * HOUR, "funding_missing": 1}
    report = dict(long.report) | {"synthetic": False, "coverage": coverage}
    text = page(msgspec.structs.replace(long, report=report))

    assert "RECORDED HISTORY" in text
    assert "SYNTHETIC" not in text
    assert "was delisted on 2025-01-26, or its file ends there" in text
    assert "lacks bars: 7, the longest gap 3.0 hours" in text
    assert "lacks settlements of funding: 1" in text
    assert "data lacking in 2 of 12 legs" in text


def test_what_was_held_without_quotes_is_not_shown_as_simply_held() -> None:
    calm = page(LongRun(hours=60, every=24, say="carry_holds: it pays").material())
    blind = page(LongRun(hours=60, every=24, say="stale_data: no usable quote").material())

    assert "held, without quotes" in blind
    assert "held, without quotes" not in calm


def test_a_loss_is_told_once_and_not_with_two_signs(made: Material) -> None:
    report = msgspec.json.decode(encode(dict(made.report)))
    report["pnl"]["total"] = "-280.43"
    words = Read(page(msgspec.structs.replace(made, report=report))).words

    assert "Lost 280.43 USDC (-" in "".join(words)


def test_a_run_without_a_trade_says_why() -> None:
    long = LongRun(hours=40, every=10_000).material()
    text = page(long)

    assert "No trade was opened" in text
    assert "No perp was held" in text
    assert "carry_below_hurdle" in text


def test_a_journal_without_hourly_extremes_is_not_one_without_a_perp() -> None:
    run = LongRun(hours=60, every=24)
    run.facts = [
        msgspec.structs.replace(fact, lately=Extremes()) if isinstance(fact, EquityMarked) else fact
        for fact in run.facts
    ]
    text = page(run.material())

    assert "older than the record of hourly extremes" in text
    assert "No perp was held" not in text


def test_a_run_shorter_than_its_first_hour_has_a_page() -> None:
    assert "ended before its first hour" in page(LongRun(hours=0, every=9).material())
    assert "Nothing to draw" in page(LongRun(hours=1, every=9).material())


def test_what_is_not_sound_is_said_in_red(made: Material) -> None:
    report = msgspec.json.decode(encode(dict(made.report)))
    report["integrity"] |= {"violations": ["the books do not balance"], "ledger_balanced": False}
    report["risk"] |= {"liquidations": 2, "limits_tripped": ["drawdown"]}
    text = page(msgspec.structs.replace(made, report=report))

    for said in ("books do not balance", "2 liquidations", "limits tripped: drawdown"):
        assert f'<li class="ill">{said}</li>' in text


def test_books_that_were_not_compared_yet_are_told_so_and_not_in_red(made: Material) -> None:
    report = msgspec.json.decode(encode(dict(made.report)))
    report["integrity"]["venue_reconciled"] = None
    text = page(msgspec.structs.replace(made, report=report))

    assert "<li>books not compared with the exchange&#x27;s yet</li>" in text
    assert "books differ from" not in text


def test_a_backtest_that_was_stopped_says_so() -> None:
    run = LongRun(hours=30, every=24)

    assert "stopped early" in page(run.material(interrupted=True))
    assert "stopped early" not in page(run.material())


def test_settings_that_differ_are_told_first(made: Material) -> None:
    risk = msgspec.structs.replace(made.settings.risk, leverage_target=Decimal("1.5"))
    settings = msgspec.structs.replace(made.settings, risk=risk)
    read = Read(page(msgspec.structs.replace(made, settings=settings)))

    assert read.tables["Settings that differ"][1:] == [["risk.leverage_target", "1.5", "2"]]
    assert "Settings that differ" not in Read(page(made)).tables


def test_no_setting_of_messages_or_pages_is_told(made: Material) -> None:
    text = page(made)

    assert "[risk]" in text
    assert "[notify]" not in text
    assert "[web]" not in text


def test_every_word_of_the_strategy_is_explained() -> None:
    said = strategies.cash_and_carry.__doc__
    assert said is not None

    assert set(re.findall(r"``(\w+)``", said.split("counted:")[1])) <= set(WORDS)


def test_every_word_that_keeps_an_entry_out_is_explained() -> None:
    modules = bot.planning, risk_gate
    planning, gate = (Path(module.__file__ or "").read_text() for module in modules)
    said = re.findall(r'return \(?f?"(\w+): ', planning)
    said += re.findall(r'(?:Refusal|_reading)\(\s*"(\w+)"', gate)

    assert len(said) > 25
    assert {*said, *risk_gate.CAPS} - set(WORDS) == set()


def test_nothing_of_it_is_loaded_unless_a_page_is_asked_for() -> None:
    code = "import sys, bot.cli.running, bot.cli.backtest, bot.app; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert "bot.report_page" not in loaded.stdout


def test_the_style_sheet_needs_no_escape() -> None:
    style = Path("bot/report_page/page.css").read_text("utf-8")

    assert "</" not in style
