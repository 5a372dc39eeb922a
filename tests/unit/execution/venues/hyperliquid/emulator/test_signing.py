"""Who signed: the official SDK signs, the emulator recovers."""

from typing import Any

import eth_account
import msgspec
import pytest
from hyperliquid.utils import signing as sdk
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.venues.hyperliquid.emulator.actions import decode_action
from execution.venues.hyperliquid.emulator.signing import (
    Signature,
    l1_digest,
    recover,
    user_digest,
)

WALLET = eth_account.Account.from_key(f"0x{'44' * 32}")
ADDRESS = str(WALLET.address).lower()
ORDER = {"a": 1, "b": True, "p": "100.5", "s": "0.01", "r": False, "t": {"limit": {"tif": "Gtc"}}}
ACTIONS: list[dict[str, Any]] = [
    {"type": "order", "orders": [ORDER], "grouping": "na"},
    {"type": "order", "orders": [ORDER | {"c": f"0x{'ab' * 16}"}] * 2, "grouping": "na"},
    {"type": "order", "orders": [ORDER], "grouping": "na", "builder": {"b": "0x1", "f": 10}},
    {
        "type": "order",
        "orders": [
            ORDER | {"t": {"trigger": {"isMarket": True, "triggerPx": "103", "tpsl": "sl"}}}
        ],
        "grouping": "normalTpsl",
    },
    {"type": "cancel", "cancels": [{"a": 1, "o": 77}]},
    {"type": "cancelByCloid", "cancels": [{"asset": 1, "cloid": f"0x{'ab' * 16}"}]},
    {"type": "batchModify", "modifies": [{"oid": 77, "order": ORDER}]},
    {"type": "batchModify", "modifies": [{"oid": f"0x{'ab' * 16}", "order": ORDER}]},
    {"type": "updateLeverage", "asset": 1, "isCross": False, "leverage": 3},
    {"type": "updateIsolatedMargin", "asset": 1, "isBuy": True, "ntli": -1_500_000},
    {"type": "scheduleCancel"},
    {"type": "scheduleCancel", "time": 1_700_000_000_000},
    {"type": "noop"},
]


def signer_of(
    action: dict[str, Any],
    signature: dict[str, Any],
    nonce: int,
    vault: str | None,
    expires_ms: int | None,
    *,
    mainnet: bool = False,
) -> str | None:
    """As the venue finds it: from what it understood of the action."""
    understood = decode_action(msgspec.Raw(msgspec.json.encode(action)))
    packed = msgspec.msgpack.encode(understood)
    digest = l1_digest(packed, nonce, vault, expires_ms, mainnet=mainnet)
    return recover(digest, msgspec.convert(signature, Signature))


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action["type"])
@pytest.mark.parametrize("vault", [None, f"0x{'77' * 20}"])
@pytest.mark.parametrize("expires_ms", [None, 1_700_000_000_500])
@pytest.mark.parametrize("mainnet", [True, False])
def test_the_signer_of_every_action_is_recovered(
    action: dict[str, Any], vault: str | None, expires_ms: int | None, mainnet: bool
) -> None:
    signature = sdk.sign_l1_action(WALLET, action, vault, 1_700_000_000_000, expires_ms, mainnet)

    found = signer_of(action, signature, 1_700_000_000_000, vault, expires_ms, mainnet=mainnet)

    assert found == ADDRESS


@settings(max_examples=30)
@given(nonce=st.integers(min_value=0, max_value=2**63 - 1))
def test_a_signature_whose_leading_zeros_were_dropped_is_read(nonce: int) -> None:
    signature = sdk.sign_l1_action(WALLET, {"type": "noop"}, None, nonce, None, False)
    padded = {k: f"0x{int(signature[k], 16):064x}" for k in ("r", "s")} | {"v": signature["v"]}
    short = {k: hex(int(signature[k], 16)) for k in ("r", "s")} | {"v": signature["v"]}

    for form in (padded, short):
        assert signer_of({"type": "noop"}, form, nonce, None, None) == ADDRESS


@pytest.mark.parametrize(
    "changed",
    [
        {"nonce": 2},
        {"vault": f"0x{'77' * 20}"},
        {"expires_ms": 9},
        {"mainnet": True},
        {"action": {"type": "scheduleCancel"}},
    ],
)
def test_whatever_was_changed_after_signing_gives_another_signer(changed: dict[str, Any]) -> None:
    signature = sdk.sign_l1_action(WALLET, {"type": "noop"}, None, 1, None, False)
    arrived: dict[str, Any] = {
        "action": {"type": "noop"}, "nonce": 1, "vault": None, "expires_ms": None
    }  # fmt: skip

    assert signer_of(signature=signature, **arrived) == ADDRESS
    assert signer_of(signature=signature, **arrived | changed) != ADDRESS


@pytest.mark.parametrize(
    "careless",
    [
        {"type": "cancel", "cancels": [{"o": 77, "a": 1}]},  # keys in another order
        {"type": "cancel", "cancels": [{"a": 1, "o": 77}], "f": False},  # a flag that says nothing
        {"type": "order", "orders": [ORDER | {"p": "100.50"}], "grouping": "na"},  # a zero too many
        {"grouping": "na", "type": "order", "orders": [ORDER]},
    ],
)
def test_an_action_signed_in_another_form_than_the_venues_has_another_signer(
    careless: dict[str, Any],
) -> None:
    signature = sdk.sign_l1_action(WALLET, careless, None, 1, None, False)

    assert signer_of(careless, signature, 1, None, None) != ADDRESS


@pytest.mark.parametrize(
    "signature",
    [
        Signature("0x0", "0x1", 27),
        Signature("0x1", f"0x{'f' * 64}", 27),
        Signature("0x1", "0x1", 30),
        Signature("no hex", "0x1", 27),
        Signature(f"0x{5:064x}", "0x1", 27),  # no point on the curve has this r
    ],
)
def test_what_is_no_signature_has_no_signer(signature: Signature) -> None:
    assert recover(b"\7" * 32, signature) is None


USER_SIGNED: list[tuple[Any, dict[str, Any]]] = [
    (
        sdk.sign_usd_transfer_action,
        {"type": "usdSend", "destination": "0xab", "amount": "1", "time": 5},
    ),
    (
        sdk.sign_spot_transfer_action,
        {"type": "spotSend", "destination": "0xab", "token": "USDC:0x0", "amount": "1", "time": 5},
    ),
    (
        sdk.sign_withdraw_from_bridge_action,
        {"type": "withdraw3", "destination": "0xab", "amount": "1", "time": 5},
    ),
    (
        sdk.sign_usd_class_transfer_action,
        {"type": "usdClassTransfer", "amount": "1", "toPerp": True, "nonce": 5},
    ),
    (
        sdk.sign_send_asset_action,
        {
            "type": "sendAsset",
            "destination": "0xab",
            "sourceDex": "",
            "destinationDex": "x",
            "token": "USDC",
            "amount": "1",
            "fromSubAccount": "",
            "nonce": 5,
        },
    ),
    (
        sdk.sign_agent,
        {"type": "approveAgent", "agentAddress": ADDRESS, "agentName": "bot", "nonce": 5},
    ),
    (
        sdk.sign_approve_builder_fee,
        {"type": "approveBuilderFee", "maxFeeRate": "1%", "builder": ADDRESS, "nonce": 5},
    ),
    (
        sdk.sign_user_set_abstraction_action,
        {"type": "userSetAbstraction", "user": ADDRESS, "abstraction": "disabled", "nonce": 5},
    ),
    (
        sdk.sign_user_dex_abstraction_action,
        {"type": "userDexAbstraction", "user": ADDRESS, "enabled": True, "nonce": 5},
    ),
    (
        sdk.sign_token_delegate_action,
        {
            "type": "tokenDelegate",
            "validator": ADDRESS,
            "wei": 7,
            "isUndelegate": False,
            "nonce": 5,
        },
    ),
]


@pytest.mark.parametrize(
    ("sign", "action"), USER_SIGNED, ids=[action["type"] for _, action in USER_SIGNED]
)
@pytest.mark.parametrize("mainnet", [True, False])
def test_the_signer_of_a_user_signed_action_is_recovered(
    sign: Any, action: dict[str, Any], mainnet: bool
) -> None:
    sent = dict(action)
    signature = sign(WALLET, sent, mainnet)

    digest = user_digest(sent, mainnet=mainnet)

    assert recover(digest, msgspec.convert(signature, Signature)) == ADDRESS
