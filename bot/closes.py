"""The closes that a start was told, kept for the next one, which need not ask again.

Nothing hangs on it: what cannot be read, or is too old, is asked for.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from domain.market import Close

CLOSES = "closes.json"
"""Its name in a state directory."""

_decode = msgspec.json.Decoder(list[Close]).decode


def read(path: Path) -> list[Close]:
    """As it was kept; empty where there is none."""
    try:
        return _decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def keep(path: Path, closes: Sequence[Close]) -> None:
    """Where the disk does not take all of it, a part is no JSON and is not read."""
    body = msgspec.json.encode(closes)
    with suppress(OSError):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(file, body)
        finally:
            os.close(file)
