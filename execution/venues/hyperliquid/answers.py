"""What the reply to an action proves. Pure.

An order is REJECTED only by a sentence on the list of those that prove that nothing landed.
Everything else that is no plain success (another status than 200, another shape, another
text) leaves its outcome unknown: the venue has answered errors for orders that it took.
"""

from enum import StrEnum

import msgspec

from domain.money import ZERO
from domain.orders import (
    RESTS_ONLY,
    CancelReason,
    FenceOutcome,
    OrderAccepted,
    OrderCanceled,
    OrderFenced,
    OrderRejected,
    OrderRequest,
    SendFailed,
)
from execution.ports import Reply
from execution.venues.hyperliquid import units
from execution.venues.hyperliquid.wire import BadMessage, Id, Message, Number, decode, positive

OrderAnswer = OrderAccepted | OrderRejected | OrderCanceled | SendFailed

WORDS_MAX = 300
"""Of the venue's, in characters, as far as they are kept: all of them may be megabytes."""

NOTHING_MATCHED = "Order could not immediately match"
NOTHING_TO_CANCEL = "Order was never placed, already canceled, or filled."

POST_ONLY_MODE = "Only post-only orders allowed"

# Prefixes: real texts go on, for example with " asset=3".
ORDER_REFUSALS = (
    "Price must be divisible by tick size",
    "Order must have minimum value of",
    "Insufficient margin to place order",
    "Insufficient spot balance",
    "Reduce only order would increase position",
    "Post only order would have immediately matched",
    NOTHING_MATCHED,
    "No liquidity available for market order",
    "Order would increase open interest",
    "Order rejected due to price more aggressive than oracle",
    "Order has insufficient spot balance to trade",
    "Order price too far from oracle",
    "Order price cannot be more than",
    "Invalid TP/SL price",
    "Order would cause position to exceed margin tier limit",
    "Order has zero size",
    "Order has invalid size",
    "Order has invalid price",
    POST_ONLY_MODE,
)
ACTION_REFUSALS = (
    *ORDER_REFUSALS,
    "Action already expired",
    "Too many cumulative requests",
    "User or API Wallet",
    "Must deposit before performing actions",
    "Unable to recover signer",
    "Insufficient margin",
)
NONCE_REFUSAL = "Invalid nonce"
NONCE_USED = ("Invalid nonce: duplicate nonce", "Invalid nonce: nonce too low")


class Settled(StrEnum):
    """What became of an action that is not an order."""

    DONE = "done"
    REFUSED = "refused"  # for certain: nothing changed
    UNCLEAR = "unclear"  # ask the venue how things stand


class _Resting(Message, frozen=True):
    oid: Id


class _Filled(Message, frozen=True):
    oid: Id
    total_sz: Number


class _OrderStatus(Message, frozen=True):
    """One of the three."""

    resting: _Resting | None = None
    filled: _Filled | None = None
    error: str | None = None


class _Statuses(Message, frozen=True):
    statuses: list[_OrderStatus | str]


class _Response(Message, frozen=True):
    type: str
    data: _Statuses | None = None


class _Answer(Message, frozen=True):
    """``response`` is a text where the whole action was refused."""

    status: str
    response: _Response | str


def order_answer(request: OrderRequest, reply: Reply, received_ns: int) -> tuple[OrderAnswer, ...]:
    """What the reply to ``request`` proves; the venue's time is that of the receipt."""
    try:
        answer = _status(reply)
        if isinstance(answer, str):
            return (_refusal(request, answer, ACTION_REFUSALS, received_ns),)
        if answer.resting is not None:
            return (_accepted(request.cloid, answer.resting.oid, received_ns),)
        if answer.filled is not None:
            return _filled(request, answer.filled, received_ns)
    except BadMessage as error:
        return (SendFailed(request.cloid, str(error), received_ns),)
    assert answer.error is not None, "Invariant: a status is one of three"
    if not request.rests and answer.error.startswith(NOTHING_MATCHED):
        cloid, reason = request.cloid, CancelReason.IOC
        return (OrderCanceled(cloid, reason, ZERO, received_ns, received_ns),)
    return (_refusal(request, answer.error, ORDER_REFUSALS, received_ns),)


def fence_answer(cloid: str, reply: Reply, received_ns: int) -> OrderFenced | None:
    """Burnt, used before, or None where the reply proves neither."""
    try:
        answer = _decoded(reply)
    except BadMessage:
        return None
    if answer.status == "ok":
        return OrderFenced(cloid, FenceOutcome.BURNT, received_ns, received_ns)
    if _is_error(answer) and str(answer.response).startswith(NONCE_USED):
        return OrderFenced(cloid, FenceOutcome.USED, received_ns, received_ns)
    return None


def cancel_answer(reply: Reply) -> tuple[Settled, str]:
    """DONE: canceled; REFUSED: there was nothing to cancel, with the venue's words."""
    try:
        answer = _status(reply, succeeded="success")
    except BadMessage as error:
        return Settled.UNCLEAR, str(error)
    if isinstance(answer, str):
        return Settled.UNCLEAR, answer[:WORDS_MAX]
    if answer == _OrderStatus():
        return Settled.DONE, ""
    if answer.error is None:
        return Settled.UNCLEAR, "an order's status for a cancel"
    gone = answer.error.startswith(NOTHING_TO_CANCEL.rstrip("."))
    return (Settled.REFUSED if gone else Settled.UNCLEAR), answer.error[:WORDS_MAX]


def setting_answer(reply: Reply) -> tuple[Settled, str]:
    """The answer to a change of leverage or margin, with the venue's words where it refused."""
    try:
        answer = _decoded(reply)
    except BadMessage as error:
        return Settled.UNCLEAR, str(error)
    if answer.status == "ok":
        return Settled.DONE, ""
    text = str(answer.response)[:WORDS_MAX]
    if not _is_error(answer) or text.startswith(NONCE_REFUSAL):
        # A nonce that was used before was used by this very request.
        return Settled.UNCLEAR, text
    return Settled.REFUSED, text


def _decoded(reply: Reply) -> _Answer:
    if reply.status != 200:
        raise BadMessage(f"HTTP {reply.status}")
    return decode(reply.body, _Answer)


def _is_error(answer: _Answer) -> bool:
    return answer.status == "err" and isinstance(answer.response, str)


def _status(reply: Reply, succeeded: str | None = None) -> _OrderStatus | str:
    """The status of the one order, or the text that refused the action.

    ``succeeded`` is the bare word that means success; it comes back as a status without error.
    """
    answer = _decoded(reply)
    if isinstance(answer.response, str):
        if answer.status != "err":
            raise BadMessage(f"{answer.status}: {answer.response[:200]}")
        return answer.response
    if answer.status != "ok" or answer.response.data is None:
        raise BadMessage(f"an answer of type {answer.response.type!r} without statuses")
    statuses = answer.response.data.statuses
    if len(statuses) != 1:
        raise BadMessage(f"{len(statuses)} statuses for one order")
    status = statuses[0]
    if isinstance(status, str):
        if status == succeeded:
            return _OrderStatus()
        raise BadMessage(f"a status that decides nothing: {status[:200]!r}")
    given = [status.resting, status.filled, status.error]
    if sum(part is not None for part in given) != 1:
        raise BadMessage("a status that is not one of resting, filled, error")
    return status


def _accepted(cloid: str, oid: int, received_ns: int) -> OrderAccepted:
    return OrderAccepted(cloid, str(oid), received_ns, received_ns)


def _filled(
    request: OrderRequest, filled: _Filled, received_ns: int
) -> tuple[OrderAccepted | OrderCanceled, ...]:
    total = units.coins(request.instrument, positive(filled.total_sz))
    if total > request.quantity:
        raise BadMessage(f"{total} filled of {request.quantity}")
    accepted = msgspec.structs.replace(
        _accepted(request.cloid, filled.oid, received_ns), filled=total
    )
    if request.rests or total == request.quantity:
        return (accepted,)
    rest = OrderCanceled(request.cloid, CancelReason.IOC, total, received_ns, received_ns)
    return accepted, rest


def _refusal(
    request: OrderRequest, text: str, proofs: tuple[str, ...], received_ns: int
) -> OrderRejected | SendFailed:
    words = text[:WORDS_MAX]
    if words.startswith(proofs):
        why = RESTS_ONLY if words.startswith(POST_ONLY_MODE) else ""
        return OrderRejected(request.cloid, why + words, received_ns, received_ns)
    return SendFailed(request.cloid, f"the venue says: {words}", received_ns)
