"""Whatever the lease file holds, nobody acts on what cannot be understood."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.lease import Held, Lease, LeaseHeld, LeaseLost
from domain.time import SECOND
from tests.fuzz.mangled import damaged, mangled, many, one_thing_wrong

NOW = 1_735_689_600 * SECOND
DURATION = 3 * SECOND
WHOLE = json.dumps(
    {
        "epoch": 7,
        "holder": "trader",
        "until_ns": NOW + SECOND,
        "not_ours": {"hyperliquid:HYPE/USDC": "12.5", "hyperliquid:HYPE-PERP": "0E-8"},
    }
).encode()
CALLS: list[Callable[[Lease], object]] = [
    lambda lease: lease.look(),
    lambda lease: lease.acquire(NOW),
    lambda lease: lease.renew(NOW + 1),
    lambda lease: lease.release(),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lease"


def look(path: Path, body: bytes) -> Held | None:
    """What everybody reads in it; None where nobody can, and nobody gets to act."""
    path.unlink(missing_ok=True)
    trader = Lease(path, "trader", DURATION)
    trader.acquire(NOW)
    path.write_bytes(body)
    watchdog = Lease(path, "watchdog", DURATION)
    try:
        held = watchdog.look()
    except LeaseLost as lost:
        assert "\n" not in str(lost)  # noqa: PT017 - it may also be read
        for call in CALLS:
            with pytest.raises(LeaseLost, match="stop the bot and the watchdog"):
                call(trader)
        with pytest.raises(LeaseLost):
            watchdog.acquire(NOW + 100 * DURATION)
        assert not watchdog.holds(NOW + 100 * DURATION)
        assert path.read_bytes() == body
        return None
    assert 0 <= held.epoch < 1 << 63
    assert 0 <= held.until_ns < 1 << 63
    assert all(Decimal(quantity).is_finite() for quantity in held.not_ours.values())
    try:
        watchdog.acquire(NOW)
    except LeaseHeld:
        assert held.until_ns > NOW
        assert held.holder != "watchdog"
    else:
        taken = Held(held.epoch + 1, "watchdog", NOW + DURATION, held.not_ours)
        assert held.epoch + 1 == 1 << 63 or watchdog.look() == taken
    return held


def test_the_sample_is_a_lease(path: Path) -> None:
    held = look(path, WHOLE)
    assert held is not None
    assert held.epoch == 7


@pytest.mark.parametrize("body", [b"", b" ", b"\n" * 16_384])
def test_an_empty_file_is_a_free_lease(path: Path, body: bytes) -> None:
    assert look(path, body) == Held()


def test_a_file_with_one_thing_wrong_is_a_lease_or_nobody_acts(path: Path) -> None:
    for body in one_thing_wrong([WHOLE]):
        look(path, body)


@many(300)
@given(mangled([WHOLE]) | damaged(WHOLE.ljust(16_384)) | st.binary(max_size=40))
@example(b"\0" * 16_384)
@example(b" " * (1 << 20) + WHOLE)
@example(WHOLE + WHOLE)
@example(WHOLE[:-1])
def test_a_damaged_file_is_a_lease_or_nobody_acts(path: Path, body: bytes) -> None:
    look(path, body)


@pytest.mark.parametrize(
    "body",
    [
        b"\0" * 16_384,
        b"trader",
        b"{",
        b'{"epoch":-1}',
        b'{"epoch":9223372036854775808}',
        b'{"epoc":7}',
        b'{"until_ns":1e999}',
        b'{"not_ours":{"hyperliquid:HYPE/USDC":"NaN"}}',
        b'{"not_ours":{"hyperliquid:HYPE/USDC":"some"}}',
        b'{"holder":"\xff"}',
        b"[" * 10_000,
        WHOLE.ljust((1 << 20) + 1),
    ],
)
def test_what_is_no_lease_lets_nobody_act(path: Path, body: bytes) -> None:
    assert look(path, body) is None


def test_what_a_person_is_told_to_write_is_a_lease(path: Path) -> None:
    assert look(path, b'{"epoch": 1000000}') == Held(1_000_000)


def test_more_words_than_usual_are_read_back_whole_and_leave_nothing_behind(path: Path) -> None:
    lease = Lease(path, "trader", DURATION)
    lease.acquire(NOW)
    many_coins = {f"venue:COIN{number}": "1.25" for number in range(2_000)}

    lease.renew(NOW + 1, many_coins)
    assert lease.look().not_ours == many_coins

    lease.renew(NOW + 2, {})
    assert lease.look() == Held(1, "trader", NOW + 2 + DURATION, {})
