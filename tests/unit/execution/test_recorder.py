"""Facts in, counts out: each as Prometheus would read it."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec
from prometheus_client import CollectorRegistry

from bot.instruments import load_pairs
from domain.account import FundingPayment
from domain.money import Money
from domain.orders import (
    CancelReason,
    Fill,
    FillCause,
    Liquidity,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderRequest,
    OrderStatus,
    Side,
    TimeInForce,
)
from domain.targets import Action, ExitCause, Target
from domain.time import HOUR, SECOND
from execution.effects import RaiseAlarm
from execution.facts import (
    Decided,
    Fact,
    LimitTripped,
    OrderDoubted,
    OrderIntended,
    OrderResolved,
    Retargeted,
    Role,
    Stage,
    StageChanged,
    TradePlanned,
)
from execution.metrics import RECORDED
from execution.recorder import ALARMS, Recorder
from tests.example_snapshot import HYPE, SNAPSHOT

(PAIR,) = load_pairs("simulated", ("HYPE",))
ONE = Decimal(1)
NOW = 100 * HOUR


class Page:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.recorder = Recorder(self.registry, [PAIR])

    def after(self, *facts: Fact) -> "Page":
        for fact in facts:
            self.recorder.fact(fact)
        return self

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def intended(cloid: str = "0x1", quantity: Decimal = ONE) -> OrderIntended:
    request = OrderRequest(
        cloid, PAIR.perp.id, Side.SELL, quantity, ONE, TimeInForce.IOC, False, NOW + SECOND
    )
    return OrderIntended(request, "HYPE#1", Role.HEDGE, Decimal(100), NOW)


def planned() -> TradePlanned:
    return TradePlanned(
        "HYPE#1", "HYPE", "spot", ONE, ONE, 2, "", "", "", ONE, ONE, ONE, 0.0, 0.0, 0.0, (), NOW
    )


def fill(price: str, quantity: Decimal = ONE, cloid: str | None = "0x1") -> Fill:
    fee = Money(Decimal(0), "USDC")
    at = NOW + 2 * SECOND
    return Fill(
        price, cloid, PAIR.perp.id, Side.SELL, Decimal(price), quantity, fee,
        Liquidity.TAKER, FillCause.ORDER, at, at,
    )  # fmt: skip


def payment(amount: str, rate: str = "0.0001") -> FundingPayment:
    paid = Money(Decimal(amount), "USDC")
    return FundingPayment(
        amount, PAIR.perp.id, Decimal(-10), Decimal(40), Decimal(rate), 1, paid, NOW, NOW
    )


def forecast(hourly: float) -> Decided:
    target = Target("HYPE", Action.HOLD, ONE, "holding", hourly, 0.0, 24.0, 0.0, 0.0, 0.0)
    return Decided(target, (), NOW)


def test_latency_is_from_the_intent_to_the_first_word_and_counted_once() -> None:
    accepted = OrderAccepted("0x1", "7", NOW, NOW + SECOND)
    page = Page().after(intended(), accepted, fill("100"))

    assert page.value("fundarb_order_latency_seconds_sum", leg="perp") == 1.0
    assert page.value("fundarb_order_latency_seconds_count", leg="perp") == 1.0


def test_selling_below_the_mid_is_worse() -> None:
    page = Page().after(intended(), fill("99.97"))  # three basis points

    assert page.value("fundarb_slippage_ratio_bucket", leg="perp", le="0.0002") == 0
    assert page.value("fundarb_slippage_ratio_bucket", leg="perp", le="0.0005") == 1


def test_what_nobody_ordered_has_no_slippage() -> None:
    page = Page().after(fill("50", cloid=None))

    assert page.value("fundarb_slippage_ratio_count", leg="perp") == 0


def test_an_order_is_forgotten_when_nothing_more_can_come_of_it() -> None:
    page = Page()
    for number in range(50):
        cloid = f"0x{number}"
        page.after(intended(cloid), fill("100", cloid=cloid))
    page.after(intended("0xa"), OrderCanceled("0xa", CancelReason.IOC, Decimal(0), NOW, NOW))
    page.after(intended("0xb"), OrderRejected("0xb", "margin", NOW, NOW))

    assert page.recorder._asked == {}


def test_a_doubt_is_counted_and_timed_until_its_proof() -> None:
    page = Page().after(
        intended(),
        OrderDoubted("0x1", "no answer", NOW + SECOND),
        OrderResolved("0x1", OrderStatus.NEVER_SEEN, Decimal(0), "fence", NOW + 4 * SECOND),
    )

    assert page.value("fundarb_orders_doubted_total") == 1
    assert page.value("fundarb_order_doubt_seconds_sum") == 3.0


def test_funding_received_stands_beside_what_was_forecast() -> None:
    page = Page().after(forecast(0.00005), payment("0.04"), payment("0.041"))

    assert page.value("fundarb_funding_received_usd", pair="HYPE") == 0.081
    # A short of 400 at half the rate that was paid, twice.
    expected = page.value("fundarb_funding_expected_usd", pair="HYPE")
    assert expected is not None
    assert abs(expected - 0.04) < 1e-12
    assert page.value("fundarb_paid_funding_rate_per_hour_ratio", pair="HYPE") == 0.0001


def test_a_long_that_shorts_pay_is_told_of_as_one_that_receives() -> None:
    paid = payment("0.04")
    long = msgspec.structs.replace(paid, position=-paid.position, rate=-paid.rate)
    page = Page().after(forecast(0.00005), long)

    # A forecast is of what our side receives, whichever it is.
    expected = page.value("fundarb_funding_expected_usd", pair="HYPE")
    assert expected is not None
    assert abs(expected - 0.02) < 1e-12
    assert page.value("fundarb_paid_funding_rate_per_hour_ratio", pair="HYPE") == 0.0001
    page.after(msgspec.structs.replace(long, payment_id="other", rate=paid.rate))
    assert page.value("fundarb_paid_funding_rate_per_hour_ratio", pair="HYPE") == -0.0001


def test_a_payment_is_overdue_from_the_hour_on_until_it_comes() -> None:
    page = Page()

    def overdue(hours: float) -> float | None:
        at_ns = NOW + int(hours * HOUR)
        page.recorder.shown(msgspec.structs.replace(SNAPSHOT, time_ns=at_ns, pairs=(HYPE,)))
        return page.value("fundarb_funding_overdue_seconds", pair="HYPE")

    assert overdue(0.5) == 0  # held since then
    assert overdue(1.0) == 0
    assert overdue(1.5) == 1800
    page.after(msgspec.structs.replace(payment("1"), received_ns=NOW + int(1.6 * HOUR)))
    assert overdue(1.7) == 0


def test_nothing_is_due_on_what_is_not_held_and_little_on_what_is_held_again() -> None:
    page = Page()
    flat = msgspec.structs.replace(HYPE, perp_quantity=Decimal(0))
    for hours, view in enumerate((HYPE, flat, flat, flat, HYPE)):
        at_ns = NOW + hours * HOUR
        page.recorder.shown(msgspec.structs.replace(SNAPSHOT, time_ns=at_ns, pairs=(view,)))

    assert page.value("fundarb_funding_overdue_seconds", pair="HYPE") == 0


def test_trades_exits_halts_and_alarms_are_counted_by_name() -> None:
    page = Page().after(
        planned(),
        Retargeted("HYPE#1", ONE, True, ExitCause.MARGIN_GUARD, "smaller", NOW),
        Retargeted("HYPE#1", Decimal(0), True, ExitCause.MARGIN_GUARD, "guard", NOW),
        StageChanged("HYPE#1", Stage.CLOSED, NOW),
        LimitTripped("drawdown", True, "lost", NOW),
    )
    page.recorder.alarm(RaiseAlarm("naked_leg", "x", NOW))

    assert page.value("fundarb_trades_opened_total", pair="HYPE") == 1
    assert page.value("fundarb_exits_total", cause="margin_guard") == 1
    assert page.value("fundarb_trades_closed_total", pair="HYPE") == 1
    assert page.value("fundarb_halts_total", limit="drawdown") == 1
    assert page.value("fundarb_alarms_total", alarm="naked_leg") == 1
    assert page.value("fundarb_alarms_total", alarm="silent") == 0


def names(registry: CollectorRegistry) -> Iterable[str]:
    return {metric.name for metric in registry.collect()}


def test_every_metric_that_is_counted_is_on_the_page_from_the_start() -> None:
    page = Page()

    counted = {each.name.removesuffix("_total") for each in RECORDED}
    assert counted <= set(names(page.registry))


def test_no_series_says_when_a_counter_was_created() -> None:
    page = Page().after(intended(), fill("100"))

    samples = [sample.name for metric in page.registry.collect() for sample in metric.samples]
    assert not [name for name in samples if name.endswith("_created")]


def test_every_alarm_that_the_program_raises_has_a_name_here() -> None:
    import re
    from pathlib import Path

    root = Path(__file__).resolve().parents[3]
    raised = {
        name
        for package in ("bot", "execution")
        for path in (root / package).rglob("*.py")
        for name in re.findall(r'(?:_alarm|RaiseAlarm)\(\s*"(\w+)"', path.read_text())
    }
    of_notify = {"digest", "test", "alarms_lost"}  # no bot has these on its page
    assert raised - of_notify == set(ALARMS)
