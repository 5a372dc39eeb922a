"""The bot's side of ``tests.world.cex``: ``bot.live.Venue`` and its gateway.

Nothing is signed ahead and nothing is fenced: there is no nonce to use up. An order leaves once,
under its client id, with a receive window that ends at the order's own expiry. Whatever is no
plain answer leaves it unknown, and the engine asks for it by its client id.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from decimal import Context, Decimal
from enum import StrEnum
from typing import Any, Literal, TypeVar

import msgspec

from domain.account import (
    AccountReport,
    Balance,
    CashCause,
    Cashflow,
    FundingPayment,
    LeverageConfirmed,
    MarginMode,
    MarginMoved,
    PositionReport,
    SettingRefused,
)
from domain.instruments import FeeSchedule, Instrument, Kind, MarginTier, Pair
from domain.market import Book, FundingSettled, Level, PerpContext, PublicEvent
from domain.money import ZERO, Money, exact
from domain.orders import (
    CancelReason,
    CancelRejected,
    Fill,
    FillCause,
    Liquidity,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderReport,
    OrderRequest,
    OrderStatus,
    SendFailed,
    Side,
    TimeInForce,
    is_own,
)
from domain.rates import FundingRate
from domain.time import HOUR, MILLISECOND, MINUTE, SECOND
from execution.effects import (
    CancelOrder,
    FenceOrder,
    MoveMargin,
    PlaceOrder,
    QueryAccount,
    QueryOrder,
    SetLeverage,
    VenueEffect,
)
from execution.events import Event, Reconnected
from execution.ports import Clock, Reply, Transport, TransportFailed
from tests.world.cex import (
    ADL,
    DEPTH,
    LIQUIDATION,
    MARK,
    ROWS_MAX,
    USER,
    WINDOW_MS,
    signature,
    signed,
    stream_name,
)

T = TypeVar("T")
Row = TypeVar("Row", "TradeRow", "_Income", "_Deposit")

TIMEOUT_SECONDS = 3.0
SILENCE_SECONDS = 15.0
ACKNOWLEDGEMENT_SECONDS = 5.0
ACCOUNT_SECONDS = 4.0
PAUSE_SECONDS = 1.0
FUNDING_SECONDS = 10.0
STEADY_READS_MAX = 5
ATTEMPTS = 5

Action = PlaceOrder | CancelOrder | SetLeverage | MoveMargin

_API = {Kind.SPOT: "api", Kind.PERP: "fapi"}
_TIFS = {TimeInForce.IOC: "IOC", TimeInForce.POST_ONLY: "GTX", TimeInForce.GTC: "GTC"}
_QUOTIENT = Context(prec=12)

REFUSED = {-1013, -1021, -1022, -1102, -1111, -1121, -2015, -2019, -2022, -2027,
           -4003, -4014, -4015, -4164, -5022}  # fmt: skip
"""Codes that prove that an order did not land. The duplicate of an open one is not among them:
it says that the order is there. Nor is -2010 alone, which spot says of that as well."""
NO_FUNDS = (-2010, "Account has insufficient balance")
SETTING_REFUSED = {-4028, -4048, -4051}
NOT_FOUND, NOTHING_TO_CANCEL, ALREADY_SO = -2013, -2011, -4046


class BadMessage(Exception):
    """It is not what was asked for, or cannot be true."""


class Error(msgspec.Struct):
    code: int
    msg: str


class OrderRow(msgspec.Struct, rename="camel"):
    order_id: int
    client_order_id: str
    status: Literal["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED"]
    executed_qty: Decimal


class Report(msgspec.Struct):
    """An ``executionReport``, in the venue's letters; the last six belong to trades."""

    s: str
    c: str
    S: Literal["BUY", "SELL"]
    x: Literal["NEW", "TRADE", "CANCELED", "EXPIRED"]
    i: int
    z: Decimal
    T: int
    f: str
    t: int = 0
    l: Decimal = ZERO  # noqa: E741 - the venue's letter
    L: Decimal = ZERO
    n: Decimal = ZERO
    N: str = ""
    m: bool = False


class TradeRow(msgspec.Struct, rename="camel"):
    id: int
    order_id: int
    side: Literal["BUY", "SELL"]
    price: Decimal
    qty: Decimal
    commission: Decimal
    commission_asset: str
    time: int
    maker: bool


class _Balance(msgspec.Struct):
    asset: str
    free: Decimal
    locked: Decimal


class _Position(msgspec.Struct, rename="camel"):
    symbol: str
    position_amt: Decimal
    entry_price: Decimal
    mark_price: Decimal
    isolated_wallet: Decimal
    leverage: int
    margin_type: MarginMode
    liquidation_price: Decimal


class _Account(msgspec.Struct, rename="camel"):
    update_time: int
    balances: list[_Balance]
    positions: list[_Position]


class _Income(msgspec.Struct, rename="camel"):
    symbol: str
    income_type: Literal["FUNDING_FEE", "INSURANCE_CLEAR"]
    income: Decimal
    asset: str
    time: int
    tran_id: str


class _Deposit(msgspec.Struct):
    coin: str
    amount: Decimal
    tx_id: str = msgspec.field(name="txId")
    time: int = msgspec.field(name="insertTime")


class _Rate(msgspec.Struct, rename="camel"):
    symbol: str
    funding_rate: Decimal
    funding_time: int
    mark_price: str


class _Bracket(msgspec.Struct, rename="camel"):
    notional_floor: Decimal
    initial_leverage: int


class _Symbol(msgspec.Struct, rename="camel"):
    symbol: str
    base_asset: str
    quote_asset: str
    tick_size: Decimal
    step_size: Decimal
    min_notional: Decimal
    brackets: list[_Bracket]


class _Symbols(msgspec.Struct):
    symbols: list[_Symbol]


class _Interval(msgspec.Struct, rename="camel"):
    symbol: str
    funding_interval_hours: int


class _Commission(msgspec.Struct, rename="camel"):
    maker_commission_rate: Decimal
    taker_commission_rate: Decimal


class _Setting(msgspec.Struct, rename="camel"):
    symbol: str
    leverage: int
    margin_type: MarginMode


class _Depth(msgspec.Struct):
    E: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class _Mark(msgspec.Struct):
    E: int
    p: str
    i: str
    r: str
    h: int


class _Frame(msgspec.Struct):
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")
    id: int | None = None
    error: Any = None


class _Kind(msgspec.Struct):
    e: str


def decode(body: bytes | msgspec.Raw, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind, strict=False)
    except (msgspec.DecodeError, ValueError) as error:
        raise BadMessage(str(error)) from error


def error_of(reply: Reply) -> Error | None:
    """What the venue itself says against a request; None where nobody can be trusted to know.

    Of a 5xx the outcome is unknown, by the venue's own documentation; 418 and 429 come from
    what stands in front of it.
    """
    if not 400 <= reply.status < 500 or reply.status in (418, 429):
        return None
    try:
        return decode(reply.body, Error)
    except BadMessage:
        return None


def order_answer(request: OrderRequest, reply: Reply, now_ns: int) -> tuple[Event, ...]:
    """What the reply to ``request`` proves."""
    cloid = request.cloid
    error = error_of(reply)
    if error is not None:
        no_funds = error.code == NO_FUNDS[0] and error.msg.startswith(NO_FUNDS[1])
        if error.code in REFUSED or no_funds:
            return (OrderRejected(cloid, f"{error.code} {error.msg}", now_ns, now_ns),)
        return (SendFailed(cloid, f"the venue says: {error.code} {error.msg}", now_ns),)
    try:
        row = _told(reply, OrderRow)
    except BadMessage as bad:
        return (SendFailed(cloid, str(bad), now_ns),)
    if row.client_order_id != cloid or not ZERO <= row.executed_qty <= request.quantity:
        return (SendFailed(cloid, "an answer about another order", now_ns),)
    number, filled = str(row.order_id), row.executed_qty
    accepted = OrderAccepted(cloid, number, now_ns, now_ns, filled)
    if row.status not in ("CANCELED", "EXPIRED"):
        return (accepted,)
    return accepted, OrderCanceled(cloid, CancelReason.IOC, filled, now_ns, now_ns)


_STATUSES = {
    "NEW": OrderStatus.OPEN,
    "PARTIALLY_FILLED": OrderStatus.OPEN,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "EXPIRED": OrderStatus.CANCELED,
}


class Settled(StrEnum):
    """What became of an action that is no order."""

    DONE = "done"
    REFUSED = "refused"
    UNCLEAR = "unclear"


def setting_answer(reply: Reply) -> tuple[Settled, str]:
    error = error_of(reply)
    if error is not None and error.code != ALREADY_SO:
        settled = Settled.REFUSED if error.code in SETTING_REFUSED else Settled.UNCLEAR
        return settled, f"{error.code} {error.msg}"
    if error is None and reply.status != 200:
        return Settled.UNCLEAR, f"HTTP {reply.status}"
    with contextlib.suppress(BadMessage):
        decode(reply.body, dict[str, Any])
        return Settled.DONE, ""
    return Settled.UNCLEAR, "not JSON"


class Api:
    """Requests to the venue. Actions are sent once; questions may be asked again, signed anew.

    Both raise ``TransportFailed`` where no answer came and ``BadMessage`` where it is none.
    """

    def __init__(self, transport: Transport, key: str, secret: bytes, clock: Clock) -> None:
        self.transport, self._key, self._secret, self._clock = transport, key, secret, clock

    def signed(self, expires_ns: int | None, **params: object) -> bytes:
        """A signed body of now, not to be taken after ``expires_ns``, to the millisecond."""
        now_ms = self._clock.now_ns() // MILLISECOND
        window = WINDOW_MS if expires_ns is None else max(expires_ns // MILLISECOND - now_ms, 1)
        whole = {**params, "timestamp": now_ms, "recvWindow": window}
        return signed(whole, self._key, self._secret)

    async def send(self, path: str, body: bytes) -> Reply:
        return await self.transport.request(path, body, TIMEOUT_SECONDS)

    async def ask_again(self, path: str, kind: type[T], **params: object) -> T:
        """``ask`` some times: of several answers that belong together none may be missing."""
        return await _patiently(lambda: self.ask(path, kind, **params))

    async def ask(self, path: str, kind: type[T], **params: object) -> T:
        """A question about the account; raises ``NotFound`` where the venue knows no such order."""
        reply = await self.send(path, self.signed(None, **params))
        error = error_of(reply)
        if error is not None and error.code == NOT_FOUND:
            raise NotFound(error.msg)
        return _told(reply, kind)

    async def ask_anyone(self, path: str, kind: type[T], **params: object) -> T:
        """A question that needs no key, asked some times."""
        body = msgspec.json.encode(params)

        async def ask() -> T:
            return _told(await self.send(path, body), kind)

        return await _patiently(ask)

    def user_stream(self, number: int) -> bytes:
        now_ms = self._clock.now_ns() // MILLISECOND
        params: dict[str, object] = {"apiKey": self._key, "timestamp": now_ms}
        whole = {**params, "signature": signature(params, self._secret)}
        return msgspec.json.encode({"method": USER, "params": whole, "id": number})


class NotFound(Exception):
    """The venue knows no such order; one that has just been taken included."""


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    for attempt in range(1, ATTEMPTS):
        with contextlib.suppress(*_NO_ANSWER):
            return await ask()
        # Whoever is asked too often is to be asked less often.
        await asyncio.sleep(0.1 * 2.0**attempt)
    return await ask()


def _told(reply: Reply, kind: type[T]) -> T:
    if reply.status != 200:
        raise BadMessage(f"HTTP {reply.status} {reply.body[:100]!r}")
    return decode(reply.body, kind)


_NO_ANSWER = (TransportFailed, BadMessage)


class Listing:
    """The pairs that are traded, and their legs by what the venue calls them."""

    def __init__(self, pairs: tuple[Pair, ...]) -> None:
        self.pairs = pairs
        self.legs = {
            (_API[leg.kind], symbol_of(leg)): leg
            for pair in pairs
            for leg in (pair.spot, pair.perp)
        }
        self.by_id = {leg.id: leg for leg in self.legs.values()}
        self.perps = [pair.perp for pair in pairs]

    def leg(self, api: str, symbol: str) -> Instrument:
        leg = self.legs.get((api, symbol))
        if leg is None:
            raise BadMessage(f"news of {symbol!r} at {api!r}, which was not asked for")
        return leg


def symbol_of(leg: Instrument) -> str:
    return f"{leg.base}{leg.quote}"


def hours_of(perp: Instrument) -> int:
    assert perp.funding_interval_hours is not None, "Invariant: a perp has its interval"
    return perp.funding_interval_hours


class CexVenue:
    """``bot.live.Venue`` for one account; ``wanted`` are the base assets of the pairs."""

    name = "cex"

    def __init__(
        self,
        transport: Transport,
        key: str,
        secret: bytes,
        wanted: Sequence[str],
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self._api = Api(transport, key, secret, clock)
        self._wanted, self._clock, self._chance = tuple(wanted), clock, chance
        self._listing: Listing | None = None

    async def load(self) -> tuple[Pair, ...]:
        """What is listed, with the account's own fees: the proof that the key is good."""
        ask = self._api.ask_anyone
        try:
            spots, perps, hours = await asyncio.gather(
                ask("/api/exchangeInfo", _Symbols),
                ask("/fapi/exchangeInfo", _Symbols),
                ask("/fapi/fundingInfo", list[_Interval]),
            )
            intervals = {row.symbol: row.funding_interval_hours for row in hours}
            pairs = await asyncio.gather(
                *(self._pair(base, spots, perps, intervals) for base in self._wanted)
            )
        except BadMessage as error:
            raise TransportFailed(str(error)) from error
        self._listing = Listing(tuple(pairs))
        return self._listing.pairs

    async def _pair(
        self, base: str, spots: _Symbols, perps: _Symbols, intervals: Mapping[str, int]
    ) -> Pair:
        (spot,), (perp,) = (
            [row for row in listed.symbols if row.base_asset == base] for listed in (spots, perps)
        )
        spot_fees, perp_fees = await asyncio.gather(
            self._api.ask_again("/api/commissionRate", _Commission, symbol=spot.symbol),
            self._api.ask_again("/fapi/commissionRate", _Commission, symbol=perp.symbol),
        )
        return Pair(
            base,
            instrument(spot, Kind.SPOT, spot_fees, None),
            instrument(perp, Kind.PERP, perp_fees, intervals[perp.symbol]),
        )

    async def history(self, since_ns: int, until_ns: int) -> Sequence[PublicEvent]:
        try:
            published_rows = await asyncio.gather(
                *(published(self._api, perp, since_ns) for perp in self._loaded.perps)
            )
        except BadMessage as error:
            raise TransportFailed(str(error)) from error
        settled = [
            funding_settled(perp, row, row.funding_time * MILLISECOND)
            for perp, rows in zip(self._loaded.perps, published_rows, strict=True)
            for row in rows
            if row.funding_time * MILLISECOND <= until_ns
        ]
        return sorted(settled, key=lambda event: (event.venue_time_ns, event.instrument))

    def gateway(
        self,
        emit: Callable[[Event], None],
        nonce: int,
        orders: Mapping[str, str],
    ) -> "CexGateway":
        return CexGateway(self._api, self._loaded, self._clock, emit, self._chance)

    @property
    def _loaded(self) -> Listing:
        assert self._listing is not None, "Invariant: what is listed is loaded first"
        return self._listing


def instrument(row: _Symbol, kind: Kind, commission: _Commission, hours: int | None) -> Instrument:
    """Spot buys are charged in what is bought, which is the venue's default."""
    spot = kind is Kind.SPOT
    maker, taker = commission.maker_commission_rate, commission.taker_commission_rate
    return Instrument(
        venue=CexVenue.name,
        symbol=row.symbol if spot else f"{row.symbol}-PERP",
        kind=kind,
        base=row.base_asset,
        quote=row.quote_asset,
        lot=row.step_size,
        price_decimals=-row.tick_size.adjusted(),
        minimum_notional=row.min_notional,
        fees=FeeSchedule(maker, taker, buyer_pays_base=spot),
        margin_tiers=tuple(
            MarginTier(bracket.notional_floor, bracket.initial_leverage) for bracket in row.brackets
        ),
        funding_interval_hours=hours,
    )


async def published(api: Api, perp: Instrument, since_ns: int) -> list[_Rate]:
    """Every rate from ``since_ns`` on."""
    rows: dict[int, _Rate] = {}
    since_ms = since_ns // MILLISECOND
    while True:
        page = await api.ask_anyone(
            "/fapi/fundingRate", list[_Rate], symbol=symbol_of(perp), startTime=since_ms
        )
        rows.update((row.funding_time, row) for row in page)
        if len(page) < ROWS_MAX:
            return list(rows.values())
        since_ms = page[-1].funding_time


def funding_settled(perp: Instrument, row: _Rate, received_ns: int) -> FundingSettled:
    rate = FundingRate(float(row.funding_rate), float(hours_of(perp)))
    return FundingSettled(perp.id, rate, row.funding_time * MILLISECOND, received_ns)


class Feed:
    """One connection that comes back by itself, subscribed to the same things.

    ``subscriptions`` are made anew for each connection: what is signed grows old. ``on_data``
    raises ``BadMessage`` where a message ends the connection.
    """

    def __init__(
        self,
        transport: Transport,
        subscriptions: Callable[[], list[bytes]],
        on_data: Callable[[_Frame], None],
        on_ready: Callable[[], None],
        chance: Callable[[], float],
    ) -> None:
        self._transport, self._subscriptions = transport, subscriptions
        self._on_data, self._on_ready, self._chance = on_data, on_ready, chance

    async def run(self) -> None:
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            started = loop.time()
            with contextlib.suppress(TransportFailed, BadMessage, TimeoutError):
                await self._session()
            failures = 0 if loop.time() - started >= SILENCE_SECONDS else failures + 1
            pause = min(0.25 * 2.0 ** min(failures, 30), 5.0)
            await asyncio.sleep(pause * (1.0 - self._chance() / 2))

    async def _session(self) -> None:
        stream = await self._transport.connect("/ws", TIMEOUT_SECONDS)
        try:
            now = asyncio.get_running_loop().time
            asked = self._subscriptions()
            for frame in asked:
                await stream.send(frame)
            waiting = dict.fromkeys(range(1, len(asked) + 1))
            silent_at, unanswered_at = now() + SILENCE_SECONDS, now() + ACKNOWLEDGEMENT_SECONDS
            while True:
                async with asyncio.timeout_at(min(silent_at, unanswered_at)):
                    frame_in = decode(await stream.receive(), _Frame)
                if frame_in.error is not None:
                    raise BadMessage(f"the venue says: {frame_in.error}")
                if frame_in.stream:
                    silent_at = now() + SILENCE_SECONDS
                    self._on_data(frame_in)
                elif frame_in.id in waiting:
                    del waiting[frame_in.id]
                    if not waiting:
                        unanswered_at = float("inf")
                        self._on_ready()
        finally:
            with contextlib.suppress(TransportFailed, TimeoutError):
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await stream.close()


class CexGateway:
    """``bot.live.LiveGateway``: effects in, events out; nothing here sends an action twice."""

    def __init__(
        self,
        api: Api,
        listing: Listing,
        clock: Clock,
        emit: Callable[[Event], None],
        chance: Callable[[], float],
    ) -> None:
        self._api, self._listing, self._clock, self._emit = api, listing, clock, emit
        self._cloids: dict[tuple[str, int], str] = {}  # of (instrument, the venue's number)
        self._rates: dict[tuple[str, int], _Rate] = {}  # of (perp, hour)
        self._queued: list[tuple[VenueEffect, bytes]] = []  # submitted before their task ran
        self._tasks: asyncio.TaskGroup | None = None
        self._news = asyncio.Event()
        self.progress: dict[str, int] = {}
        self.rejected: dict[str, int] = {}
        self.disconnections: dict[str, int] = {}
        books = [
            stream_name(_API[leg.kind], symbol_of(leg), DEPTH) for leg in listing.legs.values()
        ]
        marks = [stream_name("fapi", symbol_of(perp), MARK) for perp in listing.perps]
        pulse = stream_name("fapi", symbol_of(listing.perps[0]), DEPTH)
        self._feeds = {
            "public": Feed(
                api.transport,
                lambda: [_subscribe(1, [*books, *marks])],
                self._on_public,
                lambda: None,
                chance,
            ),
            "private": Feed(
                api.transport,
                # An account is quiet for hours: a book is the proof that data still flows.
                lambda: [_subscribe(1, [pulse]), api.user_stream(2)],
                self._on_private,
                lambda: emit(Reconnected("private", clock.now_ns())),
                chance,
            ),
        }

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        return {
            **{name: feed.run() for name, feed in self._feeds.items()},
            "account": self._report_news(),
            "funding": self._publish_funding(),
            "requests": self._carry_out_all(),
        }

    # --- effects ---------------------------------------------------------------------------

    def prepare(self, effects: Sequence[VenueEffect]) -> tuple[()]:
        """No nonce makes a body safe to be sent again: what is durable is the client id."""
        return ()

    def submit(self, effects: Sequence[VenueEffect]) -> None:
        for effect in effects:
            body = self._body(effect) if isinstance(effect, Action) else b""
            if self._tasks is None:
                self._queued.append((effect, body))
            else:
                self._tasks.create_task(self._carry_out(effect, body))

    async def _carry_out_all(self) -> None:
        """Own every request that is on the road: a defect in one of them ends this task."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for effect, body in self._queued:
                    tasks.create_task(self._carry_out(effect, body))
                self._queued.clear()
                await asyncio.Event().wait()
        finally:
            self._tasks = None

    def _body(self, effect: Action) -> bytes:
        """Signed as it leaves; an order's window ends with it, and never after."""
        signed_now = self._api.signed
        match effect:
            case PlaceOrder(request):
                leg = self._listing.by_id[request.instrument]
                reduces = {"reduceOnly": "true"} if request.reduce_only else {}
                return signed_now(
                    request.expires_ns,
                    symbol=symbol_of(leg),
                    side=request.side.value.upper(),
                    type="LIMIT",
                    timeInForce=_TIFS[request.time_in_force],
                    quantity=format(request.quantity, "f"),
                    price=format(request.price, "f"),
                    newClientOrderId=request.cloid,
                    **(reduces if leg.kind is Kind.PERP else {}),
                )
            case CancelOrder():
                return signed_now(
                    None, symbol=self._symbol(effect.instrument), origClientOrderId=effect.cloid
                )
            case SetLeverage():
                return signed_now(
                    None, symbol=self._symbol(effect.instrument), leverage=effect.leverage
                )
            case MoveMargin():
                return signed_now(
                    None,
                    symbol=self._symbol(effect.instrument),
                    amount=format(abs(effect.amount), "f"),
                    type=1 if effect.amount > ZERO else 2,
                )

    def _symbol(self, name: str) -> str:
        return symbol_of(self._listing.by_id[name])

    def _path(self, name: str, endpoint: str) -> str:
        return f"/{_API[self._listing.by_id[name].kind]}/{endpoint}"

    async def _carry_out(self, effect: VenueEffect, body: bytes) -> None:
        match effect:
            case PlaceOrder():
                await self._place(effect.request, body)
            case CancelOrder():
                await self._cancel(effect, body)
            case SetLeverage() | MoveMargin():
                await self._change(effect, body)
            case QueryOrder():
                await self._query_order(effect)
            case QueryAccount():
                await self._query_account(effect)
            case FenceOrder():
                raise AssertionError("Invariant: without nonces nothing is fenced")

    async def _place(self, request: OrderRequest, body: bytes) -> None:
        if self._clock.now_ns() >= request.expires_ns:
            now_ns = self._clock.now_ns()
            self._emit(OrderRejected(request.cloid, "expired before it was sent", now_ns, now_ns))
            return
        try:
            reply = await self._api.send(self._path(request.instrument, "order"), body)
        except TransportFailed as error:
            self._emit(SendFailed(request.cloid, str(error), self._clock.now_ns()))
            return
        for event in order_answer(request, reply, self._clock.now_ns()):
            self._emit(event)
            if isinstance(event, OrderAccepted):
                self._cloids[request.instrument, int(event.venue_order_id)] = request.cloid
        self._news.set()

    async def _cancel(self, effect: CancelOrder, body: bytes) -> None:
        try:
            reply = await self._api.send(self._path(effect.instrument, "order/cancel"), body)
            error, now_ns = error_of(reply), self._clock.now_ns()
            if error is not None and error.code == NOTHING_TO_CANCEL:
                self._emit(CancelRejected(effect.cloid, error.msg, now_ns, now_ns))
            else:
                row = _told(reply, OrderRow)
                if row.client_order_id == effect.cloid and row.status == "CANCELED":
                    reason, filled = CancelReason.REQUESTED, row.executed_qty
                    self._emit(OrderCanceled(effect.cloid, reason, filled, now_ns, now_ns))
        except _NO_ANSWER:
            return  # the engine, which has heard nothing, asks for the order
        self._news.set()

    async def _change(self, effect: SetLeverage | MoveMargin, body: bytes) -> None:
        """Mode, then leverage; they count as set when they have been read back."""
        name, moves = effect.instrument, isinstance(effect, MoveMargin)
        try:
            settled, text = Settled.DONE, ""
            if not moves:
                mode = self._api.signed(None, symbol=self._symbol(name), marginType="ISOLATED")
                settled, text = setting_answer(await self._api.send("/fapi/marginType", mode))
            if settled is Settled.DONE:
                path = "/fapi/positionMargin" if moves else "/fapi/leverage"
                settled, text = setting_answer(await self._api.send(path, body))
            now_ns = self._clock.now_ns()
            if settled is Settled.REFUSED:
                self._emit(SettingRefused(effect.request_id, name, text, now_ns, now_ns))
            elif settled is Settled.DONE and isinstance(effect, MoveMargin):
                self._emit(MarginMoved(effect.request_id, name, effect.amount, now_ns, now_ns))
            elif settled is Settled.DONE:
                row = await self._api.ask("/fapi/positionRisk", _Setting, symbol=self._symbol(name))
                now_ns = self._clock.now_ns()
                self._emit(LeverageConfirmed(name, row.leverage, row.margin_type, now_ns, now_ns))
        except _NO_ANSWER:
            return
        self._news.set()

    async def _query_order(self, effect: QueryOrder) -> None:
        """Dated by the moment we asked: the venue answered no earlier."""
        name, cloid, asked_ns = effect.instrument, effect.cloid, self._clock.now_ns()
        status, filled = OrderStatus.NEVER_SEEN, ZERO
        try:
            row = await self._api.ask(
                self._path(name, "order/query"),
                OrderRow,
                symbol=self._symbol(name),
                origClientOrderId=cloid,
            )
        except NotFound:
            pass
        except _NO_ANSWER:
            return
        else:
            if row.client_order_id != cloid:
                return
            self._cloids[name, row.order_id] = cloid
            status, filled = _STATUSES[row.status], row.executed_qty
        self._emit(OrderReport(cloid, status, filled, asked_ns, self._clock.now_ns()))

    # --- the account -----------------------------------------------------------------------

    async def _query_account(self, effect: QueryAccount) -> None:
        """History and state that belong together: the state must not have moved meanwhile."""
        for _ in range(STEADY_READS_MAX):
            try:
                before = await self._account_report(None)
                history = await self._history(effect.since_ns)
                after = await self._account_report(effect.request_id)
            except (*_NO_ANSWER, NotFound):
                return
            if _standing(before) == _standing(after):
                for event in history:
                    self._emit(event)
                self._emit(after)
                return

    async def _account_report(self, request_id: str | None) -> AccountReport:
        """As of the time of the first answer; the open orders are at least as new."""
        ask = self._api.ask_again
        account = await ask("/sapi/account", _Account)
        spots, perps = await asyncio.gather(
            *(ask(f"/{api}/openOrders", list[OrderRow]) for api in _API.values())
        )
        now_ns = self._clock.now_ns()
        self.progress["account"] = now_ns
        return AccountReport(
            balances=tuple(
                Balance(row.asset, row.free + row.locked, row.locked) for row in account.balances
            ),
            positions=tuple(self._position(row) for row in account.positions),
            open_orders=tuple(row.client_order_id for row in (*spots, *perps)),
            request_id=request_id,
            venue_time_ns=account.update_time * MILLISECOND,
            received_ns=now_ns,
        )

    def _position(self, row: _Position) -> PositionReport:
        """The isolated wallet is margin without profit, so that its cost has to come off it."""
        leg = self._listing.leg("fapi", row.symbol)
        with exact():
            raw = row.isolated_wallet - row.position_amt * row.entry_price
            margin = raw + row.position_amt * row.mark_price
        return PositionReport(
            leg.id, row.position_amt, row.entry_price, row.mark_price, margin, raw,
            row.leverage, row.margin_type, row.liquidation_price or None,
        )  # fmt: skip

    async def _history(self, since_ns: int) -> list[Fill | FundingPayment | Cashflow]:
        """Everything since then, by time, every fill with its order's client id."""
        since_ms, legs = since_ns // MILLISECOND, tuple(self._listing.by_id.values())
        trading = (
            self._pages(self._path(leg.id, "userTrades"), list[TradeRow], since_ms, leg)
            for leg in legs
        )
        incomes, deposits, trades = await asyncio.gather(
            self._pages("/fapi/income", list[_Income], since_ms),
            self._pages("/sapi/deposits", list[_Deposit], since_ms),
            asyncio.gather(*trading),
        )
        events: list[Fill | FundingPayment | Cashflow] = []
        for leg, rows in zip(legs, trades, strict=True):
            await self._learn(leg, [row.order_id for row in rows], since_ms)
            events += [self._fill(leg, row) for row in rows]
        for income in incomes:
            events += [await self._moved(income)]
        for row in deposits:
            money, time_ns = Money(row.amount, row.coin), row.time * MILLISECOND
            now_ns = self._clock.now_ns()
            events.append(Cashflow(row.tx_id, money, CashCause.DEPOSIT, None, time_ns, now_ns))
        return sorted(events, key=lambda event: event.venue_time_ns)

    async def _learn(self, leg: Instrument, numbers: Sequence[int], since_ms: int) -> None:
        """Whose orders they are; a restarted bot has forgotten them all."""
        if all((leg.id, number) in self._cloids for number in numbers):
            return
        path, symbol = self._path(leg.id, "allOrders"), symbol_of(leg)
        placed_ms = since_ms - HOUR // MILLISECOND  # what traded lately may have rested for long
        rows = await self._api.ask_again(path, list[OrderRow], symbol=symbol, startTime=placed_ms)
        for row in rows:
            self._cloids[leg.id, row.order_id] = row.client_order_id
        if any((leg.id, number) not in self._cloids for number in numbers):
            raise BadMessage(f"trades of {leg.id} without their orders")

    async def _pages(
        self, path: str, kind: type[list[Row]], since_ms: int, leg: Instrument | None = None
    ) -> list[Row]:
        """Every row from then on, of ``leg`` alone where the question needs one."""
        by = {"symbol": symbol_of(leg)} if leg is not None else {}
        rows: dict[bytes, Row] = {}
        while True:
            page = await self._api.ask_again(path, kind, startTime=since_ms, **by)
            rows.update((msgspec.json.encode(row), row) for row in page)
            if len(page) < ROWS_MAX:
                return list(rows.values())
            since_ms = page[-1].time

    def _fill(self, leg: Instrument, row: TradeRow) -> Fill:
        cloid = self._cloids[leg.id, row.order_id]
        cause = FillCause.ADL if cloid == ADL else FillCause.ORDER
        if cloid.startswith(LIQUIDATION):
            cause = FillCause.LIQUIDATION
        return Fill(
            fill_id=f"{leg.symbol}-{row.id}",
            cloid=cloid if is_own(cloid) else None,
            instrument=leg.id,
            side=Side.BUY if row.side == "BUY" else Side.SELL,
            price=row.price,
            quantity=row.qty,
            fee=Money(row.commission, row.commission_asset),
            liquidity=Liquidity.MAKER if row.maker else Liquidity.TAKER,
            cause=cause,
            venue_time_ns=row.time * MILLISECOND,
            received_ns=self._clock.now_ns(),
        )

    async def _moved(self, row: _Income) -> FundingPayment | Cashflow:
        """Income has neither rate nor position: both follow from the rate that was published."""
        perp = self._listing.leg("fapi", row.symbol)
        time_ns, money = row.time * MILLISECOND, Money(row.income, row.asset)
        if row.income_type == "INSURANCE_CLEAR":
            cause = CashCause.LIQUIDATION_PENALTY
            return Cashflow(row.tran_id, money, cause, perp.id, time_ns, self._clock.now_ns())
        hour_ns = (time_ns + HOUR // 2) // HOUR * HOUR
        if (perp.id, hour_ns) not in self._rates:
            for rate in await published(self._api, perp, hour_ns - MINUTE):
                self._rates[perp.id, _hour(rate)] = rate
        charged = self._rates.get((perp.id, hour_ns))
        if charged is None or not charged.mark_price:
            raise BadMessage(f"a payment of {row.symbol} at a rate that is not published")
        price, position = Decimal(charged.mark_price), ZERO
        with exact():
            each = price * charged.funding_rate
        if each:
            position = _QUOTIENT.divide(-row.income, each).quantize(perp.lot, context=_QUOTIENT)
        return FundingPayment(
            row.tran_id, perp.id, position, price, charged.funding_rate, hours_of(perp), money,
            time_ns, self._clock.now_ns(),
        )  # fmt: skip

    async def _report_news(self) -> None:
        """The account: after private news, once for all that came together, and every so often."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ACCOUNT_SECONDS):
                    await self._news.wait()
            self._news.clear()
            try:
                self._emit(await self._account_report(None))
            except _NO_ANSWER:
                self._news.set()
            await asyncio.sleep(PAUSE_SECONDS)

    # --- streams ---------------------------------------------------------------------------

    def _on_public(self, frame: _Frame) -> None:
        now_ns = self._clock.now_ns()
        api, _, rest = frame.stream.partition(":")
        symbol, _, kind = rest.partition("@")
        try:
            leg = self._listing.leg(api, symbol.upper())
            event: Book | PerpContext
            if kind == DEPTH:
                book = decode(frame.data, _Depth)
                time_ns = book.E * MILLISECOND
                event = Book(leg.id, _levels(book.b), _levels(book.a), time_ns, now_ns)
            else:
                mark = decode(frame.data, _Mark)
                rate = FundingRate(float(mark.r), float(mark.h))
                time_ns = mark.E * MILLISECOND
                event = PerpContext(leg.id, float(mark.p), float(mark.i), rate, time_ns, now_ns)
        except (BadMessage, ValueError):
            return  # one bad message degrades its instrument; the rest goes on
        self.progress["public"] = now_ns
        self._emit(event)

    def _on_private(self, frame: _Frame) -> None:
        """One bad message ends the connection: what it was to tell has to be asked for."""
        if frame.stream.endswith(":user"):
            if decode(frame.data, _Kind).e == "executionReport":
                api = frame.stream.partition(":")[0]
                self._take(api, decode(frame.data, Report))
            self._news.set()
        self.progress["private"] = self._clock.now_ns()

    def _take(self, api: str, row: Report) -> None:
        leg, time_ns, now_ns = self._listing.leg(api, row.s), row.T * MILLISECOND, 0
        now_ns = self._clock.now_ns()
        self._cloids[leg.id, row.i] = row.c
        if row.x == "TRADE":
            trade = TradeRow(row.t, row.i, row.S, row.L, row.l, row.n, row.N, row.T, row.m)
            self._emit(self._fill(leg, trade))
        elif row.x == "NEW":
            self._emit(OrderAccepted(row.c, str(row.i), time_ns, now_ns, row.z))
        else:
            ended = CancelReason.REQUESTED if row.x == "CANCELED" else CancelReason.REDUCE_ONLY
            reason = CancelReason.IOC if row.x == "EXPIRED" and row.f == "IOC" else ended
            self._emit(OrderCanceled(row.c, reason, row.z, time_ns, now_ns))

    # --- published funding -----------------------------------------------------------------

    async def _publish_funding(self) -> None:
        """The rate of every interval, each perp's own, as soon as it is published."""
        now_ns = self._clock.now_ns()
        due = {perp.id: _next(perp, now_ns - HOUR * hours_of(perp)) for perp in self._listing.perps}
        while True:
            for perp in self._listing.perps:
                if due[perp.id] <= self._clock.now_ns():
                    due[perp.id] = await self._publish(perp, due[perp.id])
            wait = (min(due.values()) - self._clock.now_ns()) / SECOND
            await asyncio.sleep(min(max(wait, FUNDING_SECONDS), 60.0))

    async def _publish(self, perp: Instrument, due_ns: int) -> int:
        """Emit what there is since ``due_ns``; returns when the next one is due."""
        try:
            rows = await published(self._api, perp, due_ns - MINUTE)
        except _NO_ANSWER:
            return due_ns
        for row in rows:
            self._rates[perp.id, _hour(row)] = row
            self._emit(funding_settled(perp, row, self._clock.now_ns()))
            due_ns = max(due_ns, _next(perp, _hour(row)))
        return due_ns


def _subscribe(number: int, names: list[str]) -> bytes:
    return msgspec.json.encode({"method": "SUBSCRIBE", "params": names, "id": number})


def _levels(rows: Sequence[tuple[str, str]]) -> tuple[Level, ...]:
    return tuple(Level(float(price), float(size)) for price, size in rows)


def _hour(row: _Rate) -> int:
    """The whole hour that it was settled at; venues stamp it some milliseconds late."""
    return (row.funding_time * MILLISECOND + HOUR // 2) // HOUR * HOUR


def _next(perp: Instrument, time_ns: int) -> int:
    """The first settlement of ``perp`` strictly after ``time_ns``."""
    interval_ns = hours_of(perp) * HOUR
    return (time_ns // interval_ns + 1) * interval_ns


def _standing(report: AccountReport) -> tuple[object, ...]:
    """What of a report changes only when something happens to the account: no price is in it."""
    return (
        [(b.asset, b.total, b.held) for b in report.balances],
        [(p.instrument, p.quantity, p.raw_margin, p.leverage) for p in report.positions],
        sorted(report.open_orders),
    )
