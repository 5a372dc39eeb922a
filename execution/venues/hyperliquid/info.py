"""Questions to ``/info``. They change nothing, so that each may be asked again.

Every method raises ``TransportFailed`` where no answer came in ``attempts`` and
``BadMessage`` where the last was not one to this question.
"""

import asyncio
import contextlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from domain.time import HOUR, MILLISECOND, MINUTE
from execution.ports import Transport, TransportFailed
from execution.venues.hyperliquid import units, wire

T = TypeVar("T")
Row = TypeVar("Row", wire.FillRow, wire.FundingUpdate, wire.LedgerUpdate, wire.FundingRow)

_NEARLY_AN_HOUR_MS = (HOUR - MINUTE) // MILLISECOND
PAGES_MAX = 1_000
"""Years of an account's history. A venue that always has one more row would never let go."""


class Info:
    """``account`` is the address whose account it is, never an agent's: an agent's is empty."""

    def __init__(
        self,
        transport: Transport,
        account: str,
        timeout_seconds: float,
        answered: Callable[[], None],
        attempts: int = 1,
    ) -> None:
        self._transport = transport
        self._account = account
        self._timeout_seconds = timeout_seconds
        self._answered = answered
        self._attempts = attempts
        self.rejected = 0  # answers that could not be believed

    async def meta(self) -> wire.Meta:
        return await self._ask(wire.Meta, type="meta")

    async def perp_contexts(self) -> dict[str, wire.AssetContext]:
        """Mark, oracle and open interest of every perp, by coin."""
        meta, contexts = await self._ask(
            tuple[wire.Meta, list[wire.AssetContext]], type="metaAndAssetCtxs"
        )
        if len(contexts) != len(meta.universe):
            raise wire.BadMessage("as many contexts as perps were expected")
        names = (asset.name for asset in meta.universe)
        return dict(zip(names, contexts, strict=True))

    async def spot_meta(self) -> wire.SpotMeta:
        return await self._ask(wire.SpotMeta, type="spotMeta")

    async def oracles(self) -> dict[str, Decimal]:
        """Of every perp by its name, quote of one coin."""
        told = await self._ask(wire.PricedMeta, type="metaAndAssetCtxs")
        perps, assets = told.meta.universe, told.assets
        if len(assets) != len(perps):
            raise wire.BadMessage(f"{len(assets)} prices of {len(perps)} perps")
        rows = zip(perps, assets, strict=True)
        return {
            perp.name: units.of_a_coin(perp.name, wire.amount(asset.oracle_px))
            for perp, asset in rows
        }

    async def user_fees(self) -> wire.UserFees:
        return await self._ask(wire.UserFees, type="userFees", user=self._account)

    async def account_mode(self) -> str:
        return await self._ask(str, type="userAbstraction", user=self._account)

    async def exchange_status(self) -> wire.ExchangeStatus:
        return await self._ask(wire.ExchangeStatus, type="exchangeStatus")

    async def book(self, coin: str) -> wire.L2Book:
        return await self._ask(wire.L2Book, type="l2Book", coin=coin)

    async def rate_limit(self) -> wire.UserRateLimit:
        return await self._ask(wire.UserRateLimit, type="userRateLimit", user=self._account)

    async def role(self, address: str) -> wire.UserRole:
        """Of any address."""
        return await self._ask(wire.UserRole, type="userRole", user=address)

    async def extra_agents(self) -> list[wire.ExtraAgent]:
        return await self._ask(list[wire.ExtraAgent], type="extraAgents", user=self._account)

    async def order_status(self, order: int | str) -> wire.OrderStatus:
        """``order`` is the venue's order id or our client id."""
        return await self._ask(wire.OrderStatus, type="orderStatus", user=self._account, oid=order)

    async def asset_data(self, coin: str) -> wire.ActiveAssetData:
        data = await self._ask(
            wire.ActiveAssetData, type="activeAssetData", user=self._account, coin=coin
        )
        if data.coin != coin:
            raise wire.BadMessage(f"asked about {coin!r}, told about {data.coin!r}")
        return data

    async def states(
        self,
    ) -> tuple[wire.ClearinghouseState, wire.SpotClearinghouseState, list[wire.OpenOrder]]:
        """Positions, then at once balances and open orders, those that wait for a price included:
        all of it is at least as new as the time that the first names."""
        user = self._account
        perp = await self._ask(
            wire.ClearinghouseState, type="clearinghouseState", user=user, dex=""
        )
        spot, orders = await asyncio.gather(
            self._ask(wire.SpotClearinghouseState, type="spotClearinghouseState", user=user),
            self._ask(list[wire.OpenOrder], type="frontendOpenOrders", user=user, dex=""),
        )
        return perp, spot, orders

    async def funds(self) -> tuple[wire.ClearinghouseState, wire.SpotClearinghouseState]:
        """``states`` where no order rests, for a sixth of their weight."""
        user = self._account
        perp = await self._ask(
            wire.ClearinghouseState, type="clearinghouseState", user=user, dex=""
        )
        spot = await self._ask(
            wire.SpotClearinghouseState, type="spotClearinghouseState", user=user
        )
        return perp, spot

    async def fills(self, since_ms: int) -> list[wire.FillRow]:
        """All since then, inclusive, oldest first."""
        question = {"type": "userFillsByTime", "user": self._account}
        return await self._pages(list[wire.FillRow], question, since_ms)

    async def fundings(self, since_ms: int) -> list[wire.FundingUpdate]:
        question = {"type": "userFunding", "user": self._account}
        return await self._pages(list[wire.FundingUpdate], question, since_ms)

    async def ledger(self, since_ms: int) -> list[wire.LedgerUpdate]:
        question = {"type": "userNonFundingLedgerUpdates", "user": self._account}
        return await self._pages(list[wire.LedgerUpdate], question, since_ms)

    async def funding_history(
        self, coin: str, since_ms: int, until_ms: int
    ) -> list[wire.FundingRow]:
        """All since then, inclusive, oldest first; at least as far as ``until_ms``."""
        question = {"type": "fundingHistory", "coin": coin}
        rows = await self._pages(list[wire.FundingRow], question, since_ms, until_ms)
        if any(row.coin != coin or row.time < since_ms for row in rows):
            raise wire.BadMessage(
                f"asked for the funding of {coin!r} from {since_ms}, told of more"
            )
        return rows

    async def funding_page(self, coin: str, since_ms: int) -> list[wire.FundingRow]:
        """One answer of ``funding_history``, oldest first; empty at its end."""
        rows = await self._ask(
            list[wire.FundingRow], type="fundingHistory", coin=coin, startTime=since_ms
        )
        if any(row.coin != coin for row in rows):
            raise wire.BadMessage(f"asked for the funding of {coin!r}, told of others")
        return sorted(rows, key=lambda row: row.time)

    async def candles(
        self, coin: str, interval: str, since_ms: int, until_ms: int
    ) -> list[wire.Candle]:
        """One answer: bars that begin from then to then, as many as the venue gives at once."""
        asked = {"coin": coin, "interval": interval, "startTime": since_ms, "endTime": until_ms}
        rows = await self._ask(list[wire.Candle], type="candleSnapshot", req=asked)
        if any((row.coin, row.interval) != (coin, interval) for row in rows):
            raise wire.BadMessage(f"asked for {interval} bars of {coin!r}, told of others")
        return rows

    async def _pages(
        self,
        kind: type[list[Row]],
        question: dict[str, Any],
        since_ms: int,
        until_ms: int | None = None,
    ) -> list[Row]:
        """Page after page from the last row's time on, until one brings nothing new, or there is
        no whole hour left until ``until_ms``: of what is hourly nothing can be missing then.

        The end is not concluded from a page's length: the venue's limits change.
        """
        rows: dict[bytes, Row] = {}
        for _ in range(PAGES_MAX):
            page = await self._ask(kind, **question, startTime=since_ms)
            known = len(rows)
            rows.update((msgspec.json.encode(row), row) for row in page)
            since_ms = max((row.time for row in rows.values()), default=since_ms)
            ended = until_ms is not None and since_ms + _NEARLY_AN_HOUR_MS > until_ms
            if len(rows) == known or ended:
                return sorted(rows.values(), key=lambda row: row.time)
        raise wire.BadMessage(f"a history of over {PAGES_MAX} pages")

    async def _ask(self, kind: type[T], **question: Any) -> T:
        body = msgspec.json.encode(question)
        for attempt in range(1, self._attempts):
            with contextlib.suppress(TransportFailed, wire.BadMessage):
                return await self._ask_once(kind, body)
            # Whoever is asked too often is to be asked less often.
            await asyncio.sleep(0.1 * 2.0**attempt)
        return await self._ask_once(kind, body)

    async def _ask_once(self, kind: type[T], body: bytes) -> T:
        reply = await self._transport.request("/info", body, self._timeout_seconds)
        if reply.status != 200:
            raise TransportFailed(f"HTTP {reply.status} for {body.decode()}")
        try:
            answer = wire.decode(reply.body, kind)
        except wire.BadMessage:
            self.rejected += 1
            raise
        self._answered()
        return answer
