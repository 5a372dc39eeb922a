"""The bot's side of the wire: a gateway whose every question is answered by heart."""

from decimal import Decimal
from typing import Any

import msgspec

from domain.market import Book
from execution.events import Event
from execution.ports import Reply, TransportFailed
from execution.venues.hyperliquid.gateway import HyperliquidGateway
from execution.venues.hyperliquid.sign import AgentSigner
from execution.venues.hyperliquid.timing import Timing
from tests.fuzz.emulated import COIN, NOW, RESTING, answers, frames, listing
from tests.unit.execution.venues.hyperliquid.emulator.floor import ACCOUNT
from tests.unit.execution.venues.hyperliquid.venue import KEY, FakeClock, FakeStream

PERP = f"hyperliquid:{COIN}-PERP"
WORDS = (
    "open", "filled", "canceled", "rejected", "triggered", "marginCanceled", "tickRejected",
    "iocCancelRejected", "scheduledCancel", "unknownOid", "order", "waitingForFill", "A", "B",
    "isolated", "cross", "deposit", "withdraw", "send", "spotTransfer", "liquidation",
    "accountActivationGas", "rewardsClaim", "internalTransfer", "Auto-Deleveraging",
    COIN, "@0", "USDC", ACCOUNT, RESTING,
)  # fmt: skip


def framed(channel: str, data: bytes) -> bytes:
    return b'{"channel":"%s","data":%s}' % (channel.encode(), data)


KNOWN = {str(oid): RESTING for oid in range(1, 9)}
FRAMES = [framed(channel, data) for channel, told in frames().items() for data in told]
NEWS = [frame for frame in FRAMES if b"subscriptionResponse" not in frame]
SIGNER = AgentSigner(KEY, is_mainnet=False)
# Nothing is waited for here: what does not come at once does not come.
AT_ONCE = Timing(
    attempts=1,
    backoff_first=1e-6,
    backoff_last=1e-6,
    retry=1e-6,
    funding_retry=1e-6,
    account_pause=1e-6,
)


def holds(event: Event) -> None:
    """Fails where a journal could not take ``event``, or would give something else back."""
    for name in event.__struct_fields__:
        if name.endswith("_ns"):
            assert 0 <= getattr(event, name) < 1 << 63, event
    if isinstance(event, Book):  # no fact: its levels have the venue's names
        return
    body = msgspec.json.encode(event)
    assert len(body) < 100_000
    assert msgspec.json.decode(body, type=type(event)) == event
    for number in numbers(event):
        assert number.is_finite()
        assert abs(number.adjusted()) <= 100


def numbers(value: Any) -> list[Decimal]:
    if isinstance(value, Decimal):
        return [value]
    if isinstance(value, msgspec.Struct):
        value = [getattr(value, name) for name in value.__struct_fields__]
    return [n for part in value for n in numbers(part)] if isinstance(value, list | tuple) else []


class Recorder:
    """A transport that gives every question the same answer, and pages only once."""

    def __init__(self, told: dict[str, Reply], exchange: Reply | None = None) -> None:
        self._told, self._exchange = told, exchange
        self._asked: dict[str, int] = {}

    async def request(self, path: str, body: bytes, timeout_seconds: float) -> Reply:
        if path == "/exchange":
            assert self._exchange is not None
            return self._exchange
        kind = msgspec.json.decode(body)["type"]
        self._asked[kind] = self._asked.get(kind, 0) + 1
        assert self._asked[kind] < 50, f"{kind} is asked for without end"
        return self._told[kind]

    async def connect(self, path: str, timeout_seconds: float) -> FakeStream:
        raise TransportFailed("no streams here")


def told(**instead: Reply) -> dict[str, Reply]:
    return {kind: Reply(200, body) for kind, body in answers().items()} | instead


def gateway(
    transport: Any, events: list[Event] | None = None, known: dict[str, str] | None = None
) -> HyperliquidGateway:
    clock = FakeClock()
    clock.ns = NOW
    return HyperliquidGateway(
        transport,
        SIGNER,
        listing(),
        ACCOUNT,
        clock,
        ([] if events is None else events).append,
        last_nonce=0,
        known_orders=known or {},
        chance=lambda: 0.5,
        timing=AT_ONCE,
    )
