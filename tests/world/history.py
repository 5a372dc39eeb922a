"""What a second opinion may read: the venue's own log, the alarm outbox, and what the world did.

Nothing here comes from the bot's journal or state. The instants are the world's: the
venue's clock for the log, which the windows and the alarms are put on too.
"""

from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum

import msgspec

from domain.account import AccountReport, Cashflow, FundingPayment
from domain.instruments import Pair
from domain.orders import Fill, Side, TimeInForce
from domain.targets import Legs
from domain.time import SECOND

OK = "ok"  # the venue carried an action out, whatever became of each order in it
RESTING = "resting"
FILLED = "filled"
SUCCESS = "success"  # of a cancel
NOOP = "noop"  # the action that does nothing but use its nonce up


class SentOrder(msgspec.Struct, frozen=True):
    """One order of a signed action; ``quantity`` is positive base units. ``time_in_force`` is
    None where it waits for a price."""

    cloid: str | None
    instrument: str
    side: Side
    quantity: Decimal
    price: Decimal
    time_in_force: TimeInForce | None
    reduce_only: bool = False


class Received(msgspec.Struct, frozen=True, tag=True):
    """One signed action as it reached the venue; a copy that arrives again is one more.

    ``digest`` is of the body's bytes. ``outcome`` is "ok" or the error that refused
    the whole action; ``outcomes`` then has one text for each order, or for each
    cancel: "resting", "filled", "success", or the error.
    """

    time_ns: int
    signer: str
    nonce: int
    action: str
    digest: str
    outcome: str
    orders: tuple[SentOrder, ...] = ()
    cancelled: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    expires_ms: int | None = None

    def __post_init__(self) -> None:
        expected = len(self.orders) + len(self.cancelled) if self.outcome == OK else 0
        if len(self.outcomes) != expected:
            raise ValueError(f"{len(self.outcomes)} outcomes where {expected} were expected")

    @property
    def taken(self) -> tuple[bool, ...]:
        """For each order, whether the venue took it on: it rests or has traded."""
        if self.outcome != OK:
            return (False,) * len(self.orders)
        answers = self.outcomes[: len(self.orders)]
        return tuple(answer in {RESTING, FILLED} for answer in answers)


class Mark(msgspec.Struct, frozen=True, tag=True):
    """A price of one instrument at the venue (quote/base); between marks the last fill's holds."""

    time_ns: int
    instrument: str
    price: Decimal


class Lost(msgspec.Struct, frozen=True, tag=True):
    """An order of ours that left at ``time_ns`` and never reached the venue: the road's word.

    It was an attempt all the same. What becomes of one is nothing that its sender can choose.
    """

    time_ns: int
    instrument: str
    side: Side


class Standing(msgspec.Struct, frozen=True, tag=True):
    """A perp as the venue has it: the signed position, and what remains of each order that waits
    for a price to close it. Put down at every look at which it is another than before."""

    time_ns: int
    instrument: str
    position: Decimal
    stops: tuple[Decimal, ...]


Record = Received | Fill | FundingPayment | Cashflow | Mark | Lost | Standing


def time_of(record: Record) -> int:
    """When it happened at the venue. Funding is charged when the venue says so, not at its hour."""
    if isinstance(record, Received | Mark | Lost | Standing):
        return record.time_ns
    return record.received_ns if isinstance(record, FundingPayment) else record.venue_time_ns


def in_order(received: Iterable[Received], others: Iterable[Record]) -> tuple[Record, ...]:
    """One log of two that are each in order: an action comes before what it caused."""
    both = [*((time_of(r), 0, r) for r in received), *((time_of(r), 1, r) for r in others)]
    return tuple(record for _, _, record in sorted(both, key=lambda entry: entry[:2]))


class Alarm(msgspec.Struct, frozen=True):
    time_ns: int
    name: str
    detail: str


class WindowKind(StrEnum):
    VENUE_DOWN = "venue_down"  # no request can be answered
    WRITES_DOWN = "writes_down"  # no action can be carried out and answered
    DEAD = "dead"  # the trading process is not running
    STOPPED = "stopped"  # it is, by SIGSTOP, not getting any time
    EXTERNAL = "external"  # a manual trade, ADL or liquidation was due between start and end
    DOUBT = "doubt"  # the bot knew, or should have, that something is not healthy
    LEASE = "lease"  # one actor's term, from its take-over to the next confirmed one
    FAULTY = "faulty"  # the road loses, delays and garbles what it likes
    HEALED = "healed"  # from the start on no faults; the end says nothing


class Window(msgspec.Struct, frozen=True):
    """What the world did from ``start_ns`` until before ``end_ns``."""

    kind: WindowKind
    start_ns: int
    end_ns: int


class Bounds(msgspec.Struct, frozen=True):
    """What the bot has promised. Notionals are in the quote asset, ``*_ns`` nanoseconds.

    ``slice_notional`` is the largest exposure its own orders may leave,
    ``position_notional_max`` the largest position by pair name. ``price_allowance``
    is the fraction by which its price and the log's may differ. ``answer_ns`` is how
    long it waits before an order's fate is unknown, ``expiry_margin_ns`` how long after
    an order's expiry that fate counts as proven. ``fresh_ns`` is how old its knowledge of a
    position may be, ``patience_ns`` how long an order may rest, being cancelled included.
    ``legs`` is how the trades of a pair are made, carry where it says nothing; ``t_stop_ns`` is how
    long the stop of a perp alone may be another than it should, where the venue is healthy.
    """

    pairs: tuple[Pair, ...]
    trader: str
    watchdog: str
    slice_notional: Decimal
    position_notional_max: dict[str, Decimal]
    price_allowance: Decimal = Decimal("0.05")
    t_hedge_healthy_ns: int = 15 * SECOND
    t_hedge_degraded_ns: int = 60 * SECOND
    t_forced_ns: int = 10 * SECOND
    t_alarm_ns: int = 5 * SECOND
    heal_ns: int = 120 * SECOND
    answer_ns: int = 3 * SECOND
    expiry_margin_ns: int = 1 * SECOND
    fresh_ns: int = 30 * SECOND
    patience_ns: int = 1_860 * SECOND
    t_stop_ns: int = 20 * SECOND
    legs: dict[str, Legs] = {}

    def legs_of(self, pair: Pair) -> Legs:
        return self.legs.get(pair.name, Legs.CARRY)


class History(msgspec.Struct, frozen=True):
    """One account's life in one world, from ``opening`` to ``final``.

    ``records`` are in the venue's order, alarms in time; ``reads_ns`` are the instants at
    which a query of the trader was answered.
    """

    bounds: Bounds
    opening: AccountReport
    records: tuple[Record, ...]
    alarms: tuple[Alarm, ...]
    windows: tuple[Window, ...]
    reads_ns: tuple[int, ...]
    final: AccountReport

    @property
    def end_ns(self) -> int:
        return self.final.venue_time_ns
