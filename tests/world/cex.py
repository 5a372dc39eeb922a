"""A venue of the centralized kind, after Binance: API keys, client ids, receive windows, no nonces.

The same simulated exchange stands behind it, told apart by two APIs that use the same symbols:
``/api`` for spot, ``/fapi`` for perpetuals, ``/sapi`` for the one account of both.

What matters here is what is different. A request is refused when it is older than its own
receive window, or more than a second ahead. A client id is refused only while an order of that
id is open: sent again after it, the same order trades a second time. What was refused leaves no
trace, and what was taken is found by a query only after a moment. Nothing that is old can be
used up, so an order that nobody has seen can land until its window has passed.
"""

import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from domain.account import (
    CashCause,
    Cashflow,
    FundingPayment,
    MarginMode,
    MarginMoved,
    SettingRefused,
)
from domain.instruments import Instrument, Kind, Pair
from domain.market import Book, FundingSettled, MarketInput, PerpContext
from domain.money import ZERO, Money, decimal_of, exact
from domain.orders import (
    CancelReason,
    Fill,
    FillCause,
    Liquidity,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderRequest,
    Side,
    TimeInForce,
)
from domain.time import HOUR, MILLISECOND, MINUTE, SECOND
from execution.ports import Reply
from execution.venues.simulated import admission
from execution.venues.simulated.exchange import Exchange
from execution.venues.simulated.funding import interval_hours
from execution.venues.simulated.state import VenueEvent
from tests.world.history import FILLED, OK, RESTING, SUCCESS, Received, SentOrder

T = TypeVar("T")
Document = dict[str, Any]

AHEAD_MS_MAX = 1_000
WINDOW_MS = 5_000
WINDOW_MS_MAX = 60_000
READ_LAG_NS = 250 * MILLISECOND
"""How long after it was taken an order is not found by a query."""
REQUESTS_A_MINUTE = 2_400
PATIENCE = 100
"""Who goes on for so many requests after a 429 is banned."""
BAN_NS = 2 * MINUTE
ROWS_MAX = 1_000

ADL, LIQUIDATION = "adl_autoclose", "autoclose-"
"""How the client ids begin of orders that the venue placed itself."""
DEPTH, MARK, USER = "depth5", "markPrice", "userDataStream.subscribe.signature"

_ADDS_UP = ("order", "positionMargin")
_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
_TIFS = {"IOC": TimeInForce.IOC, "GTX": TimeInForce.POST_ONLY, "GTC": TimeInForce.GTC}
_encode = msgspec.json.Encoder().encode


class Refused(Exception):
    """The venue's own refusal: its code and text."""

    def __init__(self, code: int, text: str, status: int = 400) -> None:
        super().__init__(f"{code} {text}")
        self.code, self.text, self.status = code, text, status


_REFUSALS: tuple[tuple[str, int, str], ...] = (
    (admission.ZERO_SIZE, -4003, "Quantity less than or equal to zero."),
    (admission.INVALID_SIZE, -1013, "Filter failure: LOT_SIZE"),
    (admission.TICK, -4014, "Price not increased by tick size."),
    ("Order must have minimum value", -4164, "Order's notional is too small."),
    (admission.REDUCE_ONLY, -2022, "ReduceOnly Order is rejected."),
    ("Post only order", -5022, "Due to the order could not be executed as maker, it is rejected."),
    (admission.MARGIN, -2019, "Margin is insufficient."),
    (admission.SPOT_BALANCE, -2010, "Account has insufficient balance for requested action."),
    (admission.TIER, -2027, "Exceeded the maximum allowable position at current leverage."),
)
"""What the exchange says, and what this venue says instead."""


class NewOrder(msgspec.Struct):
    """The body of ``order``, besides key, time and signature."""

    symbol: str
    side: Literal["BUY", "SELL"]
    type: Literal["LIMIT"]
    timeInForce: Literal["IOC", "GTX", "GTC"]  # noqa: N815 - the venue's spelling
    quantity: str
    price: str
    newClientOrderId: str  # noqa: N815
    reduceOnly: Literal["true", "false"] = "false"  # noqa: N815


class Order(msgspec.Struct):
    """One order that was taken, for good; ``number`` is the venue's name for it."""

    number: int
    cloid: str
    leg: Instrument
    side: Side
    quantity: Decimal
    price: Decimal
    tif: str
    reduce_only: bool
    created_ns: int
    updated_ns: int
    status: str = "NEW"
    filled: Decimal = ZERO

    @property
    def is_open(self) -> bool:
        return self.status in ("NEW", "PARTIALLY_FILLED")


class _Call(NamedTuple):
    """One request: the API it came by, its parameters, and when."""

    api: str
    params: Document
    now_ns: int


def signature(params: Mapping[str, object], secret: bytes) -> str:
    """HMAC-SHA256 over the parameters by name, without the signature itself."""
    text = "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature")
    return hmac.new(secret, text.encode(), sha256).hexdigest()


def signed(params: Mapping[str, object], key: str, secret: bytes) -> bytes:
    """A body that the venue takes: ``params`` with ``timestamp``, signed with ``secret``."""
    whole = {**params, "apiKey": key}
    return _encode({**whole, "signature": signature(whole, secret)})


class Limit:
    """So many requests in each minute, then 429; who goes on all the same is banned with 418."""

    def __init__(self, a_minute: int) -> None:
        self._a_minute, self._minute, self._count = a_minute, 0, 0
        self._banned_until_ns = 0

    def refusal(self, now_ns: int) -> int | None:
        """The status that refuses one more request, None where it may pass."""
        if now_ns < self._banned_until_ns:
            return 418
        if now_ns // MINUTE != self._minute:
            self._minute, self._count = now_ns // MINUTE, 0
        self._count += 1
        if self._count > self._a_minute + PATIENCE:
            self._banned_until_ns = now_ns + BAN_NS
            return 418
        return 429 if self._count > self._a_minute else None


class Cex:
    """``tests.world.net.Server`` for one account; ``keys`` are its API keys with their secrets.

    ``received`` has every request that was to change something and got past the limit. It has
    no nonce of its own: it is given the next free millisecond from its timestamp on, and where
    doing it twice would do it twice, a body that comes again keeps the one it was given.
    """

    def __init__(
        self,
        exchange: Exchange,
        pairs: Sequence[Pair],
        keys: Mapping[str, bytes],
        *,
        history: Iterable[FundingSettled] = (),
        requests_a_minute: int = REQUESTS_A_MINUTE,
    ) -> None:
        self.exchange = exchange
        self.received: list[Received] = []
        self.orders: dict[int, Order] = {}
        self._legs = {
            (api, _symbol(leg)): leg
            for pair in pairs
            for api, leg in (("api", pair.spot), ("fapi", pair.perp))
        }
        self._api_of = {leg.id: api for (api, _), leg in self._legs.items()}
        self._leg_of = {leg.id: leg for leg in self._legs.values()}
        self._keys = keys
        self._limit = Limit(requests_a_minute)
        self._named: dict[tuple[str, str], Order] = {}  # the newest of each name
        self._numbers = 0
        self._trades: list[Document] = []
        self._incomes: list[Document] = []
        self._deposits: list[Document] = []
        self._rates: list[Document] = []
        self._context: dict[str, PerpContext] = {}
        self._nonces: dict[str | None, int] = {}  # by digest
        self._taken: set[tuple[str, int]] = set()
        self._listeners: dict[str, list[int]] = {}
        self._outbox: list[tuple[int, bytes]] = []
        for settled in history:
            self._published(settled)
        now_ns = max((0, *(event.received_ns for event in exchange.private_since(0))))
        for (api, _), leg in self._legs.items():
            if api == "fapi":  # as an account is found: nothing is isolated unless it is set
                leverage = exchange.position(leg.id).leverage
                exchange.set_leverage("", leg.id, leverage, now_ns, MarginMode.CROSS)
        self._tell(exchange.private_since(0))
        self._reads: dict[str, Callable[[_Call], Any]] = {
            "order/query": self._query,
            "allOrders": self._all_orders,
            "openOrders": self._open_orders,
            "account": self._account,
            "userTrades": self._user_trades,
            "income": lambda call: _since(self._incomes, call, "time"),
            "deposits": lambda call: _since(self._deposits, call, "insertTime"),
            "commissionRate": self._commission,
            "positionRisk": self._position_risk,
        }
        self._writes: dict[str, Callable[[_Call], Any]] = {
            "order": self._place,
            "order/cancel": self._cancel,
            "leverage": self._set_leverage,
            "marginType": self._set_margin_type,
            "positionMargin": self._move_margin,
        }
        self._public: dict[str, Callable[[_Call], Any]] = {
            "exchangeInfo": self._exchange_info,
            "fundingInfo": self._funding_info,
            "fundingRate": self._funding_rate,
            "premiumIndex": self._premium_index,
        }

    # --- time and market -----------------------------------------------------------------

    def play(self, event: MarketInput) -> None:
        """The market moves: it is published, and orders fill, positions are liquidated."""
        self._tell(self.exchange.on_market(event))

    def advance(self, now_ns: int) -> None:
        self._tell(self.exchange.advance(now_ns))

    def auto_deleverage(
        self, instrument: str, fraction: Decimal, price: Decimal, now_ns: int
    ) -> None:
        self._tell(self.exchange.auto_deleverage(instrument, fraction, price, now_ns))

    # --- requests ------------------------------------------------------------------------

    def request(self, path: str, body: bytes, now_ns: int) -> Reply:
        self.advance(now_ns)
        status = self._limit.refusal(now_ns)
        if status is not None:
            return _refusal(Refused(-1003, "Too many requests.", status))
        api, _, name = path.removeprefix("/").partition("/")
        try:
            try:
                call = _Call(api, msgspec.json.decode(body, type=Document), now_ns)
                if name in self._public:
                    return Reply(200, _encode(self._public[name](call)))
                if name in self._writes:
                    return Reply(200, _encode(self._write(name, call, body)))
                if name not in self._reads:
                    return Reply(404, b"")
                self._authorized(call)
                return Reply(200, _encode(self._reads[name](call)))
            except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
                raise Refused(-1102, f"A parameter was not sent or malformed: {error}") from error
        except Refused as refused:
            return _refusal(refused)

    def _authorized(self, call: _Call) -> str:
        """The key by which ``call`` was signed, in time."""
        params, now_ms = call.params, call.now_ns // MILLISECOND
        key = str(params["apiKey"])
        if key not in self._keys:
            raise Refused(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        if not hmac.compare_digest(signature(params, self._keys[key]), str(params["signature"])):
            raise Refused(-1022, "Signature for this request is not valid.")
        sent_ms, window_ms = int(params["timestamp"]), int(params.get("recvWindow", WINDOW_MS))
        if window_ms > WINDOW_MS_MAX:
            raise Refused(-1131, "recvWindow must be less than 60000.")
        if sent_ms > now_ms + AHEAD_MS_MAX:
            raise Refused(-1021, "Timestamp for this request was 1000ms ahead of the server's time")
        if now_ms > sent_ms + window_ms:
            raise Refused(-1021, "Timestamp for this request is outside of the recvWindow.")
        return key

    def _write(self, name: str, call: _Call, body: bytes) -> Any:
        """Carry it out, and log it with what came of it."""
        params, digest = call.params, sha256(body).hexdigest()
        sent_ms = int(params["timestamp"])
        entry = Received(
            call.now_ns,
            str(params.get("apiKey")),
            self._nonce(str(params.get("apiKey")), digest if name in _ADDS_UP else None, sent_ms),
            name,
            digest,
            "",
            expires_ms=sent_ms + int(params.get("recvWindow", WINDOW_MS)),
        )
        replace = msgspec.structs.replace
        if name == "order":
            entry = replace(entry, orders=(self._sent_order(call),))
        elif name == "order/cancel":
            entry = replace(entry, cancelled=(str(params["origClientOrderId"]),))
        try:
            self._authorized(call)
            answer = self._writes[name](call)
        except Refused as refused:
            self.received.append(replace(entry, outcome=str(refused)))
            raise
        words: tuple[str, ...] = ()
        if name == "order":
            words = (FILLED if Decimal(answer["executedQty"]) else RESTING,)
        elif name == "order/cancel":
            words = (SUCCESS,)
        self.received.append(replace(entry, outcome=OK, outcomes=words))
        return answer

    def _nonce(self, key: str, digest: str | None, sent_ms: int) -> int:
        if digest in self._nonces:
            return self._nonces[digest]
        nonce = sent_ms
        while (key, nonce) in self._taken:
            nonce += 1
        self._taken.add((key, nonce))
        if digest is not None:
            self._nonces[digest] = nonce
        return nonce

    # --- orders --------------------------------------------------------------------------

    def _sent_order(self, call: _Call) -> SentOrder:
        new = msgspec.convert(call.params, type=NewOrder)
        return SentOrder(
            new.newClientOrderId,
            self._leg(call).id,
            Side.BUY if new.side == "BUY" else Side.SELL,
            Decimal(new.quantity),
            Decimal(new.price),
            _TIFS[new.timeInForce],
            new.reduceOnly == "true",
        )

    def _place(self, call: _Call) -> Document:
        new, leg = self._sent_order(call), self._leg(call)
        cloid = str(new.cloid)
        if not _CLIENT_ID.fullmatch(cloid):
            raise Refused(-4015, "Client order id is not valid.")
        before = self._named.get((leg.id, cloid))
        if before is not None and before.is_open:
            if leg.kind is Kind.SPOT:
                raise Refused(-2010, "Duplicate order sent.")
            raise Refused(-4116, "ClientOrderId is duplicated.")
        order = self._numbered(
            cloid, leg, new.side, new.quantity, new.price, call.params["timeInForce"],
            call.now_ns, reduce_only=new.reduce_only,
        )  # fmt: skip
        assert new.time_in_force is not None, "Invariant: this venue knows no triggers"
        request = OrderRequest(
            str(order.number), leg.id, new.side, new.quantity, new.price, new.time_in_force,
            new.reduce_only, call.now_ns + SECOND,
        )  # fmt: skip
        events = self.exchange.place(request, call.now_ns)
        for event in events:
            if isinstance(event, OrderRejected):
                raise _worded(event.reason)
        self.orders[order.number] = self._named[leg.id, cloid] = order
        self._tell(events)
        return _row(order)

    def _numbered(
        self, cloid: str, leg: Instrument, side: Side, quantity: Decimal, price: Decimal, tif: str,
        now_ns: int, *, reduce_only: bool,
    ) -> Order:  # fmt: skip
        self._numbers += 1
        return Order(
            self._numbers, cloid, leg, side, quantity, price, tif, reduce_only, now_ns, now_ns
        )

    def _cancel(self, call: _Call) -> Document:
        order = self._named.get((self._leg(call).id, str(call.params["origClientOrderId"])))
        if order is None or not order.is_open:
            raise Refused(-2011, "Unknown order sent.")
        self._tell(self.exchange.cancel(str(order.number), call.now_ns))
        return _row(order)

    def _query(self, call: _Call) -> Document:
        """By the client id, or by the venue's; of several of one name the newest."""
        leg, params = self._leg(call), call.params
        order = (
            self.orders.get(int(params["orderId"]))
            if "orderId" in params
            else self._named.get((leg.id, str(params["origClientOrderId"])))
        )
        if order is None or order.leg is not leg or call.now_ns - order.created_ns < READ_LAG_NS:
            raise Refused(-2013, "Order does not exist.")
        return _row(order)

    def _all_orders(self, call: _Call) -> list[Document]:
        """Of one symbol, by the time at which they were placed."""
        leg, since_ns = self._leg(call), int(call.params.get("startTime", 0)) * MILLISECOND
        ours = (order for order in self.orders.values() if order.leg is leg)
        return [_row(order) for order in ours if order.created_ns >= since_ns][:ROWS_MAX]

    def _open_orders(self, call: _Call) -> list[Document]:
        return [
            _row(order)
            for order in self.orders.values()
            if order.is_open and self._api_of[order.leg.id] == call.api
        ]

    # --- the account ---------------------------------------------------------------------

    def _account(self, call: _Call) -> Document:
        report = self.exchange.account_report(None, call.now_ns)
        with exact():
            return {
                "updateTime": report.venue_time_ns // MILLISECOND,
                "balances": [
                    {"asset": b.asset, "free": _text(b.total - b.held), "locked": _text(b.held)}
                    for b in report.balances
                ],
                "positions": [
                    {
                        "symbol": _symbol(self._leg_of[p.instrument]),
                        "positionAmt": _text(p.quantity),
                        "entryPrice": _text(p.entry_price),
                        "markPrice": _text(p.mark),
                        "isolatedWallet": _text(p.raw_margin + p.quantity * p.entry_price),
                        "leverage": str(p.leverage),
                        "marginType": p.mode.value,
                        "liquidationPrice": _text(p.liquidation_price or ZERO),
                    }
                    for p in report.positions
                ],
            }

    def _user_trades(self, call: _Call) -> list[Document]:
        """Of one symbol, with the venue's order ids and no client ids."""
        leg = self._leg(call)
        ours = [row for row in self._trades if row["leg"] == leg.id]
        return [{k: v for k, v in row.items() if k != "leg"} for row in _since(ours, call, "time")]

    def _commission(self, call: _Call) -> Document:
        fees = self._leg(call).fees
        return {
            "symbol": call.params["symbol"],
            "makerCommissionRate": _text(fees.maker),
            "takerCommissionRate": _text(fees.taker),
        }

    def _position_risk(self, call: _Call) -> Document:
        position = self.exchange.position(self._leg(call).id)
        return {
            "symbol": call.params["symbol"],
            "leverage": str(position.leverage),
            "marginType": position.mode.value,
        }

    # --- settings ------------------------------------------------------------------------

    def _set_leverage(self, call: _Call) -> Document:
        leg, leverage = self._leg(call), int(call.params["leverage"])
        mode = self.exchange.position(leg.id).mode
        answer = self.exchange.set_leverage("", leg.id, leverage, call.now_ns, mode)
        self._settle(answer, -4028)
        return {"symbol": call.params["symbol"], "leverage": leverage}

    def _set_margin_type(self, call: _Call) -> Document:
        leg, wanted = self._leg(call), MarginMode[str(call.params["marginType"])]
        position = self.exchange.position(leg.id)
        if position.mode is wanted:
            raise Refused(-4046, "No need to change margin type.")
        answer = self.exchange.set_leverage("", leg.id, position.leverage, call.now_ns, wanted)
        self._settle(answer, -4048)
        return {"code": 200, "msg": "success"}

    def _move_margin(self, call: _Call) -> Document:
        amount = Decimal(str(call.params["amount"]))
        if int(call.params["type"]) == 2:
            amount = -amount
        answer = self.exchange.move_margin("", self._leg(call).id, amount, call.now_ns)
        self._settle(answer, -4051)
        return {"code": 200, "amount": call.params["amount"], "type": call.params["type"]}

    def _settle(self, events: Sequence[VenueEvent], code: int) -> None:
        self._tell(events)
        for event in events:
            if isinstance(event, SettingRefused):
                raise Refused(code, event.reason)

    # --- what is public ------------------------------------------------------------------

    def _leg(self, call: _Call) -> Instrument:
        leg = self._legs.get((call.api, str(call.params.get("symbol"))))
        if leg is None:
            raise Refused(-1121, "Invalid symbol.")
        return leg

    def _exchange_info(self, call: _Call) -> Document:
        return {
            "symbols": [_listed(leg) for (api, _), leg in self._legs.items() if api == call.api]
        }

    def _funding_info(self, call: _Call) -> list[Document]:
        return [
            {"symbol": symbol, "fundingIntervalHours": interval_hours(leg)}
            for (api, symbol), leg in self._legs.items()
            if api == "fapi"
        ]

    def _funding_rate(self, call: _Call) -> list[Document]:
        symbol = _symbol(self._leg(call))
        ours = [row for row in self._rates if row["symbol"] == symbol]
        return _since(ours, call, "fundingTime")

    def _premium_index(self, call: _Call) -> Document:
        leg = self._leg(call)
        context = self._context.get(leg.id)
        if context is None:
            raise Refused(-1121, "Invalid symbol.")
        return _mark_price(leg, context)

    # --- what happened -------------------------------------------------------------------

    def _tell(self, events: Iterable[VenueEvent]) -> None:
        for event in events:
            if isinstance(event, Book):
                self._publish(event.instrument, DEPTH, _depth(event))
            elif isinstance(event, PerpContext):
                self._context[event.instrument] = event
                leg = self._leg_of[event.instrument]
                self._publish(event.instrument, MARK, _mark_price(leg, event))
            elif isinstance(event, FundingSettled):
                self._published(event)
            elif isinstance(event, OrderAccepted):
                self._report(self.orders[int(event.cloid)], "NEW", event.venue_time_ns)
            elif isinstance(event, Fill):
                self._filled(event)
            elif isinstance(event, OrderCanceled):
                order = self.orders[int(event.cloid)]
                requested = event.reason is CancelReason.REQUESTED
                order.status = "CANCELED" if requested else "EXPIRED"
                self._report(order, order.status, event.venue_time_ns)
            elif isinstance(event, FundingPayment):
                self._income("FUNDING_FEE", event, event.payment, event.payment_id)
            elif isinstance(event, Cashflow):
                self._moved(event)
            elif isinstance(event, MarginMoved):
                self._account_update("MARGIN_TRANSFER", event.venue_time_ns)

    def _filled(self, fill: Fill) -> None:
        leg = self._leg_of[fill.instrument]
        if fill.cloid is None:
            forced = fill.cause is FillCause.ADL
            name = ADL if forced else f"{LIQUIDATION}{self._numbers + 1}"
            order = self._numbered(
                name, leg, fill.side, fill.quantity, fill.price, "IOC", fill.venue_time_ns,
                reduce_only=True,
            )  # fmt: skip
            self.orders[order.number] = order
        else:
            order = self.orders[int(fill.cloid)]
        with exact():
            order.filled += fill.quantity
        order.status = "FILLED" if order.filled == order.quantity else "PARTIALLY_FILLED"
        row = {
            "leg": leg.id,
            "symbol": _symbol(leg),
            "id": len(self._trades) + 1,
            "orderId": order.number,
            "side": fill.side.value.upper(),
            "price": _text(fill.price),
            "qty": _text(fill.quantity),
            "commission": _text(fill.fee.amount),
            "commissionAsset": fill.fee.asset,
            "time": fill.venue_time_ns // MILLISECOND,
            "maker": fill.liquidity is Liquidity.MAKER,
        }
        self._trades.append(row)
        self._report(order, "TRADE", fill.venue_time_ns, row)

    def _report(
        self, order: Order, kind: str, now_ns: int, trade: Mapping[str, Any] | None = None
    ) -> None:
        """An ``executionReport``; in the letters of the spot API for both."""
        order.updated_ns = now_ns
        time_ms = now_ns // MILLISECOND
        data = {
            "e": "executionReport", "E": time_ms, "s": _symbol(order.leg), "c": order.cloid,
            "S": order.side.value.upper(), "o": "LIMIT", "f": order.tif,
            "q": _text(order.quantity), "p": _text(order.price), "x": kind, "X": order.status,
            "i": order.number, "z": _text(order.filled), "T": time_ms,
        }  # fmt: skip
        if trade is not None:
            data |= {
                "t": trade["id"], "l": trade["qty"], "L": trade["price"], "m": trade["maker"],
                "n": trade["commission"], "N": trade["commissionAsset"],
            }  # fmt: skip
        self._send(USER, {"stream": f"{self._api_of[order.leg.id]}:user", "data": data})

    def _moved(self, flow: Cashflow) -> None:
        if flow.cause is CashCause.DEPOSIT:
            time_ms = flow.venue_time_ns // MILLISECOND
            row = {"coin": flow.money.asset, "amount": _text(flow.money.amount), "status": 1}
            self._deposits.append({**row, "txId": flow.cashflow_id, "insertTime": time_ms})
            self._account_update("DEPOSIT", flow.venue_time_ns)
        else:
            self._income("INSURANCE_CLEAR", flow, flow.money, flow.cashflow_id)

    def _income(self, kind: str, event: FundingPayment | Cashflow, money: Money, name: str) -> None:
        leg = self._leg_of[str(event.instrument)]
        self._incomes.append(
            {
                "symbol": _symbol(leg),
                "incomeType": kind,
                "income": _text(money.amount),
                "asset": money.asset,
                "time": event.received_ns // MILLISECOND,
                "tranId": name,
            }
        )
        self._account_update(kind, event.received_ns)

    def _published(self, event: FundingSettled) -> None:
        leg = self._leg_of[event.instrument]
        price = self.exchange._markets[event.instrument].hour_price
        self._rates.append(
            {
                "symbol": _symbol(leg),
                "fundingRate": _text(decimal_of(event.rate.per_interval)),
                "fundingTime": event.venue_time_ns // MILLISECOND,
                "markPrice": _text(decimal_of(price)) if price is not None else "",
            }
        )

    # --- streams -------------------------------------------------------------------------

    def opened(self, connection: int) -> None:
        """A stream hears nothing until it subscribes."""

    def closed(self, connection: int) -> None:
        for listeners in self._listeners.values():
            if connection in listeners:
                listeners.remove(connection)

    def drain(self) -> list[tuple[int, bytes]]:
        frames, self._outbox = self._outbox, []
        return frames

    def frame(self, connection: int, frame: bytes, now_ns: int) -> None:
        """SUBSCRIBE with the names of public streams, or the signed one to the account's."""
        self.advance(now_ns)
        number = None
        try:
            message = msgspec.json.decode(frame, type=Document)
            number, method = message.get("id"), message["method"]
            if method == USER:
                self._authorized(_Call("fapi", message["params"], now_ns))
                names = [USER]
            else:
                names = [str(name) for name in message["params"]]
            for name in names:
                listeners = self._listeners.setdefault(name, [])
                if connection not in listeners:
                    listeners.append(connection)
            answer: Document = {"result": None, "id": number}
        except (Refused, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            answer = {"error": {"code": 2, "msg": f"Invalid request: {error}"}, "id": number}
        self._outbox.append((connection, _encode(answer)))

    def _publish(self, instrument: str, kind: str, data: Document) -> None:
        leg = self._leg_of[instrument]
        name = stream_name(self._api_of[instrument], _symbol(leg), kind)
        self._send(name, {"stream": name, "data": data})

    def _account_update(self, why: str, now_ns: int) -> None:
        data = {"e": "ACCOUNT_UPDATE", "E": now_ns // MILLISECOND, "a": {"m": why}}
        self._send(USER, {"stream": "fapi:user", "data": data})

    def _send(self, name: str, message: Document) -> None:
        listeners = self._listeners.get(name)
        if listeners:
            frame = _encode(message)
            self._outbox += [(connection, frame) for connection in listeners]


def stream_name(api: str, symbol: str, kind: str) -> str:
    return f"{api}:{symbol.lower()}@{kind}"


def _symbol(leg: Instrument) -> str:
    return f"{leg.base}{leg.quote}"


def _text(number: Decimal) -> str:
    return format(number, "f")


def _refusal(refused: Refused) -> Reply:
    return Reply(refused.status, _encode({"code": refused.code, "msg": refused.text}))


def _worded(reason: str) -> Refused:
    for beginning, code, text in _REFUSALS:
        if reason.startswith(beginning):
            return Refused(code, text)
    raise AssertionError(f"Invariant: every refusal has its code here: {reason}")


def _row(order: Order) -> Document:
    return {
        "symbol": _symbol(order.leg),
        "orderId": order.number,
        "clientOrderId": order.cloid,
        "side": order.side.value.upper(),
        "status": order.status,
        "timeInForce": order.tif,
        "origQty": _text(order.quantity),
        "executedQty": _text(order.filled),
        "price": _text(order.price),
        "reduceOnly": order.reduce_only,
        "updateTime": order.updated_ns // MILLISECOND,
    }


def _since(rows: Sequence[Document], call: _Call, time: str) -> list[Document]:
    """A page: the first rows at or after ``startTime``."""
    since_ms = int(call.params.get("startTime", 0))
    return [row for row in rows if row[time] >= since_ms][:ROWS_MAX]


def _listed(leg: Instrument) -> Document:
    return {
        "symbol": _symbol(leg),
        "baseAsset": leg.base,
        "quoteAsset": leg.quote,
        "tickSize": _text(Decimal(1).scaleb(-leg.price_decimals)),
        "stepSize": _text(leg.lot),
        "minNotional": _text(leg.minimum_notional),
        "brackets": [
            {"notionalFloor": _text(tier.lower_bound), "initialLeverage": tier.max_leverage}
            for tier in leg.margin_tiers
        ],
    }


def _depth(book: Book) -> Document:
    return {
        "E": book.venue_time_ns // MILLISECOND,
        "b": [[repr(level.price), repr(level.size)] for level in book.bids[:5]],
        "a": [[repr(level.price), repr(level.size)] for level in book.asks[:5]],
    }


def _mark_price(leg: Instrument, context: PerpContext) -> Document:
    interval_ns = interval_hours(leg) * HOUR
    return {
        "e": "markPriceUpdate",
        "E": context.venue_time_ns // MILLISECOND,
        "s": _symbol(leg),
        "p": repr(context.mark),
        "i": repr(context.oracle),
        "r": _text(decimal_of(context.predicted.per_interval)),
        "T": (context.venue_time_ns // interval_ns + 1) * interval_ns // MILLISECOND,
        "h": interval_hours(leg),
    }
