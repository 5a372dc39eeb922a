"""What is read before anything runs, and what stops the start."""

import pytest

from domain.time import HOUR, MILLISECOND
from execution.ports import Reply, TransportFailed
from execution.venues.hyperliquid.start import (
    NotAnAgent,
    address,
    funding_history,
    load,
    prove_agent,
)
from execution.venues.hyperliquid.wire import BadMessage
from tests.unit.execution.venues.hyperliquid.venue import (
    ACCOUNT,
    NOW,
    QUICK,
    WANTED,
    FakeVenue,
    listed,
)


async def test_the_listing_is_loaded_with_the_accounts_own_fees() -> None:
    venue = FakeVenue()

    assert await load(venue, ACCOUNT.upper().replace("X", "x"), WANTED, QUICK) == listed()
    assert [question.get("user") for question in venue.asked("userFees")] == [ACCOUNT]


@pytest.mark.parametrize(
    ("mode", "is_standard", "is_untried"),
    [
        ("unifiedAccount", False, False),
        ("portfolioMargin", False, True),
        ("disabled", True, False),
        ("default", True, False),
    ],
)
async def test_the_accounts_mode_says_whether_perps_have_a_wallet_of_their_own(
    mode: str, is_standard: bool, is_untried: bool
) -> None:
    venue = FakeVenue()
    venue.info["userAbstraction"] = mode

    listing = await load(venue, ACCOUNT, WANTED, QUICK)
    assert (listing.is_standard, listing.is_untried) == (is_standard, is_untried)


async def test_a_mode_that_nobody_has_heard_of_is_refused_by_name() -> None:
    venue = FakeVenue()
    venue.info["userAbstraction"] = "dexAbstraction"

    with pytest.raises(ValueError, match=r"'dexAbstraction'.*unifiedAccount"):
        await load(venue, ACCOUNT, WANTED, QUICK)


AGENT = "0x" + "a" * 40


@pytest.mark.parametrize("valid_until", [None, NOW // MILLISECOND + 1])
async def test_an_agent_of_the_account_is_proved(valid_until: int | None) -> None:
    venue = FakeVenue()
    if valid_until is not None:
        row = {"name": "bot", "address": AGENT, "validUntil": valid_until}
        venue.info["extraAgents"] = [row]

    await prove_agent(venue, ACCOUNT, AGENT, NOW // MILLISECOND, QUICK)


@pytest.mark.parametrize(
    ("role", "valid_until", "words"),
    [
        ({"role": "user"}, None, "is no agent of the account"),
        ({"role": "missing"}, None, "is no agent of the account"),
        ({"role": "agent", "data": {"user": "0x" + "b" * 40}}, None, "is no agent of the account"),
        ({"role": "agent", "data": {"user": ACCOUNT}}, NOW // MILLISECOND, "has expired"),
    ],
)
async def test_a_key_that_is_not_an_agents_or_not_any_more_is_refused(
    role: dict[str, object], valid_until: int | None, words: str
) -> None:
    venue = FakeVenue()
    venue.info["userRole"] = role
    if valid_until is not None:
        row = {"name": "bot", "address": AGENT.upper(), "validUntil": valid_until}
        venue.info["extraAgents"] = [row]

    with pytest.raises(NotAnAgent, match=words):
        await prove_agent(venue, ACCOUNT, AGENT, NOW // MILLISECOND, QUICK)


@pytest.mark.parametrize("text", ["", "0x12", "ab" * 21, "0x" + "g" * 40])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        address(text)


async def test_a_start_without_an_answer_fails_and_does_not_guess() -> None:
    venue = FakeVenue()
    venue.info["spotMeta"] = Reply(502, b"")
    with pytest.raises(TransportFailed):
        await load(venue, ACCOUNT, WANTED, QUICK)
    venue.info["spotMeta"] = {"tokens": []}
    with pytest.raises(BadMessage):
        await load(venue, ACCOUNT, WANTED, QUICK)


async def test_fundings_past_is_read_page_by_page_and_in_order() -> None:
    venue, first = FakeVenue(), NOW // MILLISECOND
    hours = [first + hour * HOUR // MILLISECOND + 5 for hour in range(30)]
    venue.info["fundingHistory"] = lambda question: [
        {"coin": question["coin"], "fundingRate": "0.00001", "premium": "0", "time": time_ms}
        for time_ms in hours
        if time_ms >= question["startTime"]
    ][:7]
    settled = await funding_history(venue, listed(), hours[1], hours[28], QUICK)

    assert len(settled) == 3 * 28
    assert [event.venue_time_ns for event in settled] == sorted(
        time_ms * MILLISECOND for time_ms in hours[1:29] * 3
    )
    assert {event.instrument for event in settled[:3]} == {
        "hyperliquid:HYPE-PERP",
        "hyperliquid:BTC-PERP",
        "hyperliquid:PURR-PERP",
    }
    assert all(event.received_ns == event.venue_time_ns for event in settled)


async def test_the_funding_of_another_coin_is_not_taken_for_this_one() -> None:
    venue = FakeVenue()
    venue.info["fundingHistory"] = [
        {"coin": "DOGE", "fundingRate": "0.00001", "premium": "0", "time": NOW // MILLISECOND}
    ]

    with pytest.raises(BadMessage, match="asked for the funding of"):
        await funding_history(venue, listed(), 0, NOW // MILLISECOND, QUICK)
