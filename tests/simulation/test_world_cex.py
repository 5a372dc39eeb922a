"""The real bot at a venue without nonces: client ids, receive windows, funding by 4 and 8 hours."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

import bot.engine
from domain.account import FundingPayment
from domain.instruments import Kind, Pair
from domain.market import Book, Level, Reference
from domain.orders import (
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderRequest,
    OrderStatus,
    SendFailed,
    Side,
    TimeInForce,
    client_order_id,
)
from domain.time import HOUR, MILLISECOND, MINUTE, SECOND
from execution.facts import OrderIntended, OrderResolved, RequestSigned
from execution.ports import Reply, TransportFailed
from execution.reconcile import differences
from execution.venues.simulated.exchange import Exchange
from execution.venues.simulated.rules import VenueRules
from tests.world.campaign import CALM, Mix, judged, quantile, run_seed
from tests.world.cex import ADL, BAN_NS, PATIENCE, READ_LAG_NS, Cex, signed
from tests.world.cex_gateway import CexGateway, order_answer
from tests.world.cex_world import KEY, PAIRS, SECRETS, CexWorld
from tests.world.checker import check
from tests.world.net import Fate
from tests.world.oracle import Oracle
from tests.world.restless import Restless, Spell
from tests.world.world import START

HYPE, PURR = PAIRS
LOST: Mix = {
    Fate.LOST_BEFORE: 0.1, Fate.LOST_AFTER: 0.1, Fate.LATE: 0.1, Fate.FAILED_AFTER: 0.1
}  # fmt: skip
MARGIN_NS = SECOND


# --- the venue ------------------------------------------------------------------------------


class Floor:
    """The venue alone, quoting HYPE at 20, with 20 000 USDT in the account."""

    def __init__(self, requests_a_minute: int = 2_400) -> None:
        legs = [leg for pair in PAIRS for leg in (pair.perp, pair.spot)]
        exchange = Exchange(legs, VenueRules(), {"USDT": Decimal(20_000)}, START)
        self.cex = Cex(exchange, PAIRS, SECRETS, requests_a_minute=requests_a_minute)
        self.now_ns = START + SECOND
        for leg in (HYPE.spot, HYPE.perp):
            bids, asks = (Level(19.99, 1000.0),), (Level(20.01, 1000.0),)
            self.cex.play(Book(leg.id, bids, asks, self.now_ns, self.now_ns))

    def post(self, path: str, params: Mapping[str, object], aged_ms: int = 0) -> Reply:
        sent_ms = self.now_ns // MILLISECOND - aged_ms
        body = signed({"timestamp": sent_ms, "recvWindow": 5000, **params}, KEY, SECRETS[KEY])
        return self.cex.request(path, body, self.now_ns)

    def order(
        self,
        cloid: str,
        api: str = "api",
        *,
        aged_ms: int = 0,
        changes: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[int, dict[str, Any]]:
        whole: dict[str, object] = {
            "symbol": "HYPEUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "IOC",
            "quantity": "10", "price": "20.01", "newClientOrderId": cloid,
        }  # fmt: skip
        return told(self.post(f"/{api}/order", {**whole, **changes}, aged_ms))

    def find(self, cloid: str, api: str = "api") -> tuple[int, dict[str, Any]]:
        named = {"symbol": "HYPEUSDT", "origClientOrderId": cloid}
        return told(self.post(f"/{api}/order/query", named))

    def cancel(self, cloid: str, api: str) -> tuple[int, dict[str, Any]]:
        named = {"symbol": "HYPEUSDT", "origClientOrderId": cloid}
        return told(self.post(f"/{api}/order/cancel", named))

    def held(self, asset: str) -> Decimal:
        report = self.cex.exchange.account_report(None, self.now_ns)
        return sum((b.total for b in report.balances if b.asset == asset), Decimal(0))


def told(reply: Reply) -> tuple[int, dict[str, Any]]:
    return reply.status, msgspec.json.decode(reply.body)


@pytest.mark.parametrize(
    ("aged_ms", "taken"), [(0, True), (5000, True), (5001, False), (-1000, True), (-1001, False)]
)
def test_a_request_is_taken_within_its_window_and_not_more_than_a_second_ahead(
    aged_ms: int, taken: bool
) -> None:
    status, answer = Floor().order("x", aged_ms=aged_ms)
    assert (status == 200) is taken
    assert taken or answer["code"] == -1021


@pytest.mark.parametrize(
    ("key", "secret", "code"), [(KEY, b"guessed", -1022), ("nobody", b"guessed", -2015)]
)
def test_what_is_not_signed_with_a_known_key_is_refused(key: str, secret: bytes, code: int) -> None:
    floor = Floor()
    body = signed({"timestamp": floor.now_ns // MILLISECOND}, key, secret)
    _, answer = told(floor.cex.request("/sapi/account", body, floor.now_ns))
    assert answer["code"] == code


@pytest.mark.parametrize(("api", "code"), [("api", -2010), ("fapi", -4116)])
def test_a_client_id_is_taken_once_only_while_its_order_is_open(api: str, code: int) -> None:
    floor = Floor()
    rests = {"price": "19", "timeInForce": "GTX"}
    assert floor.order("x", api, changes=rests)[0] == 200
    status, answer = floor.order("x", api, changes=rests)
    assert (status, answer["code"]) == (400, code)
    assert floor.cancel("x", api)[1]["status"] == "CANCELED"
    assert floor.order("x", api, changes=rests)[0] == 200


def test_an_order_that_is_sent_again_after_it_has_ended_trades_again() -> None:
    floor = Floor()
    for _ in range(2):
        assert floor.order("x")[1]["status"] == "FILLED"
    assert floor.held("HYPE") == 2 * Decimal("9.99")


def test_a_spot_buy_pays_its_fee_in_what_is_bought_and_a_sell_in_the_quote() -> None:
    floor = Floor()
    floor.order("x")
    assert floor.held("HYPE") == Decimal("9.99")
    floor.order("y", changes={"side": "SELL", "quantity": "5", "price": "19.99"})
    assert floor.held("HYPE") == Decimal("4.99")
    spent, received = Decimal("200.10"), Decimal("99.95") * Decimal("0.999")
    assert floor.held("USDT") == 20_000 - spent + received


def test_an_order_is_found_a_moment_after_it_was_taken_and_a_refused_one_never() -> None:
    floor = Floor()
    floor.order("x")
    assert floor.order("dust", changes={"quantity": "0.01"})[1]["code"] == -4164
    assert floor.find("x")[1]["code"] == -2013
    floor.now_ns += READ_LAG_NS
    assert floor.find("x")[1]["executedQty"] == "10.00"
    assert floor.find("dust")[1]["code"] == -2013
    assert floor.find("x", "fapi")[1]["code"] == -2013


def test_who_asks_too_much_gets_429_and_who_goes_on_is_banned_for_a_while() -> None:
    floor = Floor(requests_a_minute=10)
    statuses = [floor.find("x")[0] for _ in range(10 + PATIENCE + 1)]
    assert statuses == [400] * 10 + [429] * PATIENCE + [418]
    floor.now_ns += MINUTE
    assert floor.order("x")[0] == 418
    assert floor.cex.received == []
    floor.now_ns += BAN_NS
    assert floor.find("x")[1]["code"] == -2013


@pytest.mark.parametrize(("pair", "hours"), [(HYPE, 8), (PURR, 4)])
def test_a_mark_price_tells_when_its_funding_is_due_next(pair: Pair, hours: int) -> None:
    floor = Floor()
    floor.cex.play(Reference(pair.perp.id, 20.0, 20.0, floor.now_ns, floor.now_ns))
    asked = msgspec.json.encode({"symbol": f"{pair.name}USDT"})
    _, answer = told(floor.cex.request("/fapi/premiumIndex", asked, floor.now_ns))
    due_ms = (START + hours * HOUR) // MILLISECOND
    assert (answer["p"], answer["h"], answer["T"]) == ("20.0", hours, due_ms)


def test_what_the_venue_closed_itself_bears_a_name_of_its_own() -> None:
    floor = Floor()
    for endpoint, setting in (
        ("marginType", {"marginType": "ISOLATED"}),
        ("leverage", {"leverage": 2}),
    ):
        assert floor.post(f"/fapi/{endpoint}", {"symbol": "HYPEUSDT", **setting}).status == 200
    short = {"side": "SELL", "price": "19.99"}
    assert floor.order("x", "fapi", changes=short)[1]["status"] == "FILLED"
    floor.cex.auto_deleverage(HYPE.perp.id, Decimal("0.5"), Decimal("19.99"), floor.now_ns)
    floor.now_ns += READ_LAG_NS
    reply = floor.post("/fapi/allOrders", {"symbol": "HYPEUSDT"})
    rows = msgspec.json.decode(reply.body)
    assert [row["clientOrderId"] for row in rows] == ["x", ADL]


# --- what an answer proves ------------------------------------------------------------------


def request(time_in_force: TimeInForce = TimeInForce.IOC) -> OrderRequest:
    return OrderRequest(
        client_order_id("order"), HYPE.spot.id, Side.BUY, Decimal(10), Decimal(20),
        time_in_force, reduce_only=False, expires_ns=START,
    )  # fmt: skip


def refusal(code: int, text: str = "") -> Reply:
    return Reply(400, msgspec.json.encode({"code": code, "msg": text}))


@pytest.mark.parametrize(
    "reply",
    [
        Reply(502, b"<html>Bad Gateway</html>"),
        Reply(503, msgspec.json.encode({"code": -1013, "msg": "even if it says no"})),
        Reply(429, msgspec.json.encode({"code": -1003, "msg": "Too many requests."})),
        Reply(418, msgspec.json.encode({"code": -1013, "msg": "banned"})),
        Reply(200, b'{"orderId":1,"clientOr'),
        Reply(200, msgspec.json.encode({"orderId": 1, "clientOrderId": "another's",
                                        "status": "FILLED", "executedQty": "10"})),
        Reply(400, b"<html>Bad Request</html>"),
        refusal(-4116, "ClientOrderId is duplicated."),
        refusal(-2010, "Duplicate order sent."),
        refusal(-1007, "Timeout waiting for response; execution status unknown."),
        refusal(-9999, "nobody has ever seen this code"),
    ],
)  # fmt: skip
def test_what_is_no_plain_answer_leaves_an_order_unknown(reply: Reply) -> None:
    (event,) = order_answer(request(), reply, START)
    assert isinstance(event, SendFailed)


@pytest.mark.parametrize(
    "reply",
    [
        refusal(-1021, "Timestamp for this request is outside of the recvWindow."),
        refusal(-2010, "Account has insufficient balance for requested action."),
        refusal(-2022, "ReduceOnly Order is rejected."),
        refusal(-5022, "not as maker"),
    ],
)
def test_a_code_on_the_list_proves_that_nothing_landed(reply: Reply) -> None:
    (event,) = order_answer(request(), reply, START)
    assert isinstance(event, OrderRejected)


def test_an_ioc_that_expires_has_ended_with_what_it_filled() -> None:
    row = {"orderId": 7, "clientOrderId": request().cloid, "status": "EXPIRED", "executedQty": "4"}
    accepted, ended = order_answer(request(), Reply(200, msgspec.json.encode(row)), START)
    assert isinstance(accepted, OrderAccepted)
    assert isinstance(ended, OrderCanceled)
    assert accepted.filled == ended.filled == Decimal(4)


# --- the bot --------------------------------------------------------------------------------


@pytest.fixture
def world() -> Iterator[CexWorld]:
    made = CexWorld(Oracle.seeded(3, CALM), 3, hours=0.2)
    yield made
    made.close()


def wrong(made: CexWorld) -> list[str]:
    return [*made.violations, *map(str, check(made.history()))]


def test_what_is_listed_is_read_from_the_venue_with_each_perps_own_interval(
    world: CexWorld,
) -> None:
    world.loop.run_until(START + 30 * SECOND)
    assert world.engine is not None
    assert tuple(world.engine.state.pairs.values()) == PAIRS
    assert [pair.perp.funding_interval_hours for pair in PAIRS] == [8, 4]


def test_on_a_calm_road_it_trades_and_nothing_is_wrong(world: CexWorld) -> None:
    world.run()
    assert wrong(world) == []
    result = judged(world, 3, 0.2, 0.0)
    assert result.trades >= 3
    assert quantile(result.naked, 0.99) <= 5
    assert {entry.signer for entry in world.cex.received} == {KEY}


def test_what_is_unknown_is_decided_by_query_or_by_its_passed_window_and_never_by_a_timeout() -> (
    None
):
    proofs: dict[str, int] = {}
    decided: list[float] = []
    for seed in (5, 6, 7):
        made = CexWorld(Oracle.seeded(seed, LOST), seed, hours=0.3)
        made.run()
        assert wrong(made) == []
        asked = {f.request.cloid: f.request for f in made.facts if isinstance(f, OrderIntended)}
        for fact in made.facts:
            assert not isinstance(fact, RequestSigned)
            if isinstance(fact, OrderResolved):
                proofs[fact.proof] = proofs.get(fact.proof, 0) + 1
                if fact.status is OrderStatus.NEVER_SEEN:
                    assert fact.time_ns > asked[fact.cloid].expires_ns + MARGIN_NS
        decided += judged(made, seed, 0.3, 0.0).decisions
        made.close()
    assert quantile(decided, 0.99) <= 30
    assert proofs.pop("never seen, and its expiry has passed") >= 5
    assert set(proofs) <= {f"the venue says {status}" for status in OrderStatus}
    assert sum(proofs.values()) >= 5


def test_a_clock_that_is_ahead_by_less_than_the_margin_does_no_harm() -> None:
    made = CexWorld(Oracle.seeded(5, LOST), 5, hours=0.2)
    made.clock.offset_ns = 900 * MILLISECOND
    made.run()
    assert wrong(made) == []
    assert any(isinstance(fact, OrderResolved) for fact in made.facts)
    made.close()


def test_with_a_clock_too_far_ahead_nothing_is_sent_and_a_person_is_told(world: CexWorld) -> None:
    world.clock.offset_ns = 2 * SECOND
    world.loop.run_until(START + MINUTE)
    assert world.cex.received == []
    assert [alarm.name for alarm in world.alarms] == ["start_delayed"]


def test_the_same_seed_is_the_same_run() -> None:
    first, second = (run_seed(8, 0.1, None, "cex") for _ in range(2))
    assert first.faults
    assert first.digest == second.digest


# --- funding --------------------------------------------------------------------------------


def holding(start_ns: int) -> CexWorld:
    """Twelve minutes in which both pairs are held from the first one on."""
    made = CexWorld(Oracle.seeded(7, CALM), 7, hours=0.2, start_ns=start_ns)
    strategy = Restless((), start_ns, made.end_ns, 7)
    spell = Spell(start_ns + 20 * SECOND, made.end_ns + HOUR, Decimal(1500), Kind.SPOT, False)
    strategy._spells = {pair.name: (spell,) for pair in PAIRS}
    made.strategy = strategy
    return made


@pytest.mark.parametrize(
    ("hour", "paying"), [(4, [PURR]), (8, [HYPE, PURR]), (9, [])], ids=["4", "8", "9"]
)
def test_each_perp_pays_at_its_own_interval_and_the_books_are_the_venues_to_the_last_digit(
    hour: int, paying: list[Pair]
) -> None:
    due_ns = START + hour * HOUR
    made = holding(due_ns - 6 * MINUTE)
    made.run()
    assert wrong(made) == []
    ours = [fact for fact in made.facts if isinstance(fact, FundingPayment)]
    theirs = [e for e in made.exchange.private_since(0) if isinstance(e, FundingPayment)]
    assert [payment.instrument for payment in ours] == [pair.perp.id for pair in paying]
    for payment, paid in zip(ours, theirs, strict=True):
        assert (payment.position, payment.rate, payment.payment, payment.interval_hours) == (
            paid.position, paid.rate, paid.payment, paid.interval_hours,
        )  # fmt: skip
    assert made.engine is not None
    for pair in paying:
        seen = made.engine.market.of(pair.perp.id)
        assert seen is not None
        assert (seen.settled[-1].time_ns, seen.settled[-1].hours) == (
            due_ns, pair.perp.funding_interval_hours,
        )  # fmt: skip
    report = made.exchange.account_report(None, made.loop.now_ns)
    assert differences(made.engine.state, report) == ()
    made.close()


# --- planted bugs ---------------------------------------------------------------------------


def test_a_gateway_that_sends_again_under_the_same_id_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At a venue with nonces the second one is refused; here it trades."""

    async def insist(self: CexGateway, order: OrderRequest, body: bytes) -> None:
        path = self._path(order.instrument, "order")
        for _ in range(3):
            try:
                reply = await self._api.send(path, body)
            except TransportFailed:
                continue
            if reply.status < 500:
                break
        else:
            return
        for event in order_answer(order, reply, self._clock.now_ns()):
            self._emit(event)

    monkeypatch.setattr(CexGateway, "_place", insist)
    mix: Mix = {Fate.LOST_AFTER: 0.2, Fate.FAILED_AFTER: 0.2}
    found = run_seed(5, 0.3, mix, "cex").violations
    assert any("was accepted twice" in text for text in found)
    assert any("more than was held lately" in text or "hedged twice" in text for text in found)


def test_a_bot_that_takes_not_found_for_never_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hasty(*_: object) -> str:
        return "not found"

    monkeypatch.setattr(bot.engine, "proof_of", hasty)
    found = run_seed(0, 0.2, {Fate.LATE: 0.4}, "cex").violations
    assert any(" I-9 " in text or "hedged twice" in text for text in found)
