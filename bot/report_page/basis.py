"""What the result rests on: the data, the model of the market and of fills, the configuration."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from bot.amounts import percent
from bot.backtest.coverage import lacks
from bot.backtest.path import FINER, STEP
from bot.report import jsonable, plain
from bot.report_page.chart import moment
from bot.report_page.markup import Child, Html, element
from bot.report_page.parts import NOTHING, Material, card, folded, listed, stretch, table
from bot.settings import SECTIONS, Settings, entries
from domain.instruments import Instrument

_ASIDE = {"calendar", "metrics", "notify", "telegram", "live", "web"}
DECIDING = tuple(section for section in SECTIONS if section not in _ASIDE)
"""Sections of the settings that decide what is traded; the others are files, pages, messages."""


def data(made: Material) -> Html:
    """What the history held and lacked; of other markets, what they are."""
    if not made.historical:
        if made.report["synthetic"]:
            what = "Prices were invented from the seed: there is no data to have gaps."
        else:
            what = "Quotes were a venue's own, as they came; what did not come is not known here."
        return card("Data", element("p", what), id_="data")
    legs = made.report["coverage"]
    rows = [_leg(leg) for leg in legs]
    window = made.start_ns, made.course.ended_ns
    lacking = [element("li", text) for leg in legs for text in lacks(leg, *window)]
    said = element("ul", lacking, class_="lacks") if lacking else element("p", WHOLE)
    listing = table(HEADINGS, rows, words=(0, 1, 2, 3), told="Coverage of the window by history")
    return card("Data", said, folded(f"Each leg ({len(legs)})", listing), note=GAPS, id_="data")


WHOLE = "Whole: no bar and no settlement is missing in the window."
GAPS = (
    "Nothing is filled in: inside a gap nothing is quoted, so nothing is traded or guarded. Idle: "
    "bars without volume. Dropped: spot bars over 5 % from the perp; cut: an extreme of one."
)
HEADINGS = (
    "leg",
    "bars",
    "from (UTC)",
    "to (UTC)",
    "bars missing",
    "longest gap",
    "idle",
    "dropped, cut",
    "settlements missing",
)


def _leg(leg: Mapping[str, Any]) -> tuple[Child, ...]:
    there = leg["first_ns"] is not None
    name = str(leg["instrument"]).split(":", 1)[-1]
    absent = leg["funding_missing"]
    return (
        [name, element("small", leg["note"]) if leg["note"] else None],
        f"{leg['bars']:,} of {leg['bar']}",
        moment(leg["first_ns"]) if there else NOTHING,
        moment(leg["last_ns"]) if there else NOTHING,
        str(leg["missing_bars"]),
        stretch(leg["longest_gap_ns"]) if leg["longest_gap_ns"] else "none",
        percent(leg["zero_volume_share"], 1),
        f"{leg['junk_bars']}, {leg['capped_bars']}",
        NOTHING if absent is None else str(absent),
    )


def assumptions(made: Material) -> Html:
    """How fills, delays and margin were modelled, with this run's own numbers."""
    road = made.settings.paper
    delay = (
        f"{road.request_ms} ms to the exchange and {road.answer_ms} ms back, each plus up to "
        f"{road.jitter_ms} ms drawn from the seed; the market moves meanwhile."
    )
    terms = [
        *_market(made),
        ("A resting order", _RESTING),
        ("A taking order", _TAKING),
        ("Delay", delay),
        ("Margin", _MARGIN),
        ("Funding", _FUNDING),
        ("Left out", _LEFT_OUT),
    ]
    rules = folded("Fees, lots and books of each leg", _rules(made))
    return card("Assumptions", listed(terms), rules, id_="assumptions")


_RESTING = (
    "stands behind all that was displayed when it came; moves up by what trades at its price and "
    "by what the book then shows; is filled by prints through it, or when the other side comes: "
    "where books are made from bars by no more than the bar traded."
)
_TAKING = (
    "walks the levels of the book of the moment at which it arrives; what it took is gone until "
    "the next book. The market does not react further."
)
_MARGIN = (
    "isolated, by the venue's tiers, judged at every mark on the way and so at the worst of each "
    "bar; a position under maintenance is liquidated by the venue's rules."
)
_FUNDING = "at the venue's own times, on the position and oracle price of that moment."
_LEFT_OUT = (
    "outages, lost answers, auto-deleveraging, deposits and bridges, taxes, and what other traders "
    "would have done about our orders."
)
_PATH = (
    "open, then the extreme that hurts the perp held when the bar begins (the high a short one, "
    "the low a long one), then the other, then close, both legs in step. Steps of at most "
    f"{percent(STEP, 1)}, walked in {FINER} while an order rests. A jump inside one step cannot be "
    "acted on."
)
_BOOKS = (
    "history has bars and no books: three levels a side around each point of that path, wider and "
    "thinner after wide bars (below)."
)
_ORACLE = "the last completed close of the perp, not an index."
_GENERATED = (
    "generated from the seed, with a book a minute; kinder than life: one pair is always crowded, "
    "and crowds last for days."
)
_QUOTES = "the venue's own quotes; fills are simulated against them."


def _market(made: Material) -> tuple[tuple[str, str], ...]:
    if made.historical:
        return ("Inside a bar", _PATH), ("Books", _BOOKS), ("Oracle", _ORACLE)
    return (("Market", _GENERATED if made.report["synthetic"] else _QUOTES),)


def _rules(made: Material) -> Html:
    legs = [leg for pair in made.course.pairs for leg in (pair.spot, pair.perp)]
    heads = ("leg", "maker", "taker", "lot", "smallest order")
    quoted = ("half-spread", "of range", "depth of volume", "depth at least")
    if not made.historical:
        return table(heads, [_rule(leg) for leg in legs], told="Rules of each leg")
    rows = [(*_rule(leg), *_quotes(made, leg)) for leg in legs]
    return table((*heads, *quoted), rows, told="Rules of each leg, and the model of its book")


def _rule(leg: Instrument) -> tuple[Child, ...]:
    paid = " (buys: in the coin)" if leg.fees.buyer_pays_base else ""
    return (
        [leg.symbol, element("small", f"{leg.kind}{paid}")],
        percent(leg.fees.maker, 3),
        percent(leg.fees.taker, 3),
        plain(leg.lot),
        plain(leg.minimum_notional),
    )


def _quotes(made: Material, leg: Instrument) -> tuple[Child, ...]:
    model = made.books.get(leg.id)
    if model is None:
        return (NOTHING,) * 4
    return (
        f"{model.half_spread_bps:g} bps",
        percent(model.spread_of_range, 1),
        percent(model.depth_of_volume, 1),
        f"{model.depth_floor:,.0f}",
    )


def configuration(made: Material) -> Html:
    """What differs from the defaults, and all of it."""
    changed = list(_differing(made.settings))
    if changed:
        rows = [(name, _shown(now), _shown(usual)) for name, now, usual in changed]
        told: Html = table(("setting", "here", "default"), rows, told="Settings that differ")
    else:
        told = element("p", "Every setting that decides what is traded has its default.")
    whole = [
        folded(
            f"[{section}]",
            listed(
                (element("code", key), _shown(value))
                for key, value in entries(made.settings, section).items()
            ),
        )
        for section in DECIDING
    ]
    return card(
        "Configuration",
        told,
        whole,
        listed(
            [
                ("Capital", f"{plain(made.course.started.capital)} {made.quote}"),
                ("Inventory", made.course.started.inventory or "none"),
                ("Events in the calendar", str(len(made.settings.events))),
                ("Seed", str(made.report["seed"])),
                ("Version", f"fundarb {made.version}"),
                ("Digest of the settings", element("code", made.course.started.config_digest[:16])),
                ("Digest of the run", element("code", made.report["digest"])),
                ("Facts in the journal", f"{made.report['integrity']['journal_events']:,}"),
            ]
        ),
        note="Fractions are plain: 0.01 is 1 %. The same data, settings, seed and version give the "
        "same digest of the run, and this page byte for byte.",
        id_="configuration",
    )


def _differing(settings: Settings) -> Iterator[tuple[str, object, object]]:
    for section in DECIDING:
        usual = entries(Settings(), section)
        for key, value in entries(settings, section).items():
            if value != usual[key]:
                yield f"{section}.{key}", value, usual[key]


def _shown(value: object) -> str:
    return str(jsonable(value)) if not isinstance(value, Decimal) else plain(value)
