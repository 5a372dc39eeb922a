"""How long the gateway waits for what."""

import msgspec


class Timing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds; ``attempts`` is how often a question about the account or the listing is asked.

    An order of which a fill is told and which the venue has not known for ``denial`` is nobody's.
    A question is given up sooner than an action (``read_timeout``): it can be asked again.
    ``silence`` is judged on data: a default book comes at least every five seconds, a pong
    proves nothing. The venue closes what has been quiet for sixty, hence ``ping``. The account is
    read after news, at most every ``account_pause`` (where there is news all the time every
    ``account_spacing``), and at least every ``account_silence``. An action that is not an order
    expires ``expiry`` after it was signed; an order has its own. How many requests are left to
    the address is asked every ``budget``, and a page of funding's past every ``history_pause``,
    first ``history_after`` the start.
    """

    request_timeout: float = 3.0
    read_timeout: float = 1.5
    expiry: float = 5.0
    ping: float = 30.0
    acknowledgement: float = 5.0
    silence: float = 15.0
    backoff_first: float = 0.25
    backoff_last: float = 5.0
    retry: float = 1.0
    funding_retry: float = 10.0
    history_after: float = 60.0
    history_pause: float = 20.0
    account_pause: float = 1.0
    account_spacing: float = 4.0
    account_silence: float = 4.0
    budget: float = 1200.0
    attempts: int = 5
    denial: float = 30.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: must be positive, got {getattr(self, name)}")

    def backoff(self, failures: int, chance: float) -> float:
        """The pause after so many failures in a row; ``chance`` (0 to 1) takes up to half of it."""
        longest = min(self.backoff_first * 2.0 ** min(failures, 30), self.backoff_last)
        return longest * (1.0 - chance / 2)
