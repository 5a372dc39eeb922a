"""Carries out what only the account itself may sign: transfers, agents, its mode."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from domain.time import MILLISECOND
from execution.venues.hyperliquid.emulator.agents import Agents
from execution.venues.hyperliquid.emulator.listing import SETTLEMENT
from execution.venues.hyperliquid.emulator.streams import ADDRESS
from execution.venues.hyperliquid.emulator.wallets import MODES, ONLY_OWN, Wallets

_DONE = frozenset({"approveBuilderFee"})
"""Taken, and without effect here."""
_MICRO = Decimal("1e-6")
# These texts are UNVERIFIED.
NO_AMOUNT = "Invalid amount."
NO_ADDRESS = "Invalid address."


class Cashier:
    def __init__(self, account: str, agents: Agents, wallets: Wallets) -> None:
        self._account, self._agents, self._wallets = account, agents, wallets

    def act(self, action: Mapping[str, Any], now_ns: int, wall_ns: int) -> str | None:
        """Carry out one action whose signature is the account's; returns why not."""
        kind = action["type"]
        if kind == "usdClassTransfer":
            return self._move(action["amount"], now_ns, to_perp=bool(action["toPerp"]))
        if kind == "sendAsset":
            return self.send(action, now_ns)
        if kind == "approveAgent":
            address = str(action["agentAddress"]).lower()
            if not ADDRESS.fullmatch(address) or address == self._account:
                return NO_ADDRESS
            name = str(action.get("agentName") or "")
            return self._agents.approve(address, name, wall_ns // MILLISECOND)
        if kind == "userSetAbstraction":
            if str(action["user"]).lower() != self._account:
                return ONLY_OWN
            return self._wallets.set_mode(str(action["abstraction"]), now_ns)
        return None if kind in _DONE else ONLY_OWN

    def set_mode(self, letter: str, now_ns: int) -> str | None:
        """``agentSetAbstraction``, which an agent may sign."""
        return self._wallets.set_mode(MODES.get(letter), now_ns)

    def send(self, action: Mapping[str, Any], now_ns: int) -> str | None:
        """``sendAsset`` and ``agentSendAsset``, between the account's spot and perp sides."""
        sides = (action["sourceDex"], action["destinationDex"])
        own = str(action["destination"]).lower() == self._account
        if not own or action.get("fromSubAccount") or sides not in {("spot", ""), ("", "spot")}:
            return ONLY_OWN
        if str(action["token"]).partition(":")[0] != SETTLEMENT:
            return ONLY_OWN
        return self._move(action["amount"], now_ns, to_perp=sides[1] == "")

    def _move(self, text: Any, now_ns: int, *, to_perp: bool) -> str | None:
        try:
            amount = Decimal(str(text))
            whole = amount > 0 and amount == amount.quantize(_MICRO)
        except InvalidOperation:  # no number, none that is finite, or one with too many digits
            return NO_AMOUNT
        if not whole:
            return NO_AMOUNT
        return self._wallets.transfer(amount, now_ns, to_perp=to_perp)
