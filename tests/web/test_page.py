"""The view behind the page, and what is sent of it."""

from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from bot.web.page import Page, changes, page_of
from domain.time import HOUR
from execution.snapshot import Snapshot
from tests.web.bots import EMPTY, HALTED, PAGE, many, replace
from tools.terminal_picture import paper_run

PAGES = [
    EMPTY,
    PAGE,
    HALTED,
    replace(PAGE, points=PAGE.points[:7]),
    replace(PAGE, paused=True, orders=()),
    *(replace(PAGE, snapshot=replace(PAGE.snapshot, pairs=many(4, step))) for step in range(3)),
]


class Reader:
    """Who listens to a stream from its start."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {"snapshot": {}, "pairs": {}, "points": []}

    def hear(self, told: dict[str, Any]) -> None:
        self.known["snapshot"].update(told["snapshot"])
        self.known["pairs"].update(told["pairs"])
        self.known["points"] += told["points"]
        for name in ("paused", "limits", "orders", "happened"):
            if name in told:
                self.known[name] = told[name]


@given(st.lists(st.sampled_from(PAGES), min_size=1, max_size=6))
def test_who_hears_every_change_knows_everything(pages: list[Page]) -> None:
    reader, before = Reader(), None
    for page in pages:
        reader.hear(changes(before, page))
        before = page

    last = pages[-1]
    fields = {name for name in Snapshot.__struct_fields__ if name != "pairs"}
    assert reader.known["snapshot"] == {name: getattr(last.snapshot, name) for name in fields}
    assert reader.known["pairs"].items() >= {p.pair: p for p in last.snapshot.pairs}.items()
    for name in ("paused", "limits", "orders", "happened"):
        assert reader.known[name] == getattr(last, name)


def test_what_did_not_change_is_not_sent_again() -> None:
    told = changes(PAGE, replace(PAGE, snapshot=replace(PAGE.snapshot, equity=Decimal(7))))

    assert told == {"snapshot": {"equity": Decimal(7)}, "pairs": {}, "points": []}


def test_the_view_of_a_real_run_goes_through_json_and_back() -> None:
    page = page_of(paper_run(30 * HOUR))

    assert msgspec.json.decode(msgspec.json.encode(page), type=Page) == page
    assert page.orders
    assert len(page.points) >= 29
    assert any("planned" in line.what for line in page.happened)
    assert page.points[-1].pnl.total == page.points[-1].equity - page.snapshot.capital


def test_looking_changes_nothing() -> None:
    seen, unseen = paper_run(HOUR), paper_run(HOUR)
    for _ in range(3):
        page_of(seen)
        for run in (seen, unseen):
            run.advance(run.venue.now_ns + HOUR)

    assert seen.facts() == unseen.facts()
