"""Public messages into market events. Pure. Raises ``BadMessage`` and nothing else."""

from domain.market import Book, FundingSettled, PerpContext, Trade
from domain.orders import Side
from domain.rates import FundingRate
from domain.time import HOUR, MILLISECOND
from execution.venues.hyperliquid import units
from execution.venues.hyperliquid.symbols import Listing, Market
from execution.venues.hyperliquid.wire import (
    ActiveAssetContext,
    BadMessage,
    BookFrame,
    Frame,
    FundingRow,
    QuotedBook,
    QuotedLevel,
    TradeRow,
    decode,
    hourly_rate,
    market,
    nanoseconds,
)

BOOKS, CONTEXTS, TRADES = "l2Book", "activeAssetCtx", "trades"


def public_event(
    listing: Listing, frame: Frame | BookFrame, received_ns: int
) -> Book | PerpContext | None:
    """None for what is no market data."""
    if isinstance(frame, BookFrame):
        return _book(listing, frame.data, received_ns)
    if frame.channel == BOOKS:
        return _book(listing, decode(frame.data, QuotedBook, strict=False), received_ns)
    if frame.channel == CONTEXTS:
        return _context(listing, decode(frame.data, ActiveAssetContext), received_ns)
    return None


def trades(listing: Listing, frame: Frame, received_ns: int) -> list[tuple[str, int, Trade]]:
    """Other people's trades as (coin, the venue's number of it, the trade)."""
    return [
        (
            row.coin,
            row.tid,
            Trade(
                instrument=_market(listing, row.coin).instrument.id,
                price=units.of_a_coin_seen(row.coin, market(row.px)),
                quantity=units.coins_seen(row.coin, market(row.sz)),
                aggressor=Side.BUY if row.side == "B" else Side.SELL,
                venue_time_ns=nanoseconds(row.time),
                received_ns=received_ns,
            ),
        )
        for row in decode(frame.data, list[TradeRow])
    ]


def funding_settled(listing: Listing, row: FundingRow, received_ns: int) -> FundingSettled:
    """Raises BadMessage too where it is of a time yet to come: nothing would be asked for until
    then."""
    if nanoseconds(row.time) > received_ns + HOUR // 2:
        raise BadMessage(f"{row.coin}: a rate settled at {row.time}, which is yet to come")
    rate = FundingRate(hourly_rate(row.funding_rate), 1)
    name = _market(listing, row.coin).instrument.id
    return FundingSettled(name, rate, nanoseconds(row.time), received_ns)


def _book(listing: Listing, book: QuotedBook, received_ns: int) -> Book:
    market = listing.by_coin.get(book.coin) or _market(listing, book.coin)
    bids, asks = book.levels
    if market.is_of_thousands:
        bids, asks = (tuple(_of_coins(book.coin, one) for one in side) for side in book.levels)
    return Book(market.instrument.id, bids, asks, book.time * MILLISECOND, received_ns)


def _of_coins(coin: str, level: QuotedLevel) -> QuotedLevel:
    price, size = units.of_a_coin_seen(coin, level.price), units.coins_seen(coin, level.size)
    return QuotedLevel(price, size)


def _context(listing: Listing, context: ActiveAssetContext, received_ns: int) -> PerpContext:
    """The message carries no time: it is as old as its receipt.

    ``funding`` is the venue's running estimate of this hour's rate.
    """
    coin, interest = context.coin, positive(context.ctx.open_interest)
    return PerpContext(
        instrument=_market(listing, coin).instrument.id,
        mark=units.of_a_coin_seen(coin, market(context.ctx.mark_px)),
        oracle=units.of_a_coin_seen(coin, market(context.ctx.oracle_px)),
        predicted=FundingRate(hourly_rate(context.ctx.funding), 1),
        venue_time_ns=received_ns,
        received_ns=received_ns,
        open_interest=interest and units.coins_seen(coin, interest),
        day_volume=positive(context.ctx.day_ntl_vlm),
    )


def positive(text: str | None) -> float | None:
    """A figure that is good to know, and no reason to doubt the rest; None of zero or less."""
    try:
        return market(text) if text is not None else None
    except BadMessage:
        return None


def _market(listing: Listing, coin: str) -> Market:
    known = listing.by_coin.get(coin)
    if known is None:
        raise BadMessage(f"news of {coin!r}, which was not asked for")
    return known
