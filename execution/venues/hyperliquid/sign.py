"""Signatures of Hyperliquid's L1 actions, and the numbers that make each of them single-use.

What is signed is the hash of the action's msgpack, nonce and expiry; the order of the keys is
part of it. The hash becomes the ``connectionId`` of a phantom agent, which is signed by EIP-712
under a domain that never changes, so that all but two hashes are computed once.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, NoReturn

import coincurve
import msgspec
from Crypto.Hash import keccak as _keccak

from domain.money import ZERO, exact
from domain.time import HOUR, MILLISECOND
from execution.venues.hyperliquid.symbols import SPOT_ASSETS

ACTIONS: dict[str, frozenset[str]] = {
    "order": frozenset({"type", "orders", "grouping"}),
    "cancel": frozenset({"type", "cancels"}),
    "cancelByCloid": frozenset({"type", "cancels"}),
    "scheduleCancel": frozenset({"type", "time"}),
    "noop": frozenset({"type"}),
    "updateLeverage": frozenset({"type", "asset", "isCross", "leverage"}),
    "updateIsolatedMargin": frozenset({"type", "asset", "isBuy", "ntli"}),
}
"""What may be signed, and the keys it may have: no transfer, no withdrawal, no builder's fee."""


class ActionRefused(ValueError):
    """The action is none that this bot may take."""


class BeyondCap(ActionRefused):
    """The order is larger than any that this bot should want: it is a mistake."""


HOUR_MS = HOUR // MILLISECOND


class Caps:
    """The most that orders may be worth, at their limit, in quote: each one, and an hour's.

    A backstop against a mistake anywhere before the signature. What only reduces (reduce-only
    orders, and spot sales, which sell what is there) is not capped, and counts for nothing.

    Raises:
        ValueError: when a cap is not positive.
    """

    def __init__(self, order: Decimal, hour: Decimal) -> None:
        if order <= 0 or hour <= 0:
            raise ValueError("a cap on what is signed has to be positive")
        self._order, self._hour = order, hour
        self._signed: deque[tuple[int, Decimal]] = deque()  # nonce (ms), worth

    def pass_or_raise(self, orders: Iterable[Mapping[str, Any]], nonce: int) -> None:
        """Count these orders, or none of them.

        Raises:
            BeyondCap: one is worth more than an order may be, or the hour's would be too much.
        """
        worth = ZERO
        with exact():
            for order in orders:
                if order["r"] or (order["a"] >= SPOT_ASSETS and not order["b"]):
                    continue
                one = Decimal(order["p"]) * Decimal(order["s"])
                if one > self._order:
                    raise BeyondCap(f"not signed: an order of {one}, at most {self._order}")
                worth += one
            while self._signed and self._signed[0][0] <= nonce - HOUR_MS:
                self._signed.popleft()
            total = worth + sum((past for _, past in self._signed), ZERO)
        if worth and total > self._hour:
            raise BeyondCap(f"not signed: {total} of orders in an hour, at most {self._hour}")
        self._signed.append((nonce, worth))


def keccak(data: bytes) -> bytes:
    return _keccak.new(digest_bits=256, data=data).digest()


_DOMAIN = keccak(
    keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    + keccak(b"Exchange")
    + keccak(b"1")
    + (1337).to_bytes(32, "big")
    + bytes(32)
)
_AGENT = keccak(b"Agent(string source,bytes32 connectionId)")
_SOURCE = {True: keccak(b"a"), False: keccak(b"b")}

_pack = msgspec.msgpack.Encoder().encode


def action_hash(action: Mapping[str, Any], nonce: int, expires_ms: int | None) -> bytes:
    """What an L1 action, its nonce and its expiry (ms, UTC) come to; no vault."""
    data = _pack(action) + nonce.to_bytes(8, "big") + b"\x00"
    if expires_ms is not None:
        data += b"\x00" + expires_ms.to_bytes(8, "big")
    return keccak(data)


class AgentSigner:
    """Signs what is in ``ACTIONS`` with an agent's key. The key is never shown nor copied out."""

    __slots__ = ("_address", "_caps", "_key", "_source")

    def __init__(self, key: bytes, *, is_mainnet: bool, caps: Caps | None = None) -> None:
        self._key, self._caps = coincurve.PrivateKey(key), caps
        self._source = _SOURCE[is_mainnet]
        public = self._key.public_key.format(compressed=False)[1:]
        self._address = f"0x{keccak(public)[12:].hex()}"

    @property
    def address(self) -> str:
        return self._address

    def sign(self, action: Mapping[str, Any], nonce: int, expires_ms: int | None) -> bytes:
        """The body for ``/exchange``: the same arguments give the same bytes.

        Raises:
            ActionRefused: the action, or one of its keys, is not on the list.
            BeyondCap: an order is larger than the caps allow.
        """
        kind = action.get("type")
        allowed = ACTIONS.get(kind) if isinstance(kind, str) else None
        if allowed is None or not allowed.issuperset(action):
            raise ActionRefused(f"{kind!r} with {', '.join(map(str, action))} is not signed here")
        if kind == "order" and self._caps is not None:
            self._caps.pass_or_raise(action["orders"], nonce)
        agent = keccak(_AGENT + self._source + action_hash(action, nonce, expires_ms))
        signed = self._key.sign_recoverable(keccak(b"\x19\x01" + _DOMAIN + agent), hasher=None)
        return msgspec.json.encode(
            {
                "action": action,
                "nonce": nonce,
                "signature": {
                    # As the official client writes them: numbers, hence no leading zeros.
                    "r": hex(int.from_bytes(signed[:32], "big")),
                    "s": hex(int.from_bytes(signed[32:64], "big")),
                    "v": 27 + signed[64],
                },
                "vaultAddress": None,
                "expiresAfter": expires_ms,
            }
        )

    def __repr__(self) -> str:
        return f"AgentSigner({self._address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer is not copied: its key stays where it is")


class Nonces:
    """One signer's nonces, in milliseconds: each is used once, whatever the clock does.

    ``last`` is the highest that was ever signed, by this process or an earlier one.
    """

    def __init__(self, last: int) -> None:
        self._last = last

    def next(self, now_ms: int) -> int:
        """
        >>> nonces = Nonces(1_000)
        >>> [nonces.next(now) for now in (1_005, 1_005, 900)]
        [1005, 1006, 1007]
        """
        self._last = max(now_ms, self._last + 1)
        return self._last
