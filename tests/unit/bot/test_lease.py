"""One holder at a time, each with a larger epoch; what the trader put down outlives it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from bot.lease import Held, Lease, LeaseHeld, LeaseLost
from domain.time import SECOND

ROOT = Path(__file__).resolve().parents[3]
NOW = 1_735_689_600 * SECOND
DURATION = 3 * SECOND


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lease"


def trader(path: Path) -> Lease:
    return Lease(path, "trader", DURATION)


def watchdog(path: Path) -> Lease:
    return Lease(path, "watchdog", DURATION)


def held_by(lease: Lease, now_ns: int = NOW) -> Lease:
    lease.acquire(now_ns)
    return lease


# Taking and renewing


def test_a_lease_that_nobody_ever_held_says_so(path: Path) -> None:
    assert trader(path).look() == Held(0, "nobody", 0, {})


def test_a_lease_is_not_held_before_it_is_taken_nor_to_the_end_of_its_duration(path: Path) -> None:
    lease = trader(path)
    assert not lease.holds(NOW)

    lease.acquire(NOW)

    assert lease.holds(NOW + DURATION - 1)
    assert not lease.holds(NOW + DURATION)
    assert lease.look() == Held(1, "trader", NOW + DURATION)


def test_renewing_gives_the_whole_duration_from_then_on_in_the_same_epoch(path: Path) -> None:
    lease = held_by(trader(path))

    lease.renew(NOW + 2 * SECOND)

    assert lease.epoch == 1
    assert lease.holds(NOW + 2 * SECOND + DURATION - 1)
    assert lease.look().until_ns == NOW + 2 * SECOND + DURATION


def test_a_lease_that_was_never_taken_cannot_be_renewed(path: Path) -> None:
    with pytest.raises(LeaseLost):
        trader(path).renew(NOW)


def test_a_lease_that_ran_out_cannot_be_renewed_though_nobody_took_it(path: Path) -> None:
    lease = held_by(trader(path))

    with pytest.raises(LeaseLost):
        lease.renew(NOW + DURATION)

    assert lease.look().until_ns == NOW + DURATION


# Being taken over


def test_a_lease_that_is_held_is_nobody_elses_until_it_has_run_out(path: Path) -> None:
    held_by(trader(path))
    other = watchdog(path)

    with pytest.raises(LeaseHeld) as refused:
        other.acquire(NOW + DURATION - 1)
    assert refused.value.until_ns == NOW + DURATION
    assert not other.holds(NOW)

    other.acquire(NOW + DURATION)
    assert (other.epoch, other.look().holder) == (2, "watchdog")


def test_whoever_was_overtaken_finds_out_and_leaves_the_new_holders_lease_alone(
    path: Path,
) -> None:
    lost = held_by(trader(path), NOW)
    held_by(watchdog(path), NOW + DURATION)
    found = lost.look()

    # By a clock that has stepped back its time has not even run out.
    with pytest.raises(LeaseLost):
        lost.renew(NOW + SECOND)

    assert not lost.holds(NOW + SECOND)
    lost.release()
    assert lost.look() == found


def test_every_holding_has_a_larger_epoch_than_the_one_before(path: Path) -> None:
    epochs = []
    for turn in range(4):
        lease = trader(path) if turn % 2 else watchdog(path)
        lease.acquire(NOW + turn * DURATION)
        epochs.append(lease.epoch)
        if turn == 1:
            lease.release()

    assert epochs == [1, 2, 3, 4]


def test_a_restarted_trader_takes_its_own_lease_back_without_waiting(path: Path) -> None:
    before = held_by(trader(path))

    after = held_by(trader(path), NOW + 1)

    assert after.epoch == 2
    with pytest.raises(LeaseLost):
        before.renew(NOW + 2)


# Giving back


def test_a_lease_that_was_given_back_is_free_at_once_and_keeps_its_epoch(path: Path) -> None:
    lease = held_by(trader(path))

    lease.release()

    assert not lease.holds(NOW)
    assert lease.look() == Held(1, "nobody", 0)
    assert held_by(watchdog(path), NOW + 1).epoch == 2


def test_what_was_given_back_cannot_be_renewed(path: Path) -> None:
    lease = held_by(trader(path))
    lease.release()

    with pytest.raises(LeaseLost):
        lease.renew(NOW + 1)


# What is not ours


def test_what_is_not_ours_outlives_renewals_release_and_every_other_holder(path: Path) -> None:
    lease = held_by(trader(path))
    lease.renew(NOW + 1, {"venue:HYPE": "12.5"})
    lease.renew(NOW + 2)
    other = watchdog(path)

    other.acquire(NOW + 10 * SECOND)
    assert other.look().not_ours == {"venue:HYPE": "12.5"}
    other.renew(NOW + 11 * SECOND)
    other.release()

    assert other.look().not_ours == {"venue:HYPE": "12.5"}


def test_shorter_words_leave_nothing_of_longer_ones(path: Path) -> None:
    lease = held_by(trader(path))
    lease.renew(NOW + 1, {f"venue:COIN{number}": "1.25" for number in range(50)})

    lease.renew(NOW + 2, {})

    assert lease.look() == Held(1, "trader", NOW + 2 + DURATION, {})


# Between processes

RACER = """
import sys, time
from pathlib import Path
from bot.lease import Lease, LeaseHeld
lease = Lease(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
while time.time() < float(sys.argv[4]):
    pass
for _ in range(int(sys.argv[5])):
    try:
        lease.acquire(time.time_ns())
        print(lease.epoch)
    except LeaseHeld:
        print("held")
"""


def race(path: Path, duration_ns: int, times: int) -> list[str]:
    """Two processes take it so many times each, from the same moment on; what they got."""
    start = str(time.time() + 1)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(path), name, str(duration_ns), start, str(times)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("trader", "watchdog")
    ]
    return [word for racer in racers for word in racer.communicate(timeout=30)[0].split()]


def test_of_two_processes_that_race_for_it_exactly_one_wins(path: Path) -> None:
    held_by(trader(path), NOW - DURATION)  # and it has run out since

    assert sorted(race(path, 60 * SECOND, 1)) == ["2", "held"]


def test_no_epoch_is_given_twice_however_two_processes_contend(path: Path) -> None:
    epochs = [int(word) for word in race(path, 0, 2_000) if word != "held"]

    assert len(epochs) > 500
    assert sorted(epochs) == list(range(1, len(epochs) + 1))


def test_the_file_is_only_for_its_owner(path: Path) -> None:
    held_by(trader(path))

    assert path.stat().st_mode & 0o777 == 0o600


# Two clocks


def test_processes_whose_wall_clocks_were_set_differently_mean_the_same_moment(
    path: Path,
) -> None:
    behind_ns = 30 * SECOND  # the watchdog was started before the wall clock was set right
    theirs = Lease(path, "trader", DURATION, NOW - 100 * SECOND, "this run")
    ours = Lease(path, "watchdog", DURATION, NOW - 100 * SECOND - behind_ns, "this run")

    theirs.acquire(NOW)

    assert theirs.look().until_ns == NOW + DURATION
    assert ours.look().until_ns == NOW + DURATION - behind_ns
    with pytest.raises(LeaseHeld):
        ours.acquire(NOW + DURATION - behind_ns - 1)
    ours.acquire(NOW + DURATION - behind_ns)


def test_what_was_held_before_the_machine_was_started_again_has_run_out(path: Path) -> None:
    Lease(path, "trader", DURATION, NOW - 1_000_000 * SECOND, "the run before").acquire(NOW)
    started_ns = NOW + 60 * SECOND
    ours = Lease(path, "watchdog", DURATION, started_ns, "this run")

    assert ours.look().until_ns <= started_ns
    ours.acquire(started_ns + SECOND)

    assert ours.epoch == 2
