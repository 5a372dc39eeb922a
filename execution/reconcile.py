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
    positions = {p.instrument: p for p in report.positions}
    balances = {balance.asset: balance.total for balance in report.balances}
    quote = state.books.quote
    raw_margin = sum((p.raw_margin for p in report.positions), ZERO)
    pairs = [(quote, state.books.cash(), balances.get(quote, ZERO) + raw_margin)]
    for instrument in state.instruments.values():
        ours = state.books.position(instrument.id)
        if instrument.kind is Kind.SPOT:
            pairs.append((instrument.base, ours, balances.get(instrument.base, ZERO)))
        else:
            position = positions.pop(instrument.id, None)
            pairs.append((instrument.symbol, ours, position.quantity if position else ZERO))
    pairs += [(name, ZERO, position.quantity) for name, position in positions.items()]
    return tuple(
        f"{what}: books {ours}, venue {theirs}" for what, ours, theirs in pairs if ours != theirs
    )


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
