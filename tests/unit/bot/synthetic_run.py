"""A made-up run with everything in it that can move money: facts, and the books they give.

Synthetic throughout: prices, rates and events are drawn from a seed and mean nothing.
"""

from decimal import Context, Decimal
from random import Random

import msgspec

from bot.report import Closing, Holding, RiskFigures
from domain.account import CashCause, Cashflow, FundingPayment
from domain.instruments import FeeSchedule, Instrument, Kind, MarginTier, Pair
from domain.money import Money, decimal_of, exact
from domain.orders import (
    Fill,
    FillCause,
    Liquidity,
    OrderRequest,
    Side,
    TimeInForce,
    client_order_id,
)
from domain.targets import Action, ExitCause, Target
from domain.time import HOUR, SECOND
from execution.facts import (
    Decided,
    EquityMarked,
    Fact,
    OrderIntended,
    ResidualMoved,
    Retargeted,
    Role,
    RunStarted,
    Stage,
    StageChanged,
    TradePlanned,
)
from execution.ledger.books import Books

START = 1_750_000_000 * SECOND
ZERO = Decimal(0)


def pair_of(name: str, token: str) -> Pair:
    fees = FeeSchedule(Decimal("0.0004"), Decimal("0.0007"), buyer_pays_base=True)
    lot, minimum = Decimal("0.0001"), Decimal(10)
    spot = Instrument("synthetic", f"{token}/USDC", Kind.SPOT, token, "USDC", lot, 5, minimum, fees)
    perp = Instrument(
        "synthetic",
        f"{name}-PERP",
        Kind.PERP,
        name,
        "USDC",
        lot,
        5,
        minimum,
        fees,
        margin_tiers=(MarginTier(ZERO, 10),),
        funding_interval_hours=1,
    )
    return Pair(name, spot, perp)


PAIRS = (pair_of("BTC", "UBTC"), pair_of("HYPE", "HYPE"))


def target(pair: str, action: Action, reason: str) -> Target:
    return Target(pair, action, ZERO, reason, 1.25e-05, 1e-06, 72.0, 0.0015, 0.0004, 0.05)


def plan(trade_id: str, pair: str, time_ns: int) -> TradePlanned:
    texts = ("funding outruns its costs", "forecast under the exit band", "hold 72 h")
    one = Decimal(1)
    return TradePlanned(
        trade_id,
        pair,
        "spot",
        one,
        Decimal(4000),
        2,
        *texts,
        one,
        one,
        one,
        0.0,
        0.0,
        0.0,
        (),
        time_ns,
    )


class SyntheticRun:
    """Facts as they happen, and the books that follow them."""

    def __init__(
        self, seed: int = 0, capital: str = "10000", quantum: Decimal | None = Decimal("1e-8")
    ) -> None:
        """``quantum``: what the venue rounds fees and funding to; None rounds nothing."""
        self.dice = Random(seed)
        self.now = START
        self.facts: list[Fact] = []
        self.books = Books()
        self.opening: tuple[Holding, ...] = ()
        self.number = 0
        self.quantum = quantum
        start = RunStarted(
            "paper", "synthetic", "simulated", True, seed, Decimal(capital), ("BTC",), "", START
        )
        self.facts.append(start)
        self.flow(CashCause.DEPOSIT, capital)

    def next(self) -> str:
        self.number += 1
        self.now += self.dice.randrange(1, HOUR)
        return f"e{self.number}"

    def decimal(self, low: float, high: float, digits: int) -> Decimal:
        return decimal_of(round(self.dice.uniform(low, high), digits))

    def rounded(self, amount: Decimal) -> Decimal:
        if self.quantum is None:
            return amount
        return amount.quantize(self.quantum, context=Context(prec=60))

    def flow(self, cause: CashCause, amount: str, trade: str | None = None) -> None:
        money = Money(Decimal(amount), "USDC")
        fact = Cashflow(self.next(), money, cause, None, self.now, self.now)
        self.facts.append(fact)
        self.books.cashflow(fact, trade)

    def bring(self, instrument: Instrument, quantity: str, price: str) -> None:
        """Inventory that was there before the start."""
        amounts = (Decimal(quantity), Decimal(price))
        money = Money(amounts[0], instrument.base)
        fact = Cashflow(self.next(), money, CashCause.DEPOSIT, instrument.id, self.now, self.now)
        self.facts.append(fact)
        self.books.cashflow(fact, None, instrument=instrument, price=amounts[1])
        self.opening += (Holding(instrument.symbol, instrument.kind, *amounts),)

    def plan(self, trade_id: str) -> None:
        self.facts.append(plan(trade_id, trade_id.split("#", maxsplit=1)[0], self.now))

    def order(
        self, trade: str, instrument: Instrument, side: Side, quantity: Decimal, price: Decimal
    ) -> OrderIntended:
        cloid = client_order_id(trade, self.next())
        request = OrderRequest(
            cloid, instrument.id, side, quantity, price, TimeInForce.IOC, False, self.now
        )
        fact = OrderIntended(request, trade, Role.TAKE, price + self.decimal(-1, 1, 4), self.now)
        self.facts.append(fact)
        return fact

    def fill(self, order: OrderIntended, instrument: Instrument, share: str = "1") -> Fill:
        request = order.request
        quantity = request.quantity * Decimal(share)
        in_base = instrument.kind is Kind.SPOT and request.side is Side.BUY
        with exact():
            share_of = quantity * (1 if in_base else request.price)
            fee = self.rounded(share_of * Decimal("0.0007"))
        fact = Fill(
            self.next(),
            request.cloid,
            instrument.id,
            request.side,
            request.price,
            quantity,
            Money(fee, instrument.base if in_base else "USDC"),
            Liquidity.TAKER,
            FillCause.ORDER,
            self.now,
            self.now + SECOND,
        )
        self.facts.append(fact)
        assert self.books.fill(fact, instrument, order.trade_id, order.decision_mid)
        return fact

    def trade(self, trade: str, instrument: Instrument, side: Side, quantity: str = "") -> Fill:
        amount = Decimal(quantity) if quantity else self.decimal(0.001, 2, 4)
        return self.fill(
            self.order(trade, instrument, side, amount, self.decimal(20, 900, 5)), instrument
        )

    def liquidate(self, instrument: Instrument, trade: str | None) -> None:
        amounts = (self.decimal(20, 900, 5), self.decimal(0.001, 0.1, 4))
        fact = Fill(
            self.next(),
            None,
            instrument.id,
            Side.BUY,
            *amounts,
            Money(self.decimal(0, 1, 6), "USDC"),
            Liquidity.TAKER,
            FillCause.LIQUIDATION,
            self.now,
            self.now,
        )
        self.facts.append(fact)
        assert self.books.fill(fact, instrument, trade, fact.price)
        self.flow(CashCause.LIQUIDATION_PENALTY, str(self.decimal(-5, 0, 6)), trade)

    def funding(self, instrument: Instrument, trade: str | None) -> None:
        position, price = self.decimal(-2, 2, 4), self.decimal(20, 900, 5)
        rate = decimal_of(self.dice.gauss(1.25e-05, 1e-04))
        with exact():
            payment = Money(self.rounded(-(position * price * rate)), "USDC")
        fact = FundingPayment(
            self.next(), instrument.id, position, price, rate, 1, payment, self.now, self.now
        )
        self.facts.append(fact)
        assert self.books.funding(fact, trade)

    def residual(self, instrument: Instrument, giver: str | None, taker: str | None) -> None:
        amounts = (self.decimal(-0.01, 0.01, 6), self.decimal(20, 900, 5))
        self.facts.append(ResidualMoved(instrument.id, *amounts, giver, taker, self.now))
        self.books.move_residual(instrument, *amounts, giver, taker)

    def decide(self, pair: str, action: Action, reason: str, *refusals: str) -> None:
        self.facts.append(Decided(target(pair, action, reason), refusals, self.now))

    def mark(self, equity: str) -> None:
        total = Decimal(equity)
        self.facts.append(EquityMarked(total, total, ZERO, ZERO, ZERO, {}, self.now))

    def close(self, trade: str, cause: ExitCause | None, reason: str) -> None:
        self.facts += [
            Retargeted(trade, ZERO, False, cause, reason, self.now),
            StageChanged(trade, Stage.CLOSED, self.now),
        ]

    def tell_again(self) -> None:
        """The venue repeats its last word, as after a reconnect."""
        self.facts.append(msgspec.structs.replace(self.facts[-1]))

    def closing(self, **changes: object) -> Closing:
        marks = {
            leg.id: self.decimal(20, 900, 5) for pair in PAIRS for leg in (pair.spot, pair.perp)
        }
        end = Closing(self.now + HOUR, marks, RiskFigures(), self.opening)
        return msgspec.structs.replace(end, **changes)


def random_run(seed: int, quantum: Decimal | None = Decimal("1e-8")) -> SyntheticRun:
    """Any mix of everything, a few dozen events of it."""
    run = SyntheticRun(seed, quantum=quantum)
    dice = run.dice
    if dice.random() < 0.5:
        run.bring(PAIRS[1].spot, "12.5", "31.4159")
    names = ["BTC#1", "HYPE#1", "HYPE#2"]
    for name in names:
        run.plan(name)
    for _ in range(dice.randrange(60)):
        pair, trade = dice.choice(PAIRS), dice.choice(names)
        holder = dice.choice([None, trade])
        leg = dice.choice([pair.spot, pair.perp])
        match dice.randrange(8):
            case 0 | 1 | 2:
                run.trade(trade, leg, dice.choice(list(Side)))
            case 3:
                run.funding(pair.perp, holder)
            case 4:
                run.residual(leg, holder, dice.choice([None, *names]))
            case 5:
                run.liquidate(pair.perp, holder)
            case 6:
                cause = dice.choice([CashCause.BORROW, CashCause.GAS])
                run.flow(cause, str(run.decimal(-2, 0, 8)), holder)
            case _:
                run.flow(dice.choice([CashCause.DEPOSIT, CashCause.WITHDRAWAL]), "77.7")
        if dice.random() < 0.2:
            run.tell_again()
    return run
