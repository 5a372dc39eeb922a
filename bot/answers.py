"""What ``status``, ``positions`` and ``why`` answer, as plain values for JSON and terminal.

Money and quantities are Decimals (JSON: strings), fractions floats, times ISO text.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from bot.record import Record
from bot.valuation import owners_profit
from domain.account import FundingPayment
from domain.money import ZERO, exact
from domain.orders import Fill
from domain.time import iso
from execution.facts import (
    Decided,
    LimitTripped,
    MarginIntended,
    OrderIntended,
    Retargeted,
    StageChanged,
)
from execution.ledger.pnl import PnL
from execution.orders import Order
from execution.pairs import PairTrade

Answer = dict[str, Any]
SHOWN_DECISIONS = 20


def status_of(history: Record) -> Answer:
    """Where the run stands, as of the last fact on record."""
    run, state = history.run, history.state
    return {
        "mode": run.mode,
        "venue": run.venue,
        "feed": run.feed,
        "synthetic": run.synthetic,
        "seed": run.seed,
        "started": iso(run.time_ns),
        "virtual_time": iso(state.time_ns),
        "journal_events": state.facts,
        "quote": history.state.books.quote,
        "capital": run.capital,
        "equity": history.equity(),
        "equity_peak": state.equity_peak + owners_profit(state, history.marks),
        "pnl": pnl_of(state.books.pnl_total(history.marks)),
        "paused": state.paused,
        "limits": list(state.limits.names),
        "mismatches": list(state.reconciled.mismatches) if state.reconciled is not None else [],
        "unknown_orders": len(state.orders.unknown()),
        "orders": dict(state.counts),
        "refused": dict(state.refusals),
        "pairs": [_pair(history, name) for name in state.pairs],
    }


def _pair(history: Record, name: str) -> Answer:
    state = history.state
    trade = state.trade_on(name)
    spot, perp = state.quantities(trade) if trade is not None else (ZERO, ZERO)
    decided = state.decided.get(name)
    return {
        "pair": name,
        "trade": trade.trade_id if trade is not None else None,
        "stage": trade.stage if trade is not None else None,
        "opened": _iso(trade.opened_ns) if trade is not None else None,
        "spot_quantity": spot,
        "perp_quantity": perp,
        "notional": _notional(history, name, max(abs(spot), abs(perp))),
        "pnl": pnl_of(history.pnl(trade.trade_id)) if trade is not None else None,
        "decision": decision_of(decided) if decided is not None else None,
    }


def _notional(history: Record, name: str, quantity: Decimal) -> Decimal:
    mark = history.marks.get(history.state.pairs[name].perp.id, ZERO)
    with exact():
        return quantity * mark


def positions_of(history: Record) -> Answer:
    """What is held, leg by leg; ``trade`` None is dust that belongs to no trade."""
    books = history.state.books
    held = []
    for instrument_id in books.positions():
        instrument = history.state.instruments[instrument_id]
        mark = history.marks.get(instrument_id, ZERO)
        for trade_id in (*books.trades, None):
            quantity = books.quantity(trade_id, instrument_id)
            if quantity:
                with exact():
                    value = quantity * mark
                held.append(
                    {
                        "trade": trade_id,
                        "instrument": instrument.symbol,
                        "venue": instrument.venue,
                        "kind": instrument.kind,
                        "quantity": quantity,
                        "mark": mark,
                        "value": value,
                    }
                )
    run = history.run
    return {
        "mode": run.mode,
        "synthetic": run.synthetic,
        "virtual_time": iso(history.state.time_ns),
        "positions": held,
    }


def pair_of(history: Record, name: str) -> Answer:
    """The last decisions on a pair, newest last, and the trades there were on it."""
    trades = [trade for trade in history.state.trades.values() if trade.plan.pair == name]
    decisions = list(history.decisions[name])
    return {
        "pair": name,
        "mode": history.run.mode,
        "synthetic": history.run.synthetic,
        "decisions": [decision_of(decided) for decided in decisions[-SHOWN_DECISIONS:]],
        "refused": dict(history.refused[name]),
        "trades": [_trade_line(history, trade) for trade in trades],
    }


def answer_to(history: Record, name: str) -> Answer:
    """What ``why`` says of a trade or a pair.

    Raises:
        LookupError: there is none of that name; which there are.
    """
    if name in history.state.trades:
        return trade_of(history, name)
    if name in history.state.pairs:
        return pair_of(history, name)
    known = ", ".join([*history.state.pairs, *history.state.trades])
    raise LookupError(f"no trade or pair {name!r} in this journal: there are {known}")


def trade_of(history: Record, trade_id: str) -> Answer:
    """One trade from plan to profit (SPEC R21)."""
    trade = history.state.trades[trade_id]
    facts = history.facts_of.get(trade_id, [])
    plan = trade.plan
    planned = [d for d in history.decisions[plan.pair] if d.time_ns <= plan.time_ns]
    return {
        **_trade_line(history, trade),
        "mode": history.run.mode,
        "synthetic": history.run.synthetic,
        "checklist": {
            "planned": iso(plan.time_ns),
            "thesis": plan.thesis,
            "invalidation": plan.invalidation,
            "objective": plan.objective,
            "quantity": plan.quantity,
            "notional": plan.notional,
            "maker_leg": plan.maker_leg,
            "leverage": plan.leverage,
            "amount_at_risk": plan.amount_at_risk,
            "liquidation_price": plan.liquidation_price,
            "stop_price": plan.stop_price,
            "funding_hourly": plan.funding_hourly,
            "forecast_hourly": plan.forecast_hourly,
            "cost": plan.cost,
            "clipped_by": list(plan.clipped_by),
            "tranches": trade.tranches,
        },
        "decision": decision_of(planned[-1]) if planned else None,
        "changes": [change for fact in facts if (change := _change(fact)) is not None],
        "orders": _orders(history, trade_id),
        "funding": [_payment(fact) for fact in facts if isinstance(fact, FundingPayment)],
        "pnl": pnl_of(history.pnl(trade_id)),
    }


def _trade_line(history: Record, trade: PairTrade) -> Answer:
    return {
        "trade": trade.trade_id,
        "pair": trade.plan.pair,
        "stage": trade.stage,
        "opened": _iso(trade.opened_ns),
        "closed": _iso(trade.closed_ns),
        "entry_reason": trade.plan.thesis,
        "exit_reason": trade.exit_reason,
        "exit_cause": trade.cause,
        "total": history.pnl(trade.trade_id).total,
    }


def decision_of(decided: Decided) -> Answer:
    """A verdict with the figures that it was made from."""
    target = decided.target
    return {
        "time": iso(decided.time_ns),
        "action": target.action,
        "notional": target.notional,
        "reason": target.reason,
        "refusals": list(decided.refusals),
        "forecast_hourly": target.forecast_hourly,
        "forecast_error": target.forecast_error,
        "horizon_hours": target.horizon_hours,
        "cost": target.cost,
        "expected_net": target.expected_net,
        "apr_on_capital": target.apr_on_capital,
    }


def pnl_of(pnl: PnL) -> dict[str, Decimal]:
    """Profit by source, and its total."""
    return {name: getattr(pnl, name) for name in pnl.__struct_fields__} | {"total": pnl.total}


def _change(fact: object) -> Answer | None:
    """What happened to the trade itself, in words."""
    match fact:
        case StageChanged(stage=stage, time_ns=time_ns):
            what = f"{stage}"
        case Retargeted(quantity=quantity, reason=reason, time_ns=time_ns, plan=plan):
            stop = f", stop {plan.stop_price}" if plan is not msgspec.UNSET else ""
            what = f"wanted quantity {quantity}{stop}: {reason}" if quantity else f"close: {reason}"
        case MarginIntended(amount=amount, reason=reason, time_ns=time_ns):
            what = f"margin {amount:+}: {reason}"
        case LimitTripped(limit=limit, detail=detail, time_ns=time_ns):
            what = f"limit {limit}: {detail}"
        case _:
            return None
    return {"time": iso(time_ns), "what": what}


def _orders(history: Record, trade_id: str) -> list[Answer]:
    facts = history.facts_of.get(trade_id, [])
    intents = [fact for fact in facts if isinstance(fact, OrderIntended)]
    fills = [fact for fact in facts if isinstance(fact, Fill)]
    answers = [
        _order(history.state.orders[intent.request.cloid], fills, history) for intent in intents
    ]
    strange = [fill for fill in fills if fill.cloid is None]
    return answers + [{"order": None, "role": None, "fills": [_fill(f)]} for f in strange]


def _order(order: Order, fills: Iterable[Fill], history: Record) -> Answer:
    request = order.request
    return {
        "order": order.cloid,
        "time": iso(order.intended_ns),
        "role": order.role,
        "instrument": history.state.instruments[request.instrument].symbol,
        "side": request.side,
        "quantity": request.quantity,
        "limit": request.price,
        "trigger": request.trigger,
        "time_in_force": request.time_in_force,
        "decision_mid": order.decision_mid,
        "state": order.state,
        "filled": order.filled,
        "fills": [_fill(fill) for fill in fills if fill.cloid == order.cloid],
    }


def _fill(fill: Fill) -> Answer:
    return {
        "time": iso(fill.venue_time_ns),
        "instrument": fill.instrument.partition(":")[2],
        "side": fill.side,
        "price": fill.price,
        "quantity": fill.quantity,
        "fee": fill.fee.amount,
        "fee_asset": fill.fee.asset,
        "liquidity": fill.liquidity,
        "cause": fill.cause,
    }


def _payment(payment: FundingPayment) -> Answer:
    return {
        "time": iso(payment.venue_time_ns),
        "position": payment.position,
        "price": payment.price,
        "rate": payment.rate,
        "interval_hours": payment.interval_hours,
        "payment": payment.payment.amount,
    }


def _iso(time_ns: int | None) -> str | None:
    return None if time_ns is None else iso(time_ns)
