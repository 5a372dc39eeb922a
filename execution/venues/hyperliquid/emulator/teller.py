"""Tells whoever listens: the market, and what the exchange says of the account."""

from collections.abc import Sequence

from domain.account import CashCause, Cashflow, FundingPayment, MarginMode
from domain.market import Book, FundingSettled, MarketInput, PerpContext, Trade
from domain.money import ZERO, exact
from domain.orders import (
    CancelReason,
    Fill,
    FillCause,
    Liquidity,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
)
from domain.time import MILLISECOND, SECOND
from execution.venues.hyperliquid.emulator.listing import Listing, is_perp
from execution.venues.hyperliquid.emulator.numbers import text
from execution.venues.hyperliquid.emulator.orders import Order, Orders, cancellation
from execution.venues.hyperliquid.emulator.quotes import Quotes
from execution.venues.hyperliquid.emulator.records import Records, Row, funding_told
from execution.venues.hyperliquid.emulator.streams import FAST_BOOK, Key, Streams
from execution.venues.simulated.exchange import Exchange
from execution.venues.simulated.state import VenueEvent

_SNAPSHOT_ROWS = 2_000
_MIDS_EVERY_NS = 5 * SECOND
_FAST_DEPTH = 5
_LEDGER = "userNonFundingLedgerUpdates"
_LIQUIDATOR = f"0x{'4' * 40}"


class Teller:
    """Remembers and pushes. Nothing is made that nobody listens for."""

    def __init__(
        self,
        exchange: Exchange,
        listing: Listing,
        orders: Orders,
        records: Records,
        quotes: Quotes,
        streams: Streams,
        account: str,
    ) -> None:
        self._exchange, self._listing, self._orders = exchange, listing, orders
        self._records, self._quotes, self._streams = records, quotes, streams
        self._account = account
        self._mids_due_ns = 0
        self._liquidations = 0

    # --- the market ----------------------------------------------------------------------

    def market(self, event: MarketInput, events: Sequence[VenueEvent]) -> None:
        """One input, and what came of it: mostly that it is published, and nothing else."""
        if type(event) is Trade and event.instrument in self._quotes.trades:
            self._publish_trade(event)
        first = events[0] if len(events) == 1 else None
        if type(first) is Book:
            self._publish_book(first)
        elif type(first) is PerpContext:
            self._publish_context(first)
        elif events:
            self.tell(events)
        if event.venue_time_ns >= self._mids_due_ns:
            self._mids_due_ns = event.venue_time_ns + _MIDS_EVERY_NS
            if listeners := self._streams.listeners("allMids", ""):
                self._streams.send(listeners, "allMids", {"mids": self._quotes.all_mids()})
            for key, heard in self._streams.of(("candle",)):
                self._candle(heard, key)

    def _candle(self, connections: Sequence[int], key: Key) -> None:
        coin, _, interval = key[1].partition(",")
        candle = self._quotes.candles[self._listing.by_coin[coin].id].latest(interval)
        if candle is not None:
            self._streams.send(connections, "candle", candle)

    def _publish_book(self, book: Book) -> None:
        coin = self._listing.coin_of.get(book.instrument)
        if coin is None:
            return
        before = self._quotes.take(book)
        listeners = self._streams.listeners
        if heard := listeners("l2Book", coin):
            self._market_snapshot(heard, "l2Book", coin)
        if heard := listeners(FAST_BOOK, coin):
            self._market_snapshot(heard, FAST_BOOK, coin)
        if (heard := listeners("bbo", coin)) and (
            before is None or before.bids[:1] != book.bids[:1] or before.asks[:1] != book.asks[:1]
        ):
            self._market_snapshot(heard, "bbo", coin)
        if book.instrument not in self._records.funded and (
            heard := listeners("activeAssetCtx", coin)
        ):
            self._market_snapshot(heard, "activeAssetCtx", coin)

    def _publish_context(self, context: PerpContext) -> None:
        coin = self._listing.coin_of.get(context.instrument)
        if coin is None:
            return
        self._quotes.contexts[context.instrument] = context
        if heard := self._streams.listeners("activeAssetCtx", coin):
            self._market_snapshot(heard, "activeAssetCtx", coin)

    def _publish_trade(self, trade: Trade) -> None:
        self._quotes.printed(trade)
        coin = self._listing.coin_of[trade.instrument]
        if heard := self._streams.listeners("trades", coin):
            self._streams.send(heard, "trades", [self._quotes.trade(trade)])

    # --- snapshots -----------------------------------------------------------------------

    def snapshot(self, connection: int, key: Key) -> None:
        """What a new subscription begins with; nothing where the venue sends nothing."""
        kind, of = key
        mine = of == self._account
        if kind == "userFills":
            newest = self._records.fills.rows[: -_SNAPSHOT_ROWS - 1 : -1] if mine else []
            data = {"isSnapshot": True, "user": of, "fills": newest}
            self._streams.send((connection,), kind, data)
        elif kind == "userFundings":
            rows = self._records.fundings.rows[-_SNAPSHOT_ROWS:] if mine else []
            fundings = [funding_told(row) for row in rows]
            data = {"isSnapshot": True, "user": of, "fundings": fundings}
            self._streams.send((connection,), kind, data)
        elif kind == _LEDGER:
            rows = self._records.ledger.rows[-_SNAPSHOT_ROWS:] if mine else []
            data = {"isSnapshot": True, "user": of, "nonFundingLedgerUpdates": rows}
            self._streams.send((connection,), kind, data)
        elif kind == "candle":
            self._candle((connection,), key)
        elif kind == "allMids":
            self._streams.send((connection,), kind, {"mids": self._quotes.all_mids()})
        elif kind in {"l2Book", FAST_BOOK, "bbo", "trades", "activeAssetCtx"}:
            self._market_snapshot((connection,), kind, of)

    def _market_snapshot(self, connections: Sequence[int], kind: str, coin: str) -> None:
        quotes, instrument = self._quotes, self._listing.by_coin[coin]
        if kind == "trades":
            past = [quotes.trade(trade) for trade in quotes.trades[instrument.id]]
            self._streams.send(connections, kind, past)
        elif kind == "activeAssetCtx" and is_perp(instrument):
            if instrument.id in quotes.contexts:
                data = {"coin": coin, "ctx": quotes.perp_context(instrument)}
                self._streams.send(connections, kind, data)
        elif (book := quotes.books.get(instrument.id)) is None:
            return
        elif kind == "bbo":
            self._streams.send(connections, kind, quotes.bbo(book))
        elif kind == "activeAssetCtx":
            data = {"coin": coin, "ctx": quotes.spot_context(instrument)}
            self._streams.send(connections, "activeSpotAssetCtx", data)
        else:
            depth = (_FAST_DEPTH,) if kind == FAST_BOOK else ()
            self._streams.send(connections, "l2Book", quotes.book(book, *depth))

    # --- the account ---------------------------------------------------------------------

    @exact()
    def tell(self, events: Sequence[VenueEvent], canceled_as: str | None = None) -> None:
        """Remember what the exchange says, and push it: of an order, what became of it last."""
        changed: dict[int, Order] = {}
        fills: list[Row] = []
        fundings: list[Row] = []
        lost: list[Row] = []
        for event in events:
            if isinstance(event, Book):
                self._publish_book(event)
            elif isinstance(event, PerpContext):
                self._publish_context(event)
            elif isinstance(event, FundingSettled):
                self._records.rate(event)
            elif isinstance(event, FundingPayment):
                fundings.append(self._records.payment(event))
            elif isinstance(event, Cashflow):
                self.ledger_row(self._records.cashflow(event))
            elif isinstance(event, Fill):
                order = self._orders.key(event.cloid)
                fills.append(self._filled(event, order))
                if order is not None and not order.is_open:
                    changed[order.oid] = order
            elif isinstance(event, OrderAccepted | OrderRejected | OrderCanceled):
                order = self._order_changed(event, canceled_as)
                changed[order.oid] = order
                if isinstance(event, OrderCanceled) and _uncalled_for(event, canceled_as):
                    lost.append({"coin": order.coin, "oid": order.oid})
        self.push_orders(list(changed.values()))
        self._push_fills(fills, events)
        self._push_fundings(fundings)
        if lost:
            self._user_event({"nonUserCancel": lost})

    def _filled(self, fill: Fill, order: Order | None) -> Row:
        if order is not None:
            time_ms = fill.venue_time_ns // MILLISECOND
            self._orders.filled(order, fill.price, fill.quantity, time_ms)
        if fill.liquidity is Liquidity.TAKER:  # what met an order at rest was a print
            price, quantity = float(fill.price), float(fill.quantity)
            self._quotes.traded(fill.instrument, price, quantity, fill.venue_time_ns)
        mark = self._quotes.mark(fill.instrument) or "0.0"
        mode = MarginMode.ISOLATED
        if fill.cause is not FillCause.ORDER:
            mode = self._exchange.position(fill.instrument).mode
        return self._records.fill(fill, order, mark, mode)

    def _order_changed(
        self, event: OrderAccepted | OrderRejected | OrderCanceled, canceled_as: str | None
    ) -> Order:
        order = self._orders.key(event.cloid)
        assert order is not None, "Invariant: every order came through here"
        time_ms = event.venue_time_ns // MILLISECOND
        if isinstance(event, OrderAccepted):
            self._orders.accepted(order, int(event.venue_order_id), time_ms)
        elif isinstance(event, OrderRejected):
            self._orders.rejected(order, event.reason, time_ms)
        else:
            status = canceled_as or cancellation(order, event.reason)
            self._orders.ended(order, status, time_ms)
        return order

    def push_orders(self, changed: Sequence[Order]) -> None:
        for order in changed:
            order.shown = order.remaining
        listeners = self._streams.listeners("orderUpdates", self._account)
        if changed and listeners is not None:
            updates = [order.update() for order in changed]
            self._streams.send(listeners, "orderUpdates", updates)

    def _push_fills(self, fills: list[Row], events: Sequence[VenueEvent]) -> None:
        if not fills:
            return
        if listeners := self._streams.listeners("userFills", self._account):
            data = {"user": self._account, "fills": fills}
            self._streams.send(listeners, "userFills", data)
        self._user_event({"fills": fills})
        if any(isinstance(e, Fill) and e.cause is FillCause.LIQUIDATION for e in events):
            self._liquidations += 1
            self._user_event({"liquidation": self._liquidation(events)})

    def _liquidation(self, events: Sequence[VenueEvent]) -> Row:
        notional = lost = ZERO
        for event in events:
            if isinstance(event, Fill) and event.cause is FillCause.LIQUIDATION:
                notional += event.quantity * event.price
            elif isinstance(event, Cashflow) and event.cause is CashCause.LIQUIDATION_PENALTY:
                lost -= event.money.amount
        return {
            "lid": self._liquidations,
            "liquidator": _LIQUIDATOR,
            "liquidated_user": self._account,
            "liquidated_ntl_pos": text(notional),
            "liquidated_account_value": text(lost),
        }

    def _push_fundings(self, fundings: list[Row]) -> None:
        if not fundings:
            return
        if listeners := self._streams.listeners("userFundings", self._account):
            data = {"user": self._account, "fundings": fundings}
            self._streams.send(listeners, "userFundings", data)
        for funding in fundings:
            self._user_event({"funding": funding})

    def ledger_row(self, row: Row) -> None:
        data = {"user": self._account, "nonFundingLedgerUpdates": [row]}
        self._streams.publish(_LEDGER, self._account, _LEDGER, data)

    def _user_event(self, data: Row) -> None:
        self._streams.publish("userEvents", self._account, "user", data)


def _uncalled_for(event: OrderCanceled, canceled_as: str | None) -> bool:
    """Whether the venue canceled by itself."""
    asked = (CancelReason.REQUESTED, CancelReason.IOC)
    return canceled_as is not None or event.reason not in asked
