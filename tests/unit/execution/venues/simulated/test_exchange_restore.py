"""What is saved of the exchange: small snapshots, and records that are handed out once.

That a restored exchange goes on identically is a property: tests/property/test_exchange.py.
"""

from domain.orders import Side
from tests.unit.execution.venues.simulated.world import World


def test_records_are_drained_once_and_still_answer_queries() -> None:
    world = World()

    assert len(world.exchange.drain_records()) == 1
    assert world.exchange.drain_records() == []
    assert len(world.exchange.private_since(0)) == 1


def test_a_snapshot_does_not_grow_with_history() -> None:
    world = World({"USDC": "1000000"})
    world.flat_book(30.0)
    world.order(Side.SELL, "1", "30")
    before = len(world.exchange.snapshot())

    for _ in range(100):
        world.order(Side.SELL, "1", "30")

    assert len(world.exchange.snapshot()) < before + 50
