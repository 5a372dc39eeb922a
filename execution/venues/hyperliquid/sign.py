"""Signatures of Hyperliquid's L1 actions, and the numbers that make each of them single-use.

What is signed is the hash of the action's msgpack, nonce and expiry; the order of the keys is
part of it. The hash becomes the ``connectionId`` of a phantom agent, which is signed by EIP-712
under a domain that never changes, so that all but two hashes are computed once.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

import coincurve
import msgspec
from Crypto.Hash import keccak as _keccak

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

    __slots__ = ("_address", "_key", "_source")

    def __init__(self, key: bytes, is_mainnet: bool) -> None:  # noqa: FBT001 - the two networks
        self._key = coincurve.PrivateKey(key)
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
        """
        kind = action.get("type")
        allowed = ACTIONS.get(kind) if isinstance(kind, str) else None
        if allowed is None or not allowed.issuperset(action):
            raise ActionRefused(f"{kind!r} with {', '.join(map(str, action))} is not signed here")
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
