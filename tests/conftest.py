"""Shared fixtures. Real market data is read from beside the checkout, never from inside it."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.canary import nothing_secret_is_left, pytest_runtest_makereport, tmp_path

__all__ = ["nothing_secret_is_left", "pytest_runtest_makereport", "tmp_path"]

# How long one example takes depends on what else the machine does; tests are no benchmarks.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The directory of recorded market data; a test that needs it skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no recorded market data at {SHARED_DATA}")
    return SHARED_DATA
