"""An emulator to tell stories with: HYPE spot and perp, one account, one agent, the real SDK."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import eth_account
import msgspec
import pytest
from eth_account.signers.local import LocalAccount
from hyperliquid.exchange import Exchange as SdkExchange
from hyperliquid.info import Info as SdkInfo
from hyperliquid.utils import signing as sdk_signing

from domain.instruments import Pair
from domain.market import Book, FundingSettled, Level, Reference, Trade
from domain.orders import Side
from domain.rates import FundingRate
from domain.time import HOUR, MILLISECOND, SECOND
from execution.venues.hyperliquid.emulator.emulator import Emulator
from execution.venues.simulated.exchange import Exchange
from execution.venues.simulated.rules import VenueRules
from tests.unit.execution.venues.simulated.world import PERP, SPOT, START

PAIR = Pair("HYPE", SPOT, PERP)
MASTER: LocalAccount = eth_account.Account.from_key(f"0x{'11' * 32}")
AGENT: LocalAccount = eth_account.Account.from_key(f"0x{'22' * 32}")
STRANGER: LocalAccount = eth_account.Account.from_key(f"0x{'33' * 32}")
ACCOUNT = str(MASTER.address).lower()
AGENT_ADDRESS = str(AGENT.address).lower()
PERP_ASSET, SPOT_ASSET = 0, 10_000
IOC: Any = {"limit": {"tif": "Ioc"}}
GTC: Any = {"limit": {"tif": "Gtc"}}
ALO: Any = {"limit": {"tif": "Alo"}}

Json = Any


def cloid(number: int) -> str:
    return f"0x{number:032x}"


class Floor:
    """The emulator, its clock, and short words for what is sent to it."""

    def __init__(
        self,
        deposits: Mapping[str, str] | None = None,
        rules: VenueRules | None = None,
        agents: Mapping[str, int | None] | None = None,
        pair: Pair = PAIR,
        *,
        mainnet: bool = False,
    ) -> None:
        self.now_ns = START
        amounts = {"USDC": "10000"} if deposits is None else deposits
        self.exchange = Exchange(
            (pair.perp, pair.spot),
            rules or VenueRules(),
            {asset: Decimal(amount) for asset, amount in amounts.items()},
            START,
        )
        history = [
            FundingSettled(pair.perp.id, FundingRate(0.0000125, 1.0), time_ns, time_ns)
            for time_ns in range(START - 3 * HOUR, START + 1, HOUR)
        ]
        self.mainnet = mainnet
        self.emulator = Emulator(
            self.exchange,
            (pair,),
            str(MASTER.address),
            {AGENT_ADDRESS: None} if agents is None else agents,
            history=history,
            mainnet=mainnet,
        )
        self.nonce = START // MILLISECOND

    def wait(self, nanoseconds: int = SECOND) -> None:
        self.now_ns += nanoseconds

    # --- the market ----------------------------------------------------------------------

    def quote(self, mid: float, size: float = 1_000.0) -> None:
        """Both legs a cent wide either side, mark and oracle at mid."""
        self.wait()
        for instrument in (SPOT, PERP):
            bids, asks = (Level(round(mid - 0.01, 2), size),), (Level(round(mid + 0.01, 2), size),)
            self.emulator.play(Book(instrument.id, bids, asks, self.now_ns, self.now_ns))
        self.emulator.play(Reference(PERP.id, mid, mid, self.now_ns, self.now_ns))

    def print(self, price: float, quantity: float, aggressor: Side) -> None:
        self.emulator.play(Trade(PERP.id, price, quantity, aggressor, self.now_ns, self.now_ns))

    # --- requests ------------------------------------------------------------------------

    def info(self, kind: str, **fields: Any) -> Json:
        body = msgspec.json.encode({"type": kind} | fields)
        reply = self.emulator.request("/info", body, self.now_ns)
        assert reply.status == 200, reply
        return json.loads(reply.body)

    def signed(
        self,
        action: Any,
        signer: LocalAccount = AGENT,
        nonce: int | None = None,
        expires_ms: int | None = None,
        vault: str | None = None,
    ) -> bytes:
        self.nonce += nonce is None
        nonce = self.nonce if nonce is None else nonce
        signature = sdk_signing.sign_l1_action(
            signer, action, vault, nonce, expires_ms, self.mainnet
        )
        return json.dumps(
            {
                "action": action,
                "nonce": nonce,
                "signature": signature,
                "vaultAddress": vault,
                "expiresAfter": expires_ms,
            }
        ).encode()

    def send(self, body: bytes) -> Json:
        reply = self.emulator.request("/exchange", body, self.now_ns)
        assert reply.status == 200, reply
        return json.loads(reply.body)

    def act(self, action: Any, signer: LocalAccount = AGENT, **envelope: Any) -> Json:
        return self.send(self.signed(action, signer, **envelope))

    def order(
        self,
        side: Side,
        size: str,
        price: str,
        *,
        tif: str = "Ioc",
        asset: int = PERP_ASSET,
        name: str | None = None,
        reduce_only: bool = False,
    ) -> Json:
        """The one status of a one-order action, or the whole answer where it is refused."""
        wire = {
            "a": asset,
            "b": side is Side.BUY,
            "p": price,
            "s": size,
            "r": reduce_only,
            "t": {"limit": {"tif": tif}},
        } | ({} if name is None else {"c": name})
        answer = self.act({"type": "order", "orders": [wire], "grouping": "na"})
        if answer["status"] != "ok":
            return answer
        return answer["response"]["data"]["statuses"][0]

    def leverage(self, leverage: int, *, cross: bool = False) -> Json:
        return self.act(
            {
                "type": "updateLeverage",
                "asset": PERP_ASSET,
                "isCross": cross,
                "leverage": leverage,
            }
        )

    # --- streams -------------------------------------------------------------------------

    def say(self, message: Json, connection: int = 1) -> None:
        self.emulator.frame(connection, json.dumps(message).encode(), self.now_ns)

    def subscribe(self, connection: int = 1, **subscription: Any) -> None:
        self.say({"method": "subscribe", "subscription": subscription}, connection)

    def heard(self) -> list[tuple[int, str, Json]]:
        """(connection, channel, data) of everything to be delivered."""
        return [
            (connection, message["channel"], message.get("data"))
            for connection, frame in self.emulator.drain()
            for message in [json.loads(frame)]
        ]

    def heard_on(self, channel: str) -> list[Json]:
        return [data for _, at, data in self.heard() if at == channel]

    # --- the official SDK ----------------------------------------------------------------

    def sdk(
        self, monkeypatch: pytest.MonkeyPatch, signer: LocalAccount = AGENT
    ) -> tuple[SdkExchange, SdkInfo]:
        """The SDK's own classes, their HTTP replaced by calls, their clock by ours."""

        def post(_self: Any, path: str, payload: Any = None) -> Json:
            reply = self.emulator.request(path, json.dumps(payload or {}).encode(), self.now_ns)
            assert reply.status == 200, reply
            return json.loads(reply.body)

        def timestamp() -> int:
            self.nonce += 1
            return self.nonce

        monkeypatch.setattr("hyperliquid.api.API.post", post)
        monkeypatch.setattr("hyperliquid.exchange.get_timestamp_ms", timestamp)
        exchange = SdkExchange(signer, "http://emulator", account_address=ACCOUNT)
        return exchange, exchange.info
