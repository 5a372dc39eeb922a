"""Several accounts at one exchange: each finds its own, and all hear one market."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from eth_account.signers.local import LocalAccount
from hyperliquid.utils import signing as sdk_signing

from domain.market import Book, Level, Reference
from domain.time import MILLISECOND, SECOND
from execution.venues.hyperliquid.emulator.emulator import Emulator
from execution.venues.hyperliquid.emulator.house import House
from execution.venues.simulated.exchange import Exchange
from execution.venues.simulated.rules import VenueRules
from tests.unit.execution.venues.hyperliquid.emulator.floor import (
    ACCOUNT,
    AGENT,
    AGENT_ADDRESS,
    MASTER,
    PAIR,
    SPOT_ASSET,
    STRANGER,
    cloid,
)
from tests.unit.execution.venues.simulated.world import PERP, SPOT, START

OTHER = str(STRANGER.address).lower()


def room(address: str, usdc: str, agents: tuple[str, ...] = ()) -> Emulator:
    exchange = Exchange((PERP, SPOT), VenueRules(), {"USDC": Decimal(usdc)}, START)
    return Emulator(exchange, (PAIR,), address, dict.fromkeys(agents))


class Two:
    """ACCOUNT with 1000 USDC and AGENT, OTHER with 500 and its own key."""

    def __init__(self) -> None:
        self.house = House([room(ACCOUNT, "1000", (AGENT_ADDRESS,)), room(OTHER, "500")])
        self.now_ns, self.nonce = START + SECOND, START // MILLISECOND
        for name in (SPOT.id, PERP.id):
            levels = (Level(29.99, 1e3),), (Level(30.01, 1e3),)
            self.house.play(Book(name, *levels, self.now_ns, self.now_ns))
        self.house.play(Reference(PERP.id, 30.0, 30.0, self.now_ns, self.now_ns))

    def info(self, kind: str, **fields: Any) -> Any:
        body = msgspec.json.encode({"type": kind} | fields)
        return json.loads(self.house.request("/info", body, self.now_ns).body)

    def usdc(self, user: str) -> str:
        balances = self.info("spotClearinghouseState", user=user)["balances"]
        return next(str(b["total"]) for b in balances if b["coin"] == "USDC")

    def signed(self, action: Any, signer: LocalAccount) -> bytes:
        self.nonce += 1
        signature = sdk_signing.sign_l1_action(signer, action, None, self.nonce, None, False)
        return json.dumps({"action": action, "nonce": self.nonce, "signature": signature}).encode()

    def buy(
        self, signer: LocalAccount, size: str = "1", tif: str = "Ioc", price: str = "31"
    ) -> Any:
        order = {
            "a": SPOT_ASSET, "b": True, "p": price, "s": size, "r": False,
            "t": {"limit": {"tif": tif}}, "c": cloid(1),
        }  # fmt: skip
        body = self.signed({"type": "order", "orders": [order], "grouping": "na"}, signer)
        return json.loads(self.house.request("/exchange", body, self.now_ns).body)

    def heard(self, connection: int) -> list[Any]:
        return [json.loads(frame) for to, frame in self.house.drain() if to == connection]


def test_each_account_has_what_is_its_own() -> None:
    two = Two()

    assert (two.usdc(ACCOUNT), two.usdc(OTHER.upper().replace("X", "x"))) == ("1000.0", "500.0")
    assert two.info("userRole", user=AGENT_ADDRESS)["data"] == {"user": ACCOUNT}
    assert two.info("userRole", user=OTHER) == {"role": "user"}
    assert two.info("userRole", user="0x" + "9" * 40) == {"role": "missing"}
    assert two.info("allMids")["HYPE"] == "30.0"


def test_an_order_is_of_whoever_signed_it() -> None:
    two = Two()

    for signer in (AGENT, STRANGER):  # the same client id: they know nothing of each other
        assert "filled" in two.buy(signer)["response"]["data"]["statuses"][0]
    assert [float(two.usdc(user)) for user in (ACCOUNT, OTHER)] == [969.99, 469.99]
    assert len(two.info("userFills", user=ACCOUNT)) == len(two.info("userFills", user=OTHER)) == 1


def test_a_signature_of_nobodys_is_refused_as_everywhere() -> None:
    house = House([room(ACCOUNT, "1000"), room(OTHER, "500")])
    two = Two()
    two.house = house

    assert "does not exist" in two.buy(AGENT)["response"]
    assert house.request("/exchange", b"no json", two.now_ns).status == 400
    assert house.request("/exchange", b"{}", two.now_ns).status == 422
    assert house.request("/info", b"[]", two.now_ns).status == 422


def test_over_sockets_each_hears_its_own_and_all_the_market() -> None:
    two = Two()
    for connection in (1, 2):
        two.house.opened(connection)
    for connection, asked in (
        (1, {"type": "userFills", "user": ACCOUNT}),
        (2, {"type": "userFills", "user": OTHER}),
        (2, {"type": "bbo", "coin": "HYPE"}),
    ):
        frame = msgspec.json.encode({"method": "subscribe", "subscription": asked})
        two.house.frame(connection, frame, two.now_ns)
    two.house.drain()
    two.buy(STRANGER)

    (told,) = two.heard(2)
    assert (told["channel"], told["data"]["user"]) == ("userFills", OTHER)
    payload = json.loads(two.signed({"type": "noop"}, STRANGER))
    post = {"method": "post", "id": 7, "request": {"type": "action", "payload": payload}}
    two.house.frame(1, msgspec.json.encode(post), two.now_ns)
    two.house.frame(1, b'{"method":"ping"}', two.now_ns)
    answers = two.heard(1)
    assert {answer["channel"] for answer in answers} == {"post", "pong"}
    (answer,) = [answer for answer in answers if answer["channel"] == "post"]
    assert answer["data"]["response"]["payload"]["status"] == "ok"
    two.house.closed(2)
    two.buy(MASTER)
    assert two.heard(2) == []


def test_what_rests_anywhere_is_looked_at_closely() -> None:
    two = Two()
    assert two.house.resting == frozenset()
    two.buy(STRANGER, tif="Alo", price="29")

    assert two.house.resting == {SPOT.id}


def test_an_address_is_of_one_account() -> None:
    with pytest.raises(ValueError, match="of one account"):
        House([room(ACCOUNT, "1", (AGENT_ADDRESS,)), room(OTHER, "1", (AGENT_ADDRESS,))])
    with pytest.raises(ValueError, match="has to be one"):
        House([])
