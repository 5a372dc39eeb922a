import math
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from domain.instruments import FeeSchedule, Instrument, Kind, MarginTier, Pair
from domain.orders import Side
from domain.targets import Legs
from execution.risk import gate
from execution.risk.calendar import Ahead
from execution.risk.gate import (
    Approved,
    Exposure,
    GateContext,
    Proposal,
    Refusal,
    pass_gate,
    propose,
)
from execution.risk.limits import RiskLimits

D = Decimal
LIMITS = RiskLimits()
TIERS = (MarginTier(D(0), 10), MarginTier(D(3_000_000), 5))
SPOT = Instrument(
    "v", "HYPE/USDC", Kind.SPOT, "HYPE", "USDC", D("0.01"), 4, D(10), FeeSchedule(D(0), D("0.0007"))
)
PERP = Instrument(
    "v",
    "HYPE-PERP",
    Kind.PERP,
    "HYPE",
    "USDC",
    D("0.01"),
    4,
    D(10),
    FeeSchedule(D(0), D("0.00045")),
    None,
    TIERS,
    1,
)
HYPE = Pair("HYPE", SPOT, PERP)


def proposal(quantity: str = "20", risk: str = "10", leverage: str = "2") -> Proposal:
    """``quantity`` HYPE at 40: by default 800 each leg, 400 margin."""
    return propose(
        HYPE,
        D(quantity),
        mark=D(40),
        spot_price=D(40),
        amount_at_risk=D(risk),
        leverage=D(leverage),
        leverage_cap=LIMITS.leverage_cap,
    )


def context(**changes: Any) -> GateContext:
    healthy = GateContext(
        equity=D(10_000),
        free_collateral=D(10_000),
        exposure=Exposure(),
        data_age_seconds=(0.5, 0.7),
        reconciled_clean=True,
        reconciled_age_seconds=5.0,
        unknown_orders=0,
        orders_last_minute=0,
        clock_skew_seconds=0.01,
        spread=0.0005,
        volatility_hourly=0.01,
        dislocation=0.001,
    )
    return msgspec.structs.replace(healthy, **changes)


def refused(result: Approved | tuple[Refusal, ...]) -> list[str]:
    assert isinstance(result, tuple)
    return [refusal.check for refusal in result]


def approved(result: Approved | tuple[Refusal, ...]) -> Approved:
    assert isinstance(result, Approved), [str(refusal) for refusal in result]
    return result


def test_a_healthy_proposal_passes_unclipped() -> None:
    result = approved(pass_gate(proposal(), context(), LIMITS))

    assert result.proposal == proposal()
    assert result.clipped_by == ()


def test_a_proposal_carries_the_prices_that_follow_from_it() -> None:
    p = proposal()

    assert (p.notional, p.margin, p.leverage) == (D(800), D(400), D(2))
    assert p.capital == 800 + 400 + D("0.56") + D("0.36")
    assert p.stop_price == 45  # 3x of 60 a unit
    assert p.liquidation_price == D("57.1428571428571428")  # 60 / 1.05
    assert p.minimum_quantity == D("0.25")
    assert p.venue_leverage_max == 10


def test_adding_to_a_position_is_judged_by_the_worse_of_held_and_whole() -> None:
    def add(held_raw_margin: str, mark: str = "44") -> Proposal:
        """10 more at 2x, on 10 held."""
        return propose(
            HYPE,
            D(10),
            mark=D(mark),
            spot_price=D(mark),
            amount_at_risk=D(1),
            leverage=D(2),
            leverage_cap=D(3),
            held_quantity=D(-10),
            held_raw_margin=D(held_raw_margin),
        )

    thin, thick, spent = add("600"), add("700"), add("500")

    # Held at 440 / 160; the whole would have 880 / 380.
    assert (thin.leverage, thin.stop_price) == (D("2.75"), D(45))
    assert thin.liquidation_price == D("57.1428571428571428")
    # Held at 440 / 260; the whole has 880 / 480.
    assert thick.leverage == D("1.83333333333333334")
    assert thick.liquidation_price == D("64.7619047619047619")
    assert refused(pass_gate(spent, context(), LIMITS)) == [
        "leverage",
        "stop",
        "liquidation_distance",
    ]


@pytest.mark.parametrize(("legs", "bought"), [(Legs.CARRY, 800), (Legs.REVERSE, 0)])
def test_only_what_buys_coins_takes_their_price_of_the_collateral(legs: Legs, bought: int) -> None:
    one = propose(
        HYPE, D(20), mark=D(40), spot_price=D(40), amount_at_risk=D(10), leverage=D(2),
        leverage_cap=LIMITS.leverage_cap, legs=legs,
    )  # fmt: skip
    fees = 800 * (HYPE.spot.fees.taker + HYPE.perp.fees.taker)

    assert one.capital == bought + 400 + fees


def test_a_position_that_reaches_the_next_tier_has_that_tiers_leverage_at_most() -> None:
    assert proposal("75000").venue_leverage_max == 10
    assert proposal("75000.01").venue_leverage_max == 5
    more = propose(
        HYPE,
        D(1),
        mark=D(40),
        spot_price=D(40),
        amount_at_risk=D(1),
        leverage=D(2),
        leverage_cap=D(3),
        held_quantity=D(-75_000),
        held_raw_margin=D(4_500_000),
    )
    assert more.venue_leverage_max == 5


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"active_limits": ("drawdown",)}, "limits"),
        ({"unknown_orders": 1}, "unknown_orders"),
        ({"reconciled_clean": False}, "reconciled"),
        ({"reconciled_age_seconds": 91.0}, "reconcile_age"),
        ({"reconciled_age_seconds": math.inf}, "reconcile_age"),
        ({"data_age_seconds": (16.0, 15.5)}, "data_age"),
        ({"data_age_seconds": (0.1, 10.2)}, "data_skew"),
        ({"clock_skew_seconds": -1.1}, "clock_skew"),
        ({"clock_skew_seconds": math.nan}, "clock_skew"),
        ({"orders_last_minute": 60}, "order_rate"),
        ({"spread": 0.011}, "spread"),
        ({"spread": math.nan}, "spread"),
        ({"volatility_hourly": 0.051}, "volatility"),
        ({"dislocation": -0.021}, "dislocation"),
    ],
)
def test_one_broken_condition_is_one_refusal(changes: dict[str, Any], check: str) -> None:
    assert refused(pass_gate(proposal(), context(**changes), LIMITS)) == [check]


@pytest.mark.parametrize("ages", [(), (1.0, math.nan), (math.nan, 1.0)])
def test_data_that_is_missing_or_no_number_is_stale(ages: tuple[float, ...]) -> None:
    result = pass_gate(proposal(), context(data_age_seconds=ages), LIMITS)

    assert refused(result) == ["data_age", "data_skew"]


def test_readings_at_their_limit_still_pass() -> None:
    at_limit = context(
        reconciled_age_seconds=90.0,
        data_age_seconds=(15.0, 5.0),
        clock_skew_seconds=-1.0,
        orders_last_minute=59,
        spread=0.01,
        volatility_hourly=0.05,
        dislocation=-0.02,
    )

    approved(pass_gate(proposal(), at_limit, LIMITS))


def test_all_refusals_are_reported_at_once() -> None:
    broken = context(unknown_orders=2, spread=0.5, free_collateral=D(0), active_limits=("delta",))

    assert refused(pass_gate(proposal(), broken, LIMITS)) == [
        "limits",
        "unknown_orders",
        "spread",
        "free_collateral",
    ]


def test_a_refusal_reads_as_one_line_with_its_check_first_and_both_numbers() -> None:
    result = pass_gate(proposal(), context(spread=0.5), LIMITS)

    assert isinstance(result, tuple)
    assert str(result[0]) == "spread: of mid (actual 0.5, limit 0.01)"


def test_liquidation_too_close_beyond_the_stop_is_refused_with_the_numbers() -> None:
    p = msgspec.structs.replace(proposal(), stop_price=D("52"), leverage=D(2))
    result = pass_gate(p, context(), LIMITS)

    assert refused(result) == ["liquidation_buffer"]
    assert isinstance(result, tuple)
    assert result[0].limit == D("0.10")
    assert D("0.098") < result[0].actual < D("0.099")
    assert result[0].detail == "liquidation 57.1429, stop 52"


def test_a_stop_beyond_liquidation_is_refused() -> None:
    p = msgspec.structs.replace(proposal(), stop_price=D(58))

    assert refused(pass_gate(p, context(), LIMITS)) == ["liquidation_buffer"]


def test_a_long_perp_is_judged_downwards() -> None:
    p = msgspec.structs.replace(
        proposal(), perp_side=Side.BUY, stop_price=D(34), liquidation_price=D(24)
    )
    near = msgspec.structs.replace(p, liquidation_price=D(31))

    approved(pass_gate(p, context(), LIMITS))
    assert refused(pass_gate(near, context(), LIMITS)) == [
        "liquidation_buffer",
        "liquidation_distance",
    ]


def test_liquidation_needs_a_stop_before_it() -> None:
    p = msgspec.structs.replace(proposal(), stop_price=None)

    assert refused(pass_gate(p, context(), LIMITS)) == ["liquidation_buffer"]


def test_what_cannot_be_liquidated_needs_no_buffer() -> None:
    p = msgspec.structs.replace(proposal(), stop_price=None, liquidation_price=None)

    approved(pass_gate(p, context(), LIMITS))


def test_a_stop_that_the_mark_has_reached_is_refused() -> None:
    p = msgspec.structs.replace(proposal(), stop_price=D(40))

    assert refused(pass_gate(p, context(), LIMITS)) == ["stop"]


def test_leverage_above_the_cap_or_the_venues_maximum_is_refused() -> None:
    three = msgspec.structs.replace(proposal(), leverage=D("3.0001"))
    venue = msgspec.structs.replace(proposal(), leverage=D("2.5"), venue_leverage_max=2)

    assert refused(pass_gate(three, context(), LIMITS)) == ["leverage"]
    assert refused(pass_gate(venue, context(), LIMITS)) == ["leverage"]


@pytest.mark.parametrize(
    ("changes", "cap", "quantity"),
    [
        ({"exposure": Exposure(pair=D(2600))}, "pair_exposure", "10"),
        ({"exposure": Exposure(asset=D(2600))}, "asset_exposure", "10"),
        ({"exposure": Exposure(venue=D(5600))}, "venue_exposure", "10"),
        ({"exposure": Exposure(total=D(5600))}, "total_exposure", "10"),
        # 500 stays in reserve, a unit takes 60.046
        ({"free_collateral": D(1100)}, "free_collateral", "9.99"),
    ],
)
def test_too_much_of_something_is_clipped_to_what_is_left(
    changes: dict[str, Any], cap: str, quantity: str
) -> None:
    result = approved(pass_gate(proposal(), context(**changes), LIMITS))

    assert result.clipped_by == (cap,)
    assert result.proposal.quantity == D(quantity)
    assert result.proposal.notional == D(quantity) * 40
    assert result.proposal.margin == D(quantity) * 20
    assert result.proposal.amount_at_risk == D(quantity) / 2


def test_what_the_guard_would_have_to_add_under_stress_must_be_free() -> None:
    """800 and 400 a leg; under stress the perp needs 600. With 0.92 of fees 1400.92 in all."""
    stressed = msgspec.structs.replace(proposal(), stressed_margin=D(600))
    enough = context(free_collateral=D("1900.92"))  # 500 stay in reserve
    short = context(free_collateral=D("1900.91"))
    others = context(free_collateral=D(10_000), stress_taken=D(9_000))

    assert approved(pass_gate(stressed, enough, LIMITS)).clipped_by == ()
    smaller = approved(pass_gate(stressed, short, LIMITS))
    assert (smaller.clipped_by, smaller.proposal.quantity) == (("stress",), D("19.99"))
    assert smaller.proposal.stressed_margin == D("599.7")
    assert approved(pass_gate(stressed, others, LIMITS)).proposal.quantity == D("7.13")


def test_where_stress_leaves_nothing_the_refusal_says_what_it_takes_and_what_there_is() -> None:
    stressed = msgspec.structs.replace(proposal(), stressed_margin=D(600))
    (refusal,) = pass_gate(stressed, context(stress_taken=D(9_490)), LIMITS)  # type: ignore[misc]

    assert (refusal.check, refusal.actual, refusal.limit) == ("stress", D("1400.92"), D(10))


def test_size_follows_from_what_may_be_lost() -> None:
    result = approved(pass_gate(proposal(risk="200"), context(), LIMITS))

    assert result.clipped_by == ("risk_per_trade",)
    assert result.proposal.quantity == 10  # 100 of risk where 200 was asked


def test_after_losses_the_size_shrinks_and_a_factor_above_one_does_not_help() -> None:
    smaller = pass_gate(proposal(risk="100"), context(size_factor=D("0.5")), LIMITS)
    larger = pass_gate(proposal(risk="200"), context(size_factor=D(2)), LIMITS)

    assert approved(smaller).proposal.quantity == 10
    assert approved(larger).proposal.quantity == 10


def test_several_caps_clip_to_the_tightest_and_all_are_named() -> None:
    tight = context(exposure=Exposure(pair=D(2600), total=D(5800)))
    result = approved(pass_gate(proposal(), tight, LIMITS))

    assert result.clipped_by == ("pair_exposure", "total_exposure")
    assert result.proposal.quantity == 5


def test_a_clipped_quantity_is_in_whole_lots_rounded_down() -> None:
    result = approved(
        pass_gate(proposal(), context(exposure=Exposure(pair=D("2999.9") - 500)), LIMITS)
    )

    assert result.proposal.quantity == D("12.50")


def test_less_than_the_minimum_left_is_a_refusal_with_what_is_left() -> None:
    result = pass_gate(proposal(), context(exposure=Exposure(pair=D(2991))), LIMITS)

    assert refused(result) == ["pair_exposure"]
    assert isinstance(result, tuple)
    assert (result[0].actual, result[0].limit) == (D(800), D(9))


def test_exactly_the_minimum_left_is_enough() -> None:
    result = pass_gate(proposal(), context(exposure=Exposure(pair=D(2990))), LIMITS)

    assert approved(result).proposal.quantity == D("0.25")


def test_a_proposal_below_the_minimum_is_refused() -> None:
    assert refused(pass_gate(proposal("0.24"), context(), LIMITS)) == ["minimum_quantity"]


def test_without_equity_nothing_is_risked_and_nothing_breaks() -> None:
    result = pass_gate(proposal(risk="0"), context(equity=D(-5), free_collateral=D(-5)), LIMITS)

    assert "equity" in refused(result)


def test_taking_risk_off_passes_whatever_is_wrong() -> None:
    p = msgspec.structs.replace(proposal("0.01"), adds_risk=False, leverage=D(50))
    wrong = context(
        equity=D(-1),
        free_collateral=D(-1),
        data_age_seconds=(),
        reconciled_clean=False,
        unknown_orders=9,
        clock_skew_seconds=math.nan,
        active_limits=("drawdown",),
    )
    result = approved(pass_gate(p, wrong, LIMITS))

    assert result.proposal is p
    assert result.clipped_by == ()


def test_approval_cannot_be_made_outside_the_gate() -> None:
    with pytest.raises(TypeError):
        Approved(proposal(), ())  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="only pass_gate approves"):
        Approved(proposal(), (), None)  # type: ignore[arg-type]


def test_an_approval_cannot_be_moved_to_another_proposal() -> None:
    result = approved(pass_gate(proposal(), context(), LIMITS))

    with pytest.raises(TypeError, match="only pass_gate approves"):
        msgspec.structs.replace(result, proposal=proposal("2000"))
    with pytest.raises(TypeError, match="only pass_gate approves"):
        Approved(proposal("2000"), (), result.permit)


def test_an_approval_cannot_be_decoded() -> None:
    result = approved(pass_gate(proposal(), context(), LIMITS))

    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(
            {"proposal": msgspec.to_builtins(result.proposal), "clipped_by": [], "permit": {}},
            Approved,
        )


def test_two_approvals_of_the_same_are_equal() -> None:
    first, second = (pass_gate(proposal(), context(), LIMITS) for _ in range(2))

    assert first == second
    assert hash(first) == hash(second)


def test_only_the_gate_names_the_permit_and_builds_approvals() -> None:
    root = Path(gate.__file__).resolve().parents[2]
    builders = {
        str(path.relative_to(root))
        for package in ("bot", "execution", "strategies", "domain")
        for path in (root / package).rglob("*.py")
        if re.search(r"\bApproved\(|\b_Permit\b", path.read_text().replace("class Approved(", ""))
    }

    assert builders == {"execution/risk/gate.py"}


# --- what is ahead, and what is near --------------------------------------------------------------


def test_before_an_event_nothing_is_entered_and_it_is_named_with_its_hours() -> None:
    near = context(event=Ahead("FOMC", 1.5))
    (refusal,) = cast("tuple[Refusal, ...]", pass_gate(proposal(), near, LIMITS))

    assert str(refusal) == "event: hours to FOMC (actual 1.5, limit 2.0)"
    assert refused(pass_gate(proposal(), context(event=Ahead("FOMC", 2.0)), LIMITS)) == ["event"]
    approved(pass_gate(proposal(), context(event=Ahead("FOMC", 2.01)), LIMITS))


def test_without_event_hours_no_event_is_minded() -> None:
    limits = msgspec.structs.replace(LIMITS, event_hours=0.0)
    approved(pass_gate(proposal(), context(event=Ahead("FOMC", 0.0)), limits))


def test_weekends_are_entered_on_unless_that_is_not_wanted() -> None:
    approved(pass_gate(proposal(), context(weekend=True), LIMITS))
    limits = msgspec.structs.replace(LIMITS, weekend_entries=False)
    assert refused(pass_gate(proposal(), context(weekend=True), limits)) == ["weekend"]
    approved(pass_gate(proposal(), context(weekend=False), limits))


def test_an_entry_is_clipped_to_what_rests_near_the_mid() -> None:
    result = approved(pass_gate(proposal(), context(depth=D(400)), LIMITS))

    assert result.clipped_by == ("depth",)
    assert result.proposal.notional <= 400
    assert refused(pass_gate(proposal(), context(depth=D(0)), LIMITS)) == ["depth"]


def test_a_quote_asset_off_its_peg_stops_every_entry_and_an_unknown_one_none() -> None:
    for depeg in (0.0101, -0.0101, math.nan):
        assert refused(pass_gate(proposal(), context(depeg=depeg), LIMITS)) == ["depeg"]
    for within in (0.01, -0.01, None):
        approved(pass_gate(proposal(), context(depeg=within), LIMITS))


def test_many_forced_orders_near_stop_an_entry_with_numbers_and_unknown_ones_do_not() -> None:
    (refusal,) = cast(
        "tuple[Refusal, ...]", pass_gate(proposal(), context(forced_hours=3.5), LIMITS)
    )

    assert str(refusal) == (
        "clusters: hours of trading, estimated, forced within 1.0% on the perp's losing side "
        "(actual 3.5, limit 3.0)"
    )
    approved(pass_gate(proposal(), context(forced_hours=None), LIMITS))
    approved(pass_gate(proposal(), context(forced_hours=3.0), LIMITS))


def test_none_of_it_stops_what_takes_risk_off() -> None:
    worst = context(
        event=Ahead("FOMC", 0.0), weekend=True, depth=D(0), depeg=math.nan, forced_hours=99.0
    )
    limits = msgspec.structs.replace(LIMITS, weekend_entries=False)
    less = msgspec.structs.replace(proposal(), adds_risk=False)

    assert approved(pass_gate(less, worst, limits)).proposal is less
