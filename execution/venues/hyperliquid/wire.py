"""Hyperliquid's messages in its own shape and spelling. They never leave this folder.

Numbers are strings on the wire and stay text in these structs: ``amount`` makes exact
Decimals of what concerns our money, ``market`` floats of what everybody sees. Of books alone,
which are most of what comes, the decoder itself makes floats, of a text or of a bare number.
Fields that nothing here uses are left out; one that is missing, or has another type, is
``BadMessage``.
"""

import re
from decimal import Decimal
from typing import Annotated, Literal, TypeVar

import msgspec

from domain.market import Level
from domain.money import ZERO
from domain.time import MILLISECOND

T = TypeVar("T")

FRAME_BYTES_MAX = 4_000_000
REASON_CHARACTERS_MAX = 300
NUMBER_CHARACTERS_MAX = 40
EXPONENT_MAX = 40
FUNDING_HOURLY_MAX = 0.04
"""The venue's own cap: 4 % an hour."""

Number = Annotated[str, msgspec.Meta(max_length=NUMBER_CHARACTERS_MAX)]
Quoted = Annotated[float, msgspec.Meta(ge=10.0**-EXPONENT_MAX, le=10.0**EXPONENT_MAX)]
"""A public price or size."""
Word = Annotated[str, msgspec.Meta(max_length=200)]
Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Millis = Annotated[int, msgspec.Meta(ge=0, le=(2**63 - 1) // MILLISECOND)]
"""What a journal can hold in nanoseconds: until the year 2262."""

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")


class BadMessage(ValueError):
    """A message that is not what the venue documents: nothing in it is believed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason[:REASON_CHARACTERS_MAX])  # it may quote a megabyte


def decode(raw: bytes | msgspec.Raw, kind: type[T], *, strict: bool = True) -> T:
    """One message as ``kind``; not ``strict`` takes numbers out of their text.

    Raises:
        BadMessage: on anything else, and on more than 4 MB.
    """
    if len(memoryview(raw)) > FRAME_BYTES_MAX:
        raise BadMessage(f"a message of over {FRAME_BYTES_MAX} bytes")
    try:
        return msgspec.json.decode(raw, type=kind, strict=strict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(f"not a {getattr(kind, '__name__', kind)}: {error}") from error


def amount(text: str) -> Decimal:
    """An exact number, of either sign.

    >>> amount("-0.0050")
    Decimal('-0.0050')

    Raises:
        BadMessage: where it is no number, not finite, or beyond ten to the +-40.
    """
    if len(text) > NUMBER_CHARACTERS_MAX or not _NUMBER.fullmatch(text):
        raise BadMessage(f"not a number: {text[:NUMBER_CHARACTERS_MAX]!r}")
    value = Decimal(text)
    if not value:
        return ZERO  # never a negative zero
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int), "Invariant: the pattern admits finite numbers only"
    if abs(value.adjusted()) > EXPONENT_MAX or abs(exponent) > EXPONENT_MAX:
        raise BadMessage(f"a number beyond all reason: {text!r}")
    return value


def positive(text: str) -> Decimal:
    """A price or size of ours. Raises BadMessage where it is not above zero."""
    value = amount(text)
    if value <= ZERO:
        raise BadMessage(f"not positive: {text!r}")
    return value


def not_negative(text: str) -> Decimal:
    """Raises BadMessage below zero."""
    value = amount(text)
    if value < ZERO:
        raise BadMessage(f"negative: {text!r}")
    return value


def market(text: str) -> float:
    """A public price or size. Raises BadMessage where it is not above zero, within reason."""
    if len(text) <= NUMBER_CHARACTERS_MAX and _NUMBER.fullmatch(text):
        value = float(text)
        if 10.0**-EXPONENT_MAX <= value <= 10.0**EXPONENT_MAX:
            return value
    raise BadMessage(f"not a price or size: {text[:NUMBER_CHARACTERS_MAX]!r}")


def hourly_rate(text: str) -> float:
    """A funding rate per hour, a fraction. Raises BadMessage beyond the venue's cap."""
    rate = float(amount(text))
    if abs(rate) > FUNDING_HOURLY_MAX:
        raise BadMessage(f"a funding rate of over 4 % an hour: {text!r}")
    return rate


def nanoseconds(milliseconds: int) -> int:
    return milliseconds * MILLISECOND


class Message(msgspec.Struct, frozen=True, rename="camel"):
    """Keys are camelCase on the wire."""


# --- streams --------------------------------------------------------------------------------


class Frame(Message, frozen=True):
    channel: Word
    data: msgspec.Raw = msgspec.Raw(b"null")


class Subscription(Message, frozen=True):
    """As it is asked for; in an acknowledgement the venue adds fields of its own."""

    type: Word
    coin: Word = ""
    user: Word = ""


class Acknowledgement(Message, frozen=True):
    method: Word
    subscription: Subscription


class ExactLevel(Message, frozen=True):
    px: Number
    sz: Number


class L2Book(Message, frozen=True):
    """As an answer, with exact prices."""

    coin: Word
    time: Millis
    levels: tuple[list[ExactLevel], list[ExactLevel]]


class QuotedLevel(Level, frozen=True, gc=False):
    """What the market state keeps, under the venue's names: a book is decoded into it."""

    price: Quoted = msgspec.field(name="px")
    size: Quoted = msgspec.field(name="sz")


class QuotedBook(Message, frozen=True, gc=False):
    """As market data; decoded with ``strict=False``."""

    coin: Word
    time: Millis
    levels: tuple[tuple[QuotedLevel, ...], tuple[QuotedLevel, ...]]


class BookFrame(Message, frozen=True, gc=False):
    channel: Word
    data: QuotedBook


_BOOK_BEGINS = b'{"channel":"l2Book"'
_decode_book = msgspec.json.Decoder(BookFrame, strict=False).decode


def read_frame(raw: bytes) -> Frame | BookFrame:
    """One message of a stream; a book, as the venue writes it, is read in one go.

    Raises:
        BadMessage: on what is no frame. What is wrong inside of one is found by its reader.
    """
    if raw.startswith(_BOOK_BEGINS) and len(raw) <= FRAME_BYTES_MAX:
        try:
            return _decode_book(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    return decode(raw, Frame)


class TradeRow(Message, frozen=True):
    """``side`` is the aggressor's: ``B`` bought."""

    coin: Word
    side: Literal["A", "B"]
    px: Number
    sz: Number
    time: Millis
    tid: Id


class AssetContext(Message, frozen=True):
    funding: Number
    oracle_px: Number
    mark_px: Number
    open_interest: Number | None = None
    day_ntl_vlm: Number | None = None


class ActiveAssetContext(Message, frozen=True):
    """It carries no time of its own."""

    coin: Word
    ctx: AssetContext


class FundingRow(Message, frozen=True):
    coin: Word
    funding_rate: Number
    time: Millis


class Candle(Message, frozen=True):
    """One bar; ``open_time`` and ``close_time`` are its first and last millisecond."""

    open_time: Millis = msgspec.field(name="t")
    close_time: Millis = msgspec.field(name="T")
    coin: Word = msgspec.field(name="s")
    interval: Word = msgspec.field(name="i")
    open: Number = msgspec.field(name="o")
    high: Number = msgspec.field(name="h")
    low: Number = msgspec.field(name="l")
    close: Number = msgspec.field(name="c")
    volume: Number = msgspec.field(name="v")


class Liquidation(Message, frozen=True):
    """On the fills of both sides of a liquidation."""

    liquidated_user: Word | None = None


class FillRow(Message, frozen=True):
    coin: Word
    px: Number
    sz: Number
    side: Literal["A", "B"]
    time: Millis
    dir: Word
    oid: Id
    tid: Id
    crossed: bool
    fee: Number
    fee_token: Word
    cloid: Word | None = None
    liquidation: Liquidation | None = None


class UserFills(Message, frozen=True):
    user: Word
    fills: list[FillRow]
    is_snapshot: bool = False


class UserFunding(Message, frozen=True):
    """Without its time and coin this would be a rate; with them it is a payment."""

    time: Millis
    coin: Word
    usdc: Number
    szi: Number
    funding_rate: Number


class UserFundings(Message, frozen=True):
    user: Word
    fundings: list[UserFunding]
    is_snapshot: bool = False


class UserLiquidation(msgspec.Struct, frozen=True):
    """Keys are written with underscores here."""

    lid: Id
    liquidated_user: Word
    liquidated_ntl_pos: Number
    liquidated_account_value: Number


class NonUserCancel(Message, frozen=True):
    """An order that the venue canceled by itself."""

    coin: Word
    oid: Id


class UserEvent(Message, frozen=True):
    """One of these, or of a kind that came later. Each has a stream of its own, or shows in the
    account: that something has happened is all that is taken from it."""

    fills: list[FillRow] | None = None
    funding: UserFunding | None = None
    liquidation: UserLiquidation | None = None
    non_user_cancel: list[NonUserCancel] | None = None


class OrderRow(Message, frozen=True):
    """``sz`` is what remains, ``orig_sz`` what was asked for."""

    coin: Word
    side: Literal["A", "B"]
    limit_px: Number
    sz: Number
    orig_sz: Number
    oid: Id
    timestamp: Millis
    cloid: Word | None = None


class OrderUpdate(Message, frozen=True):
    order: OrderRow
    status: Word
    status_timestamp: Millis


# --- answers to questions -------------------------------------------------------------------


class OrderStatus(Message, frozen=True):
    """``order`` is absent where the venue does not know the order."""

    status: Word
    order: OrderUpdate | None = None


class Leverage(Message, frozen=True):
    """``raw_usd`` is there where the position is isolated."""

    type: Literal["isolated", "cross"]
    value: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    raw_usd: Number | None = None


class Position(Message, frozen=True):
    coin: Word
    szi: Number
    leverage: Leverage
    entry_px: Number | None
    position_value: Number
    margin_used: Number
    liquidation_px: Number | None


class AssetPosition(Message, frozen=True):
    position: Position


class MarginSummary(Message, frozen=True):
    account_value: Number


class ClearinghouseState(Message, frozen=True):
    """The last two are used in standard mode alone; of isolated positions nothing is in them."""

    asset_positions: list[AssetPosition]
    time: Millis
    cross_margin_summary: MarginSummary | None = None
    withdrawable: Number | None = None


class SpotBalance(Message, frozen=True):
    coin: Word
    token: Id
    total: Number
    hold: Number


class SpotClearinghouseState(Message, frozen=True):
    balances: list[SpotBalance]


class OpenOrder(Message, frozen=True):
    """``is_trigger``: it waits for a price, off the book. ``side`` "A" sells, "B" buys ``sz``."""

    coin: Word
    oid: Id
    cloid: Word | None = None
    is_trigger: bool = False
    side: Word = ""
    sz: Number = "0"


class ActiveAssetData(Message, frozen=True):
    coin: Word
    leverage: Leverage


class FundingUpdate(Message, frozen=True):
    """A row of ``userFunding``: the payment without its time, and the time."""

    time: Millis
    delta: "FundingDelta"


class FundingDelta(Message, frozen=True):
    coin: Word
    usdc: Number
    szi: Number
    funding_rate: Number


class LedgerDelta(Message, frozen=True):
    """What there is depends on ``type``; the amounts that are absent are not used."""

    type: Word
    usdc: Number | None = None
    amount: Number | None = None
    token: Word | None = None
    fee: Number | None = None
    fee_token: Word | None = None
    user: Word | None = None
    destination: Word | None = None
    account_value: Number | None = None
    liquidated_positions: "list[LiquidatedPosition] | None" = None


class LiquidatedPosition(Message, frozen=True):
    coin: Word
    szi: Number


class LedgerUpdate(Message, frozen=True):
    time: Millis
    hash: Word
    delta: LedgerDelta


class ExchangeStatus(Message, frozen=True):
    time: Millis
    special_statuses: msgspec.Raw = msgspec.Raw(b"null")


# --- what is listed -------------------------------------------------------------------------

Decimals = Annotated[int, msgspec.Meta(ge=0, le=8)]


class PerpAsset(Message, frozen=True):
    name: Word
    sz_decimals: Decimals
    max_leverage: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    margin_table_id: Id | None = None
    is_delisted: bool | None = None


class MarginTierRow(Message, frozen=True):
    lower_bound: Number
    max_leverage: Annotated[int, msgspec.Meta(ge=1, le=1000)]


class MarginTable(Message, frozen=True):
    margin_tiers: list[MarginTierRow]


class Meta(Message, frozen=True):
    universe: list[PerpAsset]
    margin_tables: list[tuple[Id, MarginTable]] = []
    collateral_token: Id = 0


class PricedAsset(Message, frozen=True):
    oracle_px: Number


class PricedMeta(Message, frozen=True, array_like=True):
    """The listing, and in its order what each perp of it is now."""

    meta: Meta
    assets: list[PricedAsset]


class SpotToken(Message, frozen=True):
    """``token_id`` is its identity; ``index`` is how balances and pairs name it."""

    name: Word
    token_id: Word
    sz_decimals: Decimals
    index: Id


class SpotAsset(Message, frozen=True):
    name: Word
    tokens: tuple[Id, Id]
    index: Id


class SpotMeta(Message, frozen=True):
    tokens: list[SpotToken]
    universe: list[SpotAsset]


class UserFees(Message, frozen=True):
    """Fractions of notional: cross is taking, add is making."""

    user_cross_rate: Number
    user_add_rate: Number
    user_spot_cross_rate: Number
    user_spot_add_rate: Number


# --- the account's standing -----------------------------------------------------------------


class UserRateLimit(Message, frozen=True):
    """Requests of an address since it began: used, and allowed by what it has traded."""

    n_requests_used: Id
    n_requests_cap: Id
    n_requests_surplus: Id = 0


class AgentOf(Message, frozen=True):
    user: Word = ""


class UserRole(Message, frozen=True):
    role: Word
    data: AgentOf = AgentOf()


class ExtraAgent(Message, frozen=True):
    """A named agent; the unnamed one is not told of."""

    address: Word
    valid_until: Millis
