import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from domain.targets import Action
from domain.time import SECOND
from execution.metrics import FAMILIES, STATES, Metrics, serve
from execution.snapshot import Snapshot
from tests.example_snapshot import SNAPSHOT


def exposed(snapshot: Snapshot) -> dict[tuple[str, ...], float]:
    """(name, label value, …) to value, as a scrape would read it."""
    metrics = Metrics(FAMILIES)
    metrics.update(snapshot)
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(generate_latest(metrics.registry).decode())
        for sample in family.samples
        if sample.name.startswith("fundarb_")
    }


def test_equity_and_profit_by_source_are_what_the_snapshot_says() -> None:
    samples = exposed(SNAPSHOT)

    assert samples["fundarb_equity_usd",] == 1000.94
    assert samples["fundarb_pnl_usd", "funding"] == 1.25
    assert samples["fundarb_pnl_usd", "fees"] == -0.31


def test_the_sources_of_profit_sum_to_the_total() -> None:
    samples = exposed(SNAPSHOT)

    total = sum(value for key, value in samples.items() if key[0] == "fundarb_pnl_usd")
    assert total == pytest.approx(float(SNAPSHOT.pnl.total))


def test_a_pair_is_named_by_its_label_and_measured_at_mark() -> None:
    samples = exposed(SNAPSHOT)

    assert samples["fundarb_position_notional_usd", "HYPE"] == 400.4
    assert samples["fundarb_net_delta_usd", "HYPE"] == pytest.approx(0.4)
    assert samples["fundarb_effective_leverage_ratio", "HYPE"] == 2
    assert samples["fundarb_liquidation_distance_ratio", "HYPE"] == 0.45
    assert samples["fundarb_predicted_funding_rate_per_hour_ratio", "HYPE"] == 0.00004


def test_what_is_unknown_is_absent_and_never_zero() -> None:
    samples = exposed(SNAPSHOT)

    assert ("fundarb_funding_rate_per_hour_ratio", "BTC") not in samples
    assert ("fundarb_effective_leverage_ratio", "BTC") not in samples
    assert ("fundarb_last_reconciliation_timestamp_seconds",) not in samples
    assert samples["fundarb_position_notional_usd", "BTC"] == 0


def test_exactly_one_state_is_one() -> None:
    for state in STATES:
        samples = exposed(msgspec.structs.replace(SNAPSHOT, state=state))

        assert [name for name in STATES if samples["fundarb_state", name] == 1] == [state]


def test_a_tripped_limit_has_a_series_and_a_cleared_one_none() -> None:
    assert exposed(SNAPSHOT)["fundarb_limit_tripped", "drawdown"] == 1

    cleared = exposed(msgspec.structs.replace(SNAPSHOT, limits=()))
    assert ("fundarb_limit_tripped", "drawdown") not in cleared


def test_totals_are_counters_that_follow_the_snapshot() -> None:
    samples = exposed(SNAPSHOT)

    assert samples["fundarb_orders_sent_total",] == 4
    assert samples["fundarb_orders_total", "filled"] == 3
    assert samples["fundarb_rejections_total", "net_carry"] == 2
    assert samples["fundarb_journal_events_total",] == 57


def test_an_order_is_counted_once_by_how_it_ended() -> None:
    states = {key[1] for key in exposed(SNAPSHOT) if key[0] == "fundarb_orders_total"}

    assert states == {"filled", "canceled", "rejected"}


def test_instants_are_seconds_of_the_engines_own_time() -> None:
    samples = exposed(SNAPSHOT)

    assert samples["fundarb_start_timestamp_seconds",] == 0
    assert samples["fundarb_last_market_data_timestamp_seconds",] == 3600.5
    assert samples["fundarb_last_decision_timestamp_seconds", "HYPE"] == 3600


def test_a_doubt_is_as_old_as_its_oldest_order() -> None:
    since_ns = SNAPSHOT.time_ns - 90 * SECOND
    doubted = exposed(msgspec.structs.replace(SNAPSHOT, unknown_since_ns=since_ns))

    assert doubted["fundarb_unknown_order_age_seconds",] == 90
    assert exposed(SNAPSHOT)["fundarb_unknown_order_age_seconds",] == 0


def test_a_generated_market_is_labelled_synthetic() -> None:
    metrics = Metrics(FAMILIES)
    metrics.update(SNAPSHOT)

    assert 'synthetic="true"' in generate_latest(metrics.registry).decode()


def test_the_latest_decision_is_the_only_one_that_is_one() -> None:
    samples = exposed(SNAPSHOT)

    decisions = {key[1:]: value for key, value in samples.items() if key[0] == "fundarb_decision"}
    assert {key for key, value in decisions.items() if value == 1} == {("hold", "HYPE")}
    assert len(decisions) == len(Action)


def test_every_family_is_exposed_once_there_is_something_to_say() -> None:
    everything = msgspec.structs.replace(
        SNAPSHOT,
        last_reconciled_ns=1,
        clock_ns=1,
        wall_ns=1,
        loops={"decide": 1},
        agent_until_ns=1,
        bad_messages={"public": 1},
        disconnections={"public": 1},
        disk_free=1,
    )

    assert {family.name for family in FAMILIES} == {key[0] for key in exposed(everything)}


def test_before_the_first_snapshot_only_the_process_is_shown() -> None:
    text = generate_latest(Metrics(FAMILIES).registry).decode()

    assert "fundarb_" not in text
    assert "process_resident_memory_bytes" in text


def test_every_name_ends_in_a_base_unit_or_says_what_it_counts() -> None:
    units = ("_usd", "_ratio", "_seconds", "_bytes", "_total", "_info")
    unitless = {
        "fundarb_state",
        "fundarb_decision",
        "fundarb_limit_tripped",
        "fundarb_unknown_orders",
        "fundarb_reconciliation_mismatches",
    }

    assert {f.name for f in FAMILIES if not f.name.endswith(units)} == unitless
    assert {f.name for f in FAMILIES if f.kind == "counter"} == {
        f.name for f in FAMILIES if f.name.endswith("_total")
    }


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


@pytest.fixture
def url() -> Iterator[str]:
    metrics = Metrics(FAMILIES)
    metrics.update(SNAPSHOT)
    exposition = serve(metrics.registry, 0)
    yield exposition.url
    exposition.close()


def test_it_is_served_on_the_loopback_address(url: str) -> None:
    assert url.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(url) as answer:
        assert b"fundarb_equity_usd 1000.94" in answer.read()


@pytest.mark.parametrize("host", ["evil.test:9464", "evil.test", "", "127.0.0.1.evil.test:9464"])
def test_a_name_that_is_pointed_at_this_machine_gets_nothing(url: str, host: str) -> None:
    asked = urllib.request.Request(url, headers={"Host": host})

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked)
    with refused.value as answer:
        assert (answer.code, answer.read()) == (421, b"")


def test_no_other_address_of_the_machine_answers(url: str) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port_of(url)), timeout=5)


def test_a_closed_exposition_frees_its_port() -> None:
    first = serve(Metrics(FAMILIES).registry, 0)
    port = port_of(first.url)
    first.close()

    serve(Metrics(FAMILIES).registry, port).close()


def test_a_taken_port_is_said_with_what_to_do(url: str) -> None:
    port = port_of(url)

    with pytest.raises(OSError, match=rf"port {port} for metrics is in use; set another"):
        serve(Metrics(FAMILIES).registry, port)
