"""What must be so after kills, from the venue's log and the journal on the disk alone."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Any

from domain.instruments import Pair
from domain.money import ZERO
from domain.orders import Fill, is_own
from execution.facts import Fact, OrderIntended, RequestSigned
from execution.reconcile import differences
from execution.state import State, apply
from execution.venues.hyperliquid.emulator.received import Received
from tests.world.processes.venue import Account, VenueHistory

TAKEN = frozenset({"resting", "filled"})
"""What the venue says of an order that it took."""
_ABOVE_MINIMUM = Decimal("1.05")  # the price moves between the judgement and the order


def accepted(received: Iterable[Received]) -> Iterator[tuple[str | None, Received]]:
    """Every order that the venue took, by its client id, with the request that brought it."""
    for request in received:
        for order, status in zip(request.orders, request.statuses, strict=False):
            if request.outcome == "ok" and status in TAKEN:
                yield order.cloid, request


def lost(facts: Sequence[Fact], received: Iterable[Received], trader: str) -> Iterator[str]:
    """What the venue has of ``trader`` that is not in its journal as it was sent."""
    intended = {fact.request.cloid for fact in facts if isinstance(fact, OrderIntended)}
    signed = {
        sha256(fact.body.encode()).hexdigest(): fact
        for fact in facts
        if isinstance(fact, RequestSigned)
    }
    nonces = {fact.nonce for fact in signed.values()}
    ours = [request for request in received if request.signer == trader]
    for request in ours:
        if request.action == "noop":  # signed as it leaves, with the nonce of what it is to stop
            if request.nonce not in nonces:
                yield f"lost: a fence for nonce {request.nonce}, which is none of the journal's"
        elif request.digest not in signed:
            yield f"lost: {request.action} with nonce {request.nonce} is not in the journal"
    for cloid, request in accepted(ours):
        fact = signed.get(request.digest)
        if cloid not in intended or (fact is not None and fact.request_id != cloid):
            yield f"lost: order {cloid} was taken and never intended"


def repeated(facts: Iterable[Fact], received: Sequence[Received]) -> Iterator[str]:
    """What happened more than once, and may not."""
    counts: dict[str, Counter[Any]] = {
        "order": Counter(cloid for cloid, _ in accepted(received)),
        "nonce": Counter((r.signer, r.nonce) for r in received if r.action != "noop"),
        "body": Counter(r.digest for r in received if r.action != "noop"),
        "signed nonce": Counter(f.nonce for f in facts if isinstance(f, RequestSigned)),
    }
    for what, counter in counts.items():
        yield from (f"{what} {key} twice" for key, number in counter.items() if number > 1)


def uneven(account: Account, pairs: Iterable[Pair]) -> Iterator[str]:
    """Every pair whose legs differ by an amount that could be traded."""
    for pair in pairs:
        total = sum((b.total for b in account.report.balances if b.asset == pair.spot.base), ZERO)
        position = account.report.position(pair.perp.id)
        delta = total + (position.quantity if position is not None else ZERO)
        minimum = max(pair.spot.minimum_notional, pair.perp.minimum_notional) * _ABOVE_MINIMUM
        quantity = pair.floor_quantity(abs(delta))
        if quantity * account.mids.get(pair.perp.id, ZERO) >= minimum:
            yield f"naked: {pair.name} by {delta}"


def unfinished(state: State, account: Account) -> Iterator[str]:
    """What should have come to its end by itself."""
    yield from (f"{order.cloid} is still UNKNOWN" for order in state.orders.unknown())
    yield from (f"{cloid} still rests" for cloid in account.report.open_orders if is_own(cloid))
    yield from (f"{trade} is still open" for trade in state.open_trades.values())


def mistaken(state: State, facts: Iterable[Fact], history: VenueHistory) -> Iterator[str]:
    """Where the books are not the venue's."""
    yield from (f"books: {what}" for what in differences(state, history.account.report))
    if not state.books.balanced():
        yield "the books do not balance"
    told = len({fact.fill_id for fact in facts if isinstance(fact, Fill)})
    happened = sum(1 for event in history.private if isinstance(event, Fill))
    if told != happened:
        yield f"{told} fills are in the journal, {happened} happened"


def judge(
    facts: Sequence[Fact], history: VenueHistory, pairs: Sequence[Pair], trader: str
) -> tuple[str, ...]:
    """All that is wrong after a time in which nothing was wanted and nobody was killed."""
    state = State(pairs)
    for fact in facts:
        apply(state, fact)
    return (
        *lost(facts, history.received, trader),
        *repeated(facts, history.received),
        *uneven(history.account, pairs),
        *unfinished(state, history.account),
        *mistaken(state, facts, history),
    )
