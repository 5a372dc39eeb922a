"""What the watchdog concludes from a lease, an account, a price; and what it does not believe."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bot.lease import Held, Lease
from bot.watchdog import (
    EXPIRY_SECONDS,
    MARK,
    Bounds,
    Difference,
    Neutral,
    NonceFile,
    Obstacle,
    Protector,
    Reduce,
    Step,
    Stuck,
    Verdict,
    Watchdog,
    client_order_id,
    differences,
    idle_stops,
    judge,
    next_step,
    own_orders,
)
from domain.account import AccountReport, Balance, MarginMode, PositionReport
from domain.money import ZERO
from domain.orders import OWN, Side, is_own
from domain.time import SECOND
from execution.effects import RaiseAlarm
from execution.pairs import ExecutionPolicy
from execution.ports import Reply, TransportFailed
from execution.venues.hyperliquid.sign import AgentSigner
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.wire import OpenOrder
from tests.unit.execution.venues.hyperliquid.venue import (
    ACCOUNT,
    NOW,
    FakeVenue,
    listed,
    position,
    statuses,
)
from tests.world.loop import SimLoop
from tests.world.oracle import Oracle

LISTING = listed(HYPE="HYPE", BTC="UBTC")
HYPE, BTC = LISTING.pairs
SPOT, PERP = HYPE.spot.id, HYPE.perp.id
BOUNDS = Bounds.of(ExecutionPolicy(), Timing())
NOTHING_ELSE = {leg.id: ZERO for each in LISTING.pairs for leg in (each.spot, each.perp)}
TRADER = AgentSigner(bytes([1] * 32), is_mainnet=False)
WATCHDOG = AgentSigner(bytes([2] * 32), is_mainnet=False)
OURS, PERSONS = f"0x{OWN}{'0' * 24}", f"0x{'9' * 32}"

# When


def test_the_bounds_are_those_of_the_slowest_request_that_the_trader_may_send() -> None:
    policy = ExecutionPolicy(request_expiry_seconds=4.0, clock_margin_seconds=0.5)

    assert Bounds.of(policy, Timing(expiry=7.0)) == Bounds(7.0, 0.5, Decimal(300))
    assert Bounds.of(policy, Timing(expiry=3.0)).expiry_seconds == 4.0


@pytest.mark.parametrize(
    ("held", "unchanged", "verdict"),
    [
        (Held(), 1e9, Verdict.LEAVE),  # nobody was ever there
        (Held(4, "trader", NOW + 1), 1e9, Verdict.LEAVE),
        (Held(4, "trader", NOW - 1), 1e9, Verdict.LEAVE),  # what it sent may land
        (Held(4, "trader", NOW - 6 * SECOND), 1e9, Verdict.LEAVE),
        (Held(4, "trader", NOW - 6 * SECOND - 1), 1e9, Verdict.TAKE_OVER),
        (Held(4, "trader", NOW - 6 * SECOND - 1), 6.0, Verdict.TAKE_OVER),
        (Held(4, "trader", NOW - 3600 * SECOND), 5.9, Verdict.LEAVE),  # the clock has stepped
        (Held(4, "watchdog", NOW - 6 * SECOND - 1), 1e9, Verdict.TAKE_OVER),  # an earlier one
        (Held(4, "nobody", 0), 5.9, Verdict.LEAVE),
        (Held(4, "nobody", 0), 6.0, Verdict.CHECK),
    ],
)
def test_a_lease_says_whether_somebody_has_to_act(
    held: Held, unchanged: float, verdict: Verdict
) -> None:
    assert judge(held, unchanged, NOW, BOUNDS) is verdict


# What


def test_own_orders_are_those_with_the_bots_mark_and_no_others() -> None:
    orders = [
        OpenOrder("HYPE", 1, OURS),
        OpenOrder("HYPE", 2, PERSONS),
        OpenOrder("HYPE", 3, None),
        OpenOrder("@107", 4, OURS[:-1] + "1"),
        OpenOrder("DOGE", 5, OURS[:-1] + "2"),
        OpenOrder("DOGE", 6, PERSONS),
    ]

    own, strays = own_orders(orders, LISTING)

    assert [(o.cloid, o.asset) for o in own] == [(OURS, 2), (OURS[:-1] + "1", 10_107)]
    assert len(strays) == 1
    assert "DOGE" in strays[0].reason


def test_a_stop_is_idle_where_nothing_of_its_perp_is_held() -> None:
    orders = [
        OpenOrder("HYPE", 1, OURS, is_trigger=True),
        OpenOrder("BTC", 2, OURS[:-1] + "1", is_trigger=True),
        OpenOrder("BTC", 3, OURS[:-1] + "2"),
    ]
    own, _ = own_orders(orders, LISTING)

    assert [o.is_stop for o in own] == [True, True, False]
    assert idle_stops(account(perp="3"), own, NOTHING_ELSE) == own[1:2]
    assert idle_stops(account(perp="3"), own, {}) == own[1:2]
    assert idle_stops(account(), own, NOTHING_ELSE) == own[:2]
    assert idle_stops(account(perp="3"), own, NOTHING_ELSE | {PERP: Decimal(3)}) == own[:2]


def account(spot: str = "0", perp: str = "0", held: str = "0") -> AccountReport:
    """An account with so much HYPE, of which ``held`` backs somebody's resting sale."""
    positions: tuple[PositionReport, ...] = ()
    if Decimal(perp):
        positions = (
            PositionReport(
                PERP, Decimal(perp), Decimal(40), Decimal(40), Decimal(10), ZERO, 2,
                MarginMode.ISOLATED, None,
            ),
        )  # fmt: skip
    return AccountReport(
        (Balance("USDC", Decimal(100), ZERO), Balance("HYPE", Decimal(spot), Decimal(held))),
        positions, (), None, NOW, NOW,
    )  # fmt: skip


SELL, BUY = (HYPE.spot, Side.SELL), (HYPE.perp, Side.BUY)


@pytest.mark.parametrize(
    ("report", "not_ours", "leg", "quantity", "available"),
    [
        (account("10", "-4"), {}, SELL, "6", "6"),
        (account("4", "-10"), {}, BUY, "6", "6"),
        (account("10", "0"), {}, SELL, "10", "10"),
        (account("0", "-10"), {}, BUY, "10", "10"),
        (account("9.993", "-4"), {}, SELL, "5.99", "5.99"),  # never rounded up
        # Coins that were sold against a long perp: of that, what they do not offset.
        (account("40", "14"), {SPOT: "50"}, (HYPE.perp, Side.SELL), "4", "4"),
        (account("50", "7"), {SPOT: "50"}, (HYPE.perp, Side.SELL), "7", "7"),
        (account("40", "4"), {SPOT: "50"}, BUY, "6", "0"),  # nothing to reduce: not bought back
        # Of fifty, forty are a person's.
        (account("50", "-4"), {SPOT: "40"}, SELL, "6", "6"),
        # Part of a person's is sold: the difference is larger than what is the bot's.
        (account("10", "4"), {}, SELL, "14", "10"),
        (account("10", "-4"), {SPOT: "12"}, BUY, "6", "4"),
        # A person's own short must not be bought back, whatever it makes of the position.
        (account("4", "-15"), {PERP: "-5"}, BUY, "6", "6"),
        (account("0", "-3"), {PERP: "-1", SPOT: "5"}, BUY, "7", "2"),
        # A person is long: reduce-only would find nothing to reduce.
        (account("0", "2"), {PERP: "8"}, BUY, "6", "0"),
        # What a person's resting order holds cannot be sold.
        (account("10", "0", held="7"), {}, SELL, "10", "3"),
        # Short spot, as nobody should have: nothing can be reduced.
        (account("2", "0"), {SPOT: "5"}, BUY, "3", "0"),
        (account("0", "3"), {}, (HYPE.perp, Side.SELL), "3", "3"),
    ],
)
def test_a_difference_is_closed_on_the_leg_that_is_ahead_with_what_is_the_bots(
    report: AccountReport,
    not_ours: dict[str, str],
    leg: tuple[Any, Side],
    quantity: str,
    available: str,
) -> None:
    known = NOTHING_ELSE | {name: Decimal(text) for name, text in not_ours.items()}

    [found] = differences(report, LISTING.pairs, known)

    assert isinstance(found, Difference)
    assert (found.instrument, found.side) == leg
    assert (found.quantity, found.available) == (Decimal(quantity), Decimal(available))


@pytest.mark.parametrize(
    ("report", "not_ours"),
    [
        (account(), {}),
        (account("10", "-10"), {}),
        (account("10.0099", "-10"), {}),  # less than a lot
        (account("50", "-10"), {SPOT: "40"}),
        (account("50", "0"), {SPOT: "50"}),
        (account("0", "-7"), {PERP: "-7"}),
        (account("50", "-50"), {SPOT: "50", PERP: "-50"}),  # a hedge of what a person holds
        (account("40", "10"), {SPOT: "50"}),  # coins sold against a long perp
    ],
)
def test_legs_that_are_equal_but_for_what_is_a_persons_do_not_differ(
    report: AccountReport, not_ours: dict[str, str]
) -> None:
    known = NOTHING_ELSE | {name: Decimal(text) for name, text in not_ours.items()}

    assert differences(report, LISTING.pairs, known) == ()


@pytest.mark.parametrize("known", [{}, {SPOT: ZERO}, {PERP: ZERO}])
def test_a_pair_of_which_nobody_has_said_what_is_a_persons_is_not_traded(
    known: dict[str, Decimal],
) -> None:
    [found] = differences(account("10", "-4"), LISTING.pairs, known)

    assert isinstance(found, Obstacle)
    assert differences(account(), LISTING.pairs, known) == ()


def difference(
    leg: tuple[Any, Side] = SELL, quantity: str = "6", available: str | None = None
) -> Difference:
    return Difference(
        *leg, Decimal(quantity), Decimal(available or quantity), HYPE.spot.minimum_notional
    )


MIDS: dict[str, Decimal | None] = {SPOT: Decimal(40), PERP: Decimal(40)}


@pytest.mark.parametrize(
    ("found", "mids", "step"),
    [
        ([], {}, Neutral()),
        ([difference()], MIDS, Reduce(*SELL, Decimal(6), Decimal("38.8"))),
        ([difference(BUY)], MIDS, Reduce(*BUY, Decimal(6), Decimal("41.2"))),
        # The bound is three hundredths, rounded to the inside of it.
        ([difference()], {SPOT: Decimal("40.123")}, Reduce(*SELL, Decimal(6), Decimal("38.92"))),
        (
            [difference(BUY)],
            {PERP: Decimal("40.123")},
            Reduce(*BUY, Decimal(6), Decimal("41.326")),
        ),
        ([difference(available="2.5")], MIDS, Reduce(*SELL, Decimal("2.5"), Decimal("38.8"))),
        # 0.25 would do at the mid, and at the worst price it is under the minimum of ten.
        ([difference(quantity="0.25")], MIDS, Neutral()),
        ([difference(quantity="0.26")], MIDS, Reduce(*SELL, Decimal("0.26"), Decimal("38.8"))),
    ],
)
def test_a_difference_that_can_be_traded_is_reduced_within_the_price_bound(
    found: list[Difference | Obstacle], mids: dict[str, Decimal | None], step: Step
) -> None:
    assert next_step(found, mids, 0, BOUNDS) == step


@pytest.mark.parametrize(
    ("found", "mids", "word"),
    [
        ([difference()], {SPOT: None}, "two-sided"),
        ([difference(available="0.2")], MIDS, "only 0.2 can be had"),
        ([Obstacle("who knows")], {}, "who knows"),
        ([Obstacle("who knows"), difference(quantity="0.01")], MIDS, "who knows"),
    ],
)
def test_what_cannot_be_reduced_is_said_and_is_never_called_neutral(
    found: list[Difference | Obstacle], mids: dict[str, Decimal | None], word: str
) -> None:
    step = next_step(found, mids, 0, BOUNDS)

    assert isinstance(step, Stuck)
    assert word in step.because


def test_several_differences_take_turns_and_obstacles_hold_up_none() -> None:
    found: list[Difference | Obstacle] = [Obstacle("who knows"), difference(), difference(BUY)]

    sides = [
        step.side
        for turn in range(4)
        if isinstance(step := next_step(found, MIDS, turn, BOUNDS), Reduce)
    ]

    assert sides == [Side.SELL, Side.BUY, Side.SELL, Side.BUY]


def test_a_client_id_is_the_watchdogs_and_made_once() -> None:
    few = range(10)
    ids = {client_order_id(epoch, number, at) for epoch in few for number in few for at in few}

    assert len(ids) == 1000
    assert all(len(one) == 34 and one.startswith(f"0x{MARK}") for one in ids)
    assert bytes.fromhex(MARK) == b"watc"
    assert not any(map(is_own, ids))


# Nonces


def test_a_nonce_file_repeats_none_over_a_restart_though_the_clock_went_back(
    tmp_path: Path,
) -> None:
    first = NonceFile(tmp_path / "nonces")
    used = [first.next(1_000), first.next(1_000)]
    first.close()

    second = NonceFile(tmp_path / "nonces")
    used += [second.next(500), second.next(2_000)]
    second.close()

    assert used == [1_000, 1_001, 1_002, 2_000]


def test_a_second_watchdog_does_not_start(tmp_path: Path) -> None:
    first = NonceFile(tmp_path / "nonces")

    with pytest.raises(ValueError, match="another watchdog"):
        NonceFile(tmp_path / "nonces")
    first.close()


def test_a_file_of_something_else_is_not_used_for_nonces(tmp_path: Path) -> None:
    (tmp_path / "nonces").write_text("{}")

    with pytest.raises(ValueError, match="no nonce"):
        NonceFile(tmp_path / "nonces")

    assert (tmp_path / "nonces").read_text() == "{}"


# What it will not believe


class Scene:
    """A venue that says what it is told to, and a lease that ran out long ago."""

    def __init__(self, path: Path) -> None:
        self.loop = SimLoop(Oracle.seeded(1, {}), NOW)
        self.venue = FakeVenue()
        self.venue.info |= {
            "frontendOpenOrders": [],
            "l2Book": lambda asked: {
                "coin": asked["coin"],
                "time": 0,
                "levels": [[{"px": "39.99", "sz": "9"}], [{"px": "40.01", "sz": "9"}]],
            },
        }
        self.alarms: list[RaiseAlarm] = []
        self.nonces = NonceFile(path / "nonces")
        self.lease = Lease(path / "lease", "watchdog", 3 * SECOND)
        held = Held(7, "trader", NOW - 3600 * SECOND, dict.fromkeys(NOTHING_ELSE, "0"))
        (path / "lease").write_bytes(msgspec.json.encode(held))

    def now_ns(self) -> int:
        return self.loop.now_ns

    def watchdog(
        self, signer: AgentSigner = WATCHDOG, trader: str = TRADER.address, account: str = ACCOUNT
    ) -> Watchdog:
        return Watchdog(
            self.venue, signer, self.nonces, LISTING, account, trader, self, self.lease, BOUNDS,
            self.alarms.append,
        )  # fmt: skip

    def protector(self) -> Protector:
        return Protector(
            self.venue, WATCHDOG, self.nonces, LISTING, ACCOUNT, self, self.lease, BOUNDS
        )

    def hold(self, hype: str, short: str | None = None) -> None:
        balances = [
            {"coin": "USDC", "token": 0, "total": "1000", "hold": "0"},
            {"coin": "HYPE", "token": 150, "total": hype, "hold": "0"},
        ]
        self.venue.info["spotClearinghouseState"] = {"balances": balances}
        self.venue.info["clearinghouseState"] = {
            "assetPositions": [position(szi=f"-{short}")] if short else [],
            "time": NOW // 10**6,
        }

    def watch(self, seconds: float) -> list[str]:
        """The alarms of so long."""
        task = self.loop.create_task(self.watchdog().run())
        self.loop.run_until(self.loop.now_ns + int(seconds * SECOND))
        assert not task.done(), task
        return [alarm.alarm for alarm in self.alarms]

    def close(self) -> None:
        self.nonces.close()
        self.loop.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.close()


@pytest.mark.parametrize("address", [TRADER.address, TRADER.address.upper().replace("X", "x")])
def test_a_watchdog_with_the_traders_key_or_the_accounts_does_not_start(
    scene: Scene, address: str
) -> None:
    with pytest.raises(ValueError, match="a key of its own"):
        scene.watchdog(signer=TRADER, trader=address)
    with pytest.raises(ValueError, match="a key of its own"):
        scene.watchdog(signer=TRADER, trader=WATCHDOG.address, account=address)


@pytest.mark.parametrize("ahead", [0, 10])
def test_a_second_order_waits_until_the_venues_clock_has_passed_the_expiry_of_the_first(
    scene: Scene, ahead: int
) -> None:
    """Expiries are of the venue's clock, of which a machine that is ahead knows about how far."""
    scene.hold("10", "4")
    state = scene.venue.info["clearinghouseState"]
    scene.venue.info["clearinghouseState"] = lambda _: (
        state | {"time": (scene.loop.now_ns - ahead * SECOND) // 10**6}
    )
    sent: list[int] = []

    def lost(asked: dict[str, Any]) -> TransportFailed:
        if asked["action"]["type"] == "order":
            sent.append(scene.loop.now_ns)
        return TransportFailed("lost")

    scene.venue.exchange = lost
    scene.lease.acquire(scene.loop.now_ns)
    work = scene.protector().until_neutral(dict.fromkeys(NOTHING_ELSE, Decimal(0)))
    task = scene.loop.create_task(work)
    scene.loop.run_until(NOW + 20 * SECOND)

    assert len(sent) >= 2
    assert (sent[1] - sent[0]) / SECOND >= EXPIRY_SECONDS + BOUNDS.margin_seconds + ahead - 0.1
    task.cancel()


def test_an_account_that_shows_nothing_at_all_is_not_flat(scene: Scene) -> None:
    scene.venue.info["spotClearinghouseState"] = {"balances": []}

    assert scene.watch(30) == ["trader_silent", "watchdog_stuck"]
    assert "no balance" in scene.alarms[-1].detail


def test_an_account_that_shows_money_and_nothing_else_is(scene: Scene) -> None:
    assert scene.watch(30) == ["trader_silent", "watchdog_neutral"]
    assert scene.venue.actions == []


def test_one_reading_of_two_that_differ_is_not_acted_on(scene: Scene) -> None:
    scene.hold("10", "10")
    steady = scene.venue.info["clearinghouseState"]
    readings = iter([steady | {"assetPositions": []}])
    scene.venue.info["clearinghouseState"] = lambda asked: next(readings, steady)

    assert scene.watch(30) == ["trader_silent", "watchdog_neutral"]
    assert scene.venue.actions == []


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("clearinghouseState", Reply(502, b"{}")),
        ("frontendOpenOrders", Reply(502, b"[]")),
        ("spotClearinghouseState", TransportFailed("lost")),
        ("frontendOpenOrders", {"orders": []}),
        ("l2Book", {"coin": "BTC", "time": 0, "levels": [[], []]}),
        ("l2Book", {"coin": "@107", "time": 0, "levels": [[], []]}),
        (
            "l2Book",
            {
                "coin": "@107",
                "time": 0,
                "levels": [[{"px": "41", "sz": "1"}], [{"px": "40", "sz": "1"}]],
            },
        ),
    ],
)
def test_where_an_answer_is_none_nothing_is_done_and_a_person_is_told(
    scene: Scene, question: str, answer: Any
) -> None:
    scene.hold("10")
    scene.venue.info[question] = answer

    assert scene.watch(30) == ["trader_silent", "watchdog_stuck"]
    assert scene.venue.actions == []


def test_an_order_of_the_bots_that_comes_while_the_account_is_read_is_seen(scene: Scene) -> None:
    asked = count()
    order = {"coin": "HYPE", "oid": 1, "cloid": OURS}
    # It lists what is open first, and reads the account afterwards, which lists it again.
    scene.venue.info["frontendOpenOrders"] = lambda _: [order] if next(asked) % 2 else []

    assert scene.watch(30) == ["trader_silent", "watchdog_stuck"]
    assert "has come meanwhile" in scene.alarms[-1].detail


def test_a_refused_hedge_is_told_with_the_venues_words_and_tried_again(scene: Scene) -> None:
    scene.hold("10")
    scene.venue.exchange = statuses({"error": "Insufficient spot balance asset=10107"})

    assert scene.watch(30) == ["trader_silent", "watchdog_stuck"]
    assert "Insufficient spot balance" in scene.alarms[-1].detail
    assert 3 < len(scene.venue.actions) < 10


def test_an_answer_that_decides_nothing_is_not_taken_for_a_hedge(scene: Scene) -> None:
    scene.hold("10")
    scene.venue.exchange = statuses("waitingForFill")

    assert scene.watch(30) == ["trader_silent", "watchdog_stuck"]
    sent = [msgspec.json.decode(body) for body in scene.venue.actions]
    # Its nonce is used by nobody knows what, so that what did not land is asked for by expiry.
    assert [one["action"]["type"] for one in sent[:2]] == ["order", "noop"]
    assert sent[0]["nonce"] == sent[1]["nonce"]


@pytest.mark.parametrize("step", ["cancel", "hedge"])
def test_without_the_lease_nothing_is_sent(scene: Scene, step: str) -> None:
    scene.hold("10")
    if step == "cancel":
        scene.venue.info["frontendOpenOrders"] = [{"coin": "HYPE", "oid": 1, "cloid": OURS}]
    task = scene.loop.create_task(scene.protector().until_neutral(NOTHING_ELSE))

    scene.loop.run_until(NOW + 30 * SECOND)

    assert "was not renewed" in str(task.exception())
    assert scene.venue.actions == []


def test_looking_alone_sends_nothing(scene: Scene) -> None:
    scene.hold("10")

    step = scene.loop.run_until_complete(scene.protector().look(NOTHING_ELSE))

    assert isinstance(step, Reduce)
    assert scene.venue.actions == []
