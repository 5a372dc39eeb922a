"""What only an account's own key can sign, by the official client, on its owner's machine.

The bot never has this key: it is here for one action at a time, and nothing of it is kept.
"""

import os
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NoReturn

Mode = Literal["unified", "standard", "portfolio"]

MODES: dict[Mode, str] = {
    "unified": "unifiedAccount",
    "standard": "disabled",
    "portfolio": "portfolioMargin",
}
_TIMEOUT_SECONDS = 10.0


class NotDone(Exception):
    """The venue refused, and says why; or there was no answer, and it may have been done."""


class Master:
    """``url`` decides what is signed for: the client takes every address but one for the testnet.

    Raises:
        ValueError: ``is_mainnet`` is not what the client would make of ``url``.
    """

    __slots__ = ("_exchange", "address")

    def __init__(self, key: bytes, url: str, *, is_mainnet: bool) -> None:
        from eth_account import Account
        from hyperliquid.exchange import Exchange
        from hyperliquid.utils.constants import MAINNET_API_URL

        if is_mainnet != (url == MAINNET_API_URL):
            raise ValueError(f"{url} is not what the official client knows as that network")
        wallet = Account.from_key(key)
        # With nothing listed it asks nothing before it is told to act.
        self._exchange = Exchange(
            wallet,
            url,
            meta={"universe": []},
            spot_meta={"universe": [], "tokens": []},
            timeout=_TIMEOUT_SECONDS,
        )
        self._exchange.session.trust_env = False
        self.address = str(wallet.address).lower()

    def approve_agent(self, name: str, until_ms: int, file: Path) -> str:
        """Make a key that may trade and not withdraw, until then; keep it in ``file``, a new one
        of the owner's alone. Returns its address.

        Raises:
            OSError: the file is there already, or cannot be written; nothing was asked for.
            NotDone: as it says. The file is gone again.
        """
        from eth_account import Account

        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as out:
                answer, key = self._asked("approve_agent", f"{name} valid_until {until_ms}")
                out.write(key.removeprefix("0x") + "\n")
                out.flush()
                os.fsync(out.fileno())
            _require_done(answer)
        except BaseException:
            file.unlink()
            raise
        return str(Account.from_key(key).address).lower()

    def set_mode(self, mode: Mode) -> None:
        """Raises NotDone."""
        _require_done(self._asked("user_set_abstraction", self.address, MODES[mode]))

    def move(self, amount: Decimal, *, to_perp: bool) -> None:
        """USDC from the account's one side to its other.

        Raises:
            ValueError: the client could not write the amount exactly.
            NotDone: as it says.
        """
        written = float(amount)
        if Decimal(str(written)) != amount or "e" in str(written):
            raise ValueError(f"{amount} is not an amount that can be written exactly")
        _require_done(self._asked("usd_class_transfer", written, to_perp))

    def _asked(self, method: str, *arguments: Any) -> Any:
        from hyperliquid.utils.error import ClientError, ServerError
        from requests import RequestException

        try:
            return getattr(self._exchange, method)(*arguments)
        except (ClientError, ServerError, RequestException) as error:
            raise NotDone(
                f"no answer to be believed ({type(error).__name__}): it may have been done, look "
                "before you do it again (`fundarb doctor`)"
            ) from None

    def __repr__(self) -> str:
        return f"Master({self.address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not copied: it stays where it is")


def _require_done(answer: Any) -> None:
    if not isinstance(answer, dict) or answer.get("status") != "ok":
        said = answer.get("response") if isinstance(answer, dict) else None
        raise NotDone(f"the venue refuses: {str(said)[:300]}")
