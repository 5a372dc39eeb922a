"""The server, on virtual time: HTTP requests and socket frames in, answers and frames out.

No sockets and no clock: time comes in with each call, and frames wait until they are
drained. Faults of the road and of the venue's front are for whoever carries the bytes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from domain.instruments import Pair
from domain.market import FundingSettled, MarketInput, Reference
from domain.time import MILLISECOND, SECOND
from execution.ports import Reply
from execution.venues.hyperliquid.emulator import received, signing
from execution.venues.hyperliquid.emulator.actions import (
    Action,
    AgentSendAsset,
    AgentSetAbstraction,
    Cancels,
    CancelsByCloid,
    Envelope,
    decode_action,
)
from execution.venues.hyperliquid.emulator.agents import Agents
from execution.venues.hyperliquid.emulator.cashier import Cashier
from execution.venues.hyperliquid.emulator.desk import OK, Desk, Document, refused
from execution.venues.hyperliquid.emulator.info import (
    NOT_JSON,
    REQUESTS_AT_FIRST,
    Info,
    Unanswered,
    not_json,
    unprocessable,
)
from execution.venues.hyperliquid.emulator.listing import Listing
from execution.venues.hyperliquid.emulator.nonces import Nonces
from execution.venues.hyperliquid.emulator.orders import Orders
from execution.venues.hyperliquid.emulator.quotes import Quotes
from execution.venues.hyperliquid.emulator.received import Arrival, Received
from execution.venues.hyperliquid.emulator.records import Records
from execution.venues.hyperliquid.emulator.states import States
from execution.venues.hyperliquid.emulator.streams import Streams
from execution.venues.hyperliquid.emulator.teller import Teller
from execution.venues.hyperliquid.emulator.wallets import UNIFIED, Wallets
from execution.venues.simulated.exchange import Exchange

EXPIRED = "Action already expired"
NO_SIGNER = "Unable to recover signer."
OTHER_NONCE = "Nonce of the action and of the request differ."  # UNVERIFIED

_UNREADABLE = (KeyError, TypeError, ValueError, OverflowError, AttributeError, RecursionError)
"""What comes of an action that is none."""

_encode = msgspec.json.Encoder().encode


class _Typed(msgspec.Struct):
    type: str


class Emulator:
    """One account, its agents, and one market.

    What ``exchange`` did before is in the histories; orders placed before are not known.
    ``mode`` is the account's at the start: a standard one has its perps' money in ``PERP_WALLET``.
    ``agents``: address to the last millisecond it is valid, None for ever. ``history``:
    rates published before the start. ``mainnet`` says which network signatures are for.
    ``wall_ns`` turns the venue's time into its clients', where a market runs faster than
    their clocks: nonces, expiries and agents are judged by theirs.
    """

    def __init__(
        self,
        exchange: Exchange,
        pairs: Sequence[Pair],
        account: str,
        agents: Mapping[str, int | None],
        *,
        history: Iterable[FundingSettled] = (),
        mode: str = UNIFIED,
        mainnet: bool = False,
        wall_ns: Callable[[int], int] = lambda now_ns: now_ns,
    ) -> None:
        self.exchange = exchange
        self.received: list[Received] = []
        self._account = account.lower()
        self._agents = Agents(agents)
        self._mainnet = mainnet
        self._wall_ns = wall_ns
        self._listing = Listing(pairs)
        self._orders = Orders()
        self._records = Records(self._listing, exchange.rules, self._account)
        self._quotes = Quotes(
            self._listing, exchange.rules, lambda name: exchange.position(name).quantity
        )
        self._streams = Streams(self._listing)
        self._nonces: dict[str, Nonces] = {}
        self._next_request_ns = 0  # once the address has used its requests
        self._teller = Teller(
            exchange, self._listing, self._orders, self._records, self._quotes, self._streams,
            self._account,
        )  # fmt: skip
        self._tell = self._teller.tell
        self._desk = Desk(
            exchange, self._listing, self._orders, self._records, self._tell,
            self._teller.push_orders, self._quotes.mark,
        )  # fmt: skip
        self._wallets = Wallets(exchange, self._records, mode, self._teller.ledger_row)
        self._cashier = Cashier(self._account, self._agents, self._wallets)
        self._info = Info(
            exchange, self._listing, self._orders, self._records, self._quotes,
            self._account, self._agents, self._wallets,
        )  # fmt: skip
        self._states = States(self._info, self._streams)
        for settled in history:
            self._records.rate(settled)
        self._tell(exchange.private_since(0))

    @property
    def post_only(self) -> bool:
        """The mode of the minutes after a network upgrade; may be set."""
        return self._desk.post_only

    @post_only.setter
    def post_only(self, on: bool) -> None:
        self._desk.post_only = on

    @property
    def addresses(self) -> frozenset[str]:
        """The account's own, and its agents'."""
        return frozenset((self._account, *self._agents.addresses))

    @property
    def resting(self) -> frozenset[str]:
        """The instruments in which an order is open."""
        return self.exchange.resting

    def signer(self, body: bytes) -> str | None:
        """Whose signature a request to ``/exchange`` has; None where it has none."""
        try:
            envelope = _read(body)
            if msgspec.json.decode(envelope.action, type=_Typed).type in signing.USER_SIGNED:
                action = msgspec.json.decode(envelope.action, type=dict[str, Any])
                digest = signing.user_digest(action, mainnet=self._mainnet)
            else:
                digest, _ = self._l1(envelope)
            return signing.recover(digest, envelope.signature)
        except (Unanswered, *_UNREADABLE):
            return None

    # --- time and market -----------------------------------------------------------------

    def play(self, event: MarketInput) -> None:
        """The market moves: it is published, and orders fill, positions are liquidated."""
        if event.venue_time_ns >= self._desk.cancel_at_ns:
            self.advance(event.venue_time_ns)
        self._teller.market(event, self.exchange.on_market(event))
        if type(event) is Reference:
            self._desk.mark_moved(event.instrument, event.mark, event.venue_time_ns)

    def advance(self, now_ns: int) -> None:
        """Time passes: funding of every whole hour, the scheduled cancel."""
        if now_ns >= self._desk.cancel_at_ns:
            self._desk.cancel_as_scheduled()
        if events := self.exchange.advance(now_ns):
            self._tell(events)
        self._states.tell(now_ns)

    def auto_deleverage(
        self, instrument: str, fraction: Decimal, price: Decimal, now_ns: int
    ) -> None:
        """``Exchange.auto_deleverage``, told to whoever listens."""
        self._tell(self.exchange.auto_deleverage(instrument, fraction, price, now_ns))

    # --- HTTP ----------------------------------------------------------------------------

    def request(self, path: str, body: bytes, now_ns: int) -> Reply:
        """One POST of JSON. Other methods and types of content never come this far."""
        self.advance(now_ns)
        try:
            if path == "/info":
                return Reply(200, _encode(self._info.answer(body, now_ns)[1]))
            if path == "/exchange":
                return Reply(200, _encode(self._act(body, now_ns)))
        except Unanswered as instead:
            return Reply(instead.status, instead.body.encode())
        return Reply(404, b"")

    # --- actions -------------------------------------------------------------------------

    def _act(self, body: bytes, now_ns: int) -> Document:
        self._info.actions += 1
        arrival = received.arrival(body, now_ns)
        try:
            document = self._judge(body, arrival, now_ns)
        except Unanswered as instead:
            self.received.append(arrival.failed(instead.body))
            raise
        self.received.append(arrival.answered(document))
        return document

    def _judge(self, body: bytes, arrival: Arrival, now_ns: int) -> Document:
        """Signature, expiry and nonce, in this order; then the nonce is used up, whatever
        becomes of the action. An expired action leaves its nonce unused (both UNVERIFIED)."""
        envelope = _read(body)
        arrival.nonce, arrival.expires_ms = envelope.nonce, envelope.expires_after
        try:
            arrival.action = msgspec.json.decode(envelope.action, type=_Typed).type
            if arrival.action in signing.USER_SIGNED:
                return self._user_signed(envelope, arrival, now_ns)
            digest, action = self._l1(envelope)
        except (ValueError, RecursionError) as error:
            raise unprocessable() from error
        arrival.orders = received.orders_in(action, self._listing)
        arrival.cloids = received.cloids_in(action, self._orders)
        arrival.signer = signer = signing.recover(digest, envelope.signature)
        reason = self._refusal(envelope, signer, now_ns) or self._exhausted(action, now_ns)
        if reason is not None:
            self._info.actions += 4 * (reason == EXPIRED)
            return refused(reason)
        assert signer is not None, "Invariant: an action without a signer was refused"
        self._nonces[signer].use(envelope.nonce)
        if isinstance(action, AgentSetAbstraction):
            return _answer(self._cashier.set_mode(action.abstraction, now_ns))
        if isinstance(action, AgentSendAsset):
            if action.nonce != envelope.nonce:
                return refused(OTHER_NONCE)
            return _answer(self._cashier.send(msgspec.to_builtins(action), now_ns))
        return self._desk.act(action, now_ns)

    def _l1(self, envelope: Envelope) -> tuple[bytes, Action]:
        """What is signed of it, and the action."""
        action = decode_action(envelope.action)
        digest = signing.l1_digest(
            msgspec.msgpack.encode(action),
            envelope.nonce,
            envelope.vault_address,
            envelope.expires_after,
            mainnet=self._mainnet,
        )
        return digest, action

    def _refusal(self, envelope: Envelope, signer: str | None, now_ns: int) -> str | None:
        now_ms = self._wall_ns(now_ns) // MILLISECOND
        if signer is None:
            return NO_SIGNER
        if not self._may_sign(signer, now_ms):
            return f"User or API Wallet {signer} does not exist."
        if envelope.vault_address is not None:
            return f"Vault not registered: {envelope.vault_address}"
        if envelope.expires_after is not None and now_ms > envelope.expires_after:
            return EXPIRED
        nonces = self._nonces.setdefault(signer, Nonces())
        return nonces.refusal(envelope.nonce, now_ms)

    def _exhausted(self, action: Action, now_ns: int) -> str | None:
        """An address has ten thousand requests, and one more for each dollar that it traded; then
        one every ten seconds. A batch counts for each of its parts, and cancels have more."""
        parts = len(getattr(action, "orders", ())) + len(getattr(action, "cancels", ()))
        self._info.actions += max(parts - 1, 0)
        used, traded = self._info.actions, self._records.volume
        cap = REQUESTS_AT_FIRST + int(traded)
        if isinstance(action, Cancels | CancelsByCloid):
            cap = min(cap + 100_000, cap * 2)
        if used <= cap or now_ns >= self._next_request_ns:
            self._next_request_ns = now_ns + 10 * SECOND
            return None
        return (
            f"Too many cumulative requests sent ({used} > {cap}) for cumulative volume traded "
            f"${traded:.2f}. Place taker orders to free up 1 request per USDC traded."
        )

    def _may_sign(self, signer: str, now_ms: int) -> bool:
        return signer == self._account or self._agents.may_sign(signer, now_ms)

    def _user_signed(self, envelope: Envelope, arrival: Arrival, now_ns: int) -> Document:
        """Nobody but the account itself may, and nothing of it expires."""
        action = msgspec.json.decode(envelope.action, type=dict[str, Any])
        try:
            digest = signing.user_digest(action, mainnet=self._mainnet)
        except _UNREADABLE as error:
            raise unprocessable() from error
        arrival.signer = signer = signing.recover(digest, envelope.signature)
        if signer is None:
            return refused(NO_SIGNER)
        if signer != self._account:
            return refused(f"Must deposit before performing actions. User: {signer}")
        if action.get("nonce", action.get("time")) != envelope.nonce:
            return refused(OTHER_NONCE)
        wall_ns = self._wall_ns(now_ns)
        nonces = self._nonces.setdefault(signer, Nonces())
        reason = nonces.refusal(envelope.nonce, wall_ns // MILLISECOND)
        if reason is not None:
            return refused(reason)
        nonces.use(envelope.nonce)
        return _answer(self._cashier.act(action, now_ns, wall_ns))

    # --- sockets -------------------------------------------------------------------------

    def opened(self, connection: int) -> None:
        """A stream at ``/ws``; it hears nothing until it subscribes."""

    def closed(self, connection: int) -> None:
        self._streams.closed(connection)

    def drain(self) -> list[tuple[int, bytes]]:
        """Frames to deliver, in order, as (connection, frame)."""
        return self._streams.drain()

    def frame(self, connection: int, frame: bytes, now_ns: int) -> None:
        """One frame from a client: subscribe, unsubscribe, ping or post."""
        self.advance(now_ns)
        try:
            message = msgspec.json.decode(frame, type=dict[str, Any])
            understood = self._heard(connection, message, now_ns)
        except NOT_JSON:  # what could just be read may be nested too deep to be shown
            understood = False
        if not understood:
            shown = frame[:200].decode(errors="replace")
            reason = f"Error parsing JSON into valid websocket request: {shown}"
            self._streams.error(connection, reason)

    def _heard(self, connection: int, message: dict[str, Any], now_ns: int) -> bool:
        """Whether the message was one, and was answered."""
        method, subscription = message.get("method"), message.get("subscription")
        if method == "ping":
            self._streams.pong(connection)
        elif method == "subscribe" and isinstance(subscription, dict):
            if (key := self._streams.subscribe(connection, subscription)) is not None:
                self._teller.snapshot(connection, key)
                self._states.snapshot(connection, key, now_ns)
        elif method == "unsubscribe" and isinstance(subscription, dict):
            self._streams.unsubscribe(connection, subscription)
        else:
            return method == "post" and self._post(connection, message, now_ns)
        return True

    def _post(self, connection: int, message: dict[str, Any], now_ns: int) -> bool:
        """Whether the post was answered: a malformed one has no number to answer to."""
        number, request = message.get("id"), message.get("request")
        if not isinstance(number, int) or not isinstance(request, dict):
            return False
        kind, body = request.get("type"), _encode(request.get("payload"))
        if kind not in ("info", "action"):
            return False
        response: Document
        try:
            if kind == "info":
                name, data = self._info.answer(body, now_ns)
                response = {"type": "info", "payload": {"type": name, "data": data}}
            else:
                response = {"type": "action", "payload": self._act(body, now_ns)}
        except Unanswered as instead:
            response = {"type": "error", "payload": f"{instead.status} {instead.body}"}
        self._streams.send((connection,), "post", {"id": number, "response": response})
        return True


def _answer(refusal: str | None) -> Document:
    return OK if refusal is None else refused(refusal)


def _read(body: bytes) -> Envelope:
    try:
        return msgspec.json.decode(body, type=Envelope)
    except msgspec.ValidationError as error:
        raise unprocessable() from error
    except NOT_JSON as error:
        raise not_json() from error
