"""A second process that protects the account when the trader hangs or dies.

It has a key and nonces of its own and shares one file with the trader, the lease
(``bot.lease``). While that is renewed it does nothing. When it has run out, and whatever the
trader may have sent has expired at the venue, the watchdog takes the lease over, so that a
trader which wakes up sends nothing; it cancels the bot's resting orders, reduces the leg that
is ahead of the other, and gives the lease back. The stop of a perp that stands alone is left
where it is until nothing of the perp is held; where the lease was given back in order, the perp
is left to it. It never opens nor grows anything, and never
touches what is a person's: an order without the bot's mark, or a quantity that the trader has
put down as not its own.

An attempt that does not get there in time tells a person and lets the lease run out, for a
restarted trader to have; when none takes it, the next attempt begins. There is no last one.
"""

import asyncio
import contextlib
import fcntl
import math
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from bot.lease import Held, Lease, LeaseHeld, LeaseLost
from domain.account import AccountReport
from domain.instruments import Instrument, Kind, Pair
from domain.money import ONE, ZERO
from domain.orders import (
    FenceOutcome,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderRequest,
    Side,
    TimeInForce,
    is_own,
)
from domain.time import MILLISECOND, SECOND
from execution.effects import RaiseAlarm
from execution.fence import proof_of, skew_ns
from execution.pairs import ExecutionPolicy
from execution.ports import Clock, Reply, Signer, Transport, TransportFailed
from execution.venues.hyperliquid import actions, answers, private, units, wire
from execution.venues.hyperliquid.info import Info
from execution.venues.hyperliquid.sign import Nonces
from execution.venues.hyperliquid.start import address
from execution.venues.hyperliquid.symbols import Listing
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.wire import BadMessage

LOOK_SECONDS = 0.25
"""How often the lease is looked at, and how far two readings that have to agree are apart."""
CHECK_SECONDS = 10.0
"""How often the account is, while nobody holds the lease."""
PATIENCE_SECONDS = 20.0
"""How long one attempt may take. With the wait before it a person knows within thirty."""
EXPIRY_SECONDS = 2.0
"""Of the watchdog's own requests: shorter than the lease, which is renewed before each, so that
nothing of the watchdog's lands once another may act."""
RENEW_SECONDS = 1.0
REQUEST_SECONDS = 2.0
PROOF_SECONDS = 0.5
RETRY_FIRST_SECONDS, RETRY_LAST_SECONDS = 0.5, 4.0

MARK = "77617463"
"""How the watchdog's client ids begin: a trader that finds their fills can tell whose they are."""

T = TypeVar("T")


# --- when: the lease ------------------------------------------------------------------------


class Bounds(msgspec.Struct, frozen=True):
    """``expiry_seconds``: the longest expiry of any request of the trader's. ``margin_seconds``:
    what clocks differ by, and how far the venue's answers may lag behind what it did.
    ``slippage_bps_max``: price bound of every order, against the mid."""

    expiry_seconds: float
    margin_seconds: float
    slippage_bps_max: Decimal

    @property
    def landing_seconds(self) -> float:
        """After the end of a lease: how long what was sent under it may still land."""
        return self.expiry_seconds + self.margin_seconds

    @classmethod
    def of(cls, policy: ExecutionPolicy, timing: Timing) -> Self:
        """Those of a trader that runs under these settings."""
        return cls(
            expiry_seconds=max(policy.request_expiry_seconds, timing.expiry),
            margin_seconds=policy.clock_margin_seconds,
            slippage_bps_max=policy.forced_slippage_bps_max,
        )


class Verdict(StrEnum):
    """What a look at the lease says."""

    LEAVE = "leave"  # somebody acts for the account, or may have until a moment ago
    TAKE_OVER = "take_over"  # whoever did has fallen silent
    CHECK = "check"  # it was given back in order: act only on what the account shows


def judge(held: Held, unchanged_seconds: float, now_ns: int, bounds: Bounds) -> Verdict:
    """Whether somebody has to act for an account whose lease says ``held``.

    ``unchanged_seconds`` is how long it has said so by a clock that does not step: where the
    machine's own steps ahead, the lease runs out while its holder's requests are under way.
    """
    landed = now_ns > held.until_ns + int(bounds.landing_seconds * SECOND)
    if held.epoch == 0 or not landed or unchanged_seconds < bounds.landing_seconds:
        return Verdict.LEAVE
    return Verdict.CHECK if held.until_ns == 0 else Verdict.TAKE_OVER


# --- what: the account ----------------------------------------------------------------------


class OwnOrder(msgspec.Struct, frozen=True):
    """An open order of the bot's; ``asset`` is the venue's number of its ``instrument``.

    ``is_stop``: it waits for a price, and can only close what is held. ``closes`` is how much of
    it (base units, positive where it buys).
    """

    cloid: str
    asset: int
    instrument: str
    is_stop: bool = False
    closes: Decimal = ZERO


class Difference(msgspec.Struct, frozen=True):
    """Two legs that differ by ``quantity`` (base units, whole lots of both).

    What closes it is an order of ``side`` on ``instrument``, the leg that is ahead, of which
    ``available`` can be had: no more than is the bot's and no order of a person's holds.
    """

    instrument: Instrument
    side: Side
    quantity: Decimal
    available: Decimal
    minimum_notional: Decimal


class Obstacle(msgspec.Struct, frozen=True):
    """Why something of the bot's cannot be put right from here."""

    reason: str


class Cancel(msgspec.Struct, frozen=True):
    orders: tuple[OwnOrder, ...]


class Reduce(msgspec.Struct, frozen=True):
    """One IOC order: a spot sale, or a reduce-only one of the perp."""

    instrument: Instrument
    side: Side
    quantity: Decimal
    price: Decimal


class Stuck(msgspec.Struct, frozen=True):
    because: str


class Neutral(msgspec.Struct, frozen=True):
    """No order of the bot's rests, no two legs differ by a tradable amount, and no stop waits for
    what is not held."""


Step = Cancel | Reduce | Stuck | Neutral


def own_orders(
    orders: Iterable[wire.OpenOrder], listing: Listing
) -> tuple[tuple[OwnOrder, ...], tuple[Obstacle, ...]]:
    """The bot's among ``orders``: those that can be canceled, and those that cannot."""
    own, strays = [], []
    for order in orders:
        if order.cloid is None or not is_own(order.cloid):
            continue
        market = listing.by_coin.get(order.coin)
        if market is None:
            strays.append(Obstacle(f"an order of the bot's on {order.coin}, which is none of ours"))
        else:
            sign = {"B": ONE, "A": -ONE}.get(order.side, ZERO)
            closes = sign * units.coins(order.coin, wire.amount(order.sz))
            name = market.instrument.id
            own.append(OwnOrder(order.cloid, market.asset, name, order.is_trigger, closes))
    return tuple(own), tuple(strays)


def idle_stops(
    report: AccountReport, orders: Iterable[OwnOrder], not_ours: Mapping[str, Decimal]
) -> tuple[OwnOrder, ...]:
    """Those of ``orders`` that wait to close a position which is not there, or a person's."""
    stops = (order for order in orders if order.is_stop)
    held = {
        p.instrument for p in report.positions if p.quantity != not_ours.get(p.instrument, ZERO)
    }
    return tuple(stop for stop in stops if stop.instrument not in held)


def unguarded(
    found: Iterable[Difference | Obstacle], orders: Sequence[OwnOrder]
) -> tuple[Difference | Obstacle, ...]:
    """``found`` without what a stop waits for at the venue, in all its size: a perp alone that a
    bot has left there in order, for its next start."""

    def is_guarded(each: Difference) -> bool:
        stops = (o.closes for o in orders if o.is_stop and o.instrument == each.instrument.id)
        return any(closes * each.side.sign >= each.quantity for closes in stops)

    return tuple(each for each in found if isinstance(each, Obstacle) or not is_guarded(each))


def differences(
    report: AccountReport, pairs: Iterable[Pair], not_ours: Mapping[str, Decimal]
) -> tuple[Difference | Obstacle, ...]:
    """Every pair whose legs differ by a lot or more, in the order of ``pairs``.

    ``not_ours`` has what is a person's, by instrument id. An instrument that is not in it is
    one of which nobody knows: nothing of it is traded.
    """
    found = (_difference(report, pair, not_ours) for pair in pairs)
    return tuple(difference for difference in found if difference is not None)


def _difference(
    report: AccountReport, pair: Pair, not_ours: Mapping[str, Decimal]
) -> Difference | Obstacle | None:
    total = sum((b.total for b in report.balances if b.asset == pair.spot.base), ZERO)
    position = report.position(pair.perp.id)
    net = position.quantity if position is not None else ZERO
    if not total and not net:
        return None
    if pair.spot.id not in not_ours or pair.perp.id not in not_ours:
        return Obstacle(f"{pair.name}: nobody has put down how much of it is a person's")
    spot, perp = total - not_ours[pair.spot.id], net - not_ours[pair.perp.id]
    delta = spot + perp
    quantity = pair.floor_quantity(abs(delta))
    if quantity == ZERO:
        return None
    if delta > ZERO:  # too little of a short, or a perp that is held alone
        leg, side, most = pair.spot, Side.SELL, min(spot, report.free(pair.spot.base))
        if min(perp, net) > most:
            leg, most = pair.perp, min(perp, net)
    else:
        leg, side, most = pair.perp, Side.BUY, min(-perp, -net)
    return Difference(
        instrument=leg,
        side=side,
        quantity=quantity,
        available=leg.floor_quantity(max(min(quantity, most), ZERO)),
        minimum_notional=max(pair.spot.minimum_notional, pair.perp.minimum_notional),
    )


def next_step(
    found: Iterable[Difference | Obstacle],
    mids: Mapping[str, Decimal | None],
    turn: int,
    bounds: Bounds,
) -> Step:
    """What to do about the differences ``found``, when no order of the bot's rests any more.

    ``mids`` are prices by instrument id, None where a book is not two-sided. Of several that
    can be reduced the next in ``turn`` is, so that none that fails keeps the others waiting.
    """
    orders: list[Reduce] = []
    obstacles: list[str] = []
    for each in found:
        if isinstance(each, Obstacle):
            obstacles.append(each.reason)
            continue
        mid = mids[each.instrument.id]
        if mid is None:
            obstacles.append(f"{each.instrument.id}: no two-sided book")
            continue
        slippage = bounds.slippage_bps_max.scaleb(-4)
        # What is too small at the worst price that may be got is dust: neither leg can trade it.
        smallest = each.minimum_notional / (mid * (ONE - slippage))
        if each.quantity < smallest:
            continue
        if each.available < smallest:
            obstacles.append(
                f"{each.instrument.id}: {each.side} {each.quantity} would make the legs equal, "
                f"and only {each.available} can be had"
            )
            continue
        bound = mid * (ONE + each.side.sign * slippage)
        price = each.instrument.round_price(bound, up=each.side is Side.SELL)
        orders.append(Reduce(each.instrument, each.side, each.available, price))
    if orders:
        return orders[turn % len(orders)]
    return Stuck("; ".join(obstacles)) if obstacles else Neutral()


def client_order_id(epoch: int, number: int, now_ns: int) -> str:
    """Of the watchdog's order ``number`` under the lease ``epoch``: made once, ever, also where
    an old copy of the lease was restored.

    >>> client_order_id(3, 0, 1)[:10], len(client_order_id(3, 0, 1))
    ('0x77617463', 34)
    """
    parts = f"{epoch}/{number}/{now_ns}"
    return f"0x{MARK}{blake2b(parts.encode(), digest_size=12).hexdigest()}"


# --- how: the venue -------------------------------------------------------------------------


class NonceFile:
    """The nonces of one key, on disk before they are used: a restart repeats none.

    It is locked as long as it is open, so that no second watchdog runs. It is not synced: the
    end of a process loses nothing, and a machine is not back within the same millisecond.

    Raises:
        ValueError: when another process has it open, or it is no nonce file.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._nonces = Nonces(int(os.pread(self._descriptor, 64, 0) or b"0"))
        except BlockingIOError as error:
            self.close()
            raise ValueError(f"another watchdog is running: it holds {path}") from error
        except ValueError as error:
            self.close()
            raise ValueError(f"{path} holds no nonce: remove it, if it is no one's") from error

    def next(self, now_ms: int) -> int:
        nonce = self._nonces.next(now_ms)
        os.pwrite(self._descriptor, b"%020d" % nonce, 0)
        return nonce

    def close(self) -> None:
        os.close(self._descriptor)


class Doubt(Exception):
    """What the venue says cannot be acted on."""


NOTHING_LEARNT = (TransportFailed, BadMessage, Doubt)


class Protector:
    """Reads the account, and acts for it as long as the lease is ours.

    ``done`` is what this attempt has achieved, ``trouble`` what was last in its way. Requests
    expire by the venue's clock, which may be ahead of ours or behind it: what the trader has
    sent has landed when that clock has passed ``landed_ns``.
    """

    def __init__(
        self,
        transport: Transport,
        signer: Signer,
        nonces: NonceFile,
        listing: Listing,
        account: str,
        clock: Clock,
        lease: Lease,
        bounds: Bounds,
    ) -> None:
        self.done: list[str] = []
        self.trouble = "nothing has been answered yet"
        self._transport, self._signer, self._nonces = transport, signer, nonces
        self._listing, self._account = listing, account
        self._clock, self._lease, self._bounds = clock, lease, bounds
        self._info = Info(transport, account, REQUEST_SECONDS, lambda: None)
        self._sent = 0
        self._skew_ns = 0
        self.landed_ns = 0

    async def until_neutral(
        self, not_ours: Mapping[str, Decimal], *, in_order: bool = False
    ) -> None:
        """One step after another, with pauses that grow while none of them gets anywhere.

        ``in_order``: the lease was given back, and what a stop waits for is left to it.

        Raises:
            LeaseLost: nothing has been sent since.
        """
        self.done, self.trouble = [], "nothing has been answered yet"
        setbacks = 0
        while True:
            try:
                step = await self.look(not_ours, in_order=in_order)
                if isinstance(step, Neutral):
                    return
                moved = await self._carry_out(step)
            except NOTHING_LEARNT as error:
                self.trouble, moved = str(error), False
            setbacks = 0 if moved else setbacks + 1
            if setbacks:
                pause = RETRY_FIRST_SECONDS * 2.0 ** min(setbacks - 1, 10)
                await asyncio.sleep(min(pause, RETRY_LAST_SECONDS))

    async def look(self, not_ours: Mapping[str, Decimal], *, in_order: bool = False) -> Step:
        """What there is to do. Reads only.

        Raises:
            TransportFailed, BadMessage, Doubt: it cannot be said.
        """
        orders = await self._ask(
            list[wire.OpenOrder], type="frontendOpenOrders", user=self._account, dex=""
        )
        own, strays = own_orders(orders, self._listing)
        if resting := tuple(order for order in own if not order.is_stop):
            return Cancel(resting)
        found, idle = await self._standing(own, not_ours)
        await asyncio.sleep(LOOK_SECONDS)
        if (found, idle) != await self._standing(own, not_ours):
            raise Doubt("two readings of the account differ")
        found = unguarded(found, own) if in_order else found
        legs = [each.instrument for each in found if isinstance(each, Difference)]
        mids = {leg.id: await self._mid(leg) for leg in legs}
        step = next_step((*strays, *found), mids, self._sent, self._bounds)
        return Cancel(idle) if idle and isinstance(step, Neutral) else step

    async def _standing(
        self, stops: Sequence[OwnOrder], not_ours: Mapping[str, Decimal]
    ) -> tuple[tuple[Difference | Obstacle, ...], tuple[OwnOrder, ...]]:
        """How the legs differ, and which of ``stops`` have nothing left to stop."""
        asked_ns = self._clock.now_ns()
        perp, spot, orders = await self._info.states()
        now_ns = self._clock.now_ns()
        report = private.account_report(self._listing, perp, spot, orders, {}, None, now_ns)
        self._skew_ns = skew_ns(asked_ns, now_ns, report.venue_time_ns)
        if report.venue_time_ns <= self.landed_ns + self._ahead_ns:
            raise Doubt("by the venue's clock an order of the bot's may still land")
        if not report.balances and not report.positions:
            # Of an account that is not ours the venue shows nothing either: empty is not flat.
            raise Doubt("the venue shows no balance and no position")
        known = {stop.cloid for stop in stops}
        if any(is_own(cloid) and cloid not in known for cloid in report.open_orders):
            raise Doubt("an order of the bot's has come meanwhile")
        found = differences(report, self._listing.pairs, not_ours)
        return found, idle_stops(report, stops, not_ours)

    async def _mid(self, leg: Instrument) -> Decimal | None:
        coin = self._listing.by_id[leg.id].coin
        book = await self._ask(wire.L2Book, type="l2Book", coin=coin)
        if book.coin != coin:
            raise BadMessage(f"asked for the book of {coin!r}, told that of {book.coin!r}")
        bids, asks = book.levels
        if not bids or not asks:
            return None
        bid, ask = wire.positive(bids[0].px), wire.positive(asks[0].px)
        return units.of_a_coin(coin, (bid + ask) / 2) if bid < ask else None

    async def _ask(self, kind: type[T], **question: Any) -> T:
        body = msgspec.json.encode(question)
        reply = await self._transport.request("/info", body, REQUEST_SECONDS)
        if reply.status != 200:
            raise TransportFailed(f"{question['type']}: HTTP {reply.status}")
        return wire.decode(reply.body, kind)

    # --- acting --------------------------------------------------------------------------

    async def _carry_out(self, step: Cancel | Reduce | Stuck) -> bool:
        """Whether it got us any further."""
        if isinstance(step, Stuck):
            self.trouble = step.because
            return False
        if isinstance(step, Cancel):
            outcomes = [await self._cancel(order) for order in step.orders]
            moved = any(outcomes)
        else:
            moved = await self._reduce(step)
        # What the venue shows of the account may lag behind what it has just done.
        await asyncio.sleep(self._bounds.margin_seconds)
        return moved

    async def _cancel(self, order: OwnOrder) -> bool:
        """Whether the order is gone for certain. If not, the open orders will show it again."""
        action = actions.cancel_action(order.cloid, order.asset)
        expires_ns = self._permitted_ns() + self._ahead_ns + int(EXPIRY_SECONDS * SECOND)
        try:
            reply = await self._exchange(action, self._nonce(), expires_ns)
        except TransportFailed as error:
            self.trouble = f"{order.cloid} may not be canceled: {error}"
            return False
        settled, text = answers.cancel_answer(reply)
        if settled is answers.Settled.DONE:
            self.done.append(f"canceled {order.cloid}")
        else:
            self.trouble = f"{order.cloid} is not canceled: {text}"
        return settled is not answers.Settled.UNCLEAR

    async def _reduce(self, step: Reduce) -> bool:
        """Whether any of it was filled. Returns when the order's fate is proven, not before."""
        now_ns = self._permitted_ns()
        request = OrderRequest(
            cloid=client_order_id(self._lease.epoch, self._sent, now_ns),
            instrument=step.instrument.id,
            side=step.side,
            quantity=step.quantity,
            price=step.price,
            time_in_force=TimeInForce.IOC,
            reduce_only=step.instrument.kind is Kind.PERP,
            expires_ns=now_ns + self._ahead_ns + int(EXPIRY_SECONDS * SECOND),
        )
        self._sent += 1
        filled = await self._filled(request, self._nonce())
        if filled:
            self.done.append(f"{step.side} {filled} {step.instrument.id}")
        return filled > ZERO

    async def _filled(self, request: OrderRequest, nonce: int) -> Decimal:
        """Send ``request``; what came of it, base units, by an answer or by proof."""
        market = self._listing.by_id[request.instrument]
        action = actions.order_action(request, market.asset)
        try:
            reply = await self._exchange(action, nonce, request.expires_ns)
        except TransportFailed as error:
            return await self._resolved(request, nonce, str(error))
        news = answers.order_answer(request, reply, self._clock.now_ns())[-1]
        if isinstance(news, OrderRejected):
            self.trouble = f"{request.instrument}: {news.reason}"
            return ZERO
        if isinstance(news, OrderCanceled):
            self.trouble = f"{request.instrument}: no counterpart for all of it at {request.price}"
            return news.filled
        if isinstance(news, OrderAccepted) and news.filled:
            return news.filled
        return await self._resolved(request, nonce, "the answer decides nothing")

    async def _resolved(self, request: OrderRequest, nonce: int, why: str) -> Decimal:
        """What became of an order that had no answer, base units filled: ``execution.fence``."""
        used_ns: int | None = None
        while True:
            self.trouble = f"what became of {request.cloid} is not known: {why}"
            try:
                asked_ns = self._clock.now_ns()
                status = await self._info.order_status(request.cloid)
                report = private.order_report(request.cloid, status, asked_ns, self._clock.now_ns())
                margin = self._bounds.margin_seconds + abs(self._skew_ns) / SECOND
                if proof_of(report, request, used_ns, margin) is not None:
                    return report.filled
                self._permitted_ns()
                reply = await self._exchange(actions.NOOP, nonce, None)
                fenced = answers.fence_answer(request.cloid, reply, self._clock.now_ns())
                if fenced is not None and fenced.outcome is FenceOutcome.BURNT:
                    return ZERO
                if fenced is not None and used_ns is None:
                    used_ns = fenced.received_ns
            except (TransportFailed, BadMessage) as error:
                why = str(error)
            await asyncio.sleep(PROOF_SECONDS)

    def _permitted_ns(self) -> int:
        """Now, when something may be sent.

        Raises:
            LeaseLost: nothing may.
        """
        now_ns = self._clock.now_ns()
        self._lease.renew(now_ns)
        return now_ns

    @property
    def _ahead_ns(self) -> int:
        return max(self._skew_ns, 0)

    def _nonce(self) -> int:
        return self._nonces.next(self._clock.now_ns() // MILLISECOND)

    async def _exchange(
        self, action: Mapping[str, Any], nonce: int, expires_ns: int | None
    ) -> Reply:
        expires_ms = None if expires_ns is None else expires_ns // MILLISECOND
        body = self._signer.sign(action, nonce, expires_ms)
        return await self._transport.request("/exchange", body, REQUEST_SECONDS)


# --- the loop -------------------------------------------------------------------------------


class Watchdog:
    """Looks at the lease for ever, and sees to it that somebody protects the account.

    ``account`` is the address whose account it is, ``trader`` that of the trader's key.
    Times are of ``clock`` where the lease's are, of the event loop where they are durations.

    Raises:
        ValueError: when the watchdog's key is the trader's or the account's: with one key two
            processes use up each other's nonces, and nobody can tell who sent what.
    """

    def __init__(
        self,
        transport: Transport,
        signer: Signer,
        nonces: NonceFile,
        listing: Listing,
        account: str,
        trader: str,
        clock: Clock,
        lease: Lease,
        bounds: Bounds,
        on_alarm: Callable[[RaiseAlarm], None],
        on_look: Callable[[], None] = lambda: None,
    ) -> None:
        if signer.address in (address(account), address(trader)):
            raise ValueError(f"the watchdog needs a key of its own: {signer.address} is in use")
        self._clock, self._lease, self._bounds = clock, lease, bounds
        self._on_alarm, self._on_look = on_alarm, on_look
        self._protector = Protector(
            transport, signer, nonces, listing, address(account), clock, lease, bounds
        )

    async def run(self) -> None:
        """Look, and act when nobody else does. Ends only by an error.

        Raises:
            OSError: the lease or the nonces cannot be read or written.
        """
        time = asyncio.get_running_loop().time
        said: Held | None = None
        told = -math.inf
        since = checked = -math.inf
        while True:
            try:
                held = self._lease.look()
            except LeaseLost as lost:  # who holds the file was stopped just then
                if time() - told >= 60.0:
                    told = time()
                    self._alarm("watchdog_stuck", str(lost))
                await asyncio.sleep(RENEW_SECONDS)
                continue
            self._on_look()
            if held != said:
                said, since, checked = held, time(), -math.inf
            match judge(held, time() - since, self._clock.now_ns(), self._bounds):
                case Verdict.TAKE_OVER:
                    await self._act(held, f"{held.holder} has stopped renewing its lease")
                case Verdict.CHECK if time() - checked >= CHECK_SECONDS:
                    if await self._is_unattended(held):
                        await self._act(held, "nobody holds the lease, and the legs are not safe")
                    checked = time()
            await asyncio.sleep(LOOK_SECONDS)

    async def _is_unattended(self, held: Held) -> bool:
        """Whether an account that nobody acts for shows something to be done."""
        try:
            step = await self._protector.look(_quantities(held), in_order=True)
        except NOTHING_LEARNT:
            return False
        return isinstance(step, Cancel | Reduce)

    async def _act(self, held: Held, why: str) -> None:
        """One attempt. Returns when the legs are neutral, patience is out, or the lease is lost."""
        try:
            self._lease.acquire(self._clock.now_ns())
        except (LeaseHeld, LeaseLost):
            return  # somebody has come back between the look and now, or has the file in hand
        if self._lease.epoch != held.epoch + 1:
            self._give_back()  # somebody was there meanwhile: what they sent may still land
            return
        self._alarm("trader_silent", why)
        protector = self._protector
        protector.landed_ns = held.until_ns + int(self._bounds.landing_seconds * SECOND)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                work = protector.until_neutral(_quantities(held), in_order=held.until_ns == 0)
                await self._renewing(work)
        except LeaseLost as lost:
            self._alarm("watchdog_yielded", f"{lost}; {_told(protector.done)}")
        except TimeoutError:
            # The lease is left to run out: by then nothing of ours is under way any more.
            self._alarm("watchdog_stuck", f"{protector.trouble}; {_told(protector.done)}")
        else:
            self._give_back()
            self._alarm("watchdog_neutral", _told(protector.done))

    def _give_back(self) -> None:
        """Where the file is in somebody's hand just now, the lease runs out by itself."""
        with contextlib.suppress(LeaseLost):
            self._lease.release()

    async def _renewing(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work`` while the lease is ours; the moment it is not, ``work`` ends.

        Raises:
            LeaseLost: it is not.
        """
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                self._lease.renew(self._clock.now_ns())
                await asyncio.wait((task,), timeout=RENEW_SECONDS)
            task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _alarm(self, alarm: str, detail: str) -> None:
        self._on_alarm(RaiseAlarm(alarm, detail, self._clock.now_ns()))


def _quantities(held: Held) -> dict[str, Decimal]:
    return {name: Decimal(text) for name, text in held.not_ours.items()}


def _told(done: Sequence[str]) -> str:
    return f"done: {', '.join(done)}" if done else "nothing was done"
