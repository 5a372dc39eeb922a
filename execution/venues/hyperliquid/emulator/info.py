"""The questions of ``/info``. Whoever asks about another address than the account's, the
account's own agent included, hears what the venue says of an account that has nothing."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from domain.account import MarginMode, PositionReport
from domain.money import ZERO, exact
from domain.time import MILLISECOND, SECOND, next_hour
from execution.venues.hyperliquid.emulator.agents import Agents
from execution.venues.hyperliquid.emulator.candles import INTERVALS
from execution.venues.hyperliquid.emulator.listing import Listing, is_perp
from execution.venues.hyperliquid.emulator.numbers import float_text, text
from execution.venues.hyperliquid.emulator.orders import Orders
from execution.venues.hyperliquid.emulator.quotes import Quotes
from execution.venues.hyperliquid.emulator.records import Records, Row
from execution.venues.hyperliquid.emulator.wallets import Wallets
from execution.venues.simulated.exchange import Exchange
from execution.venues.simulated.state import RATIO, rounded

Address = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{40}\Z")]

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises: broken text, broken UTF-8, nesting without end."""

_FILLS_A_PAGE = 2_000
_FILLS_KEPT = 10_000
_ROWS_A_PAGE = 500
REQUESTS_AT_FIRST = 10_000


class Unanswered(Exception):
    """No answer but an HTTP status, and its body."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status} {body}")
        self.status, self.body = status, body


def unprocessable() -> Unanswered:
    return Unanswered(422, "Failed to deserialize the JSON body into the target type")


def not_json() -> Unanswered:
    return Unanswered(400, "Failed to parse the request body as JSON")


class CandleQuestion(msgspec.Struct, frozen=True, rename="camel"):
    coin: str
    interval: str
    start_time: int
    end_time: int | None = None


class Question(msgspec.Struct, frozen=True, rename="camel"):
    type: str
    user: Address | None = None
    dex: str | None = None
    coin: str | None = None
    start_time: int | None = None
    end_time: int | None = None
    oid: int | str | None = None
    id: int | None = None
    req: CandleQuestion | None = None


_decoder = msgspec.json.Decoder(Question)


class Info:
    """Answers from what the exchange, the market and the records are now."""

    def __init__(
        self,
        exchange: Exchange,
        listing: Listing,
        orders: Orders,
        records: Records,
        quotes: Quotes,
        account: str,
        agents: Agents,
        wallets: Wallets,
    ) -> None:
        self._exchange, self._listing, self._orders = exchange, listing, orders
        self._records, self._quotes = records, quotes
        self._account, self._agents, self._wallets = account, agents, wallets
        self.actions = 0  # received so far, for the rate limit
        self._answers: dict[str, Callable[[Question, int], Any]] = {
            "meta": self._meta,
            "spotMeta": lambda _question, _now: self._listing.spot_meta(),
            "metaAndAssetCtxs": self._meta_and_contexts,
            "spotMetaAndAssetCtxs": self._spot_meta_and_contexts,
            "allMids": self._all_mids,
            "l2Book": self._book,
            "marginTable": self._margin_table,
            "perpDexs": lambda _question, _now: [None],
            "candleSnapshot": self._candles,
            "subAccounts": lambda _question, _now: None,
            "exchangeStatus": self._exchange_status,
            "fundingHistory": self._funding_history,
            "predictedFundings": self._predicted,
            "clearinghouseState": self._clearinghouse,
            "spotClearinghouseState": self._spot_clearinghouse,
            "openOrders": self._open_orders,
            "frontendOpenOrders": self._frontend_open_orders,
            "orderStatus": self._order_status,
            "historicalOrders": self._historical_orders,
            "userFills": self._fills,
            "userFillsByTime": self._fills_by_time,
            "userFunding": self._fundings,
            "userNonFundingLedgerUpdates": self._ledger,
            "userFees": self._fees,
            "userRateLimit": self._rate_limit,
            "userRole": self._role,
            "userAbstraction": self._abstraction,
            "extraAgents": self._extra_agents,
            "activeAssetData": self._active_asset_data,
        }

    def answer(self, body: bytes, now_ns: int) -> tuple[str, Any]:
        """The question's type, and the answer as plain values.

        Raises:
            Unanswered: with the status that the venue gives instead.
        """
        try:
            question = _decoder.decode(body)
        except msgspec.ValidationError as error:
            raise unprocessable() from error
        except NOT_JSON as error:
            raise not_json() from error
        if question.type not in self._answers:
            raise unprocessable()
        if question.dex:
            raise Unanswered(500, "null")
        return question.type, self._answers[question.type](question, now_ns)

    def _asks_about_the_account(self, question: Question) -> bool:
        if question.user is None:
            raise unprocessable()
        return question.user.lower() == self._account

    # --- the market ----------------------------------------------------------------------

    def _meta(self, _question: Question, _now_ns: int) -> Any:
        return self._listing.meta()

    def _meta_and_contexts(self, _question: Question, _now_ns: int) -> Any:
        contexts = [self._quotes.perp_context(perp) for perp in self._listing.perps]
        return [self._listing.meta(), contexts]

    def _spot_meta_and_contexts(self, _question: Question, _now_ns: int) -> Any:
        contexts = [self._quotes.spot_context(spot) for spot in self._listing.spots]
        return [self._listing.spot_meta(), contexts]

    def _all_mids(self, _question: Question, _now_ns: int) -> Any:
        return self._quotes.all_mids()

    def _book(self, question: Question, now_ns: int) -> Any:
        if question.coin is None:
            raise unprocessable()
        instrument = self._listing.by_coin.get(question.coin)
        if instrument is None:
            return None
        book = self._quotes.books.get(instrument.id)
        if book is None:
            return {"coin": question.coin, "time": now_ns // MILLISECOND, "levels": [[], []]}
        return self._quotes.book(book)

    def _candles(self, question: Question, _now_ns: int) -> Any:
        asked = question.req
        if asked is None or asked.interval not in INTERVALS:
            raise unprocessable()
        instrument = self._listing.by_coin.get(asked.coin)
        if instrument is None:
            raise Unanswered(500, "null")
        candles = self._quotes.candles[instrument.id]
        return candles.between(asked.interval, asked.start_time, asked.end_time)

    def _margin_table(self, question: Question, _now_ns: int) -> Any:
        table = None if question.id is None else self._listing.margin_table(question.id)
        if table is None:
            raise unprocessable()
        return table

    def _exchange_status(self, _question: Question, now_ns: int) -> Any:
        return {"specialStatuses": None, "time": now_ns // MILLISECOND}

    def _funding_history(self, question: Question, _now_ns: int) -> Any:
        if question.coin is None:
            raise unprocessable()
        timeline = self._records.rates.get(question.coin)
        if timeline is None or not is_perp(self._listing.by_coin[question.coin]):
            raise Unanswered(500, "null")
        return timeline.between(_start(question), question.end_time)[:_ROWS_A_PAGE]

    def _predicted(self, _question: Question, now_ns: int) -> Any:
        """``nextFundingTime`` is the settlement already past, as the venue has it."""
        past_ms = (next_hour(now_ns) - 3_600 * SECOND) // MILLISECOND
        contexts = self._quotes.contexts
        return [
            [
                perp.base,
                [
                    [
                        "HlPerp",
                        {
                            "fundingRate": float_text(contexts[perp.id].predicted.per_interval),
                            "nextFundingTime": past_ms,
                            "fundingIntervalHours": perp.funding_interval_hours or 1,
                        },
                    ]
                ],
            ]
            for perp in self._listing.perps
            if perp.id in contexts
        ]

    # --- the account ---------------------------------------------------------------------

    @exact()
    def _clearinghouse(self, question: Question, now_ns: int) -> Any:
        positions: Sequence[PositionReport] = ()
        wallet = None
        if self._asks_about_the_account(question):
            report = self._exchange.account_report(None, now_ns)
            positions, wallet = report.positions, self._wallets.on_perp_side(report)
        cash, held = (ZERO, ZERO) if wallet is None else (wallet.total, wallet.held)
        isolated = [p for p in positions if p.mode is MarginMode.ISOLATED]
        cross = [p for p in positions if p.mode is MarginMode.CROSS]
        return {
            "marginSummary": _summary(positions, cash),
            "crossMarginSummary": _summary(cross, cash),
            "crossMaintenanceMarginUsed": "0.0",
            "withdrawable": text(max(cash - held, ZERO)),
            "assetPositions": [
                {"type": "oneWay", "position": self._position(p)} for p in (*isolated, *cross)
            ],
            "time": now_ns // MILLISECOND,
        }

    def _position(self, report: PositionReport) -> Row:
        """``marginUsed`` is the isolated margin at mark: ``rawUsd + szi * mark``, exactly."""
        size = abs(report.quantity)
        perp = self._listing.by_coin[self._listing.coin_of[report.instrument]]
        unrealized = report.quantity * (report.mark - report.entry_price)
        staked = RATIO.divide(size * report.entry_price, Decimal(report.leverage))
        funded = self._records.funded[report.instrument]
        leverage: Row = {"type": report.mode.value, "value": report.leverage}
        if report.mode is MarginMode.ISOLATED:
            leverage["rawUsd"] = text(report.raw_margin)
        price = report.liquidation_price
        return {
            "coin": perp.base,
            "szi": text(report.quantity),
            "leverage": leverage,
            "entryPx": text(report.entry_price),
            "positionValue": text(size * report.mark),
            "unrealizedPnl": text(unrealized),
            "returnOnEquity": text(
                rounded(RATIO.divide(unrealized, staked), Decimal("1e-8")) if staked else ZERO
            ),
            "liquidationPx": None if price is None else text(price),
            "marginUsed": text(report.margin),
            "maxLeverage": perp.margin_tiers[0].max_leverage,
            "cumFunding": {
                "allTime": text(funded.all_time),
                "sinceOpen": text(funded.since_open),
                "sinceChange": text(funded.since_change),
            },
        }

    @exact()
    def _spot_clearinghouse(self, question: Question, now_ns: int) -> Any:
        """Isolated margin has left the balance: it is on its position."""
        if not self._asks_about_the_account(question):
            return {"balances": []}
        costs = {
            spot.base: (held := self._records.holdings[spot.id]).quantity * held.entry_price
            for spot in self._listing.spots
        }
        return {
            "balances": [
                {
                    "coin": balance.asset,
                    "token": self._listing.token_of[balance.asset],
                    "total": text(balance.total),
                    "hold": text(balance.held),
                    "entryNtl": text(rounded(costs.get(balance.asset, ZERO), Decimal("1e-8"))),
                }
                for balance in self._exchange.account_report(None, now_ns).balances
                if balance.asset in self._listing.token_of  # the wallet of perps is no token's
            ]
        }

    def _open_orders(self, question: Question, _now_ns: int) -> Any:
        mine = self._asks_about_the_account(question)
        return [order.short() for order in self._orders.open()] if mine else []

    def _frontend_open_orders(self, question: Question, _now_ns: int) -> Any:
        mine = self._asks_about_the_account(question)
        return [order.long() for order in self._orders.open()] if mine else []

    def _order_status(self, question: Question, _now_ns: int) -> Any:
        mine = self._asks_about_the_account(question)
        if question.oid is None:
            raise unprocessable()
        order = self._orders.find(question.oid)
        if order is None or not mine:
            return {"status": "unknownOid"}
        return {"status": "order", "order": order.with_status()}

    def _historical_orders(self, question: Question, _now_ns: int) -> Any:
        mine = self._asks_about_the_account(question)
        return [o.with_status() for o in self._orders.latest(_FILLS_A_PAGE)] if mine else []

    def _fills(self, question: Question, _now_ns: int) -> Any:
        """Newest first."""
        mine = self._asks_about_the_account(question)
        return self._records.fills.rows[: -_FILLS_A_PAGE - 1 : -1] if mine else []

    def _fills_by_time(self, question: Question, _now_ns: int) -> Any:
        """Oldest first, of the last ten thousand."""
        if not self._asks_about_the_account(question):
            return []
        fills = self._records.fills
        gone = max(len(fills.rows) - _FILLS_KEPT, 0)
        return fills.between(_start(question), question.end_time, gone)[:_FILLS_A_PAGE]

    def _fundings(self, question: Question, _now_ns: int) -> Any:
        """From the beginning where no start is named: ccxt names none."""
        if not self._asks_about_the_account(question):
            return []
        rows = self._records.fundings.between(question.start_time or 0, question.end_time)
        return rows[:_ROWS_A_PAGE]

    def _ledger(self, question: Question, _now_ns: int) -> Any:
        if not self._asks_about_the_account(question):
            return []
        return self._records.ledger.between(question.start_time or 0, question.end_time)[
            :_ROWS_A_PAGE
        ]

    def _fees(self, question: Question, _now_ns: int) -> Any:
        """Everybody pays the same here."""
        self._asks_about_the_account(question)
        perp, spot = self._listing.perp_fees, self._listing.spot_fees
        return {
            "dailyUserVlm": [],
            "feeSchedule": {
                "cross": text(perp.taker),
                "add": text(perp.maker),
                "spotCross": text(spot.taker),
                "spotAdd": text(spot.maker),
                "tiers": {"vip": [], "mm": []},
                "referralDiscount": "0.0",
                "stakingDiscountTiers": [],
            },
            "userCrossRate": text(perp.taker),
            "userAddRate": text(perp.maker),
            "userSpotCrossRate": text(spot.taker),
            "userSpotAddRate": text(spot.maker),
            "activeReferralDiscount": "0.0",
            "trial": None,
            "feeTrialReward": "0.0",
            "nextTrialAvailableTimestamp": None,
            "stakingLink": None,
            "activeStakingDiscount": {"bpsOfMaxSupply": "0.0", "discount": "0.0"},
        }

    def _rate_limit(self, question: Question, _now_ns: int) -> Any:
        mine = self._asks_about_the_account(question)
        volume = self._records.volume if mine else ZERO
        return {
            "cumVlm": text(volume),
            "nRequestsUsed": self.actions if mine else 0,
            "nRequestsCap": REQUESTS_AT_FIRST + int(volume),
            "nRequestsSurplus": 0,
        }

    def _role(self, question: Question, _now_ns: int) -> Any:
        if self._asks_about_the_account(question):
            return {"role": "user"}
        if question.user is not None and question.user.lower() in self._agents:
            return {"role": "agent", "data": {"user": self._account}}
        return {"role": "missing"}

    def _abstraction(self, question: Question, _now_ns: int) -> Any:
        return self._wallets.mode if self._asks_about_the_account(question) else "default"

    def _extra_agents(self, question: Question, _now_ns: int) -> Any:
        return self._agents.told() if self._asks_about_the_account(question) else []

    @exact()
    def _active_asset_data(self, question: Question, now_ns: int) -> Any:
        mine = self._asks_about_the_account(question)
        instrument = self._listing.by_coin.get(question.coin or "")
        if instrument is None or not is_perp(instrument):
            raise unprocessable()
        position = self._exchange.position(instrument.id)
        free = (
            self._exchange.account_report(None, now_ns).free(self._wallets.perp) if mine else ZERO
        )
        free = max(free, ZERO)
        mark = Decimal(self._quotes.mark(instrument.id) or 0)
        size = ZERO
        if mark:
            size = instrument.floor_quantity(RATIO.divide(free * position.leverage, mark))
        return {
            "user": question.user,
            "coin": question.coin,
            "leverage": {"type": position.mode.value, "value": position.leverage},
            "maxTradeSzs": [text(size), text(size)],
            "availableToTrade": [text(free), text(free)],
            "markPx": text(mark),
        }


def _start(question: Question) -> int:
    if question.start_time is None:
        raise unprocessable()
    return question.start_time


def _summary(positions: Sequence[PositionReport], cash: Decimal) -> Row:
    """``cash`` is what of the perps' own wallet is on no isolated position."""
    value = sum((p.margin for p in positions), ZERO)
    return {
        "accountValue": text(cash + value),
        "totalNtlPos": text(sum((abs(p.quantity) * p.mark for p in positions), ZERO)),
        "totalRawUsd": text(cash + sum((p.raw_margin for p in positions), ZERO)),
        "totalMarginUsed": text(value),
    }
