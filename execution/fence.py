"""Deciding an UNKNOWN order: by proof, never because time has passed. Pure.

Each of these proves what became of an order, and nothing else does:

1. The venue knows it: its answer to a query by client id is its fate.
2. **The fence.** An action that does nothing was sent with the order's own nonce and the
   venue took it. A nonce is taken once, so the order has not landed and never will.
3. The venue says that the nonce is used, and *after* that it knows no such order: what
   used the nonce was an earlier fence, or the order was refused without a trace.
4. The venue refuses the request once it is older than its expiry, that has passed by
   the venue's clock, and the venue knows no such order.

3 and 4 are about orders that may never have arrived. One that the venue has acknowledged was
there: that it is unknown now says something about the answer.

Sending the order again, under any id, is none of them.
"""

from domain.orders import OrderReport, OrderRequest, OrderStatus
from domain.time import SECOND


def proof_of(
    report: OrderReport, request: OrderRequest, used_ns: int | None, margin_seconds: float
) -> str | None:
    """What ``report`` proves about the order ``request``; None where it may still land.

    ``used_ns`` is when the venue said that the order's nonce is used, None while it has
    not. ``margin_seconds`` covers what the clocks differ by and how far a venue's
    answers may lag behind what it did.
    """
    if report.status is not OrderStatus.NEVER_SEEN:
        return f"the venue says {report.status}"
    margin_ns = int(margin_seconds * SECOND)
    if used_ns is not None and report.venue_time_ns > used_ns + margin_ns:
        return "its nonce is used, and the venue knows no such order"
    if report.venue_time_ns > request.expires_ns + margin_ns:
        return "never seen, and its expiry has passed"
    return None


def skew_ns(asked_ns: int, answered_ns: int, venue_ns: int) -> int:
    """How far the venue's clock is ahead of ours, by the time ``venue_ns`` in one of its answers.

    It was read between question and answer: only what lies outside is certain. An answer from
    a copy that lags makes the clock look behind, never ahead.

    >>> skew_ns(100, 120, 110), skew_ns(100, 120, 150), skew_ns(100, 120, 70)
    (0, 30, -30)
    """
    return venue_ns - min(max(venue_ns, asked_ns), answered_ns)
