"""Whatever config/symbols.toml and config/venues hold: instruments, or one line that says what."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given

from bot import config_files
from bot.instruments import UnknownPair, load_listings, load_pairs
from tests.fuzz.mangled import damaged, many

SHIPPED = config_files.config_file("symbols.toml").parent
SYMBOLS = (SHIPPED / "symbols.toml").read_bytes()
VENUE = (SHIPPED / "venues" / "simulated.toml").read_bytes()
ODD = [
    "-1", "0", "1e999", "nan", "inf", '"NaN"', '"Infinity"', '"1e999999"', '"-1"', '"0"', '""',
    '"x"', "true", "[]", "{}", "9" * 4301, "9" * 30, "[" * 5_000, "1979-05-27", "{ a = 1 }",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(SHIPPED, tmp_path / "config")
    monkeypatch.setattr(config_files, "_CHECKOUT", tmp_path / "config")
    monkeypatch.setattr(config_files, "_INSTALLED", tmp_path / "none")
    return tmp_path / "config"


def judge() -> None:
    try:
        listings, pairs = load_listings("simulated"), load_pairs("simulated")
    except UnknownPair as error:
        assert "\n" not in str(error)  # noqa: PT017 - they may also be right
        assert len(str(error)) < 2_000  # noqa: PT017
        return
    for listing in listings.values():
        instrument = listing.instrument
        assert instrument.lot.is_finite()
        for number in (instrument.minimum_notional, instrument.fees.maker, instrument.fees.taker):
            assert number.is_finite()
    for pair in pairs:
        assert pair.lot > 0


def test_any_odd_value_is_an_instrument_or_is_explained(folder: Path) -> None:
    for name, body in (("venues/simulated.toml", VENUE), ("symbols.toml", SYMBOLS)):
        lines = body.decode().splitlines()
        kinds = {line.partition("=")[0]: number for number, line in enumerate(lines) if "=" in line}
        for number in kinds.values():
            for odd in ODD:
                key = lines[number].partition("=")[0]
                changed = [*lines[:number], f"{key}= {odd}", *lines[number + 1 :]]
                (folder / name).write_text("\n".join(changed), encoding="utf-8")
                judge()
        (folder / name).write_bytes(body)


@many(100)
@given(damaged(VENUE))
def test_a_damaged_venue_is_instruments_or_is_explained(folder: Path, body: bytes) -> None:
    (folder / "venues" / "simulated.toml").write_bytes(body)
    judge()


@many(100)
@given(damaged(SYMBOLS))
def test_a_damaged_list_of_pairs_is_pairs_or_is_explained(folder: Path, body: bytes) -> None:
    (folder / "symbols.toml").write_bytes(body)
    judge()
