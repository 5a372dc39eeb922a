"""The terminal's picture of a run, at a fixed width, as plain text."""

import re
from decimal import Decimal
from io import StringIO

import msgspec
import pytest
from rich.console import Console

from bot.amounts import amount, elapsed, percent, quantity
from bot.view import view
from domain.time import DAY, HOUR, SECOND
from execution.facts import Stage
from execution.ledger.pnl import PnL
from execution.snapshot import PairView, Snapshot

START = 1_735_689_600 * SECOND  # 2025-01-01
IDLE = PairView(
    pair="BTC",
    trade_id=None,
    stage=None,
    spot_quantity=Decimal(0),
    perp_quantity=Decimal(0),
    notional=Decimal(0),
    net_delta=Decimal(0),
    naked_notional=Decimal(0),
    naked_seconds=0.0,
    spot_mid=100_000.0,
    mark=100_050.0,
    basis=0.0005,
    funding_hourly=0.0000125,
    forecast_hourly=0.00001,
    leverage=None,
    liquidation_price=None,
    liquidation_distance=None,
    way_gone=None,
    pnl=PnL(),
    opened_ns=None,
    action="wait",
    reason="carry_below_hurdle: net 0.22 % over 14 d, needs 0.28 %",
    expected_net=0.0022,
    decided_ns=START + 48 * HOUR,
    data_ns=START + 49 * HOUR,
)
HELD = msgspec.structs.replace(
    IDLE,
    pair="HYPE",
    trade_id="HYPE#1",
    stage=Stage.HOLDING,
    spot_quantity=Decimal("101.26"),
    perp_quantity=Decimal("-101.25"),
    notional=Decimal("4012.33"),
    net_delta=Decimal("0.01"),
    basis=-0.00123,
    funding_hourly=0.00008,
    forecast_hourly=0.00006,
    leverage=Decimal("1.97"),
    liquidation_distance=0.49,
    way_gone=0.02,
    pnl=PnL(funding=Decimal("18.22"), fees=Decimal("-3.90")),
    action="hold",
    reason="carry_holds: staying is worth 2.4 % [exit under -0.2 %]",
    decided_ns=START + 49 * HOUR,
)
SHOWN = Snapshot(
    mode="paper",
    venue="simulated",
    feed="generated:7",
    synthetic=True,
    state="running",
    seed=7,
    quote="USDC",
    started_ns=START,
    time_ns=START + 49 * HOUR,
    capital=Decimal(10_000),
    equity=Decimal("10012.344"),
    equity_peak=Decimal(10_020),
    cash=Decimal("3012.34"),
    spot_value=Decimal(4000),
    margin=Decimal(3003),
    unrealized=Decimal("-3.2"),
    pnl=PnL(funding=Decimal("18.22"), basis=Decimal("-1.976"), fees=Decimal("-3.90")),
    pairs=(HELD, IDLE),
    limits=(),
    orders={"sent": 12, "filled": 11, "canceled": 1, "rejected": 0},
    refusals={"daily_loss": 31},
    unknown_orders=0,
    journal_events=1204,
    last_reconciled_ns=None,
    last_market_ns=None,
    last_funding_ns=None,
    mismatches=0,
)


def shown(snapshot: Snapshot = SHOWN, width: int = 100, *, styled: bool = False) -> str:
    screen = Console(
        width=width,
        record=True,
        file=StringIO(),
        force_terminal=True,
        color_system="standard",
        no_color=False,
        legacy_windows=False,
    )
    screen.print(view(snapshot))
    return screen.export_text(styles=styled)


def test_the_whole_picture_at_a_hundred_columns() -> None:
    lines = [line.rstrip() for line in shown().splitlines()]

    assert lines == [line.rstrip() for line in PICTURE.strip("\n").splitlines()]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
def test_no_line_is_wider_than_the_screen_and_nothing_is_cut_off(width: int) -> None:
    text = shown(width=width)

    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for figure in ("10,012.34", "+12.34", "101.26", "-101.25", "4,012.33", "+70.1%", "1.97×"):
        assert figure in text


def test_a_made_up_market_cannot_be_overlooked() -> None:
    assert "SYNTHETIC MARKET" in shown()
    assert "SYNTHETIC" not in shown(msgspec.structs.replace(SHOWN, synthetic=False))


@pytest.mark.parametrize("mode", ["paper", "backtest", "testnet", "live"])
def test_the_mode_is_in_capitals_and_in_colour(mode: str) -> None:
    text = shown(msgspec.structs.replace(SHOWN, mode=mode), styled=True)

    assert f" {mode.upper()} " in text
    assert text.index("\x1b[1;") < text.index(mode.upper())


def test_a_naked_leg_is_said_with_its_amount_and_age() -> None:
    naked = msgspec.structs.replace(HELD, naked_notional=Decimal(120), naked_seconds=3.2)

    assert "naked 120.00 3s" in shown(msgspec.structs.replace(SHOWN, pairs=(naked,)))


def test_a_tripped_limit_replaces_the_all_clear() -> None:
    text = shown(msgspec.structs.replace(SHOWN, limits=("drawdown",), unknown_orders=2))

    assert "Limits: drawdown" in text
    assert "none tripped" not in text
    assert "2 unknown orders" in text


def test_the_latest_decision_comes_first() -> None:
    text = shown().split("Last decisions")[1]

    assert text.index("HYPE") < text.index("BTC")


def test_a_reason_is_shown_as_it_is_brackets_included() -> None:
    assert "[exit under -0.2 %]" in shown()


def test_before_the_first_decision_it_says_so() -> None:
    fresh = msgspec.structs.replace(IDLE, decided_ns=None, action=None, reason=None)

    assert "none yet" in shown(msgspec.structs.replace(SHOWN, pairs=(fresh,)))


def test_colours_leave_text_on_the_terminals_own_background() -> None:
    """Only badges have a background; white or black text alone is invisible on half the screens."""
    styles = [set(codes.split(";")) for codes in re.findall(r"\x1b\[([\d;]+)m", shown(styled=True))]
    on_the_terminals_own = [codes for codes in styles if not any(re.match("4.", c) for c in codes)]

    assert on_the_terminals_own
    assert not [codes for codes in on_the_terminals_own if codes & {"30", "37", "90", "97"}]


@pytest.mark.parametrize(
    ("value", "text"),
    [("0", "0"), ("17270.1", "17,270.1"), ("0.00284", "0.00284"), ("-101.250", "-101.25")],
)
def test_a_quantity_keeps_six_figures_and_no_empty_ones(value: str, text: str) -> None:
    assert quantity(Decimal(value)) == text


def test_nothing_has_no_sign() -> None:
    assert amount(Decimal("-0.001"), signed=True) == "0.00"
    assert percent(-0.000001, signed=True) == "0.00%"


def test_time_is_told_in_its_two_largest_units() -> None:
    assert elapsed(3 * DAY + 2 * HOUR + 59) == "3d 2h"
    assert elapsed(59 * SECOND) == "0m"


PICTURE = """
╭──────────────────────────────────────────────────────────────────────────────────────────────────╮
│  PAPER   SYNTHETIC MARKET   running  simulated, generated:7          2025-01-03 01:00 UTC, 2d 1h │
│ Equity 10,012.34 USDC  +12.34 (+0.12%)                            peak 10,020.00, drawdown 0.08% │
│ cash 3,012.34, spot 4,000.00, margin 3,003.00, unrealized -3.20                                  │
╰──────────────────────────────────────────────────────────────────────────────────────────────────╯
╭─ P&L by source ──────────────────────────────────────────────────────────────────────────────────╮
│        funding      basis       fees        slippage       borrow         liquidation      total │
│         +18.22      -1.98      -3.90            0.00         0.00                0.00     +12.34 │
╰──────────────────────────────────────────────────────────────────────────────────────────────────╯
Pair                   Spot       Notional         Funding APR      Basis       Leverage         P&L
stage                  perp          delta            forecast        bps        to liq.     funding
HYPE#1               101.26       4,012.33              +70.1%      -12.3          1.97×      +14.32
holding             -101.25           0.01              +52.6%                     49.0%      +18.22
BTC                       –              –              +10.9%       +5.0              –           –
no trade                  –              –               +8.8%                         –           –
╭─ Last decisions ─────────────────────────────────────────────────────────────────────────────────╮
│ HYPE 01-03 01:00 hold carry_holds: staying is worth 2.4 % [exit under -0.2 %]                    │
│ BTC  01-03 00:00 wait carry_below_hurdle: net 0.22 % over 14 d, needs 0.28 %                     │
╰──────────────────────────────────────────────────────────────────────────────────────────────────╯
Limits: none tripped   Orders: sent 12, filled 11, canceled 1   Journal: 1,204 facts
Refused most: daily_loss 31
"""
