"""Everything at once: a bad road, thin books, lost legs, a person's hand, commands, restarts."""

from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from domain.account import CashCause
from domain.instruments import Instrument
from domain.orders import Fill, OrderRequest, Side, TimeInForce
from domain.time import SECOND
from tests.lossy import Storm, assert_sound, shaken
from tests.scripted import PERP, SPOT, Scripted, Told


def by_hand(storm: Storm, leg: Instrument, side: Side, quantity: int) -> None:
    """An order from elsewhere, as its account would hear of it: without our client id."""
    now_ns, exchange = storm.venue.now_ns, storm.venue.exchange
    mid = Decimal(repr(exchange._markets[leg.id].mid))
    price = leg.round_price(mid * (1 + side.sign * Decimal("0.01")), up=True)
    request = OrderRequest(
        f"by hand {now_ns}", leg.id, side, Decimal(quantity), price, TimeInForce.IOC,
        reduce_only=False, expires_ns=now_ns,
    )  # fmt: skip
    storm.happens([e for e in exchange.place(request, now_ns) if isinstance(e, Fill)])


def deleverage(storm: Storm, fraction: str) -> None:
    exchange = storm.venue.exchange
    position, mark = exchange._clearing.position(PERP.id), exchange._clearing.mark(PERP.id)
    if position.quantity and position.equity(mark) > 0:
        now_ns = storm.venue.now_ns
        storm.happens(exchange.auto_deleverage(PERP.id, Decimal(fraction), mark, now_ns))


def trouble(storm: Storm, random: Random, *, legs_lost: bool) -> None:
    """One thing that may happen in five minutes; mostly nothing."""
    kind = random.random()
    if kind < 0.04 and legs_lost:
        deleverage(storm, random.choice(["0.2", "0.5", "1"]))
    elif kind < 0.08 and legs_lost:
        leg, side = random.choice([SPOT, PERP]), random.choice(list(Side))
        by_hand(storm, leg, side, random.randint(1, 40))
    elif kind < 0.12:
        storm.command(random.choice(["pause", "resume", "flatten"]))
    elif kind < 0.14:
        storm.command("close", "HYPE")
    elif kind < 0.16:
        amount = Decimal(random.choice([-500, 500]))
        flow = storm.venue.exchange._clearing.cashflow("USDC", amount, CashCause.DEPOSIT, None)
        storm.happens([flow])


@pytest.mark.parametrize("legs_lost", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_after_any_mixture_of_trouble_the_books_are_whole_and_nothing_is_left_open(
    seed: int, legs_lost: bool, tmp_path: Path
) -> None:
    random = Random(f"trouble {seed}")
    walk = [20.0]
    for _ in range(12 * 60):
        walk.append(walk[-1] * (1 + random.uniform(-0.006, 0.006)))
    depth, notional = random.choice([1e6, 30.0, 5.0]), str(random.randint(200, 6000))
    request, answer = shaken(seed, (0.0, 0.1, 0.3)[seed % 3], late_ns=8 * SECOND)

    def begun() -> Storm:
        source = Scripted(lambda number: walk[number], 12, depth=depth)
        return Storm(source, Told(notional, enter=1, leave=4), tmp_path).worse(request, answer)

    storm = begun()
    for twelfth in range(12, 66):
        storm.run(twelfth / 12)
        trouble(storm, random, legs_lost=legs_lost)
        if random.random() < 0.06:
            storm.close()
            storm = begun()
    storm.calm().command("flatten")
    storm.run(8)

    # What the venue or a person takes away is naked at once; by its own orders the bot
    # never is beyond one slice, and what prices move until the hedge.
    assert_sound(storm, None if legs_lost else Decimal(1030))
    # A book that was taken empty is full again a minute later.
    assert legs_lost or storm.engine.state.exposed.seconds <= 75
    assert storm.engine.state.open_trades == {}
    storm.close()
