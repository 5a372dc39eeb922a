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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.orders import OrderRequest, Side, TimeInForce
from execution.venues.hyperliquid import actions
from execution.venues.hyperliquid.sign import (
    HOUR_MS,
    ActionRefused,
    AgentSigner,
    BeyondCap,
    Caps,
    Nonces,
    action_hash,
)
from tests.unit.execution.venues.hyperliquid.venue import CLOID, KEY, NOW, order, stop

WALLET = Account.from_key(KEY)
ACTIONS = [
    actions.order_action(order(), 2),
    actions.order_action(order(tif=TimeInForce.POST_ONLY, instrument="HYPE/USDC"), 10107),
    actions.order_action(stop(), 2),
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
    signer = AgentSigner(KEY, is_mainnet=is_mainnet)
    body = json.loads(signer.sign(action, 1_760_000_400_000, expires_ms))

    assert action_hash(action, 5, expires_ms) == official_hash(action, None, 5, expires_ms)
    assert body == {
        "action": action,
        "nonce": 1_760_000_400_000,
        "signature": official(action, 1_760_000_400_000, expires_ms, is_mainnet=is_mainnet),
        "vaultAddress": None,
        "expiresAfter": expires_ms,
    }


names = st.integers(0, 16**32 - 1).map(lambda number: f"0x{number:032x}")
amounts = (
    st.integers(1, 10**12)
    .map(Decimal)
    .flatmap(lambda whole: st.integers(0, 8).map(lambda decimals: whole.scaleb(-decimals)))
)
assets = st.integers(0, 250) | st.integers(10_000, 10_400)
requests = st.builds(
    OrderRequest,
    cloid=names,
    instrument=st.just("hyperliquid:HYPE-PERP"),
    side=st.sampled_from(Side),
    quantity=amounts,
    price=amounts,
    time_in_force=st.sampled_from(TimeInForce),
    reduce_only=st.booleans(),
    expires_ns=st.just(NOW),
)
any_action = st.one_of(
    st.builds(actions.order_action, requests, assets),
    st.builds(actions.cancel_action, names, assets),
    st.builds(actions.leverage_action, st.integers(1, 50), assets),
    st.builds(
        actions.margin_action,
        st.integers(-(10**14), 10**14).map(lambda millionths: Decimal(millionths).scaleb(-6)),
        assets,
    ),
    st.just(actions.NOOP),
    st.just({"type": "scheduleCancel"}),
    st.builds(lambda time: {"type": "scheduleCancel", "time": time}, st.integers(0, 2**45)),
    st.builds(
        lambda asset, oid: {"type": "cancel", "cancels": [{"a": asset, "o": oid}]},
        assets,
        st.integers(0, 2**62),
    ),
)
moments = st.integers(0, 2**45)
signed_things = st.tuples(any_action, moments, st.none() | moments, st.booleans())


@pytest.mark.timeout(600)
def test_ten_thousand_random_actions_are_signed_as_the_official_client_signs_them() -> None:
    """Drawn by fifties: what is drawn costs more than what is signed."""
    signers = {network: AgentSigner(KEY, is_mainnet=network) for network in (True, False)}
    seen = 0

    @settings(
        max_examples=200,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(signed_things, min_size=50, max_size=50))
    def compare(batch: list[tuple[Any, int, int | None, bool]]) -> None:
        nonlocal seen
        for action, nonce, expires_ms, is_mainnet in batch:
            body = json.loads(signers[is_mainnet].sign(action, nonce, expires_ms))
            theirs = official(action, nonce, expires_ms, is_mainnet=is_mainnet)
            assert (body["signature"], body["action"]) == (theirs, action)
        seen += len(batch)

    compare()
    assert seen >= 10_000


PUBLISHED = bytes.fromhex("0123456789012345678901234567890123456789012345678901234567890123")
ETH: dict[str, Any] = {"a": 1, "b": True, "p": "100", "s": "100", "r": False}


def eth_order(**more: Any) -> dict[str, Any]:
    kind = {"t": {"limit": {"tif": "Gtc"}}}
    return {"type": "order", "orders": [ETH | kind | more], "grouping": "na"}


@pytest.mark.parametrize(
    ("action", "is_mainnet", "r", "s", "v"),
    [
        (
            eth_order(), True,
            "0xd65369825a9df5d80099e513cce430311d7d26ddf477f5b3a33d2806b100d78e",
            "0x2b54116ff64054968aa237c20ca9ff68000f977c93289157748a3162b6ea940e", 28,
        ),
        (
            eth_order(), False,
            "0x82b2ba28e76b3d761093aaded1b1cdad4960b3af30212b343fb2e6cdfa4e3d54",
            "0x6b53878fc99d26047f4d7e8c90eb98955a109f44209163f52d8dc4278cbbd9f5", 27,
        ),
        (
            eth_order(c="0x00000000000000000000000000000001"), True,
            "0x41ae18e8239a56cacbc5dad94d45d0b747e5da11ad564077fcac71277a946e3",
            "0x3c61f667e747404fe7eea8f90ab0e76cc12ce60270438b2058324681a00116da", 27,
        ),
        (
            eth_order(c="0x00000000000000000000000000000001"), False,
            "0xeba0664bed2676fc4e5a743bf89e5c7501aa6d870bdb9446e122c9466c5cd16d",
            "0x7f3e74825c9114bc59086f1eebea2928c190fdfbfde144827cb02b85bbe90988", 28,
        ),
        (
            eth_order(t={"trigger": {"isMarket": True, "triggerPx": "103", "tpsl": "sl"}}), True,
            "0x98343f2b5ae8e26bb2587daad3863bc70d8792b09af1841b6fdd530a2065a3f9",
            "0x6b5bb6bb0633b710aa22b721dd9dee6d083646a5f8e581a20b545be6c1feb405", 27,
        ),
        (
            {"type": "scheduleCancel"}, True,
            "0x6cdfb286702f5917e76cd9b3b8bf678fcc49aec194c02a73e6d4f16891195df9",
            "0x6557ac307fa05d25b8d61f21fb8a938e703b3d9bf575f6717ba21ec61261b2a0", 27,
        ),
        (
            {"type": "scheduleCancel"}, False,
            "0xc75bb195c3f6a4e06b7d395acc20bbb224f6d23ccff7c6a26d327304e6efaeed",
            "0x342f8ede109a29f2c0723bd5efb9e9100e3bbb493f8fb5164ee3d385908233df", 28,
        ),
        (
            {"type": "scheduleCancel", "time": 123456789}, True,
            "0x609cb20c737945d070716dcc696ba030e9976fcf5edad87afa7d877493109d55",
            "0x16c685d63b5c7a04512d73f183b3d7a00da5406ff1f8aad33f8ae2163bab758b", 28,
        ),
        (
            {"type": "scheduleCancel", "time": 123456789}, False,
            "0x4e4f2dbd4107c69783e251b7e1057d9f2b9d11cee213441ccfa2be63516dc5bc",
            "0x706c656b23428c8ba356d68db207e11139ede1670481a9e01ae2dfcdb0e1a678", 27,
        ),
    ],
)  # fmt: skip
def test_the_official_clients_published_signatures_are_ours(
    action: Any, is_mainnet: bool, r: str, s: str, v: int
) -> None:
    """Values of its own tests; those of actions that are never signed here are left out."""
    body = json.loads(AgentSigner(PUBLISHED, is_mainnet=is_mainnet).sign(action, 0, None))

    assert body["signature"] == {"r": r, "s": s, "v": v}


def test_the_published_hash_of_a_real_order_is_ours() -> None:
    """A phantom agent's ``connectionId`` of production."""
    wire = {"a": 4, "b": True, "p": "1670.1", "s": "0.0147", "r": False}
    order_ = wire | {"t": {"limit": {"tif": "Ioc"}}}
    action = {"type": "order", "orders": [order_], "grouping": "na"}

    assert action_hash(action, 1677777606040, None).hex() == (
        "0fcbeda5ae3c4950a548021552a4fea2226858c4453571bf3f24ba017eac2908"
    )


def worth(price: str, size: str, *, reduces: bool = False) -> Any:
    row = ETH | {"p": price, "s": size, "r": reduces, "t": {"limit": {"tif": "Ioc"}}}
    return {"type": "order", "orders": [row], "grouping": "na"}


def test_the_signer_caps_an_order_and_an_hours_orders_and_never_what_reduces() -> None:
    signer = AgentSigner(KEY, is_mainnet=False, caps=Caps(order=Decimal(100), hour=Decimal(250)))

    signer.sign(worth("100", "1"), 1_000, None)
    with pytest.raises(BeyondCap, match=r"an order of 100\.01, at most 100"):
        signer.sign(worth("100.01", "1"), 1_001, None)
    signer.sign(worth("1000", "1000", reduces=True), 1_002, None)
    spot = worth("1000", "1000")
    spot["orders"][0] |= {"a": 10_003, "b": True}
    with pytest.raises(BeyondCap, match="an order of 1000000, at most 100"):
        signer.sign(spot, 1_002, None)
    spot["orders"][0]["b"] = False  # a sale of what is there
    signer.sign(spot, 1_002, None)
    signer.sign(worth("100", "1"), 1_003, None)
    with pytest.raises(BeyondCap, match="300 of orders in an hour, at most 250"):
        signer.sign(worth("100", "1"), 1_004, None)
    signer.sign(worth("50", "1"), 1_005, None)  # what was not signed counts for nothing
    signer.sign(actions.cancel_action(CLOID, 2), 1_006, None)
    signer.sign(worth("100", "1"), 1_000 + HOUR_MS, None)
    with pytest.raises(ValueError, match="positive"):
        Caps(order=Decimal(0), hour=Decimal(1))


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
