"""Is an account fit to be traded: what the venue itself says about it, and what to do otherwise.

Nothing here signs or changes anything.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal

from bot.finding import Finding
from domain.money import ZERO
from domain.time import DAY, MILLISECOND, SECOND, iso
from execution.ports import Clock, Transport, TransportFailed
from execution.risk.limits import RiskLimits
from execution.venues.hyperliquid import start
from execution.venues.hyperliquid.info import Info
from execution.venues.hyperliquid.symbols import QUOTE_TOKEN, Listing
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.wire import BadMessage, L2Book, amount, positive

AGENT_SOON_NS = 14 * DAY
"""An agent that ends sooner is worth a word now."""
SPOT_FROM_ORACLE_MAX = Decimal("0.1")
"""A spot token further than this from what its perp follows is another token, or one whose bridge
has broken. Hourly closes of what is listed were never further apart than 5 %."""
LASTING = frozenset({"agent", "mode", "pairs"})
"""What keeps a bot from acting at all. The rest passes or is judged by the risk gate: a start
that has something to look after does not wait for it."""


class Checkup:
    """``account`` and ``agent`` are addresses; ``wanted`` names of pairs and their spot tokens.

    ``agent_until_ns``: when the venue stops taking the key, once it was asked; None where it
    does not say.
    """

    def __init__(
        self,
        transport: Transport,
        account: str,
        agent: str,
        wanted: Mapping[str, str],
        clock: Clock,
        limits: RiskLimits,
        timing: Timing,
    ) -> None:
        self._transport, self._wanted = transport, wanted
        self._account, self._agent = account, agent
        self._clock, self._limits, self._timing = clock, limits, timing
        self.agent_until_ns: int | None = None
        self._listing: Listing | None = None
        self._info = Info(transport, account, timing.read_timeout, lambda: None, timing.attempts)

    @property
    def listed(self) -> Listing:
        """Once it was found that all of it is."""
        assert self._listing is not None, "Invariant: nothing runs whose pairs were not found"
        return self._listing

    async def findings(self, *, restart: bool = False) -> list[Finding]:
        """All of them, in the order of a person's questions; of a ``restart`` those of ``LASTING``.

        Raises:
            TransportFailed: the venue does not answer, or not as documented.
        """
        try:
            return [finding async for finding in self._all(restart=restart)]
        except BadMessage as error:
            raise TransportFailed(str(error)) from error

    async def _all(self, *, restart: bool) -> AsyncIterator[Finding]:
        if not restart:
            yield await self._time()
        yield await self._role()
        mode = await self._info.account_mode()
        finding = _mode(mode)
        yield finding
        if finding.status != "failed":
            try:
                self._listing = await start.load(
                    self._transport, self._account, self._wanted, self._timing, mode
                )
            except ValueError as error:
                yield Finding("pairs", "failed", str(error), "leave it out of --pairs")
            else:
                yield Finding("pairs", "ok", f"{', '.join(self._wanted)} are listed")
        if restart:
            return
        if self._listing is not None:
            async for finding in self._markets(self._listing):
                yield finding
        async for finding in self._holdings():
            yield finding

    async def _markets(self, listing: Listing) -> AsyncIterator[Finding]:
        coins = [market.coin for market in listing.markets]
        told = await asyncio.gather(*map(self._info.book, coins))
        books = dict(zip(coins, told, strict=True))
        data = self._data(listing, books)
        yield data
        if data.status == "ok":
            yield await self._prices(listing, books)

    async def _time(self) -> Finding:
        """Between asking and being answered the venue looked at its clock once."""
        asked_ns = self._clock.now_ns()
        status = await self._info.exchange_status()
        answered_ns = self._clock.now_ns()
        if bytes(status.special_statuses) != b"null":
            detail = "the venue announces a special state: it may take resting orders only"
            return Finding("venue", "warning", detail, "wait until it is over")
        behind_ns = asked_ns - status.time * MILLISECOND
        ahead_ns = status.time * MILLISECOND - answered_ns
        skew = max(behind_ns, ahead_ns, 0) / SECOND
        if skew > self._limits.clock_skew_seconds_max:
            side = "behind" if ahead_ns > behind_ns else "ahead of"
            detail = f"this machine is {skew:.1f} s {side} the venue"
            return Finding("venue clock", "failed", detail, "set it by NTP, then start again")
        return Finding("venue clock", "ok", "agrees with the venue's")

    async def _role(self) -> Finding:
        now_ns = self._clock.now_ns()
        try:
            until_ms = await start.prove_agent(
                self._transport,
                self._account,
                self._agent,
                now_ns // MILLISECOND,
                self._timing,
            )
        except start.NotAnAgent as error:
            fix = (
                "approve it there: `fundarb account approve-agent` "
                f"(`fundarb emulator`: --agent {self._agent})"
            )
            return Finding("agent", "failed", str(error), fix)
        if until_ms is None:
            return Finding("agent", "ok", f"{self._agent} may trade for {self._account}")
        self.agent_until_ns = until_ns = until_ms * MILLISECOND
        detail = f"{self._agent} may trade until {iso(until_ns)}"
        if until_ns - now_ns < AGENT_SOON_NS:
            return Finding(
                "agent", "warning", detail, "approve another agent before, with a new key"
            )
        return Finding("agent", "ok", detail)

    def _data(self, listing: Listing, books: Mapping[str, L2Book]) -> Finding:
        """How old they are by now."""
        oldest, whose = 0.0, ""
        for market in listing.markets:
            book = books[market.coin]
            if not all(book.levels):
                fix = "leave the pair out"
                return Finding("data", "failed", f"{market.instrument.symbol} has no quotes", fix)
            age = (self._clock.now_ns() - book.time * MILLISECOND) / SECOND
            oldest, whose = max((oldest, whose), (age, market.instrument.symbol))
        if oldest > self._limits.data_age_seconds_max:
            detail = f"the quotes of {whose} are {oldest:.0f} s old"
            return Finding(
                "data", "failed", detail, "wait for the venue, or look at its status page"
            )
        return Finding(
            "data", "ok", f"{len(listing.markets)} books, none older than {oldest:.1f} s"
        )

    async def _prices(self, listing: Listing, books: Mapping[str, L2Book]) -> Finding:
        """Whether a spot token is worth what its perp follows: whatever it is called."""
        oracles = await self._info.oracles()
        furthest, whose = ZERO, ""
        for pair in listing.pairs:
            bids, asks = books[listing.by_id[pair.spot.id].coin].levels
            mid = (positive(bids[0].px) + positive(asks[0].px)) / 2
            oracle = oracles[listing.by_id[pair.perp.id].coin]
            if oracle <= ZERO or abs(mid / oracle - 1) > SPOT_FROM_ORACLE_MAX:
                detail = (
                    f"{pair.spot.symbol} is at {mid:f}, and the oracle of {pair.perp.symbol} at "
                    f"{oracle:f}: over {SPOT_FROM_ORACLE_MAX:.0%} apart, they are not one coin"
                )
                fix = "leave the pair out, and look at what is wrong with the token"
                return Finding("prices", "failed", detail, fix)
            furthest, whose = max((furthest, whose), (abs(mid / oracle - 1), pair.spot.symbol))
        detail = (
            f"every spot leg is near its perp's oracle; {whose} is furthest off, {furthest:.2%}"
        )
        return Finding("prices", "ok", detail)

    async def _holdings(self) -> AsyncIterator[Finding]:
        perp, spot, _ = await self._info.states()
        crossed = [
            row.position.coin
            for row in perp.asset_positions
            if row.position.leverage.type == "cross"
        ]
        if crossed:
            yield Finding(
                "positions",
                "failed",
                f"{', '.join(crossed)} on cross margin: its losses would take the bot's collateral",
                "close it, or move it to another account or sub-account",
            )
        else:
            yield Finding("positions", "ok", "none on cross margin")
        usdc = sum((amount(row.total) for row in spot.balances if row.token == QUOTE_TOKEN), ZERO)
        if usdc > 0:
            yield Finding("balance", "ok", f"{usdc:,.2f} USDC on the spot side")
        else:
            fix = "deposit, or `fundarb account move` where all of it is on the perp side"
            yield Finding("balance", "failed", "no USDC to buy spot with", fix)


def _mode(mode: str) -> Finding:
    if mode == start.PORTFOLIO:
        detail = "portfolio margin has not been tried: nothing is entered (`account_mode`)"
        return Finding("mode", "warning", detail, "`fundarb account mode unified`")
    if mode in start.TOGETHER:
        return Finding("mode", "ok", "one USDC balance backs spot and perps")
    if mode in start.STANDARD:
        return Finding("mode", "ok", "standard: the perp and the spot side have each their own")
    detail = f"the account is in mode {mode!r}, of which it is not known what backs what"
    return Finding("mode", "failed", detail, "`fundarb account mode` changes it")


def failed(findings: list[Finding], *, restart: bool) -> list[Finding]:
    """What a start is refused for; of a restart only what would keep it from acting."""
    found = [finding for finding in findings if finding.status == "failed"]
    return [finding for finding in found if finding.check in LASTING] if restart else found
