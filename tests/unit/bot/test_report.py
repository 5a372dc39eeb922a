"""The result document: every field of the contract, every figure by a small example."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bot.report import Closing, Document, RiskFigures, build, encode, held
from domain.account import CashCause
from domain.instruments import Kind
from domain.orders import CancelReason, OrderCanceled, OrderRejected, OrderStatus, Side
from domain.targets import Action, ExitCause
from domain.time import HOUR, SECOND, iso
from execution.facts import Fact, LimitTripped, OrderIntended, OrderResolved, Reconciled, Retargeted
from execution.journal import digest
from execution.ledger.books import Books
from tests.unit.bot.synthetic_run import PAIRS, START, SyntheticRun, random_run

BTC, HYPE = PAIRS


def report(run: SyntheticRun, **changes: object) -> Any:
    document = build(run.facts, run.books, PAIRS, run.closing(**changes))
    return json.loads(encode(document))


def total(parts: dict[str, str]) -> Decimal:
    return Decimal(parts["total"])


def test_the_document_has_the_fields_of_the_contract_in_their_order() -> None:
    document = report(SyntheticRun())
    pnl = "funding basis fees slippage borrow liquidation total"
    contract = {
        "equity": "start end min max_drawdown deposits",
        "pnl": pnl,
        "unassigned": pnl,
        "orders": "sent filled canceled rejected unknown_resolved",
        "risk": "liquidations max_effective_leverage max_leverage_held min_liquidation_distance"
        " max_naked_notional max_naked_seconds limits_tripped",
        "integrity": "ledger_balanced venue_reconciled journal_events violations",
        "decisions": "entered added held reduced exited refused",
    }

    fields = (
        "schema mode venue synthetic seed quote started ended simulated_seconds digest equity pnl"
        " pairs unassigned opening open orders risk integrity decisions"
    )
    assert " ".join(document) == fields
    assert {name: list(document[name]) for name in contract} == {
        name: fields.split() for name, fields in contract.items()
    }


def test_the_run_says_what_it_was() -> None:
    run = SyntheticRun(seed=7)
    document = report(run, ended_ns=START + 36 * HOUR)

    assert document["mode"] == "paper"
    assert document["venue"] == "synthetic"
    assert document["synthetic"] is True
    assert document["seed"] == 7
    assert document["started"] == "2025-06-15T15:06:40Z"
    assert document["ended"] == "2025-06-17T03:06:40Z"
    assert document["simulated_seconds"] == 36 * 3600
    assert document["digest"] == digest(run.facts)
    assert "coverage" not in document
    assert report(run, coverage=["no gap"])["coverage"] == ["no gap"]


def test_without_a_run_there_is_no_report() -> None:
    closing = Closing(START, {}, RiskFigures())
    with pytest.raises(ValueError, match="holds no run"):
        build([], Books(), PAIRS, closing)


@pytest.mark.parametrize("seed", range(15))
def test_parts_sum_to_the_total_and_pairs_and_unassigned_to_the_whole(seed: int) -> None:
    document = report(random_run(seed))
    whole = [document["pnl"], document["unassigned"], *(p["pnl"] for p in document["pairs"])]
    for parts in whole:
        named = [Decimal(amount) for name, amount in parts.items() if name != "total"]
        assert total(parts) == sum(named)
    assert total(document["pnl"]) == sum(total(parts) for parts in whole[1:])
    equity = {name: Decimal(amount) for name, amount in document["equity"].items()}
    assert total(document["pnl"]) == equity["end"] - equity["start"] - equity["deposits"]
    assert document["integrity"]["ledger_balanced"]
    assert document["integrity"]["violations"] == []


def test_money_is_a_plain_decimal_string_and_a_fraction_a_number() -> None:
    run = SyntheticRun(capital="10000.50")
    run.flow(CashCause.GAS, "-1E-7")
    risk = RiskFigures(Decimal("2.5"), Decimal("2.75"), 0.31, Decimal("12.50"), 1.5)
    document = report(run, risk=risk)

    assert document["equity"]["start"] == "10000.5"
    assert document["pnl"]["fees"] == "-0.0000001"
    assert document["pnl"]["borrow"] == "0"
    assert document["risk"] == {
        "liquidations": 0,
        "max_effective_leverage": 2.5,
        "max_leverage_held": 2.75,
        "min_liquidation_distance": 0.31,
        "max_naked_notional": "12.5",
        "max_naked_seconds": 1.5,
        "limits_tripped": [],
    }


# Equity


def test_drawdown_is_the_deepest_fall_from_a_peak_as_a_fraction_of_it() -> None:
    run = SyntheticRun(capital="1000")
    for equity in ("1000", "1100", "990", "1200", "1150"):
        run.mark(equity)
    document = report(run)

    assert document["equity"]["min"] == "990"
    assert document["equity"]["max_drawdown"] == pytest.approx(200 / 1200)  # ends at 1000


def test_a_loss_from_the_start_is_a_drawdown_from_the_capital() -> None:
    run = SyntheticRun(capital="1000")
    run.flow(CashCause.GAS, "-100")

    assert report(run)["equity"]["max_drawdown"] == pytest.approx(0.1)
    assert report(run)["equity"]["min"] == "900"


def test_a_withdrawal_is_no_drawdown_and_a_deposit_hides_none() -> None:
    run = SyntheticRun(capital="1000")
    run.mark("1000")
    run.flow(CashCause.WITHDRAWAL, "-400")
    run.mark("600")
    assert report(run)["equity"]["max_drawdown"] == 0

    run.flow(CashCause.GAS, "-50")
    run.flow(CashCause.DEPOSIT, "900")
    run.mark("1450")
    document = report(run)
    assert document["equity"]["max_drawdown"] == pytest.approx(0.05)
    assert document["equity"]["deposits"] == "500"
    assert total(document["pnl"]) == -50


def test_a_deposit_told_twice_is_one() -> None:
    run = SyntheticRun(capital="400")
    run.mark("400")
    run.flow(CashCause.DEPOSIT, "600")
    run.tell_again()
    run.mark("1000")

    assert report(run)["equity"] == {
        "start": "400",
        "end": "1000",
        "min": "400",
        "max_drawdown": 0,
        "deposits": "600",
    }


def test_inventory_brought_is_in_the_start_at_its_mark() -> None:
    run = SyntheticRun(capital="1000")
    run.bring(HYPE.spot, "2", "30")
    run.mark("1060")
    marks = {HYPE.spot.id: Decimal(33)}
    document = report(run, marks=marks)

    assert document["opening"] == [
        {"instrument": "HYPE/USDC", "kind": "spot", "quantity": "2", "mark": "30"}
    ]
    assert document["open"][0]["mark"] == "33"
    assert document["equity"]["start"] == "1060"
    assert document["equity"]["deposits"] == "0"
    assert document["equity"]["max_drawdown"] == 0
    assert total(document["pnl"]) == 6

    fallen = report(run, marks={HYPE.spot.id: Decimal(25)})
    assert fallen["equity"]["max_drawdown"] == pytest.approx(10 / 1060)


# Pairs


def test_a_pair_row_says_when_why_and_how_it_ended() -> None:
    run = SyntheticRun()
    run.plan("HYPE#1")
    first = run.trade("HYPE#1", HYPE.spot, Side.BUY)
    run.trade("HYPE#1", HYPE.perp, Side.SELL)
    (row,) = report(run)["pairs"]
    assert (row["pair"], row["trade"], row["notional"]) == ("HYPE", "HYPE#1", "4000")
    assert row["opened"] == iso(first.venue_time_ns)
    assert row["entry_reason"] == "funding outruns its costs"
    assert row["closed"] is row["exit_reason"] is None

    run.close("HYPE#1", ExitCause.THESIS_CHANGED, "forecast under the exit band")
    (row,) = report(run)["pairs"]
    assert row["closed"] >= row["opened"]
    assert row["exit_reason"] == "thesis_changed: forecast under the exit band"


def test_a_trade_on_its_way_out_has_no_exit_reason_yet() -> None:
    run = SyntheticRun()
    run.plan("HYPE#1")
    run.trade("HYPE#1", HYPE.spot, Side.BUY)
    cause = ExitCause.VOLATILITY
    run.facts.append(Retargeted("HYPE#1", Decimal(0), True, cause, "spike", run.now))

    assert report(run)["pairs"][0]["exit_reason"] is None


def test_a_trade_that_never_filled_was_never_opened() -> None:
    run = SyntheticRun()
    run.plan("HYPE#1")
    run.close("HYPE#1", ExitCause.LIMIT, "stale data")

    assert report(run)["pairs"] == []


def test_what_is_held_is_listed_dust_included() -> None:
    run = SyntheticRun()
    run.plan("BTC#1")
    fill = run.trade("BTC#1", BTC.spot, Side.BUY, "1")
    run.trade("BTC#1", BTC.perp, Side.SELL, "0.9993")
    instruments = {BTC.spot.id: BTC.spot, BTC.perp.id: BTC.perp}
    marks = {BTC.spot.id: Decimal(100), BTC.perp.id: Decimal(101)}

    assert fill.fee.asset == "UBTC"
    assert [(h.instrument, h.kind, h.quantity) for h in held(run.books, instruments, marks)] == [
        ("BTC-PERP", Kind.PERP, Decimal("-0.9993")),
        ("UBTC/USDC", Kind.SPOT, Decimal("0.9993")),
    ]


# Counts


def ordered(run: SyntheticRun, count: int) -> list[OrderIntended]:
    run.plan("BTC#1")
    one = Decimal(1)
    return [run.order("BTC#1", BTC.perp, Side.SELL, one, Decimal(100)) for _ in range(count)]


def canceled(order: OrderIntended) -> OrderCanceled:
    return OrderCanceled(order.request.cloid, CancelReason.IOC, Decimal(0), 1, 2)


def resolved(order: OrderIntended, status: OrderStatus) -> Fact:
    return OrderResolved(order.request.cloid, status, Decimal(0), "query", 3)


def test_each_order_counts_once_by_how_it_ended() -> None:
    run = SyntheticRun()
    whole, part, late, refused, lost, found, resting = ordered(run, 7)
    run.fill(whole, BTC.perp, "0.4")
    run.fill(whole, BTC.perp, "0.6")
    run.tell_again()
    run.fill(part, BTC.perp, "0.5")
    run.tell_again()
    run.facts += [canceled(part), canceled(part), canceled(late)]
    run.fill(late, BTC.perp)  # its fill was still on the way when it was called canceled
    run.facts += [
        OrderRejected(refused.request.cloid, "min", 1, 2),
        resolved(lost, OrderStatus.NEVER_SEEN),
        resolved(found, OrderStatus.OPEN),
        resolved(found, OrderStatus.REJECTED),
    ]

    assert report(run)["orders"] == {
        "sent": 7,
        "filled": 2,
        "canceled": 2,
        "rejected": 2,
        "unknown_resolved": 3,
    }
    assert resting.request.cloid


def test_fills_of_one_liquidation_are_one_liquidation() -> None:
    run = SyntheticRun()
    run.liquidate(BTC.perp, None)
    run.liquidate(BTC.perp, None)
    other_level = msgspec.structs.replace(run.facts[-2], fill_id="x")
    run.facts.append(other_level)

    assert report(run)["risk"]["liquidations"] == 2


def test_a_limit_is_named_once_however_often_it_tripped() -> None:
    run = SyntheticRun()
    for limit in ("stale_data", "drawdown", "stale_data"):
        run.facts.append(LimitTripped(limit, False, "", run.now))

    assert report(run)["risk"]["limits_tripped"] == ["stale_data", "drawdown"]


def test_decisions_count_by_action_and_refusals_by_reason_without_figures() -> None:
    run = SyntheticRun()
    run.decide("BTC", Action.ENTER, "edge: 3 bps")
    run.decide("BTC", Action.ENTER, "edge: 3 bps", "leverage: 3.1 over 3", "event: FOMC")
    run.decide("HYPE", Action.WAIT, "net -0.3 bps under the hurdle")
    run.decide("HYPE", Action.WAIT, "net 0.4 bps under the hurdle")
    run.decide("BTC", Action.HOLD, "carry")
    run.decide("BTC", Action.EXIT, "carry gone")

    assert report(run)["decisions"] == {
        "entered": 1,
        "added": 0,
        "held": 1,
        "reduced": 0,
        "exited": 1,
        "refused": {"event": 1, "leverage": 1, "net": 2},
    }


# Integrity


def test_reconciled_is_what_the_last_comparison_said() -> None:
    run = SyntheticRun()
    assert report(run)["integrity"]["venue_reconciled"] is None
    run.facts.append(Reconciled((), run.now))
    assert report(run)["integrity"]["venue_reconciled"] is True
    run.facts.append(Reconciled(("USDC off by 1",), run.now))
    assert report(run)["integrity"]["venue_reconciled"] is False


def test_violations_are_told_and_books_that_do_not_add_up_are_one() -> None:
    run = SyntheticRun()
    assert report(run, violations=("naked too long",))["integrity"]["violations"] == [
        "naked too long"
    ]
    line = next(iter(run.books._totals))
    run.books._totals[line] += 1
    integrity = report(run)["integrity"]

    assert not integrity["ledger_balanced"]
    assert integrity["violations"] == ["the parts of the profit do not sum to the change of equity"]
    assert integrity["journal_events"] == 2


def test_the_same_run_gives_the_same_bytes() -> None:
    def once() -> bytes:
        run = random_run(11)
        document: Document = build(run.facts, run.books, PAIRS, run.closing())
        return encode(document)

    assert once() == once()
    assert once().endswith(b"}\n")


def test_a_clock_of_one_second_is_one_second() -> None:
    run = SyntheticRun()

    assert report(run, ended_ns=START + SECOND)["simulated_seconds"] == 1
