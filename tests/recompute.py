"""Total profit computed again from a run's own files, sharing no code with the product.

Reads the Parquet export and the report's ``open``, ``opening`` and nothing else.
"""

from collections.abc import Mapping
from decimal import Context, Decimal, Inexact, localcontext
from pathlib import Path
from typing import Any

import polars as pl


def recompute_total(export_dir: Path, report: Mapping[str, Any]) -> Decimal:
    """What the account earned: exact, in the quote currency.

    Raises:
        AssertionError: when the fills do not lead from ``opening`` to ``open``.
    """
    with localcontext(Context(prec=200, traps=[Inexact])):
        total = Decimal(0)
        quantities: dict[str, Decimal] = {}
        for row in _rows(export_dir / "fills.parquet"):
            name = row["instrument"]
            quote = name.split("/")[1] if row["kind"] == "spot" else row["fee_asset"]
            sign = {"buy": 1, "sell": -1}[row["side"]]
            quantity, fee = sign * Decimal(row["quantity"]), Decimal(row["fee"])
            total -= quantity * Decimal(row["price"])
            if row["fee_asset"] == quote:
                total -= fee
            else:
                quantity -= fee
            quantities[name] = quantities.get(name, Decimal(0)) + quantity
        for row in _rows(export_dir / "funding.parquet"):
            total += Decimal(row["payment"])
        for row in _rows(export_dir / "cashflows.parquet"):
            total += Decimal(row["amount"])
        for sign, holdings in ((1, report["open"]), (-1, report["opening"])):
            for held in holdings:
                name, quantity = held["instrument"], sign * Decimal(held["quantity"])
                total += quantity * Decimal(held["mark"])
                quantities[name] = quantities.get(name, Decimal(0)) - quantity
    unexplained = {name: str(quantity) for name, quantity in quantities.items() if quantity}
    assert not unexplained, f"fills do not lead from opening to open: {unexplained}"
    return total


def _rows(path: Path) -> list[dict[str, Any]]:
    return pl.read_parquet(path).to_dicts()
