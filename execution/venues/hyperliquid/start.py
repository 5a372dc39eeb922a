"""What is read from Hyperliquid before anything can run: the listing, and funding's past."""

import asyncio
from collections.abc import Mapping

import msgspec

from domain.market import FundingSettled
from execution.ports import Transport
from execution.venues.hyperliquid.info import Info
from execution.venues.hyperliquid.public import funding_settled
from execution.venues.hyperliquid.symbols import Listing, resolve
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.wire import nanoseconds

STANDARD = frozenset({"disabled", "default"})
"""Spot and perps apart; ``default`` is an account that has never said what it wants."""
PORTFOLIO = "portfolioMargin"
"""Told as the unified one is. What else backs what, and what is lent, nothing here knows of."""
TOGETHER = frozenset({"unifiedAccount", PORTFOLIO})
"""One balance a token, all of them in the spot state."""
_HEX = frozenset("0123456789abcdef")


def address(text: str) -> str:
    """An account's address in the spelling used here: ``0x`` and 40 lower-case hex digits.

    Raises:
        ValueError: when it is none.
    """
    lower = text.lower()
    if len(lower) != 42 or not lower.startswith("0x") or not _HEX.issuperset(lower[2:]):
        raise ValueError(f"not an address: {text!r} (0x and 40 hex digits)")
    return lower


async def load(
    transport: Transport,
    account: str,
    wanted: Mapping[str, str],
    timing: Timing,
    mode: str | None = None,
) -> Listing:
    """The listing of ``wanted`` (name of a pair to its spot token), with the account's own fees.

    ``mode`` is the account's, asked for where it is not known.

    Raises:
        ValueError: when something wanted is not listed, or the account's mode is not known here.
        TransportFailed: when an answer did not come.
    """
    info = _info(transport, address(account), timing)
    mode = await info.account_mode() if mode is None else mode
    if mode not in STANDARD | TOGETHER:
        raise ValueError(
            f"the account {account} is in mode {mode!r}, of which it is not known what backs "
            f"what; known are {', '.join(sorted(STANDARD | TOGETHER))} (Hyperliquid: Settings, "
            "Account abstraction)"
        )
    meta, spot_meta, fees = await asyncio.gather(info.meta(), info.spot_meta(), info.user_fees())
    listing = resolve(meta, spot_meta, fees, wanted)
    return msgspec.structs.replace(
        listing, is_standard=mode in STANDARD, is_untried=mode == PORTFOLIO
    )


class NotAnAgent(ValueError):
    """The key may not trade for the account, or not for long. The message says why."""


async def prove_agent(
    transport: Transport, account: str, agent: str, now_ms: int, timing: Timing
) -> int | None:
    """Have the venue say that ``agent`` (an address) may trade for ``account``, and still does.

    Returns its last millisecond; None for the unnamed agent, of which its role is all there is.

    Raises:
        NotAnAgent: it is another's, nobody's, the account itself, or has expired.
        TransportFailed: an answer did not come.
        BadMessage: it was none.
    """
    info = _info(transport, address(account), timing)
    rows = await info.extra_agents()
    until_ms = next((row.valid_until for row in rows if row.address.lower() == agent), None)
    if until_ms is None:  # this question weighs three times as much
        told = await info.role(agent)
        if (told.role, told.data.user.lower()) != ("agent", address(account)):
            raise NotAnAgent(f"{agent}, the key's address, is no agent of the account {account}")
    elif until_ms <= now_ms:
        raise NotAnAgent(f"the agent {agent} has expired: approve a new one for {account}")
    return until_ms


async def funding_history(
    transport: Transport, listing: Listing, since_ms: int, until_ms: int, timing: Timing
) -> list[FundingSettled]:
    """Published rates of every perp listed from ``since_ms`` to ``until_ms``, by time.

    They are received when they were settled: history is known as it happened.

    Raises:
        TransportFailed: when an answer did not come.
        BadMessage: when it was none.
    """
    info = _info(transport, "", timing)
    histories = await asyncio.gather(
        *(info.funding_history(perp.coin, since_ms, until_ms) for perp in listing.perps)
    )
    settled = [
        funding_settled(listing, row, nanoseconds(row.time))
        for rows in histories
        for row in rows
        if row.time <= until_ms
    ]
    return sorted(settled, key=lambda event: (event.venue_time_ns, event.instrument))


def _info(transport: Transport, account: str, timing: Timing) -> Info:
    return Info(transport, account, timing.read_timeout, lambda: None, timing.attempts)
