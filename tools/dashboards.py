"""Writes the three Grafana dashboards of deploy/grafana/dashboards from the panel lists below.

Run it by ``.venv/bin/python tools/dashboards.py`` when a panel has changed. Only kinds of panels
are used that Grafana's own components draw without a server: they can be looked at in pictures.
"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "deploy" / "grafana" / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
PAIR = '{pair=~"$pair"}'
RATE = "[$__rate_interval]"

GOOD, BAD = "green", "red"


def ask(expr: str, legend: str = "") -> dict[str, str]:
    return {"expr": expr, "legendFormat": legend}


def panel(
    kind: str,
    title: str,
    about: str,
    unit: str,
    *queries: dict[str, str],
    size: tuple[int, int] = (8, 8),
    steps: tuple[tuple[float | None, str], ...] = ((None, GOOD),),
    decimals: int | None = None,
    fill: bool = False,
    fixed: dict[str, str] | None = None,
) -> dict[str, Any]:
    """One panel; ``steps`` are thresholds and their colours, ``fixed`` a colour by legend."""
    instant = kind in ("stat", "bargauge", "table")
    defaults: dict[str, Any] = {
        "unit": unit,
        "color": {"mode": "palette-classic" if kind == "timeseries" else "thresholds"},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": color, "value": value} for value, color in steps],
        },
    }
    if decimals is not None:
        defaults["decimals"] = decimals
    if kind == "timeseries":
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 20 if fill else 0,
            "showPoints": "never",
            # Over a scrape that was missed, and not over the time between two trades.
            "spanNulls": 60_000,
        }
    targets = []
    for letter, query in zip("ABCDEF", queries, strict=False):
        target: dict[str, Any] = {"refId": letter, "datasource": SOURCE, **query}
        target |= {"instant": instant, "range": not instant}
        if kind == "table":
            target["format"] = "table"
        targets.append(target)
    overrides = [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}],
        }
        for name, color in (fixed or {}).items()
    ]
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": SOURCE,
        "gridPos": {"w": size[0], "h": size[1]},
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": overrides},
        "options": OPTIONS[kind],
    }


_LAST = {"calcs": ["lastNotNull"], "fields": "", "values": False}
OPTIONS: dict[str, dict[str, Any]] = {
    "stat": {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
        "reduceOptions": _LAST,
    },
    "bargauge": {
        "displayMode": "gradient",
        "orientation": "horizontal",
        "valueMode": "color",
        "reduceOptions": _LAST,
    },
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "table": {"showHeader": True, "cellHeight": "sm"},
}


def named(stat: dict[str, Any]) -> dict[str, Any]:
    """A stat that shows the name of its series, and not its number."""
    return stat | {"options": stat["options"] | {"textMode": "name"}}


def columns(table: dict[str, Any], order: list[str], value: str | None) -> dict[str, Any]:
    """A table with these columns, the number under the heading ``value`` or left out."""
    return table | {
        "transformations": [
            {
                "id": "organize",
                "options": {
                    "excludeByName": {"Time": True} | ({} if value else {"Value": True}),
                    "indexByName": {name: place for place, name in enumerate([*order, "Value"])},
                    "renameByName": {"Value": value} if value else {},
                },
            }
        ]
    }


def of_few(gauge: dict[str, Any]) -> dict[str, Any]:
    """Bars whose words stay small where there are one or two of them."""
    return gauge | {"options": gauge["options"] | {"text": {"titleSize": 14, "valueSize": 18}}}


def quantile(q: float, name: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({name}_bucket{RATE})))"


STATE = named(
    panel(
        "stat",
        "State",
        "What the bot is doing. Halted: a limit tripped, and nothing is entered until it clears.",
        "none",
        ask("fundarb_state == 1", "{{state}}"),
        size=(4, 4),
        steps=((None, "blue"),),
    )
)
RUNS = columns(
    panel(
        "table",
        "What runs",
        "Mode, venue and market. Synthetic true: every price is generated, and no money is real.",
        "none",
        ask("max by (mode, synthetic, venue, version) (fundarb_build_info)"),
        size=(8, 4),
    ),
    ["mode", "synthetic", "venue", "version"],
    None,
)

OVERVIEW = [
    STATE,
    panel(
        "stat",
        "Equity",
        "Worth of everything held, at mark.",
        "currencyUSD",
        ask("fundarb_equity_usd"),
        size=(4, 4),
        steps=((None, "text"),),
        decimals=2,
    ),
    panel(
        "stat",
        "Profit since the start",
        "All sources together: funding, fees, basis, slippage and the rest.",
        "currencyUSD",
        ask("sum(fundarb_pnl_usd)"),
        size=(4, 4),
        steps=((None, BAD), (0, GOOD)),
        decimals=2,
    ),
    panel(
        "stat",
        "Drawdown",
        "How far equity is below its highest. At risk.drawdown_max (0.1) the bot halts.",
        "percentunit",
        ask("1 - fundarb_equity_usd / fundarb_equity_peak_usd"),
        size=(4, 4),
        steps=((None, GOOD), (0.03, "orange"), (0.07, BAD)),
        decimals=2,
    ),
    RUNS,
    panel(
        "timeseries",
        "Profit by source",
        "Funding is what is wanted; fees, slippage and basis are what it costs. A basis that "
        "swings and comes back is the price of the coin that the two legs do not share.",
        "currencyUSD",
        ask("fundarb_pnl_usd", "{{source}}"),
        size=(12, 8),
        fixed={
            "funding": "green",
            "basis": "blue",
            "fees": "red",
            "slippage": "purple",
            "borrow": "yellow",
            "liquidation": "orange",
        },
    ),
    panel(
        "timeseries",
        "Funding: received, and what was forecast",
        "Of every payment, what came and what the forecast before it said, added up since this "
        "process began. Received that stays below forecast: the forecasts are too good.",
        "currencyUSD",
        ask("sum(fundarb_funding_received_usd)", "received"),
        ask("sum(fundarb_funding_expected_usd)", "forecast"),
        size=(12, 8),
        fixed={"received": "green", "forecast": "blue"},
    ),
    panel(
        "timeseries",
        "Equity",
        "Equity, its highest so far, and what was put in.",
        "currencyUSD",
        ask("fundarb_equity_usd", "equity"),
        ask("fundarb_equity_peak_usd", "highest"),
        ask("fundarb_capital_usd", "put in"),
        size=(12, 8),
    ),
    panel(
        "timeseries",
        "Notional held",
        "The larger leg of each pair, at mark.",
        "currencyUSD",
        ask("fundarb_position_notional_usd", "{{pair}}"),
        size=(12, 8),
        fill=True,
    ),
    of_few(
        panel(
            "bargauge",
            "Why not: entries refused, by check",
            "How often each check refused an entry since the start. The words of the last refusal "
            "are in `fundarb why PAIR`.",
            "none",
            ask(
                "sort_desc(sum by (gate) (fundarb_rejections_total)) or on () "
                'label_replace(vector(0), "gate", "none so far", "", "")',
                "{{gate}}",
            ),
            steps=((None, "blue"),),
        )
    ),
    columns(
        panel(
            "table",
            "Latest decision by pair",
            "What was last decided on each pair; expected net is the carry over the forecast's "
            "horizon less every cost still to be paid, a fraction of notional.",
            "percentunit",
            ask(
                "max by (pair, action) ((fundarb_decision == 1) * on (instance, job, pair) "
                "group_left fundarb_expected_net_carry_ratio)"
            ),
            decimals=2,
        ),
        ["pair", "action"],
        "expected net",
    ),
    panel(
        "bargauge",
        "Distance to liquidation",
        "How far the mark must still move, of mark. The guard acts long before zero.",
        "percentunit",
        ask("fundarb_liquidation_distance_ratio", "{{pair}}"),
        steps=((None, BAD), (0.1, "orange"), (0.25, GOOD)),
        decimals=1,
    ),
    panel(
        "timeseries",
        "One leg without the other",
        "What one leg holds and the other does not, beyond what can be traded. Zero is right; a "
        "spike is a trade being opened or closed.",
        "currencyUSD",
        ask("fundarb_unhedged_notional_usd", "{{pair}}"),
    ),
    panel(
        "timeseries",
        "Net delta",
        "Both legs together, at mark: what a move of the coin's price is felt on.",
        "currencyUSD",
        ask("fundarb_net_delta_usd", "{{pair}}"),
    ),
    panel(
        "timeseries",
        "Margin used",
        "Isolated margin behind all perps, of equity, at the last hourly valuation.",
        "percentunit",
        ask("fundarb_margin_used_ratio", "of equity"),
    ),
    panel(
        "stat",
        "Limits tripped",
        "More than none: nothing is entered. docs/operations.md has each limit.",
        "none",
        ask("sum(fundarb_limit_tripped) or vector(0)"),
        size=(4, 8),
        steps=((None, GOOD), (1, BAD)),
    ),
    panel(
        "stat",
        "Alarms of the last hour",
        "What a person was told, or should have been; by name in the machine room.",
        "none",
        ask('round(sum(increase(fundarb_alarms_total{job="fundarb"}[1h])))'),
        size=(4, 8),
        steps=((None, GOOD), (1, "orange")),
        decimals=0,
    ),
    panel(
        "stat",
        "Trades begun in the last hour",
        "By the wall clock, whatever pace a simulation runs at.",
        "none",
        ask("round(sum(increase(fundarb_trades_opened_total[1h])))"),
        size=(4, 8),
        steps=((None, "text"),),
        decimals=0,
    ),
    panel(
        "bargauge",
        "Exits by cause",
        "Decisions to close since this process began.",
        "none",
        ask("sort_desc(fundarb_exits_total)", "{{cause}}"),
        size=(12, 8),
        steps=((None, "blue"),),
    ),
]

PAIRS = [
    panel(
        "timeseries",
        "Funding, annualized: venue's estimate and forecast",
        "The venue's running estimate of the next rate, and the bot's forecast over its horizon, "
        "a year of it on notional. Positive: longs pay, and a short receives.",
        "percentunit",
        ask(f"8760 * fundarb_funding_rate_per_hour_ratio{PAIR}", "{{pair}} estimate"),
        ask(f"8760 * fundarb_predicted_funding_rate_per_hour_ratio{PAIR}", "{{pair}} forecast"),
        size=(12, 8),
    ),
    panel(
        "timeseries",
        "Funding, annualized: last paid",
        "The rate of the last payment on a position of ours.",
        "percentunit",
        ask(f"8760 * fundarb_paid_funding_rate_per_hour_ratio{PAIR}", "{{pair}}"),
        size=(12, 8),
    ),
    panel(
        "timeseries",
        "Funding received",
        "Per pair, added up since this process began.",
        "currencyUSD",
        ask(f"fundarb_funding_received_usd{PAIR}", "{{pair}} received"),
        ask(f"fundarb_funding_expected_usd{PAIR}", "{{pair}} forecast"),
    ),
    panel(
        "timeseries",
        "Expected net carry",
        "Over the forecast's horizon, less every cost still to be paid, of notional. An entry "
        "needs it well above zero.",
        "percentunit",
        ask(f"fundarb_expected_net_carry_ratio{PAIR}", "{{pair}}"),
    ),
    panel(
        "timeseries",
        "Basis",
        "Perp mark over spot mid, less one: what is lost or won when both legs are closed.",
        "percentunit",
        ask(f"fundarb_basis_ratio{PAIR}", "{{pair}}"),
    ),
    panel(
        "timeseries",
        "Notional held",
        "The larger leg, at mark.",
        "currencyUSD",
        ask(f"fundarb_position_notional_usd{PAIR}", "{{pair}}"),
        fill=True,
    ),
    panel(
        "timeseries",
        "Net delta",
        "Both legs together, at mark.",
        "currencyUSD",
        ask(f"fundarb_net_delta_usd{PAIR}", "{{pair}}"),
    ),
    panel(
        "timeseries",
        "Profit of the open trade, by source",
        "Zero without one.",
        "currencyUSD",
        ask(f"fundarb_pair_pnl_usd{PAIR}", "{{pair}} {{source}}"),
    ),
    panel(
        "timeseries",
        "Effective leverage",
        "Perp notional over the collateral committed to it.",
        "none",
        ask(f"fundarb_effective_leverage_ratio{PAIR}", "{{pair}}"),
        decimals=2,
    ),
    panel(
        "timeseries",
        "Distance to liquidation",
        "How far the mark must still move, of mark.",
        "percentunit",
        ask(f"fundarb_liquidation_distance_ratio{PAIR}", "{{pair}}"),
    ),
    panel(
        "bargauge",
        "Way gone to liquidation",
        "Share of the way from entry to liquidation that the mark has gone.",
        "percentunit",
        ask(f"fundarb_way_to_liquidation_ratio{PAIR}", "{{pair}}"),
        steps=((None, GOOD), (0.5, "orange"), (0.75, BAD)),
    ),
    panel(
        "timeseries",
        "Unhedged: notional",
        "What one leg holds and the other does not.",
        "currencyUSD",
        ask(f"fundarb_unhedged_notional_usd{PAIR}", "{{pair}}"),
    ),
    panel(
        "timeseries",
        "Unhedged: for how long",
        "In the engine's own seconds; zero while hedged.",
        "s",
        ask(f"fundarb_unhedged_seconds{PAIR}", "{{pair}}"),
    ),
    panel(
        "bargauge",
        "Funding overdue",
        "How long a payment has been due on a perp that is held.",
        "s",
        ask(f"fundarb_funding_overdue_seconds{PAIR}", "{{pair}}"),
        steps=((None, GOOD), (300, "orange"), (900, BAD)),
    ),
    panel(
        "bargauge",
        "Age of the latest decision",
        "Decisions are put down when they change, and hourly.",
        "s",
        ask(
            "fundarb_clock_timestamp_seconds - on (instance, job) group_right () "
            f"fundarb_last_decision_timestamp_seconds{PAIR}",
            "{{pair}}",
        ),
        steps=((None, GOOD), (3700, "orange"), (7200, BAD)),
        size=(12, 8),
    ),
    panel(
        "bargauge",
        "Trades begun and closed",
        "Since this process began.",
        "none",
        ask(f"fundarb_trades_opened_total{PAIR}", "{{pair}} begun"),
        ask(f"fundarb_trades_closed_total{PAIR}", "{{pair}} closed"),
        steps=((None, "blue"),),
        size=(12, 8),
    ),
]

MACHINE = [
    STATE,
    panel(
        "stat",
        "Age of this page",
        "Since the bot last brought its metrics up to date, by the wall clock. Large: it hangs.",
        "s",
        ask("time() - fundarb_heartbeat_timestamp_seconds"),
        size=(4, 4),
        steps=((None, GOOD), (15, "orange"), (30, BAD)),
        decimals=0,
    ),
    panel(
        "stat",
        "Differences to the venue",
        "Found by the last reconciliation. More than none: nothing is entered.",
        "none",
        ask("fundarb_reconciliation_mismatches"),
        size=(4, 4),
        steps=((None, GOOD), (1, BAD)),
    ),
    panel(
        "stat",
        "Last reconciliation",
        "How long ago books and venue last agreed, in the engine's time.",
        "s",
        ask("fundarb_clock_timestamp_seconds - fundarb_last_reconciliation_timestamp_seconds"),
        size=(4, 4),
        steps=((None, GOOD), (120, "orange"), (600, BAD)),
    ),
    panel(
        "stat",
        "Orders in doubt",
        "Orders whose fate is not proven; each keeps its full size reserved.",
        "none",
        ask("fundarb_unknown_orders"),
        size=(4, 4),
        steps=((None, GOOD), (1, "orange")),
    ),
    panel(
        "stat",
        "Oldest doubt",
        "How long the oldest of them has been so.",
        "s",
        ask("fundarb_unknown_order_age_seconds"),
        size=(4, 4),
        steps=((None, GOOD), (10, "orange"), (60, BAD)),
    ),
    panel(
        "timeseries",
        "Since each loop got on",
        "decide: anything was decided; public, private: a message on the stream; account: the "
        "account was read. In the engine's time.",
        "s",
        ask(
            "fundarb_clock_timestamp_seconds - on (instance, job) group_right () "
            "fundarb_loop_timestamp_seconds",
            "{{loop}}",
        ),
        ask(
            "fundarb_clock_timestamp_seconds - fundarb_last_market_data_timestamp_seconds",
            "newest quote",
        ),
    ),
    panel(
        "timeseries",
        "How late the loop wakes up",
        "Against what it asked for. A busy or swapping machine shows here first.",
        "s",
        ask(quantile(0.5, "fundarb_loop_lag_seconds"), "median"),
        ask(quantile(0.99, "fundarb_loop_lag_seconds"), "99 of 100"),
    ),
    panel(
        "timeseries",
        "Journal commits: how long",
        "Each has to be on the disk before an order leaves.",
        "s",
        ask(quantile(0.5, "fundarb_journal_commit_seconds"), "median"),
        ask(quantile(0.99, "fundarb_journal_commit_seconds"), "99 of 100"),
    ),
    panel(
        "timeseries",
        "Journal: how many",
        "Commits and facts a second. Both at zero for long: nothing happens any more.",
        "ops",
        ask(f"rate(fundarb_journal_commit_seconds_count{RATE})", "commits"),
        ask(f"rate(fundarb_journal_events_total{RATE})", "facts"),
    ),
    panel(
        "timeseries",
        "Orders a minute, by how they ended",
        "Rejected should be rare; canceled are makers that were not filled.",
        "none",
        ask(f"60 * sum by (state) (rate(fundarb_orders_total{RATE}))", "{{state}}"),
        ask(f"60 * rate(fundarb_orders_sent_total{RATE})", "sent"),
    ),
    panel(
        "timeseries",
        "From intent to the venue's first word",
        "Of all orders of this process, in the engine's time.",
        "s",
        ask(
            "histogram_quantile(0.5, sum by (le, leg) (fundarb_order_latency_seconds_bucket)) >= 0",
            "{{leg}} median",
        ),
        ask(
            "histogram_quantile(0.95, "
            "sum by (le, leg) (fundarb_order_latency_seconds_bucket)) >= 0",
            "{{leg}} 95 of 100",
        ),
    ),
    panel(
        "timeseries",
        "Slippage",
        "Fills of this process against the mid at the decision; positive is worse.",
        "percentunit",
        ask(
            "histogram_quantile(0.5, sum by (le, leg) (fundarb_slippage_ratio_bucket)) > -1",
            "{{leg}} median",
        ),
        size=(8, 14),
        decimals=3,
    ),
    panel(
        "bargauge",
        "Alarms, by name",
        "Since the process began, the watchdog's included. docs/runbook.md says what each is.",
        "none",
        ask("sort_desc(sum by (alarm) (fundarb_alarms_total))", "{{alarm}}"),
        steps=((None, GOOD), (1, "orange")),
        size=(8, 14),
    ),
    panel(
        "bargauge",
        "Limits tripped, how often",
        "Since this process began.",
        "none",
        ask("sort_desc(fundarb_halts_total)", "{{limit}}"),
        steps=((None, GOOD), (1, "orange")),
        size=(8, 14),
    ),
    panel(
        "stat",
        "Doubts, bad messages, broken lines",
        "Since this process began: orders without an answer to be trusted, those proven, "
        "what the venue said that could not be believed, and connections that ended.",
        "none",
        ask("fundarb_orders_doubted_total", "doubted"),
        ask("fundarb_order_doubt_seconds_count", "proven"),
        ask("sum(fundarb_bad_messages_total) or vector(0)", "bad messages"),
        ask("sum(fundarb_disconnections_total) or vector(0)", "broken lines"),
        steps=((None, "text"),),
        size=(8, 4),
    ),
    panel(
        "stat",
        "Naked, at worst",
        "The largest notional that one leg ever held without the other.",
        "currencyUSD",
        ask("fundarb_unhedged_largest_usd"),
        size=(4, 4),
        steps=((None, "text"),),
    ),
    panel(
        "stat",
        "Naked, at longest",
        "The longest that two legs ever differed, in the engine's time.",
        "s",
        ask("fundarb_unhedged_longest_seconds"),
        size=(4, 4),
        steps=((None, GOOD), (15, "orange"), (60, BAD)),
    ),
    panel(
        "stat",
        "Margin",
        "Isolated margin behind all perps.",
        "currencyUSD",
        ask("fundarb_margin_usd"),
        size=(4, 4),
        steps=((None, "text"),),
    ),
    panel(
        "stat",
        "Last funding payment",
        "How long ago, in the engine's time.",
        "s",
        ask("fundarb_clock_timestamp_seconds - fundarb_last_funding_event_timestamp_seconds"),
        size=(4, 4),
        steps=((None, "text"),),
    ),
    panel(
        "stat",
        "Who answers",
        "The bot's page, and those of `fundarb watchdog` and `fundarb notify` where there were any "
        "within a day: 1 it answers, 0 it does not.",
        "none",
        ask(
            'up{job="fundarb"} or '
            '(up{job=~"fundarb-.+"} and max_over_time(up{job=~"fundarb-.+"}[1d]) > 0)',
            "{{job}}",
        ),
        size=(8, 4),
        steps=((None, BAD), (1, GOOD)),
    ),
    panel(
        "stat",
        "Running for",
        "Since the first start of the state directory, in the engine's time.",
        "s",
        ask("fundarb_clock_timestamp_seconds - fundarb_start_timestamp_seconds"),
        size=(4, 4),
        steps=((None, "text"),),
    ),
    panel(
        "stat",
        "Room on the disk",
        "Left where the state directory is.",
        "bytes",
        ask("fundarb_disk_free_bytes"),
        size=(4, 4),
        steps=((None, BAD), (10**9, "text")),
    ),
    panel(
        "stat",
        "Memory",
        "Of the bot's process.",
        "bytes",
        ask('process_resident_memory_bytes{job="fundarb"}'),
        size=(4, 4),
        steps=((None, "text"),),
    ),
    panel(
        "stat",
        "Processor",
        "Cores in use by the bot's process.",
        "none",
        ask(f'rate(process_cpu_seconds_total{{job="fundarb"}}{RATE})'),
        size=(4, 4),
        steps=((None, "text"),),
        decimals=2,
    ),
    panel(
        "stat",
        "Messages that have not arrived",
        "What some channel of `fundarb notify` does not have yet. No data where none runs.",
        "none",
        ask("sum by (severity) (fundarb_messages_waiting)", "{{severity}}"),
        size=(8, 4),
        steps=((None, GOOD), (1, "orange")),
    ),
    panel(
        "stat",
        "Oldest of them",
        "For how long it has been tried.",
        "s",
        ask("time() - min(fundarb_messages_waiting_since_timestamp_seconds) or vector(0)"),
        size=(4, 4),
        steps=((None, GOOD), (60, "orange"), (180, BAD)),
        decimals=0,
    ),
    panel(
        "stat",
        "Deliveries",
        "Since `fundarb notify` began, each channel for itself; failed ones are tried again. Given "
        "up: more waited than may.",
        "none",
        ask("sum by (outcome) (fundarb_deliveries_total)", "{{outcome}}"),
        ask("sum(fundarb_messages_given_up_total)", "given up"),
        size=(6, 4),
        steps=((None, "text"),),
    ),
    panel(
        "stat",
        "Strangers",
        "Messages to the Telegram bot from who is on no list; none of them is answered.",
        "none",
        ask("sum(fundarb_telegram_strangers_total)"),
        size=(3, 4),
        steps=((None, "text"),),
    ),
    panel(
        "stat",
        "Looked for alarms",
        "How long ago `fundarb notify` did, by the wall clock.",
        "s",
        ask("time() - fundarb_notify_heartbeat_timestamp_seconds"),
        size=(3, 4),
        steps=((None, GOOD), (30, "orange"), (120, BAD)),
        decimals=0,
    ),
]


def annotation(name: str, expr: str, title: str, color: str) -> dict[str, Any]:
    return {
        "name": name,
        "enable": True,
        "datasource": SOURCE,
        "expr": expr,
        "iconColor": color,
        "titleFormat": title,
        "step": "15s",
    }


ANNOTATIONS = [
    annotation("Entries", "increase(fundarb_trades_opened_total[30s]) > 0", "{{pair}} in", GOOD),
    annotation("Exits", "increase(fundarb_trades_closed_total[30s]) > 0", "{{pair}} out", "blue"),
    annotation("Halts", "increase(fundarb_halts_total[30s]) > 0", "{{limit}}", BAD),
    annotation(
        "Restarts", 'changes(process_start_time_seconds{job="fundarb"}[1m]) > 0', "restart",
        "orange",
    ),
]  # fmt: skip


def placed(panels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Panels from left to right, top to bottom; each row as high as its highest."""
    at_x = at_y = height = 0
    done = []
    for number, each in enumerate(panels, 1):
        size = each["gridPos"]
        if at_x + size["w"] > 24:
            at_x, at_y, height = 0, at_y + height, 0
        done.append({"id": number, **each, "gridPos": {"x": at_x, "y": at_y, **size}})
        at_x, height = at_x + size["w"], max(height, size["h"])
    return done


def dashboard(uid: str, title: str, about: str, panels: list[dict[str, Any]]) -> dict[str, Any]:
    variables: list[dict[str, Any]] = [
        {
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
            "refresh": 1,
            "hide": 0,
            "includeAll": False,
            "multi": False,
            "current": {},
        }
    ]
    if panels is PAIRS:
        names = "label_values(fundarb_position_notional_usd, pair)"
        variables.append(
            {
                "name": "pair",
                "label": "Pair",
                "type": "query",
                "datasource": SOURCE,
                "query": {"query": names, "refId": "pair"},
                "definition": names,
                "refresh": 2,
                "sort": 1,
                "hide": 0,
                "includeAll": True,
                "allValue": ".*",
                "multi": True,
                "current": {"text": ["All"], "value": ["$__all"]},
            }
        )
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["fundarb"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-15m", "to": "now"},
        "timezone": "utc",
        "annotations": {"list": ANNOTATIONS},
        "links": [
            {
                "title": "fundarb",
                "type": "dashboards",
                "tags": ["fundarb"],
                "asDropdown": False,
                "keepTime": True,
            }
        ],
        "templating": {"list": variables},
        "panels": placed(panels),
    }


def dashboards() -> dict[str, str]:
    """File name to its text."""
    made = (
        dashboard(
            "fundarb-overview",
            "fundarb: overview",
            "What it holds, what it earned and from where, and why it does not trade.",
            OVERVIEW,
        ),
        dashboard(
            "fundarb-pairs",
            "fundarb: pairs",
            "One pair, or several: rates, legs, leverage, and the profit of the open trade.",
            PAIRS,
        ),
        dashboard(
            "fundarb-machine",
            "fundarb: machine room",
            "Whether the program itself is well: loops, journal, orders, doubts, alarms.",
            MACHINE,
        ),
    )
    return {
        f"{each['uid'].removeprefix('fundarb-')}.json": json.dumps(each, indent=1) + "\n"
        for each in made
    }


def main() -> None:
    for name, text in dashboards().items():
        (FOLDER / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
