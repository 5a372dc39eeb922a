"""A profit's parts sum to it, whatever their digits."""

from decimal import Decimal

from execution.ledger.pnl import PnL


def test_parts_of_more_digits_than_the_default_context_keeps_still_sum_exactly() -> None:
    tiny, large = Decimal("1E-30"), Decimal(10**12)

    assert PnL(funding=large, fees=tiny).total - large == tiny
    assert (PnL(basis=large) + PnL(basis=tiny)).basis - large == tiny


def test_every_part_counts_once() -> None:
    parts = [
        Decimal(1),
        Decimal(20),
        Decimal(300),
        Decimal(4_000),
        Decimal(50_000),
        Decimal(600_000),
    ]

    assert PnL(*parts).total == Decimal(654_321)
    assert PnL(*parts) + PnL(*parts) == PnL(*(2 * part for part in parts))
