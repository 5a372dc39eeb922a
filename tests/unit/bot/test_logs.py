import io
import json
import logging
from collections.abc import Iterator
from decimal import Decimal

import pytest
import structlog

from bot.logs import configure, fact_logger, log_decision
from domain.targets import Action, Target
from execution.facts import (
    CancelIntended,
    Decided,
    LimitTripped,
    Reconciled,
    Stage,
    StageChanged,
)

DECIDED = Decided(
    target=Target(
        pair="HYPE",
        action=Action.WAIT,
        notional=Decimal(0),
        reason="net carry under the hurdle",
        forecast_hourly=0.00001,
        forecast_error=0.000002,
        horizon_hours=48.0,
        cost=0.0021,
        expected_net=-0.0016,
        apr_on_capital=-0.1,
    ),
    refusals=("net_carry: -0.0016 < 0.001",),
    time_ns=1_753_100_000_000_000_000,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_away_from_a_terminal_a_line_is_one_json_object() -> None:
    stream = io.StringIO()
    configure(stream)

    structlog.get_logger().info("order_refused", check="notional", limit=Decimal("10.50"))

    (line,) = lines(stream)
    assert line["event"] == "order_refused"
    assert line["limit"] == "10.50"
    assert line["level"] == "info"
    assert str(line["timestamp"]).endswith("Z")


def test_on_a_terminal_a_line_is_for_a_person() -> None:
    stream = Terminal()
    configure(stream)

    structlog.get_logger().info("order_refused", check="notional")

    assert "order_refused" in stream.getvalue()
    assert "{" not in stream.getvalue()


def test_a_decision_is_one_line_with_its_reason_and_figures() -> None:
    stream = io.StringIO()
    configure(stream)

    log_decision(structlog.get_logger(), DECIDED)

    (line,) = lines(stream)
    assert line["event"] == "decision"
    assert line["pair"] == "HYPE"
    assert line["action"] == "wait"
    assert line["reason"] == "net carry under the hurdle"
    assert line["refusals"] == ["net_carry: -0.0016 < 0.001"]
    assert line["expected_net"] == -0.0016
    assert line["at"] == "2025-07-21T12:13:20Z"


def test_a_library_is_heard_in_the_same_form_from_warnings_up() -> None:
    stream = io.StringIO()
    configure(stream)

    logging.getLogger("websockets").info("connected")
    logging.getLogger("websockets").warning("closing %s", "early")

    (line,) = lines(stream)
    assert line["event"] == "closing early"
    assert line["logger"] == "websockets"
    assert line["level"] == "warning"


def test_a_lower_level_is_silent_unless_asked_for() -> None:
    quiet, talkative = io.StringIO(), io.StringIO()

    configure(quiet)
    structlog.get_logger().debug("tick")
    configure(talkative, level="debug")
    structlog.get_logger().debug("tick")

    assert (quiet.getvalue(), len(lines(talkative))) == ("", 1)


def test_an_exception_stays_on_one_line() -> None:
    stream = io.StringIO()
    configure(stream)

    try:
        int("no such pair")
    except ValueError:
        structlog.get_logger().exception("failed")

    (line,) = lines(stream)
    assert "ValueError: invalid literal" in str(line["exception"])


def test_what_json_cannot_say_is_shown_by_its_repr() -> None:
    stream = io.StringIO()
    configure(stream)

    structlog.get_logger().info("odd", value=1j, nothing=float("nan"))

    (line,) = lines(stream)
    assert line["value"] == "1j"
    assert line["nothing"] is None


def test_a_tripped_limit_and_a_lost_leg_are_louder_than_a_stage() -> None:
    stream = io.StringIO()
    configure(stream)
    log = fact_logger(structlog.get_logger())

    log(StageChanged("HYPE#1", Stage.HOLDING, 5))
    log(LimitTripped("drawdown", latched=True, detail="lost 0.11", time_ns=5))
    log(Reconciled(("USDC: books 1, venue 2",), 5))
    log(Reconciled((), 6))

    told = [(line["level"], line["event"]) for line in lines(stream)]
    assert told == [
        ("info", "stage_changed"),
        ("warning", "limit_tripped"),
        ("error", "reconciled"),
    ]


def test_orders_and_ordinary_fills_are_left_to_the_journal() -> None:
    stream = io.StringIO()
    configure(stream)

    fact_logger(structlog.get_logger())(CancelIntended("0x1", 5))

    assert stream.getvalue() == ""
