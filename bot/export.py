"""The files of a run (``--export``): every fill, payment and decision as tables.

Conventions are those of the report: instruments by symbol with the venue apart, kind
``spot`` or ``perp``, sides ``buy`` and ``sell`` with positive quantities, funding
positions signed, money and quantities as decimal strings, times in milliseconds UTC.

Total profit can be computed again, to the last digit, from ``fills``, ``funding``,
``cashflows`` and the report's ``open`` and ``opening``::

    - signed quantity x price - quote fees + funding + cashflows
    + open quantity x mark - opening quantity x mark

``cashflows`` therefore leaves capital out: deposits and withdrawals are in ``capital``.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from bot.report import is_capital, plain
from domain.account import Cashflow, FundingPayment
from domain.instruments import Pair
from domain.orders import Fill
from domain.time import MILLISECOND
from execution.facts import Decided, EquityMarked, Fact, OrderIntended, TradePlanned
from execution.ledger.entries import event_key

Cell = str | int | float | None
Row = tuple[Cell, ...]

_FLOWS = {"ts_ms": int, "asset": str, "amount": str, "cause": str}

COLUMNS: dict[str, dict[str, type]] = {
    "fills": {
        "ts_ms": int,
        "venue": str,
        "instrument": str,
        "kind": str,
        "side": str,
        "price": str,
        "quantity": str,
        "fee": str,
        "fee_asset": str,
        "liquidity": str,
        "pair": str,
        "order_id": str,
    },
    "funding": {
        "ts_ms": int,
        "venue": str,
        "instrument": str,
        "position": str,
        "price": str,
        "rate": float,
        "interval_hours": int,
        "payment": str,
        "asset": str,
    },
    "equity": {
        "ts_ms": int,
        "equity": str,
        "cash": str,
        "spot_value": str,
        "margin": str,
        "unrealized": str,
    },
    "decisions": {
        "ts_ms": int,
        "pair": str,
        "action": str,
        "reason": str,
        "forecast_hourly": float,
        "cost": float,
        "expected_net": float,
    },
    "cashflows": _FLOWS,
    "capital": _FLOWS,
}
"""Every table's columns, in order; an empty table has them too."""

Format = Literal["parquet", "csv"]


def export(
    facts: Iterable[Fact], pairs: Sequence[Pair], directory: Path, form: Format = "parquet"
) -> tuple[Path, ...]:
    """Write one file a table into ``directory``, which is created where it is missing."""
    import polars as pl

    kinds = {str: pl.String, int: pl.Int64, float: pl.Float64}
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, rows in tables(facts, pairs).items():
        schema = {column: kinds[kind] for column, kind in COLUMNS[name].items()}
        frame = pl.DataFrame(rows, schema=schema, orient="row")
        path = directory / f"{name}.{form}"
        if form == "parquet":
            frame.write_parquet(path)
        else:
            frame.write_csv(path)
        paths.append(path)
    return tuple(paths)


def tables(facts: Iterable[Fact], pairs: Sequence[Pair]) -> dict[str, list[Row]]:
    """Rows by table, in the order of the facts; what a venue told twice is one row."""
    rows: dict[str, list[Row]] = {name: [] for name in COLUMNS}
    names = _Names(pairs)
    seen: set[tuple[str, str, str]] = set()
    for fact in facts:
        match fact:
            case Fill() | FundingPayment() | Cashflow():
                if (key := event_key(fact)) not in seen:
                    seen.add(key)
                    table, row = _event(fact, names)
                    rows[table].append(row)
            case Decided():
                rows["decisions"].append(_decision(fact))
            case EquityMarked():
                rows["equity"].append(_equity(fact))
            case _:
                names.hear(fact)
    return rows


class _Names:
    """Which pair an order was for; where a fill has none of ours, whose leg it was on."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        legs = [(leg, pair) for pair in pairs for leg in (pair.spot, pair.perp)]
        self.kinds = {leg.id: leg.kind.value for leg, _ in legs}
        self._legs = {leg.id: pair.name for leg, pair in legs}
        self._trades: dict[str, str] = {}
        self._orders: dict[str, str | None] = {}

    def hear(self, fact: Fact) -> None:
        match fact:
            case TradePlanned():
                self._trades[fact.trade_id] = fact.pair
            case OrderIntended():
                self._orders[fact.request.cloid] = self._trades.get(fact.trade_id)
            case _:
                pass

    def pair(self, fill: Fill) -> str | None:
        ordered = self._orders.get(fill.cloid) if fill.cloid is not None else None
        return ordered or self._legs.get(fill.instrument)


def _event(fact: Fill | FundingPayment | Cashflow, names: _Names) -> tuple[str, Row]:
    match fact:
        case Fill():
            return "fills", _fill(fact, names.kinds.get(fact.instrument), names.pair(fact))
        case FundingPayment():
            return "funding", _funding(fact)
        case Cashflow():
            return ("capital" if is_capital(fact) else "cashflows"), _cashflow(fact)


def _fill(fact: Fill, kind: str | None, pair: str | None) -> Row:
    venue, symbol = fact.instrument.split(":", 1)
    return (
        fact.venue_time_ns // MILLISECOND,
        venue,
        symbol,
        kind,
        fact.side.value,
        plain(fact.price),
        plain(fact.quantity),
        plain(fact.fee.amount),
        fact.fee.asset,
        fact.liquidity.value,
        pair,
        fact.cloid,
    )


def _funding(fact: FundingPayment) -> Row:
    venue, symbol = fact.instrument.split(":", 1)
    return (
        fact.venue_time_ns // MILLISECOND,
        venue,
        symbol,
        plain(fact.position),
        plain(fact.price),
        float(fact.rate),
        fact.interval_hours,
        plain(fact.payment.amount),
        fact.payment.asset,
    )


def _equity(fact: EquityMarked) -> Row:
    amounts = (fact.equity, fact.cash, fact.spot_value, fact.margin, fact.unrealized)
    return (fact.time_ns // MILLISECOND, *map(plain, amounts))


def _decision(fact: Decided) -> Row:
    target = fact.target
    reason = "; ".join((target.reason, *(f"refused by {why}" for why in fact.refusals)))
    return (
        fact.time_ns // MILLISECOND,
        target.pair,
        target.action.value,
        reason,
        target.forecast_hourly,
        target.cost,
        target.expected_net,
    )


def _cashflow(fact: Cashflow) -> Row:
    time_ms = fact.venue_time_ns // MILLISECOND
    return (time_ms, fact.money.asset, plain(fact.money.amount), fact.cause.value)
