"""Each signer's nonces: the highest hundred are kept, and none is taken twice."""

from bisect import bisect_left, insort

from domain.time import DAY, MILLISECOND

_KEPT = 100
_DAY_MS = DAY // MILLISECOND


class Nonces:
    """What one signer has used. A nonce is a time in milliseconds, of two days ago to tomorrow."""

    def __init__(self) -> None:
        self._kept: list[int] = []

    def refusal(self, nonce: int, now_ms: int) -> str | None:
        """Why ``nonce`` may not be used now, in the venue's words (too high: UNVERIFIED)."""
        at = bisect_left(self._kept, nonce)
        if at < len(self._kept) and self._kept[at] == nonce:
            return f"Invalid nonce: duplicate nonce {nonce}"
        if len(self._kept) == _KEPT and nonce < self._kept[0]:
            return f"Invalid nonce: nonce too low {nonce} < {self._kept[0]}"
        if nonce <= (oldest := now_ms - 2 * _DAY_MS):
            return f"Invalid nonce: nonce too low {nonce} < {oldest}"
        if nonce >= (newest := now_ms + _DAY_MS):
            return f"Invalid nonce: nonce too high {nonce} > {newest}"
        return None

    def use(self, nonce: int) -> None:
        """Spend a nonce that is not refused."""
        insort(self._kept, nonce)
        del self._kept[:-_KEPT]
