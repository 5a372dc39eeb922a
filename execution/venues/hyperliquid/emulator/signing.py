"""Who signed an action: the venue's two signing schemes, and recovery of the address.

An L1 action is hashed as MessagePack in the venue's own order of keys, so a client that
orders them otherwise has signed something else. A user-signed action is the EIP-712
message itself.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from coincurve import PublicKey
from Crypto.Hash import keccak as _keccak

_ZERO_ADDRESS = bytes(32)
_DOMAIN = (
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)  # fmt: skip
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

_SEND_ASSET = (
    "string destination,string sourceDex,string destinationDex,string token,string amount,"
    "string fromSubAccount,uint64 nonce"
)
USER_SIGNED: dict[str, tuple[str, str]] = {
    "usdSend": ("UsdSend", "string destination,string amount,uint64 time"),
    "spotSend": ("SpotSend", "string destination,string token,string amount,uint64 time"),
    "withdraw3": ("Withdraw", "string destination,string amount,uint64 time"),
    "usdClassTransfer": ("UsdClassTransfer", "string amount,bool toPerp,uint64 nonce"),
    "sendAsset": ("SendAsset", _SEND_ASSET),
    "approveAgent": ("ApproveAgent", "address agentAddress,string agentName,uint64 nonce"),
    "approveBuilderFee": (
        "ApproveBuilderFee", "string maxFeeRate,address builder,uint64 nonce"
    ),
    "userSetAbstraction": (
        "UserSetAbstraction", "address user,string abstraction,uint64 nonce"
    ),
    "userDexAbstraction": ("UserDexAbstraction", "address user,bool enabled,uint64 nonce"),
    "tokenDelegate": (
        "TokenDelegate", "address validator,uint64 wei,bool isUndelegate,uint64 nonce"
    ),
}  # fmt: skip
"""Type of action: its EIP-712 name, and its fields after ``hyperliquidChain``."""


class Signature(msgspec.Struct, frozen=True):
    """Hex integers, whose leading zeros a client may drop; ``v`` is 27 or 28."""

    r: str
    s: str
    v: int


def keccak(data: bytes) -> bytes:
    return _keccak.new(digest_bits=256, data=data).digest()


def l1_digest(
    action: bytes, nonce: int, vault: str | None, expires_ms: int | None, *, mainnet: bool
) -> bytes:
    """What is signed of an L1 action, ``action`` being its MessagePack.

    Raises:
        ValueError: when ``vault`` is no address.
    """
    data = action + nonce.to_bytes(8, "big")
    data += b"\0" if vault is None else b"\1" + bytes.fromhex(vault.removeprefix("0x"))
    if expires_ms is not None:
        data += b"\0" + expires_ms.to_bytes(8, "big")
    source = keccak(b"a" if mainnet else b"b")
    return _typed(_EXCHANGE, keccak(_AGENT + source + keccak(data)))


def user_digest(action: Mapping[str, Any], *, mainnet: bool) -> bytes:
    """What is signed of a user-signed action.

    Raises:
        KeyError, TypeError, ValueError, OverflowError, AttributeError: when a field is missing
            or is not of its type.
    """
    name, fields = USER_SIGNED[action["type"]]
    signature = f"HyperliquidTransaction:{name}(string hyperliquidChain,{fields})"
    encoded = keccak(signature.encode())
    encoded += keccak(b"Mainnet" if mainnet else b"Testnet")
    for field in fields.split(","):
        kind, _, key = field.partition(" ")
        encoded += _word(kind, action.get(key, "") if key == "agentName" else action[key])
    chain = int(action["signatureChainId"], 16)
    return _typed(_separator("HyperliquidSignTransaction", chain), keccak(encoded))


def recover(digest: bytes, signature: Signature) -> str | None:
    """The signing address, lower-case; None where there is none."""
    try:
        r, s, odd = int(signature.r, 16), int(signature.s, 16), signature.v - 27
        if not (0 < r < _ORDER and 0 < s < _ORDER and odd in (0, 1)):
            return None
        compact = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([odd])
        key = PublicKey.from_signature_and_message(compact, digest, hasher=None)
    except ValueError:  # no hex, or no point on the curve
        return None
    return f"0x{keccak(key.format(compressed=False)[1:])[-20:].hex()}"


def _word(kind: str, value: Any) -> bytes:
    if kind == "string":
        return keccak(value.encode())
    if kind == "address":
        return bytes(12) + bytes.fromhex(value.removeprefix("0x"))
    return int(value).to_bytes(32, "big")


def _separator(name: str, chain: int) -> bytes:
    return keccak(
        keccak(_DOMAIN.encode())
        + keccak(name.encode())
        + keccak(b"1")
        + chain.to_bytes(32, "big")
        + _ZERO_ADDRESS
    )


def _typed(separator: bytes, message: bytes) -> bytes:
    return keccak(b"\x19\x01" + separator + message)


_EXCHANGE = _separator("Exchange", 1337)
_AGENT = keccak(b"Agent(string source,bytes32 connectionId)")
