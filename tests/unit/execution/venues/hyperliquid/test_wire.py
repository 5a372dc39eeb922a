"""Numbers and messages: what is read, and that nothing else gets in or out."""

import contextlib
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import EXACT
from execution.venues.hyperliquid import wire
from execution.venues.hyperliquid.wire import BadMessage, decode
from tests.unit.execution.venues.hyperliquid.venue import fill_row

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
KINDS: list[Any] = [
    wire.Frame,
    wire.L2Book,
    wire.ActiveAssetContext,
    wire.UserFills,
    wire.UserFundings,
    list[wire.OrderUpdate],
    wire.OrderStatus,
    wire.ClearinghouseState,
    wire.SpotClearinghouseState,
    list[wire.OpenOrder],
    list[wire.LedgerUpdate],
    wire.Meta,
    wire.SpotMeta,
]


@pytest.mark.parametrize(
    "text",
    [
        "NaN", "Infinity", "-Infinity", "sNaN", "null", "", " 1", "1 ", "+1", "1_000", ".5", "5.",
        "0x10", "١٢", "1e999", "1e41", "1e-41", "0." + "0" * 40 + "1", "1" * 41, "--1", "1,5",
    ],
)  # fmt: skip
def test_what_is_no_number_is_a_bad_message(text: str) -> None:
    with pytest.raises(BadMessage):
        wire.amount(text)
    with pytest.raises(BadMessage):
        wire.market(text)


@pytest.mark.parametrize("text", ["0", "-0.0", "-1", "-1e-8"])
def test_a_price_is_above_zero(text: str) -> None:
    with pytest.raises(BadMessage):
        wire.positive(text)
    with pytest.raises(BadMessage):
        wire.market(text)


@pytest.mark.parametrize("text", ["0.0400001", "-0.05", "1"])
def test_a_rate_over_the_venues_cap_is_a_bad_message(text: str) -> None:
    with pytest.raises(BadMessage):
        wire.hourly_rate(text)


def test_a_rate_at_the_cap_is_one() -> None:
    assert (wire.hourly_rate("0.04"), wire.hourly_rate("-0.04")) == (0.04, -0.04)


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=8, min_value=-(10**12), max_value=10**12
    )
)
def test_a_number_is_read_as_it_was_written(value: Decimal) -> None:
    assert wire.amount(f"{value:f}") == value
    with pytest.raises(BadMessage):
        wire.positive(f"{-abs(value):f}")


@given(st.text(max_size=45))
def test_a_text_is_a_finite_number_within_reason_or_a_bad_message(text: str) -> None:
    try:
        value = wire.amount(text)
    except BadMessage:
        return
    assert value.is_finite()
    assert value == 0 or Decimal("1e-40") <= abs(value) < Decimal("1e41")
    assert EXACT.multiply(value, value) >= 0


@given(st.sampled_from(KINDS), st.binary(max_size=200) | JSON.map(lambda v: json.dumps(v).encode()))
def test_garbage_is_a_bad_message_and_nothing_else(kind: Any, raw: bytes) -> None:
    with contextlib.suppress(BadMessage):
        decode(raw, kind)


@given(st.sampled_from(sorted(fill_row())), JSON)
def test_a_fill_with_one_field_replaced_is_a_fill_or_a_bad_message(name: str, value: Any) -> None:
    try:
        row = decode(json.dumps(fill_row(**{name: value})).encode(), wire.FillRow)
    except BadMessage:
        return
    assert isinstance(row.oid, int)


@pytest.mark.parametrize(
    "name", ["coin", "px", "sz", "side", "time", "oid", "crossed", "fee", "tid"]
)
def test_a_fill_without_one_of_its_fields_is_a_bad_message(name: str) -> None:
    row = fill_row()
    del row[name]

    with pytest.raises(BadMessage):
        decode(json.dumps(row).encode(), wire.FillRow)


@pytest.mark.parametrize("change", [{"px": 45.5}, {"oid": "77"}, {"time": -1}, {"side": "X"}])
def test_a_number_that_should_be_text_or_the_reverse_is_a_bad_message(change: Any) -> None:
    with pytest.raises(BadMessage):
        decode(json.dumps(fill_row(**change)).encode(), wire.FillRow)


def test_a_message_of_over_four_megabytes_is_not_even_read() -> None:
    frame = b'{"channel":"x","data":"' + b"a" * 4_000_000 + b'"}'

    with pytest.raises(BadMessage, match="bytes"):
        decode(frame, wire.Frame)
    assert decode(frame[:-100] + b'"}', wire.Frame).channel == "x"


def test_a_message_nested_without_end_is_a_bad_message() -> None:
    with pytest.raises(BadMessage):
        decode(b'{"channel":' + b"[" * 100_000, wire.Frame)
