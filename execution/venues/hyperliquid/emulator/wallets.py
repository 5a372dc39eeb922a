"""The account's money between its own two sides, and the mode that says whether there are two.

In standard mode perps have a wallet of their own: another balance of the exchange, told as
USDC. In unified mode one balance backs both, and nothing is to be moved.
"""

from collections.abc import Callable
from decimal import Decimal

from domain.account import AccountReport, Balance
from domain.money import ZERO
from domain.time import MILLISECOND
from execution.venues.hyperliquid.emulator.listing import PERP_WALLET, SETTLEMENT
from execution.venues.hyperliquid.emulator.numbers import text
from execution.venues.hyperliquid.emulator.records import Records, Row
from execution.venues.simulated.exchange import Exchange

STANDARD, UNIFIED = "disabled", "unifiedAccount"
MODES = {"i": STANDARD, "u": UNIFIED}
"""By the letter of ``agentSetAbstraction``; portfolio margin is not offered."""

UNIFIED_ACTIVE = "Action disabled when unified account is active."
# These texts are UNVERIFIED.
INSUFFICIENT = "Insufficient balance for withdrawal."
NO_SUCH_MODE = "Only disabled and unifiedAccount are offered here."
BUSY = "Cannot change the account's mode with open positions or orders."
ONLY_OWN = "Only transfers between the account's own sides are offered here."


class Wallets:
    """``mode`` is the venue's word for it, ``tell`` is given each new row of the ledger. Whoever
    asks for something is told why not, or None when it is done."""

    def __init__(
        self, exchange: Exchange, records: Records, mode: str, tell: Callable[[Row], None]
    ) -> None:
        self._exchange, self._records, self._tell = exchange, records, tell
        self.mode = mode
        if mode == STANDARD:
            exchange.settle_perps_in(PERP_WALLET)

    @property
    def perp(self) -> str:
        """The balance behind perps."""
        return SETTLEMENT if self.mode == UNIFIED else PERP_WALLET

    def on_perp_side(self, report: AccountReport) -> Balance | None:
        """The wallet of perps; None where they have none of their own."""
        if self.mode == UNIFIED:
            return None
        found = [balance for balance in report.balances if balance.asset == PERP_WALLET]
        return found[0] if found else Balance(PERP_WALLET, ZERO, ZERO)

    def transfer(self, amount: Decimal, now_ns: int, *, to_perp: bool) -> str | None:
        """USDC from one side to the other."""
        if self.mode == UNIFIED:
            return UNIFIED_ACTIVE
        give, take = (SETTLEMENT, PERP_WALLET) if to_perp else (PERP_WALLET, SETTLEMENT)
        if not self._exchange.transfer(give, take, amount, now_ns):
            return INSUFFICIENT
        delta = {"type": "accountClassTransfer", "usdc": text(amount), "toPerp": to_perp}
        self._tell(self._records.moved(delta, now_ns // MILLISECOND))
        return None

    def set_mode(self, mode: str | None, now_ns: int) -> str | None:
        if mode is None or mode not in MODES.values():
            return NO_SUCH_MODE
        if mode == self.mode:
            return None
        try:
            self._exchange.settle_perps_in(SETTLEMENT if mode == UNIFIED else PERP_WALLET)
        except ValueError:
            return BUSY
        perp = self.on_perp_side(self._exchange.account_report(None, now_ns))
        if perp is not None and perp.total:
            self._exchange.transfer(PERP_WALLET, SETTLEMENT, perp.total, now_ns)
        self.mode = mode
        return None
