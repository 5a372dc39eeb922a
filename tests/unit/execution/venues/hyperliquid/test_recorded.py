"""Every recorded payload is read; with a field gone or of another type it is a bad message."""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from execution.venues.hyperliquid import wire
from execution.venues.hyperliquid.wire import BadMessage, decode, read_frame
from tests.unit.execution.venues.hyperliquid.venue import ACCOUNT, Desk, fill_row

ANSWERS: dict[str, Any] = {
    "meta": wire.Meta,
    "clearinghouseState": wire.ClearinghouseState,
    "spotClearinghouseState": wire.SpotClearinghouseState,
    "frontendOpenOrders": list[wire.OpenOrder],
    "l2Book": wire.L2Book,
    "userFills": list[wire.FillRow],
    "fundingHistory": list[wire.FundingRow],
    "userFunding": list[wire.FundingUpdate],
    "userNonFundingLedgerUpdates": list[wire.LedgerUpdate],
    "userRateLimit": wire.UserRateLimit,
    "userRole": wire.UserRole,
}
"""How the adapter reads the answer to a question of that type."""
FILES: dict[str, Any] = {
    "nt_http_funding_history.json": list[wire.FundingRow],
    "nt_http_l2_book_btc.json": wire.L2Book,
    "nt_http_l2_book_snapshot.json": wire.L2Book,
    "nt_ws_book_data.json": wire.L2Book,
    "goat_orderbook.json": wire.L2Book,
    "nt_http_meta_perp_sample.json": wire.Meta,
    "nt_http_spot_clearinghouse_state.json": wire.SpotClearinghouseState,
}
NOT_ASKED = {
    "allMids", "candleSnapshot", "delegatorHistory", "portfolio", "userTwapSliceFills",
}  # fmt: skip
"""Nothing of these is read: the adapter never asks."""
FRAMES = {"nt_ws_user_fill_liquidation.json", "nt_ws_all_dexs_asset_ctxs_cut.json"}
OTHERS = {
    "goat_all_mids.json",
    "goat_recent_trades.json",
    "nt_http_all_perp_metas_non_usdc_collateral.json",
}
TABLES = {"account_fills_2026-06.jsonl", "account_funding_2026-06.jsonl"}
"""Extracts of an account's history with columns of their own, not the venue's own bytes."""
OLD: dict[str, str] = {
    "rest_get_user_fills.json userFills": "required field `tid`",
    "rest_get_user_state.json clearinghouseState": "required field `time`",
}
"""Recordings of 2023, and what they did not have yet: no account can be followed without it."""
WRONG: tuple[Any, ...] = (None, True, [], {}, "\ud83d\ude00", 1.5)


@pytest.fixture(scope="module")
def payloads(shared_data: Path) -> Path:
    folder = shared_data / "payloads" / "hyperliquid"
    if not folder.is_dir():
        pytest.skip(f"no recorded payloads at {folder}")
    return folder


def recorded(folder: Path) -> Iterator[tuple[str, Any, Any]]:
    """(where from, the document, the type it is read as) of everything the adapter asks for."""
    for path in sorted(folder.glob("*.json")):
        document = json.loads(path.read_bytes())
        if path.name in FILES:
            yield path.name, document, FILES[path.name]
        elif path.name == "goat_meta_and_asset_ctxs.json":
            yield path.name, document, wire.PricedMeta
            yield path.name, document[0], wire.Meta
            for context in document[1]:
                yield path.name, context, wire.AssetContext
        elif path.name in FRAMES:
            for fill in document["data"].get("fills", ()):
                yield path.name, fill, wire.FillRow
            for _, contexts in document["data"].get("ctxs", ()):
                for context in contexts:
                    yield path.name, context, wire.AssetContext
        elif path.name not in OTHERS:
            for exchange in document:
                kind = exchange["request"]["type"]
                if kind not in NOT_ASKED:
                    yield f"{path.name} {kind}", exchange["response"], ANSWERS[kind]


def test_every_recorded_payload_is_accounted_for(payloads: Path) -> None:
    known = FILES.keys() | FRAMES | OTHERS | TABLES | {"goat_meta_and_asset_ctxs.json"}
    for path in payloads.iterdir():
        if path.name not in known:
            for exchange in json.loads(path.read_bytes()):
                assert exchange["request"]["type"] in ANSWERS.keys() | NOT_ASKED


def test_every_recorded_payload_is_read(payloads: Path) -> None:
    """Two of 2023 excepted: they lack what has been there since."""
    read, refused = 0, {}
    for where, document, kind in recorded(payloads):
        try:
            decode(json.dumps(document).encode(), kind)
        except BadMessage as error:
            refused[where] = str(error)
        read += 1
    assert read > 100
    assert refused.keys() == OLD.keys()
    for where, words in OLD.items():
        assert words in refused[where]


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value, of a list only to the first three."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield (*path, key)
            yield from places(value, (*path, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree[:3]):
            yield (*path, index)
            yield from places(value, (*path, index))


def cut(tree: Any) -> Any:
    """Long lists with their first three alone: the others are like them."""
    if isinstance(tree, dict):
        return {key: cut(value) for key, value in tree.items()}
    return [cut(value) for value in tree[:3]] if isinstance(tree, list) else tree


def damaged(document: Any) -> Iterator[bytes]:
    """The document with each of its values gone, and of each wrong type."""
    document = cut(document)
    for path in list(places(document)):
        parent = document
        for step in path[:-1]:
            parent = parent[step]
        whole = deepcopy(parent[path[-1]])
        for wrong in WRONG:
            parent[path[-1]] = wrong
            yield json.dumps(document).encode("utf-8", "surrogatepass")
        if isinstance(parent, dict):
            del parent[path[-1]]
            yield json.dumps(document).encode()
        parent[path[-1]] = whole


def test_with_a_field_gone_or_of_another_type_it_is_read_or_is_a_bad_message(
    payloads: Path,
) -> None:
    seen, refused = set(), 0
    for where, document, kind in recorded(payloads):
        shape = (where, str(kind), type(document))
        if shape in seen:
            continue  # forty contexts of one file are one shape
        seen.add(shape)
        for body in damaged(document):
            try:
                decode(body, kind)
            except BadMessage:
                refused += 1
    assert refused > 300


REQUIRED = {"coin", "px", "sz", "side", "time", "dir", "oid", "tid", "crossed", "fee", "feeToken"}


@pytest.mark.parametrize("field", sorted(REQUIRED))
def test_a_fill_without_a_field_that_is_needed_is_refused(payloads: Path, field: str) -> None:
    document = json.loads((payloads / "nt_ws_user_fill_liquidation.json").read_bytes())
    row = document["data"]["fills"][0]
    assert decode(json.dumps(row).encode(), wire.FillRow).coin == row["coin"]
    del row[field]
    with pytest.raises(BadMessage, match=field):
        decode(json.dumps(row).encode(), wire.FillRow)


def test_a_stream_counts_what_it_does_not_believe_and_never_fails(payloads: Path) -> None:
    """Through the gateway's own reader of public frames: nothing comes out of it."""
    gateway = Desk().gateway
    document = json.loads((payloads / "nt_ws_book_data.json").read_bytes())
    frame = {"channel": "l2Book", "data": document}
    sent = 0
    for body in damaged(frame):
        try:
            read = read_frame(body)
        except BadMessage:
            continue  # the feed counts it, and connects anew
        sent += 1
        gateway._on_public(read)
    assert sent > 100
    assert 100 < gateway.rejected["public"] <= sent
    good = read_frame(json.dumps(frame, separators=(",", ":")).encode())
    before = gateway.rejected["public"]
    gateway._on_public(good)
    assert gateway.rejected["public"] == before


async def test_a_private_message_that_is_not_believed_ends_the_connection_and_is_counted() -> None:
    async with Desk() as desk:
        stream = desk.venue.stream("userFills")
        connects = desk.venue.connects
        broken = {"user": ACCOUNT, "fills": [fill_row() | {"px": None}]}
        stream.push("userFills", broken)
        await desk.until(lambda: desk.venue.connects > connects)

        assert desk.gateway.rejected["private"] == 1
        assert desk.gateway.rejected["public"] == 0
