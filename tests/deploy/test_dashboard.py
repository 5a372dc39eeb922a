"""Dashboards that Grafana would load without a word, asking only for what the bot exports."""

import json
from collections import Counter
from itertools import combinations
from typing import Any

import promql_parser
import pytest

from execution.metrics import FAMILIES, NOTIFY, RECORDED, WATCHDOG
from tools import dashboards

KINDS = {"timeseries", "stat", "bargauge", "table"}
UNITS = {"bytes", "currencyUSD", "none", "ops", "percentunit", "s"}
PROCESS = {
    "process_start_time_seconds",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
    "up",
}
OURS = {
    *(family.name for family in FAMILIES),
    *(family.name for family in NOTIFY),
    *(each.name for each in WATCHDOG),
    *(each.name for each in RECORDED if each.kind != "histogram"),
    *(
        f"{each.name}_{part}"
        for each in RECORDED
        if each.kind == "histogram"
        for part in ("bucket", "sum", "count")
    ),
}
# Only alert rules read these: a paper bot has no key that expires, and no watchdog.
NOT_SHOWN = {
    "fundarb_agent_expiry_timestamp_seconds",
    "fundarb_watchdog_heartbeat_timestamp_seconds",
}


@pytest.fixture
def panels(dashboard: Any) -> list[Any]:
    assert isinstance(dashboard["panels"], list)
    return dashboard["panels"]


def metric_names(query: str) -> set[str]:
    """Names of all metrics that a PromQL expression reads; raises where it does not parse."""
    names: set[str] = set()

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            assert node.name is not None, query
            names.add(node.name)
        for part in ("lhs", "rhs", "expr", "vector_selector", "param"):
            if (child := getattr(node, part, None)) is not None:
                visit(child)
        for child in getattr(node, "args", ()):
            visit(child)

    visit(promql_parser.parse(query))
    return names


def test_it_is_in_the_form_of_a_released_grafana(dashboard: Any) -> None:
    assert 39 <= dashboard["schemaVersion"] <= 41
    assert dashboard["uid"].startswith("fundarb-")


def test_the_files_are_what_the_panel_lists_say(deploy: Any) -> None:
    folder = deploy / "grafana" / "dashboards"
    written = {path.name: path.read_text("utf-8") for path in folder.iterdir()}

    assert written == dashboards.dashboards(), "run tools/dashboards.py"


def test_each_is_linked_with_the_others_and_has_its_own_name(deploy: Any) -> None:
    made = [json.loads(text) for text in dashboards.dashboards().values()]

    assert len({each["uid"] for each in made}) == len({each["title"] for each in made}) == 3
    assert all("fundarb" in each["tags"] for each in made)


def test_entries_exits_and_halts_are_annotated(dashboard: Any) -> None:
    names = {annotation["name"] for annotation in dashboard["annotations"]["list"]}

    assert names == {"Entries", "Exits", "Halts", "Restarts"}


def test_every_panel_has_its_own_id_and_title(panels: list[Any]) -> None:
    assert max(Counter(panel["id"] for panel in panels).values()) == 1
    assert max(Counter((panel["title"], panel["type"]) for panel in panels).values()) == 1


def test_no_two_panels_overlap_and_none_leaves_the_page(panels: list[Any]) -> None:
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, panel["title"]
    for one, other in combinations(panels, 2):
        a, b = one["gridPos"], other["gridPos"]
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, (one["title"], other["title"])


def test_every_panel_says_what_it_shows_in_what_unit(panels: list[Any]) -> None:
    for panel in panels:
        assert panel["type"] in KINDS, panel["title"]
        assert len(panel["description"]) > 15, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["targets"], panel["title"]


def test_the_data_source_is_the_viewers_choice_everywhere(dashboard: Any) -> None:
    found: list[Any] = []

    def visit(node: Any) -> None:
        if isinstance(node, dict):
            found.extend([node["datasource"]] if "datasource" in node else [])
            for value in node.values():
                visit(value)
        elif isinstance(node, list):
            for value in node:
                visit(value)

    visit(dashboard)
    variable = dashboard["templating"]["list"][0]
    assert (variable["name"], variable["type"]) == ("datasource", "datasource")
    assert found
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in found)


def test_every_query_parses_and_reads_only_what_is_exported(queries: list[tuple[str, str]]) -> None:
    exported = OURS | PROCESS

    for title, query in queries:
        names = metric_names(query)
        assert names, (title, query)
        assert names <= exported, (title, query)


def test_every_exported_metric_is_on_a_panel(queries: list[tuple[str, str]]) -> None:
    shown = {name for _, query in queries for name in metric_names(query)}
    parts = ("_bucket", "_sum", "_count")
    whole = {name.removesuffix(part) for name in shown for part in ("", *parts)}

    every: tuple[Any, ...] = (*FAMILIES, *RECORDED, *NOTIFY, *WATCHDOG)
    assert {family.name for family in every} - whole == NOT_SHOWN


def test_annotations_and_variables_read_only_what_is_exported(dashboard: Any) -> None:
    exported = OURS | PROCESS

    for annotation in dashboard["annotations"]["list"]:
        assert metric_names(annotation["expr"]) <= exported
    for variable in dashboard["templating"]["list"][1:]:
        assert variable["definition"].removeprefix("label_values(").split(",")[0] in exported
