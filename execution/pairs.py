"""The two-legged state machine: from what is held to what is wanted, leg by leg. Pure.

A trade is long spot and short the same quantity of the perp, or its mirror, or a perp
alone (``Legs``): then it has one leg, which cannot be naked. ``step`` looks at the
quantities *received*, the orders still live and the books, and says what to send
or cancel next. It keeps nothing between calls, so it can be asked again at any
time, also by another process after a crash.

Three rules, in this order, unless the perp is close to harm (``_rescue``):

1. **Hedge what is naked.** A difference between the legs large enough to trade is
   closed at once by an IOC order: by completing the leg that is behind while the
   trade grows, by reducing the leg that is ahead while it shrinks. Past the time
   bound, whichever of the two is cheaper, with a wider price bound, and when that
   finds no counterpart the other one.
2. **Lead one slice.** Only when hedged and certain (no order UNKNOWN), the leg
   that is harder to trade rests the next slice, never larger than the naked bound
   nor than the other leg's book can hedge at once.
   An urgent trade, or a close whose patience ran out, takes instead; urgent leads
   with the perp.
3. **Stop when the rest is dust**: too small for either leg's lot or minimum.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from domain.instruments import Instrument, Kind, Pair
from domain.money import ONE, ZERO, decimal_of
from domain.orders import Side, TimeInForce
from domain.targets import ExitCause, Legs
from domain.time import SECOND
from execution.facts import Role, Stage, TradePlanned
from execution.orders import Order, OrderState
from strategies.market.state import InstrumentState

_BASIS_POINT = Decimal("0.0001")
# The price moves between a decision and its arrival: what is barely tradable now is refused then.
_ABOVE_MINIMUM = Decimal("1.02")


class ExecutionPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How orders are worked. Quote amounts in the pair's quote asset, times in seconds."""

    max_naked_notional: Decimal = Decimal(1000)
    """Largest slice that may be filled on one leg before the other follows (quote)."""
    max_naked_seconds: float = 15.0
    """How long a difference may last before the cheaper of completing and unwinding is forced."""
    maker_patience_seconds: float = 1800.0
    """How long a resting slice may go without a fill: then an open gives up, a close takes."""
    reprice_seconds: float = 15.0
    """A resting order that the market left behind is moved at most this often."""
    reprice_bps: Decimal = Decimal(2)
    """How far the touch must have moved before it is."""
    slippage_bps_max: Decimal = Decimal(50)
    """Price bound of every IOC order, against the mid."""
    forced_slippage_bps_max: Decimal = Decimal(300)
    """The same past the time bound, and for urgent closes."""
    order_timeout_seconds: float = 3.0
    """No answer for so long: the order is UNKNOWN and the venue is asked."""
    request_expiry_seconds: float = 5.0
    """The venue refuses a request older than this (``expires_ns``)."""
    clock_margin_seconds: float = 1.0
    """Added to an expiry before "never seen" proves that an order cannot land any more."""
    retry_seconds: float = 2.0
    """Pause after a refused or empty order on a trade; doubles with each in a row, to a minute,
    while the legs differ, or a perp alone is stopped, to ``max_naked_seconds``."""
    reopen_seconds: float = 3600.0
    """A pair is not opened again within this time of its last close or failed open, and none
    within it of a leg that the venue or a person took away."""
    reconcile_seconds: float = 60.0
    """How often the books are compared with the venue."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: must be positive, got {getattr(self, name)}")
        if self.forced_slippage_bps_max < self.slippage_bps_max:
            raise ValueError("forced_slippage_bps_max: must not be below slippage_bps_max")


class PairTrade(msgspec.Struct, frozen=True):
    """One trade on a pair, from plan to close: a fold of its facts.

    ``quantity`` is what is wanted now (base units, each leg). ``worked_ns`` is the
    last progress on the way there, from which patience is counted; ``naked_ns``
    when the legs began to differ by a tradable amount, None while they do not.
    ``spot_built`` and ``perp_built`` are (quantity, quote) of the fills that built what is held,
    at average cost. ``plan`` is of the whole as it was last approved, ``held`` whether that has
    been reached; ``tranches`` in how many parts the trade was built, ``targets_met`` how many
    parts left at a target.
    ``stop_lost_ns`` is when a stop of it was last refused, or ended unasked.
    """

    plan: TradePlanned
    quantity: Decimal
    stage: Stage
    worked_ns: int
    urgent: bool = False
    cause: ExitCause | None = None
    exit_reason: str | None = None
    orders_sent: int = 0
    setbacks: int = 0
    setback_ns: int = 0
    naked_ns: int | None = None
    spot_built: tuple[Decimal, Decimal] = (ZERO, ZERO)
    perp_built: tuple[Decimal, Decimal] = (ZERO, ZERO)
    held: bool = False
    opened_ns: int | None = None
    closed_ns: int | None = None
    stop_lost_ns: int = 0
    tranches: int = 1
    targets_met: int = 0

    @property
    def trade_id(self) -> str:
        return self.plan.trade_id

    @property
    def legs(self) -> Legs:
        return self.plan.legs

    @property
    def stop_price(self) -> Decimal:
        return self.plan.stop_price

    @property
    def maker_leg(self) -> Kind:
        return Kind(self.plan.maker_leg)

    @property
    def entry_basis(self) -> float | None:
        """Perp over spot, less one, at the average prices of the fills that opened it."""
        (spot, spot_cost), (perp, perp_cost) = self.spot_built, self.perp_built
        if not (spot and perp):
            return None
        return float(perp_cost / perp) / float(spot_cost / spot) - 1.0

    @property
    def entry_price(self) -> Decimal | None:
        """Average price (quote/base) of what is held of the perp; None before the first fill."""
        quantity, quote = self.perp_built
        return quote / quantity if quantity else None

    def notional_of(self, quantity: Decimal) -> Decimal:
        """What so much of the plan is worth at the plan's prices, quote."""
        return self.plan.notional * quantity / self.plan.quantity

    @property
    def is_closing(self) -> bool:
        return self.quantity == ZERO


STAGES: dict[Stage, tuple[Stage, ...]] = {
    Stage.PREPARING: (Stage.WORKING, Stage.CLOSED),  # closed: leverage refused, nothing sent
    Stage.WORKING: (Stage.HOLDING, Stage.CLOSED),
    Stage.HOLDING: (Stage.WORKING,),  # retargeted, or a leg was lost
    Stage.CLOSED: (),
}


class Situation(msgspec.Struct, frozen=True):
    """All that ``step`` looks at. ``spot`` and ``perp`` are signed quantities held by the trade;
    ``live`` are its orders but for a stop, which waits and stands in nobody's way.

    ``may_grow``: entries are allowed and both books fresh; without it nothing that
    adds to the position is sent, while hedging and reducing always are. ``endangered``:
    the perp's leverage has reached the cap, so that reducing it waits for nothing.
    ``closes_only``: a difference between the legs is closed by reducing alone.
    ``rests_only``: the venue takes no taker for now, so that it is closed at the touch.
    """

    trade: PairTrade
    pair: Pair
    spot: Decimal
    perp: Decimal
    spot_market: InstrumentState
    perp_market: InstrumentState
    live: Sequence[Order]
    may_grow: bool
    now_ns: int
    policy: ExecutionPolicy
    endangered: bool = False
    closes_only: bool = False
    rests_only: bool = False


class Wanted(msgspec.Struct, frozen=True):
    """An order that should be sent now. ``mid`` is the decision-time mid of its instrument;
    one with a ``trigger`` waits for the mark to come there."""

    instrument: Instrument
    side: Side
    quantity: Decimal
    price: Decimal
    time_in_force: TimeInForce
    reduce_only: bool
    role: Role
    mid: Decimal
    trigger: Decimal | None = None


class Work(msgspec.Struct, frozen=True):
    """What to do next. ``settled``: nothing is left to do and nothing is live."""

    cancel: tuple[Order, ...] = ()
    place: tuple[Wanted, ...] = ()
    settled: bool = False


def step(s: Situation) -> Work:
    """What brings the trade one step nearer to its target, under the three rules above."""
    lead = _lead_leg(s)
    resting = tuple(o for o in s.live if o.role is Role.MAKER)
    if (rescue := _rescue(s)) is not None:
        if _is_busy(s, rescue.instrument) or _is_waiting(s, s.policy.max_naked_seconds):
            return Work(cancel=_cancelable(resting))
        return Work(cancel=_cancelable(resting), place=(rescue,))
    if _is_naked(s):
        hedge = _hedge(s)
        if hedge is None:  # no book or no depth to hedge in: at least it must not get worse
            return Work(cancel=_cancelable(resting))
        if s.rests_only:
            return _rest(s, hedge, resting)
        in_the_way = tuple(o for o in resting if o.request.instrument == hedge.instrument.id)
        if in_the_way:
            return Work(cancel=_cancelable(in_the_way))
        if _is_hedging(s) or _is_waiting(s, s.policy.max_naked_seconds):
            return Work()
        return Work(place=(hedge,))
    if resting:
        return Work(cancel=_cancelable(o for o in resting if _is_misplaced(s, o, lead)))
    stopped = s.trade.urgent and s.trade.legs.is_alone  # nothing offsets what is still held
    if s.live or _is_waiting(s, s.policy.max_naked_seconds if stopped else 60.0):
        return Work()
    if lead is None:  # what has no price is not known to be dust
        return Work(settled=all(_mid(_market(s, leg)) is not None for leg in _legs(s)))
    order = _lead_order(s, *lead)
    return Work(place=(order,)) if order is not None else Work()


def _rest(s: Situation, hedge: Wanted, resting: Sequence[Order]) -> Work:
    """Close the difference at the touch; what rests otherwise, or was left behind, goes."""
    price = _touch(_market(s, hedge.instrument), hedge.side.opposite)
    quantity = abs(s.spot + s.perp)
    fits = tuple(o for o in resting if _fits(s, o, hedge, price) and o.remaining <= quantity)
    if resting:
        return Work(cancel=_cancelable(o for o in resting if o not in fits))
    if _is_hedging(s) or _is_waiting(s, s.policy.max_naked_seconds):
        return Work()
    order = msgspec.structs.replace(
        hedge, price=price, time_in_force=TimeInForce.POST_ONLY, role=Role.MAKER
    )
    return Work(place=(order,))


def _fits(s: Situation, order: Order, hedge: Wanted, touch: Decimal) -> bool:
    """Whether what rests is such a hedge, and not behind the touch for too long."""
    request = order.request
    if (request.instrument, request.side) != (hedge.instrument.id, hedge.side):
        return False
    behind = (touch - request.price) * request.side.sign
    early = s.now_ns - order.intended_ns < s.policy.reprice_seconds * SECOND
    return early or behind <= s.policy.reprice_bps * _BASIS_POINT * touch


def naked_quantity(pair: Pair, spot: Decimal, perp: Decimal, price: Decimal) -> Decimal:
    """The difference between the legs, signed, if it is large enough to be traded; else zero."""
    delta = spot + perp
    return delta if _tradable(pair.perp, abs(delta), price) else ZERO


def lead_remaining(pair: Pair, held: Decimal, wanted: Decimal, price: Decimal) -> Decimal:
    """How much one leg still has to trade, signed (positive grows); zero when only dust is left."""
    if wanted > held:
        quantity = pair.floor_quantity(wanted - held)
        enough = all(_tradable(leg, quantity, price) for leg in (pair.spot, pair.perp))
        return quantity if enough else ZERO
    quantity = pair.floor_quantity(held - wanted)
    return -quantity if _tradable(pair.perp, quantity, price) else ZERO


def _tradable(instrument: Instrument, quantity: Decimal, price: Decimal) -> bool:
    floored = instrument.floor_quantity(quantity)
    return floored * price >= instrument.minimum_notional * _ABOVE_MINIMUM


# --- rule 1: hedge -----------------------------------------------------------------------------


def _is_naked(s: Situation) -> bool:
    if not s.trade.legs.trades_spot:
        return False
    mid = _mid(s.perp_market) or _mid(s.spot_market)
    return mid is not None and naked_quantity(s.pair, s.spot, s.perp, mid) != ZERO


def _hedge(s: Situation) -> Wanted | None:
    completing = _complete(s)
    unwinding = _unwind(s)
    overdue = _is_overdue(s)
    growing = max(_held(s, leg) for leg in _legs(s)) <= s.trade.quantity + s.pair.lot
    if s.closes_only:
        return unwinding
    preferred, other = (completing, unwinding) if growing else (unwinding, completing)
    if not overdue or (s.trade.urgent and not growing):
        return preferred  # what is being reduced in a hurry is not grown back
    if other is not None:
        other = msgspec.structs.replace(other, role=Role.UNWIND)
    ways = sorted(
        (way for way in (preferred, other) if way is not None), key=lambda way: _cost(s, way)
    )
    return ways[s.trade.setbacks % len(ways)] if ways else None


def _rescue(s: Situation) -> Wanted | None:
    """Close the perp down to its target whatever the spot's book shows.

    A naked spot leg can lose what the price moves; a liquidated perp loses its margin too.
    """
    if not (s.endangered and s.trade.urgent):
        return None
    quantity = _held(s, s.pair.perp) - s.trade.quantity
    if quantity <= ZERO:
        return None
    side = s.trade.legs.opens(Kind.PERP).opposite
    return _take(s, s.pair.perp, side, quantity, Role.FORCED, reduce_only=True)


def _complete(s: Situation) -> Wanted | None:
    """Grow the leg that is behind."""
    ahead = _spot_ahead(s)
    leg = s.pair.perp if ahead > ZERO else s.pair.spot
    side = s.trade.legs.opens(leg.kind)
    return _take(s, leg, side, abs(ahead), Role.HEDGE, reduce_only=False)


def _unwind(s: Situation) -> Wanted | None:
    """Reduce the leg that is ahead, leaving no dust on it when the trade is closing."""
    ahead = _spot_ahead(s)
    leg = s.pair.spot if ahead > ZERO else s.pair.perp
    side, held = s.trade.legs.opens(leg.kind).opposite, _held(s, leg)
    if held <= ZERO:  # on the wrong side of nothing: none of ours to reduce, only to complete
        return None
    quantity = min(abs(ahead), held)
    mid = _mid(_market(s, leg))
    if mid is not None and s.trade.is_closing and not _tradable(leg, held - quantity, mid):
        quantity = held
    return _take(s, leg, side, quantity, Role.HEDGE, reduce_only=leg.kind is Kind.PERP)


def _is_overdue(s: Situation) -> bool:
    naked_ns = s.trade.naked_ns
    return naked_ns is not None and s.now_ns - naked_ns > s.policy.max_naked_seconds * SECOND


def _cost(s: Situation, wanted: Wanted) -> Decimal:
    """Fee and distance from mid to the touch, as a fraction: what taking this order costs."""
    market = _market(s, wanted.instrument)
    touch = _touch(market, wanted.side)
    return wanted.instrument.fees.taker + abs(touch / wanted.mid - ONE)


# --- rule 2: lead ------------------------------------------------------------------------------


def _lead_leg(s: Situation) -> tuple[Instrument, Decimal] | None:
    """The leg that leads and what it has left to trade (signed); None when only dust is left."""
    maker = s.pair.spot if s.trade.maker_leg is Kind.SPOT else s.pair.perp
    other = s.pair.perp if maker is s.pair.spot else s.pair.spot
    order = (s.pair.perp, s.pair.spot) if s.trade.urgent else (maker, other)
    for leg in order if s.trade.legs.trades_spot else _legs(s):
        price = _mid(_market(s, leg))
        if price is None:
            continue
        remaining = lead_remaining(s.pair, _held(s, leg), s.trade.quantity, price)
        if remaining != ZERO:
            return leg, remaining
    return None


def _lead_order(s: Situation, leg: Instrument, remaining: Decimal) -> Wanted | None:
    grows = remaining > ZERO
    if grows and not s.may_grow:
        return None
    side = _side(s, leg, grows=grows)
    market = _market(s, leg)
    price = _touch(market, side.opposite)
    # A perp alone is entered on a signal, which does not wait.
    takes = s.trade.urgent or (s.trade.legs.is_alone if grows else _out_of_patience(s))
    reach = _reach(s, leg, side) if takes else None
    # A purchase that takes may pay its bound, and is then worth more than at the touch.
    dearest = max(price, reach[0]) if reach is not None else price
    quantity = _slice(s, leg, side, abs(remaining), dearest)
    if quantity == ZERO:
        return None
    reduce_only = leg.kind is Kind.PERP and not grows
    if takes:
        role = Role.FORCED if s.trade.urgent else Role.TAKE
        return _take(s, leg, side, quantity, role, reduce_only=reduce_only)
    mid = _mid(market)
    assert mid is not None, "Invariant: _lead_leg returns only legs with a two-sided book"
    return Wanted(leg, side, quantity, price, TimeInForce.POST_ONLY, reduce_only, Role.MAKER, mid)


def _slice(
    s: Situation, leg: Instrument, side: Side, remaining: Decimal, price: Decimal
) -> Decimal:
    """At most what the naked bound leaves and the other leg's book can hedge at once.

    In whole lots, and no rest too small to trade; zero where not even the smallest
    order could be hedged.
    """
    if not s.trade.legs.trades_spot:
        return remaining
    other = s.pair.perp if leg is s.pair.spot else s.pair.spot
    reach = _reach(s, other, side.opposite)
    if reach is None:
        return ZERO
    # What is not hedged yet is worth the dearer leg's price, and the legs may be far apart.
    dearest = max(price, _touch(_market(s, other), side.opposite))
    room = s.policy.max_naked_notional / dearest - abs(s.spot + s.perp)
    bound = s.pair.floor_quantity(max(min(room, reach[1]), ZERO))
    if not all(_tradable(each, bound, price) for each in (leg, other)):
        return ZERO
    if remaining <= bound:
        return remaining
    half = s.pair.floor_quantity(remaining / 2)
    too_small = not _tradable(leg, remaining - bound, price)
    return half if too_small and _tradable(leg, half, price) else bound


def patience(s: Situation) -> float:
    """How long the trade may go without a fill, seconds: a signal does not wait for one."""
    enters = s.trade.legs.is_alone and not s.trade.is_closing
    return s.policy.max_naked_seconds if enters else s.policy.maker_patience_seconds


def _out_of_patience(s: Situation) -> bool:
    return s.now_ns - s.trade.worked_ns > patience(s) * SECOND


def gave_up(s: Situation) -> bool:
    """An opening trade that found no counterpart in time."""
    lead = _lead_leg(s)
    return lead is not None and lead[1] > ZERO and _out_of_patience(s)


def _is_misplaced(s: Situation, order: Order, lead: tuple[Instrument, Decimal] | None) -> bool:
    """Whether a resting order should go: wrong leg or side, unwanted, or left behind."""
    if lead is None or s.trade.urgent or order.request.instrument != lead[0].id:
        return True
    leg, remaining = lead
    grows = remaining > ZERO
    side = _side(s, leg, grows=grows)
    if order.request.side is not side or order.remaining > abs(remaining):
        return True
    if (grows and not s.may_grow) or _out_of_patience(s):
        return True
    market = _market(s, leg)
    touch = _touch(market, side.opposite)
    behind = (touch - order.request.price) * side.sign
    if s.now_ns - order.intended_ns < s.policy.reprice_seconds * SECOND:
        return False
    return bool(behind > s.policy.reprice_bps * _BASIS_POINT * touch)


# --- shared ------------------------------------------------------------------------------------


def _take(
    s: Situation,
    leg: Instrument,
    side: Side,
    quantity: Decimal,
    role: Role,
    *,
    reduce_only: bool,
) -> Wanted | None:
    """An IOC order within the price bound and its depth; None where that is too small."""
    mid, reach = _mid(_market(s, leg)), _reach(s, leg, side)
    if mid is None or reach is None:
        return None
    bound, depth = reach
    quantity = leg.floor_quantity(min(quantity, depth))
    if not _tradable(leg, quantity, mid):
        return None
    if not _tradable(leg, quantity, bound):  # a sale is as large as its bound says
        least = leg.minimum_notional * _ABOVE_MINIMUM / quantity
        bound = leg.round_price(least, up=True)
    return Wanted(leg, side, quantity, bound, TimeInForce.IOC, reduce_only, role, mid)


def _reach(s: Situation, leg: Instrument, side: Side) -> tuple[Decimal, Decimal] | None:
    """How far a taker of ``side`` may go: its price bound, and the depth (base) up to there."""
    market = _market(s, leg)
    mid = _mid(market)
    if mid is None:
        return None
    forced = s.trade.urgent or _is_overdue(s)
    bps = s.policy.forced_slippage_bps_max if forced else s.policy.slippage_bps_max
    bound = leg.round_price(mid * (ONE + side.sign * bps * _BASIS_POINT), up=side is Side.SELL)
    levels = market.asks if side is Side.BUY else market.bids
    within = [level for level in levels if (bound - decimal_of(level.price)) * side.sign >= 0]
    return bound, sum((decimal_of(level.size) for level in within), ZERO)


def _is_busy(s: Situation, leg: Instrument) -> bool:
    """Whether an order on this leg may still fill: a second one could double it."""
    return any(o.request.instrument == leg.id for o in s.live)


def _is_hedging(s: Situation) -> bool:
    """Whether a taker of this trade may still fill, or has, and its fills are not told yet.

    On whichever leg: it closes the difference that is seen, and a second one would open it
    again the other way. What rests only ever widens it, so it holds nothing up.
    """
    return any(o.role is not Role.MAKER for o in s.live)


def _is_waiting(s: Situation, longest: float) -> bool:
    """After a refused or empty order the next one waits, longer each time (seconds)."""
    if s.trade.setbacks == 0:
        return False
    pause = min(s.policy.retry_seconds * 2 ** min(s.trade.setbacks - 1, 6), longest)
    return bool(s.now_ns - s.trade.setback_ns < pause * SECOND)


def _cancelable(orders: Iterable[Order]) -> tuple[Order, ...]:
    return tuple(o for o in orders if o.state is OrderState.OPEN)


def _legs(s: Situation) -> tuple[Instrument, ...]:
    """The legs that the trade trades."""
    return (s.pair.spot, s.pair.perp) if s.trade.legs.trades_spot else (s.pair.perp,)


def _held(s: Situation, leg: Instrument) -> Decimal:
    """What is held of a leg, positive where it is on the side by which the trade opens."""
    return s.trade.legs.along(leg.kind, s.spot if leg.kind is Kind.SPOT else s.perp)


def _spot_ahead(s: Situation) -> Decimal:
    """How much more of the trade the spot has done than the perp; negative where it is behind."""
    return _held(s, s.pair.spot) - _held(s, s.pair.perp)


def _side(s: Situation, leg: Instrument, *, grows: bool) -> Side:
    opening = s.trade.legs.opens(leg.kind)
    return opening if grows else opening.opposite


def _market(s: Situation, leg: Instrument) -> InstrumentState:
    return s.spot_market if leg.kind is Kind.SPOT else s.perp_market


def _touch(market: InstrumentState, taker: Side) -> Decimal:
    """The best price that a ``taker`` of this side would get; a maker of the other joins there."""
    price = market.ask if taker is Side.BUY else market.bid
    assert price is not None, "Invariant: asked only of a two-sided book"
    return decimal_of(price)


def _mid(market: InstrumentState) -> Decimal | None:
    if market.bid is None or market.ask is None:
        return None
    return (decimal_of(market.bid) + decimal_of(market.ask)) / 2
