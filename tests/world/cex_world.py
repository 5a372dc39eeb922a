"""The same world around a venue of the centralized kind: one perp pays every 8 hours, one every 4.

It shows that nothing of the bot rests on nonces, fences or hourly funding.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from bot.live import Venue
from domain.instruments import FeeSchedule, Instrument, Kind, MarginTier, Pair
from domain.market import FundingSettled, PublicEvent
from domain.money import ZERO
from domain.orders import Fill, Side
from domain.rates import FundingRate
from domain.time import DAY, HOUR, MILLISECOND
from execution.venues.simulated.funding import interval_hours
from tests.world.cex import DEPTH, Cex, signed
from tests.world.cex_gateway import CexVenue
from tests.world.history import History, Received
from tests.world.market import WildMarket
from tests.world.net import Fate
from tests.world.world import VENUE, Site, World
from tests.world.world import wild as wild_anywhere

KEY, BY_HAND_KEY = "trader", "person"
SECRETS = {KEY: b"not so secret", BY_HAND_KEY: b"not at all"}


def _pair(base: str, lots: tuple[str, str], decimals: int, hours: int) -> Pair:
    venue, quote = CexVenue.name, "USDT"
    spot = Instrument(
        venue, f"{base}{quote}", Kind.SPOT, base, quote, Decimal(lots[0]), decimals, Decimal(5),
        FeeSchedule(Decimal("0.001"), Decimal("0.001"), buyer_pays_base=True),
    )  # fmt: skip
    perp = Instrument(
        venue, f"{base}{quote}-PERP", Kind.PERP, base, quote, Decimal(lots[1]), decimals,
        Decimal(5), FeeSchedule(Decimal("0.0002"), Decimal("0.0005")), None,
        (MarginTier(ZERO, 20), MarginTier(Decimal(50_000), 10)), hours,
    )  # fmt: skip
    return Pair(base, spot, perp)


PAIRS = (_pair("HYPE", ("0.01", "0.1"), 3, 8), _pair("PURR", ("0.001", "0.01"), 2, 4))


def wild(seed: int) -> dict[str, float]:
    """The faults of one seed, but that the road itself doubles no request.

    Nothing guards against that where there is no nonce, and no client sees it happen; over one
    encrypted connection it does not.
    """
    return {site: rate for site, rate in wild_anywhere(seed).items() if site != Fate.DUPLICATED}


class _WarmVenue(CexVenue):
    """The venue, with its candles."""

    market: WildMarket

    async def history(self, since_ns: int, until_ns: int) -> Sequence[PublicEvent]:
        rates = await super().history(since_ns, until_ns)
        return [*self.market.closes_before(until_ns), *rates]


class CexWorld(World):
    pairs = PAIRS
    actions = tuple(
        f"/{api}/{name}"
        for api, names in (
            ("api", ("order", "order/cancel")),
            ("fapi", ("order", "order/cancel", "leverage", "marginType", "positionMargin")),
        )
        for name in names
    )
    key = KEY
    book = DEPTH.encode()

    def _site(self) -> Site:
        self.cex = Cex(self.exchange, self.pairs, SECRETS, history=_rates(self.start_ns))
        return self.cex

    def _venue(self, owner: str) -> Venue:
        wanted = [pair.name for pair in self.pairs]
        venue = _WarmVenue(
            self.net.transport(owner, VENUE), KEY, SECRETS[KEY], wanted, self.clock, self._jitter
        )
        venue.market = self.market
        return venue

    def _sell_by_hand(self, spot: Instrument, quantity: Decimal, price: Decimal) -> None:
        now_ms = self.loop.now_ns // MILLISECOND
        params: Mapping[str, object] = {
            "symbol": spot.symbol, "side": "SELL", "type": "LIMIT", "timeInForce": "IOC",
            "quantity": format(quantity, "f"), "price": format(price, "f"),
            "newClientOrderId": f"web_{now_ms}", "timestamp": now_ms,
        }  # fmt: skip
        body = signed(params, BY_HAND_KEY, SECRETS[BY_HAND_KEY])
        self.cex.request("/api/order", body, self.loop.now_ns)

    def _received(self) -> list[Received]:
        return self.cex.received

    def _orders_in(self, path: str, body: bytes) -> Iterator[tuple[str, Side]]:
        params = msgspec.json.decode(body)
        if path.endswith("/order"):
            kind = Kind.SPOT if path.startswith("/api/") else Kind.PERP
            for pair in self.pairs:
                leg = pair.spot if kind is Kind.SPOT else pair.perp
                if f"{leg.base}{leg.quote}" == params["symbol"]:
                    yield leg.id, Side.BUY if params["side"] == "BUY" else Side.SELL

    def _told(self, event: Any) -> Any:
        if isinstance(event, Fill) and event.cloid is not None:
            cloid = self.cex.orders[int(event.cloid)].cloid
            ours = cloid if cloid.startswith("0x") else None
            return msgspec.structs.replace(event, cloid=ours)
        return event

    def history(self) -> History:
        history = super().history()
        named = tuple(self.cex.orders[int(key)].cloid for key in history.final.open_orders)
        final = msgspec.structs.replace(history.final, open_orders=named)
        return msgspec.structs.replace(history, final=final)


def _rates(start_ns: int) -> list[FundingSettled]:
    """Published funding of the day before the start, newest last."""
    first = start_ns // HOUR * HOUR - DAY
    return [
        FundingSettled(perp.id, FundingRate(0.00005 * hours, float(hours)), at, at)
        for at in range(first, start_ns, HOUR)
        for perp in (pair.perp for pair in PAIRS)
        if at // HOUR % (hours := interval_hours(perp)) == 0
    ]
