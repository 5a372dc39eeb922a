"""What was decided and why: what held each pair when, and what kept the bot out."""

from collections import Counter, defaultdict

from bot.report_page.chart import strip
from bot.report_page.course import Verdict, spans
from bot.report_page.markup import Child, Html, element, together
from bot.report_page.parts import Material, card, folded, instant, share, table
from bot.report_page.profit import legend
from bot.report_page.words import meaning
from domain.targets import Action

CHANGES_MAX = 150
_HELD = {Action.ENTER, Action.ADD, Action.HOLD, Action.REDUCE}
_COLOURED = 6  # reasons to wait that have a colour of their own


def decisions(made: Material) -> Html:
    verdicts = made.course.verdicts
    times = _waited(verdicts)
    styles = {code: f"w{at}" for at, code in enumerate(list(times)[:_COLOURED])}
    counts = made.report["decisions"]
    said = (
        f"Verdicts on record (hourly, and when one changes): {counts['entered']} to enter, "
        f"{counts['added']} to add, {counts['held']} to hold, {counts['reduced']} to take a part "
        f"off, {counts['exited']} to leave."
    )
    return card(
        "Decisions",
        element("p", said),
        _strips(made, styles),
        _reasons(made, times),
        _last_words(made),
        _changes(made),
        note="Every pair is judged every five minutes, or once a bar; the first word of each "
        "reason is counted. A verdict with two refusals counts for both, its time for the first.",
        id_="decisions",
    )


def _waited(verdicts: dict[str, tuple[Verdict, ...]]) -> dict[str, Counter[str]]:
    """By reason for waiting, how long it stood for each pair; the longest together first."""
    times: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for pair, said in verdicts.items():
        for verdict in said:
            if verdict.action is Action.WAIT:
                times[verdict.code][pair] += verdict.until_ns - verdict.time_ns
    ordered = sorted(times, key=lambda code: (-times[code].total(), code))
    return {code: times[code] for code in ordered}


def _strips(made: Material, styles: dict[str, str]) -> Html:
    """A stripe a pair, coloured by what held it when."""
    rows, used = [], set()
    for pair, said in made.course.verdicts.items():
        held = [_span(verdict, styles) for verdict in spans(said)]
        used |= {style for _, _, style, _ in held}
        drawn = strip(made.start_ns, made.course.ended_ns, held, f"What held {pair} when")
        rows.append(element("div", element("b", pair), drawn, class_="pairline"))
    names = _NAMES | {style: code for code, style in styles.items()}
    shown = [(style, name) for style, name in names.items() if style in used]
    return element("div", rows, legend(shown), class_="strips")


_NAMES = {
    "held": "held",
    "blind": "held, without quotes",
    "left": "leaving",
    "rest": "another reason",
}


def _span(verdict: Verdict, styles: dict[str, str]) -> tuple[int, int, str, str]:
    if verdict.action in _HELD:
        style = "blind" if verdict.code == "stale_data" else "held"
    else:
        style = styles.get(verdict.code, "rest") if verdict.action is Action.WAIT else "left"
    return verdict.time_ns, verdict.until_ns, style, f"{verdict.action}: {verdict.code}"


def _of_time(stood_ns: int, span_ns: int) -> str:
    return share(stood_ns, span_ns, 0) if stood_ns * 100 >= span_ns else "under 1%"


def _reasons(made: Material, times: dict[str, Counter[str]]) -> Html:
    """Why it did not trade: each reason, how often, how long, and where."""
    refused = made.report["decisions"]["refused"]
    order = list(times) + sorted(code for code in refused if code not in times)
    whole = made.span_ns * len(made.course.pairs)
    rows = []
    for code in order:
        stood = times.get(code, Counter[str]())
        most = sorted(stood, key=lambda pair: (-stood[pair], pair))
        rows.append(
            (
                [element("code", code), element("small", meaning(code))],
                f"{refused.get(code, 0):,}",
                share(stood.total(), whole),
                ", ".join(f"{pair} {_of_time(stood[pair], made.span_ns)}" for pair in most[:6]),
            )
        )
    if not rows:
        return element("p", "Nothing was ever refused.")
    return table(
        ("why it did not trade", "verdicts", "of all pairs' time", "of each pair's time"),
        rows,
        words=(0, 3),
        told="Reasons that kept pairs out",
    )


def _last_words(made: Material) -> Html:
    rows: list[tuple[Child, ...]] = []
    for pair, said in made.course.verdicts.items():
        if said:
            rows.append((pair, str(said[-1].action), said[-1].reason))
        else:
            rows.append((pair, "–", "never judged"))
    title = "The last word on each pair"
    listing = table(("pair", "verdict", "reason"), rows, words=(0, 1, 2), told=title)
    return together(element("h3", title), listing)


def _changes(made: Material) -> Html:
    found = [(pair, span) for pair, said in made.course.verdicts.items() for span in spans(said)]
    changed = sorted(found, key=lambda change: change[1].time_ns)
    rows = [
        (instant(span.time_ns), pair, str(span.action), span.reason)
        for pair, span in changed[-CHANGES_MAX:]
    ]
    kept = "" if len(rows) == len(changed) else f", the last {len(rows)}; --export has all"
    return folded(
        f"Every change of verdict ({len(changed):,}{kept})",
        table(
            ("when (UTC)", "pair", "verdict", "reason"), rows, words=(0, 1, 2, 3), told="Changes"
        ),
    )
