"""What the page shows: one frozen view of a bot, and what changed between two of them. Pure."""

from decimal import Decimal
from typing import Any

import msgspec

from bot.control import Bot
from bot.picture import snapshot
from bot.record import Happening, Point
from domain.time import MILLISECOND
from execution.facts import Role
from execution.ledger.pnl import PnL
from execution.orders import OrderState
from execution.risk.halts import ActiveLimit
from execution.snapshot import Snapshot


class OrderLine(msgspec.Struct, frozen=True):
    """One order, newest first. ``price`` is its limit, or the mark that it waits for;
    quantities are in base units."""

    time_ns: int
    trade_id: str
    role: Role
    instrument: str
    side: str
    quantity: Decimal
    filled: Decimal
    price: Decimal
    state: OrderState


class Page(msgspec.Struct, frozen=True):
    """Everything on the page. ``happened`` is newest last, ``points`` oldest first."""

    snapshot: Snapshot
    paused: bool
    limits: tuple[ActiveLimit, ...]
    orders: tuple[OrderLine, ...]
    happened: tuple[Happening, ...]
    points: tuple[Point, ...]


def page_of(bot: Bot) -> Page:
    """The bot as it is now."""
    state, record = bot.engine.state, bot.record
    orders = [state.orders[cloid] for cloid in reversed(record.orders)]
    return Page(
        snapshot=snapshot(bot.engine),
        paused=state.paused,
        limits=state.limits.active,
        orders=tuple(
            OrderLine(
                order.intended_ns,
                order.trade_id,
                order.role,
                state.instruments[order.request.instrument].symbol,
                order.request.side.value,
                order.request.quantity,
                order.filled,
                order.request.trigger or order.request.price,
                order.state,
            )
            for order in orders
        ),
        happened=tuple(record.happened),
        points=record.points,
    )


def changes(before: Page | None, now: Page) -> dict[str, Any]:
    """What somebody who has ``before`` needs in order to have ``now``.

    ``snapshot`` has the fields that differ, ``pairs`` the pairs that do, by name (all of them
    where there is no ``before``, and in their order), ``points`` those that are new; of the
    rest, what differs is there in full.
    """
    old = before.snapshot if before is not None else None
    fields = {
        name: value
        for name in Snapshot.__struct_fields__
        if name != "pairs"
        and ((value := getattr(now.snapshot, name)) != getattr(old, name, _ABSENT))
    }
    seen = {pair.pair: pair for pair in old.pairs} if old is not None else {}
    last_ns = before.points[-1].time_ns if before is not None and before.points else None
    return {
        "snapshot": fields,
        "pairs": {p.pair: p for p in now.snapshot.pairs if seen.get(p.pair) != p},
        "points": [_drawn(p) for p in now.points if last_ns is None or p.time_ns > last_ns],
        **{
            name: value
            for name in ("paused", "limits", "orders", "happened")
            if (value := getattr(now, name)) != getattr(before, name, _ABSENT)
        },
    }


def _drawn(point: Point) -> tuple[float, float, list[float]]:
    """A point to be drawn: milliseconds, equity, and profit in the order of ``PnL``."""
    parts = [float(getattr(point.pnl, name)) for name in PnL.__struct_fields__]
    return point.time_ns / MILLISECOND, float(point.equity), parts


_ABSENT = object()
