"""At a constant price and a constant rate, profit is what a person computes by hand."""

from decimal import ROUND_HALF_EVEN, Context, Decimal

from domain.account import FundingPayment
from domain.money import exact
from domain.orders import Fill, Liquidity
from domain.time import HOUR
from execution.facts import EquityMarked
from execution.ledger.pnl import PnL
from tests.scripted import PERP, START, Scripted, Told, World, settings

RATE = Decimal("0.0001")


def charged(fee: Decimal) -> Decimal:
    """A venue takes whole units of its own precision: eight decimals of USDC."""
    return fee.quantize(Decimal("1e-8"), ROUND_HALF_EVEN, EXACT_QUOTIENT)


EXACT_QUOTIENT = Context(prec=50)


def test_profit_at_a_constant_price_is_the_hand_computation_to_the_last_digit() -> None:
    # 1000 USDC at 20.00 and an ask of 20.002: 49.99 HYPE, so one slice, one fill a leg and way.
    world = World(Scripted(lambda _: 20.0, hours=30), Told("1000", enter=1, leave=20)).run(30)

    with exact():
        received = Decimal("49.99") * (1 - Decimal("0.0004"))  # the fee of a buy is in HYPE
        hedged = Decimal("49.97")  # whole lots of what was received
        sold, dust = hedged, received - hedged
        # Held at the hours 2 to 20: opened at 01:01, the exit is decided at 20:00.
        funding = 19 * hedged * Decimal(20) * RATE
        fees = (
            -(Decimal("49.99") * Decimal("0.0004")) * Decimal("19.998")
            - charged(hedged * Decimal("19.998") * Decimal("0.00045"))
            - charged(sold * Decimal("20.002") * Decimal("0.0004"))
            - charged(hedged * Decimal("20.002") * Decimal("0.00045"))
        )
        spread = Decimal("0.002")
        # Spot is bought under and sold over the mid, the perp the other way round.
        slippage = Decimal("49.99") * spread + sold * spread - 2 * hedged * spread
        fee_in_base = Decimal("49.99") * Decimal("0.0004")
        basis = -fee_in_base * (Decimal(20) - Decimal("19.998"))
    pnl = world.engine.state.books.pnl_total(world.engine.marks())
    assert pnl == PnL(funding=funding, basis=basis, fees=fees, slippage=slippage)
    assert world.engine.state.books.balance("HYPE") == dust


def test_funding_is_charged_at_the_whole_hour_on_the_position_and_oracle_of_that_moment() -> None:
    world = World(Scripted(lambda n: 20.0 + n / 1000, hours=6), Told("1000")).run(5.1)
    payments = [f for f in world.told(FundingPayment) if isinstance(f, FundingPayment)]
    assert [p.venue_time_ns - START for p in payments] == [2 * HOUR, 3 * HOUR, 4 * HOUR, 5 * HOUR]
    for payment in payments:
        minutes = (payment.venue_time_ns - START) // (HOUR // 60)
        # The oracle as last published before the hour struck.
        assert payment.price == Decimal(repr(20.0 + (minutes - 1) / 1000))
        expected = -payment.position * payment.price * RATE
        assert payment.payment.amount == expected.quantize(Decimal("1e-8"))
        assert payment.position < 0 < payment.payment.amount


def test_the_parts_of_the_profit_sum_to_the_change_of_equity_at_every_mark() -> None:
    world = World(Scripted(lambda n: 20.0 + (n % 7) / 50, hours=12), Told(leave=9)).run(12)
    marks = [f for f in world.told(EquityMarked) if isinstance(f, EquityMarked)]
    assert len(marks) == 12
    for mark in marks:
        with exact():
            assert mark.cash + mark.spot_value + mark.margin + mark.unrealized == mark.equity
    state = world.engine.state
    values = world.engine.marks()
    with exact():
        assert state.books.pnl_total(values).total == state.books.equity(values) - 10_000


def test_the_maker_leg_pays_maker_fees_and_the_hedge_taker_fees() -> None:
    world = World(Scripted(lambda _: 20.0, hours=3), Told("1000")).run(3)
    fills = [f for f in world.told(Fill) if isinstance(f, Fill)]
    assert {(f.instrument == PERP.id, f.liquidity) for f in fills} == {
        (False, Liquidity.MAKER),
        (True, Liquidity.TAKER),
    }


def test_the_same_seed_gives_the_same_facts_and_another_seed_gives_others() -> None:
    def facts(seed: int) -> list[object]:
        source = Scripted(lambda n: 20.0 + (n % 5) / 100, hours=6)
        return list(World(source, Told(leave=4), seed=seed, chosen=settings()).run(6).facts())

    assert facts(1) == facts(1)
    assert facts(1) != facts(2)
