"""What the engine shows of itself: one frozen picture for metrics, terminal, page and status."""

from decimal import Decimal

import msgspec

from domain.money import ZERO
from execution.facts import Stage
from execution.ledger.pnl import PnL


class PairView(msgspec.Struct, frozen=True):
    """One configured pair: its market, its last decision, and the trade on it, if any.

    Rates are fractions per hour; ``basis`` is perp mark over spot mid, less one;
    ``net_delta`` what the legs differ by, base units, zero of a perp without a spot leg;
    ``naked_notional`` quote, zero while hedged;
    ``liquidation_distance`` the fraction the mark must move to reach liquidation, which
    is the gap in a single step that is survived; ``way_gone`` the share of the way from
    entry to liquidation that the mark has gone.
    """

    pair: str
    trade_id: str | None
    stage: Stage | None
    spot_quantity: Decimal
    perp_quantity: Decimal
    notional: Decimal
    net_delta: Decimal
    naked_notional: Decimal
    naked_seconds: float
    spot_mid: float | None
    mark: float | None
    basis: float | None
    funding_hourly: float | None
    forecast_hourly: float | None
    leverage: Decimal | None
    liquidation_price: Decimal | None
    liquidation_distance: float | None
    way_gone: float | None
    pnl: PnL
    opened_ns: int | None
    action: str | None
    reason: str | None
    expected_net: float | None
    decided_ns: int | None
    data_ns: int | None


class Snapshot(msgspec.Struct, frozen=True):
    """The whole engine at ``time_ns`` (its own, possibly virtual, time).

    From ``clock_ns`` on it is what only whoever runs the engine knows: ``clock_ns`` is the clock
    that its instants are in, read when the picture was taken; ``wall_ns`` the wall clock then;
    ``loops`` when each critical loop last got on; ``agent_until_ns`` when the venue stops taking
    the key; ``bad_messages`` how many could not be believed, by where they came;
    ``disconnections`` how many connections ended, by what they were for; ``disk_free`` how many
    bytes are left where the state directory is.
    ``last_reconciled_ns`` is when books and venue last agreed.
    """

    mode: str
    venue: str
    feed: str
    synthetic: bool
    state: str  # starting, running, paused, halted
    seed: int
    quote: str  # the asset that all money here is in
    started_ns: int
    time_ns: int
    capital: Decimal
    equity: Decimal
    equity_peak: Decimal
    cash: Decimal
    spot_value: Decimal
    margin: Decimal
    unrealized: Decimal
    pnl: PnL
    pairs: tuple[PairView, ...]
    limits: tuple[str, ...]
    orders: dict[str, int]
    refusals: dict[str, int]
    unknown_orders: int
    journal_events: int
    last_reconciled_ns: int | None
    last_market_ns: int | None
    last_funding_ns: int | None
    mismatches: int
    unknown_since_ns: int | None = None  # the oldest order whose fate is not proven
    naked_most: Decimal = ZERO  # the largest difference between two legs so far, quote
    naked_longest_seconds: float = 0.0
    clock_ns: int | None = None
    wall_ns: int | None = None
    loops: dict[str, int] = {}
    agent_until_ns: int | None = None
    bad_messages: dict[str, int] = {}
    disconnections: dict[str, int] = {}
    disk_free: int | None = None
