"""Closes that are kept for the next start."""

from pathlib import Path

import pytest

from bot import closes
from domain.market import Close
from domain.time import HOUR

TOLD = [Close("hyperliquid:BTC-PERP", 87_000.5, HOUR, HOUR, 86_000.0, 88_000.0, 12.5, 0.25)]


def test_what_is_kept_is_read_by_the_next(tmp_path: Path) -> None:
    file = tmp_path / closes.CLOSES
    closes.keep(file, [*TOLD, *TOLD])
    closes.keep(file, TOLD)

    assert closes.read(file) == TOLD
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kept", [b"", b"{}", b'[{"type":"Close"}]', b"\xff\xfe", b"[" * 100_000])
def test_what_is_none_is_asked_for(tmp_path: Path, kept: bytes) -> None:
    file = tmp_path / closes.CLOSES
    assert closes.read(file) == []
    file.write_bytes(kept)
    assert closes.read(file) == []


def test_a_part_of_it_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / closes.CLOSES
    closes.keep(file, TOLD)
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert closes.read(file) == []


def test_what_its_name_only_points_to_is_not_written(tmp_path: Path) -> None:
    other = tmp_path / "another's"
    other.write_bytes(b"precious")
    (tmp_path / closes.CLOSES).symlink_to(other)
    closes.keep(tmp_path / closes.CLOSES, TOLD)

    assert other.read_bytes() == b"precious"


def test_a_disk_that_does_not_take_it_is_no_trouble(tmp_path: Path) -> None:
    closes.keep(tmp_path / "nowhere" / closes.CLOSES, TOLD)
