"""The result of a run as a person reads it."""

from copy import deepcopy
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from bot.summary import SHOWN, summary


def pnl(**parts: str) -> dict[str, str]:
    names = ("funding", "basis", "fees", "slippage", "borrow", "liquidation", "total")
    return dict.fromkeys(names, "0") | parts


HYPE = {
    "pair": "HYPE",
    "trade": "HYPE#1",
    "opened": "2025-01-01T03:00:00Z",
    "closed": "2025-01-02T09:00:00Z",
    "notional": "4012.33",
    "pnl": pnl(funding="12.2", fees="-3", total="9.2"),
    "entry_reason": "carry_pays: net 2.48 % over 14 d",
    "exit_reason": "thesis_changed: forecast under the exit band [0.1 %]",
}
BTC = {
    "pair": "BTC",
    "trade": "BTC#1",
    "opened": "2025-01-02T03:00:00Z",
    "closed": None,
    "notional": "3000",
    "pnl": pnl(funding="6.02", fees="-2.60", total="3.42"),
    "entry_reason": "carry_pays: net 1.00 % over 14 d",
    "exit_reason": None,
}
REPORT: dict[str, Any] = {
    "mode": "paper",
    "venue": "simulated",
    "synthetic": True,
    "quote": "USDC",
    "seed": 1,
    "started": "2025-01-01T00:00:00Z",
    "ended": "2025-01-03T00:00:00Z",
    "simulated_seconds": 172_800.0,
    "equity": {"start": "10000", "end": "10012.62", "min": "9990.1", "max_drawdown": 0.0012},
    "pnl": pnl(funding="18.22", fees="-5.60", total="12.62"),
    "pairs": [HYPE, BTC],
    "orders": {"sent": 12, "filled": 11, "canceled": 1, "rejected": 0, "unknown_resolved": 0},
    "risk": {
        "liquidations": 0,
        "max_leverage_held": 2.31,
        "min_liquidation_distance": 0.41,
        "max_naked_notional": "412.1",
        "max_naked_seconds": 1.4,
        "limits_tripped": [],
    },
    "integrity": {
        "ledger_balanced": True,
        "venue_reconciled": True,
        "journal_events": 1812,
        "violations": [],
    },
    "decisions": {"entered": 2, "held": 80, "exited": 1, "refused": {"carry_below_hurdle": 31}},
}


def told(width: int = 100, **changes: Any) -> str:
    """The summary of the report above with some of its parts changed."""
    screen = Console(width=width, record=True, file=StringIO(), color_system=None)
    screen.print(summary(deepcopy(REPORT) | changes))
    return screen.export_text()


def test_the_result_its_share_and_its_sources_are_told() -> None:
    text = told()

    assert "+12.62 USDC (+0.13%)" in text
    assert "funding +18.22, fees -5.60" in text
    assert "largest drawdown 0.12%" in text


def test_a_closed_trade_is_told_from_why_in_to_why_out() -> None:
    text = told()

    assert "HYPE#1  4,012.33 each leg, 2025-01-01 03:00 to 2025-01-02 09:00, +9.20" in text
    assert "in:  carry_pays: net 2.48 % over 14 d" in text
    assert "out: thesis_changed: forecast under the exit band [0.1 %]" in text


def test_an_open_trade_is_told_as_open() -> None:
    text = told(pairs=[BTC])

    assert "2025-01-02 03:00 to now" in text
    assert "out: still open" in text


def test_no_trade_is_said_with_what_stood_in_its_way() -> None:
    text = told(pairs=[])

    assert "No trade was opened." in text
    assert "Refused most: carry_below_hurdle 31×" in text


def test_a_made_up_market_is_said() -> None:
    assert "SYNTHETIC MARKET" in told()
    assert "SYNTHETIC" not in told(synthetic=False)


def test_sound_books_are_said_in_one_line() -> None:
    assert "balanced, and equal to the exchange's (1,812 facts)" in told()


@pytest.mark.parametrize(
    "wrong",
    [{"ledger_balanced": False}, {"venue_reconciled": False}, {"violations": ["naked too long"]}],
)
def test_unsound_books_are_never_called_sound(wrong: dict[str, object]) -> None:
    text = told(integrity=REPORT["integrity"] | wrong)

    assert "NOT SOUND" in text
    assert "balanced, and equal" not in text


def test_books_that_were_not_compared_yet_are_neither_sound_nor_unsound() -> None:
    text = told(integrity=REPORT["integrity"] | {"venue_reconciled": None})

    assert "balanced, but not compared with the exchange's yet" in text
    assert "NOT SOUND" not in text


def test_books_that_do_not_balance_are_unsound_compared_or_not() -> None:
    wrong = {"venue_reconciled": None, "ledger_balanced": False}

    text = told(integrity=REPORT["integrity"] | wrong)
    assert "NOT SOUND: not balanced, not compared with the exchange's yet" in text


def test_a_violation_is_told_in_its_own_words() -> None:
    violations = {"violations": ["naked too long"]}

    assert "naked too long" in told(integrity=REPORT["integrity"] | violations)


def test_a_run_that_held_nothing_has_no_risk_figures_to_tell() -> None:
    nothing = {"max_leverage_held": None, "min_liquidation_distance": None}

    text = told(risk=REPORT["risk"] | nothing, pnl=pnl())

    assert "Risk: liquidations 0, no perp was held, naked" in text
    assert "Nothing was earned or paid." in text


def test_only_the_last_trades_are_told_and_the_rest_counted() -> None:
    many = [HYPE | {"trade": f"HYPE#{number}"} for number in range(1, SHOWN + 6)]

    text = told(pairs=many)

    assert "(5 earlier trades: in the JSON)" in text
    assert "HYPE#5 " not in text
    assert f"HYPE#{SHOWN + 5} " in text


@pytest.mark.parametrize("width", [80, 100])
def test_it_fits_the_screen(width: int) -> None:
    assert max(map(len, told(width).splitlines())) <= width
