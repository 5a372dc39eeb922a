"""Hyperliquid as the engine sees it: effects in, events out.

An action is signed by ``prepare``, journaled by the caller, and sent once by ``submit``;
nothing here retries it. Questions are retried only where no one else would ask again. What
has no trustworthy answer gives no event, or says that the outcome is unknown.

Fills carry the venue's order id and no client id. One of an order that we have not heard of
waits until the venue has said whose it is.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from domain.account import AccountReport, Cashflow, FundingPayment, MarginMoved, SettingRefused
from domain.market import FundingSettled
from domain.orders import (
    CancelRejected,
    Fill,
    FillCause,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    SendFailed,
)
from domain.time import HOUR, MILLISECOND, MINUTE, SECOND, next_hour
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
from execution.events import Event, Reconnected, Trouble
from execution.facts import RequestSigned
from execution.ports import Clock, Reply, Signer, Transport, TransportFailed
from execution.venues.hyperliquid import actions, answers, private, public, wire
from execution.venues.hyperliquid.answers import Settled
from execution.venues.hyperliquid.info import Info
from execution.venues.hyperliquid.sign import BeyondCap, Nonces
from execution.venues.hyperliquid.start import address
from execution.venues.hyperliquid.stream import Feed
from execution.venues.hyperliquid.symbols import Listing, Market
from execution.venues.hyperliquid.timing import Timing
from execution.venues.hyperliquid.wire import (
    BadMessage,
    BookFrame,
    Frame,
    Subscription,
    nanoseconds,
)

STEADY_READS_MAX = 5
"""So often the account is read again because it changed meanwhile, before the query gives up."""

_PATHS = ("info", "exchange")
_SILENCES = 3
"""So many times longer than usual without a look at the account, and much may have happened."""

LOOKS_AT_ONCE = 3
"""So many at the account follow each other at their shortest distance."""

_NEARLY_AN_HOUR_MS = (HOUR - MINUTE) // MILLISECOND

REQUESTS_KEPT = 2_000
"""Of the address's, for cancels and closes, and for what is sent between two looks at them."""

_UNTRIED = "portfolio margin has not been tried: `fundarb account mode unified`"

Untold = tuple[str, int, int]
"""Of a coin, from when to when (ms)."""

Signed = PlaceOrder | CancelOrder | SetLeverage | MoveMargin
_NO_ANSWER = (TransportFailed, BadMessage)


class HyperliquidGateway:
    """One account, one agent's key, one wire.

    ``emit`` takes what happened, in order. ``known_orders`` maps venue order ids to client
    ids, as far as the journal has them. ``last_nonce`` is the highest ever signed with this
    key. ``untold`` published rates are told while it runs, in that order. ``progress``
    has, by stream (``public``, ``private``) and path (``info``, ``exchange``), when the last good
    message came (ns, UTC), and when ``account`` was last read as of a later time of the venue's.
    """

    def __init__(
        self,
        transport: Transport,
        signer: Signer,
        listing: Listing,
        account: str,
        clock: Clock,
        emit: Callable[[Event], None],
        *,
        last_nonce: int,
        known_orders: Mapping[str, str],
        chance: Callable[[], float],
        timing: Timing,
        untold: Sequence[Untold] = (),
    ) -> None:
        self._transport = transport
        self._signer = signer
        self._listing = listing
        self._account = address(account)
        self._clock = clock
        self._emit = emit
        self._timing = timing
        self._untold = untold
        self._due_ns: dict[str, int] = {}  # by coin, the hour whose rate is to be told next
        self._nonces = Nonces(last_nonce)
        self._cloids: dict[str, str | None] = dict(known_orders)  # None: that order has none
        self._account_ms = 0  # the venue's time of the newest look at the account
        self._ahead_ns = 0  # at least so far the venue's clock, by which actions expire, is ahead
        self._denied_ns: dict[int, int] = {}  # since when the venue has not known an order
        self._parked: dict[str, list[wire.FillRow]] = {}  # fills of orders nobody has told us of
        self._bodies: dict[str, list[bytes]] = {}  # prepared, not yet submitted, oldest first
        self._unsigned: dict[str, str] = {}  # orders that the signer would not sign, and why
        self._queued: list[tuple[VenueEffect, bytes]] = []  # submitted before their task ran
        self._tasks: asyncio.TaskGroup | None = None
        self._news = asyncio.Event()
        self._stirred = 0  # so often something was sent, asked or heard of orders
        self._still: int | None = None  # by when it showed no open order
        self._heard = asyncio.Event()  # the private stream has listened
        self._asked_deaf = False  # and of what was before the account has been asked already
        self._info, self._patient = (
            Info(
                transport,
                self._account,
                timing.read_timeout,
                lambda: self._progressed("info"),
                attempts,
            )
            for attempts in (1, timing.attempts)
        )
        self._public = Feed(
            transport,
            [Subscription(public.BOOKS, coin=market.coin) for market in listing.markets]
            + [Subscription(public.CONTEXTS, coin=market.coin) for market in listing.perps],
            self._on_public,
            lambda: None,
            chance,
            timing,
        )
        self._private = Feed(
            transport,
            [
                Subscription(kind, user=self._account)
                for kind in ("orderUpdates", "userFills", "userFundings", "userEvents")
            ]
            # An account is quiet for hours: this book is the proof that data still flows.
            + [Subscription(public.BOOKS, coin=market.coin) for market in listing.perps[:1]],
            self._on_private,
            self._on_reconnected,
            chance,
            timing,
        )
        self.progress: dict[str, int] = {}
        self._silent = False  # told that the account was not read for long
        if listing.is_untried:
            emit(Trouble("account_mode", _UNTRIED, clock.now_ns()))

    @property
    def rejected(self) -> dict[str, int]:
        """Messages of each stream, and answers, that could not be believed, so far."""
        return {
            "public": self._public.rejected,
            "private": self._private.rejected,
            "answers": self._info.rejected + self._patient.rejected,
        }

    @property
    def disconnections(self) -> dict[str, int]:
        """Connections of each stream that ended, or were never made, so far."""
        return {"public": self._public.ended, "private": self._private.ended}

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What has to run for as long as the gateway is used, by name; each for ever."""
        return {
            "public": self._public.run(),
            "private": self._private.run(),
            "account": self._report_news(),
            "funding": self._publish_funding(),
            "history": self._tell_history(),
            "budget": self._watch_budget(),
            "requests": self._carry_out_all(),
        }

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

    # --- effects ---------------------------------------------------------------------------

    def prepare(self, effects: Sequence[VenueEffect]) -> tuple[RequestSigned, ...]:
        """Sign every action; a fence has its nonce already and is signed as it leaves. An order
        beyond the signer's caps is not signed, and is rejected when it is to be submitted.

        Raises:
            ValueError: when a number cannot be written exactly.
        """
        made = [self._signed(effect) for effect in effects if isinstance(effect, Signed)]
        return tuple(signed for signed in made if signed is not None)

    def submit(self, effects: Sequence[VenueEffect]) -> None:
        """Send what was prepared, ask what is asked; what has not begun waits for its task."""
        for effect in effects:
            if isinstance(effect, PlaceOrder) and effect.request.cloid in self._unsigned:
                cloid, now_ns = effect.request.cloid, self._clock.now_ns()
                self._emit(OrderRejected(cloid, self._unsigned.pop(cloid), now_ns, now_ns))
                continue
            body = self._bodies[_request_id(effect)].pop(0) if isinstance(effect, Signed) else b""
            if isinstance(effect, FenceOrder):
                # It may arrive at any time: used up late, the nonce is used up all the same.
                body = self._signer.sign(actions.NOOP, effect.nonce, None)
            if self._tasks is None:
                self._queued.append((effect, body))
            else:
                self._tasks.create_task(self._carry_out(effect, body))

    def _signed(self, effect: Signed) -> RequestSigned | None:
        now_ns = self._clock.now_ns()
        if isinstance(effect, PlaceOrder):
            expires_ns = effect.request.expires_ns
        else:
            expires_ns = now_ns + self._ahead_ns + int(self._timing.expiry * SECOND)
        nonce, request_id = self._nonces.next(now_ns // MILLISECOND), _request_id(effect)
        action = _action(effect, self._listing)
        try:
            body = self._signer.sign(action, nonce, expires_ns // MILLISECOND)
        except BeyondCap as refusal:
            self._unsigned[request_id] = str(refusal)
            return None
        self._bodies.setdefault(request_id, []).append(body)
        return RequestSigned(request_id, nonce, body.decode(), now_ns)

    async def _carry_out(self, effect: VenueEffect, body: bytes) -> None:
        match effect:
            case PlaceOrder():
                await self._place(effect, body)
            case CancelOrder():
                await self._cancel(effect, body)
            case FenceOrder():
                await self._fence(effect, body)
            case SetLeverage() | MoveMargin():
                await self._change(effect, body)
            case QueryOrder():
                await self._query_order(effect)
            case QueryAccount():
                await self._query_account(effect)

    async def _place(self, effect: PlaceOrder, body: bytes) -> None:
        try:
            reply = await self._exchange(body)
        except TransportFailed as error:
            self._emit(SendFailed(effect.request.cloid, str(error), self._clock.now_ns()))
            return
        for event in answers.order_answer(effect.request, reply, self._clock.now_ns()):
            self._emit(event)
            if isinstance(event, OrderAccepted):
                self._learn(event.venue_order_id, event.cloid)
        self._news.set()

    async def _cancel(self, effect: CancelOrder, body: bytes) -> None:
        """How much was filled before it is not in the answer: the order is asked."""
        try:
            settled, text = answers.cancel_answer(await self._exchange(body))
            if settled is Settled.DONE:
                found = await self._info.order_status(effect.cloid)
                self._learn_status(found)
                news = self._order_news(found.order)
                if isinstance(news, OrderCanceled) and news.cloid == effect.cloid:
                    self._emit(news)
        except _NO_ANSWER:
            return  # the engine, which has heard nothing, asks for the order
        if settled is Settled.REFUSED:
            now_ns = self._clock.now_ns()
            self._emit(CancelRejected(effect.cloid, text, now_ns, now_ns))
        self._news.set()

    async def _fence(self, effect: FenceOrder, body: bytes) -> None:
        try:
            reply = await self._exchange(body)
        except TransportFailed:
            return
        fenced = answers.fence_answer(effect.cloid, reply, self._clock.now_ns())
        if fenced is not None:
            self._emit(fenced)

    async def _change(self, effect: SetLeverage | MoveMargin, body: bytes) -> None:
        """Leverage counts as set when it has been read back."""
        name = effect.instrument
        try:
            settled, text = answers.setting_answer(await self._exchange(body))
            now_ns = self._clock.now_ns()
            if settled is Settled.REFUSED:
                self._emit(SettingRefused(effect.request_id, name, text, now_ns, now_ns))
            elif settled is Settled.DONE and isinstance(effect, MoveMargin):
                self._emit(MarginMoved(effect.request_id, name, effect.amount, now_ns, now_ns))
            elif settled is Settled.DONE:
                data = await self._info.asset_data(self._listing.by_id[name].coin)
                self._emit(private.leverage_confirmed(name, data, self._clock.now_ns()))
        except _NO_ANSWER:
            return
        self._news.set()

    async def _query_order(self, effect: QueryOrder) -> None:
        self._stirred += 1
        asked_ns = self._clock.now_ns()
        try:
            found = await self._info.order_status(effect.cloid)
            now_ns = self._clock.now_ns()
            report = private.order_report(effect.cloid, found, asked_ns, now_ns)
        except _NO_ANSWER:
            return
        self._learn_status(found)
        self._emit(report)

    async def _exchange(self, body: bytes) -> Reply:
        self._stirred += 1
        try:
            reply = await self._transport.request("/exchange", body, self._timing.request_timeout)
        finally:
            self._stirred += 1  # a look meanwhile may have been too early
        if reply.status == 200:
            self._progressed("exchange")
        return reply

    # --- the account -----------------------------------------------------------------------

    async def _query_account(self, effect: QueryAccount) -> None:
        """History and state that belong together: the state must not have moved meanwhile."""
        await self._heard_soon()
        before: AccountReport | None = None
        for _ in range(STEADY_READS_MAX):
            try:
                before = before or await self._account_report(None)
                history = await self._history(effect.since_ns // MILLISECOND)
                after = await self._account_report(effect.request_id)
            except _NO_ANSWER:
                return
            if private.standing(before) == private.standing(after):
                for event in history:
                    self._emit(event)
                self._emit(after)
                return
            before = after

    async def _heard_soon(self) -> None:
        """What was asked for before the stream first listened has to be asked for again when it
        does: it is waited for a moment."""
        if not self._heard.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timing.retry):
                    await self._heard.wait()
            self._asked_deaf |= not self._heard.is_set()

    async def _account_report(self, request_id: str | None) -> AccountReport:
        """Open orders are not asked for while none can rest: of the three they weigh most."""
        stirred = self._stirred
        orders: list[wire.OpenOrder] = []
        if request_id is None and self._still == stirred:
            perp, spot = await self._patient.funds()
        else:
            perp, spot, orders = await self._patient.states()
            self._still = stirred if not orders else None
        for order in orders:
            if order.cloid is not None:
                self._learn(str(order.oid), order.cloid)
        if perp.time > self._account_ms:  # an answer whose own time stands still is old news
            self._account_ms = perp.time
            self._progressed("account")
        now_ns = self._clock.now_ns()
        self._ahead_ns = max(perp.time * MILLISECOND - now_ns, 0)
        return private.account_report(
            self._listing, perp, spot, orders, self._cloids, request_id, now_ns
        )

    async def _history(self, since_ms: int) -> list[Fill | FundingPayment | Cashflow]:
        """Everything since then, by time, every fill with its order's client id."""
        rows, fundings, ledger = await asyncio.gather(
            self._patient.fills(since_ms),
            self._patient.fundings(since_ms),
            self._patient.ledger(since_ms),
        )
        for row in rows:
            if not self._is_attributed(row):
                self._learn_status(await self._patient.order_status(row.oid), of=row.oid)
        now_ns = self._clock.now_ns()
        events: list[Fill | FundingPayment | Cashflow] = [self._fill(row) for row in rows]
        events += [
            private.funding_payment(self._listing, row.delta, row.time, now_ns) for row in fundings
        ]
        for update in ledger:
            events += private.cashflows(self._listing, update, self._account, now_ns)
        return sorted(events, key=lambda event: event.venue_time_ns)

    async def _report_news(self) -> None:
        """The account: after private news, once for all that came together, and every so often.

        A frame that was lost leaves no gap to be seen; a position that is not as booked does.
        A few looks follow each other soon; all that there is to see is on the way after those.
        """
        now, timing = asyncio.get_running_loop().time, self._timing
        due = now() + timing.account_silence
        free_at = now()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._news.wait()
            self._news.clear()
            try:
                self._emit(await self._account_report(None))
            except _NO_ANSWER:
                self._news.set()
            due = now() + timing.account_pause + timing.account_silence
            free_at = max(free_at, now() - LOOKS_AT_ONCE * timing.account_spacing)
            free_at += timing.account_spacing
            await asyncio.sleep(max(timing.account_pause, free_at - now()))

    # --- whose fill ------------------------------------------------------------------------

    def _is_attributed(self, row: wire.FillRow) -> bool:
        """Whether it is known which order of whom it belongs to; forced ones belong to none."""
        if row.cloid is not None:
            self._learn(str(row.oid), row.cloid)
        forced = private.fill_cause(row, self._account) is not FillCause.ORDER
        return forced or str(row.oid) in self._cloids

    def _fill(self, row: wire.FillRow) -> Fill:
        cloid = self._cloids.get(str(row.oid))
        return private.fill(self._listing, row, self._account, cloid, self._clock.now_ns())

    def _take_fill(self, row: wire.FillRow) -> None:
        """Pass it on, or have it wait for an answer about its order."""
        attributed = self._is_attributed(row)
        fill = self._fill(row)  # BadMessage now rather than when the answer is there
        if attributed:
            self._emit(fill)
            return
        oid = str(row.oid)
        self._parked.setdefault(oid, []).append(row)
        if len(self._parked[oid]) == 1:
            if self._tasks is None:  # its task has yet to begin
                raise BadMessage(f"order {oid} cannot be asked for yet")
            self._tasks.create_task(self._ask_whose(row.oid))

    async def _ask_whose(self, oid: int) -> None:
        """Until the venue says, or somebody else has told us."""
        while str(oid) in self._parked:
            try:
                self._learn_status(await self._info.order_status(oid), of=oid)
            except _NO_ANSWER:
                await asyncio.sleep(self._timing.retry)

    def _learn_status(self, found: wire.OrderStatus, of: int | None = None) -> None:
        """Take an order's ids from an answer.

        Raises:
            BadMessage: when it was to be about ``of`` and is not.
        """
        order = found.order.order if found.order is not None else None
        if of is not None and found.status == "unknownOid" and self._is_nobodys(of):
            self._learn(str(of), None)
            return
        if of is not None and (order is None or order.oid != of):
            raise BadMessage(f"an answer about another order than {of}")
        if order is not None:
            self._learn(str(order.oid), order.cloid)

    def _is_nobodys(self, oid: int) -> bool:
        """Whether the venue has denied this order for so long that it is not just late to know it.

        Its fills are then not ours, or the account's history would never be complete again.
        """
        now_ns = self._clock.now_ns()
        since_ns = self._denied_ns.setdefault(oid, now_ns)
        return now_ns - since_ns >= int(self._timing.denial * SECOND)

    def _learn(self, oid: str, cloid: str | None) -> None:
        if cloid is not None or oid not in self._cloids:
            self._cloids[oid] = cloid
        for row in self._parked.pop(oid, ()):
            self._emit(self._fill(row))

    # --- streams ---------------------------------------------------------------------------

    def _on_public(self, frame: Frame | BookFrame) -> None:
        """One bad message degrades its instrument, whose data grows old; the rest goes on."""
        try:
            event = public.public_event(self._listing, frame, self._clock.now_ns())
        except BadMessage:
            self._public.rejected += 1
            return
        self._progressed("public")
        if event is not None:
            self._emit(event)

    def _on_private(self, frame: Frame | BookFrame) -> None:
        """One bad message ends the connection: what it was to tell has to be asked for."""
        if isinstance(frame, BookFrame):  # the pulse
            self._progressed("private")
            return
        self._stirred += 1
        match frame.channel:
            case "orderUpdates":
                for update in wire.decode(frame.data, list[wire.OrderUpdate]):
                    self._take_update(update)
            case "userFills":
                self._take_fills(wire.decode(frame.data, wire.UserFills))
            case "userFundings":
                self._take_fundings(wire.decode(frame.data, wire.UserFundings))
            case "user":
                wire.decode(frame.data, wire.UserEvent)
                self._news.set()  # its fills and funding have streams of their own
            case _:
                pass
        self._progressed("private")

    def _take_update(self, update: wire.OrderUpdate) -> None:
        news = self._order_news(update)
        if news is not None:
            self._emit(news)
            self._learn(str(update.order.oid), news.cloid)
        self._news.set()

    def _order_news(self, update: wire.OrderUpdate | None) -> private.OrderNews | None:
        now_ns = self._clock.now_ns()
        return private.order_news(update, now_ns) if update is not None else None

    def _take_fills(self, message: wire.UserFills) -> None:
        """A snapshot is history, from before our time too: of it only our orders' fills count.

        The others are found by the account query that follows every new connection.
        """
        for row in message.fills:
            if not message.is_snapshot or str(row.oid) in self._cloids:
                self._take_fill(row)
        if not message.is_snapshot:
            self._news.set()

    def _take_fundings(self, message: wire.UserFundings) -> None:
        if message.is_snapshot:
            return
        now_ns = self._clock.now_ns()
        for row in message.fundings:
            self._emit(private.funding_payment(self._listing, row, row.time, now_ns))
        self._news.set()

    def _on_reconnected(self) -> None:
        self._stirred += 1
        first = not self._heard.is_set()
        self._heard.set()
        if not first or self._asked_deaf:
            self._emit(Reconnected("private", self._clock.now_ns()))

    def _progressed(self, what: str) -> None:
        now_ns = self._clock.now_ns()
        answered_ns = max(self.progress.get(path, 0) for path in _PATHS)
        self.progress[what] = now_ns
        read_ns = self.progress.get("account", now_ns)
        most_ns = int(_SILENCES * self._timing.account_silence * SECOND)
        silent = now_ns - read_ns > most_ns
        # Market data alone may have come meanwhile: only now can anything be asked, and sent.
        back = what in _PATHS and now_ns - answered_ns > most_ns
        if silent and (back or not self._silent):  # before what it says is acted on
            self._emit(Reconnected("account", now_ns))
        self._silent = silent

    # --- the address's budget ---------------------------------------------------------------

    async def _watch_budget(self) -> None:
        """An address may send as many requests as it has traded dollars, and some to begin with.

        Before they run out nothing is entered any more: the rest is for cancels and closes.
        """
        while True:
            await asyncio.sleep(self._timing.budget)
            with contextlib.suppress(*_NO_ANSWER):
                told = await self._info.rate_limit()
                left = told.n_requests_cap + told.n_requests_surplus - told.n_requests_used
                if left < REQUESTS_KEPT:
                    detail = f"{left} requests left to the address, {REQUESTS_KEPT} are kept"
                    self._emit(Trouble("request_budget", detail, self._clock.now_ns()))

    # --- published funding -----------------------------------------------------------------

    async def _publish_funding(self) -> None:
        """The rate of every whole hour, as soon as the venue has published it.

        Asked for from the last one on, so that an outage leaves no hole; the hour that has
        begun when we start is among them, unless it is told as history.
        """
        since_ns, later = self._clock.now_ns() // HOUR * HOUR, {coin for coin, *_ in self._untold}
        for perp in self._listing.perps:
            self._due_ns[perp.coin] = since_ns + HOUR * (perp.coin in later)
        retry = self._timing.funding_retry
        while True:
            now_ns = self._clock.now_ns()
            for coin, due_ns in self._due_ns.items():
                if due_ns <= now_ns:
                    self._due_ns[coin] = await self._publish(coin, due_ns)
            first_ns = min(self._due_ns.values(), default=next_hour(now_ns))
            wait = (first_ns - self._clock.now_ns()) / SECOND
            # What is late for a minute may be late for an hour: it is asked for less and less.
            retry = min(2 * retry, 60.0) if wait <= 0 else self._timing.funding_retry
            # Not to the hour in one sleep: the clock may step meanwhile.
            await asyncio.sleep(min(max(wait, retry), 60.0))

    async def _tell_history(self) -> None:
        """Rates of the past: of a perp all of a time at once, a page at a time.

        Trading has begun: what is left of the start's minute is for that, and for another start.
        """
        await asyncio.sleep(self._timing.history_after)
        known: set[str] = set()
        for coin, since_ms, until_ms in self._untold:
            told: list[FundingSettled] = []
            next_ms: int | None = since_ms
            while next_ms is not None:
                with contextlib.suppress(*_NO_ANSWER):
                    page = await self._info.funding_page(coin, next_ms)
                    told += [
                        public.funding_settled(self._listing, row, nanoseconds(row.time))
                        for row in page
                    ]
                    last_ms = page[-1].time if page else until_ms
                    # Rates are hourly: none is missing where no whole hour is left.
                    next_ms = last_ms + 1 if last_ms + _NEARLY_AN_HOUR_MS < until_ms else None
                # What is most needed comes as soon as there is room for it, what is old by and by.
                retry, pause = self._timing.retry, self._timing.history_pause
                await asyncio.sleep(pause if coin in known else retry)
            for event in told:
                self._emit(event)
            if coin not in known and told:  # an hour may have been late to be published
                due_ns = next_hour(told[-1].venue_time_ns + HOUR // 2)
                self._due_ns[coin] = min(self._due_ns[coin], due_ns)
            known.add(coin)
        await asyncio.Event().wait()

    async def _publish(self, coin: str, due_ns: int) -> int:
        """Emit what there is of ``coin`` since ``due_ns``; returns the hour that is due next."""
        now_ns = self._clock.now_ns()
        try:
            rows = await self._info.funding_history(
                coin, due_ns // MILLISECOND, now_ns // MILLISECOND
            )
            now_ns = self._clock.now_ns()
            settled = [public.funding_settled(self._listing, row, now_ns) for row in rows]
        except _NO_ANSWER:
            return due_ns
        for event in settled:
            self._emit(event)
            due_ns = next_hour(event.venue_time_ns + HOUR // 2)
        return due_ns


def _request_id(effect: Signed) -> str:
    match effect:
        case PlaceOrder():
            return effect.request.cloid
        case CancelOrder():
            return f"cancel-{effect.cloid}"
        case SetLeverage() | MoveMargin():
            return effect.request_id


def _action(effect: Signed, listing: Listing) -> dict[str, Any]:
    match effect:
        case PlaceOrder(request):
            return actions.order_action(request, _market(listing, request.instrument).asset)
        case CancelOrder():
            market = _market(listing, effect.instrument)
            return actions.cancel_action(effect.cloid, market.asset)
        case SetLeverage():
            market = _market(listing, effect.instrument)
            return actions.leverage_action(effect.leverage, market.asset)
        case MoveMargin():
            market = _market(listing, effect.instrument)
            return actions.margin_action(effect.amount, market.asset)


def _market(listing: Listing, name: str) -> Market:
    return listing.by_id[name]
