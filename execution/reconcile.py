"""Our books against the venue's word. Pure.

The books are a fold of fills and payments; the report is what the venue holds.
They are compared only when nothing of ours is on the road, and a difference
counts only when two reads agree on it: a snapshot races with fills (failures L6).
"""

from domain.account import AccountReport
from domain.instruments import Kind
from domain.money import ZERO
from execution.orders import Order, OrderState
from execution.state import State


def differences(state: State, report: AccountReport) -> tuple[str, ...]:
    """Every difference between the books and ``report``, one line each; empty when they agree.

    Positions must agree to the last digit. So must cash: the venue's balance plus
    what it holds as raw margin behind positions is our cash.
    """
    found = []
    positions = {p.instrument: p for p in report.positions}
    for instrument in state.instruments.values():
        if instrument.kind is Kind.PERP:
            position = positions.pop(instrument.id, None)
            theirs = position.quantity if position is not None else ZERO
            ours = state.books.position(instrument.id)
            if ours != theirs:
                found.append(f"{instrument.symbol} position: books {ours}, venue {theirs}")
    found += [f"{name} position: books 0, venue {p.quantity}" for name, p in positions.items()]
    raw = sum((p.raw_margin for p in report.positions), ZERO)
    quotes = sorted({i.quote for i in state.instruments.values()})
    tokens = sorted({i.base for i in state.instruments.values() if i.kind is Kind.SPOT})
    totals = {balance.asset: balance.total for balance in report.balances}
    for asset in [*quotes, *tokens]:
        theirs = totals.get(asset, ZERO) + (raw if asset in quotes else ZERO)
        ours = state.books.cash(asset) if asset in quotes else state.books.balance(asset)
        if ours != theirs:
            found.append(f"{asset} balance: books {ours}, venue {theirs}")
    return tuple(found)


def is_comparable(state: State, report: AccountReport) -> bool:
    """Whether the report is as new as our last private news, and no fill is on its way."""
    settled = all(o.filled >= o.reported and not _is_taking(o) for o in state.orders.live())
    return settled and report.venue_time_ns >= state.private_ns


def _is_taking(order: Order) -> bool:
    return order.state in (OrderState.PENDING, OrderState.CANCELING, OrderState.UNKNOWN)


def missing_orders(state: State, report: AccountReport) -> tuple[str, ...]:
    """Ours that we believe open and the venue does not list: their fate has to be asked for."""
    listed = set(report.open_orders)
    return tuple(
        o.cloid
        for o in state.orders.live()
        if o.state is OrderState.OPEN
        and o.changed_ns < report.venue_time_ns
        and o.cloid not in listed
    )

