"""The worked examples of leveraged trading, as a person and as a program read them."""

import json
from collections.abc import Callable
from typing import Any

import pytest

Fundarb = Callable[..., Any]
SIZE = "calc size --equity 10000 --risk 0.02 --stop 0.05 --leverage 5"


def answer_of(fundarb: Fundarb, line: str) -> dict[str, object]:
    answer = fundarb(*line.split(), "--json", "-")
    assert (answer.code, answer.err) == (0, "")
    told: dict[str, object] = json.loads(answer.out)
    return told


def test_a_position_is_sized_from_what_may_be_lost(fundarb: Fundarb) -> None:
    assert answer_of(fundarb, SIZE) == {
        "risk_amount": "200",
        "position": "4000",
        "margin": "800",
        "margin_loss_at_stop": 0.25,
    }


def test_a_short_is_liquidated_above_its_entry(fundarb: Fundarb) -> None:
    line = "calc liquidation --side short --entry 100 --leverage 2 --maintenance 0.0125"

    assert answer_of(fundarb, line) == {"liquidation_price": "148.75", "distance": 0.4875}


def test_a_long_is_liquidated_below_its_entry(fundarb: Fundarb) -> None:
    line = "calc liquidation --side long --entry 100 --leverage 5 --maintenance 0.05"

    assert answer_of(fundarb, line) == {"liquidation_price": "85", "distance": 0.15}


def test_a_hundredth_of_a_percent_every_eight_hours_is_a_fifth_of_one_in_a_week(
    fundarb: Fundarb,
) -> None:
    line = "calc funding --rate 0.0001 --interval-hours 8 --hours 168 --notional 10000"

    assert answer_of(fundarb, line) == {"payment": "21", "share": 0.0021, "apr": 0.1095}


def test_a_negative_rate_is_received_by_the_long(fundarb: Fundarb) -> None:
    line = "calc funding --rate -0.0001 --interval-hours 8 --hours 8 --notional 10000"

    assert answer_of(fundarb, line)["payment"] == "-1"


def test_borrowing_below_the_yield_lifts_it(fundarb: Fundarb) -> None:
    line = "calc yield --capital 10000 --leverage 2 --asset-yield 0.08 --borrow-rate 0.05"

    assert answer_of(fundarb, line) == {
        "position": "20000",
        "borrowed": "10000",
        "effective_apy": 0.11,
    }


def test_a_person_reads_money_and_percent(fundarb: Fundarb) -> None:
    lines = fundarb(*SIZE.split()).out.splitlines()

    assert [line.split() for line in lines] == [
        ["risk", "amount", "200"],
        ["position", "4,000"],
        ["margin", "800"],
        ["margin", "loss", "at", "stop", "25.0000%"],
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (SIZE.replace("0.02", "2"), "--risk: is a fraction, at most 1, got 2"),
        (SIZE.replace("0.02", "2%"), "--risk: '2%' is not a number: write a fraction"),
        (SIZE.replace("0.05", "0"), "--stop: must be more than zero, got 0"),
        (
            "calc yield --capital 1 --leverage 2 --asset-yield x --borrow-rate 0",
            "--asset-yield: 'x' is not a number",
        ),
        (
            "calc funding --rate 0.1 --interval-hours 0 --hours 1 --notional 1",
            "--interval-hours: must be more than zero",
        ),
    ],
)
def test_a_wrong_number_names_its_option(fundarb: Fundarb, line: str, says: str) -> None:
    answer = fundarb(*line.split())

    assert answer.code == 2
    assert answer.err.startswith(f"error: {says}")
