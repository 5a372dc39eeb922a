"""Each outage drill once or twice; ``python -m tests.world.drills`` plays them a hundred times."""

import pytest

from tests.world.drills import DRILLS, play

SEEDS = {
    "cascade": (0, 3),
    "brown_out": (3, 11),
    "squeeze": (3,),
    "depeg": (35,),
    "venue_gone": (2,),
    "post_only": (2,),
}


@pytest.mark.parametrize(
    ("name", "seed"), [(name, seed) for name in DRILLS for seed in SEEDS[name]]
)
def test_the_bot_comes_through_an_outage_as_it_promised(name: str, seed: int) -> None:
    assert play(name, seed).violations == []
