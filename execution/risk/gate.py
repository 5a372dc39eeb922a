"""The gate that alone gives permission. One limit, one small function; all refusals reported.

A *check* says no, whatever the size. A *cap* says how much: a proposal that is too
large is clipped to the smallest cap, and refused only where less than the minimum
would remain. What reduces risk is never stopped here.
"""

import math
from collections.abc import Callable, Iterable
from decimal import ROUND_DOWN, Decimal, localcontext
from typing import Final

import msgspec

from domain.instruments import Kind, Pair
from domain.money import ONE, ZERO, decimal_of
from domain.orders import Side
from domain.targets import Legs
from execution.risk.calendar import Ahead
from execution.risk.limits import RiskLimits
from execution.risk.margin import (
    INFINITE,
    WORKING,
    effective_leverage,
    equity_at,
    liquidation_price,
    margin_for,
    margin_up,
    max_leverage,
    stop_price,
)


class Proposal(msgspec.Struct, frozen=True):
    """What somebody wants to do to one pair.

    ``quantity`` base units of each leg that are added (or taken off, where
    ``adds_risk`` is False), in whole ``lot``; ``notional`` its value at ``entry_mark``,
    ``margin`` the isolated margin and ``capital`` all the free collateral that it
    takes (spot purchase, margin, fees), ``amount_at_risk`` what is lost at the
    basis stop under stress, ``stressed_margin`` what the perp's margin must be to live through
    the stress of the limits: all quote, all in proportion to ``quantity``.

    ``leverage``, ``liquidation_price`` and ``stop_price`` are of the whole perp
    position as it will be; None where no price liquidates, or stops.
    ``perp_side`` is the side that opens the perp leg.
    """

    pair: str
    perp_side: Side
    adds_risk: bool
    quantity: Decimal
    lot: Decimal
    minimum_quantity: Decimal
    notional: Decimal
    margin: Decimal
    capital: Decimal
    amount_at_risk: Decimal
    leverage: Decimal
    venue_leverage_max: int
    entry_mark: Decimal
    stop_price: Decimal | None
    liquidation_price: Decimal | None
    stressed_margin: Decimal = ZERO


class Exposure(msgspec.Struct, frozen=True):
    """Exposure (quote, one leg's notional) that is there already, orders in flight included.

    Each of what the proposal would add to: its pair, its asset, its venue, everything.
    """

    pair: Decimal = ZERO
    asset: Decimal = ZERO
    venue: Decimal = ZERO
    total: Decimal = ZERO


class GateContext(msgspec.Struct, frozen=True):
    """The account and the market at the moment of judging.

    Ages and skews in seconds, infinite where never seen. ``data_age_seconds`` holds one
    age a leg. ``spread`` is the wider of the two legs' (of mid), ``dislocation`` the
    distance of spot mid from oracle (of oracle), ``volatility_hourly`` the standard
    deviation of hourly returns. ``size_factor`` is ``halts.size_factor``, ``stress_taken``
    the free collateral that the positions there are would need under stress (quote). What the
    proposal adds to holds ``held`` already and has ``at_risk`` already (quote); zero for an entry.

    ``depth`` is what rests near the mid in the thinnest book of the pair (quote), ``depeg``
    the median dislocation of all pairs, ``forced_hours`` the forced orders estimated on the
    perp's losing side in hours of its trading: these two are None where not known, which
    refuses nothing.
    """

    equity: Decimal
    free_collateral: Decimal
    exposure: Exposure
    data_age_seconds: tuple[float, ...]
    reconciled_clean: bool
    reconciled_age_seconds: float
    unknown_orders: int
    orders_last_minute: int
    clock_skew_seconds: float
    spread: float
    volatility_hourly: float
    dislocation: float
    active_limits: tuple[str, ...] = ()
    size_factor: Decimal = ONE
    held: Decimal = ZERO
    at_risk: Decimal = ZERO
    depth: Decimal = INFINITE
    depeg: float | None = None
    forced_hours: float | None = None
    event: Ahead = Ahead()
    weekend: bool = False
    stress_taken: Decimal = ZERO


class Refusal(msgspec.Struct, frozen=True):
    """One limit that said no, with the two numbers that made it so."""

    check: str
    actual: Decimal
    limit: Decimal
    detail: str

    def __str__(self) -> str:
        """``check: detail (actual 0.04, limit 0.10)``, as it is journaled."""
        return f"{self.check}: {self.detail} (actual {self.actual}, limit {self.limit})"


class _Permit:
    """Proof that ``pass_gate`` saw this very proposal. Made there and nowhere else."""

    __slots__ = ("proposal",)

    def __init__(self, proposal: Proposal) -> None:
        self.proposal = proposal

    # Approvals compare by what they allow; the permit adds nothing to it.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Permit)

    def __hash__(self) -> int:
        return 0


class Approved(msgspec.Struct, frozen=True):
    """A proposal that may be carried out, in the size the gate allowed.

    Only ``pass_gate`` builds one: without its permit, or with the permit of another
    proposal, construction raises ``TypeError``. ``clipped_by`` names the caps that made it
    smaller.
    """

    proposal: Proposal
    clipped_by: tuple[str, ...]
    permit: _Permit

    def __post_init__(self) -> None:
        permit: object = self.permit
        if not isinstance(permit, _Permit) or permit.proposal is not self.proposal:
            raise TypeError("only pass_gate approves; send the proposal through it")


_DOWN = WORKING.copy()
_DOWN.rounding = ROUND_DOWN
_SIX = WORKING.copy()
_SIX.prec = 6

Check = Callable[[Proposal, GateContext, RiskLimits], Refusal | None]
Cap = Callable[[Proposal, GateContext, RiskLimits], tuple[Decimal, Decimal]]
"""(what the proposal takes of something, how much of it is left)."""


def propose(
    pair: Pair,
    quantity: Decimal,
    *,
    mark: Decimal,
    spot_price: Decimal,
    amount_at_risk: Decimal,
    leverage: Decimal,
    leverage_cap: Decimal,
    held_quantity: Decimal = ZERO,
    held_raw_margin: Decimal = ZERO,
    legs: Legs = Legs.CARRY,
    stop: Decimal | None = None,
    stressed_margin: Decimal = ZERO,
) -> Proposal:
    """An entry by ``legs``, with the prices that follow from it.

    ``quantity`` base units more on top of ``held_quantity`` (the perp's, signed) and
    its ``held_raw_margin``; the new part is margined at ``leverage``. ``spot_price`` is
    what buying costs, ``mark`` the perp's. ``stop`` is the price that stops a perp alone. Leverage,
    stop and liquidation are the worse of what is held and what will be, so they stay true
    when the gate clips what is added.
    """
    side = legs.opens(Kind.PERP)
    worst = _lowest if side is Side.SELL else _highest
    with localcontext(WORKING):
        notional = quantity * mark
        margin = margin_for(notional, leverage)
        perps = [
            (
                held_quantity + side.sign * quantity,
                held_raw_margin + margin - side.sign * notional,
            )
        ]
        if held_quantity != ZERO:
            perps.append((held_quantity, held_raw_margin))
        tiers = pair.perp.margin_tiers
        spot_cost = quantity * spot_price
        fees = notional * pair.perp.fees.taker
        if legs.trades_spot:
            fees += spot_cost * pair.spot.fees.taker
        bought = spot_cost if legs is Legs.CARRY else ZERO
        smallest = max(pair.spot.minimum_notional, pair.perp.minimum_notional) / min(
            mark, spot_price
        )
        return Proposal(
            pair=pair.name,
            perp_side=side,
            adds_risk=True,
            quantity=quantity,
            lot=pair.lot,
            minimum_quantity=max(smallest, pair.lot),
            notional=notional,
            margin=margin,
            capital=bought + margin + fees,
            amount_at_risk=amount_at_risk,
            leverage=max(
                effective_leverage(abs(q) * mark, equity_at(q, raw, mark)) for q, raw in perps
            ),
            venue_leverage_max=max_leverage(abs(perps[0][0]) * mark, tiers),
            entry_mark=mark,
            stop_price=stop or worst(stop_price(q, raw, leverage_cap) for q, raw in perps),
            liquidation_price=worst(liquidation_price(q, raw, tiers) for q, raw in perps),
            stressed_margin=stressed_margin,
        )


def _lowest(prices: Iterable[Decimal | None]) -> Decimal | None:
    return min((price for price in prices if price is not None), default=None)


def _highest(prices: Iterable[Decimal | None]) -> Decimal | None:
    return max((price for price in prices if price is not None), default=None)


def pass_gate(
    proposal: Proposal, context: GateContext, limits: RiskLimits
) -> Approved | tuple[Refusal, ...]:
    """Permission, in whole or for a clipped quantity, or every reason why not.

    A proposal that takes risk off is approved as it is, whatever the state of the
    data, the account or the limits.
    """
    if not proposal.adds_risk:
        return _approve(proposal, ())
    with localcontext(WORKING):
        refusals = [
            refusal for check in CHECKS if (refusal := check(proposal, context, limits)) is not None
        ]
    with localcontext(_DOWN):
        clipped, clipped_by, too_small = _clip(proposal, context, limits)
    refusals.extend(too_small)
    return tuple(refusals) if refusals else _approve(clipped, clipped_by)


def _approve(proposal: Proposal, clipped_by: tuple[str, ...]) -> Approved:
    return Approved(proposal, clipped_by, _Permit(proposal))


def _clip(
    proposal: Proposal, context: GateContext, limits: RiskLimits
) -> tuple[Proposal, tuple[str, ...], tuple[Refusal, ...]]:
    """The proposal in the size that every cap allows, the caps that bind, and the refusals."""
    share = ONE
    binding: list[str] = []
    refusals: list[Refusal] = []
    for name, cap in CAPS.items():
        taken, left = cap(proposal, context, limits)
        if taken <= max(left, ZERO):
            continue
        binding.append(name)
        allowed = max(left, ZERO) / taken
        share = min(share, allowed)
        if _whole_lots(proposal, allowed) < proposal.minimum_quantity:
            detail = "less is left of it than the smallest position takes"
            refusals.append(Refusal(name, _short(taken), _short(left), detail))
    quantity = _whole_lots(proposal, share)
    if quantity < proposal.minimum_quantity and not refusals:
        detail = "the position is smaller than the venue trades"
        refusals.append(
            Refusal("minimum_quantity", _short(quantity), _short(proposal.minimum_quantity), detail)
        )
    if not binding or refusals:
        return proposal, (), tuple(refusals)
    before = proposal.quantity
    scaled = msgspec.structs.replace(
        proposal,
        quantity=quantity,
        notional=proposal.notional * quantity / before,
        margin=margin_up(proposal.margin * quantity / before),
        capital=proposal.capital * quantity / before,
        amount_at_risk=proposal.amount_at_risk * quantity / before,
        stressed_margin=proposal.stressed_margin * quantity / before,
    )
    return scaled, tuple(binding), ()


def _whole_lots(proposal: Proposal, share: Decimal) -> Decimal:
    lots = (proposal.quantity * share / proposal.lot).to_integral_value(ROUND_DOWN)
    return lots * proposal.lot


def _short(value: Decimal | float) -> Decimal:
    """For reading: six significant digits."""
    number = decimal_of(value) if isinstance(value, float) else Decimal(value)
    return _SIX.plus(number) if number.is_finite() else number


# --- checks: no, whatever the size ----------------------------------------------------------------


def _no_limit_tripped(_p: Proposal, c: GateContext, _l: RiskLimits) -> Refusal | None:
    if not c.active_limits:
        return None
    detail = f"tripped: {', '.join(c.active_limits)}"
    return Refusal("limits", Decimal(len(c.active_limits)), ZERO, detail)


def _no_unknown_order(_p: Proposal, c: GateContext, _l: RiskLimits) -> Refusal | None:
    if c.unknown_orders == 0:
        return None
    return Refusal("unknown_orders", Decimal(c.unknown_orders), ZERO, "outcome not proven yet")


def _books_agree(_p: Proposal, c: GateContext, _l: RiskLimits) -> Refusal | None:
    if c.reconciled_clean:
        return None
    return Refusal("reconciled", ONE, ZERO, "the books and the venue disagree")


def _equity_is_positive(_p: Proposal, c: GateContext, _l: RiskLimits) -> Refusal | None:
    if c.equity > ZERO:
        return None
    return Refusal("equity", _short(c.equity), ZERO, "nothing to risk")


def _leverage_under_cap(p: Proposal, _c: GateContext, limits: RiskLimits) -> Refusal | None:
    limit = min(limits.leverage_cap, Decimal(p.venue_leverage_max))
    if p.leverage <= limit:
        return None
    return Refusal("leverage", _short(p.leverage), limit, "effective leverage after the fill")


def _stop_beyond_mark(p: Proposal, _c: GateContext, _l: RiskLimits) -> Refusal | None:
    if p.stop_price is None or _beyond(p.perp_side, p.stop_price, p.entry_mark) > ZERO:
        return None
    return Refusal("stop", _short(p.stop_price), _short(p.entry_mark), "already reached by mark")


def _liquidation_beyond_stop(p: Proposal, _c: GateContext, limits: RiskLimits) -> Refusal | None:
    if p.liquidation_price is None:
        return None
    if p.stop_price is None or p.stop_price <= ZERO:
        return Refusal("liquidation_buffer", ZERO, limits.liquidation_buffer, "there is no stop")
    buffer = _beyond(p.perp_side, p.liquidation_price, p.stop_price)
    if buffer >= limits.liquidation_buffer:
        return None
    detail = f"liquidation {_short(p.liquidation_price)}, stop {_short(p.stop_price)}"
    return Refusal("liquidation_buffer", _short(buffer), limits.liquidation_buffer, detail)


def _liquidation_far_from_mark(p: Proposal, _c: GateContext, limits: RiskLimits) -> Refusal | None:
    if p.liquidation_price is None:
        return None
    distance = _beyond(p.perp_side, p.liquidation_price, p.entry_mark)
    if distance >= limits.liquidation_distance_min:
        return None
    detail = f"liquidation {_short(p.liquidation_price)}, mark {_short(p.entry_mark)}"
    return Refusal(
        "liquidation_distance", _short(distance), limits.liquidation_distance_min, detail
    )


def _no_event_ahead(_p: Proposal, c: GateContext, limits: RiskLimits) -> Refusal | None:
    if limits.event_hours <= 0.0 or c.event.hours > limits.event_hours:
        return None
    detail = f"hours to {c.event.kind}"
    return Refusal("event", _short(c.event.hours), _short(limits.event_hours), detail)


def _no_weekend(_p: Proposal, c: GateContext, limits: RiskLimits) -> Refusal | None:
    if limits.weekend_entries or not c.weekend:
        return None
    return Refusal("weekend", ONE, ZERO, "nothing is entered on Saturday and Sunday, UTC")


def _few_forced_orders(_p: Proposal, c: GateContext, limits: RiskLimits) -> Refusal | None:
    if c.forced_hours is None or c.forced_hours <= limits.cluster_hours_max:
        return None
    detail = (
        f"hours of trading, estimated, forced within {limits.cluster_distance:.1%} "
        "on the perp's losing side"
    )
    return Refusal("clusters", _short(c.forced_hours), _short(limits.cluster_hours_max), detail)


def _beyond(perp_side: Side, price: Decimal, reference: Decimal) -> Decimal:
    """How far ``price`` lies on the perp's losing side of ``reference``, as its fraction."""
    return (reference - price) * perp_side.sign / reference


def _reading(
    name: str,
    actual: Callable[[GateContext], float],
    limit: Callable[[RiskLimits], float],
    detail: str,
) -> Check:
    """A reading at most its limit. Written so that a reading that is no number refuses."""

    def check(_p: Proposal, context: GateContext, limits: RiskLimits) -> Refusal | None:
        value, bound = actual(context), limit(limits)
        if value <= bound:
            return None
        return Refusal(name, _short(value), _short(bound), detail)

    return check


def _oldest(context: GateContext) -> float:
    """Infinite where there is no data, or an age that is no number."""
    ages = context.data_age_seconds
    return max(ages) if ages and not any(map(math.isnan, ages)) else math.inf


def _data_skew(context: GateContext) -> float:
    oldest = _oldest(context)
    return oldest - min(context.data_age_seconds) if oldest < math.inf else math.inf


CHECKS: Final[tuple[Check, ...]] = (
    _no_limit_tripped,
    _no_unknown_order,
    _books_agree,
    _equity_is_positive,
    _leverage_under_cap,
    _stop_beyond_mark,
    _liquidation_beyond_stop,
    _liquidation_far_from_mark,
    _reading(
        "data_age",
        _oldest,
        lambda limits: limits.data_age_seconds_max,
        "seconds since the oldest quote",
    ),
    _reading(
        "data_skew",
        _data_skew,
        lambda limits: limits.data_skew_seconds_max,
        "seconds between the legs' quotes",
    ),
    _reading(
        "reconcile_age",
        lambda c: c.reconciled_age_seconds,
        lambda limits: limits.reconcile_age_seconds_max,
        "seconds since books and venue agreed",
    ),
    _reading(
        "clock_skew",
        lambda c: abs(c.clock_skew_seconds),
        lambda limits: limits.clock_skew_seconds_max,
        "seconds between our clock and the venue's",
    ),
    _reading(
        "order_rate",
        lambda c: c.orders_last_minute + 1,
        lambda limits: limits.orders_per_minute_max,
        "orders in a minute, with this one",
    ),
    _reading("spread", lambda c: c.spread, lambda limits: limits.spread_max, "of mid"),
    _reading(
        "volatility",
        lambda c: c.volatility_hourly,
        lambda limits: limits.volatility_hourly_max,
        "standard deviation of hourly returns",
    ),
    _reading(
        "dislocation",
        lambda c: abs(c.dislocation),
        lambda limits: limits.dislocation_max,
        "spot mid from the perp's oracle",
    ),
    _reading(
        "depeg",
        lambda c: 0.0 if c.depeg is None else abs(c.depeg),
        lambda limits: limits.depeg_max,
        "median of all spot mids from their oracles: the quote asset",
    ),
    _no_event_ahead,
    _no_weekend,
    _few_forced_orders,
)


def _under_stress(p: Proposal, c: GateContext, limits: RiskLimits) -> tuple[Decimal, Decimal]:
    """Of free collateral, with what the guard may have to add by then: here and elsewhere."""
    added = max(p.stressed_margin - p.margin, ZERO)
    if not (added or c.stress_taken):
        return ZERO, ZERO  # then it is what ``free_collateral`` asks
    left = c.free_collateral - c.equity * limits.free_collateral_reserve
    return p.capital + added, left - c.stress_taken


CAPS: Final[dict[str, Cap]] = {
    "risk_per_trade": lambda p, c, limits: (
        p.amount_at_risk,
        c.equity * limits.risk_per_trade * min(c.size_factor, ONE) - c.at_risk,
    ),
    "free_collateral": lambda p, c, limits: (
        p.capital,
        c.free_collateral - c.equity * limits.free_collateral_reserve,
    ),
    "depth": lambda p, c, limits: (p.notional, c.depth * limits.depth_share_max - c.held),
    "stress": _under_stress,
    "pair_exposure": lambda p, c, limits: (
        p.notional,
        c.equity * limits.pair_exposure_max - c.exposure.pair,
    ),
    "asset_exposure": lambda p, c, limits: (
        p.notional,
        c.equity * limits.asset_exposure_max - c.exposure.asset,
    ),
    "venue_exposure": lambda p, c, limits: (
        p.notional,
        c.equity * limits.venue_exposure_max - c.exposure.venue,
    ),
    "total_exposure": lambda p, c, limits: (
        p.notional,
        c.equity * limits.total_exposure_max - c.exposure.total,
    ),
}
