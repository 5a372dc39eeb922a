"""What proves an order's fate, and what only looks as if it did."""

from decimal import Decimal

import pytest

from domain.orders import OrderReport, OrderRequest, OrderStatus, Side, TimeInForce
from domain.time import SECOND
from execution.fence import proof_of

REQUEST = OrderRequest(
    "0x1", "sim:HYPE-PERP", Side.SELL, Decimal(1), Decimal(20), TimeInForce.IOC,
    reduce_only=False, expires_ns=100 * SECOND,
)  # fmt: skip


def report(status: OrderStatus, seconds: float) -> OrderReport:
    time_ns = int(seconds * SECOND)
    return OrderReport("0x1", status, Decimal(0), time_ns, time_ns)


@pytest.mark.parametrize("status", [s for s in OrderStatus if s is not OrderStatus.NEVER_SEEN])
def test_what_the_venue_knows_of_an_order_is_its_fate_at_any_time(status: OrderStatus) -> None:
    assert proof_of(report(status, 1), REQUEST, None, 1.0) == f"the venue says {status}"


@pytest.mark.parametrize("seconds", [0, 99.0, 100.0, 101.0])
def test_an_unseen_order_may_still_land_until_its_expiry_and_the_clock_margin_have_passed(
    seconds: float,
) -> None:
    assert proof_of(report(OrderStatus.NEVER_SEEN, seconds), REQUEST, None, 1.0) is None


def test_an_unseen_order_past_its_expiry_and_the_margin_can_never_land() -> None:
    assert proof_of(report(OrderStatus.NEVER_SEEN, 101.1), REQUEST, None, 1.0)
    assert proof_of(report(OrderStatus.NEVER_SEEN, 101.1), REQUEST, None, 3.0) is None


def test_a_used_nonce_proves_nothing_until_the_venue_is_asked_after_it() -> None:
    used_ns = 50 * SECOND
    for seconds, proven in ((49.0, False), (50.0, False), (51.0, False), (51.1, True)):
        proof = proof_of(report(OrderStatus.NEVER_SEEN, seconds), REQUEST, used_ns, 1.0)
        assert (proof is not None) is proven
