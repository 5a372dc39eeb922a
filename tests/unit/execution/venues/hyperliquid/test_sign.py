"""The same signatures as the official client's, and a key that stays where it is."""

import copy
import json
import pickle
from decimal import Decimal
from typing import Any

import pytest
from eth_account import Account
from hyperliquid.utils.signing import action_hash as official_hash
from hyperliquid.utils.signing import sign_l1_action
from hypothesis import given
from hypothesis import strategies as st

from domain.orders import OrderRequest, Side, TimeInForce
from execution.venues.hyperliquid import actions
from execution.venues.hyperliquid.sign import ActionRefused, AgentSigner, Nonces, action_hash
from tests.unit.execution.venues.hyperliquid.venue import CLOID, KEY, NOW, order

WALLET = Account.from_key(KEY)
ACTIONS = [
    actions.order_action(order(), 2),
    actions.order_action(order(tif=TimeInForce.POST_ONLY, instrument="HYPE/USDC"), 10107),
    actions.cancel_action(CLOID, 10107),
    actions.leverage_action(3, 2),
    actions.margin_action(Decimal("-12.345678"), 2),
    actions.NOOP,
    {"type": "cancel", "cancels": [{"a": 2, "o": 77}]},
    {"type": "scheduleCancel", "time": 1_760_000_405_000},
    {"type": "scheduleCancel"},
]


def official(action: Any, nonce: int, expires_ms: int | None, *, is_mainnet: bool) -> Any:
    return sign_l1_action(WALLET, action, None, nonce, expires_ms, is_mainnet)


@pytest.mark.parametrize("is_mainnet", [True, False])
@pytest.mark.parametrize("expires_ms", [None, 1_760_000_405_000])
@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action["type"])
def test_a_signature_is_the_official_clients(
    action: Any, expires_ms: int | None, is_mainnet: bool
) -> None:
    body = json.loads(AgentSigner(KEY, is_mainnet).sign(action, 1_760_000_400_000, expires_ms))

    assert action_hash(action, 5, expires_ms) == official_hash(action, None, 5, expires_ms)
    assert body == {
        "action": action,
        "nonce": 1_760_000_400_000,
        "signature": official(action, 1_760_000_400_000, expires_ms, is_mainnet=is_mainnet),
        "vaultAddress": None,
        "expiresAfter": expires_ms,
    }


def test_two_hundred_different_orders_are_signed_as_the_official_client_signs_them() -> None:
    signer, short = AgentSigner(KEY, is_mainnet=True), 0
    for number in range(1, 201):
        request = OrderRequest(
            f"0x{number:032x}",
            "hyperliquid:HYPE-PERP",
            Side.BUY if number % 2 else Side.SELL,
            Decimal(number * 7919).scaleb(-(number % 9)),
            Decimal(number * 104729).scaleb(-(number % 7)),
            list(TimeInForce)[number % 3],
            reduce_only=number % 5 == 0,
            expires_ns=NOW,
        )
        action = actions.order_action(request, number)
        signature = json.loads(signer.sign(action, 10**12 + number, None))["signature"]
        assert signature == official(action, 10**12 + number, None, is_mainnet=True)
        short += len(signature["r"]) < 66 or len(signature["s"]) < 66

    assert short, "none of them had a leading zero to leave out"


def test_keys_go_onto_the_wire_in_the_order_in_which_they_are_hashed() -> None:
    body = AgentSigner(KEY, is_mainnet=True).sign(actions.order_action(order(), 2), 1, 2)

    assert body.startswith(
        b'{"action":{"type":"order","orders":[{"a":2,"b":false,"p":"45.5","s":"2","r":false,'
        b'"t":{"limit":{"tif":"Ioc"}},"c":"0x11'
    )
    assert body.endswith(b',"vaultAddress":null,"expiresAfter":2}')


@pytest.mark.parametrize(
    "action",
    [
        {"type": "usdSend", "destination": CLOID, "amount": "1"},
        {"type": "withdraw3"},
        {"type": "approveAgent"},
        {"type": "approveBuilderFee"},
        {"type": "setReferrer", "code": "X"},
        {"type": "usdClassTransfer"},
        {"type": "agentSendAsset"},
        {"type": "vaultTransfer"},
        {"type": "batchModify", "modifies": []},
        {"type": ["order"]},
        {},
        actions.order_action(order(), 2) | {"builder": {"b": "0x1", "f": 10}},
        actions.NOOP | {"amount": "1"},
    ],
    ids=str,
)
def test_what_is_not_on_the_list_is_not_signed(action: Any) -> None:
    with pytest.raises(ActionRefused):
        AgentSigner(KEY, is_mainnet=True).sign(action, 1, None)


def test_the_key_is_not_shown_and_not_copied_out() -> None:
    signer = AgentSigner(bytes.fromhex("5e" * 32), is_mainnet=True)

    assert signer.address == Account.from_key("5e" * 32).address.lower()
    for text in (repr(signer), str(signer), f"{signer}"):
        assert signer.address in text
        assert "5e5e" not in text
    assert not hasattr(signer, "__dict__")
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            copied(signer)


@given(st.integers(0, 2**40), st.lists(st.integers(0, 2**41), max_size=200))
def test_a_nonce_is_never_used_twice_under_any_clock(last: int, clock: list[int]) -> None:
    nonces = Nonces(last)
    drawn = [nonces.next(now_ms) for now_ms in clock]

    assert drawn == sorted(set(drawn))
    assert all(nonce > last for nonce in drawn)
    assert all(nonce >= now_ms for nonce, now_ms in zip(drawn, clock, strict=True))
