"""Alert rules: each tested, explained, and arriving by way of real programs."""

import json
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import promql_parser
import pytest
import yaml

from bot.clock import SystemClock
from bot.instruments import load_pairs
from bot.monitor import Monitor, WatchdogMonitor
from domain.time import HOUR, SECOND
from execution.effects import RaiseAlarm
from execution.facts import OrderIntended, Role
from execution.metrics import NOTIFY, Metrics, Telling, serve
from execution.recorder import ALARMS
from execution.risk.halts import CONDITIONS, LATCHED
from tests.deploy.processes import (
    DEPLOY,
    ROOT,
    alertmanager,
    free_port,
    paper_bot,
    prometheus,
    wait_until,
)
from tests.deploy.test_dashboard import OURS, PROCESS, metric_names
from tests.example_snapshot import HYPE, SNAPSHOT

RULES = DEPLOY / "prometheus" / "rules" / "fundarb.yml"
TESTS = DEPLOY / "prometheus" / "tests" / "fundarb.yml"
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()


# --- the files -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_is_wrong_how_bad_it_is_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]

    assert rule["labels"]["severity"] in ("critical", "warning", "none")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"].startswith("docs/runbook.md#fundarb")
    anchors = {h.lower() for h in re.findall(r"^## (Fundarb\w+)$", RUNBOOK, re.MULTILINE)}
    assert rule["annotations"]["runbook_url"].partition("#")[2] in anchors


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_reads_only_what_is_exported(name: str) -> None:
    promql_parser.parse(ALERTS[name]["expr"])

    if name != "FundarbAlive":
        assert metric_names(ALERTS[name]["expr"]) <= OURS | PROCESS


def test_every_limit_is_told_of() -> None:
    assert limits_of("FundarbHalted") == set(LATCHED)
    assert limits_of("FundarbHeldUp") == set(CONDITIONS)


def limits_of(name: str) -> set[str]:
    told = re.search(r'limit=~"([\w|]+)"', ALERTS[name]["expr"])
    assert told is not None
    return set(told[1].split("|"))


def test_every_alarm_of_the_bots_own_is_in_the_runbook() -> None:
    first_cells = re.findall(r"^\| (`.*?) \|", RUNBOOK, re.MULTILINE)

    of_notify = "alarms_lost"
    assert sorted(re.findall(r"`(\w+)`", " ".join(first_cells))) == sorted({*ALARMS, of_notify})


def test_every_alert_is_seen_to_fire_and_seen_not_to() -> None:
    cases: dict[str, list[bool]] = {}
    for test in yaml.safe_load(TESTS.read_text())["tests"]:
        for case in test["promql_expr_test"]:
            alert = re.search(r'alertname="(\w+)"', case["expr"])
            assert alert is not None
            cases.setdefault(alert[1], []).append(bool(case["exp_samples"]))

    assert set(cases) == set(ALERTS)
    for name, fired in cases.items():
        assert set(fired) == ({True} if name == "FundarbAlive" else {True, False}), name


@pytest.mark.prometheus
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_programs_themselves_take_rules_tests_and_routing(programs: dict[str, str]) -> None:
    commands: tuple[list[str | Path], ...] = (
        [programs["promtool"], "check", "config", DEPLOY / "prometheus" / "prometheus.yml"],
        [programs["promtool"], "check", "rules", RULES],
        [programs["promtool"], "test", "rules", TESTS],
        [programs["amtool"], "check-config", DEPLOY / "alertmanager" / "alertmanager.yml"],
    )
    for command in commands:
        checked = subprocess.run(command, capture_output=True, check=False)
        assert checked.returncode == 0, (checked.stdout + checked.stderr).decode()


# --- the chain -------------------------------------------------------------------------------


class Webhook:
    """Where alerts arrive: ``firing`` has the names, by the path they came to; ``resolved`` the
    name and the instance of what is over."""

    def __init__(self) -> None:
        self.firing: dict[str, set[str]] = {}
        self.resolved: set[tuple[str, str]] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["content-length"])))
                for alert in told["alerts"]:
                    name = alert["labels"]["alertname"]
                    if alert["status"] == "firing":
                        outer.firing.setdefault(self.path, set()).add(name)
                    else:
                        outer.resolved.add((name, alert["labels"].get("instance", "")))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    made = Webhook()
    yield made
    made.close()


def impatient(folder: Path) -> None:
    """The shipped rules, with every ``for`` cut to a second: what they mean is tested above."""
    text = RULES.read_text()
    (folder / "rules").mkdir()
    (folder / "rules" / "fundarb.yml").write_text(re.sub(r"for: \w+", "for: 1s", text))


class Chain(ExitStack):
    """Prometheus and Alertmanager between the bot's pages at ``bots`` and a webhook."""

    def __init__(
        self,
        programs: dict[str, str],
        folder: Path,
        webhook: Webhook,
        bots: str,
        watchdog: str,
        notify: str = "",
    ) -> None:
        super().__init__()
        impatient(folder)
        alerts_to = f"127.0.0.1:{free_port()}"
        (folder / "am").mkdir()
        self.enter_context(
            alertmanager(programs, folder / "am", alerts_to, {"127.0.0.1:9466": webhook.address})
        )
        self.prometheus = self.enter_context(
            prometheus(
                programs,
                folder,
                f"127.0.0.1:{free_port()}",
                {
                    '"127.0.0.1:9464"': bots,
                    '"127.0.0.1:9465"': watchdog,
                    '"127.0.0.1:9466"': notify or f'"127.0.0.1:{free_port()}"',
                    "127.0.0.1:9093": alerts_to,
                },
            )
        )


def ailing() -> tuple[Any, int]:
    """A picture on which everything is wrong that a picture can show, and the bot's clock."""
    now_ns = SystemClock().now_ns()
    pair = msgspec.structs.replace(
        HYPE,
        net_delta=Decimal(5),
        naked_seconds=45.0,
        way_gone=0.8,
        liquidation_distance=0.05,
        funding_hourly=-0.0001,
    )
    picture = msgspec.structs.replace(
        SNAPSHOT,
        mode="testnet",
        time_ns=now_ns,
        equity=Decimal(100),
        pairs=(pair,),
        limits=("drawdown", "stale_data"),
        mismatches=2,
        unknown_since_ns=now_ns - 90 * SECOND,
        last_market_ns=now_ns - 120 * SECOND,
        last_reconciled_ns=now_ns - HOUR,
    )
    return picture, now_ns


@pytest.mark.prometheus
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_condition_of_every_alert_arrives_at_the_webhook(
    programs: dict[str, str], tmp_path: Path, webhook: Webhook
) -> None:
    """A page of the bot's own with everything wrong, one of a bot that has not begun, one that
    answers nothing, a watchdog that no longer looks, and messages that do not arrive."""
    picture, now_ns = ailing()
    pairs = load_pairs("simulated", ("HYPE",))
    bot, unborn, dog = Monitor(0, pairs), Monitor(0, pairs), WatchdogMonitor(0)
    dog._made.gauges["fundarb_watchdog_heartbeat_timestamp_seconds"].set(now_ns / SECOND - 60)
    agent_until_ns = now_ns + 23 * HOUR
    bot.recorder.shown(msgspec.structs.replace(picture, time_ns=now_ns - 3 * HOUR))
    bot.show(picture, now_ns, {"private": now_ns - 120 * SECOND}, agent_until_ns)
    shown = bot._metrics._shown
    assert shown is not None
    bot._metrics.update(msgspec.structs.replace(shown, wall_ns=now_ns - 60 * SECOND))
    places = [each.url.split("/")[2] for each in (bot, unborn)] + [f"127.0.0.1:{free_port()}"]
    listed = ", ".join(f'"{place}"' for place in places)
    mute = Metrics(NOTIFY)
    mute.update(not_arriving(now_ns))
    teller = serve(mute.registry, 0)
    beside = (f'"{page.url.split("/")[2]}"' for page in (dog, teller))
    chain = Chain(programs, tmp_path, webhook, listed, *beside)
    number = 0

    def all_arrived() -> bool:
        nonlocal number
        number += 1
        went_wrong(bot, number, now_ns)
        arrived = webhook.firing.get("/alerts", set())
        wanted = set(ALERTS) - {"FundarbAlive", *hushed}
        return arrived >= wanted and "/alive" in webhook.firing

    # An alert that another one makes superfluous is not sent (inhibit_rules).
    hushed = {
        "FundarbHalfWayToLiquidation",
        "FundarbAgentExpires",
        "FundarbAgentExpiresSoon",
    }
    try:
        with chain:
            try:
                wait_until(all_arrived, chain.prometheus, "every alert", 45.0)
            finally:
                arrived = webhook.firing.get("/alerts", set())
                missing = set(ALERTS) - arrived - hushed - {"FundarbAlive"}
                assert not missing, missing
            arrived = webhook.firing["/alerts"]
            assert webhook.firing["/alive"] == {"FundarbAlive"}
            assert not arrived & hushed
    finally:
        for page in (bot, unborn, dog, teller):
            page.close()


def not_arriving(now_ns: int) -> Telling:
    """By what `fundarb notify` last showed, an hour ago."""
    waiting = {"critical": (now_ns - HOUR,), "warning": (now_ns - HOUR,), "info": ()}
    return Telling(now_ns - HOUR, waiting, delivered=0, failed=9, given_up=0, strangers=0)


def went_wrong(bot: Monitor, number: int, now_ns: int) -> None:
    """Things that have to go on happening for a rate of them to be seen."""
    recorder = bot.recorder
    for alarm in ("margin_guard", "fill_not_ordered", "trader_silent"):
        recorder.alarm(RaiseAlarm(alarm, "injected", now_ns))
    recorder.woke_late(0.7)
    for fact in refused(number, now_ns):
        recorder.fact(fact)
    snapshot = bot._metrics._shown
    assert snapshot is not None
    orders = {"sent": 10 * number, "rejected": 5 * number}
    many = {"public": 20 * number}
    bot._metrics.update(
        msgspec.structs.replace(
            snapshot, orders=orders, bad_messages=many, disconnections=many, disk_free=10**8
        )
    )


def refused(number: int, now_ns: int) -> Iterator[Any]:
    """An order whose refusal takes four seconds, and a payment at a rate that has turned."""
    from domain.account import FundingPayment
    from domain.money import Money
    from domain.orders import OrderRejected, OrderRequest, Side, TimeInForce

    (pair,) = load_pairs("simulated", ("HYPE",))
    cloid, later = f"0x{number:032x}", now_ns + 4 * SECOND
    one = Decimal(1)
    request = OrderRequest(cloid, pair.spot.id, Side.BUY, one, one, TimeInForce.IOC, False, later)
    yield OrderIntended(request, "HYPE#1", Role.TAKE, one, now_ns)
    yield OrderRejected(cloid, "injected", later, later)
    if number == 1:
        paid = Money(Decimal("-0.01"), "USDC")
        rate = Decimal("-0.0001")
        yield FundingPayment(
            "1", pair.perp.id, Decimal(-10), one, rate, 1, paid, now_ns, now_ns - 3 * HOUR
        )


@pytest.mark.prometheus
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_real_bot_that_halts_hangs_and_dies_is_told_of(
    programs: dict[str, str], tmp_path: Path, webhook: Webhook
) -> None:
    (tmp_path / "bot").mkdir()
    tiny = "[risk]\ndrawdown_max = 0.0001\ndaily_loss_max = 0.00005\n"
    with paper_bot(tmp_path / "bot", tiny) as (url, bot):
        place = url.split("/")[2]
        chain = Chain(programs, tmp_path, webhook, f'"{place}"', f'"127.0.0.1:{free_port()}"')
        with chain:

            def arrived(name: str) -> bool:
                return name in webhook.firing.get("/alerts", set())

            wait_until(lambda: arrived("FundarbHalted"), bot, "the halt")
            assert not arrived("FundarbDown")
            assert not arrived("FundarbWatchdogSilent")  # a paper bot needs none
            bot.send_signal(signal.SIGSTOP)
            wait_until(lambda: arrived("FundarbDown"), chain.prometheus, "the hang")
            bot.send_signal(signal.SIGCONT)
            over = ("FundarbDown", place)
            wait_until(lambda: over in webhook.resolved, chain.prometheus, "that it is back")
            webhook.firing.clear()
            bot.kill()
            bot.wait()
            wait_until(lambda: arrived("FundarbDown"), chain.prometheus, "the end")
